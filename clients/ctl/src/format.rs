//! Values and tables as text: the forms that `--formatter` names.

use serde_json::{Map, Value};

mod erlang;
mod pretty;
mod table;

pub use table::Table;

/// The form of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Formatter {
    /// Tab-separated columns below a line of their names.
    #[default]
    Table,
    /// A table with lines drawn around its cells.
    PrettyTable,
    /// An array of objects.
    Json,
    /// One object a line.
    JsonStream,
    /// Quoted and separated by commas.
    Csv,
    /// Erlang terms.
    Erlang,
}

impl Formatter {
    /// The formatter of that name; the names that stand for plain text (`string`, `report`) are the table.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "table" | "string" | "report" => Self::Table,
            "pretty_table" => Self::PrettyTable,
            "json" => Self::Json,
            "json_stream" => Self::JsonStream,
            "csv" => Self::Csv,
            "erlang" => Self::Erlang,
            _ => return None,
        })
    }

    /// Is the output read by programs, so that no banner may stand before it?
    pub fn is_for_machines(self) -> bool {
        !matches!(self, Self::Table | Self::PrettyTable)
    }

    /// Are results JSON?
    pub fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::JsonStream)
    }
}

/// The API says in HTML what is wrong with policies and parameters.
pub fn html_as_text(html: &str) -> String {
    html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// A cell of a table, with as much of its Erlang type as its text shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// Undefined: an empty cell.
    Empty,
    /// A name: bare everywhere.
    Atom(String),
    /// A string: quoted in Erlang terms.
    Text(String),
    /// A number or a boolean.
    Scalar(Value),
    /// `[a, b]`
    List(Vec<Term>),
    /// AMQP arguments: `[{"x-message-ttl",1000}]`.
    Arguments(Map<String, Value>),
    /// A property list with names as keys: `[{rabbit@host, running}]`.
    Properties(Vec<(String, Term)>),
    /// A property list with strings as keys: `[{<<"message-ttl">>, 1000}]`.
    Definition(Map<String, Value>),
    /// A map: `#{description => , tags => []}`.
    Map(Vec<(String, Term)>),
    /// A protocol version: `{0,9,1}`.
    Version(Vec<u64>),
}

impl Term {
    /// A value as the API gives it: text and scalars.
    pub fn plain(value: &Value) -> Self {
        match value {
            Value::Null => Self::Empty,
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::plain).collect()),
            Value::Object(fields) => Self::Map(Self::fields(fields, Self::plain)),
            scalar => Self::Scalar(scalar.clone()),
        }
    }

    /// A value whose strings are names: a state, a type, tags, nodes.
    pub fn atoms(value: &Value) -> Self {
        match value {
            Value::String(name) if name.is_empty() => Self::Empty,
            Value::String(name) => Self::Atom(name.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::atoms).collect()),
            Value::Object(fields) => Self::Properties(Self::fields(fields, Self::atoms)),
            other => Self::plain(other),
        }
    }

    /// AMQP arguments; RabbitMQ's API gives an empty table as `[]` at times.
    pub fn arguments(value: &Value) -> Self {
        match value {
            Value::Object(fields) => Self::Arguments(fields.clone()),
            Value::Array(items) if items.is_empty() => Self::Arguments(Map::new()),
            other => Self::plain(other),
        }
    }

    /// The definition of a policy.
    pub fn definition(value: &Value) -> Self {
        match value {
            Value::Object(fields) => Self::Definition(fields.clone()),
            other => Self::arguments(other),
        }
    }

    /// `AMQP 0-9-1` as the tools show it, `{0,9,1}`.
    pub fn version(value: &Value) -> Self {
        let numbers = value
            .as_str()
            .and_then(|text| text.strip_prefix("AMQP "))
            .map(|version| version.split('-').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>());
        match numbers {
            Some(Some(numbers)) => Self::Version(numbers),
            _ => Self::plain(value),
        }
    }

    /// The cell of a tab-separated, drawn or comma-separated table.
    pub fn text(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Atom(text) | Self::Text(text) => escape_controls(text),
            Self::Scalar(value) => value.to_string(),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::text).collect::<Vec<_>>().join(", "))
            }
            Self::Arguments(fields) => erlang::arguments(fields),
            Self::Properties(fields) => {
                let pairs =
                    fields.iter().map(|(key, term)| format!("{{{}, {}}}", erlang::atom(key), term.text()));
                format!("[{}]", pairs.collect::<Vec<_>>().join(", "))
            }
            Self::Definition(fields) => {
                let pair = |(key, value): (&String, &Value)| {
                    format!("{{{}, {}}}", erlang::binary(key), Self::plain(value).text())
                };
                format!("[{}]", fields.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
            Self::Map(fields) => {
                let pairs = fields.iter().map(|(key, term)| format!("{key} => {}", term.text()));
                format!("#{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
            Self::Version(numbers) => erlang::version(numbers),
        }
    }

    /// The cell as JSON.
    pub fn json(&self) -> Value {
        match self {
            Self::Empty => Value::from(""),
            Self::Atom(text) | Self::Text(text) => Value::from(text.clone()),
            Self::Scalar(value) => value.clone(),
            Self::List(items) => items.iter().map(Self::json).collect(),
            Self::Arguments(fields) | Self::Definition(fields) => Value::Object(fields.clone()),
            Self::Properties(fields) | Self::Map(fields) => {
                Value::Object(fields.iter().map(|(key, term)| (key.clone(), term.json())).collect())
            }
            Self::Version(numbers) => Value::from(numbers.clone()),
        }
    }

    /// The cell as an Erlang term.
    pub fn erlang(&self) -> String {
        erlang::term(self)
    }

    fn fields(fields: &Map<String, Value>, term: impl Fn(&Value) -> Self) -> Vec<(String, Self)> {
        fields.iter().map(|(key, value)| (key.clone(), term(value))).collect()
    }
}

/// A JSON object of settings as an Erlang property list, a setting a line.
pub fn erlang_settings(application: &str, settings: &Map<String, Value>) -> String {
    erlang::settings(application, settings)
}

/// Control characters would break lines and columns, and could drive a terminal; all else stays as it is.
fn escape_controls(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_string();
    }
    let mut escaped = String::with_capacity(text.len() + 4);
    for c in text.chars() {
        match c {
            '\t' => escaped.push_str("\\t"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            c if c.is_control() => escaped.push_str(&format!("\\{:03o}", c as u32)),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_as_text() {
        let arguments =
            json!({"x-float": 1.5, "x-list": [1, "two", false], "x-tab": {"a": "b", "c": 1}, "e": ""});
        let cases = [
            (Term::plain(&Value::Null), ""),
            (Term::plain(&json!("a\\b\tc\u{1}")), "a\\b\\tc\\001"),
            (Term::plain(&json!(true)), "true"),
            (Term::plain(&json!(1.0)), "1.0"),
            (Term::atoms(&json!(["a", "b c"])), "[a, b c]"),
            (Term::atoms(&json!([])), "[]"),
            (Term::atoms(&json!({"rabbit@host": "running"})), "[{rabbit@host, running}]"),
            (Term::arguments(&json!({})), "[]"),
            (
                Term::arguments(&arguments),
                r#"[{"x-float",1.5},{"x-list",[1,"two",false]},{"x-tab",[{"a","b"},{"c",1}]},{"e",[]}]"#,
            ),
            (Term::definition(&json!({"message-ttl": 60000})), r#"[{<<"message-ttl">>, 60000}]"#),
            (Term::plain(&json!({"description": "", "tags": []})), "#{description => , tags => []}"),
            (Term::version(&json!("AMQP 0-9-1")), "{0,9,1}"),
            (Term::version(&json!("HTTP")), "HTTP"),
        ];
        for (term, text) in cases {
            assert_eq!(term.text(), text);
        }
    }

    #[test]
    fn cells_as_erlang_terms() {
        let cases = [
            (Term::Empty, "''"),
            (Term::plain(&json!("a \"q\" ñ")), r#"<<"a \"q\" ñ"/utf8>>"#),
            (Term::plain(&json!("plain")), r#"<<"plain">>"#),
            (Term::atoms(&json!(["administrator", "Two words"])), "[administrator,'Two words']"),
            (
                Term::arguments(&json!({"n": 1, "b": true, "t": {"k": [1.5, "v"]}})),
                r#"[{<<"n">>,long,1},{<<"b">>,bool,true},{<<"t">>,table,[{<<"k">>,array,[{double,1.5},{longstr,<<"v">>}]}]}]"#,
            ),
        ];
        for (term, text) in cases {
            assert_eq!(term.erlang(), text);
        }
    }
}
