//! What a queue was declared with: parsed once, compared on every redeclare.

use std::{fmt, sync::Arc};

use amq_protocol::types::AMQPValue;

use super::rules::{self, QueueRules};
use crate::model::arguments::{Arguments, integer, type_name};

/// The argument that says of which kind a queue is.
pub const QUEUE_TYPE: &str = "x-queue-type";

/// The kind of a queue (`x-queue-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueType {
    /// The default.
    Classic,
    /// RabbitMQ's replicated queue; here the same engine on one node with its rules.
    Quorum,
}

impl QueueType {
    /// The name in `x-queue-type` and in tools.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }

    /// RabbitMQ's module name, which its error texts show.
    fn module(self) -> &'static str {
        match self {
            Self::Classic => "rabbit_classic_queue",
            Self::Quorum => "rabbit_quorum_queue",
        }
    }
}

/// A queue's definition. Durable when `is_durable`; an exclusive queue never is.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueOptions {
    /// Survives a restart.
    pub is_durable: bool,
    /// Only the declaring connection may use it, and it goes with it.
    pub is_exclusive: bool,
    /// Deleted when its last consumer goes, if it ever had one.
    pub is_auto_delete: bool,
    /// Parsed from `x-queue-type`.
    pub queue_type: QueueType,
    /// As declared.
    pub arguments: Arguments,
    /// What follows from them.
    pub rules: Arc<QueueRules>,
}

/// Why a declaration makes no queue. The text is what follows `PRECONDITION_FAILED - `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueOptionsError {
    /// An argument has a value that it can't have; holds RabbitMQ's reason.
    Value(&'static str, String),
    /// An argument is of this type, which it can't be.
    Type(&'static str, &'static str),
    /// A property that the type can't have (`non-durable`, `exclusive-owner`, `auto-delete`).
    Property(&'static str),
    /// An argument that only other queue types know.
    Argument(&'static str, &'static str),
    /// The broker names classic queues only.
    ServerNamed,
}

impl QueueOptionsError {
    /// RabbitMQ's text for this queue.
    #[must_use]
    pub fn text(&self, queue: &str, vhost: &str) -> String {
        match self {
            Self::Value(argument, reason) => {
                format!("invalid arg '{argument}' for queue '{queue}' in vhost '{vhost}': {reason}")
            }
            Self::Type(argument, type_name) => {
                format!(
                    "invalid type '{type_name}' for arg '{argument}' in queue '{queue}' in vhost '{vhost}'"
                )
            }
            Self::Property(property) => {
                format!("invalid property '{property}' for queue '{queue}' in vhost '{vhost}'")
            }
            Self::Argument(argument, module) => format!(
                "invalid arg '{argument}' for queue '{queue}' in vhost '{vhost}' of queue type {module}"
            ),
            Self::ServerNamed => {
                "Cannot declare a server-named queue for type rabbit_quorum_queue".to_owned()
            }
        }
    }
}

/// The first thing in which a redeclare differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inequivalent {
    /// The property or argument.
    pub argument: String,
    /// What the client sent, as RabbitMQ words it.
    pub received: String,
    /// What the queue has.
    pub current: String,
}

impl fmt::Display for Inequivalent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "received {} but current is {}", self.received, self.current)
    }
}

/// Why a redeclare is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EquivalenceError {
    /// 406, with the difference.
    Different(Inequivalent),
    /// 405: one is exclusive, the other is not.
    ExclusiveDiffers,
}

/// Arguments that a redeclare must repeat.
const COMPARED: [&str; 19] = [
    QUEUE_TYPE,
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-quorum-initial-group-size",
    "x-queue-master-locator",
    "x-queue-leader-locator",
];

/// Arguments that are kept, shown and compared, but do nothing yet.
const WITHOUT_EFFECT: [&str; 1] = ["x-dead-letter-strategy"];

/// Arguments that classic queues do not know.
const UNKNOWN_TO_CLASSIC: [&str; 7] = [
    "x-dead-letter-strategy",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-quorum-initial-group-size",
    "x-initial-cluster-size",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
];

impl QueueOptions {
    /// Parses a declaration. `name` is empty when the broker shall name the queue.
    pub fn parse(
        name: &str,
        is_durable: bool,
        is_exclusive: bool,
        is_auto_delete: bool,
        arguments: Arguments,
    ) -> Result<Self, QueueOptionsError> {
        let options = Self::read(is_durable, is_exclusive, is_auto_delete, arguments)?;
        options.check(name)?;
        Ok(options)
    }

    /// The same, before [`QueueOptions::check`].
    pub fn read(
        is_durable: bool,
        is_exclusive: bool,
        is_auto_delete: bool,
        arguments: Arguments,
    ) -> Result<Self, QueueOptionsError> {
        let queue_type = parse_type(&arguments)?;
        let rules = QueueRules::parse(&arguments, queue_type).shared();
        Ok(Self { is_durable, is_exclusive, is_auto_delete, queue_type, arguments, rules })
    }

    /// Whether there may be a queue like that.
    pub fn check(&self, name: &str) -> Result<(), QueueOptionsError> {
        match self.queue_type {
            QueueType::Quorum => self.check_quorum(name)?,
            QueueType::Classic => self.check_known(&UNKNOWN_TO_CLASSIC)?,
        }
        rules::check(&self.arguments)
    }

    /// The arguments that the declarer may count on and that do nothing yet, for a line in the log.
    #[must_use]
    pub fn arguments_without_effect(&self) -> Vec<&'static str> {
        WITHOUT_EFFECT.into_iter().filter(|key| self.arguments.value(key).is_some()).collect()
    }

    /// Whether a declaration asks for the queue that is there (AMQP 0-9-1 `queue.declare`, RabbitMQ's
    /// property equivalence: <https://www.rabbitmq.com/docs/queues#property-equivalence>).
    pub fn check_equivalent(&self, received: &Self) -> Result<(), EquivalenceError> {
        compare_flag("durable", received.is_durable, self.is_durable)?;
        compare_flag("auto_delete", received.is_auto_delete, self.is_auto_delete)?;
        if received.is_exclusive != self.is_exclusive {
            return Err(EquivalenceError::ExclusiveDiffers);
        }
        if received.queue_type != self.queue_type {
            return Err(EquivalenceError::Different(Inequivalent {
                argument: QUEUE_TYPE.to_owned(),
                received: format!("'{}'", received.queue_type.as_str()),
                current: format!("'{}'", self.queue_type.as_str()),
            }));
        }
        for argument in COMPARED.into_iter().skip(1) {
            let (theirs, ours) = (received.arguments.value(argument), self.arguments.value(argument));
            if !is_same(theirs, ours) {
                return Err(EquivalenceError::Different(different(argument, theirs, ours)));
            }
        }
        Ok(())
    }

    /// <https://www.rabbitmq.com/docs/quorum-queues#feature-comparison>
    fn check_quorum(&self, name: &str) -> Result<(), QueueOptionsError> {
        if name.is_empty() {
            return Err(QueueOptionsError::ServerNamed);
        }
        for (is_wrong, property) in [
            (!self.is_durable, "non-durable"),
            (self.is_exclusive, "exclusive-owner"),
            (self.is_auto_delete, "auto-delete"),
        ] {
            if is_wrong {
                return Err(QueueOptionsError::Property(property));
            }
        }
        self.check_known(&["x-max-priority", "x-queue-mode", "x-queue-version", "x-max-age"])
    }

    fn check_known(&self, unknown: &[&'static str]) -> Result<(), QueueOptionsError> {
        let found = unknown.iter().find(|argument| self.arguments.value(argument).is_some());
        found.map_or(Ok(()), |argument| Err(QueueOptionsError::Argument(argument, self.queue_type.module())))
    }
}

fn parse_type(arguments: &Arguments) -> Result<QueueType, QueueOptionsError> {
    let Some(value) = arguments.value(QUEUE_TYPE) else { return Ok(QueueType::Classic) };
    match arguments.text(QUEUE_TYPE) {
        Some("classic" | "rabbit_classic_queue") => Ok(QueueType::Classic),
        Some("quorum" | "rabbit_quorum_queue") => Ok(QueueType::Quorum),
        Some(other) => {
            Err(QueueOptionsError::Value(QUEUE_TYPE, format!("\"unsupported queue type '{other}'\"")))
        }
        None => {
            Err(QueueOptionsError::Value(QUEUE_TYPE, format!("{{unacceptable_type,{}}}", type_name(value))))
        }
    }
}

fn compare_flag(argument: &str, received: bool, current: bool) -> Result<(), EquivalenceError> {
    if received == current {
        return Ok(());
    }
    Err(EquivalenceError::Different(Inequivalent {
        argument: argument.to_owned(),
        received: format!("'{received}'"),
        current: format!("'{current}'"),
    }))
}

/// Equal in value; integers of any width compare as numbers.
fn is_same(one: Option<&AMQPValue>, other: Option<&AMQPValue>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            one == other || (integer(one).is_some() && integer(one) == integer(other))
        }
        (None, None) => true,
        _ => false,
    }
}

/// RabbitMQ words two values plainly, and a missing one with the other's type.
fn different(argument: &str, received: Option<&AMQPValue>, current: Option<&AMQPValue>) -> Inequivalent {
    let both = received.is_some() && current.is_some();
    let word = |value: Option<&AMQPValue>| match value {
        None => "none".to_owned(),
        Some(value) if both => format!("'{}'", show(value)),
        Some(value) => format!("the value '{}' of type '{}'", show(value), type_name(value)),
    };
    Inequivalent { argument: argument.to_owned(), received: word(received), current: word(current) }
}

fn show(value: &AMQPValue) -> String {
    if let Some(number) = integer(value) {
        return number.to_string();
    }
    match value {
        AMQPValue::Boolean(truth) => truth.to_string(),
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Float(number) => number.to_string(),
        AMQPValue::Double(number) => number.to_string(),
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        other => format!("{other:?}"),
    }
}

impl EquivalenceError {
    /// RabbitMQ's text for this queue.
    #[must_use]
    pub fn text(&self, queue: &str, vhost: &str) -> String {
        match self {
            Self::Different(different) => format!(
                "inequivalent arg '{}' for queue '{queue}' in vhost '{vhost}': {different}",
                different.argument
            ),
            Self::ExclusiveDiffers => locked_text(queue, vhost),
        }
    }
}

/// RabbitMQ's text for another connection's exclusive queue (405).
#[must_use]
pub fn locked_text(queue: &str, vhost: &str) -> String {
    format!(
        "cannot obtain exclusive access to locked queue '{queue}' in vhost '{vhost}'. It could be originally \
         declared on another connection or the exclusive property value does not match that of the original \
         declaration."
    )
}

#[cfg(test)]
mod tests {
    use amq_protocol::types::{FieldTable, LongString};

    use super::*;

    fn arguments(pairs: &[(&str, AMQPValue)]) -> Arguments {
        let mut table = FieldTable::default();
        for (key, value) in pairs {
            table.insert((*key).into(), value.clone());
        }
        table.into()
    }

    fn text(value: &str) -> AMQPValue {
        AMQPValue::LongString(LongString::from(value))
    }

    fn classic(pairs: &[(&str, AMQPValue)]) -> QueueOptions {
        QueueOptions::parse("q", false, false, false, arguments(pairs)).unwrap()
    }

    /// What `check_equivalent` says in RabbitMQ's words.
    fn differs(current: &QueueOptions, received: &QueueOptions) -> String {
        match current.check_equivalent(received) {
            Ok(()) => "same".to_owned(),
            Err(error) => error.text("q", "/"),
        }
    }

    #[test]
    fn types() {
        let of = |value: AMQPValue| {
            QueueOptions::parse("q", true, false, false, arguments(&[("x-queue-type", value)]))
                .map(|options| options.queue_type)
                .map_err(|error| error.text("q", "/"))
        };
        assert_eq!(of(text("classic")), Ok(QueueType::Classic));
        assert_eq!(of(text("quorum")), Ok(QueueType::Quorum));
        assert_eq!(
            of(text("foo")).unwrap_err(),
            "invalid arg 'x-queue-type' for queue 'q' in vhost '/': \"unsupported queue type 'foo'\""
        );
        assert_eq!(
            of(AMQPValue::LongInt(5)).unwrap_err(),
            "invalid arg 'x-queue-type' for queue 'q' in vhost '/': {unacceptable_type,signedint}"
        );
    }

    #[test]
    fn quorum_queues_have_rules() {
        let quorum = |name: &str, durable, exclusive, auto_delete, more: &[(&str, AMQPValue)]| {
            let mut pairs = vec![("x-queue-type", text("quorum"))];
            pairs.extend_from_slice(more);
            QueueOptions::parse(name, durable, exclusive, auto_delete, arguments(&pairs))
                .err()
                .map_or("ok".to_owned(), |error| error.text(name, "/"))
        };
        assert_eq!(quorum("q", true, false, false, &[]), "ok");
        assert_eq!(
            quorum("q", false, false, false, &[]),
            "invalid property 'non-durable' for queue 'q' in vhost '/'"
        );
        assert_eq!(
            quorum("q", true, true, false, &[]),
            "invalid property 'exclusive-owner' for queue 'q' in vhost '/'"
        );
        assert_eq!(
            quorum("q", true, false, true, &[]),
            "invalid property 'auto-delete' for queue 'q' in vhost '/'"
        );
        assert_eq!(
            quorum("q", true, false, false, &[("x-max-priority", AMQPValue::LongInt(3))]),
            "invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue"
        );
        assert_eq!(
            quorum("", true, false, false, &[]),
            "Cannot declare a server-named queue for type rabbit_quorum_queue"
        );
    }

    #[test]
    fn redeclares() {
        let ttl = |value| classic(&[("x-message-ttl", value)]);
        assert_eq!(differs(&ttl(AMQPValue::LongInt(1000)), &ttl(AMQPValue::LongLongInt(1000))), "same");
        assert_eq!(
            differs(&ttl(AMQPValue::LongInt(1000)), &classic(&[])),
            "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but current is the \
             value '1000' of type 'signedint'"
        );
        assert_eq!(
            differs(&classic(&[]), &ttl(AMQPValue::LongLongInt(7))),
            "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received the value '7' of type \
             'long' but current is none"
        );
        assert_eq!(
            differs(&ttl(AMQPValue::LongInt(1000)), &ttl(AMQPValue::LongInt(2000))),
            "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received '2000' but current is \
             '1000'"
        );
        assert_eq!(differs(&classic(&[("x-foo", text("1"))]), &classic(&[])), "same");
        assert_eq!(differs(&classic(&[]), &classic(&[("x-queue-type", text("classic"))])), "same");
        let mut durable = classic(&[]);
        durable.is_durable = true;
        assert_eq!(
            differs(&durable, &classic(&[])),
            "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"
        );
        let mut exclusive = classic(&[]);
        exclusive.is_exclusive = true;
        assert!(differs(&exclusive, &classic(&[])).starts_with("cannot obtain exclusive access"));
    }
}
