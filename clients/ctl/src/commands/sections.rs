//! Text in sections, each below a heading: how `status` and `cluster_status` tell what they found.

use serde_json::Value;

use crate::context::View;

/// A heading and what stands below it, a line each.
pub type Section = (&'static str, Vec<String>);

/// All sections, an empty line between any two parts.
pub fn text(sections: &[Section], view: &View) -> String {
    let section = |(title, lines): &Section| format!("{}\n\n{}", view.bold(title), lines.join("\n"));
    sections.iter().map(section).collect::<Vec<_>>().join("\n\n")
}

/// The lines, or one that says that there are none.
pub fn or_none(lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() { vec!["(none)".into()] } else { lines }
}

/// The items of a list, a bullet each.
pub fn bullets(names: &Value) -> Vec<String> {
    let names = names.as_array().into_iter().flatten();
    or_none(names.map(|name| format!(" * {}", plain(name))).collect())
}

/// A value without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "unknown".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
