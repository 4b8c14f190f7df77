//! Methods: what the peers ask of and answer each other (AMQP 0-9-1 section 4.2.4).

use std::fmt;

use amq_protocol::protocol::{AMQPClass, parse_class};

use crate::wire::{
    catalog::{ArgumentValue, Signature},
    cursor::Cursor,
    frame::{Octets, erlang_binary},
    table::{TableError, check_table},
};

/// A method's class and its number in the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodId {
    /// `basic` is 60.
    pub class: u16,
    /// `publish` is 40.
    pub method: u16,
}

/// A method with its arguments; the ones on the path of every message in place, the others owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Method<'a> {
    /// `basic.publish`
    Publish(Publish<'a>),
    /// `basic.ack`
    Ack {
        /// The delivery, 0 for all so far.
        delivery_tag: u64,
        /// All up to that delivery.
        multiple: bool,
    },
    /// `basic.nack`
    Nack {
        /// The delivery, 0 for all so far.
        delivery_tag: u64,
        /// All up to that delivery.
        multiple: bool,
        /// Back to the queue, not discarded.
        requeue: bool,
    },
    /// `basic.reject`
    Reject {
        /// The delivery.
        delivery_tag: u64,
        /// Back to the queue, not discarded.
        requeue: bool,
    },
    /// Every other one.
    Cold(Box<AMQPClass>),
}

/// `basic.publish`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Empty for the default exchange.
    pub exchange: &'a str,
    /// Any bytes.
    pub routing_key: &'a [u8],
    /// Exchange and routing key as the two adjacent short strings they are on the wire, of a publish as of
    /// a deliver, get-ok and return.
    pub route: &'a [u8],
    /// Return the message when no queue takes it.
    pub mandatory: bool,
    /// Not supported (RabbitMQ: `NOT_IMPLEMENTED`, 540).
    pub immediate: bool,
}

/// Why a method frame's payload is no method. RabbitMQ's answer (3.10) stands beside each; the text displayed
/// is what it sends after the code's name, where it sends any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MethodError {
    /// Shorter than the ids: 501, class and method 0.
    NoId(Octets),
    /// No such class or method: RabbitMQ resets the connection without a word; the specification has
    /// `NOT_IMPLEMENTED` (540) for it.
    Unknown(MethodId),
    /// The arguments are shorter or longer than the method's: 501 `cannot decode <<…>>`, with the ids.
    BadArguments {
        /// The method.
        id: MethodId,
        /// Its arguments, as Erlang prints a binary.
        octets: String,
    },
    /// A short string, or a name in a table of a cold method, is not UTF-8: 501, class and method 0.
    NotUtf8(MethodId),
    /// A table is wrong within: RabbitMQ resets the connection without a word; the specification has
    /// `SYNTAX_ERROR` (502) for it.
    BadTable {
        /// The method.
        id: MethodId,
        /// What is wrong.
        error: TableError,
    },
}

/// The method that a method frame's payload is.
#[inline]
pub fn parse_method(payload: &[u8]) -> Result<(MethodId, Method<'_>), MethodError> {
    let mut cursor = Cursor::new(payload);
    let (Some(class), Some(method)) = (cursor.short(), cursor.short()) else {
        return Err(MethodError::NoId(Octets::of(payload)));
    };
    let id = MethodId { class, method };
    let parsed = match id {
        MethodId::PUBLISH => Method::Publish(parse_publish(cursor.rest())?),
        MethodId::ACK => {
            let (delivery_tag, [multiple, _]) = parse_settle(id, cursor.rest())?;
            Method::Ack { delivery_tag, multiple }
        }
        MethodId::NACK => {
            let (delivery_tag, [multiple, requeue]) = parse_settle(id, cursor.rest())?;
            Method::Nack { delivery_tag, multiple, requeue }
        }
        MethodId::REJECT => {
            let (delivery_tag, [requeue, _]) = parse_settle(id, cursor.rest())?;
            Method::Reject { delivery_tag, requeue }
        }
        _ => Method::Cold(parse_cold(id, payload, cursor.rest())?),
    };
    Ok((id, parsed))
}

impl MethodId {
    /// No method: what a close frame names when it was not one.
    pub const NONE: Self = Self { class: 0, method: 0 };
    /// `connection.close`
    pub const CONNECTION_CLOSE: Self = Self { class: 10, method: 50 };
    /// `connection.close-ok`
    pub const CONNECTION_CLOSE_OK: Self = Self { class: 10, method: 51 };
    /// `connection.open`
    pub const CONNECTION_OPEN: Self = Self { class: 10, method: 40 };
    /// `channel.close-ok`
    pub const CHANNEL_CLOSE_OK: Self = Self { class: 20, method: 41 };
    /// `basic.publish`
    pub const PUBLISH: Self = Self { class: 60, method: 40 };
    /// `basic.return`
    pub const RETURN: Self = Self { class: 60, method: 50 };
    /// `basic.deliver`
    pub const DELIVER: Self = Self { class: 60, method: 60 };
    /// `basic.get-ok`
    pub const GET_OK: Self = Self { class: 60, method: 71 };
    /// `basic.ack`
    pub const ACK: Self = Self { class: 60, method: 80 };
    /// `basic.reject`
    pub const REJECT: Self = Self { class: 60, method: 90 };
    /// `basic.nack`
    pub const NACK: Self = Self { class: 60, method: 120 };

    /// `class.method`, for every method of AMQP 0-9-1 and RabbitMQ's own.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Signature::of(self).map(|signature| signature.name)
    }
}

impl MethodError {
    /// The method, when that much was readable.
    #[must_use]
    pub fn id(&self) -> Option<MethodId> {
        match self {
            Self::NoId(_) => None,
            Self::Unknown(id)
            | Self::NotUtf8(id)
            | Self::BadArguments { id, .. }
            | Self::BadTable { id, .. } => Some(*id),
        }
    }

    fn bad_arguments(id: MethodId, arguments: &[u8]) -> Self {
        let shown = &arguments[..arguments.len().min(ARGUMENTS_SHOWN_MAX)];
        Self::BadArguments { id, octets: erlang_binary(shown) }
    }
}

impl fmt::Display for MethodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoId(octets) => write!(f, "type 1, {octets}: unknown_frame"),
            Self::Unknown(MethodId { class, method }) => {
                write!(f, "unknown method {method} of class {class}")
            }
            Self::BadArguments { octets, .. } => write!(f, "cannot decode {octets}"),
            Self::NotUtf8(_) => f.write_str("Malformed UTF-8 in shortstr"),
            Self::BadTable { error, .. } => error.fmt(f),
        }
    }
}

impl std::error::Error for MethodError {}

/// Enough for a reply text of 255 bytes: every octet shown takes two or more.
const ARGUMENTS_SHOWN_MAX: usize = 128;

#[inline]
fn parse_publish(arguments: &[u8]) -> Result<Publish<'_>, MethodError> {
    let bad = || MethodError::bad_arguments(MethodId::PUBLISH, arguments);
    let mut cursor = Cursor::new(arguments);
    cursor.short().ok_or_else(bad)?;
    let after_ticket = cursor.rest();
    let exchange = cursor.short_string().ok_or_else(bad)?;
    let routing_key = cursor.short_string().ok_or_else(bad)?;
    let &[bits] = cursor.rest() else { return Err(bad()) };
    Ok(Publish {
        exchange: std::str::from_utf8(exchange).map_err(|_| MethodError::NotUtf8(MethodId::PUBLISH))?,
        routing_key,
        route: &after_ticket[..exchange.len() + routing_key.len() + 2],
        mandatory: bits & 1 != 0,
        immediate: bits & 2 != 0,
    })
}

/// The delivery tag and the two lowest flags of ack, nack and reject.
#[inline]
fn parse_settle(id: MethodId, arguments: &[u8]) -> Result<(u64, [bool; 2]), MethodError> {
    match arguments.split_first_chunk() {
        Some((tag, &[bits])) => Ok((u64::from_be_bytes(*tag), [bits & 1 != 0, bits & 2 != 0])),
        _ => Err(MethodError::bad_arguments(id, arguments)),
    }
}

/// Walks over the arguments first: only what passes may reach the recursive parser.
fn parse_cold(id: MethodId, payload: &[u8], arguments: &[u8]) -> Result<Box<AMQPClass>, MethodError> {
    let signature = Signature::of(id).ok_or(MethodError::Unknown(id))?;
    let mut cursor = Cursor::new(arguments);
    for argument in signature.arguments {
        let value = argument.read(&mut cursor).ok_or_else(|| MethodError::bad_arguments(id, arguments))?;
        if let ArgumentValue::Table(entries) = value {
            check_table(entries).map_err(|error| MethodError::BadTable { id, error })?;
        }
    }
    if !cursor.is_empty() {
        return Err(MethodError::bad_arguments(id, arguments));
    }
    // Every length is right by now: text that is not UTF-8 is all the parser can still refuse.
    match parse_class(payload) {
        Ok((_, class)) => Ok(Box::new(class)),
        Err(_) => Err(MethodError::NotUtf8(id)),
    }
}
