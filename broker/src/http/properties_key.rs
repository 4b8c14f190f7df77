//! What names one binding among those with the same ends: `properties_key`.
//!
//! ```text
//! routing key "a/b"                   a%2Fb
//! no routing key                      ~
//! routing key "rk" and arguments      rk~9QxTzA      (the hash: 32 bits of the arguments, base64url)
//! no routing key, but arguments       ~9QxTzA
//! ```
//!
//! RabbitMQ's hash is one of Erlang terms; ours differs in value, not in form. Nobody can compute it: it is
//! read from a listing and sent back.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{
    http::path::{quote, unquote},
    model::{arguments::Arguments, binding::Binding},
    wire::table::encode_table,
};

const HASH_BYTES: usize = 4;

/// The binding's properties key.
#[must_use]
pub fn properties_key(binding: &Binding) -> String {
    match arguments_hash(&binding.arguments) {
        Some(hash) => format!("{}~{hash}", quote(&binding.binding_key)),
        None if binding.binding_key.is_empty() => "~".to_owned(),
        None => quote(&binding.binding_key),
    }
}

/// Whether a path's segment, decoded, is the binding's properties key. RabbitMQ forgives a key that is less
/// quoted than it should be (`a b` for `a+b`), and so it is here.
#[must_use]
pub fn is_properties_key_of(segment: &str, binding: &Binding) -> bool {
    let (key, hash) = segment.split_once('~').unwrap_or((segment, ""));
    let is_key = matches!(unquote(key), Ok(Some(key)) if key == binding.binding_key.as_str());
    is_key && arguments_hash(&binding.arguments).unwrap_or_default() == hash
}

/// The `Location` of a new binding, relative to the path it was posted to. Quoted once more than a properties
/// key, since a path's segments are decoded once before they are compared.
#[must_use]
pub fn location(binding: &Binding) -> String {
    let key = quote(&properties_key(binding)).replace("%7E", "~");
    format!("{}/{key}", quote(binding.destination.name()))
}

fn arguments_hash(arguments: &Arguments) -> Option<String> {
    let hash =
        || BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(encode_table(arguments.as_table()))[..HASH_BYTES]);
    (!arguments.is_empty()).then(hash)
}

#[cfg(test)]
mod tests {
    use amq_protocol::types::{AMQPValue, FieldTable};

    use super::*;
    use crate::{
        http::path::segments,
        model::{binding::Destination, name::Name},
    };

    fn binding(key: &str, arguments: &[(&str, AMQPValue)]) -> Binding {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        Binding {
            source: Name::literal("x"),
            destination: Destination::Queue(Name::literal("q")),
            binding_key: Name::parse(key).unwrap(),
            arguments: Arguments::from(table),
        }
    }

    #[test]
    fn keys_without_arguments_are_those_of_rabbitmq() {
        for (key, expected, expected_location) in [
            ("", "~", "q/~"),
            ("a", "a", "q/a"),
            ("a.b", "a.b", "q/a.b"),
            ("a/b", "a%2Fb", "q/a%252Fb"),
            ("a b", "a+b", "q/a%2Bb"),
            ("ñ", "%C3%B1", "q/%25C3%25B1"),
            ("a%b", "a%25b", "q/a%2525b"),
            ("~", "%7E", "q/%257E"),
            ("+", "%2B", "q/%252B"),
            ("a=b&c", "a%3Db%26c", "q/a%253Db%2526c"),
        ] {
            assert_eq!(properties_key(&binding(key, &[])), expected);
            assert_eq!(location(&binding(key, &[])), expected_location);
        }
    }

    #[test]
    fn arguments_add_six_letters_that_depend_on_values_and_types() {
        let keys = [
            properties_key(&binding("rk", &[("n", AMQPValue::LongInt(1))])),
            properties_key(&binding("rk", &[("n", AMQPValue::LongLongInt(1))])),
            properties_key(&binding("rk", &[("n", AMQPValue::LongLongInt(2))])),
            properties_key(&binding("rk", &[("m", AMQPValue::LongInt(1))])),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert_eq!((key.len(), &key[..3]), (9, "rk~"));
            assert!(!keys[..index].contains(key));
        }
        assert!(properties_key(&binding("", &[("n", AMQPValue::Void)])).starts_with('~'));
    }

    #[test]
    fn location_leads_back_to_its_binding_alone() {
        let arguments = [("n", AMQPValue::Boolean(true))];
        let keys = ["", "a", "a b", "a+b", "a/b", "a%20b", "~", "a~b", "~~", "ñ", "%7E"];
        let bindings: Vec<Binding> =
            keys.iter().flat_map(|key| [binding(key, &[]), binding(key, &arguments)]).collect();
        for (index, one) in bindings.iter().enumerate() {
            let names = segments(&location(one)).unwrap();
            let found: Vec<usize> = (0..bindings.len())
                .filter(|&other| is_properties_key_of(&names[1], &bindings[other]))
                .collect();
            assert_eq!(found, [index], "{names:?}");
            assert!(is_properties_key_of(&properties_key(one), one));
        }
    }

    #[test]
    fn less_quoted_keys_are_understood() {
        for segment in ["a b", "a+b", "a%20b"] {
            assert!(is_properties_key_of(segment, &binding("a b", &[])), "{segment}");
        }
        assert!(!is_properties_key_of("%zz", &binding("%zz", &[])));
        assert!(!is_properties_key_of("a~b", &binding("a", &[])));
    }
}
