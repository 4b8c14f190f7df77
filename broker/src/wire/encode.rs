//! AMQP to bytes: whole frames, appended to what is to be sent.
//!
//! The methods on the path of every message are written by hand, without allocation; the others go through
//! `amq-protocol`. A `route` is exchange and routing key as two adjacent short strings, copied from the
//! publish ([`Publish::route`](crate::wire::method::Publish::route)) or made by [`encode_route`].
//!
//! Short strings longer than 255 bytes are cut there: names are checked long before
//! ([`Name`](crate::model::name::Name)), and texts may lose their end.

use amq_protocol::protocol::{AMQPClass, BasicProperties, basic::gen_properties, gen_class};

use crate::wire::{
    content::{CONTENT_HEADER_HEAD, CONTENT_HEADER_START},
    frame::{ChannelNumber, FRAME_END, FRAME_HEAD, FRAME_OVERHEAD, FrameKind},
    method::MethodId,
};

/// Writes any method.
///
/// # Panics
/// Never: writing to memory cannot fail.
#[expect(clippy::expect_used, reason = "writing to memory cannot fail")]
pub fn write_method(out: &mut Vec<u8>, channel: ChannelNumber, method: &AMQPClass) {
    let start = begin_frame(out, FrameKind::Method, channel);
    let written = gen_class(method)(std::mem::take(out).into());
    *out = written.expect("memory takes every method").into_inner().0;
    end_frame(out, start);
}

/// Writes `basic.deliver`.
#[inline]
pub fn write_deliver(
    out: &mut Vec<u8>,
    channel: ChannelNumber,
    consumer_tag: impl AsRef<[u8]>,
    delivery_tag: u64,
    redelivered: bool,
    route: &[u8],
) {
    let start = begin_method(out, channel, MethodId::DELIVER);
    put_short_string(out, consumer_tag.as_ref());
    out.extend_from_slice(&delivery_tag.to_be_bytes());
    out.push(u8::from(redelivered));
    out.extend_from_slice(route);
    end_frame(out, start);
}

/// Writes `basic.get-ok`.
#[inline]
pub fn write_get_ok(
    out: &mut Vec<u8>,
    channel: ChannelNumber,
    delivery_tag: u64,
    redelivered: bool,
    route: &[u8],
    message_count: u32,
) {
    let start = begin_method(out, channel, MethodId::GET_OK);
    out.extend_from_slice(&delivery_tag.to_be_bytes());
    out.push(u8::from(redelivered));
    out.extend_from_slice(route);
    out.extend_from_slice(&message_count.to_be_bytes());
    end_frame(out, start);
}

/// Writes `basic.return`.
#[inline]
pub fn write_return(out: &mut Vec<u8>, channel: ChannelNumber, code: u16, text: &str, route: &[u8]) {
    let start = begin_method(out, channel, MethodId::RETURN);
    out.extend_from_slice(&code.to_be_bytes());
    put_short_string(out, text.as_bytes());
    out.extend_from_slice(route);
    end_frame(out, start);
}

/// Writes `basic.ack`.
#[inline]
pub fn write_ack(out: &mut Vec<u8>, channel: ChannelNumber, delivery_tag: u64, multiple: bool) {
    write_settle(out, channel, MethodId::ACK, delivery_tag, u8::from(multiple));
}

/// Writes `basic.nack` as a server does: requeue false.
#[inline]
pub fn write_nack(out: &mut Vec<u8>, channel: ChannelNumber, delivery_tag: u64, multiple: bool) {
    write_settle(out, channel, MethodId::NACK, delivery_tag, u8::from(multiple));
}

/// Writes a content header that is already encoded: a publish's own payload, or [`encode_content_header`]'s.
#[inline]
pub fn write_header(out: &mut Vec<u8>, channel: ChannelNumber, header_payload: &[u8]) {
    write_frame(out, FrameKind::Header, channel, header_payload);
}

/// Writes a body in as many frames as `frame_max` asks for: none when it is empty, one when `frame_max` is 0.
#[inline]
pub fn write_body(out: &mut Vec<u8>, channel: ChannelNumber, body: &[u8], frame_max: u32) {
    for piece in body.chunks(body_piece_max(frame_max)) {
        write_frame(out, FrameKind::Body, channel, piece);
    }
}

/// The bytes [`write_body`] takes for a body of `body_size` bytes.
#[inline]
#[must_use]
pub fn body_frames_size(body_size: usize, frame_max: u32) -> usize {
    body_size + body_size.div_ceil(body_piece_max(frame_max)) * FRAME_OVERHEAD
}

/// Writes what precedes a body frame's payload of `size` bytes, for a body that is written from where it is;
/// [`FRAME_END`] follows it.
#[inline]
pub fn write_body_frame_head(out: &mut Vec<u8>, channel: ChannelNumber, size: u32) {
    out.extend_from_slice(&frame_head(FrameKind::Body, channel, size));
}

/// The largest body piece of one frame.
#[inline]
#[must_use]
pub fn body_piece_max(frame_max: u32) -> usize {
    match frame_max {
        0 => u32::MAX as usize,
        _ => (frame_max as usize).saturating_sub(FRAME_OVERHEAD).max(1),
    }
}

/// Writes a heartbeat.
#[inline]
pub fn write_heartbeat(out: &mut Vec<u8>) {
    write_frame(out, FrameKind::Heartbeat, ChannelNumber(0), &[]);
}

/// Writes `basic.publish`, as clients do.
#[inline]
pub fn write_publish(
    out: &mut Vec<u8>,
    channel: ChannelNumber,
    exchange: &str,
    routing_key: impl AsRef<[u8]>,
    mandatory: bool,
    immediate: bool,
) {
    let start = begin_method(out, channel, MethodId::PUBLISH);
    out.extend_from_slice(&[0, 0]);
    put_short_string(out, exchange.as_bytes());
    put_short_string(out, routing_key.as_ref());
    out.push(u8::from(mandatory) | u8::from(immediate) << 1);
    end_frame(out, start);
}

/// Exchange and routing key as two adjacent short strings.
#[must_use]
pub fn encode_route(exchange: &str, routing_key: impl AsRef<[u8]>) -> Vec<u8> {
    let routing_key = routing_key.as_ref();
    let mut route = Vec::with_capacity(exchange.len() + routing_key.len() + 2);
    put_short_string(&mut route, exchange.as_bytes());
    put_short_string(&mut route, routing_key);
    route
}

/// A header frame's payload.
///
/// # Panics
/// Never: writing to memory cannot fail.
#[must_use]
#[expect(clippy::expect_used, reason = "writing to memory cannot fail")]
pub fn encode_content_header(body_size: u64, properties: &BasicProperties) -> Vec<u8> {
    let mut payload = Vec::with_capacity(CONTENT_HEADER_HEAD + 32);
    payload.extend_from_slice(&CONTENT_HEADER_START);
    payload.extend_from_slice(&body_size.to_be_bytes());
    let written = gen_properties(properties)(payload.into());
    written.expect("memory takes all properties").into_inner().0
}

fn write_settle(out: &mut Vec<u8>, channel: ChannelNumber, id: MethodId, delivery_tag: u64, bits: u8) {
    let start = begin_method(out, channel, id);
    out.extend_from_slice(&delivery_tag.to_be_bytes());
    out.push(bits);
    end_frame(out, start);
}

fn write_frame(out: &mut Vec<u8>, kind: FrameKind, channel: ChannelNumber, payload: &[u8]) {
    out.reserve(payload.len() + FRAME_OVERHEAD);
    out.extend_from_slice(&frame_head(kind, channel, payload.len() as u32));
    out.extend_from_slice(payload);
    out.push(FRAME_END);
}

fn begin_method(out: &mut Vec<u8>, channel: ChannelNumber, id: MethodId) -> usize {
    let start = begin_frame(out, FrameKind::Method, channel);
    out.extend_from_slice(&id.class.to_be_bytes());
    out.extend_from_slice(&id.method.to_be_bytes());
    start
}

/// A frame head whose size [`end_frame`] fills in; gives where the payload starts.
fn begin_frame(out: &mut Vec<u8>, kind: FrameKind, channel: ChannelNumber) -> usize {
    out.extend_from_slice(&frame_head(kind, channel, 0));
    out.len()
}

fn end_frame(out: &mut Vec<u8>, payload_start: usize) {
    let size = (out.len() - payload_start) as u32;
    out[payload_start - 4..payload_start].copy_from_slice(&size.to_be_bytes());
    out.push(FRAME_END);
}

fn frame_head(kind: FrameKind, channel: ChannelNumber, size: u32) -> [u8; FRAME_HEAD] {
    let [c0, c1] = channel.0.to_be_bytes();
    let [s0, s1, s2, s3] = size.to_be_bytes();
    [kind.octet(), c0, c1, s0, s1, s2, s3]
}

pub(crate) fn put_short_string(out: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(usize::from(u8::MAX))];
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::basic::{
        self,
        AMQPMethod::{Ack, Deliver, GetOk, Nack, Publish, Return},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::wire::frame::parse_frame;

    const CHANNEL: ChannelNumber = ChannelNumber(0x0102);

    /// What `amq-protocol` writes for the same method.
    fn reference(method: basic::AMQPMethod) -> Vec<u8> {
        let mut payload = gen_class(&AMQPClass::Basic(method))(Vec::new().into()).unwrap().into_inner().0;
        let mut frame = vec![1, 1, 2];
        frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        frame.append(&mut payload);
        frame.push(FRAME_END);
        frame
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = b"before".to_vec();
        write(&mut out);
        out.split_off(b"before".len())
    }

    fn name() -> impl Strategy<Value = String> {
        "[a-z.é]{0,127}"
    }

    proptest! {
        #[test]
        fn hot_methods_are_what_amq_protocol_writes(
            (exchange, key, consumer_tag) in (name(), name(), name()),
            delivery_tag: u64,
            (a, b) in any::<(bool, bool)>(),
            (message_count, code) in any::<(u32, u16)>(),
        ) {
            let route = encode_route(&exchange, &key);
            let (exchange_, routing_key) = (exchange.as_str().into(), key.as_str().into());
            prop_assert_eq!(
                written(|out| write_deliver(out, CHANNEL, &consumer_tag, delivery_tag, a, &route)),
                reference(Deliver(basic::Deliver {
                    consumer_tag: consumer_tag.as_str().into(), delivery_tag, redelivered: a,
                    exchange: exchange.as_str().into(), routing_key: key.as_str().into(),
                }))
            );
            prop_assert_eq!(
                written(|out| write_get_ok(out, CHANNEL, delivery_tag, a, &route, message_count)),
                reference(GetOk(basic::GetOk {
                    delivery_tag, redelivered: a, message_count,
                    exchange: exchange.as_str().into(), routing_key: key.as_str().into(),
                }))
            );
            prop_assert_eq!(
                written(|out| write_return(out, CHANNEL, code, &consumer_tag, &route)),
                reference(Return(basic::Return {
                    reply_code: code, reply_text: consumer_tag.as_str().into(),
                    exchange: exchange.as_str().into(), routing_key: key.as_str().into(),
                }))
            );
            prop_assert_eq!(
                written(|out| write_publish(out, CHANNEL, &exchange, &key, a, b)),
                reference(Publish(basic::Publish { exchange: exchange_, routing_key, mandatory: a, immediate: b }))
            );
            prop_assert_eq!(
                written(|out| write_ack(out, CHANNEL, delivery_tag, a)),
                reference(Ack(basic::Ack { delivery_tag, multiple: a }))
            );
            prop_assert_eq!(
                written(|out| write_nack(out, CHANNEL, delivery_tag, a)),
                reference(Nack(basic::Nack { delivery_tag, multiple: a, requeue: false }))
            );
        }

        #[test]
        fn a_body_is_cut_to_frame_max(size in 0_usize..20_000, frame_max in prop_oneof![Just(0), 4_096_u32..9_000]) {
            let body: Vec<u8> = (0..size).map(|index| index as u8).collect();
            let bytes = written(|out| write_body(out, CHANNEL, &body, frame_max));
            prop_assert_eq!(bytes.len(), body_frames_size(size, frame_max));
            let (mut rest, mut joined) = (&bytes[..], Vec::new());
            while let Some((frame, taken)) = parse_frame(rest, frame_max).unwrap() {
                prop_assert_eq!((frame.kind, frame.channel), (FrameKind::Body, CHANNEL));
                prop_assert!(frame_max == 0 || taken <= frame_max as usize);
                joined.extend_from_slice(frame.payload);
                rest = &rest[taken..];
            }
            prop_assert_eq!(joined, body);
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn a_cold_method_is_a_frame_like_any_other() {
        let ack = basic::Ack { delivery_tag: 5, multiple: true };
        assert_eq!(
            written(|out| write_method(out, CHANNEL, &AMQPClass::Basic(Ack(ack.clone())))),
            written(|out| write_ack(out, CHANNEL, 5, true))
        );
    }

    #[test]
    fn a_body_frame_head_and_end_make_a_frame() {
        let by_parts = written(|out| {
            write_body_frame_head(out, CHANNEL, 3);
            out.extend_from_slice(b"abc");
            out.push(FRAME_END);
        });
        assert_eq!(by_parts, written(|out| write_body(out, CHANNEL, b"abc", 4_096)));
        assert_eq!(written(write_heartbeat), [8, 0, 0, 0, 0, 0, 0, FRAME_END]);
    }

    #[test]
    fn too_long_texts_lose_their_end() {
        let long = "x".repeat(300);
        let bytes = written(|out| write_return(out, CHANNEL, 312, &long, &[0, 0]));
        assert!(parse_frame(&bytes, 4_096).is_ok_and(|frame| frame.is_some()));
        assert_eq!(bytes[13], 255);
    }
}
