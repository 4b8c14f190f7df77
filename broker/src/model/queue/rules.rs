//! What a queue does by its arguments: parsed once, with RabbitMQ's reasons for what can't be.

use std::sync::{Arc, LazyLock};

use amq_protocol::types::AMQPValue;

use super::{
    Entry,
    options::{QueueOptionsError, QueueType},
};
use crate::model::{
    arguments::{Arguments, integer, type_name},
    dead_letter::{DeadLetterTarget, with_count_header, without_header},
    message::Message,
    name::Name,
};

/// Effects of a queue's arguments. None of them costs a queue anything that does not have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueRules {
    /// `x-message-ttl`: so long a message may wait, milliseconds.
    pub message_ttl: Option<u64>,
    /// `x-expires`: so long the queue may be unused, milliseconds.
    pub expires: Option<u64>,
    /// `x-max-length`: so many messages may wait.
    pub max_length: Option<u64>,
    /// `x-max-length-bytes`: so large their bodies may be, together.
    pub max_length_bytes: Option<u64>,
    /// `x-overflow`: what gives way then.
    pub overflow: Overflow,
    /// `x-dead-letter-exchange` and `-routing-key`.
    pub dead_letters: Option<DeadLetterTarget>,
    /// `x-max-priority`: messages are ordered by their priority up to this.
    pub max_priority: Option<u8>,
    /// `x-single-active-consumer`
    pub is_single_active: bool,
    /// `x-delivery-limit`: so often a message may come back.
    pub delivery_limit: Option<u32>,
    /// `x-consumer-timeout`: so long a delivery may be unsettled, milliseconds.
    pub consumer_timeout: Option<u64>,
    /// Deliveries say how often the message came back before (`x-delivery-count`).
    pub counts_deliveries: bool,
}

/// What gives way when a queue is as long as it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The next message.
    #[default]
    DropHead,
    /// The new message: its publisher gets a nack.
    RejectPublish,
    /// The new message likewise; it is dead-lettered, too.
    RejectPublishDeadLetter,
}

/// Longest time that an argument may name: ten years, milliseconds.
const MILLIS_MAX: i64 = 315_360_000_000;
/// How often a message of a quorum queue may come back, unless an argument says otherwise (RabbitMQ 4.0).
const QUORUM_DELIVERY_LIMIT: u32 = 20;
/// The header with how often a message came back.
const DELIVERY_COUNT: &str = "x-delivery-count";

impl QueueRules {
    /// Queues without rules share theirs.
    #[must_use]
    pub fn shared(self) -> Arc<Self> {
        static NONE: LazyLock<Arc<QueueRules>> = LazyLock::new(Arc::default);
        if self == **NONE { Arc::clone(&NONE) } else { Arc::new(self) }
    }

    /// The rules of arguments that [`check`] passed.
    #[must_use]
    pub fn parse(arguments: &Arguments, queue_type: QueueType) -> Self {
        let number = |key| arguments.integer(key).and_then(|value| u64::try_from(value).ok());
        let name = |key| arguments.text(key).and_then(|text| Name::parse(text).ok());
        let max_priority = number("x-max-priority").filter(|levels| *levels > 0);
        let dead_letters = name("x-dead-letter-exchange").map(|exchange| {
            let routing_key = name("x-dead-letter-routing-key");
            DeadLetterTarget { exchange, routing_key }
        });
        let is_quorum = queue_type == QueueType::Quorum;
        let delivery_limit = match arguments.integer("x-delivery-limit") {
            Some(limit) => u32::try_from(limit).ok(),
            None => is_quorum.then_some(QUORUM_DELIVERY_LIMIT),
        };
        Self {
            message_ttl: number("x-message-ttl"),
            expires: number("x-expires"),
            max_length: number("x-max-length"),
            max_length_bytes: number("x-max-length-bytes"),
            overflow: match arguments.text("x-overflow") {
                Some("reject-publish") => Overflow::RejectPublish,
                // RabbitMQ's quorum queues take this word, too, and drop the head.
                Some("reject-publish-dlx") if !is_quorum => Overflow::RejectPublishDeadLetter,
                _ => Overflow::DropHead,
            },
            dead_letters,
            max_priority: max_priority.and_then(|levels| u8::try_from(levels).ok()),
            is_single_active: arguments.value("x-single-active-consumer") == Some(&AMQPValue::Boolean(true)),
            delivery_limit,
            consumer_timeout: number("x-consumer-timeout"),
            counts_deliveries: is_quorum || delivery_limit.is_some(),
        }
    }

    /// The entry as it is delivered: its message says how often it came back, where that counts.
    #[must_use]
    pub(super) fn with_count(&self, mut entry: Entry) -> Entry {
        if self.counts_deliveries && entry.delivery_count > 0 {
            let counted = with_count_header(&entry.message, DELIVERY_COUNT, entry.delivery_count);
            entry.message = counted.unwrap_or(entry.message);
        }
        entry
    }

    /// The message without what [`QueueRules::with_count`] added.
    #[must_use]
    pub(super) fn without_count(&self, message: Message) -> Message {
        match self.counts_deliveries {
            true => without_header(&message, DELIVERY_COUNT).unwrap_or(message),
            false => message,
        }
    }

    /// Whether there is a limit for what waits.
    #[must_use]
    pub fn has_length_limit(&self) -> bool {
        self.max_length.is_some() || self.max_length_bytes.is_some()
    }

    /// Whether a publisher may get a nack.
    #[must_use]
    pub fn may_refuse(&self) -> bool {
        self.has_length_limit() && self.overflow != Overflow::DropHead
    }

    /// Whether so much is more than may wait.
    #[must_use]
    pub fn is_exceeded_by(&self, count: u64, bytes: u64) -> bool {
        self.max_length.is_some_and(|max| count > max) || self.max_length_bytes.is_some_and(|max| bytes > max)
    }
}

/// An argument and what it may be: a reason if a value is not.
type Check = (&'static str, fn(&AMQPValue) -> Result<(), String>);

/// In the order in which RabbitMQ looks.
const CHECKS: [Check; 17] = [
    ("x-expires", |value| positive(value).and_then(|()| millis(value))),
    ("x-message-ttl", millis),
    ("x-dead-letter-routing-key", text),
    ("x-dead-letter-strategy", |value| {
        one_of(value, &["at-most-once", "at-least-once"], |_| "invalid_dlx_strategy".to_owned())
    }),
    ("x-max-length", natural),
    ("x-max-length-bytes", natural),
    ("x-max-in-memory-length", natural),
    ("x-max-in-memory-bytes", natural),
    ("x-max-priority", |value| {
        natural(value)?;
        match integer(value) {
            Some(levels) if levels > i64::from(u8::MAX) => Err(format!("{{max_value_exceeded,{levels}}}")),
            _ => Ok(()),
        }
    }),
    ("x-overflow", |value| {
        one_of(value, &["drop-head", "reject-publish", "reject-publish-dlx"], |_| {
            "invalid_overflow".to_owned()
        })
    }),
    ("x-queue-mode", |value| {
        one_of(value, &["default", "lazy"], |mode| format!("\"unsupported queue mode '{mode}'\""))
    }),
    ("x-queue-version", |value| {
        natural(value)?;
        match integer(value) {
            Some(1 | 2) => Ok(()),
            version => Err(format!("\"unsupported queue version '{}'\"", version.unwrap_or_default())),
        }
    }),
    ("x-single-active-consumer", |value| match value {
        AMQPValue::Boolean(_) => Ok(()),
        _ => Err(unacceptable(value)),
    }),
    ("x-consumer-timeout", |value| positive(value).and_then(|()| millis(value))),
    ("x-quorum-initial-group-size", positive),
    ("x-quorum-target-group-size", positive),
    ("x-initial-cluster-size", positive),
];

/// Whether all arguments may be; RabbitMQ asks for the exchange's type before all others.
pub(super) fn check(arguments: &Arguments) -> Result<(), QueueOptionsError> {
    if let Some(exchange) = arguments.value("x-dead-letter-exchange")
        && !is_text(exchange)
    {
        return Err(QueueOptionsError::Type("x-dead-letter-exchange", type_name(exchange)));
    }
    for (argument, check) in CHECKS {
        let Some(value) = arguments.value(argument) else { continue };
        check(value).map_err(|reason| QueueOptionsError::Value(argument, reason))?;
        if argument == "x-dead-letter-routing-key" && arguments.value("x-dead-letter-exchange").is_none() {
            let reason = "routing_key_but_no_dlx_defined".to_owned();
            return Err(QueueOptionsError::Value(argument, reason));
        }
    }
    Ok(())
}

/// Whether the arguments of a consumer may be.
pub fn check_consumer(arguments: &Arguments) -> Result<(), QueueOptionsError> {
    match arguments.value("x-priority") {
        Some(value) if integer(value).is_none() => {
            Err(QueueOptionsError::Value("x-priority", no_integer(value)))
        }
        _ => Ok(()),
    }
}

fn no_integer(value: &AMQPValue) -> String {
    format!("\"expected integer, got {}\"", type_name(value))
}

fn natural(value: &AMQPValue) -> Result<(), String> {
    match integer(value) {
        Some(number) if number < 0 => Err(format!("{{value_negative,{number}}}")),
        Some(_) => Ok(()),
        None => Err(no_integer(value)),
    }
}

fn positive(value: &AMQPValue) -> Result<(), String> {
    natural(value)?;
    match integer(value) {
        Some(0) => Err("{value_zero,0}".to_owned()),
        _ => Ok(()),
    }
}

fn millis(value: &AMQPValue) -> Result<(), String> {
    natural(value)?;
    match integer(value) {
        Some(number) if number > MILLIS_MAX => Err(format!("{{value_too_large,{number}}}")),
        _ => Ok(()),
    }
}

fn text(value: &AMQPValue) -> Result<(), String> {
    if is_text(value) { Ok(()) } else { Err(unacceptable(value)) }
}

fn one_of(value: &AMQPValue, words: &[&str], refusal: fn(&str) -> String) -> Result<(), String> {
    let text = match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()),
        AMQPValue::ShortString(text) => text.as_str().into(),
        _ => return Err(unacceptable(value)),
    };
    if words.contains(&&*text) { Ok(()) } else { Err(refusal(&text)) }
}

fn is_text(value: &AMQPValue) -> bool {
    matches!(value, AMQPValue::LongString(_) | AMQPValue::ShortString(_))
}

fn unacceptable(value: &AMQPValue) -> String {
    format!("{{unacceptable_type,{}}}", type_name(value))
}

#[cfg(test)]
mod tests {
    use amq_protocol::types::FieldTable;

    use super::*;
    use crate::model::queue::QueueOptions;

    fn options(pairs: &[(&str, AMQPValue)]) -> Result<QueueRules, String> {
        let mut table = FieldTable::default();
        for (key, value) in pairs {
            table.insert((*key).into(), value.clone());
        }
        let options = QueueOptions::parse("q", true, false, false, table.into());
        options.map(|options| QueueRules::clone(&options.rules)).map_err(|error| error.text("q", "/"))
    }

    fn long(value: &str) -> AMQPValue {
        AMQPValue::LongString(value.into())
    }

    #[test]
    fn what_cannot_be_is_refused_in_rabbitmqs_words() {
        let number = AMQPValue::LongInt;
        for (argument, value, reason) in [
            ("x-expires", number(0), "{value_zero,0}"),
            ("x-expires", number(-1), "{value_negative,-1}"),
            ("x-expires", long("abc"), "\"expected integer, got longstr\""),
            ("x-message-ttl", number(-1), "{value_negative,-1}"),
            ("x-message-ttl", AMQPValue::LongLongInt(315_360_000_001), "{value_too_large,315360000001}"),
            ("x-max-length", AMQPValue::Boolean(true), "\"expected integer, got bool\""),
            ("x-max-length-bytes", number(-7), "{value_negative,-7}"),
            ("x-max-priority", number(256), "{max_value_exceeded,256}"),
            ("x-overflow", long("foo"), "invalid_overflow"),
            ("x-overflow", number(5), "{unacceptable_type,signedint}"),
            ("x-queue-mode", long("foo"), "\"unsupported queue mode 'foo'\""),
            ("x-queue-version", number(5), "\"unsupported queue version '5'\""),
            ("x-single-active-consumer", number(1), "{unacceptable_type,signedint}"),
            ("x-dead-letter-routing-key", number(5), "{unacceptable_type,signedint}"),
            ("x-dead-letter-routing-key", long("k"), "routing_key_but_no_dlx_defined"),
        ] {
            let text = format!("invalid arg '{argument}' for queue 'q' in vhost '/': {reason}");
            assert_eq!(options(&[(argument, value)]), Err(text));
        }
        let text = "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'";
        assert_eq!(options(&[("x-dead-letter-exchange", number(5))]), Err(text.to_owned()));
    }

    #[test]
    fn rules_follow_from_arguments() {
        let none = QueueRules::default();
        assert_eq!(options(&[]), Ok(none.clone()));
        assert_eq!(options(&[("x-max-priority", AMQPValue::LongInt(0))]), Ok(none.clone()));
        let limits = [("x-max-length", AMQPValue::ShortShortUInt(3)), ("x-overflow", long("reject-publish"))];
        let rules = options(&limits).unwrap();
        assert!(rules.may_refuse() && rules.is_exceeded_by(4, 0) && !rules.is_exceeded_by(3, u64::MAX));
        let quorum = ("x-queue-type", long("quorum"));
        assert_eq!(options(std::slice::from_ref(&quorum)).unwrap().delivery_limit, Some(20));
        let unlimited = ("x-delivery-limit", AMQPValue::LongInt(-1));
        assert_eq!(options(&[quorum, unlimited]).unwrap().delivery_limit, None);
    }
}
