//! A delivery as a JSON object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, DecimalValue, FieldTable, ShortString};
use serde_json::{Map, Value, json};

/// One object. The body is text under `body` or, if it is no UTF-8, under `body_base64`; headers and properties that
/// the message does not have are left out.
pub fn object(delivery: &Delivery) -> Value {
    let mut object = Map::new();
    match std::str::from_utf8(&delivery.data) {
        Ok(text) => object.insert("body".to_owned(), text.into()),
        Err(_) => object.insert("body_base64".to_owned(), STANDARD.encode(&delivery.data).into()),
    };
    object.insert("exchange".to_owned(), delivery.exchange.as_str().into());
    object.insert("routing_key".to_owned(), delivery.routing_key.as_str().into());
    object.insert("redelivered".to_owned(), delivery.redelivered.into());
    if let Some(headers) = delivery.properties.headers() {
        object.insert("headers".to_owned(), table(headers));
    }
    object.insert("properties".to_owned(), properties(&delivery.properties));
    Value::Object(object)
}

/// All but the headers, under the names of the specification.
fn properties(properties: &BasicProperties) -> Value {
    let text = |value: &Option<ShortString>| value.as_ref().map(|value| Value::from(value.as_str()));
    let number = |value: Option<u64>| value.map(Value::from);
    let all = [
        ("content_type", text(properties.content_type())),
        ("content_encoding", text(properties.content_encoding())),
        ("delivery_mode", number(properties.delivery_mode().map(u64::from))),
        ("priority", number(properties.priority().map(u64::from))),
        ("correlation_id", text(properties.correlation_id())),
        ("reply_to", text(properties.reply_to())),
        ("expiration", text(properties.expiration())),
        ("message_id", text(properties.message_id())),
        ("timestamp", number(*properties.timestamp())),
        ("type", text(properties.kind())),
        ("user_id", text(properties.user_id())),
        ("app_id", text(properties.app_id())),
        ("cluster_id", text(properties.cluster_id())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>().into()
}

fn table(fields: &FieldTable) -> Value {
    let field = |(name, value): (&ShortString, &AMQPValue)| (name.to_string(), field_value(value));
    fields.inner().iter().map(field).collect::<Map<_, _>>().into()
}

fn field_value(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(value) => (*value).into(),
        AMQPValue::ShortShortInt(value) => (*value).into(),
        AMQPValue::ShortShortUInt(value) => (*value).into(),
        AMQPValue::ShortInt(value) => (*value).into(),
        AMQPValue::ShortUInt(value) => (*value).into(),
        AMQPValue::LongInt(value) => (*value).into(),
        AMQPValue::LongUInt(value) => (*value).into(),
        AMQPValue::LongLongInt(value) => (*value).into(),
        AMQPValue::Float(value) => (*value).into(),
        AMQPValue::Double(value) => (*value).into(),
        AMQPValue::DecimalValue(DecimalValue { scale, value }) => {
            (f64::from(*value) / 10f64.powi((*scale).into())).into()
        }
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongString(text) => bytes(text.as_bytes()),
        AMQPValue::ByteArray(array) => bytes(array.as_slice()),
        AMQPValue::FieldArray(array) => array.as_slice().iter().map(field_value).collect(),
        AMQPValue::FieldTable(fields) => table(fields),
        AMQPValue::Timestamp(seconds) => (*seconds).into(),
        AMQPValue::Void => Value::Null,
    }
}

/// Text, or an object that says what it is.
fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(properties: BasicProperties, body: &[u8], expected: &str) {
        let mut delivery = Delivery::mock(1, "x".into(), "k".into(), true, body.to_vec());
        delivery.properties = properties;
        assert_eq!(object(&delivery).to_string(), expected);
    }

    #[test]
    fn a_message_is_one_line() {
        check(
            BasicProperties::default().with_delivery_mode(2).with_type("t".into()).with_timestamp(7),
            "el tanque\nestá lleno".as_bytes(),
            r#"{"body":"el tanque\nestá lleno","exchange":"x","routing_key":"k","redelivered":true,"properties":{"delivery_mode":2,"timestamp":7,"type":"t"}}"#,
        );
    }

    #[test]
    fn a_body_that_is_no_text_is_base64() {
        check(
            BasicProperties::default(),
            &[0xff, 0],
            r#"{"body_base64":"/wA=","exchange":"x","routing_key":"k","redelivered":true,"properties":{}}"#,
        );
    }

    #[test]
    fn headers_keep_their_types() {
        let mut inner = FieldTable::default();
        inner.insert("deep".into(), AMQPValue::Void);
        let mut headers = FieldTable::default();
        let decimal = DecimalValue { scale: 2, value: 314 };
        for (name, value) in [
            ("a", AMQPValue::LongLongInt(-1)),
            ("b", AMQPValue::Boolean(true)),
            ("c", AMQPValue::LongString("ñ".into())),
            ("d", AMQPValue::LongString(vec![0xff].into())),
            (
                "e",
                AMQPValue::FieldArray(vec![AMQPValue::Double(0.5), AMQPValue::DecimalValue(decimal)].into()),
            ),
            ("f", AMQPValue::FieldTable(inner)),
        ] {
            headers.insert(name.into(), value);
        }
        assert_eq!(
            table(&headers).to_string(),
            r#"{"a":-1,"b":true,"c":"ñ","d":{"base64":"/w=="},"e":[0.5,3.14],"f":{"deep":null}}"#
        );
    }
}
