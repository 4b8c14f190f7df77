//! What a policy sets: keys and values, checked with RabbitMQ's texts.

use std::fmt;

use amq_protocol::types::{AMQPValue, FieldTable};

use super::PolicyKind;
use crate::model::arguments::{Arguments, erlang_term, integer};

/// Keys with values that are known and can be.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyDefinition(Arguments);

/// Why there is no such definition, in RabbitMQ's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionError(String);

/// A key: whether a value can be, and what is said of one that can't, around the value.
struct Key {
    name: &'static str,
    /// Operator policies may have it, too.
    is_for_operators: bool,
    check: fn(&AMQPValue) -> bool,
    refusal: &'static str,
}

/// All keys but those of mirrored queues, sorted: RabbitMQ looks at them in this order.
const KEYS: [Key; 22] = [
    key("alternate-exchange", is_text, " is not a valid alternate exchange name"),
    key("consumer-timeout", is_natural, " is not a valid consumer timeout"),
    key("dead-letter-exchange", is_text, " is not a valid dead letter exchange name"),
    key("dead-letter-routing-key", is_text, " is not a valid dead letter routing key"),
    key(
        "dead-letter-strategy",
        |value| is_one_of(value, &["at-most-once", "at-least-once"]),
        " is not a valid dead letter strategy",
    ),
    key("delivery-limit", is_natural, " is not a valid delivery limit").for_operators(),
    key("expires", is_positive, " is not a valid queue expiry").for_operators(),
    key("initial-cluster-size", is_natural, " is not a valid cluster size"),
    key("max-age", is_age, " is not a valid max age"),
    key("max-in-memory-bytes", is_natural, " is not a valid maximum memory in bytes").for_operators(),
    key("max-in-memory-length", is_natural, " is not a valid maximum memory in bytes").for_operators(),
    key("max-length", is_natural, " is not a valid maximum length").for_operators(),
    key("max-length-bytes", is_natural, " is not a valid maximum length in bytes").for_operators(),
    key("message-ttl", is_natural, " is not a valid message TTL").for_operators(),
    key(
        "overflow",
        |value| is_one_of(value, &["drop-head", "reject-publish", "reject-publish-dlx"]),
        " is not a valid overflow value",
    )
    .for_operators(),
    key(
        "queue-leader-locator",
        |value| is_one_of(value, &["client-local", "balanced", "random", "least-leaders"]),
        " is not a valid queue leader locator value",
    ),
    key(
        "queue-master-locator",
        |value| is_one_of(value, &["client-local", "min-masters", "random"]),
        " invalid queue-master-locator value",
    ),
    key("queue-mode", |value| is_one_of(value, &["default", "lazy"]), " is not a valid queue-mode value"),
    key(
        "queue-version",
        |value| matches!(integer(value), Some(1 | 2)),
        " is not a valid queue-version value",
    )
    .for_operators(),
    key(
        "stream-filter-size-bytes",
        |value| integer(value).is_some_and(|size| (16..=255).contains(&size)),
        " is not a valid filter size",
    ),
    key("stream-max-segment-size-bytes", is_natural, " is not a valid segment size"),
    key("target-group-size", is_natural, " is not a valid target group size").for_operators(),
];

/// Keys that are kept and shown, and do nothing here.
const WITHOUT_EFFECT: [&str; 6] = [
    "dead-letter-strategy",
    "max-age",
    "max-in-memory-bytes",
    "max-in-memory-length",
    "stream-filter-size-bytes",
    "stream-max-segment-size-bytes",
];

/// What mirrored queues had; there is one node.
const MIRRORING: &str = "ha-";

/// Numbers of which the smallest counts, whoever set it.
const LIMITS: [&str; 8] = [
    "consumer-timeout",
    "delivery-limit",
    "expires",
    "max-in-memory-bytes",
    "max-in-memory-length",
    "max-length",
    "max-length-bytes",
    "message-ttl",
];

impl PolicyDefinition {
    /// Checks keys and values.
    pub fn parse(kind: PolicyKind, definition: Arguments) -> Result<Self, DefinitionError> {
        if definition.is_empty() {
            return Err(DefinitionError("no policy provided".to_owned()));
        }
        if kind == PolicyKind::User {
            check_mirroring(&definition)?;
        }
        let mut unknown = Vec::new();
        for (name, value) in definition.iter() {
            let known = KEYS.iter().find(|key| key.name == name);
            match known.filter(|key| kind == PolicyKind::User || key.is_for_operators) {
                Some(key) if (key.check)(value) => {}
                Some(key) => return Err(DefinitionError(term(value) + key.refusal)),
                None if kind == PolicyKind::User && is_mirroring(name) => {}
                None => unknown.push(format!("{{<<{name:?}>>,{}}}", term(value))),
            }
        }
        if unknown.is_empty() {
            return Ok(Self(definition));
        }
        Err(DefinitionError(format!("[{}] are not recognised policy settings", unknown.join(","))))
    }

    /// Keys and values.
    #[must_use]
    pub fn arguments(&self) -> &Arguments {
        &self.0
    }

    /// The keys that whoever sets the policy may count on and that do nothing, for a line in the log.
    #[must_use]
    pub fn keys_without_effect(&self) -> Vec<&str> {
        let keys = self.0.iter().map(|(key, _)| key);
        keys.filter(|key| WITHOUT_EFFECT.contains(key) || key.starts_with(MIRRORING)).collect()
    }
}

impl DefinitionError {
    /// That something is no object.
    #[must_use]
    pub fn no_dictionary(value: &AMQPValue) -> Self {
        Self(format!("definition must be a dictionary: {}", term(value)))
    }
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A policy's and an operator policy's definition together: the smaller limit, and else the operator's word.
pub(super) fn with_operator(policy: &Arguments, operator: &Arguments) -> Arguments {
    let mut table = policy.as_table().clone();
    for (key, value) in operator.iter() {
        let is_weaker = LIMITS.contains(&key) && policy.integer(key) < integer(value);
        if policy.value(key).is_none() || !is_weaker {
            table.insert(key.into(), value.clone());
        }
    }
    table.into()
}

/// A definition and declared arguments together: the smaller limit, and else the argument.
pub(super) fn with_arguments(definition: &Arguments, declared: &Arguments) -> Arguments {
    let mut table = declared.as_table().clone();
    for (key, value) in definition.iter() {
        let argument = format!("x-{key}");
        let is_stronger = LIMITS.contains(&key) && integer(value) < declared.integer(&argument);
        if declared.value(&argument).is_none() || is_stronger {
            table.insert(argument.into(), value.clone());
        }
    }
    table.into()
}

const fn key(name: &'static str, check: fn(&AMQPValue) -> bool, refusal: &'static str) -> Key {
    Key { name, is_for_operators: false, check, refusal }
}

impl Key {
    const fn for_operators(mut self) -> Self {
        self.is_for_operators = true;
        self
    }
}

fn is_text(value: &AMQPValue) -> bool {
    matches!(value, AMQPValue::LongString(_))
}

fn is_natural(value: &AMQPValue) -> bool {
    integer(value).is_some_and(|number| number >= 0)
}

fn is_positive(value: &AMQPValue) -> bool {
    integer(value).is_some_and(|number| number > 0)
}

fn is_one_of(value: &AMQPValue, words: &[&str]) -> bool {
    matches!(value, AMQPValue::LongString(text) if words.iter().any(|word| word.as_bytes() == text.as_bytes()))
}

/// A number and a unit: `7D`.
fn is_age(value: &AMQPValue) -> bool {
    let AMQPValue::LongString(text) = value else { return false };
    match text.as_bytes().split_last() {
        Some((unit, digits)) => {
            b"YMDhms".contains(unit) && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
        }
        None => false,
    }
}

fn is_mirroring(name: &str) -> bool {
    [
        "ha-mode",
        "ha-params",
        "ha-sync-mode",
        "ha-sync-batch-size",
        "ha-promote-on-shutdown",
        "ha-promote-on-failure",
    ]
    .contains(&name)
}

/// What RabbitMQ says of the keys of mirrored queues, which belong together.
fn check_mirroring(definition: &Arguments) -> Result<(), DefinitionError> {
    let refuse = |text: String| Err(DefinitionError(text));
    let Some(mode) = definition.value("ha-mode") else {
        return match definition.iter().any(|(key, _)| is_mirroring(key)) {
            true => refuse(
                "ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown"
                    .to_owned(),
            ),
            false => Ok(()),
        };
    };
    let params = definition.value("ha-params");
    let given = params.map_or("none".to_owned(), term);
    match (definition.text("ha-mode"), params) {
        (Some("all"), None) => {}
        (Some("all"), Some(_)) => return refuse("ha-mode=\"all\" does not take parameters".to_owned()),
        (Some("exactly"), Some(count)) if is_positive(count) => {}
        (Some("exactly"), _) => {
            return refuse(format!("ha-mode=\"exactly\" takes an integer, {given} given"));
        }
        (Some("nodes"), Some(AMQPValue::FieldArray(nodes))) if nodes.as_slice().is_empty() => {
            return refuse("ha-mode=\"nodes\" list must be non-empty".to_owned());
        }
        (Some("nodes"), Some(AMQPValue::FieldArray(nodes))) if nodes.as_slice().iter().all(is_text) => {}
        (Some("nodes"), _) => {
            return refuse(format!("ha-mode=\"nodes\" takes a list of strings, {given} given"));
        }
        _ => return refuse(format!("{} is not a valid ha-mode value", term(mode))),
    }
    for (key, words, text) in [
        ("ha-sync-mode", ["manual", "automatic"], "ha-sync-mode must be \"manual\" or \"automatic\", got "),
        (
            "ha-promote-on-shutdown",
            ["always", "when-synced"],
            "ha-promote-on-shutdown must be \"always\" or \"when-synced\", got ",
        ),
        (
            "ha-promote-on-failure",
            ["always", "when-synced"],
            "ha-promote-on-failure must be \"always\" or \"when-synced\", got ",
        ),
    ] {
        if let Some(value) = definition.value(key).filter(|value| !is_one_of(value, &words)) {
            return refuse(text.to_owned() + &term(value));
        }
    }
    match definition.value("ha-sync-batch-size").filter(|size| !is_positive(size)) {
        Some(size) => {
            refuse(format!("ha-sync-batch-size takes an integer greater than 0, {} given", term(size)))
        }
        None => Ok(()),
    }
}

/// A value that came as JSON, as Erlang shows it.
fn term(value: &AMQPValue) -> String {
    match value {
        AMQPValue::Void => "null".to_owned(),
        AMQPValue::FieldArray(array) => {
            format!("[{}]", array.as_slice().iter().map(term).collect::<Vec<_>>().join(","))
        }
        AMQPValue::FieldTable(table) => map_term(table),
        other => erlang_term(other),
    }
}

fn map_term(table: &FieldTable) -> String {
    let entries =
        table.inner().iter().map(|(key, value)| format!("<<{:?}>> => {}", key.as_str(), term(value)));
    format!("#{{{}}}", entries.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use amq_protocol::types::FieldArray;

    use super::*;

    fn parse(kind: PolicyKind, pairs: &[(&str, AMQPValue)]) -> Result<PolicyDefinition, String> {
        let mut table = FieldTable::default();
        for (key, value) in pairs {
            table.insert((*key).into(), value.clone());
        }
        PolicyDefinition::parse(kind, table.into()).map_err(|error| error.to_string())
    }

    fn number(number: i64) -> AMQPValue {
        AMQPValue::LongLongInt(number)
    }

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    #[test]
    fn keys_are_sorted() {
        assert!(KEYS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn what_cannot_be_is_refused_in_rabbitmqs_words() {
        let list = AMQPValue::FieldArray(FieldArray::from(vec![number(1)]));
        for (key, value, reason) in [
            ("message-ttl", number(-1), "-1 is not a valid message TTL"),
            ("message-ttl", AMQPValue::Double(1.5), "1.5 is not a valid message TTL"),
            ("message-ttl", list, "[1] is not a valid message TTL"),
            ("expires", number(0), "0 is not a valid queue expiry"),
            ("max-length", AMQPValue::Void, "null is not a valid maximum length"),
            ("max-length-bytes", AMQPValue::Boolean(true), "true is not a valid maximum length in bytes"),
            ("max-in-memory-length", number(-1), "-1 is not a valid maximum memory in bytes"),
            ("dead-letter-exchange", number(5), "5 is not a valid dead letter exchange name"),
            ("overflow", text("foo"), "<<\"foo\">> is not a valid overflow value"),
            ("queue-version", text("2"), "<<\"2\">> is not a valid queue-version value"),
            ("queue-master-locator", text("foo"), "<<\"foo\">> invalid queue-master-locator value"),
            ("max-age", text("5"), "<<\"5\">> is not a valid max age"),
            ("max-priority", number(5), "[{<<\"max-priority\">>,5}] are not recognised policy settings"),
            ("ha-mode", text("foo"), "<<\"foo\">> is not a valid ha-mode value"),
            ("ha-mode", text("exactly"), "ha-mode=\"exactly\" takes an integer, none given"),
            (
                "ha-sync-mode",
                text("automatic"),
                "ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown",
            ),
        ] {
            assert_eq!(parse(PolicyKind::User, &[(key, value)]), Err(reason.to_owned()));
        }
        assert_eq!(parse(PolicyKind::User, &[]), Err("no policy provided".to_owned()));
        let unknown = [("foo", number(1)), ("bar", text("x"))];
        assert_eq!(
            parse(PolicyKind::User, &unknown),
            Err("[{<<\"bar\">>,<<\"x\">>},{<<\"foo\">>,1}] are not recognised policy settings".to_owned())
        );
    }

    #[test]
    fn operators_have_fewer_keys() {
        for (key, value, is_for_operators) in [
            ("message-ttl", number(1), true),
            ("overflow", text("drop-head"), true),
            ("dead-letter-exchange", text("x"), false),
            ("ha-mode", text("all"), false),
            ("max-age", text("7D"), false),
        ] {
            let pairs = [(key, value)];
            assert!(parse(PolicyKind::User, &pairs).is_ok(), "{key}");
            assert_eq!(parse(PolicyKind::Operator, &pairs).is_ok(), is_for_operators, "{key}");
        }
    }

    #[test]
    fn keys_without_effect_are_named() {
        let pairs = [
            ("ha-mode", text("all")),
            ("max-length", number(1)),
            ("dead-letter-strategy", text("at-most-once")),
        ];
        let definition = parse(PolicyKind::User, &pairs).unwrap();
        assert_eq!(definition.keys_without_effect(), ["dead-letter-strategy", "ha-mode"]);
    }
}
