//! The methods that tests say through [`crate::raw`], and what the broker's answers are called in transcripts.

use crate::codec::{BODY, Frame, HEADER, METHOD, Reader, Value, Writer};

/// Bits of `queue.declare`.
pub mod queue {
    pub const PASSIVE: u8 = 1;
    pub const DURABLE: u8 = 2;
    pub const EXCLUSIVE: u8 = 4;
    pub const AUTO_DELETE: u8 = 8;
}

/// Bits of `exchange.declare`.
pub mod exchange {
    pub const PASSIVE: u8 = 1;
    pub const DURABLE: u8 = 2;
    pub const AUTO_DELETE: u8 = 4;
    pub const INTERNAL: u8 = 8;
}

/// Bits of `basic.consume`.
pub mod consume {
    pub const NO_ACK: u8 = 2;
    pub const EXCLUSIVE: u8 = 4;
}

/// Bits of `basic.publish`.
pub mod publish {
    pub const MANDATORY: u8 = 1;
    pub const IMMEDIATE: u8 = 2;
}

/// A frame without its channel: what a channel is made to say.
pub type Say = Frame;

/// A method with any arguments, right or wrong.
pub fn method(class: u16, id: u16, arguments: Writer) -> Say {
    let mut payload = Writer::default().u16(class).u16(id).0;
    payload.extend(arguments.0);
    Frame { kind: METHOD, channel: 1, payload }
}

pub fn start_ok(mechanism: &str, response: &[u8]) -> Say {
    let capabilities =
        ["authentication_failure_close", "basic.nack", "consumer_cancel_notify", "publisher_confirms"];
    let capabilities = capabilities.into_iter().map(|name| (name, Value::Bool(true))).collect();
    let properties = [("product", Value::Text("liebre-tests")), ("capabilities", Value::Table(capabilities))];
    connection(11, Writer::default().table(&properties).short(mechanism).long(response).short("en_US"))
}

pub fn tune_ok(channel_max: u16, frame_max: u32, heartbeat_secs: u16) -> Say {
    connection(31, Writer::default().u16(channel_max).u32(frame_max).u16(heartbeat_secs))
}

pub fn open(vhost: &str) -> Say {
    connection(40, Writer::default().short(vhost).short("").u8(0))
}

pub fn connection_close() -> Say {
    connection(50, Writer::default().u16(200).short("bye").u16(0).u16(0))
}

pub fn connection_close_ok() -> Say {
    connection(51, Writer::default())
}

pub fn channel_open() -> Say {
    method(20, 10, Writer::default().short(""))
}

pub fn channel_flow(is_active: bool) -> Say {
    method(20, 20, Writer::default().u8(is_active.into()))
}

pub fn channel_close() -> Say {
    method(20, 40, Writer::default().u16(200).short("bye").u16(0).u16(0))
}

pub fn channel_close_ok() -> Say {
    method(20, 41, Writer::default())
}

pub fn exchange_declare(name: &str, kind: &str, bits: u8, arguments: &[(&str, Value)]) -> Say {
    method(40, 10, Writer::default().u16(0).short(name).short(kind).u8(bits).table(arguments))
}

pub fn exchange_delete(name: &str, is_if_unused: bool) -> Say {
    method(40, 20, Writer::default().u16(0).short(name).u8(is_if_unused.into()))
}

pub fn exchange_bind(destination: &str, source: &str, key: &str) -> Say {
    method(40, 30, Writer::default().u16(0).short(destination).short(source).short(key).u8(0).table(&[]))
}

pub fn exchange_unbind(destination: &str, source: &str, key: &str) -> Say {
    method(40, 40, Writer::default().u16(0).short(destination).short(source).short(key).u8(0).table(&[]))
}

pub fn queue_declare(name: &str, bits: u8, arguments: &[(&str, Value)]) -> Say {
    method(50, 10, Writer::default().u16(0).short(name).u8(bits).table(arguments))
}

pub fn queue_bind(queue: &str, exchange: &str, key: &str) -> Say {
    method(50, 20, Writer::default().u16(0).short(queue).short(exchange).short(key).u8(0).table(&[]))
}

pub fn queue_unbind(queue: &str, exchange: &str, key: &str) -> Say {
    method(50, 50, Writer::default().u16(0).short(queue).short(exchange).short(key).table(&[]))
}

pub fn queue_purge(name: &str) -> Say {
    method(50, 30, Writer::default().u16(0).short(name).u8(0))
}

/// `bits`: 1 if-unused, 2 if-empty.
pub fn queue_delete(name: &str, bits: u8) -> Say {
    method(50, 40, Writer::default().u16(0).short(name).u8(bits))
}

pub fn qos(prefetch_size: u32, prefetch_count: u16, is_global: bool) -> Say {
    method(60, 10, Writer::default().u32(prefetch_size).u16(prefetch_count).u8(is_global.into()))
}

pub fn basic_consume(queue: &str, tag: &str, bits: u8) -> Say {
    method(60, 20, Writer::default().u16(0).short(queue).short(tag).u8(bits).table(&[]))
}

pub fn basic_cancel(tag: &str) -> Say {
    method(60, 30, Writer::default().short(tag).u8(0))
}

pub fn basic_publish(exchange: &str, key: &str, bits: u8) -> Say {
    method(60, 40, Writer::default().u16(0).short(exchange).short(key).u8(bits))
}

pub fn basic_get(queue: &str) -> Say {
    method(60, 70, Writer::default().u16(0).short(queue).u8(0))
}

pub fn basic_ack(tag: u64, is_multiple: bool) -> Say {
    method(60, 80, Writer::default().u64(tag).u8(is_multiple.into()))
}

pub fn basic_reject(tag: u64, is_requeue: bool) -> Say {
    method(60, 90, Writer::default().u64(tag).u8(is_requeue.into()))
}

/// `bits`: 1 multiple, 2 requeue.
pub fn basic_nack(tag: u64, bits: u8) -> Say {
    method(60, 120, Writer::default().u64(tag).u8(bits))
}

pub fn basic_recover(is_requeue: bool) -> Say {
    method(60, 110, Writer::default().u8(is_requeue.into()))
}

pub fn confirm_select() -> Say {
    method(85, 10, Writer::default().u8(0))
}

/// A content header without properties.
pub fn header(body_size: u64) -> Say {
    Frame { kind: HEADER, channel: 1, payload: Writer::default().u16(60).u16(0).u64(body_size).u16(0).0 }
}

pub fn body(bytes: &[u8]) -> Say {
    Frame { kind: BODY, channel: 1, payload: bytes.to_owned() }
}

/// What a frame of the broker is called in a transcript, with the arguments that tests look at.
pub fn describe(frame: &Frame) -> String {
    match frame.kind {
        METHOD => describe_method(&frame.payload),
        HEADER => "header".to_owned(),
        BODY => format!("body {:?}", String::from_utf8_lossy(&frame.payload)),
        kind => format!("frame of kind {kind}"),
    }
}

fn describe_method(payload: &[u8]) -> String {
    let mut reader = Reader(payload);
    let (class, id) = (reader.u16(), reader.u16());
    match (class, id) {
        (10, 50) => format!("connection.close {}", describe_close(&mut reader)),
        (20, 40) => format!("channel.close {}", describe_close(&mut reader)),
        (50, 31) => format!("queue.purge-ok {}", reader.u32()),
        (50, 41) => format!("queue.delete-ok {}", reader.u32()),
        (60, 30) => format!("basic.cancel {}", reader.short()),
        (60, 50) => {
            let (code, text, exchange, key) = (reader.u16(), reader.short(), reader.short(), reader.short());
            format!("basic.return {code} {text} exchange={exchange:?} key={key:?}")
        }
        (60, 60) => {
            let (consumer, tag, redelivered) = (reader.short(), reader.u64(), reader.u8() & 1 == 1);
            format!("basic.deliver {tag} consumer={consumer} redelivered={redelivered}")
        }
        (60, 71) => format!("basic.get-ok {} redelivered={}", reader.u64(), reader.u8() & 1 == 1),
        (60, 80) => format!("basic.ack {} multiple={}", reader.u64(), reader.u8() & 1 == 1),
        (60, 120) => format!("basic.nack {}", reader.u64()),
        _ => name(class, id).map_or_else(|| format!("method {class}.{id}"), str::to_owned),
    }
}

fn describe_close(reader: &mut Reader<'_>) -> String {
    let (code, text) = (reader.u16(), reader.short());
    let (class, id) = (reader.u16(), reader.u16());
    format!("{code} {text} [{class}.{id}]")
}

fn name(class: u16, id: u16) -> Option<&'static str> {
    let name = match (class, id) {
        (10, 10) => "connection.start",
        (10, 30) => "connection.tune",
        (10, 41) => "connection.open-ok",
        (10, 51) => "connection.close-ok",
        (20, 11) => "channel.open-ok",
        (20, 21) => "channel.flow-ok",
        (20, 41) => "channel.close-ok",
        (40, 11) => "exchange.declare-ok",
        (40, 21) => "exchange.delete-ok",
        (40, 31) => "exchange.bind-ok",
        (40, 51) => "exchange.unbind-ok",
        (50, 11) => "queue.declare-ok",
        (50, 21) => "queue.bind-ok",
        (50, 51) => "queue.unbind-ok",
        (60, 11) => "basic.qos-ok",
        (60, 21) => "basic.consume-ok",
        (60, 31) => "basic.cancel-ok",
        (60, 72) => "basic.get-empty",
        (60, 111) => "basic.recover-ok",
        (85, 11) => "confirm.select-ok",
        _ => return None,
    };
    Some(name)
}

fn connection(id: u16, arguments: Writer) -> Say {
    Frame { channel: 0, ..method(10, id, arguments) }
}
