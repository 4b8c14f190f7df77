//! A byte stream told as a story, one line per method, for tests of every layer above.
//!
//! ```text
//! basic.publish 1 exchange="" key="orders" + body 5
//! basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="orders" + body 5
//! ```
//!
//! Method, channel, arguments in wire order. Left out: reserved arguments, flags that are not set (but
//! `redelivered`), empty tables. Properties, if any, follow the body's size in braces.

use std::{collections::BTreeMap, fmt::Write};

use crate::wire::{
    catalog::{Argument, ArgumentValue, Signature},
    content::parse_content_header,
    cursor::Cursor,
    frame::{ChannelNumber, Frame, FrameKind, ProtocolHeader, parse_frame},
    method::MethodId,
    properties::Properties,
    table::{RawTable, RawValue},
};

/// The lines of `bytes`: a stream of whole frames as either peer sends it, a protocol header in front or not.
/// What is no frame, method or content is told as such.
#[must_use]
pub fn describe(bytes: &[u8]) -> Vec<String> {
    let mut story = Story::default();
    let mut rest = bytes;
    if let Some((header, frames)) = bytes.split_first_chunk::<{ ProtocolHeader::SIZE }>()
        && let [b'A', b'M', b'Q', b'P', a, b, c, d] = header
    {
        story.lines.push(Line::of(format!("protocol-header {a}-{b}-{c}-{d}")));
        rest = frames;
    }
    while !rest.is_empty() {
        match parse_frame(rest, 0) {
            Ok(Some((frame, size))) => {
                story.tell(&frame);
                rest = &rest[size..];
            }
            Ok(None) => {
                story.lines.push(Line::of(format!("part of a frame, {} bytes", rest.len())));
                break;
            }
            Err(error) => {
                story.lines.push(Line::of(format!("no frame: {error}")));
                break;
            }
        }
    }
    story.lines.into_iter().map(Line::finish).collect()
}

#[derive(Default)]
struct Story {
    lines: Vec<Line>,
    /// The line of each channel's last method or content header.
    open: BTreeMap<ChannelNumber, usize>,
}

struct Line {
    text: String,
    content: Option<Content>,
}

struct Content {
    size: u64,
    received: u64,
    properties: String,
}

impl Story {
    fn tell(&mut self, frame: &Frame<'_>) {
        let channel = frame.channel;
        match frame.kind {
            FrameKind::Method => {
                self.open.insert(channel, self.lines.len());
                self.lines.push(Line::of(describe_method(channel, frame.payload)));
            }
            FrameKind::Header => self.tell_header(channel, frame.payload),
            FrameKind::Body => self.tell_body(channel, frame.payload.len() as u64),
            FrameKind::Heartbeat => self.lines.push(Line::of("heartbeat".to_owned())),
        }
    }

    fn tell_header(&mut self, channel: ChannelNumber, payload: &[u8]) {
        let content = match parse_content_header(payload) {
            Ok(header) => Content {
                size: header.body_size,
                received: 0,
                properties: describe_properties(&header.properties),
            },
            Err(error) => {
                return self.lines.push(Line::of(format!("no content header {}: {error}", channel.0)));
            }
        };
        match self.open_line(channel) {
            Some(line) if line.content.is_none() => line.content = Some(content),
            _ => {
                self.open.insert(channel, self.lines.len());
                let text = format!("content header {}", channel.0);
                self.lines.push(Line { text, content: Some(content) });
            }
        }
    }

    fn tell_body(&mut self, channel: ChannelNumber, size: u64) {
        match self.open_line(channel).and_then(|line| line.content.as_mut()) {
            Some(content) => content.received += size,
            None => self.lines.push(Line::of(format!("body frame {} {size}", channel.0))),
        }
    }

    fn open_line(&mut self, channel: ChannelNumber) -> Option<&mut Line> {
        let index = *self.open.get(&channel)?;
        self.lines.get_mut(index)
    }
}

impl Line {
    fn of(text: String) -> Self {
        Self { text, content: None }
    }

    fn finish(self) -> String {
        let mut text = self.text;
        if let Some(Content { size, received, properties }) = self.content {
            text.push_str(" + body ");
            if received != size {
                text.push_str(&format!("{received} of "));
            }
            text.push_str(&size.to_string());
            text.push_str(&properties);
        }
        text
    }
}

fn describe_method(channel: ChannelNumber, payload: &[u8]) -> String {
    let mut cursor = Cursor::new(payload);
    let (Some(class), Some(method)) = (cursor.short(), cursor.short()) else {
        return format!("no method {}, {} bytes", channel.0, payload.len());
    };
    let Some(signature) = Signature::of(MethodId { class, method }) else {
        return format!("unknown method {class}.{method} {}", channel.0);
    };
    let mut text = format!("{} {}", signature.name, channel.0);
    for argument in signature.arguments {
        let Some(value) = argument.read(&mut cursor) else {
            text.push_str(" (truncated)");
            return text;
        };
        describe_argument(&mut text, argument, value);
    }
    if !cursor.is_empty() {
        text.push_str(" (and more bytes)");
    }
    text
}

fn describe_argument(text: &mut String, argument: &Argument, value: ArgumentValue<'_>) {
    match (*argument, value) {
        (Argument::Bits(names), ArgumentValue::Bits(bits)) => {
            for (bit, name) in names.iter().enumerate() {
                let is_set = bits & (1 << bit) != 0;
                if is_set || *name == "redelivered" {
                    text.push_str(&format!(" {name}={is_set}"));
                }
            }
        }
        (
            Argument::Octet(name)
            | Argument::Short(name)
            | Argument::Long(name)
            | Argument::LongLong(name)
            | Argument::ShortString(name)
            | Argument::LongString(name)
            | Argument::Table(name),
            value,
        ) if !name.is_empty() => describe_named(text, shortened(name), value),
        _ => {}
    }
}

fn describe_named(text: &mut String, name: &str, value: ArgumentValue<'_>) {
    match value {
        ArgumentValue::Number(number) => text.push_str(&format!(" {name}={number}")),
        ArgumentValue::Bytes(bytes) => text.push_str(&format!(" {name}={}", quoted(bytes))),
        ArgumentValue::Table([]) => {}
        ArgumentValue::Table(entries) => match RawTable::parse_entries(entries) {
            Ok(table) => text.push_str(&format!(" {name}={}", describe_table(&table))),
            Err(error) => text.push_str(&format!(" {name}=({error})")),
        },
        ArgumentValue::Bits(_) => {}
    }
}

/// The story's word for an argument that the specification names at length.
fn shortened(name: &'static str) -> &'static str {
    match name {
        "routing-key" => "key",
        "delivery-tag" => "tag",
        "consumer-tag" => "consumer",
        "reply-code" => "code",
        "reply-text" => "text",
        "class-id" => "class",
        "method-id" => "method",
        _ => name,
    }
}

fn describe_properties(properties: &Properties<'_>) -> String {
    let text = |name: &str, value: Option<&[u8]>| value.map(|value| format!("{name}={}", quoted(value)));
    let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name}={value}"));
    let parts = [
        text("content-type", properties.content_type),
        text("content-encoding", properties.content_encoding),
        properties.headers.map(|headers| format!("headers={}", describe_table(&headers))),
        number("delivery-mode", properties.delivery_mode.map(u64::from)),
        number("priority", properties.priority.map(u64::from)),
        text("correlation-id", properties.correlation_id),
        text("reply-to", properties.reply_to),
        text("expiration", properties.expiration),
        text("message-id", properties.message_id),
        number("timestamp", properties.timestamp),
        text("type", properties.kind),
        text("user-id", properties.user_id),
        text("app-id", properties.app_id),
        text("cluster-id", properties.cluster_id),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!(" {{{}}}", parts.join(" ")) }
}

fn describe_table(table: &RawTable<'_>) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in table.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{}={}", name.escape_ascii(), describe_value(&value));
    }
    text.push('}');
    text
}

fn describe_value(value: &RawValue<'_>) -> String {
    match value {
        RawValue::Bool(value) => value.to_string(),
        RawValue::Int8(value) => value.to_string(),
        RawValue::UInt8(value) => value.to_string(),
        RawValue::Int16(value) => value.to_string(),
        RawValue::UInt16(value) => value.to_string(),
        RawValue::Int32(value) => value.to_string(),
        RawValue::UInt32(value) => value.to_string(),
        RawValue::Int64(value) => value.to_string(),
        RawValue::Float(value) => value.to_string(),
        RawValue::Double(value) => value.to_string(),
        RawValue::Decimal { scale, value } => format!("{value}e-{scale}"),
        RawValue::LongString(text) => quoted(text),
        RawValue::Bytes(bytes) => format!("bytes {}", quoted(bytes)),
        RawValue::Timestamp(seconds) => format!("@{seconds}"),
        RawValue::Table(table) => describe_table(table),
        RawValue::Array(array) => {
            let values: Vec<String> = array.iter().map(|value| describe_value(&value)).collect();
            format!("[{}]", values.join(", "))
        }
        RawValue::Void => "void".to_owned(),
    }
}

/// Text in quotes: UTF-8 as it is, anything else escaped.
fn quoted(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("\"{}\"", bytes.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::{
        protocol::{AMQPClass, BasicProperties, channel, connection, queue},
        types::{AMQPValue, FieldTable},
    };
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{
        encode::{
            encode_content_header, encode_route, write_ack, write_body, write_deliver, write_get_ok,
            write_header, write_heartbeat, write_method, write_publish, write_return,
        },
        frame::PROTOCOL_HEADER,
    };

    const ONE: ChannelNumber = ChannelNumber(1);
    const TWO: ChannelNumber = ChannelNumber(2);

    fn check(bytes: &[u8], expected: &Expect) {
        expected.assert_eq(&(describe(bytes).join("\n") + "\n"));
    }

    #[test]
    fn a_message_is_one_line() {
        let mut out = PROTOCOL_HEADER.to_vec();
        let header = encode_content_header(5, &BasicProperties::default());
        let route = encode_route("", "orders");
        write_publish(&mut out, ONE, "", "orders", true, false);
        write_header(&mut out, ONE, &header);
        write_body(&mut out, ONE, b"hello", 4_096);
        write_deliver(&mut out, ONE, "c1", 1, false, &route);
        write_header(&mut out, ONE, &header);
        write_ack(&mut out, TWO, 7, true);
        write_body(&mut out, ONE, b"hello", 10);
        write_get_ok(&mut out, ONE, 2, true, &route, 9);
        write_header(&mut out, ONE, &encode_content_header(0, &BasicProperties::default()));
        write_return(&mut out, ONE, 312, "NO_ROUTE", &route);
        write_header(&mut out, ONE, &header);
        write_body(&mut out, ONE, b"hel", 4_096);
        write_heartbeat(&mut out);
        check(
            &out,
            &expect![[r#"
                protocol-header 0-0-9-1
                basic.publish 1 exchange="" key="orders" mandatory=true + body 5
                basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="orders" + body 5
                basic.ack 2 tag=7 multiple=true
                basic.get-ok 1 tag=2 redelivered=true exchange="" key="orders" message-count=9 + body 0
                basic.return 1 code=312 text="NO_ROUTE" exchange="" key="orders" + body 3 of 5
                heartbeat
            "#]],
        );
    }

    #[test]
    fn arguments_and_properties_are_shown() {
        let mut nested = FieldTable::default();
        nested.insert("count".into(), AMQPValue::LongLongInt(3));
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(5));
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        arguments.insert("x-death".into(), AMQPValue::FieldArray(vec![AMQPValue::FieldTable(nested)].into()));
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_type("t".into())
            .with_headers(arguments.clone());
        let declare =
            queue::Declare { queue: "q".into(), durable: true, arguments, ..queue::Declare::default() };
        let close =
            channel::Close { reply_code: 404, reply_text: "NOT_FOUND".into(), class_id: 50, method_id: 10 };
        let mut out = Vec::new();
        write_method(&mut out, ONE, &AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
        write_method(&mut out, ONE, &AMQPClass::Channel(channel::AMQPMethod::Close(close)));
        let open = connection::Open { virtual_host: "/".into() };
        write_method(&mut out, ChannelNumber(0), &AMQPClass::Connection(connection::AMQPMethod::Open(open)));
        write_publish(&mut out, ONE, "x", [0xFF], false, false);
        write_header(&mut out, ONE, &encode_content_header(0, &properties));
        check(
            &out,
            &expect![[r#"
                queue.declare 1 queue="q" durable=true arguments={x-death=[{count=3}], x-max-length=5, x-queue-type="quorum"}
                channel.close 1 code=404 text="NOT_FOUND" class=50 method=10
                connection.open 0 virtual-host="/"
                basic.publish 1 exchange="x" key="\xff" + body 0 {headers={x-death=[{count=3}], x-max-length=5, x-queue-type="quorum"} delivery-mode=2 type="t"}
            "#]],
        );
    }

    #[test]
    fn what_is_no_story_is_told_as_such() {
        let mut out = Vec::new();
        write_body(&mut out, ONE, b"lost", 0);
        write_header(&mut out, ONE, b"no");
        write_header(&mut out, ONE, &encode_content_header(4, &BasicProperties::default()));
        out.extend_from_slice(&[1, 0, 1, 0, 0, 0, 4, 0, 77, 0, 1, 0xCE]);
        out.extend_from_slice(&[1, 0, 1, 0, 0, 0, 5, 0, 60, 0, 80, 9, 0xCE]);
        out.extend_from_slice(&[9, 0, 1]);
        check(
            &out,
            &expect![[r#"
                body frame 1 4
                no content header 1: type 2, all octets = <<"no">>: unknown_frame
                content header 1 + body 0 of 4
                unknown method 77.1 1
                basic.ack 1 (truncated)
                part of a frame, 3 bytes
            "#]],
        );
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_story(bytes: Vec<u8>, payload: Vec<u8>, kind in 1_u8..4) {
            let _ = describe(&bytes);
            let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
            let _ = describe(&[&[kind, 0, 1][..], &size, &payload, &[0xCE], &bytes].concat());
        }
    }
}
