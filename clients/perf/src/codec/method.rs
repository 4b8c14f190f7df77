//! The methods of a load generator: those it sends, and those of the broker it looks into.

use super::frame::{FrameKind, write_frame, write_sized};
use super::table::FieldTable;

/// What a connection opens with.
pub const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// Class and method number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodId(pub u16, pub u16);

impl MethodId {
    pub const CONNECTION_START: Self = Self(10, 10);
    pub const CONNECTION_START_OK: Self = Self(10, 11);
    pub const CONNECTION_TUNE: Self = Self(10, 30);
    pub const CONNECTION_TUNE_OK: Self = Self(10, 31);
    pub const CONNECTION_OPEN: Self = Self(10, 40);
    pub const CONNECTION_OPEN_OK: Self = Self(10, 41);
    pub const CONNECTION_CLOSE: Self = Self(10, 50);
    pub const CONNECTION_CLOSE_OK: Self = Self(10, 51);
    pub const CHANNEL_OPEN: Self = Self(20, 10);
    pub const CHANNEL_OPEN_OK: Self = Self(20, 11);
    pub const CHANNEL_CLOSE: Self = Self(20, 40);
    pub const CHANNEL_CLOSE_OK: Self = Self(20, 41);
    pub const EXCHANGE_DECLARE: Self = Self(40, 10);
    pub const EXCHANGE_DECLARE_OK: Self = Self(40, 11);
    pub const EXCHANGE_DELETE: Self = Self(40, 20);
    pub const EXCHANGE_DELETE_OK: Self = Self(40, 21);
    pub const QUEUE_DECLARE: Self = Self(50, 10);
    pub const QUEUE_DECLARE_OK: Self = Self(50, 11);
    pub const QUEUE_BIND: Self = Self(50, 20);
    pub const QUEUE_BIND_OK: Self = Self(50, 21);
    pub const QUEUE_DELETE: Self = Self(50, 40);
    pub const QUEUE_DELETE_OK: Self = Self(50, 41);
    pub const BASIC_QOS: Self = Self(60, 10);
    pub const BASIC_QOS_OK: Self = Self(60, 11);
    pub const BASIC_CONSUME: Self = Self(60, 20);
    pub const BASIC_CANCEL: Self = Self(60, 30);
    pub const BASIC_PUBLISH: Self = Self(60, 40);
    pub const BASIC_RETURN: Self = Self(60, 50);
    pub const BASIC_DELIVER: Self = Self(60, 60);
    pub const BASIC_ACK: Self = Self(60, 80);
    pub const BASIC_NACK: Self = Self(60, 120);
    pub const CONFIRM_SELECT: Self = Self(85, 10);
    pub const CONFIRM_SELECT_OK: Self = Self(85, 11);
}

/// A queue as this tool declares it.
#[derive(Debug, Clone, Copy)]
pub struct QueueDeclare<'a> {
    pub queue: &'a str,
    pub is_durable: bool,
    pub is_auto_delete: bool,
    pub arguments: &'a FieldTable,
}

/// How many queues, messages, … the broker says there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclareOk {
    pub message_count: u32,
    pub consumer_count: u32,
}

/// The limits that a broker proposes; 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tune {
    pub channels_max: u16,
    pub frame_max: u32,
}

/// `channel.close` or `connection.close` of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    pub reply_code: u16,
    pub reply_text: String,
}

/// `basic.ack` or `basic.nack` of the broker: these publishes are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirm {
    pub publish_number: u64,
    pub is_multiple: bool,
}

/// The arguments of a method, read from the front. Each read is `None` when they end too early.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a>(&'a [u8]);

/// Splits a method frame's payload.
pub fn parse_method(payload: &[u8]) -> Option<(MethodId, Arguments<'_>)> {
    let mut arguments = Arguments(payload);
    let id = MethodId(arguments.u16()?, arguments.u16()?);
    Some((id, arguments))
}

impl<'a> Arguments<'a> {
    pub fn u8(&mut self) -> Option<u8> {
        self.chunk().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_be_bytes)
    }

    pub fn short_string(&mut self) -> Option<&'a str> {
        let length = usize::from(self.u8()?);
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// A long string or a field table: both are octets behind a 32-bit length.
    pub fn long_string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    pub fn close(mut self) -> Option<Close> {
        let reply_code = self.u16()?;
        let length = usize::from(self.u8()?);
        let reply_text = String::from_utf8_lossy(self.take(length)?).into_owned();
        Some(Close { reply_code, reply_text })
    }

    pub fn confirm(mut self) -> Option<Confirm> {
        Some(Confirm { publish_number: self.u64()?, is_multiple: self.u8()? & 1 != 0 })
    }

    pub fn tune(mut self) -> Option<Tune> {
        Some(Tune { channels_max: self.u16()?, frame_max: self.u32()? })
    }

    pub fn declare_ok(mut self) -> Option<DeclareOk> {
        self.short_string()?;
        Some(DeclareOk { message_count: self.u32()?, consumer_count: self.u32()? })
    }

    /// Whether `connection.start` offers the SASL mechanism `name`.
    pub fn offers_mechanism(mut self, name: &str) -> Option<bool> {
        let _version = self.u16()?;
        let _server_properties = self.long_string()?;
        let mechanisms = self.long_string()?;
        Some(mechanisms.split(|&octet| octet == b' ').any(|mechanism| mechanism == name.as_bytes()))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

/// A frame with the method `id`, its arguments appended by `write_arguments`.
pub fn method(channel: u16, id: MethodId, write_arguments: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    write_frame(&mut out, FrameKind::Method, channel, |out| {
        write_u16(out, id.0);
        write_u16(out, id.1);
        write_arguments(out);
    });
    out
}

pub fn start_ok(user: &str, password: &str) -> Vec<u8> {
    method(0, MethodId::CONNECTION_START_OK, |out| {
        write_sized(out, write_client_properties);
        write_short_string(out, "PLAIN");
        write_sized(out, |out| {
            for part in [user, password] {
                out.push(0);
                out.extend_from_slice(part.as_bytes());
            }
        });
        write_short_string(out, "en_US");
    })
}

/// Accepts `tune`, with heartbeats off: a run is short, and every wait of it has a deadline of its own.
pub fn tune_ok(tune: Tune) -> Vec<u8> {
    method(0, MethodId::CONNECTION_TUNE_OK, |out| {
        write_u16(out, tune.channels_max);
        out.extend_from_slice(&tune.frame_max.to_be_bytes());
        write_u16(out, 0);
    })
}

pub fn connection_open(vhost: &str) -> Vec<u8> {
    method(0, MethodId::CONNECTION_OPEN, |out| {
        write_short_string(out, vhost);
        write_short_string(out, "");
        out.push(0);
    })
}

pub fn connection_close() -> Vec<u8> {
    method(0, MethodId::CONNECTION_CLOSE, write_goodbye)
}

pub fn channel_open(channel: u16) -> Vec<u8> {
    method(channel, MethodId::CHANNEL_OPEN, |out| write_short_string(out, ""))
}

pub fn channel_close(channel: u16) -> Vec<u8> {
    method(channel, MethodId::CHANNEL_CLOSE, write_goodbye)
}

/// The answer to the broker's own `channel.close`; only then the channel can be opened again.
pub fn channel_close_ok(channel: u16) -> Vec<u8> {
    method(channel, MethodId::CHANNEL_CLOSE_OK, |_| {})
}

pub fn queue_declare(channel: u16, declare: QueueDeclare<'_>) -> Vec<u8> {
    let bits = u8::from(declare.is_durable) << 1 | u8::from(declare.is_auto_delete) << 3;
    declare_with(channel, declare.queue, bits, declare.arguments)
}

/// Declares nothing, only asks whether it is there.
pub fn queue_declare_passive(channel: u16, queue: &str) -> Vec<u8> {
    declare_with(channel, queue, 1, &FieldTable::default())
}

/// The bits are, from the lowest: passive, durable, exclusive, auto-delete, no-wait.
fn declare_with(channel: u16, queue: &str, bits: u8, arguments: &FieldTable) -> Vec<u8> {
    method(channel, MethodId::QUEUE_DECLARE, |out| {
        write_u16(out, 0);
        write_short_string(out, queue);
        out.push(bits);
        arguments.write(out);
    })
}

pub fn queue_bind(channel: u16, queue: &str, exchange: &str, binding_key: &str) -> Vec<u8> {
    method(channel, MethodId::QUEUE_BIND, |out| {
        write_u16(out, 0);
        for name in [queue, exchange, binding_key] {
            write_short_string(out, name);
        }
        out.push(0);
        write_sized(out, |_| {});
    })
}

pub fn exchange_declare(channel: u16, exchange: &str, kind: &str, is_durable: bool) -> Vec<u8> {
    method(channel, MethodId::EXCHANGE_DECLARE, |out| {
        write_u16(out, 0);
        write_short_string(out, exchange);
        write_short_string(out, kind);
        // bits: passive, durable, auto-delete, internal, no-wait
        out.push(u8::from(is_durable) << 1);
        write_sized(out, |_| {});
    })
}

pub fn exchange_delete(channel: u16, exchange: &str) -> Vec<u8> {
    method(channel, MethodId::EXCHANGE_DELETE, |out| {
        write_u16(out, 0);
        write_short_string(out, exchange);
        out.push(0);
    })
}

pub fn queue_delete(channel: u16, queue: &str, only_if_empty: bool) -> Vec<u8> {
    method(channel, MethodId::QUEUE_DELETE, |out| {
        write_u16(out, 0);
        write_short_string(out, queue);
        // bits: if-unused, if-empty, no-wait
        out.push(u8::from(only_if_empty) << 1);
    })
}

pub fn basic_qos(channel: u16, prefetch_count: u16, is_global: bool) -> Vec<u8> {
    method(channel, MethodId::BASIC_QOS, |out| {
        out.extend_from_slice(&0_u32.to_be_bytes());
        write_u16(out, prefetch_count);
        out.push(u8::from(is_global));
    })
}

/// Without waiting: what is wrong with it comes as `channel.close`.
pub fn basic_consume(channel: u16, queue: &str, is_auto_ack: bool, arguments: &FieldTable) -> Vec<u8> {
    method(channel, MethodId::BASIC_CONSUME, |out| {
        write_u16(out, 0);
        write_short_string(out, queue);
        write_short_string(out, "c");
        // bits: no-local, no-ack, exclusive, no-wait
        out.push(u8::from(is_auto_ack) << 1 | 1 << 3);
        arguments.write(out);
    })
}

pub fn basic_ack(channel: u16, delivery_tag: u64, is_multiple: bool) -> Vec<u8> {
    method(channel, MethodId::BASIC_ACK, |out| {
        out.extend_from_slice(&delivery_tag.to_be_bytes());
        out.push(u8::from(is_multiple));
    })
}

pub fn confirm_select(channel: u16) -> Vec<u8> {
    method(channel, MethodId::CONFIRM_SELECT, |out| out.push(0))
}

pub fn write_short_string(out: &mut Vec<u8>, text: &str) {
    // Names come from the command line, which refuses more than 255 octets.
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

/// Code 200, a farewell, and no method to blame.
fn write_goodbye(out: &mut Vec<u8>) {
    write_u16(out, 200);
    write_short_string(out, "done");
    out.extend_from_slice(&[0; 4]);
}

/// `connection.blocked` is not among the capabilities: what blocks the publisher shows in its figures.
fn write_client_properties(out: &mut Vec<u8>) {
    for (name, value) in [("product", "liebre-perf"), ("version", env!("CARGO_PKG_VERSION"))] {
        write_short_string(out, name);
        out.push(b'S');
        write_sized(out, |out| out.extend_from_slice(value.as_bytes()));
    }
    write_short_string(out, "capabilities");
    out.push(b'F');
    write_sized(out, |out| {
        let names =
            ["publisher_confirms", "basic.nack", "consumer_cancel_notify", "authentication_failure_close"];
        for name in names {
            write_short_string(out, name);
            out.extend_from_slice(b"t\x01");
        }
    });
}

fn write_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::frame::Inbox;
    use super::*;

    /// Scans `bytes` as one method frame and hands its id and arguments to `check`.
    fn scan(bytes: &[u8], id: MethodId, check: impl FnOnce(Arguments<'_>)) {
        let mut inbox = Inbox::new();
        inbox.fill(&mut &*bytes).unwrap();
        let frame = inbox.next_frame().unwrap().unwrap();
        assert_eq!(frame.kind, FrameKind::Method);
        let (found, arguments) = parse_method(frame.payload).unwrap();
        assert_eq!(found, id);
        check(arguments);
        assert_eq!(inbox.next_frame(), Ok(None));
    }

    #[test]
    fn declare_has_its_bits_in_place() {
        let arguments = &FieldTable::default();
        let declare = QueueDeclare { queue: "orders", is_durable: false, is_auto_delete: true, arguments };
        scan(&queue_declare(1, declare), MethodId::QUEUE_DECLARE, |mut arguments| {
            assert_eq!(arguments.u16(), Some(0));
            assert_eq!(arguments.short_string(), Some("orders"));
            assert_eq!(arguments.u8(), Some(0b1000));
            assert_eq!(arguments.long_string(), Some(&b""[..]));
            assert_eq!(arguments.u8(), None);
        });
        scan(&queue_declare_passive(1, "orders"), MethodId::QUEUE_DECLARE, |mut arguments| {
            assert_eq!(arguments.u16(), Some(0));
            assert_eq!(arguments.short_string(), Some("orders"));
            assert_eq!(arguments.u8(), Some(1));
        });
    }

    #[test]
    fn start_ok_carries_user_and_password() {
        scan(&start_ok("guest", "secret"), MethodId::CONNECTION_START_OK, |mut arguments| {
            assert!(arguments.long_string().unwrap().starts_with(b"\x07productS"));
            assert_eq!(arguments.short_string(), Some("PLAIN"));
            assert_eq!(arguments.long_string(), Some(&b"\0guest\0secret"[..]));
            assert_eq!(arguments.short_string(), Some("en_US"));
            assert_eq!(arguments.u8(), None);
        });
    }

    #[test]
    fn what_the_broker_sends_is_read_back() {
        let tune = Tune { channels_max: 2_047, frame_max: 131_072 };
        scan(&tune_ok(tune), MethodId::CONNECTION_TUNE_OK, |arguments| {
            assert_eq!(arguments.tune(), Some(tune))
        });
        scan(&connection_close(), MethodId::CONNECTION_CLOSE, |arguments| {
            assert_eq!(arguments.close(), Some(Close { reply_code: 200, reply_text: "done".to_owned() }));
        });
        scan(&basic_ack(1, 77, true), MethodId::BASIC_ACK, |arguments| {
            assert_eq!(arguments.confirm(), Some(Confirm { publish_number: 77, is_multiple: true }));
        });
    }

    #[test]
    fn arguments_that_end_early_are_none() {
        let bytes = basic_ack(1, 77, true);
        let (_, arguments) = parse_method(&bytes[7..bytes.len() - 2]).unwrap();
        assert_eq!(arguments.confirm(), None);
        assert!(parse_method(&[0, 60, 0]).is_none());
    }
}
