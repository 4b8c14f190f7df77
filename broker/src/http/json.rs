//! AMQP values as JSON and back, as RabbitMQ's management API has them.
//!
//! ```text
//! AMQP -> JSON                                    JSON -> AMQP
//! b B s u I i l T   integer                       integer      l   64-bit, the only integer made from JSON
//! f d D             number                        other number d
//! t                 true, false                   true, false  t
//! S x               text; if not UTF-8            text         S
//!                   "Not UTF-8, base64 is: …"
//! A F               array, object                 array, object A, F
//! V                 "undefined"                   null         refused
//! ```
//!
//! A decimal is shown as the number it is (RabbitMQ 3.x shows 2.314 for 314 with scale 2, which is 3.14).

use amq_protocol::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Number, Value};

use crate::{http::HttpError, limits::TABLE_DEPTH_MAX, model::arguments::Arguments};

/// Arguments as the object that listings show.
#[must_use]
pub fn arguments_to_json(arguments: &Arguments) -> Value {
    Value::Object(arguments.iter().map(|(key, value)| (key.to_owned(), value_to_json(value))).collect())
}

/// A table, such as a message's headers or a peer's properties, as an object.
#[must_use]
pub fn table_to_json(table: &FieldTable) -> Value {
    Value::Object(table.inner().iter().map(|(key, value)| (key.to_string(), value_to_json(value))).collect())
}

/// One value. Numbers that JSON does not have (NaN, the infinities) become null.
#[must_use]
pub fn value_to_json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(value) => Value::Bool(*value),
        AMQPValue::ShortShortInt(value) => Value::from(*value),
        AMQPValue::ShortShortUInt(value) => Value::from(*value),
        AMQPValue::ShortInt(value) => Value::from(*value),
        AMQPValue::ShortUInt(value) => Value::from(*value),
        AMQPValue::LongInt(value) => Value::from(*value),
        AMQPValue::LongUInt(value) => Value::from(*value),
        AMQPValue::LongLongInt(value) => Value::from(*value),
        AMQPValue::Float(value) => Value::from(f64::from(*value)),
        AMQPValue::Double(value) => Value::from(*value),
        AMQPValue::DecimalValue(value) => decimal_to_json(*value),
        AMQPValue::ShortString(text) => Value::from(text.as_str()),
        AMQPValue::LongString(text) => text_to_json(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => text_to_json(bytes.as_slice()),
        AMQPValue::FieldArray(array) => array.as_slice().iter().map(value_to_json).collect(),
        AMQPValue::Timestamp(seconds) => Value::from(*seconds),
        AMQPValue::FieldTable(table) => table_to_json(table),
        AMQPValue::Void => Value::from("undefined"),
    }
}

/// Bytes that are text by convention only.
#[must_use]
pub fn text_to_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from(format!("Not UTF-8, base64 is: {}", BASE64_STANDARD.encode(bytes))),
    }
}

/// The `arguments` of a request. An empty array is an empty table: some clients' languages have one for both.
pub fn arguments_from_json(value: &Value) -> Result<Arguments, HttpError> {
    match value {
        Value::Object(object) => Ok(Arguments::from(table_from_json(object, 1)?)),
        Value::Array(array) if array.is_empty() => Ok(Arguments::default()),
        _ => Err(HttpError::bad_value("not_an_object", value)),
    }
}

/// The table of an object, such as the headers of a message to publish.
pub fn table_from_json(object: &Map<String, Value>, depth: usize) -> Result<FieldTable, HttpError> {
    let mut table = FieldTable::default();
    for (key, value) in object {
        let key = ShortString::try_new(key.as_str())
            .map_err(|_| HttpError::bad_request("a key of a table is longer than 255 bytes"))?;
        table.insert(key, value_from_json(value, depth)?);
    }
    Ok(table)
}

/// `depth` is that of the table or array the value is in, the outermost being 1.
pub fn value_from_json(value: &Value, depth: usize) -> Result<AMQPValue, HttpError> {
    if matches!(value, Value::Array(_) | Value::Object(_)) && depth >= TABLE_DEPTH_MAX {
        return Err(HttpError::bad_request(format!("tables are nested deeper than {TABLE_DEPTH_MAX}")));
    }
    Ok(match value {
        Value::Null => return Err(HttpError::bad_request("null_not_allowed")),
        Value::Bool(value) => AMQPValue::Boolean(*value),
        Value::Number(number) => number_from_json(number)?,
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Array(array) => {
            let values: Result<Vec<AMQPValue>, HttpError> =
                array.iter().map(|value| value_from_json(value, depth + 1)).collect();
            AMQPValue::FieldArray(FieldArray::from(values?))
        }
        Value::Object(object) => AMQPValue::FieldTable(table_from_json(object, depth + 1)?),
    })
}

/// RabbitMQ takes integers of any size and cuts them to 64 bits on the wire; here they are refused.
fn number_from_json(number: &Number) -> Result<AMQPValue, HttpError> {
    if let Some(integer) = number.as_i64() {
        return Ok(AMQPValue::LongLongInt(integer));
    }
    let double = number.as_f64().filter(|_| number.is_f64());
    double
        .map(AMQPValue::Double)
        .ok_or_else(|| HttpError::bad_value("integer_too_large", &number.clone().into()))
}

fn decimal_to_json(decimal: DecimalValue) -> Value {
    match 10_u64.checked_pow(u32::from(decimal.scale)) {
        Some(1) => Value::from(decimal.value),
        // Exact in 64 bits: the value has 32, and the division rounds once.
        #[expect(clippy::cast_precision_loss, reason = "powers of ten to 10^19 are exact or round once")]
        Some(divisor) => Value::from(f64::from(decimal.value) / divisor as f64),
        None => Value::from(f64::from(decimal.value) * 10_f64.powi(-i32::from(decimal.scale))),
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::types::ByteArray;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_as_rabbitmq_shows_them() {
        let mut table = FieldTable::default();
        table.insert("k".into(), AMQPValue::Boolean(false));
        table.insert("a".into(), AMQPValue::LongInt(5));
        let array = vec![AMQPValue::LongInt(1), AMQPValue::LongString("x".into()), AMQPValue::Void];
        for (value, expected) in [
            (AMQPValue::Boolean(true), json!(true)),
            (AMQPValue::ShortShortInt(-1), json!(-1)),
            (AMQPValue::ShortShortUInt(255), json!(255)),
            (AMQPValue::ShortInt(-2), json!(-2)),
            (AMQPValue::ShortUInt(65_534), json!(65_534)),
            (AMQPValue::LongInt(-7), json!(-7)),
            (AMQPValue::LongUInt(3_000_000_000), json!(3_000_000_000_u32)),
            (AMQPValue::LongLongInt(-1_152_921_504_606_846_976), json!(-1_152_921_504_606_846_976_i64)),
            (AMQPValue::Float(1.5), json!(1.5)),
            (AMQPValue::Float(0.1), json!(0.100_000_001_490_116_12)),
            (AMQPValue::Double(0.1), json!(0.1)),
            (AMQPValue::Double(f64::NAN), json!(null)),
            (AMQPValue::LongString("ñ".into()), json!("ñ")),
            (AMQPValue::LongString([0xff, 0xfe].as_slice().into()), json!("Not UTF-8, base64 is: //4=")),
            (AMQPValue::ShortString("s".into()), json!("s")),
            (AMQPValue::FieldArray(FieldArray::from(array)), json!([1, "x", "undefined"])),
            (AMQPValue::Timestamp(1_700_000_000), json!(1_700_000_000)),
            (AMQPValue::FieldTable(table), json!({"a": 5, "k": false})),
            (AMQPValue::ByteArray(ByteArray::from([0, 255].as_slice())), json!("Not UTF-8, base64 is: AP8=")),
            (AMQPValue::ByteArray(ByteArray::from(b"abc".as_slice())), json!("abc")),
            (AMQPValue::Void, json!("undefined")),
        ] {
            assert_eq!(value_to_json(&value), expected, "{value:?}");
        }
        assert_eq!(value_to_json(&AMQPValue::Double(3.0)).to_string(), "3.0");
    }

    #[test]
    fn decimals_are_the_numbers_they_stand_for() {
        for (scale, value, expected) in [(2, 314, "3.14"), (0, 7, "7"), (1, 5, "0.5"), (255, 1, "1e-255")] {
            let shown = value_to_json(&AMQPValue::DecimalValue(DecimalValue { scale, value }));
            let (shown, expected): (f64, f64) = (shown.as_f64().unwrap(), expected.parse().unwrap());
            assert!((shown - expected).abs() <= expected * 1e-15, "{shown}");
        }
    }

    #[test]
    fn json_becomes_the_types_rabbitmq_makes_of_it() {
        let arguments = arguments_from_json(&json!({
            "i": 5, "max": i64::MAX, "min": i64::MIN, "f": 1.5, "whole": 1.0, "e": 1e3,
            "t": true, "s": "ñ", "empty": "",
            "a": [1, "a", []], "o": {"k": 1, "o": {}}
        }))
        .unwrap();
        let check = |key: &str, expected: AMQPValue| assert_eq!(arguments.value(key), Some(&expected));
        check("i", AMQPValue::LongLongInt(5));
        check("max", AMQPValue::LongLongInt(i64::MAX));
        check("min", AMQPValue::LongLongInt(i64::MIN));
        check("f", AMQPValue::Double(1.5));
        check("whole", AMQPValue::Double(1.0));
        check("e", AMQPValue::Double(1000.0));
        check("t", AMQPValue::Boolean(true));
        check("s", AMQPValue::LongString("ñ".into()));
        check("empty", AMQPValue::LongString("".into()));
        let array = vec![
            AMQPValue::LongLongInt(1),
            AMQPValue::LongString("a".into()),
            AMQPValue::FieldArray(FieldArray::default()),
        ];
        check("a", AMQPValue::FieldArray(FieldArray::from(array)));
        let mut object = FieldTable::default();
        object.insert("k".into(), AMQPValue::LongLongInt(1));
        object.insert("o".into(), AMQPValue::FieldTable(FieldTable::default()));
        check("o", AMQPValue::FieldTable(object));
    }

    #[test]
    fn what_no_table_can_hold_is_refused() {
        let null = Err(HttpError::bad_request("null_not_allowed"));
        assert_eq!(arguments_from_json(&json!({"a": null})), null);
        assert_eq!(arguments_from_json(&json!({"a": [{"b": null}]})), null);
        assert_eq!(arguments_from_json(&json!([])), Ok(Arguments::default()));
        for value in [json!(5), json!("s"), json!(null), json!([1])] {
            assert_eq!(arguments_from_json(&value), Err(HttpError::bad_value("not_an_object", &value)));
        }
        let too_large = json!(9_223_372_036_854_775_808_u64);
        let expected = Err(HttpError::bad_value("integer_too_large", &too_large));
        assert_eq!(arguments_from_json(&json!({"a": too_large})), expected);
        assert!(arguments_from_json(&json!({"k".repeat(256): 1})).is_err());
    }

    #[test]
    fn depth_is_limited_as_on_the_wire() {
        let nested = |depth: usize| {
            let inner = (1..depth).fold(json!({}), |inner, _| json!({ "k": inner }));
            arguments_from_json(&inner)
        };
        let deepest = nested(TABLE_DEPTH_MAX).unwrap();
        let bytes = crate::wire::table::encode_table(deepest.as_table());
        assert!(crate::wire::table::check_table(&bytes[4..]).is_ok());
        assert!(nested(TABLE_DEPTH_MAX + 1).is_err());
    }
}
