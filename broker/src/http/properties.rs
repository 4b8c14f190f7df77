//! A message's properties as JSON and back, as RabbitMQ's management API has them.
//!
//! Of a message to publish, names that no property has are ignored; a text is no number and a number no text. What does
//! not fit its property on the wire (a text of more than 255 bytes, a priority above 255) is refused: RabbitMQ cuts it.

use amq_protocol::{protocol::BasicProperties, types::ShortString};
use serde_json::{Map, Value, json};

use crate::{
    http::{
        HttpError,
        json::{table_from_json, table_to_json, text_to_json},
    },
    wire::properties::Properties,
};

/// Sets a text.
type With = fn(BasicProperties, ShortString) -> BasicProperties;

/// Properties from the `properties` of a message to publish. An empty array is none: so they are shown.
pub fn properties_from_json(value: &Value) -> Result<BasicProperties, HttpError> {
    let fields = object(value)?;
    let texts: [(&str, With); 10] = [
        ("content_type", BasicProperties::with_content_type),
        ("content_encoding", BasicProperties::with_content_encoding),
        ("correlation_id", BasicProperties::with_correlation_id),
        ("reply_to", BasicProperties::with_reply_to),
        ("expiration", BasicProperties::with_expiration),
        ("message_id", BasicProperties::with_message_id),
        ("type", BasicProperties::with_type),
        ("user_id", BasicProperties::with_user_id),
        ("app_id", BasicProperties::with_app_id),
        ("cluster_id", BasicProperties::with_cluster_id),
    ];
    let mut properties = BasicProperties::default();
    for (name, with) in texts {
        if let Some(value) = fields.get(name) {
            properties = with(properties, text(name, value)?);
        }
    }
    if let Some(mode) = fields.get("delivery_mode") {
        properties = properties.with_delivery_mode(integer("delivery_mode", mode)?);
    }
    if let Some(priority) = fields.get("priority") {
        properties = properties.with_priority(integer("priority", priority)?);
    }
    if let Some(timestamp) = fields.get("timestamp") {
        properties = properties.with_timestamp(integer("timestamp", timestamp)?);
    }
    if let Some(headers) = fields.get("headers") {
        properties = properties.with_headers(table_from_json(&object(headers)?, 1)?);
    }
    Ok(properties)
}

/// Properties as an object of those that are there; an empty array when none is, as RabbitMQ writes an empty object.
#[must_use]
pub fn properties_to_json(properties: &Properties<'_>) -> Value {
    let headers = properties.headers.map(|headers| table_to_json(&headers.to_table()));
    let fields = [
        ("cluster_id", properties.cluster_id.map(text_to_json)),
        ("app_id", properties.app_id.map(text_to_json)),
        ("user_id", properties.user_id.map(text_to_json)),
        ("type", properties.kind.map(text_to_json)),
        ("timestamp", properties.timestamp.map(Value::from)),
        ("message_id", properties.message_id.map(text_to_json)),
        ("expiration", properties.expiration.map(text_to_json)),
        ("reply_to", properties.reply_to.map(text_to_json)),
        ("correlation_id", properties.correlation_id.map(text_to_json)),
        ("priority", properties.priority.map(Value::from)),
        ("delivery_mode", properties.delivery_mode.map(Value::from)),
        ("headers", headers),
        ("content_encoding", properties.content_encoding.map(text_to_json)),
        ("content_type", properties.content_type.map(text_to_json)),
    ];
    let object: Map<String, Value> =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    if object.is_empty() { json!([]) } else { Value::Object(object) }
}

/// Some clients' languages have one value for an empty array and an empty object.
fn object(value: &Value) -> Result<Map<String, Value>, HttpError> {
    match value {
        Value::Object(object) => Ok(object.clone()),
        Value::Array(array) if array.is_empty() => Ok(Map::new()),
        _ => Err(HttpError::bad_value("not_an_object", value)),
    }
}

fn text(name: &str, value: &Value) -> Result<ShortString, HttpError> {
    let text = value.as_str().and_then(|text| ShortString::try_new(text).ok());
    text.ok_or_else(|| HttpError::bad_value("not_string", &name.into()))
}

fn integer<T: TryFrom<u64>>(name: &str, value: &Value) -> Result<T, HttpError> {
    let integer = value.as_u64().and_then(|integer| T::try_from(integer).ok());
    integer.ok_or_else(|| HttpError::bad_value("not_int", &name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{content::parse_content_header, encode::encode_content_header};

    /// There and back, over the wire's form.
    fn round_trip(value: &Value) -> Value {
        let payload = encode_content_header(0, &properties_from_json(value).unwrap());
        properties_to_json(&parse_content_header(&payload).unwrap().properties)
    }

    #[test]
    fn every_property_comes_back() {
        let all = json!({
            "cluster_id": "c", "app_id": "a", "user_id": "u", "type": "t", "timestamp": u64::MAX,
            "message_id": "m", "expiration": "1000", "reply_to": "r", "correlation_id": "ñ", "priority": 255,
            "delivery_mode": 2, "content_encoding": "gzip", "content_type": "application/json",
            "headers": {
                "a": 1, "b": 1.5, "c": true, "d": "x", "e": [1, "a"], "f": {"g": 1}, "h": [], "i": i64::MIN
            },
        });
        assert_eq!(round_trip(&all), all);
        for (name, value) in all.as_object().unwrap() {
            let one = json!({ (name): value });
            assert_eq!(round_trip(&one), one);
        }
    }

    #[test]
    fn no_properties_are_an_empty_array() {
        for none in [json!({}), json!([]), json!({"unknown": 5})] {
            assert_eq!(round_trip(&none), json!([]), "{none}");
        }
        assert_eq!(round_trip(&json!({"headers": []})), json!({"headers": {}}));
    }

    #[test]
    fn what_fits_no_property_is_refused() {
        let not = |kind: &str, name: &str| HttpError::bad_value(kind, &name.into());
        for (properties, expected) in [
            (json!({"content_type": 5}), not("not_string", "content_type")),
            (json!({"expiration": 1000}), not("not_string", "expiration")),
            (json!({"message_id": null}), not("not_string", "message_id")),
            (json!({"app_id": "a".repeat(256)}), not("not_string", "app_id")),
            (json!({"delivery_mode": "2"}), not("not_int", "delivery_mode")),
            (json!({"delivery_mode": 256}), not("not_int", "delivery_mode")),
            (json!({"priority": 1.5}), not("not_int", "priority")),
            (json!({"priority": -1}), not("not_int", "priority")),
            (json!({"timestamp": "5"}), not("not_int", "timestamp")),
            (json!({"headers": {"a": null}}), HttpError::bad_request("null_not_allowed")),
            (json!({"headers": 5}), HttpError::bad_value("not_an_object", &json!(5))),
            (json!("x"), HttpError::bad_value("not_an_object", &json!("x"))),
        ] {
            assert_eq!(properties_from_json(&properties), Err(expected), "{properties}");
        }
    }
}
