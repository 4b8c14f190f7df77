//! One record of the message log: what happened to messages, as bytes.
//!
//! ```text
//! head          see `record_head`
//!
//! body by kind
//!  0 mark        begins a batch, see `log_file`
//!  1 publish     u8 flags (1: persistent, 2: may expire) | u8 zero | u16 route size | u32 header size |
//!                u32 places | places x (u64 queue, u64 position) | u64 arrival if it may expire, milliseconds
//!                since 1970 | route | header | body
//!  2 settle      u64 queue | u64 bytes of their bodies | ranges
//!  3 requeue     u64 queue | ranges
//!  4 delivered   u64 queue | u64 up to
//!  5 purge       u64 queue | u64 up to | u64 bytes of the bodies kept | ranges kept
//!  6 delete      u64 queue
//!  7 transaction records that count together or not at all, each u8 kind | u32 length | u32 crc32c of its body
//!                | body of that kind
//! ranges: LEB128 count, then for each a gap from the last one's end and how many follow its first
//! ```
//!
//! A body never says its own length nor its lsn, so that bodies can be put one after another into the body of
//! one record whose checksum makes them all count or none: a transaction. It is a way to write records, not
//! one of them: whoever reads gets its parts, and none has parts itself.

use bytes::Bytes;

pub use crate::storage::record_head::Lsn;
pub(super) use crate::storage::record_head::{HEAD_SIZE, Head, MARK, read_array, read_u32, read_u64};

use crate::{
    model::{message::Message, queue::Position, queue_id::QueueId, timestamp::Timestamp},
    storage::{
        position_ranges::PositionRanges,
        record_head::{DELETE, DELIVERED, PUBLISH, PURGE, REQUEUE, SETTLE, TRANSACTION},
    },
};

/// What happened to messages.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A message for one or more queues; its body is written once.
    Publish {
        /// Where it goes.
        places: &'a [(QueueId, Position)],
        /// What was published.
        message: &'a Message,
    },
    /// Ended for good.
    Settle {
        /// The queue.
        queue: QueueId,
        /// Which of its messages.
        positions: &'a PositionRanges,
        /// Their bodies together.
        bytes: u64,
    },
    /// Back in the queue: each was handed out once more.
    Requeue {
        /// The queue.
        queue: QueueId,
        /// Which of its messages.
        positions: &'a PositionRanges,
    },
    /// Messages below `up_to` may be handed out from now on. The newest mark counts, also a lower one.
    Delivered {
        /// The queue.
        queue: QueueId,
        /// The first position that is not covered.
        up_to: Position,
    },
    /// Everything below `up_to` dropped, but not what is `kept`: handed out and not yet settled.
    Purge {
        /// The queue.
        queue: QueueId,
        /// The first position that is not dropped.
        up_to: Position,
        /// What stays although it is below.
        kept: &'a PositionRanges,
        /// Bodies of what is kept, together.
        kept_bytes: u64,
    },
    /// The queue and everything in it dropped.
    Delete {
        /// The queue.
        queue: QueueId,
    },
}

/// A record that owns what it was read from.
#[derive(Clone, Debug)]
pub(super) enum OwnedRecord {
    Publish { places: Vec<(QueueId, Position)>, message: Message },
    Settle { queue: QueueId, positions: PositionRanges, bytes: u64 },
    Requeue { queue: QueueId, positions: PositionRanges },
    Delivered { queue: QueueId, up_to: Position },
    Purge { queue: QueueId, up_to: Position, kept: PositionRanges, kept_bytes: u64 },
    Delete { queue: QueueId },
}

/// A record's body before it has its place in the log.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) kind: u8,
    /// Everything but a large message.
    front: &'a [u8],
    /// A large message's route, header and body: not copied before it is in its batch.
    message: &'a [u8],
    crc: u32,
}

/// Up to this a message is put behind the rest of its record, for one checksum over one piece: that many calls, and
/// their bytes beside whole words, cost more than the copy.
const SMALL_MAX: usize = 512;

/// Kind, length and checksum of a transaction's part, bytes.
pub(super) const PART_HEAD_SIZE: usize = 9;

const PERSISTENT: u8 = 1;
/// When the message came is there, because it may expire.
const ARRIVAL: u8 = 2;
/// Where the body of a publish says how many places follow.
const PLACES_COUNT_AT: usize = 8;
/// A queue and a position in it, bytes.
const PLACE_SIZE: usize = 16;

impl<'a> Record<'a> {
    /// Encodes everything that does not depend on its place in the log, in a buffer that may hold something else.
    pub(super) fn body(&self, buffer: &'a mut Vec<u8>) -> Body<'a> {
        buffer.clear();
        let mut message = self.encode(buffer);
        if message.len() <= SMALL_MAX {
            buffer.extend_from_slice(std::mem::take(&mut message));
        }
        let mut crc = crc32c::crc32c(buffer);
        if !message.is_empty() {
            crc = crc32c::crc32c_append(crc, message);
        }
        Body { kind: self.kind(), front: buffer, message, crc }
    }

    /// What it takes as part of a transaction, bytes.
    pub(super) fn part_size(&self) -> usize {
        let body_size = match self {
            Record::Publish { places, message } => {
                let arrival_size = if message.arrived_at().is_some() { 8 } else { 0 };
                PLACES_COUNT_AT + 4 + places.len() * PLACE_SIZE + arrival_size + message.bytes().len()
            }
            _ => {
                let mut front = Vec::new();
                self.encode(&mut front);
                front.len()
            }
        };
        PART_HEAD_SIZE + body_size
    }

    /// Appends everything but the message, which is returned.
    fn encode(&self, front: &mut Vec<u8>) -> &'a [u8] {
        match *self {
            Record::Publish { places, message } => {
                encode_message_front(front, message, places.len());
                for (queue, position) in places {
                    write_u64s(front, &[queue.0, position.0]);
                }
                if let Some(arrived_at) = message.arrived_at() {
                    write_u64s(front, &[arrived_at.0]);
                }
                return message.bytes();
            }
            Record::Settle { queue, positions, bytes } => {
                write_u64s(front, &[queue.0, bytes]);
                positions.encode(front);
            }
            Record::Requeue { queue, positions } => {
                write_u64s(front, &[queue.0]);
                positions.encode(front);
            }
            Record::Delivered { queue, up_to } => write_u64s(front, &[queue.0, up_to.0]),
            Record::Purge { queue, up_to, kept, kept_bytes } => {
                write_u64s(front, &[queue.0, up_to.0, kept_bytes]);
                kept.encode(front);
            }
            Record::Delete { queue } => write_u64s(front, &[queue.0]),
        }
        &[]
    }

    /// Whether somebody probably waits until it is on stable storage. Acks nobody waits for may come back after a
    /// crash; who needs them safe closes the channel, and waits.
    pub(super) fn is_urgent(&self) -> bool {
        !matches!(self, Record::Settle { .. } | Record::Requeue { .. })
    }

    fn kind(&self) -> u8 {
        match self {
            Record::Publish { .. } => PUBLISH,
            Record::Settle { .. } => SETTLE,
            Record::Requeue { .. } => REQUEUE,
            Record::Delivered { .. } => DELIVERED,
            Record::Purge { .. } => PURGE,
            Record::Delete { .. } => DELETE,
        }
    }
}

impl<'a> Body<'a> {
    /// A body that was encoded before.
    pub(super) fn encoded(kind: u8, body: &'a [u8]) -> Self {
        Self { kind, front: &[], message: body, crc: crc32c::crc32c(body) }
    }

    /// Records in one, that count together or not at all. Its size is that of its parts.
    pub(super) fn transaction(records: &[Record<'_>], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        let mut part = Vec::new();
        for record in records {
            let Body { kind, front, message, crc } = record.body(&mut part);
            buffer.push(kind);
            // A length that does not fit makes the whole too large to be appended.
            let size = u32::try_from(front.len() + message.len()).unwrap_or(u32::MAX);
            buffer.extend_from_slice(&size.to_le_bytes());
            buffer.extend_from_slice(&crc.to_le_bytes());
            buffer.extend_from_slice(front);
            buffer.extend_from_slice(message);
        }
        let crc = crc32c::crc32c(buffer);
        Self { kind: TRANSACTION, front: buffer, message: &[], crc }
    }

    pub(super) fn size(&self) -> usize {
        self.front.len() + self.message.len()
    }

    /// Appends head and body. The size was checked to fit.
    pub(super) fn write(&self, epoch: u32, lsn: Lsn, out: &mut Vec<u8>) {
        let body_size = u32::try_from(self.size()).unwrap_or(u32::MAX);
        let head = Head { body_crc: self.crc, epoch, lsn, body_size, kind: self.kind };
        out.extend_from_slice(&head.encode());
        out.extend_from_slice(self.front);
        out.extend_from_slice(self.message);
    }
}

impl OwnedRecord {
    /// The parts of a transaction, or the one record that it is. None if the body is not one of its kind. A
    /// part has memory of its own, so that one message that stays pins no others.
    pub(super) fn decode_all(kind: u8, body: &Bytes) -> Option<Vec<Self>> {
        if kind != TRANSACTION {
            return Self::decode(kind, body).map(|record| vec![record]);
        }
        let mut records = Vec::new();
        let mut input = &body[..];
        while !input.is_empty() {
            let part = Part::split(&mut input)?;
            records.push(Self::decode(part.kind, &Bytes::copy_from_slice(part.body))?);
        }
        Some(records)
    }

    /// The message that a record put at a place, from the bytes of that record or part of a transaction.
    pub(super) fn message_at(
        holder: &Bytes,
        is_part: bool,
        epoch: u32,
        place: (QueueId, Position),
    ) -> Option<Message> {
        let (kind, body) = if is_part {
            let part = Part::split(&mut &holder[..])?;
            (part.kind, holder.slice_ref(part.body))
        } else {
            let head = Head::decode(holder.first_chunk()?)?;
            let body = holder.slice(HEAD_SIZE..);
            let is_whole = head.epoch == epoch && head.body_size as usize == body.len() && head.is_of(&body);
            is_whole.then_some((head.kind, body))?
        };
        match Self::decode(kind, &body)? {
            Self::Publish { places, message } => places.contains(&place).then_some(message),
            _ => None,
        }
    }

    /// None if the body is not one of its kind. Takes no memory beyond the body's own size.
    fn decode(kind: u8, body: &Bytes) -> Option<Self> {
        let mut input = &body[..];
        let record = match kind {
            PUBLISH => return decode_message(body),
            SETTLE => {
                let (queue, bytes) = (read_queue(&mut input)?, read_u64(&mut input)?);
                Self::Settle { queue, positions: read_ranges(&mut input)?, bytes }
            }
            REQUEUE => Self::Requeue { queue: read_queue(&mut input)?, positions: read_ranges(&mut input)? },
            DELIVERED => {
                Self::Delivered { queue: read_queue(&mut input)?, up_to: read_position(&mut input)? }
            }
            PURGE => {
                let (queue, up_to) = (read_queue(&mut input)?, read_position(&mut input)?);
                let kept_bytes = read_u64(&mut input)?;
                Self::Purge { queue, up_to, kept: read_ranges(&mut input)?, kept_bytes }
            }
            DELETE => Self::Delete { queue: read_queue(&mut input)? },
            _ => return None,
        };
        input.is_empty().then_some(record)
    }

    pub(super) fn borrow(&self) -> Record<'_> {
        match self {
            Self::Publish { places, message } => Record::Publish { places, message },
            Self::Settle { queue, positions, bytes } => {
                Record::Settle { queue: *queue, positions, bytes: *bytes }
            }
            Self::Requeue { queue, positions } => Record::Requeue { queue: *queue, positions },
            Self::Delivered { queue, up_to } => Record::Delivered { queue: *queue, up_to: *up_to },
            Self::Purge { queue, up_to, kept, kept_bytes } => {
                Record::Purge { queue: *queue, up_to: *up_to, kept, kept_bytes: *kept_bytes }
            }
            Self::Delete { queue } => Record::Delete { queue: *queue },
        }
    }

    /// The messages in it and where it put them.
    pub(super) fn messages(&self) -> impl Iterator<Item = (&[(QueueId, Position)], &Message)> {
        let publish = match self {
            Self::Publish { places, message } => Some((places.as_slice(), message)),
            _ => None,
        };
        publish.into_iter()
    }
}

/// One of a transaction's records.
struct Part<'a> {
    kind: u8,
    body: &'a [u8],
    /// With its head.
    size: usize,
}

impl<'a> Part<'a> {
    /// The next part; none if it is not whole.
    fn split(input: &mut &'a [u8]) -> Option<Self> {
        let [kind] = read_array(input)?;
        let (size, crc) = (read_u32(input)? as usize, read_u32(input)?);
        let (body, rest) = input.split_at_checked(size)?;
        *input = rest;
        (crc32c::crc32c(body) == crc).then_some(Self { kind, body, size: PART_HEAD_SIZE + size })
    }
}

/// What holds messages in a record: the record, or a part of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// From the begin of the record's head.
    pub(super) offset: usize,
    pub(super) size: usize,
    pub(super) is_part: bool,
}

/// Calls `visit` for each message in a record whose checksum is right, and each of its places.
pub(super) fn visit_places(
    kind: u8,
    body: &[u8],
    mut visit: impl FnMut(QueueId, Position, Holder),
) -> Option<()> {
    if kind != TRANSACTION {
        let holder = Holder { offset: 0, size: HEAD_SIZE + body.len(), is_part: false };
        return visit_body(kind, body, holder, &mut visit);
    }
    let mut input = body;
    while !input.is_empty() {
        let offset = HEAD_SIZE + (body.len() - input.len());
        let part = Part::split(&mut input)?;
        visit_body(part.kind, part.body, Holder { offset, size: part.size, is_part: true }, &mut visit)?;
    }
    Some(())
}

fn visit_body(
    kind: u8,
    body: &[u8],
    holder: Holder,
    visit: &mut impl FnMut(QueueId, Position, Holder),
) -> Option<()> {
    if kind != PUBLISH {
        return Some(());
    }
    let mut input = body.get(PLACES_COUNT_AT..)?;
    for _ in 0..read_u32(&mut input)? {
        let (queue, position) = (read_queue(&mut input)?, read_position(&mut input)?);
        visit(queue, position, holder);
    }
    Some(())
}

fn encode_message_front(front: &mut Vec<u8>, message: &Message, places: usize) {
    let persistent = if message.is_persistent() { PERSISTENT } else { 0 };
    let flags = if message.arrived_at().is_some() { persistent | ARRIVAL } else { persistent };
    let route_size = u16::try_from(message.route().len()).unwrap_or(u16::MAX);
    let header_size = u32::try_from(message.header().len()).unwrap_or(u32::MAX);
    let places = u32::try_from(places).unwrap_or(u32::MAX);
    front.extend_from_slice(&[flags, 0]);
    front.extend_from_slice(&route_size.to_le_bytes());
    front.extend_from_slice(&header_size.to_le_bytes());
    front.extend_from_slice(&places.to_le_bytes());
}

fn decode_message(body: &Bytes) -> Option<OwnedRecord> {
    let mut input = &body[..];
    let [flags, 0] = read_array(&mut input)? else { return None };
    let route_size = u16::from_le_bytes(read_array(&mut input)?);
    let header_size = read_u32(&mut input)?;
    let count = read_u32(&mut input)? as usize;
    if flags & !(PERSISTENT | ARRIVAL) != 0 || count > input.len() / PLACE_SIZE {
        return None;
    }
    let mut places = Vec::with_capacity(count);
    for _ in 0..count {
        places.push((read_queue(&mut input)?, read_position(&mut input)?));
    }
    let arrived_at = if flags & ARRIVAL == 0 { 0 } else { read_u64(&mut input)? };
    let (route, rest) = input.split_at_checked(usize::from(route_size))?;
    if rest.len() < header_size as usize || !is_route(route) {
        return None;
    }
    let buffer = body.slice(body.len() - input.len()..);
    let message = Message::from_buffer(buffer, (route_size, header_size), flags & PERSISTENT != 0);
    Some(OwnedRecord::Publish { places, message: message.arriving_at(Timestamp(arrived_at)) })
}

/// Two short strings and nothing else.
fn is_route(route: &[u8]) -> bool {
    let after_string = |bytes: &'_ [u8]| bytes.first().map(|&size| usize::from(size) + 1);
    let Some(key) = after_string(route).and_then(|start| route.get(start..)) else { return false };
    after_string(key) == Some(key.len())
}

fn write_u64s(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

fn read_queue(input: &mut &[u8]) -> Option<QueueId> {
    read_u64(input).map(QueueId)
}

fn read_position(input: &mut &[u8]) -> Option<Position> {
    read_u64(input).map(Position)
}

fn read_ranges(input: &mut &[u8]) -> Option<PositionRanges> {
    PositionRanges::decode(input)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(record: &Record<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut buffer = b"of the last record".to_vec();
        let body = record.body(&mut buffer);
        body.write(9, Lsn(77), &mut out);
        assert_eq!(out.len(), HEAD_SIZE + body.size());
        out
    }

    fn decode(bytes: &[u8]) -> Option<OwnedRecord> {
        let mut records = decode_all(bytes)?;
        assert_eq!(records.len(), 1);
        records.pop()
    }

    fn decode_all(bytes: &[u8]) -> Option<Vec<OwnedRecord>> {
        let (head, body) = bytes.split_first_chunk::<HEAD_SIZE>()?;
        let head = Head::decode(head)?;
        assert_eq!((head.epoch, head.lsn, head.body_size as usize), (9, Lsn(77), body.len()));
        assert!(head.is_of(body));
        OwnedRecord::decode_all(head.kind, &Bytes::copy_from_slice(body))
    }

    fn message(exchange: &str, key: &str, rest: (&[u8], &[u8])) -> Message {
        let mut buffer = vec![exchange.len() as u8];
        buffer.extend_from_slice(exchange.as_bytes());
        buffer.push(key.len() as u8);
        buffer.extend_from_slice(key.as_bytes());
        let route_size = buffer.len() as u16;
        buffer.extend_from_slice(rest.0);
        buffer.extend_from_slice(rest.1);
        Message::from_buffer(buffer.into(), (route_size, rest.0.len() as u32), true)
    }

    proptest! {
        #[test]
        fn messages_come_back_as_they_went_in(
            places in prop::collection::vec((any::<u64>(), any::<u64>()), 0..20),
            (exchange, key) in ("[a-z]{0,80}", "[a-z.]{0,80}"),
            (header, body) in (prop::collection::vec(any::<u8>(), 0..100), prop::collection::vec(any::<u8>(), 0..3_000)),
        ) {
            let message = message(&exchange, &key, (&header, &body));
            let places: Vec<_> = places.iter().map(|place| (QueueId(place.0), Position(place.1))).collect();
            let bytes = encode(&Record::Publish { places: &places, message: &message });
            let Some(OwnedRecord::Publish { places: read, message }) = decode(&bytes) else { panic!() };
            prop_assert_eq!(read, places.clone());
            prop_assert_eq!(message.exchange(), exchange.as_bytes());
            prop_assert_eq!(message.routing_key(), key.as_bytes());
            prop_assert_eq!((message.header(), message.body()), (&header[..], &body[..]));
            prop_assert!(message.is_persistent());
        }

        #[test]
        fn other_records_come_back_as_they_went_in(
            (queue, up_to, bytes) in any::<(u64, u64, u64)>(),
            positions in prop::collection::vec(any::<u64>(), 0..40),
        ) {
            let (queue, up_to) = (QueueId(queue), Position(up_to));
            let positions: PositionRanges = positions.into_iter().map(Position).collect();
            let positions = &positions;
            for record in [
                Record::Settle { queue, positions, bytes },
                Record::Requeue { queue, positions },
                Record::Delivered { queue, up_to },
                Record::Purge { queue, up_to, kept: positions, kept_bytes: bytes },
                Record::Delete { queue },
            ] {
                let bytes = encode(&record);
                let read = decode(&bytes).unwrap();
                prop_assert_eq!(format!("{:?}", read.borrow()), format!("{record:?}"));
            }
        }

        #[test]
        fn transactions_come_back_as_they_went_in(
            queue in any::<u64>(),
            positions in prop::collection::vec(any::<u64>(), 0..40),
            (header, body) in (prop::collection::vec(any::<u8>(), 0..100), prop::collection::vec(any::<u8>(), 0..3_000)),
            order in prop::collection::vec(0..4_usize, 0..12),
        ) {
            let queue = QueueId(queue);
            let places: Vec<_> = positions.iter().map(|position| (queue, Position(*position))).collect();
            let positions: PositionRanges = positions.into_iter().map(Position).collect();
            let message = message("x", "a.b", (&header, &body));
            let kinds = [
                Record::Publish { places: &places, message: &message },
                Record::Settle { queue, positions: &positions, bytes: 9 },
                Record::Requeue { queue, positions: &positions },
                Record::Publish { places: &places[..places.len() / 2], message: &message },
            ];
            let records: Vec<Record<'_>> = order.into_iter().map(|kind| kinds[kind]).collect();
            let mut buffer = Vec::new();
            let whole = Body::transaction(&records, &mut buffer);
            prop_assert_eq!(whole.size(), records.iter().map(Record::part_size).sum::<usize>());
            let mut bytes = Vec::new();
            whole.write(9, Lsn(77), &mut bytes);
            let read = decode_all(&bytes).unwrap();
            let read: Vec<String> = read.iter().map(|record| format!("{:?}", record.borrow())).collect();
            let written: Vec<String> = records.iter().map(|record| format!("{record:?}")).collect();
            prop_assert_eq!(read, written);
            // A transaction is no part of one, and a part that is cut is none.
            let body = Bytes::copy_from_slice(&bytes[HEAD_SIZE..]);
            let mut nested = vec![TRANSACTION];
            nested.extend_from_slice(&(body.len() as u32).to_le_bytes());
            nested.extend_from_slice(&body);
            prop_assert!(OwnedRecord::decode_all(TRANSACTION, &nested.into()).is_none());
            if !body.is_empty() {
                prop_assert!(OwnedRecord::decode_all(TRANSACTION, &body.slice(..body.len() - 1)).is_none());
            }
        }

        #[test]
        fn arbitrary_bytes_are_no_record_or_a_sound_one(
            kind in 0..12_u8,
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..200),
        ) {
            let body = Bytes::from(bytes);
            let parts = OwnedRecord::decode_all(TRANSACTION, &body);
            prop_assert!(parts.is_none_or(|parts| parts.len() * PART_HEAD_SIZE <= body.len()));
            if let Some(OwnedRecord::Publish { message, .. }) = OwnedRecord::decode(kind, &body) {
                prop_assert!(message.exchange().len() + message.routing_key().len() < body.len());
                prop_assert!(message.header().len() + message.body_size() < body.len());
            }
            if let Some(head) = body.first_chunk::<HEAD_SIZE>() {
                prop_assert_eq!(Head::decode(head), None);
            }
        }
    }
}
