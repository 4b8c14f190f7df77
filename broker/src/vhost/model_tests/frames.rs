//! What a peer reads: deliveries and answers to `basic.get`, out of an outbox's bytes.

use super::super::{buffer::Buffer, outbox::Outbox};

/// A message as it comes to the peer.
#[derive(Debug)]
pub(in crate::vhost) struct Arrival {
    pub(in crate::vhost) tag: u64,
    /// None for an answer to a get.
    pub(in crate::vhost) consumer: Option<String>,
    pub(in crate::vhost) is_redelivered: bool,
    /// Of an answer to a get: what is left in the queue.
    pub(in crate::vhost) left_count: Option<u32>,
    pub(in crate::vhost) header: Vec<u8>,
    pub(in crate::vhost) body: Vec<u8>,
}

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const DELIVER: [u8; 4] = [0, 60, 0, 60];
const GET_OK: [u8; 4] = [0, 60, 0, 71];

/// The peer reads everything; whoever waited for room goes on.
pub(in crate::vhost) fn read_all(outbox: &Outbox) -> Vec<Arrival> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = Buffer::default();
        outbox.swap(&mut buffer);
        if buffer.is_empty() {
            return parse(&bytes);
        }
        let cost = buffer.cost();
        while !buffer.is_empty() {
            let before = bytes.len();
            buffer.slices().iter().for_each(|slice| bytes.extend_from_slice(slice));
            if buffer.advance(bytes.len() - before) {
                break;
            }
        }
        for subscription in outbox.sent(cost) {
            subscription.queue.resume(subscription.id);
        }
    }
}

fn parse(mut bytes: &[u8]) -> Vec<Arrival> {
    let mut arrivals: Vec<Arrival> = Vec::new();
    while !bytes.is_empty() {
        let size = u32::from_be_bytes(bytes[3..7].try_into().unwrap()) as usize;
        let (kind, payload) = (bytes[0], &bytes[7..7 + size]);
        assert_eq!(bytes[7 + size], 0xce);
        bytes = &bytes[8 + size..];
        match kind {
            METHOD => arrivals.push(parse_method(payload)),
            HEADER => arrivals.last_mut().unwrap().header = payload.to_vec(),
            BODY => arrivals.last_mut().unwrap().body.extend_from_slice(payload),
            other => panic!("frame of kind {other}"),
        }
    }
    arrivals
}

fn parse_method(mut payload: &[u8]) -> Arrival {
    let method = take(&mut payload, 4);
    let is_deliver = method == DELIVER;
    assert!(is_deliver || method == GET_OK, "{method:?}");
    let consumer = is_deliver.then(|| String::from_utf8(take_short_string(&mut payload).to_vec()).unwrap());
    let tag = u64::from_be_bytes(take(&mut payload, 8).try_into().unwrap());
    let is_redelivered = take(&mut payload, 1)[0] == 1;
    assert_eq!((take_short_string(&mut payload), take_short_string(&mut payload)), (&b"x"[..], &b"key"[..]));
    let left_count = (!is_deliver).then(|| u32::from_be_bytes(take(&mut payload, 4).try_into().unwrap()));
    assert_eq!(payload, b"");
    Arrival { tag, consumer, is_redelivered, left_count, header: Vec::new(), body: Vec::new() }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    bytes.split_off(..count).unwrap()
}

fn take_short_string<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let size = take(bytes, 1)[0];
    take(bytes, usize::from(size))
}
