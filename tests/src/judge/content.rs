//! What follows a method that carries a message: the header with its properties, and the body.

use super::{
    Doing, Trouble,
    table::{Table, Value},
    words::quoted,
};
use crate::codec::{Reader, Writer};

/// The properties from the highest flag bit down, and their kinds: `s`hort string, `t`able, `o`ctet, `d`ate.
const PROPERTIES: [(&str, char); 14] = [
    ("content-type", 's'),
    ("content-encoding", 's'),
    ("headers", 't'),
    ("delivery-mode", 'o'),
    ("priority", 'o'),
    ("correlation-id", 's'),
    ("reply-to", 's'),
    ("expiration", 's'),
    ("message-id", 's'),
    ("timestamp", 'd'),
    ("type", 's'),
    ("user-id", 's'),
    ("app-id", 's'),
    ("cluster-id", 's'),
];

/// Bodies up to this size are shown as they are.
const SHOWN_SIZE_MAX: usize = 80;

/// The properties of a message: the flags and what follows them on the wire.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties {
    flags: u16,
    bytes: Vec<u8>,
}

impl Properties {
    /// The properties of these names; all values but `headers` are given as text.
    pub fn of(table: &Table) -> Result<Properties, Trouble> {
        let mut values: [Option<Vec<u8>>; PROPERTIES.len()] = Default::default();
        for (name, value) in &table.0 {
            let index = PROPERTIES.iter().position(|(property, _)| property.as_bytes() == name);
            let index =
                index.ok_or_else(|| Trouble::new(format!("no property is called {}", quoted(name))))?;
            values[index] = Some(encode(PROPERTIES[index].1, value)?);
        }
        let flag = |index: usize| u16::from(values[index].is_some()) << (15 - index);
        let flags = (0..PROPERTIES.len()).map(flag).sum();
        Ok(Properties { flags, bytes: values.into_iter().flatten().flatten().collect() })
    }

    /// The payload of a content header frame.
    pub fn header(&self, class: u16, body_size: u64) -> Vec<u8> {
        Writer::default().u16(class).u16(0).u64(body_size).u16(self.flags).raw(&self.bytes).0
    }
}

fn encode(kind: char, value: &Value) -> Result<Vec<u8>, Trouble> {
    let writer = Writer::default();
    let text = match value {
        Value::Table(table) if kind == 't' => return Ok(writer.long(&table.encode()).0),
        Value::Text(text) => text,
        value => return Err(Trouble::new(format!("{value} is no value of a property"))),
    };
    let number = || String::from_utf8_lossy(text).into_owned();
    Ok(match kind {
        'o' => writer.u8(number().parse().doing("an octet")?).0,
        'd' => writer.u64(number().parse().doing("a date")?).0,
        _ => writer.short(text).0,
    })
}

/// A content header's body size, and its properties in words: nothing if there are none.
pub fn describe_header(payload: &[u8]) -> (u64, String) {
    let mut reader = Reader(payload);
    let (_class, _weight, size, flags) = (reader.u16(), reader.u16(), reader.u64(), reader.u16());
    let mut words = Vec::new();
    for (index, (name, kind)) in PROPERTIES.iter().enumerate() {
        if flags >> (15 - index) & 1 == 1 {
            let value = match kind {
                't' => Table::decode(reader.long()).to_string(),
                'o' => reader.u8().to_string(),
                'd' => reader.u64().to_string(),
                _ => quoted(reader.short_bytes()),
            };
            words.push(format!("{name}={value}"));
        }
    }
    if !reader.0.is_empty() {
        words.push(format!("and {} bytes too many", reader.0.len()));
    }
    let text = if words.is_empty() { String::new() } else { format!(" {{{}}}", words.join(" ")) };
    (size, text)
}

/// The body that a script gives: the text itself, or `COUNT*TEXT`.
pub fn body(given: &[u8]) -> Vec<u8> {
    let repeated = std::str::from_utf8(given).ok().and_then(|text| text.split_once('*'));
    let count = repeated.and_then(|(count, text)| Some((count.parse().ok()?, text)));
    count.map_or_else(|| given.to_owned(), |(count, text): (usize, &str)| text.repeat(count).into_bytes())
}

/// A body in words; `sizes` are those of its frames.
pub fn describe_body(body: &[u8], sizes: &[usize]) -> String {
    let text = match body.first() {
        Some(first) if body.len() > SHOWN_SIZE_MAX && body.iter().all(|byte| byte == first) => {
            format!("{}*{}", body.len(), char::from(*first))
        }
        _ if body.len() > SHOWN_SIZE_MAX => format!("{} bytes", body.len()),
        _ => quoted(body),
    };
    match sizes.len() {
        0 | 1 => text,
        _ => {
            let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
            format!("{text} in frames of {}", sizes.join("+"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::words::Words;

    #[test]
    fn properties_survive_the_wire() {
        let text = "{content-type=\"text/plain\" content-encoding=\"utf-8\" headers={a=i32:1} delivery-mode=2 \
                    priority=9 correlation-id=\"c\" reply-to=\"r\" expiration=\"1000\" message-id=\"m\" \
                    timestamp=1700000000 type=\"t\" user-id=\"u\" app-id=\"a\" cluster-id=\"x\"}";
        let table = |text| Table::parse(&mut Words::new(text)).unwrap();
        let properties = Properties::of(&table(text)).unwrap();
        assert_eq!(describe_header(&properties.header(60, 7)), (7, format!(" {text}")));
        assert_eq!(describe_header(&Properties::default().header(60, 0)), (0, String::new()));
        for wrong in ["{shoe-size=42}", "{priority=high}", "{type=true}"] {
            assert!(Properties::of(&table(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bodies_are_told_shortly() {
        assert_eq!(describe_body(b"hi", &[2]), "\"hi\"");
        let long = body(b"100*x");
        assert_eq!(describe_body(&long, &[60, 40]), "100*x in frames of 60+40");
    }
}
