//! Field tables: the named, typed values of arguments and headers (AMQP 0-9-1 section 4.2.5.5, with
//! RabbitMQ's type tags).
//!
//! ```text
//! table  = length (4) { name (short string)  tag (1)  value }
//! array  = length (4) { tag (1)  value }
//! tags   t bool   b i8   B u8   s,U i16   u u16   I i32   i u32   l,L i64   f f32   d f64
//!        D decimal (scale u8, value u32)   T timestamp u64   S long string   x bytes   V void
//!        F table   A array
//! ```
//!
//! A table is checked once, without recursion and with [`TABLE_DEPTH_MAX`]; what is checked is read in place.

use std::fmt;

use amq_protocol::types::{AMQPValue, DecimalValue, FieldTable, ShortString, generation::gen_field_table};

use crate::{limits::TABLE_DEPTH_MAX, wire::cursor::Cursor};

/// Why bytes are no field table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The table, or something in it, is longer than the bytes around it.
    Truncated,
    /// No such type tag.
    UnknownTag(u8),
    /// Tables and arrays are nested deeper than [`TABLE_DEPTH_MAX`].
    TooDeep,
}

/// A checked table's entries, still where they were read: order, types and repeated names are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawTable<'a> {
    entries: &'a [u8],
}

/// A checked array's values, still where they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawArray<'a> {
    values: &'a [u8],
}

/// A value of a checked table. Integers of each width are values of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RawValue<'a> {
    /// `t`
    Bool(bool),
    /// `b`
    Int8(i8),
    /// `B`
    UInt8(u8),
    /// `s`, and `U` as some older clients write it
    Int16(i16),
    /// `u`
    UInt16(u16),
    /// `I`
    Int32(i32),
    /// `i`
    UInt32(u32),
    /// `l` and `L`
    Int64(i64),
    /// `f`
    Float(f32),
    /// `d`
    Double(f64),
    /// `D`: value / 10^scale
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// `S`: text, by convention UTF-8
    LongString(&'a [u8]),
    /// `x`
    Bytes(&'a [u8]),
    /// `T`: seconds since 1970
    Timestamp(u64),
    /// `F`
    Table(RawTable<'a>),
    /// `A`
    Array(RawArray<'a>),
    /// `V`
    Void,
}

/// Checks a table's entries (without the length before them): every length exact, every tag known, no
/// nesting deeper than [`TABLE_DEPTH_MAX`] counting the table itself. Names may be any bytes.
pub fn check_table(bytes_after_length_prefix: &[u8]) -> Result<(), TableError> {
    let bytes = bytes_after_length_prefix;
    let mut levels = [Level { end: bytes.len(), is_table: true }; TABLE_DEPTH_MAX];
    let mut depth = 0;
    let mut at = 0;
    loop {
        let Level { end, is_table } = levels[depth];
        if at == end {
            match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return Ok(()),
            }
            continue;
        }
        let mut cursor = Cursor::new(&bytes[at..end]);
        let inner = check_entry(&mut cursor, is_table)?;
        at = end - cursor.rest().len();
        if let Some(Inner { size, is_table }) = inner {
            depth += 1;
            *levels.get_mut(depth).ok_or(TableError::TooDeep)? = Level { end: at + size, is_table };
        }
    }
}

/// A table as it goes on the wire, its length included.
///
/// # Panics
/// Never: writing to memory cannot fail.
#[must_use]
#[expect(clippy::expect_used, reason = "writing to memory cannot fail")]
pub fn encode_table(table: &FieldTable) -> Vec<u8> {
    gen_field_table(table)(Vec::new().into()).expect("memory takes every table").into_inner().0
}

impl<'a> RawTable<'a> {
    /// Checks the table at the front of `bytes` (its four bytes of length first); also gives what follows it.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), TableError> {
        let mut cursor = Cursor::new(bytes);
        let entries = cursor.long_string().ok_or(TableError::Truncated)?;
        Ok((Self::parse_entries(entries)?, cursor.rest()))
    }

    /// Checks a table whose length was already read.
    pub fn parse_entries(entries: &'a [u8]) -> Result<Self, TableError> {
        check_table(entries)?;
        Ok(Self { entries })
    }

    /// Names and values in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], RawValue<'a>)> + use<'a> {
        let mut cursor = Cursor::new(self.entries);
        std::iter::from_fn(move || {
            let name = cursor.short_string()?;
            Some((name, read_value(&mut cursor)?))
        })
    }

    /// The first value under `name`.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<RawValue<'a>> {
        let name = name.as_ref();
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of all entries, without the length before them.
    #[must_use]
    pub fn entries(&self) -> &'a [u8] {
        self.entries
    }

    /// The table on its own, sorted by name; of a repeated name the last value. Entries whose name is not
    /// UTF-8 are left out.
    #[must_use]
    pub fn to_table(&self) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in self.iter() {
            if let Some(name) =
                std::str::from_utf8(name).ok().and_then(|name| ShortString::try_new(name).ok())
            {
                table.insert(name, value.to_value());
            }
        }
        table
    }

    /// The bytes of all entries but those whose name `is_dropped`, unchanged and in order: to take out or
    /// replace a header and keep the others as the publisher sent them.
    #[must_use]
    pub fn entries_without(&self, is_dropped: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut kept = Vec::with_capacity(self.entries.len());
        let mut cursor = Cursor::new(self.entries);
        loop {
            let before = cursor.rest();
            let Some(name) = cursor.short_string() else { return kept };
            let Some(_) = read_value(&mut cursor) else { return kept };
            if !is_dropped(name) {
                kept.extend_from_slice(&before[..before.len() - cursor.rest().len()]);
            }
        }
    }

    /// Whether `table` has the same names, types and values; order doesn't matter.
    #[must_use]
    pub fn is_same(&self, table: &FieldTable) -> bool {
        let values = table.inner();
        let has = |(name, value): (&[u8], RawValue<'_>)| {
            std::str::from_utf8(name)
                .is_ok_and(|name| values.get(name).is_some_and(|other| value.is_same(other)))
        };
        self.iter().count() == values.len() && self.iter().all(has)
    }
}

impl<'a> RawArray<'a> {
    /// Values in wire order.
    pub fn iter(&self) -> impl Iterator<Item = RawValue<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.values);
        std::iter::from_fn(move || read_value(&mut cursor))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl RawValue<'_> {
    /// Whether the headers exchange takes this header for `other`, a binding's argument.
    ///
    /// As in RabbitMQ, numbers of every width, sign and kind (timestamps too, decimals not) compare by value,
    /// and a long string equals a byte array; inside tables and arrays the types must be the same. A void
    /// equals only a void: that a void *argument* matches any value is the exchange's rule.
    #[must_use]
    pub fn equals(&self, other: &AMQPValue) -> bool {
        match (Number::of_raw(self), Number::of_argument(other)) {
            (Some(a), Some(b)) => a.equals(b),
            (None, None) => match (self, other) {
                (Self::LongString(a), AMQPValue::ByteArray(b)) => *a == b.as_slice(),
                (Self::Bytes(a), AMQPValue::LongString(b)) => *a == b.as_bytes(),
                _ => self.is_same(other),
            },
            _ => false,
        }
    }

    /// Whether `other` is of the same type and has the same value. The depth of a checked table bounds the
    /// recursion.
    #[must_use]
    #[expect(clippy::float_cmp, reason = "only values that are exactly the same match")]
    pub fn is_same(&self, other: &AMQPValue) -> bool {
        match (self, other) {
            (Self::Bool(a), AMQPValue::Boolean(b)) => a == b,
            (Self::Int8(a), AMQPValue::ShortShortInt(b)) => a == b,
            (Self::UInt8(a), AMQPValue::ShortShortUInt(b)) => a == b,
            (Self::Int16(a), AMQPValue::ShortInt(b)) => a == b,
            (Self::UInt16(a), AMQPValue::ShortUInt(b)) => a == b,
            (Self::Int32(a), AMQPValue::LongInt(b)) => a == b,
            (Self::UInt32(a), AMQPValue::LongUInt(b)) => a == b,
            (Self::Int64(a), AMQPValue::LongLongInt(b)) => a == b,
            (Self::Float(a), AMQPValue::Float(b)) => a == b,
            (Self::Double(a), AMQPValue::Double(b)) => a == b,
            (&Self::Decimal { scale, value }, AMQPValue::DecimalValue(b)) => {
                (scale, value) == (b.scale, b.value)
            }
            (Self::LongString(a), AMQPValue::LongString(b)) => *a == b.as_bytes(),
            (Self::LongString(a), AMQPValue::ShortString(b)) => *a == b.as_str().as_bytes(),
            (Self::Bytes(a), AMQPValue::ByteArray(b)) => *a == b.as_slice(),
            (Self::Timestamp(a), AMQPValue::Timestamp(b)) => a == b,
            (Self::Table(a), AMQPValue::FieldTable(b)) => a.is_same(b),
            (Self::Array(a), AMQPValue::FieldArray(b)) => {
                let b = b.as_slice();
                a.iter().count() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b))
            }
            (Self::Void, AMQPValue::Void) => true,
            _ => false,
        }
    }

    /// The value on its own. The depth of a checked table bounds the recursion.
    #[must_use]
    pub fn to_value(&self) -> AMQPValue {
        match *self {
            Self::Bool(value) => AMQPValue::Boolean(value),
            Self::Int8(value) => AMQPValue::ShortShortInt(value),
            Self::UInt8(value) => AMQPValue::ShortShortUInt(value),
            Self::Int16(value) => AMQPValue::ShortInt(value),
            Self::UInt16(value) => AMQPValue::ShortUInt(value),
            Self::Int32(value) => AMQPValue::LongInt(value),
            Self::UInt32(value) => AMQPValue::LongUInt(value),
            Self::Int64(value) => AMQPValue::LongLongInt(value),
            Self::Float(value) => AMQPValue::Float(value),
            Self::Double(value) => AMQPValue::Double(value),
            Self::Decimal { scale, value } => AMQPValue::DecimalValue(DecimalValue { scale, value }),
            Self::LongString(text) => AMQPValue::LongString(text.into()),
            Self::Bytes(bytes) => AMQPValue::ByteArray(bytes.into()),
            Self::Timestamp(seconds) => AMQPValue::Timestamp(seconds),
            Self::Table(table) => AMQPValue::FieldTable(table.to_table()),
            Self::Array(array) => {
                AMQPValue::FieldArray(array.iter().map(|value| value.to_value()).collect::<Vec<_>>().into())
            }
            Self::Void => AMQPValue::Void,
        }
    }
}

impl RawValue<'_> {
    /// Appends the value behind its tag, as in a table or array. Texts end where their length no longer fits.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut put = |tag: u8, value: &[u8]| {
            out.push(tag);
            out.extend_from_slice(value);
        };
        let (tag, bytes) = match *self {
            Self::Bool(value) => return put(b't', &[u8::from(value)]),
            Self::Int8(value) => return put(b'b', &value.to_be_bytes()),
            Self::UInt8(value) => return put(b'B', &[value]),
            Self::Int16(value) => return put(b's', &value.to_be_bytes()),
            Self::UInt16(value) => return put(b'u', &value.to_be_bytes()),
            Self::Int32(value) => return put(b'I', &value.to_be_bytes()),
            Self::UInt32(value) => return put(b'i', &value.to_be_bytes()),
            Self::Int64(value) => return put(b'l', &value.to_be_bytes()),
            Self::Float(value) => return put(b'f', &value.to_be_bytes()),
            Self::Double(value) => return put(b'd', &value.to_be_bytes()),
            Self::Decimal { scale, value } => {
                put(b'D', &[scale]);
                return out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Timestamp(seconds) => return put(b'T', &seconds.to_be_bytes()),
            Self::Void => return put(b'V', &[]),
            Self::LongString(text) => (b'S', text),
            Self::Bytes(bytes) => (b'x', bytes),
            Self::Table(table) => (b'F', table.entries),
            Self::Array(array) => (b'A', array.values),
        };
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        put(tag, &size.to_be_bytes());
        out.extend_from_slice(&bytes[..size as usize]);
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("field table is longer than the bytes around it"),
            Self::UnknownTag(tag) => write!(f, "field table has a value of unknown type {tag}"),
            Self::TooDeep => write!(f, "field table is nested deeper than {TABLE_DEPTH_MAX} levels"),
        }
    }
}

impl std::error::Error for TableError {}

/// A number of whatever width, for comparing by value.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn of_raw(value: &RawValue<'_>) -> Option<Self> {
        Some(match *value {
            RawValue::Int8(value) => Self::Integer(value.into()),
            RawValue::UInt8(value) => Self::Integer(value.into()),
            RawValue::Int16(value) => Self::Integer(value.into()),
            RawValue::UInt16(value) => Self::Integer(value.into()),
            RawValue::Int32(value) => Self::Integer(value.into()),
            RawValue::UInt32(value) => Self::Integer(value.into()),
            RawValue::Int64(value) => Self::Integer(value.into()),
            RawValue::Timestamp(value) => Self::Integer(value.into()),
            RawValue::Float(value) => Self::Float(value.into()),
            RawValue::Double(value) => Self::Float(value),
            _ => return None,
        })
    }

    fn of_argument(value: &AMQPValue) -> Option<Self> {
        Some(match *value {
            AMQPValue::ShortShortInt(value) => Self::Integer(value.into()),
            AMQPValue::ShortShortUInt(value) => Self::Integer(value.into()),
            AMQPValue::ShortInt(value) => Self::Integer(value.into()),
            AMQPValue::ShortUInt(value) => Self::Integer(value.into()),
            AMQPValue::LongInt(value) => Self::Integer(value.into()),
            AMQPValue::LongUInt(value) => Self::Integer(value.into()),
            AMQPValue::LongLongInt(value) => Self::Integer(value.into()),
            AMQPValue::Timestamp(value) => Self::Integer(value.into()),
            AMQPValue::Float(value) => Self::Float(value.into()),
            AMQPValue::Double(value) => Self::Float(value),
            _ => return None,
        })
    }

    #[expect(clippy::float_cmp, reason = "only values that are exactly the same match")]
    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            // The cast is exact where it matters: no integer here is beyond what a whole float converts to.
            (Self::Integer(a), Self::Float(b)) | (Self::Float(b), Self::Integer(a)) => {
                b.fract() == 0.0 && b as i128 == a
            }
        }
    }
}

/// A table or array being walked: where it ends, and whether its values have names.
#[derive(Clone, Copy)]
struct Level {
    end: usize,
    is_table: bool,
}

/// A table or array just met, its bytes not yet looked at.
struct Inner {
    size: usize,
    is_table: bool,
}

/// Steps over one entry; of a table or array only over what precedes its bytes.
fn check_entry(cursor: &mut Cursor<'_>, is_named: bool) -> Result<Option<Inner>, TableError> {
    if is_named {
        cursor.short_string().ok_or(TableError::Truncated)?;
    }
    let tag = cursor.octet().ok_or(TableError::Truncated)?;
    let size = match tag {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'S' | b'x' | b'F' | b'A' => cursor.long().ok_or(TableError::Truncated)? as usize,
        _ => return Err(TableError::UnknownTag(tag)),
    };
    if matches!(tag, b'F' | b'A') {
        return match size <= cursor.rest().len() {
            true => Ok(Some(Inner { size, is_table: tag == b'F' })),
            false => Err(TableError::Truncated),
        };
    }
    cursor.take(size).ok_or(TableError::Truncated)?;
    Ok(None)
}

/// The next tagged value; none at the end. Only on bytes that [`check_table`] passed.
fn read_value<'a>(cursor: &mut Cursor<'a>) -> Option<RawValue<'a>> {
    Some(match cursor.octet()? {
        b't' => RawValue::Bool(cursor.octet()? != 0),
        b'b' => RawValue::Int8(i8::from_be_bytes(cursor.array()?)),
        b'B' => RawValue::UInt8(cursor.octet()?),
        b's' | b'U' => RawValue::Int16(i16::from_be_bytes(cursor.array()?)),
        b'u' => RawValue::UInt16(cursor.short()?),
        b'I' => RawValue::Int32(i32::from_be_bytes(cursor.array()?)),
        b'i' => RawValue::UInt32(cursor.long()?),
        b'l' | b'L' => RawValue::Int64(i64::from_be_bytes(cursor.array()?)),
        b'f' => RawValue::Float(f32::from_be_bytes(cursor.array()?)),
        b'd' => RawValue::Double(f64::from_be_bytes(cursor.array()?)),
        b'D' => RawValue::Decimal { scale: cursor.octet()?, value: cursor.long()? },
        b'S' => RawValue::LongString(cursor.long_string()?),
        b'x' => RawValue::Bytes(cursor.long_string()?),
        b'T' => RawValue::Timestamp(cursor.long_long()?),
        b'F' => RawValue::Table(RawTable { entries: cursor.long_string()? }),
        b'A' => RawValue::Array(RawArray { values: cursor.long_string()? }),
        b'V' => RawValue::Void,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
