//! Request bodies: one JSON object, its fields read leniently as RabbitMQ does.

use serde_json::{Map, Value};

use crate::{
    http::{HttpError, json::arguments_from_json},
    model::arguments::Arguments,
};

/// Above this many letters Erlang's printer, whose output clients know, puts each entry of a list on a line.
const REASON_WIDTH: usize = 80;

/// The object of a request body, or of something in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestBody(Map<String, Value>);

impl From<Map<String, Value>> for RequestBody {
    fn from(fields: Map<String, Value>) -> Self {
        Self(fields)
    }
}

impl RequestBody {
    /// Reads the body. An empty one and `null` are an object without fields.
    pub fn parse(bytes: &[u8]) -> Result<Self, HttpError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(Value::Null) => Ok(Self::default()),
            Ok(Value::String(_)) => Err(HttpError::bad_request(
                "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?",
            )),
            Ok(_) | Err(_) => Err(HttpError::bad_request("not_json")),
        }
    }

    /// The field as it came.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// All fields, in the order sent.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Refuses a body in which some of `fields` are missing, naming all of those.
    pub fn require(&self, fields: &[&str]) -> Result<(), HttpError> {
        let missing: Vec<String> = fields
            .iter()
            .filter(|field| !self.0.contains_key(**field))
            .map(|field| format!("{{key_missing,{field}}}"))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let line = format!("[{}]", missing.join(","));
        let is_long = line.len() > REASON_WIDTH;
        Err(HttpError::bad_request(if is_long { format!("[{}]", missing.join(",\n ")) } else { line }))
    }

    /// A flag: `true`, `false`, or either as a text. False when absent.
    pub fn flag(&self, field: &str) -> Result<bool, HttpError> {
        match self.value(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(HttpError::bad_value("not_boolean", other)),
        }
    }

    /// An integer, or one as a text. None when absent.
    pub fn integer(&self, field: &str) -> Result<Option<i64>, HttpError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let integer = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        integer.map(Some).ok_or_else(|| HttpError::bad_value("not_integer", value))
    }

    /// A text. None when absent.
    pub fn text(&self, field: &str) -> Result<Option<&str>, HttpError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(HttpError::bad_value("not_string", other)),
        }
    }

    /// The `arguments`. Empty when absent.
    pub fn arguments(&self) -> Result<Arguments, HttpError> {
        self.value("arguments").map_or(Ok(Arguments::default()), arguments_from_json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(text: &str) -> RequestBody {
        RequestBody::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn nothing_and_null_are_objects_without_fields() {
        for text in ["", "null", "{}", " {} "] {
            assert_eq!(body(text), RequestBody::default(), "{text}");
        }
    }

    #[test]
    fn other_bodies_are_refused() {
        for text in ["{bad", "[]", "5", "{} trailing", "{\"a\":1", " ", "{\"a\":1e400}"] {
            assert_eq!(
                RequestBody::parse(text.as_bytes()),
                Err(HttpError::bad_request("not_json")),
                "{text}"
            );
        }
        assert_eq!(RequestBody::parse(b"\xff"), Err(HttpError::bad_request("not_json")));
        let HttpError::BadRequest(reason) = RequestBody::parse(b"\"{}\"").unwrap_err() else { panic!() };
        assert!(reason.as_str().unwrap().ends_with("Is the input doubly-JSON-encoded?"));
    }

    #[test]
    fn flags_may_be_texts() {
        let body = body(r#"{"a":true,"b":"true","c":"false","d":"True","e":1,"f":null}"#);
        assert_eq!(
            ["a", "b", "c", "none"].map(|field| body.flag(field).unwrap()),
            [true, true, false, false]
        );
        for (field, value) in [("d", json!("True")), ("e", json!(1)), ("f", json!(null))] {
            assert_eq!(body.flag(field), Err(HttpError::bad_value("not_boolean", &value)));
        }
    }

    #[test]
    fn integers_may_be_texts() {
        let body = body(r#"{"a":5,"b":"-5","c":"x","d":1.5}"#);
        assert_eq!(body.integer("a"), Ok(Some(5)));
        assert_eq!(body.integer("b"), Ok(Some(-5)));
        assert_eq!(body.integer("none"), Ok(None));
        assert_eq!(body.integer("c"), Err(HttpError::bad_value("not_integer", &json!("x"))));
        assert_eq!(body.integer("d"), Err(HttpError::bad_value("not_integer", &json!(1.5))));
    }

    #[test]
    fn missing_fields_are_named_together() {
        let body = body(r#"{"payload":"x"}"#);
        assert_eq!(body.require(&["payload"]), Ok(()));
        assert_eq!(
            body.require(&["ackmode", "count", "encoding"]),
            Err(HttpError::bad_request("[{key_missing,ackmode},{key_missing,count},{key_missing,encoding}]"))
        );
        assert_eq!(
            body.require(&["routing_key", "properties", "payload", "payload_encoding"]),
            Err(HttpError::bad_request(
                "[{key_missing,routing_key},\n {key_missing,properties},\n {key_missing,payload_encoding}]"
            ))
        );
    }

    #[test]
    fn texts_and_arguments() {
        let body = body(r#"{"a":"x","b":5,"arguments":{"x-max-length":5}}"#);
        assert_eq!(body.text("a"), Ok(Some("x")));
        assert_eq!(body.text("none"), Ok(None));
        assert_eq!(body.text("b"), Err(HttpError::bad_value("not_string", &json!(5))));
        assert!(body.arguments().unwrap().value("x-max-length").is_some());
        assert_eq!(RequestBody::default().arguments(), Ok(Arguments::default()));
    }
}
