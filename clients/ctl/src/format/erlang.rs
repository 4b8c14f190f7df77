//! Erlang terms, as `io:format("~p")` writes them.

use serde_json::{Map, Value};

use super::Term;

/// AMQP arguments without their types, the form that cells of tables show: `[{"x-message-ttl",1000}]`.
pub fn arguments(fields: &Map<String, Value>) -> String {
    let pairs = fields.iter().map(|(key, value)| format!("{{{},{}}}", string(key), untyped(value)));
    format!("[{}]", pairs.collect::<Vec<_>>().join(","))
}

/// A cell as a term.
pub fn term(term: &Term) -> String {
    match term {
        Term::Empty => "''".into(),
        Term::Atom(name) => atom(name),
        Term::Text(text) => binary(text),
        Term::Scalar(value) => value.to_string(),
        Term::List(items) => list(items.iter().map(self::term)),
        Term::Arguments(fields) => typed_table(fields),
        Term::Properties(fields) => {
            list(fields.iter().map(|(key, value)| pair(&atom(key), &self::term(value))))
        }
        Term::Definition(fields) => {
            list(fields.iter().map(|(key, value)| pair(&binary(key), &self::term(&Term::plain(value)))))
        }
        Term::Map(fields) => {
            let fields = fields.iter().map(|(key, value)| format!("{} => {}", atom(key), self::term(value)));
            format!("#{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Term::Version(numbers) => version(numbers),
    }
}

/// `{0,9,1}`
pub fn version(numbers: &[u64]) -> String {
    format!("{{{}}}", numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(","))
}

/// `[{application,[{key,value}, …]}]`, a key a line.
pub fn settings(application: &str, settings: &Map<String, Value>) -> String {
    let setting = |(key, value): (&String, &Value)| pair(&atom(key), &setting_value(value));
    let settings: Vec<_> = settings.iter().map(setting).collect();
    format!("[{{{},\n     [{}]}}]", atom(application), settings.join(",\n      "))
}

/// A name, in quotes unless it is made of lower-case letters, digits, `_` and `@`.
pub fn atom(name: &str) -> String {
    let is_bare = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '@');
    if is_bare { name.to_string() } else { format!("'{}'", escaped(name, '\'')) }
}

/// `<<"text">>`
pub fn binary(text: &str) -> String {
    if !is_printable(text) {
        let bytes: Vec<_> = text.bytes().map(|byte| byte.to_string()).collect();
        return format!("<<{}>>", bytes.join(","));
    }
    let suffix = if text.is_ascii() { "" } else { "/utf8" };
    if text.is_empty() { "<<>>".into() } else { format!("<<\"{}\"{suffix}>>", escaped(text, '"')) }
}

/// A string is a list of its characters: `"text"`, but `[]` when empty and numbers when it can't be printed.
fn string(text: &str) -> String {
    if text.is_empty() {
        "[]".into()
    } else if is_printable(text) {
        format!("\"{}\"", escaped(text, '"'))
    } else {
        list(text.chars().map(|c| (c as u32).to_string()))
    }
}

fn untyped(value: &Value) -> String {
    match value {
        Value::Null => "undefined".into(),
        Value::String(text) => string(text),
        Value::Array(items) => list(items.iter().map(untyped)),
        Value::Object(fields) => arguments(fields),
        scalar => scalar.to_string(),
    }
}

fn typed_table(fields: &Map<String, Value>) -> String {
    list(fields.iter().map(|(key, value)| {
        let (kind, value) = typed(value);
        format!("{{{},{kind},{value}}}", binary(key))
    }))
}

fn typed(value: &Value) -> (&'static str, String) {
    match value {
        Value::Null => ("void", "undefined".into()),
        Value::Bool(_) => ("bool", value.to_string()),
        Value::Number(number) if number.is_f64() => ("double", value.to_string()),
        Value::Number(_) => ("long", value.to_string()),
        Value::String(text) => ("longstr", binary(text)),
        Value::Object(fields) => ("table", typed_table(fields)),
        Value::Array(items) => {
            let items = items.iter().map(|item| {
                let (kind, item) = typed(item);
                pair(kind, &item)
            });
            ("array", list(items))
        }
    }
}

fn setting_value(value: &Value) -> String {
    match value {
        Value::Null => "undefined".into(),
        Value::Array(items) => list(items.iter().map(setting_value)),
        Value::Object(fields) => {
            list(fields.iter().map(|(key, value)| pair(&atom(key), &setting_value(value))))
        }
        Value::String(text) => string(text),
        scalar => scalar.to_string(),
    }
}

fn pair(key: &str, value: &str) -> String {
    format!("{{{key},{value}}}")
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn is_printable(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || letter_escape(c).is_some())
}

fn escaped(text: &str, quote: char) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match letter_escape(c) {
            Some(letter) => escaped.extend(['\\', letter]),
            None if c == quote || c == '\\' => escaped.extend(['\\', c]),
            None => escaped.push(c),
        }
    }
    escaped
}

fn letter_escape(c: char) -> Option<char> {
    Some(match c {
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{b}' => 'v',
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\u{1b}' => 'e',
        _ => return None,
    })
}
