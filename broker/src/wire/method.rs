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

/// `basic.get-ok`, as the peer of a broker reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetOk<'a> {
    /// To settle it with.
    pub delivery_tag: u64,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// Where it was published, any bytes.
    pub exchange: &'a [u8],
    /// Any bytes.
    pub routing_key: &'a [u8],
    /// Messages that are ready behind it.
    pub message_count: u32,
}

/// Why a method frame's payload is no method. RabbitMQ's answer (3.10) stands beside each; the text displayed
/// is what it sends after the code's name, where it sends any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MethodError {
    /// Shorter than the ids: 501, class and method 0.
    NoId(Octets),
    /// No such class or method: RabbitMQ drops the connection without a word; the specification has
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
    /// A table is wrong within: RabbitMQ drops the connection without a word; the specification has
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

/// Which method it is, without looking at its arguments.
#[must_use]
pub fn method_id(payload: &[u8]) -> Option<MethodId> {
    let mut cursor = Cursor::new(payload);
    Some(MethodId { class: cursor.short()?, method: cursor.short()? })
}

impl<'a> GetOk<'a> {
    /// From a method frame's payload; none when it is another method, or none.
    #[must_use]
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        let id = MethodId { class: cursor.short()?, method: cursor.short()? };
        if id != MethodId::GET_OK {
            return None;
        }
        Some(Self {
            delivery_tag: cursor.long_long()?,
            redelivered: cursor.octet()? & 1 != 0,
            exchange: cursor.short_string()?,
            routing_key: cursor.short_string()?,
            message_count: cursor.long()?,
        })
    }
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
    /// `tx.commit`
    pub const TX_COMMIT: Self = Self { class: 90, method: 20 };
    /// `exchange.declare`
    pub const EXCHANGE_DECLARE: Self = Self { class: 40, method: 10 };
    /// `exchange.bind`
    pub const EXCHANGE_BIND: Self = Self { class: 40, method: 30 };
    /// `queue.declare`
    pub const QUEUE_DECLARE: Self = Self { class: 50, method: 10 };
    /// `queue.bind`
    pub const QUEUE_BIND: Self = Self { class: 50, method: 20 };
    /// `basic.publish`
    pub const PUBLISH: Self = Self { class: 60, method: 40 };
    /// `basic.return`
    pub const RETURN: Self = Self { class: 60, method: 50 };
    /// `basic.deliver`
    pub const DELIVER: Self = Self { class: 60, method: 60 };
    /// `basic.get`
    pub const GET: Self = Self { class: 60, method: 70 };
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

#[cfg(test)]
mod tests {
    use amq_protocol::{
        protocol::{basic, connection, gen_class, queue},
        types::FieldTable,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::wire::catalog::Argument;

    fn payload(class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
        [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat()
    }

    fn generated(class: &AMQPClass) -> Vec<u8> {
        gen_class(class)(Vec::new().into()).unwrap().into_inner().0
    }

    fn generated_basic(method: basic::AMQPMethod) -> Vec<u8> {
        generated(&AMQPClass::Basic(method))
    }

    fn refusal(payload: &[u8]) -> (Option<MethodId>, String) {
        let error = parse_method(payload).unwrap_err();
        (error.id(), error.to_string())
    }

    proptest! {
        #[test]
        fn hot_methods_are_read_as_amq_protocol_writes_them(
            exchange in "[a-z.é]{0,127}", routing_key in "[a-z.é]{0,127}",
            delivery_tag: u64, (a, b) in any::<(bool, bool)>(),
        ) {
            let bytes = generated_basic(basic::AMQPMethod::Publish(basic::Publish {
                exchange: exchange.as_str().into(), routing_key: routing_key.as_str().into(),
                mandatory: a, immediate: b,
            }));
            let route = crate::wire::encode::encode_route(&exchange, &routing_key);
            let publish = Publish {
                exchange: &exchange, routing_key: routing_key.as_bytes(), route: &route, mandatory: a, immediate: b,
            };
            prop_assert_eq!(parse_method(&bytes), Ok((MethodId::PUBLISH, Method::Publish(publish))));

            let bytes = generated_basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple: a }));
            prop_assert_eq!(parse_method(&bytes), Ok((MethodId::ACK, Method::Ack { delivery_tag, multiple: a })));

            let nack = basic::Nack { delivery_tag, multiple: a, requeue: b };
            let bytes = generated_basic(basic::AMQPMethod::Nack(nack));
            let nack = Method::Nack { delivery_tag, multiple: a, requeue: b };
            prop_assert_eq!(parse_method(&bytes), Ok((MethodId::NACK, nack)));

            let bytes = generated_basic(basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue: a }));
            let reject = Method::Reject { delivery_tag, requeue: a };
            prop_assert_eq!(parse_method(&bytes), Ok((MethodId::REJECT, reject)));
        }

        #[test]
        fn get_ok_is_read_as_amq_protocol_writes_it(
            exchange in "[a-z.é]{0,127}", routing_key in "[a-z.é]{0,127}",
            (delivery_tag, message_count, redelivered) in any::<(u64, u32, bool)>(),
        ) {
            let bytes = generated_basic(basic::AMQPMethod::GetOk(basic::GetOk {
                delivery_tag, redelivered, message_count,
                exchange: exchange.as_str().into(), routing_key: routing_key.as_str().into(),
            }));
            let get_ok = GetOk {
                delivery_tag, redelivered, message_count,
                exchange: exchange.as_bytes(), routing_key: routing_key.as_bytes(),
            };
            prop_assert_eq!(GetOk::parse(&bytes), Some(get_ok));
            prop_assert_eq!(GetOk::parse(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn any_bytes_give_an_answer(
            arguments: Vec<u8>, class in prop_oneof![any::<u16>(), (1_u16..10).prop_map(|tens| tens * 10)],
            method in prop_oneof![any::<u16>(), 10_u16..122],
        ) {
            let _ = parse_method(&arguments);
            let _ = parse_method(&payload(class, method, &arguments));
        }
    }

    /// A method of the catalogue with small arguments: parsed, and written again as it came.
    #[test]
    fn every_method_is_taken_and_written_back() {
        for class in 0..100 {
            for method in 0..130 {
                let Some(signature) = Signature::of(MethodId { class, method }) else { continue };
                let mut bytes = payload(class, method, &[]);
                for argument in signature.arguments {
                    bytes.extend_from_slice(match argument {
                        Argument::Octet(_) => &[7],
                        Argument::Short("") if signature.name == "access.request-ok" => &[0, 1],
                        Argument::Short("") => &[0, 0],
                        Argument::Long("") => &[0; 4],
                        Argument::Short(_) => &[0, 7],
                        Argument::Long(_) => &[0, 0, 0, 7],
                        Argument::LongLong(_) => &[7; 8],
                        Argument::ShortString("") => &[0],
                        Argument::ShortString(_) => b"\x02hi",
                        Argument::LongString("") => &[0; 4],
                        Argument::LongString(_) => b"\0\0\0\x02hi",
                        Argument::Table(_) => b"\0\0\0\x04\x01kt\x01",
                        Argument::Bits([]) => &[0],
                        Argument::Bits(_) => &[1],
                    });
                }
                let name = signature.name;
                let (_, parsed) = parse_method(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
                if let Method::Cold(cold) = parsed {
                    assert_eq!(generated(&cold), bytes, "{name}");
                }
                bytes.push(0);
                assert!(matches!(parse_method(&bytes), Err(MethodError::BadArguments { .. })), "{name}");
                if bytes.len() > 5 {
                    let cut = parse_method(&bytes[..bytes.len() - 2]);
                    assert!(matches!(cut, Err(MethodError::BadArguments { .. })), "{name}");
                }
            }
        }
    }

    /// Every text below was sent by RabbitMQ 3.10 for the same bytes.
    #[test]
    fn refusals_are_worded_as_rabbitmq_words_them() {
        let id = |class, method| Some(MethodId { class, method });
        assert_eq!(refusal(&[]), (None, "type 1, all octets = <<>>: unknown_frame".into()));
        assert_eq!(refusal(&[0, 60, 0]), (None, "type 1, all octets = <<0,60,0>>: unknown_frame".into()));
        assert_eq!(refusal(&payload(60, 80, &[0, 0])), (id(60, 80), "cannot decode <<0,0>>".into()));
        assert_eq!(
            refusal(&payload(60, 80, b"\0\0\0\0\0\0\0\0\0zz")),
            (id(60, 80), "cannot decode <<0,0,0,0,0,0,0,0,0,122,122>>".into())
        );
        assert_eq!(
            refusal(&payload(60, 40, b"\0\0\0\x01k")),
            (id(60, 40), "cannot decode <<0,0,0,1,107>>".into())
        );
        assert_eq!(
            refusal(&payload(60, 40, b"\0\0\0\x09k")),
            (id(60, 40), "cannot decode <<0,0,0,9,107>>".into())
        );
        let declare = b"\0\0\x03q\xFF\xFE\0\0\0\0\0";
        assert_eq!(refusal(&payload(50, 10, declare)), (id(50, 10), "Malformed UTF-8 in shortstr".into()));
        let declare = b"\0\0\x01q\0\0\0\0\x64abc";
        assert_eq!(
            refusal(&payload(50, 10, declare)),
            (id(50, 10), "cannot decode <<0,0,1,113,0,0,0,0,100,97,98,99>>".into())
        );
    }

    #[test]
    fn unknown_methods_and_bad_tables_are_told_apart() {
        for (class, method) in [(77, 10), (60, 99), (0, 0), (u16::MAX, u16::MAX)] {
            let id = MethodId { class, method };
            assert_eq!(parse_method(&payload(class, method, b"abc")), Err(MethodError::Unknown(id)));
        }
        let id = MethodId { class: 50, method: 10 };
        let bad_table = b"\0\0\x01q\0\0\0\0\x03\x01kZ";
        let error = TableError::UnknownTag(b'Z');
        assert_eq!(parse_method(&payload(50, 10, bad_table)), Err(MethodError::BadTable { id, error }));
        let latin1_name = b"\0\0\x01q\0\0\0\0\x04\x01\xFFt\x01";
        assert_eq!(parse_method(&payload(50, 10, latin1_name)), Err(MethodError::NotUtf8(id)));
        let exchange = b"\0\0\x01\xFF\x01\xFF\0";
        assert_eq!(parse_method(&payload(60, 40, exchange)), Err(MethodError::NotUtf8(MethodId::PUBLISH)));
        let key = b"\0\0\x01x\x01\xFF\xF0";
        assert!(
            parse_method(&payload(60, 40, key)).is_ok(),
            "routing keys are bytes, spare flags mean nothing"
        );
    }

    #[test]
    fn thousands_of_nested_arrays_never_reach_the_recursive_parser() {
        let mut array = Vec::new();
        for _ in 0..20_000 {
            array = [&b"A"[..], &u32::try_from(array.len()).unwrap().to_be_bytes(), &array].concat();
        }
        let table = [b"\x01k", &array[..]].concat();
        let size = u32::try_from(table.len()).unwrap().to_be_bytes();
        let declare = [&b"\0\0\x01q\0"[..], &size, &table].concat();
        let start_ok = [&size[..], &table, b"\x05PLAIN\0\0\0\0\x05en_US"].concat();
        for (class, method, arguments) in [(50, 10, declare), (10, 11, start_ok)] {
            let expected =
                MethodError::BadTable { id: MethodId { class, method }, error: TableError::TooDeep };
            assert_eq!(parse_method(&payload(class, method, &arguments)), Err(expected));
        }
    }

    #[test]
    fn cold_methods_are_owned() {
        let declare = AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
            queue: "orders".into(),
            durable: true,
            arguments: FieldTable::default(),
            ..queue::Declare::default()
        }));
        let id = MethodId { class: 50, method: 10 };
        assert_eq!(parse_method(&generated(&declare)), Ok((id, Method::Cold(Box::new(declare)))));
        let open = AMQPClass::Connection(connection::AMQPMethod::Open(connection::Open {
            virtual_host: "/".into(),
        }));
        let id = MethodId { class: 10, method: 40 };
        assert_eq!(parse_method(&generated(&open)), Ok((id, Method::Cold(Box::new(open)))));
    }
}
