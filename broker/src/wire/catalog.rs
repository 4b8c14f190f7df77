//! Every method of AMQP 0-9-1 with RabbitMQ's additions: its ids, name and arguments in wire order.
//!
//! Reserved arguments have an empty name.

use crate::wire::{cursor::Cursor, method::MethodId};

use self::Argument::{Bits, Long, LongLong, LongString, Octet, Short, ShortString, Table};

/// A method's place, name and arguments.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// Class and method id.
    pub id: MethodId,
    /// `class.method`.
    pub name: &'static str,
    /// In wire order.
    pub arguments: &'static [Argument],
}

/// An argument's form on the wire, and its name.
#[derive(Clone, Copy, Debug)]
pub enum Argument {
    /// One octet.
    Octet(&'static str),
    /// Two octets.
    Short(&'static str),
    /// Four octets.
    Long(&'static str),
    /// Eight octets.
    LongLong(&'static str),
    /// One octet of length, then text.
    ShortString(&'static str),
    /// Four octets of length, then bytes.
    LongString(&'static str),
    /// A field table.
    Table(&'static str),
    /// One octet of flags, named from the lowest bit up.
    Bits(&'static [&'static str]),
}

/// An argument's value, borrowed from the method's bytes.
#[derive(Clone, Copy, Debug)]
pub enum ArgumentValue<'a> {
    /// Of one to eight octets.
    Number(u64),
    /// Of a short or long string.
    Bytes(&'a [u8]),
    /// A field table without its length, not checked.
    Table(&'a [u8]),
    /// An octet of flags.
    Bits(u8),
}

impl Signature {
    /// The method with this id.
    #[must_use]
    pub fn of(id: MethodId) -> Option<&'static Self> {
        let index = METHODS.binary_search_by_key(&id, |signature| signature.id).ok()?;
        METHODS.get(index)
    }
}

impl Argument {
    /// Reads this argument off the front of `bytes`; none when they are too short.
    pub(crate) fn read<'a>(&self, bytes: &mut Cursor<'a>) -> Option<ArgumentValue<'a>> {
        Some(match self {
            Octet(_) => ArgumentValue::Number(bytes.octet()?.into()),
            Short(_) => ArgumentValue::Number(bytes.short()?.into()),
            Long(_) => ArgumentValue::Number(bytes.long()?.into()),
            LongLong(_) => ArgumentValue::Number(bytes.long_long()?),
            ShortString(_) => ArgumentValue::Bytes(bytes.short_string()?),
            LongString(_) => ArgumentValue::Bytes(bytes.long_string()?),
            Table(_) => ArgumentValue::Table(bytes.long_string()?),
            Bits(_) => ArgumentValue::Bits(bytes.octet()?),
        })
    }
}

const fn signature(class: u16, method: u16, name: &'static str, arguments: &'static [Argument]) -> Signature {
    Signature { id: MethodId { class, method }, name, arguments }
}

/// Sorted by id.
static METHODS: &[Signature] = &[
    signature(
        10,
        10,
        "connection.start",
        &[
            Octet("version-major"),
            Octet("version-minor"),
            Table("server-properties"),
            LongString("mechanisms"),
            LongString("locales"),
        ],
    ),
    signature(
        10,
        11,
        "connection.start-ok",
        &[
            Table("client-properties"),
            ShortString("mechanism"),
            LongString("response"),
            ShortString("locale"),
        ],
    ),
    signature(10, 20, "connection.secure", &[LongString("challenge")]),
    signature(10, 21, "connection.secure-ok", &[LongString("response")]),
    signature(10, 30, "connection.tune", &[Short("channel-max"), Long("frame-max"), Short("heartbeat")]),
    signature(10, 31, "connection.tune-ok", &[Short("channel-max"), Long("frame-max"), Short("heartbeat")]),
    signature(10, 40, "connection.open", &[ShortString("virtual-host"), ShortString(""), Bits(&[])]),
    signature(10, 41, "connection.open-ok", &[ShortString("")]),
    signature(
        10,
        50,
        "connection.close",
        &[Short("reply-code"), ShortString("reply-text"), Short("class-id"), Short("method-id")],
    ),
    signature(10, 51, "connection.close-ok", &[]),
    signature(10, 60, "connection.blocked", &[ShortString("reason")]),
    signature(10, 61, "connection.unblocked", &[]),
    signature(10, 70, "connection.update-secret", &[LongString("new-secret"), ShortString("reason")]),
    signature(10, 71, "connection.update-secret-ok", &[]),
    signature(20, 10, "channel.open", &[ShortString("")]),
    signature(20, 11, "channel.open-ok", &[LongString("")]),
    signature(20, 20, "channel.flow", &[Bits(&["active"])]),
    signature(20, 21, "channel.flow-ok", &[Bits(&["active"])]),
    signature(
        20,
        40,
        "channel.close",
        &[Short("reply-code"), ShortString("reply-text"), Short("class-id"), Short("method-id")],
    ),
    signature(20, 41, "channel.close-ok", &[]),
    signature(
        30,
        10,
        "access.request",
        &[ShortString("realm"), Bits(&["exclusive", "passive", "active", "write", "read"])],
    ),
    signature(30, 11, "access.request-ok", &[Short("")]),
    signature(
        40,
        10,
        "exchange.declare",
        &[
            Short(""),
            ShortString("exchange"),
            ShortString("type"),
            Bits(&["passive", "durable", "auto-delete", "internal", "no-wait"]),
            Table("arguments"),
        ],
    ),
    signature(40, 11, "exchange.declare-ok", &[]),
    signature(
        40,
        20,
        "exchange.delete",
        &[Short(""), ShortString("exchange"), Bits(&["if-unused", "no-wait"])],
    ),
    signature(40, 21, "exchange.delete-ok", &[]),
    signature(
        40,
        30,
        "exchange.bind",
        &[
            Short(""),
            ShortString("destination"),
            ShortString("source"),
            ShortString("routing-key"),
            Bits(&["no-wait"]),
            Table("arguments"),
        ],
    ),
    signature(40, 31, "exchange.bind-ok", &[]),
    signature(
        40,
        40,
        "exchange.unbind",
        &[
            Short(""),
            ShortString("destination"),
            ShortString("source"),
            ShortString("routing-key"),
            Bits(&["no-wait"]),
            Table("arguments"),
        ],
    ),
    signature(40, 51, "exchange.unbind-ok", &[]),
    signature(
        50,
        10,
        "queue.declare",
        &[
            Short(""),
            ShortString("queue"),
            Bits(&["passive", "durable", "exclusive", "auto-delete", "no-wait"]),
            Table("arguments"),
        ],
    ),
    signature(
        50,
        11,
        "queue.declare-ok",
        &[ShortString("queue"), Long("message-count"), Long("consumer-count")],
    ),
    signature(
        50,
        20,
        "queue.bind",
        &[
            Short(""),
            ShortString("queue"),
            ShortString("exchange"),
            ShortString("routing-key"),
            Bits(&["no-wait"]),
            Table("arguments"),
        ],
    ),
    signature(50, 21, "queue.bind-ok", &[]),
    signature(50, 30, "queue.purge", &[Short(""), ShortString("queue"), Bits(&["no-wait"])]),
    signature(50, 31, "queue.purge-ok", &[Long("message-count")]),
    signature(
        50,
        40,
        "queue.delete",
        &[Short(""), ShortString("queue"), Bits(&["if-unused", "if-empty", "no-wait"])],
    ),
    signature(50, 41, "queue.delete-ok", &[Long("message-count")]),
    signature(
        50,
        50,
        "queue.unbind",
        &[
            Short(""),
            ShortString("queue"),
            ShortString("exchange"),
            ShortString("routing-key"),
            Table("arguments"),
        ],
    ),
    signature(50, 51, "queue.unbind-ok", &[]),
    signature(60, 10, "basic.qos", &[Long(""), Short("prefetch-count"), Bits(&["global"])]),
    signature(60, 11, "basic.qos-ok", &[]),
    signature(
        60,
        20,
        "basic.consume",
        &[
            Short(""),
            ShortString("queue"),
            ShortString("consumer-tag"),
            Bits(&["no-local", "no-ack", "exclusive", "no-wait"]),
            Table("arguments"),
        ],
    ),
    signature(60, 21, "basic.consume-ok", &[ShortString("consumer-tag")]),
    signature(60, 30, "basic.cancel", &[ShortString("consumer-tag"), Bits(&["no-wait"])]),
    signature(60, 31, "basic.cancel-ok", &[ShortString("consumer-tag")]),
    signature(
        60,
        40,
        "basic.publish",
        &[Short(""), ShortString("exchange"), ShortString("routing-key"), Bits(&["mandatory", "immediate"])],
    ),
    signature(
        60,
        50,
        "basic.return",
        &[
            Short("reply-code"),
            ShortString("reply-text"),
            ShortString("exchange"),
            ShortString("routing-key"),
        ],
    ),
    signature(
        60,
        60,
        "basic.deliver",
        &[
            ShortString("consumer-tag"),
            LongLong("delivery-tag"),
            Bits(&["redelivered"]),
            ShortString("exchange"),
            ShortString("routing-key"),
        ],
    ),
    signature(60, 70, "basic.get", &[Short(""), ShortString("queue"), Bits(&["no-ack"])]),
    signature(
        60,
        71,
        "basic.get-ok",
        &[
            LongLong("delivery-tag"),
            Bits(&["redelivered"]),
            ShortString("exchange"),
            ShortString("routing-key"),
            Long("message-count"),
        ],
    ),
    signature(60, 72, "basic.get-empty", &[ShortString("")]),
    signature(60, 80, "basic.ack", &[LongLong("delivery-tag"), Bits(&["multiple"])]),
    signature(60, 90, "basic.reject", &[LongLong("delivery-tag"), Bits(&["requeue"])]),
    signature(60, 100, "basic.recover-async", &[Bits(&["requeue"])]),
    signature(60, 110, "basic.recover", &[Bits(&["requeue"])]),
    signature(60, 111, "basic.recover-ok", &[]),
    signature(60, 120, "basic.nack", &[LongLong("delivery-tag"), Bits(&["multiple", "requeue"])]),
    signature(85, 10, "confirm.select", &[Bits(&["no-wait"])]),
    signature(85, 11, "confirm.select-ok", &[]),
    signature(90, 10, "tx.select", &[]),
    signature(90, 11, "tx.select-ok", &[]),
    signature(90, 20, "tx.commit", &[]),
    signature(90, 21, "tx.commit-ok", &[]),
    signature(90, 30, "tx.rollback", &[]),
    signature(90, 31, "tx.rollback-ok", &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_sorted_and_named_after_their_class() {
        assert!(METHODS.is_sorted_by_key(|signature| signature.id));
        for signature in METHODS {
            let class = signature.name.split('.').next();
            let first = METHODS.iter().find(|other| other.id.class == signature.id.class).unwrap();
            assert_eq!(class, first.name.split('.').next(), "{}", signature.name);
            assert_eq!(signature.id.name(), Some(signature.name));
        }
        assert_eq!(MethodId { class: 60, method: 99 }.name(), None);
        assert_eq!(MethodId { class: 77, method: 10 }.name(), None);
    }
}
