//! What clients send, as bytes. `set` changes arguments that few tests care about.

use amq_protocol::{
    protocol::{AMQPClass, BasicProperties, basic, channel, confirm, connection, exchange, queue, tx},
    types::{AMQPValue, FieldTable, LongString},
};

use crate::wire::{
    encode::{
        encode_content_header, write_ack, write_body, write_header, write_heartbeat, write_method,
        write_publish,
    },
    frame::{ChannelNumber, FrameKind, PROTOCOL_HEADER, parse_frame},
};

/// Any method.
pub(super) fn method(channel: u16, class: AMQPClass) -> Vec<u8> {
    let mut out = Vec::new();
    write_method(&mut out, ChannelNumber(channel), &class);
    out
}

/// Nothing to change.
pub(super) fn plainly<T>(_: &mut T) {}

pub(super) fn protocol_header() -> Vec<u8> {
    PROTOCOL_HEADER.to_vec()
}

pub(super) fn heartbeat() -> Vec<u8> {
    let mut out = Vec::new();
    write_heartbeat(&mut out);
    out
}

fn connection(method_: connection::AMQPMethod) -> Vec<u8> {
    method(0, AMQPClass::Connection(method_))
}

pub(super) fn start_ok(mechanism: &str, response: &[u8], capabilities: &[&str]) -> Vec<u8> {
    let mut table = FieldTable::default();
    for capability in capabilities {
        table.insert((*capability).into(), AMQPValue::Boolean(true));
    }
    let mut client_properties = FieldTable::default();
    client_properties.insert("capabilities".into(), AMQPValue::FieldTable(table));
    connection(connection::AMQPMethod::StartOk(connection::StartOk {
        client_properties,
        mechanism: mechanism.into(),
        response: LongString::from(response),
        locale: "en_US".into(),
    }))
}

/// `start-ok` as most clients send it.
pub(super) fn plain(user: &str, password: &str) -> Vec<u8> {
    let response = format!("\0{user}\0{password}");
    start_ok("PLAIN", response.as_bytes(), &["authentication_failure_close", "consumer_cancel_notify"])
}

/// The same of a client that wants to hear of alarms.
pub(super) fn plain_hearing_of_alarms() -> Vec<u8> {
    start_ok("PLAIN", b"\0guest\0guest", &["connection.blocked", "consumer_cancel_notify"])
}

pub(super) fn tune_ok(channel_max: u16, frame_max: u32, heartbeat: u16) -> Vec<u8> {
    connection(connection::AMQPMethod::TuneOk(connection::TuneOk { channel_max, frame_max, heartbeat }))
}

pub(super) fn connection_open(vhost: &str) -> Vec<u8> {
    connection(connection::AMQPMethod::Open(connection::Open { virtual_host: vhost.into() }))
}

pub(super) fn connection_close() -> Vec<u8> {
    connection(connection::AMQPMethod::Close(connection::Close {
        reply_code: 200,
        reply_text: "bye".into(),
        class_id: 0,
        method_id: 0,
    }))
}

pub(super) fn connection_close_ok() -> Vec<u8> {
    connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}))
}

pub(super) fn channel_open(channel: u16) -> Vec<u8> {
    method(channel, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})))
}

pub(super) fn channel_close(channel: u16) -> Vec<u8> {
    let close = channel::Close { reply_code: 200, ..channel::Close::default() };
    method(channel, AMQPClass::Channel(channel::AMQPMethod::Close(close)))
}

pub(super) fn channel_close_ok(channel: u16) -> Vec<u8> {
    method(channel, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})))
}

pub(super) fn flow(channel: u16, active: bool) -> Vec<u8> {
    method(channel, AMQPClass::Channel(channel::AMQPMethod::Flow(channel::Flow { active })))
}

pub(super) fn confirm_select(channel: u16) -> Vec<u8> {
    method(channel, AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select::default())))
}

pub(super) fn tx_select(channel: u16) -> Vec<u8> {
    method(channel, AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})))
}

pub(super) fn commit(channel: u16) -> Vec<u8> {
    method(channel, AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {})))
}

pub(super) fn rollback(channel: u16) -> Vec<u8> {
    method(channel, AMQPClass::Tx(tx::AMQPMethod::Rollback(tx::Rollback {})))
}

pub(super) fn declare(channel: u16, name: &str, set: impl FnOnce(&mut queue::Declare)) -> Vec<u8> {
    let mut declare = queue::Declare { queue: name.into(), ..queue::Declare::default() };
    set(&mut declare);
    method(channel, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))
}

pub(super) fn durable(declare: &mut queue::Declare) {
    declare.durable = true;
}

pub(super) fn exclusive(declare: &mut queue::Declare) {
    declare.exclusive = true;
}

pub(super) fn auto_delete(declare: &mut queue::Declare) {
    declare.auto_delete = true;
}

pub(super) fn passive(declare: &mut queue::Declare) {
    declare.passive = true;
}

pub(super) fn delete(channel: u16, name: &str, set: impl FnOnce(&mut queue::Delete)) -> Vec<u8> {
    let mut delete = queue::Delete { queue: name.into(), ..queue::Delete::default() };
    set(&mut delete);
    method(channel, AMQPClass::Queue(queue::AMQPMethod::Delete(delete)))
}

pub(super) fn purge(channel: u16, name: &str) -> Vec<u8> {
    let purge = queue::Purge { queue: name.into(), ..queue::Purge::default() };
    method(channel, AMQPClass::Queue(queue::AMQPMethod::Purge(purge)))
}

pub(super) fn bind(
    channel: u16,
    [name, exchange, key]: [&str; 3],
    set: impl FnOnce(&mut queue::Bind),
) -> Vec<u8> {
    let mut bind = queue::Bind {
        queue: name.into(),
        exchange: exchange.into(),
        routing_key: key.into(),
        ..queue::Bind::default()
    };
    set(&mut bind);
    method(channel, AMQPClass::Queue(queue::AMQPMethod::Bind(bind)))
}

pub(super) fn unbind(channel: u16, [name, exchange, key]: [&str; 3]) -> Vec<u8> {
    let unbind = queue::Unbind {
        queue: name.into(),
        exchange: exchange.into(),
        routing_key: key.into(),
        ..queue::Unbind::default()
    };
    method(channel, AMQPClass::Queue(queue::AMQPMethod::Unbind(unbind)))
}

pub(super) fn declare_exchange(
    channel: u16,
    name: &str,
    kind: &str,
    set: impl FnOnce(&mut exchange::Declare),
) -> Vec<u8> {
    let mut declare =
        exchange::Declare { exchange: name.into(), kind: kind.into(), ..exchange::Declare::default() };
    set(&mut declare);
    method(channel, AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)))
}

pub(super) fn delete_exchange(channel: u16, name: &str, set: impl FnOnce(&mut exchange::Delete)) -> Vec<u8> {
    let mut delete = exchange::Delete { exchange: name.into(), ..exchange::Delete::default() };
    set(&mut delete);
    method(channel, AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete)))
}

pub(super) fn bind_exchange(channel: u16, [destination, source, key]: [&str; 3]) -> Vec<u8> {
    let bind = exchange::Bind {
        destination: destination.into(),
        source: source.into(),
        routing_key: key.into(),
        ..exchange::Bind::default()
    };
    method(channel, AMQPClass::Exchange(exchange::AMQPMethod::Bind(bind)))
}

pub(super) fn unbind_exchange(channel: u16, [destination, source, key]: [&str; 3]) -> Vec<u8> {
    let unbind = exchange::Unbind {
        destination: destination.into(),
        source: source.into(),
        routing_key: key.into(),
        ..exchange::Unbind::default()
    };
    method(channel, AMQPClass::Exchange(exchange::AMQPMethod::Unbind(unbind)))
}

/// A publish with a body of so many bytes, which tells it from others in a transcript.
pub(super) fn publish(channel: u16, exchange: &str, key: &str, body_size: usize) -> Vec<u8> {
    publish_with(channel, (exchange, key, false), &vec![b'x'; body_size], &BasicProperties::default())
}

/// The same, persistent, to a queue.
pub(super) fn persistent(channel: u16, queue: &str, body_size: usize) -> Vec<u8> {
    let properties = BasicProperties::default().with_delivery_mode(2);
    publish_with(channel, ("", queue, false), &vec![b'x'; body_size], &properties)
}

/// So many messages to the queue `q`, with bodies of 1, 2, 3 … bytes, on channel 2.
pub(super) fn publishes(count: usize) -> Vec<u8> {
    (1..=count).flat_map(|size| publish(2, "", "q", size)).collect()
}

pub(super) fn publish_mandatory(channel: u16, exchange: &str, key: &str, body_size: usize) -> Vec<u8> {
    publish_with(channel, (exchange, key, true), &vec![b'x'; body_size], &BasicProperties::default())
}

pub(super) fn publish_with(
    channel: u16,
    (exchange, key, mandatory): (&str, &str, bool),
    body: &[u8],
    properties: &BasicProperties,
) -> Vec<u8> {
    let mut out = publish_method(channel, exchange, key, mandatory);
    out.extend(header(channel, body.len() as u64, properties));
    out.extend(self::body(channel, body));
    out
}

pub(super) fn publish_method(channel: u16, exchange: &str, key: &str, mandatory: bool) -> Vec<u8> {
    let mut out = Vec::new();
    write_publish(&mut out, ChannelNumber(channel), exchange, key, mandatory, false);
    out
}

pub(super) fn header(channel: u16, body_size: u64, properties: &BasicProperties) -> Vec<u8> {
    let mut out = Vec::new();
    write_header(&mut out, ChannelNumber(channel), &encode_content_header(body_size, properties));
    out
}

pub(super) fn body(channel: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_body(&mut out, ChannelNumber(channel), body, 131_072);
    out
}

fn basic(channel: u16, method_: basic::AMQPMethod) -> Vec<u8> {
    method(channel, AMQPClass::Basic(method_))
}

pub(super) fn consume(channel: u16, name: &str, tag: &str, set: impl FnOnce(&mut basic::Consume)) -> Vec<u8> {
    let mut consume =
        basic::Consume { queue: name.into(), consumer_tag: tag.into(), ..basic::Consume::default() };
    set(&mut consume);
    basic(channel, basic::AMQPMethod::Consume(consume))
}

pub(super) fn cancel(channel: u16, tag: &str) -> Vec<u8> {
    basic(channel, basic::AMQPMethod::Cancel(basic::Cancel { consumer_tag: tag.into(), nowait: false }))
}

pub(super) fn get(channel: u16, name: &str, no_ack: bool) -> Vec<u8> {
    basic(channel, basic::AMQPMethod::Get(basic::Get { queue: name.into(), no_ack }))
}

pub(super) fn qos(channel: u16, prefetch_count: u16, global: bool) -> Vec<u8> {
    basic(channel, basic::AMQPMethod::Qos(basic::Qos { prefetch_count, global }))
}

pub(super) fn recover(channel: u16, requeue: bool) -> Vec<u8> {
    basic(channel, basic::AMQPMethod::Recover(basic::Recover { requeue }))
}

pub(super) fn recover_async(channel: u16) -> Vec<u8> {
    basic(channel, basic::AMQPMethod::RecoverAsync(basic::RecoverAsync { requeue: true }))
}

pub(super) fn ack(channel: u16, delivery_tag: u64, multiple: bool) -> Vec<u8> {
    let mut out = Vec::new();
    write_ack(&mut out, ChannelNumber(channel), delivery_tag, multiple);
    out
}

pub(super) fn nack(channel: u16, delivery_tag: u64, multiple: bool, requeue: bool) -> Vec<u8> {
    basic(channel, basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue }))
}

pub(super) fn reject(channel: u16, delivery_tag: u64, requeue: bool) -> Vec<u8> {
    basic(channel, basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue }))
}

/// A table of texts.
pub(super) fn table(entries: &[(&str, &str)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), AMQPValue::LongString((*value).into()));
    }
    table
}

/// The bodies in what a server sent, behind each other.
pub(super) fn bodies(mut bytes: &[u8]) -> Vec<u8> {
    let mut bodies = Vec::new();
    while let Some((frame, size)) = parse_frame(bytes, 0).unwrap() {
        if frame.kind == FrameKind::Body {
            bodies.extend_from_slice(frame.payload);
        }
        bytes = &bytes[size..];
    }
    bodies
}
