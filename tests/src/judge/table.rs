//! Field tables as scripts and transcripts write them, and as they are on the wire.
//!
//! | text | type octet |
//! |---|---|
//! | `word`, `"text"` | `S` |
//! | `true`, `false` | `t` |
//! | `i8:` `u8:` `i16:` `u16:` `i32:` `u32:` `i64:` `L64:` `ts:` and a number | `b` `B` `s` `u` `I` `i` `l` `L` `T` |
//! | `f32:` `f64:` and a number, `dec:2:314` | `f` `d` `D` |
//! | `x:` and hexadecimal digits | `x` |
//! | `void` | `V` |
//! | `{name=value …}`, `[value …]` | `F`, `A` |
//! | `raw:` and hexadecimal digits | as they say: a type octet and bytes, right or wrong |

use std::fmt::{self, Display};

use super::{
    Doing, Trouble,
    words::{Words, quoted},
};
use crate::codec::{Reader, Writer};

/// A field table: its entries in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table(pub Vec<(Vec<u8>, Value)>);

/// A value in a field table.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Integer(&'static Integer, i128),
    Float(f32),
    Double(f64),
    Decimal(u8, u32),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    Void,
    Array(Vec<Value>),
    Table(Table),
    Raw(Vec<u8>),
}

/// A type of integers.
#[derive(Debug, PartialEq)]
pub struct Integer {
    name: &'static str,
    octet: u8,
    size_bytes: usize,
    is_signed: bool,
}

const fn integer(name: &'static str, octet: u8, size_bytes: usize, is_signed: bool) -> Integer {
    Integer { name, octet, size_bytes, is_signed }
}

/// `L` is signed in RabbitMQ.
static INTEGERS: [Integer; 9] = [
    integer("i8", b'b', 1, true),
    integer("u8", b'B', 1, false),
    integer("i16", b's', 2, true),
    integer("u16", b'u', 2, false),
    integer("i32", b'I', 4, true),
    integer("u32", b'i', 4, false),
    integer("i64", b'l', 8, true),
    integer("L64", b'L', 8, true),
    integer("ts", b'T', 8, false),
];

impl Table {
    /// Reads `{name=value …}`.
    pub fn parse(words: &mut Words<'_>) -> Result<Table, Trouble> {
        if !words.take('{') {
            return Err(Trouble::new(format!("a table begins with a brace: {}", words.rest())));
        }
        let mut entries = Vec::new();
        loop {
            words.skip_space();
            if words.take('}') {
                return Ok(Table(entries));
            }
            let name = words.text()?;
            if !words.take('=') {
                return Err(Trouble::new(format!("a value is missing before {:?}", words.rest())));
            }
            entries.push((name, Value::parse(words)?));
        }
    }

    /// The entries on the wire, without the length before them.
    pub fn encode(&self) -> Vec<u8> {
        let entry = |writer: Writer, (name, value): &(Vec<u8>, Value)| value.encode(writer.short(name));
        self.0.iter().fold(Writer::default(), entry).0
    }

    /// The table of these entries.
    pub fn decode(entries: &[u8]) -> Table {
        let mut reader = Reader(entries);
        let mut decoded = Vec::new();
        while !reader.0.is_empty() {
            let name = reader.short_bytes().to_owned();
            decoded.push((name, Value::decode(&mut reader)));
        }
        Table(decoded)
    }
}

impl Value {
    fn parse(words: &mut Words<'_>) -> Result<Value, Trouble> {
        if words.is_quoted() {
            return words.quoted().map(Value::Text);
        }
        if words.rest().starts_with('{') {
            return Table::parse(words).map(Value::Table);
        }
        if words.take('[') {
            return Value::parse_array(words);
        }
        let word = words.bare()?;
        match word {
            "true" | "false" => return Ok(Value::Bool(word == "true")),
            "void" => return Ok(Value::Void),
            _ => {}
        }
        match word.split_once(':') {
            Some((kind, text)) => Value::parse_typed(kind, text),
            None => Ok(Value::Text(word.as_bytes().to_owned())),
        }
    }

    fn parse_array(words: &mut Words<'_>) -> Result<Value, Trouble> {
        let mut values = Vec::new();
        loop {
            words.skip_space();
            if words.take(']') {
                return Ok(Value::Array(values));
            }
            values.push(Value::parse(words)?);
        }
    }

    fn parse_typed(kind: &str, text: &str) -> Result<Value, Trouble> {
        if let Some(integer) = INTEGERS.iter().find(|integer| integer.name == kind) {
            return Ok(Value::Integer(integer, text.parse().doing(kind)?));
        }
        match kind {
            "f32" => text.parse().map(Value::Float).doing(kind),
            "f64" => text.parse().map(Value::Double).doing(kind),
            "dec" => {
                let (scale, number) = text.split_once(':').unwrap_or(("0", text));
                Ok(Value::Decimal(scale.parse().doing(kind)?, number.parse().doing(kind)?))
            }
            "x" => hexadecimal(text).map(Value::Bytes),
            "raw" => hexadecimal(text).map(Value::Raw),
            _ => Err(Trouble::new(format!("no type of values is called {kind:?}"))),
        }
    }

    fn encode(&self, writer: Writer) -> Writer {
        match self {
            Value::Bool(value) => writer.u8(b't').u8((*value).into()),
            Value::Integer(integer, number) => {
                let bytes = number.to_be_bytes();
                writer.u8(integer.octet).raw(&bytes[bytes.len() - integer.size_bytes..])
            }
            Value::Float(value) => writer.u8(b'f').u32(value.to_bits()),
            Value::Double(value) => writer.u8(b'd').u64(value.to_bits()),
            Value::Decimal(scale, number) => writer.u8(b'D').u8(*scale).u32(*number),
            Value::Text(text) => writer.u8(b'S').long(text),
            Value::Bytes(bytes) => writer.u8(b'x').long(bytes),
            Value::Void => writer.u8(b'V'),
            Value::Array(values) => {
                let all = values.iter().fold(Writer::default(), |writer, value| value.encode(writer));
                writer.u8(b'A').long(&all.0)
            }
            Value::Table(table) => writer.u8(b'F').long(&table.encode()),
            Value::Raw(bytes) => writer.raw(bytes),
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Value {
        let octet = reader.u8();
        if let Some(integer) = INTEGERS.iter().find(|integer| integer.octet == octet) {
            return Value::Integer(integer, integer.decode(reader));
        }
        match octet {
            b't' => Value::Bool(reader.u8() != 0),
            b'f' => Value::Float(f32::from_bits(reader.u32())),
            b'd' => Value::Double(f64::from_bits(reader.u64())),
            b'D' => Value::Decimal(reader.u8(), reader.u32()),
            b'S' => Value::Text(reader.long().to_owned()),
            b'x' => Value::Bytes(reader.long().to_owned()),
            b'V' => Value::Void,
            b'A' => {
                let mut all = Reader(reader.long());
                let mut values = Vec::new();
                while !all.0.is_empty() {
                    values.push(Value::decode(&mut all));
                }
                Value::Array(values)
            }
            b'F' => Value::Table(Table::decode(reader.long())),
            // Where the next value begins is unknown, so all that is left belongs to this one.
            _ => Value::Raw([&[octet][..], std::mem::take(&mut reader.0)].concat()),
        }
    }
}

impl Integer {
    fn decode(&self, reader: &mut Reader<'_>) -> i128 {
        let bytes = reader.bytes(self.size_bytes);
        let is_negative = self.is_signed && bytes[0] >= 0x80;
        bytes.iter().fold(if is_negative { -1 } else { 0 }, |number, byte| number << 8 | i128::from(*byte))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            let is_bare =
                !name.is_empty() && name.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c));
            let name = if is_bare { String::from_utf8_lossy(name).into_owned() } else { quoted(name) };
            write!(f, "{space}{name}={value}")?;
        }
        f.write_str("}")
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Integer(integer, number) => write!(f, "{}:{number}", integer.name),
            Value::Float(value) => write!(f, "f32:{value}"),
            Value::Double(value) => write!(f, "f64:{value}"),
            Value::Decimal(scale, number) => write!(f, "dec:{scale}:{number}"),
            Value::Text(text) => f.write_str(&quoted(text)),
            Value::Bytes(bytes) => write!(f, "x:{}", digits(bytes)),
            Value::Void => f.write_str("void"),
            Value::Array(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                write!(f, "[{}]", values.join(" "))
            }
            Value::Table(table) => write!(f, "{table}"),
            Value::Raw(bytes) => write!(f, "raw:{}", digits(bytes)),
        }
    }
}

/// The bytes that hexadecimal digits stand for.
pub fn hexadecimal(text: &str) -> Result<Vec<u8>, Trouble> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
    let bytes = bytes.filter(|_| text.len().is_multiple_of(2));
    bytes.ok_or_else(|| Trouble::new(format!("{text:?} are no pairs of hexadecimal digits")))
}

/// Bytes as hexadecimal digits.
pub fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_survives_the_wire() {
        let text = "{a=\"text\" b=true c=i8:-1 d=u8:255 e=i16:-2 f=u16:65535 g=i32:-3 h=u32:4294967295 i=i64:-4 \
                    j=L64:5 k=ts:1700000000 l=f32:1.5 m=f64:-0.25 n=dec:2:314 o=x:00ff p=void q=[\"x\" i32:1] \
                    r={\"s t\"=false \"\"=void}}";
        let mut words = Words::new(text);
        let table = Table::parse(&mut words).unwrap();
        assert!(words.is_empty());
        assert_eq!(table.to_string(), text);
        assert_eq!(Table::decode(&table.encode()), table);
    }

    #[test]
    fn a_wrong_table_is_refused() {
        for text in ["", "{a}", "{a=", "{a=i9:1}", "{a=i32:x}", "{a=[1}", "{a=x:0}", "{a=raw:zz}"] {
            assert!(Table::parse(&mut Words::new(text)).is_err(), "{text}");
        }
    }
}
