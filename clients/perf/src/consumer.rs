//! The consuming side: counts messages, settles them, samples how old they are.

use std::net::TcpStream;

use crate::clock::{Nanos, now};
use crate::codec::frame::{Frame, FrameKind, Inbox};
use crate::codec::method::{self, MethodId};
use crate::codec::publish::STAMP_BYTES;
use crate::connection::{CHANNEL, Connection, closed_by, is_wake, write_while};
use crate::error::PerfError;
use crate::gathering::Gathering;
use crate::latency::Histogram;
use crate::load::{Acks, Load};
use crate::shared::Shared;

/// Without a rate, the latency of one message in this many is recorded; with one, of every message.
const SAMPLE_EVERY: u64 = 64;

/// What a consumer has when the run is over.
#[derive(Debug)]
pub struct Consumed {
    pub latencies: Histogram,
    /// Whether the written bytes end with a whole frame, so that the connection can still be closed politely.
    pub ends_with_frame: bool,
}

/// Consumes until the run is over. Failures go to `shared`.
pub fn consume(connection: &mut Connection, load: &Load, shared: &Shared) -> Consumed {
    let sample_every = if load.rate.is_some() { 1 } else { SAMPLE_EVERY };
    let mut tally = Tally::new(sample_every);
    let mut acking = Acking { acks: load.acks, acked: 0, frames: Vec::new() };
    let messages = load.extent.messages.unwrap_or(u64::MAX);
    let gathering = Gathering::of_deliveries(load);
    let ended = receive(connection, &mut tally, &mut acking, gathering, messages, shared);
    let ends_with_frame = ended.unwrap_or_else(|error| {
        shared.fail(error);
        false
    });
    Consumed { latencies: tally.latencies, ends_with_frame }
}

/// Returns whether what was written ends with a whole frame.
fn receive(
    connection: &mut Connection,
    tally: &mut Tally,
    acking: &mut Acking,
    gathering: Gathering,
    messages: u64,
    shared: &Shared,
) -> Result<bool, PerfError> {
    let Connection { stream, inbox, .. } = connection;
    let mut stream: &TcpStream = stream;
    let mut last_read = 0;
    let failed = |source| PerfError::Io { doing: "consuming", source };
    while !shared.is_stopping() {
        let received_before = tally.received;
        tally.take_frames(inbox, shared.is_measuring())?;
        shared.received.set(tally.received);
        let is_done = tally.received >= messages;
        let acks = acking.frames(tally.received, is_done);
        if !acks.is_empty() && !write_while(stream, acks, || shared.may_write_on()).map_err(failed)? {
            return Ok(false);
        }
        if is_done {
            shared.finish();
            return Ok(true);
        }
        gathering.wait(last_read, tally.received - received_before);
        match inbox.fill(&mut stream) {
            Ok(0) => return Err(PerfError::EndOfStream { doing: "consuming" }),
            Ok(count) => last_read = count,
            Err(error) if is_wake(&error) => {}
            Err(source) => return Err(failed(source)),
        }
    }
    Ok(true)
}

/// Counts deliveries. The channel has one consumer, so the contents come one after the other.
#[derive(Debug)]
struct Tally {
    /// Whole messages so far; also the delivery tag of the last one.
    received: u64,
    /// Octets of the current body that have not come yet.
    body_left: u64,
    /// Whether the next body frame is the first of its body.
    is_body_start: bool,
    sample_every: u64,
    latencies: Histogram,
}

impl Tally {
    fn new(sample_every: u64) -> Self {
        Self { received: 0, body_left: 0, is_body_start: false, sample_every, latencies: Histogram::new() }
    }

    /// Takes all whole frames; they were read at the same time, so that one look at the clock does for all.
    fn take_frames(&mut self, inbox: &mut Inbox, is_measuring: bool) -> Result<(), PerfError> {
        let read_at = now();
        while let Some(frame) = inbox.next_frame()? {
            match frame.kind {
                FrameKind::Method => self.take_method(frame)?,
                FrameKind::Header => self.take_header(frame)?,
                FrameKind::Body => self.take_body(frame, is_measuring.then_some(read_at))?,
                FrameKind::Heartbeat => {}
            }
        }
        Ok(())
    }

    fn take_method(&self, frame: Frame<'_>) -> Result<(), PerfError> {
        let (id, arguments) =
            method::parse_method(frame.payload).ok_or(PerfError::Unexpected("a method without a number"))?;
        match id {
            MethodId::BASIC_DELIVER => Ok(()),
            MethodId::BASIC_CANCEL => Err(PerfError::Cancelled),
            _ => closed_by(id, arguments).map_or(Ok(()), Err),
        }
    }

    fn take_header(&mut self, frame: Frame<'_>) -> Result<(), PerfError> {
        let size = frame.payload.get(4..12).and_then(|octets| octets.first_chunk());
        let size = size.ok_or(PerfError::Unexpected("a content header without a body size"))?;
        self.body_left = u64::from_be_bytes(*size);
        self.is_body_start = true;
        if self.body_left == 0 {
            self.received += 1;
        }
        Ok(())
    }

    fn take_body(&mut self, frame: Frame<'_>, read_at: Option<Nanos>) -> Result<(), PerfError> {
        let size = frame.payload.len() as u64;
        if size > self.body_left {
            return Err(PerfError::Unexpected("a body longer than its header says"));
        }
        if self.is_body_start {
            self.is_body_start = false;
            if let Some(read_at) = read_at
                && self.received.is_multiple_of(self.sample_every)
            {
                self.sample(frame.payload, read_at);
            }
        }
        self.body_left -= size;
        self.received += u64::from(self.body_left == 0);
        Ok(())
    }

    /// A stamp that lies in the future is none: the message came from somebody else.
    fn sample(&mut self, body: &[u8], read_at: Nanos) {
        if let Some(stamp) = body.first_chunk::<STAMP_BYTES>() {
            let stamp = Nanos(u64::from_be_bytes(*stamp));
            if stamp <= read_at {
                self.latencies.record(read_at.since(stamp));
            }
        }
    }
}

/// The acks that are due.
#[derive(Debug)]
struct Acking {
    acks: Acks,
    acked: u64,
    frames: Vec<u8>,
}

impl Acking {
    /// Ack frames for what was received; with `settles_all` also for what is not worth an ack yet.
    fn frames(&mut self, received: u64, settles_all: bool) -> &[u8] {
        self.frames.clear();
        if let Acks::Manual { every, .. } = self.acks {
            let every = u64::from(every);
            while received - self.acked >= every {
                self.acked += every;
                self.frames.extend_from_slice(&method::basic_ack(CHANNEL, self.acked, every > 1));
            }
            if settles_all && received > self.acked {
                self.acked = received;
                self.frames.extend_from_slice(&method::basic_ack(CHANNEL, received, true));
            }
        }
        &self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::frame::FRAME_MAX;
    use crate::codec::method::parse_method;
    use crate::codec::publish::PublishBatch;

    /// Feeds contents (a publish differs from a delivery only in its method) and returns the tally.
    fn tally(bytes: &[u8]) -> Result<Tally, PerfError> {
        let mut tally = Tally::new(1);
        let mut inbox = Inbox::new();
        let mut source = bytes;
        while inbox.fill(&mut source).unwrap() > 0 {
            tally.take_frames(&mut inbox, true)?;
        }
        Ok(tally)
    }

    #[test]
    fn messages_count_when_whole() {
        let mut batch = PublishBatch::new(CHANNEL, "q", 200_000, false, FRAME_MAX);
        let bytes = batch.stamped(1, |_| now().0).repeat(3);
        let whole = tally(&bytes).unwrap();
        assert_eq!((whole.received, whole.latencies.percentiles().unwrap().samples), (3, 3));
        assert_eq!(tally(&bytes[..bytes.len() - 1]).unwrap().received, 2);
        let mut batch = PublishBatch::new(CHANNEL, "q", 0, false, FRAME_MAX);
        assert_eq!(tally(batch.stamped(5, |_| 0)).unwrap().received, 5);
    }

    #[test]
    fn a_stamp_of_somebody_else_is_no_sample() {
        let mut batch = PublishBatch::new(CHANNEL, "q", 16, false, FRAME_MAX);
        assert_eq!(tally(batch.stamped(4, |_| u64::MAX)).unwrap().latencies.percentiles(), None);
    }

    #[test]
    fn the_broker_can_end_it() {
        let cancel = method::method(CHANNEL, MethodId::BASIC_CANCEL, |_| {});
        assert!(matches!(tally(&cancel), Err(PerfError::Cancelled)));
        assert!(matches!(tally(&method::connection_close()), Err(PerfError::ConnectionClosed(_))));
    }

    #[test]
    fn acks_are_sent_when_due() {
        let tags = |acking: &mut Acking, received, settles_all| {
            let mut inbox = Inbox::new();
            inbox.fill(&mut acking.frames(received, settles_all)).unwrap();
            let mut tags = Vec::new();
            while let Some(frame) = inbox.next_frame().unwrap() {
                let confirm = parse_method(frame.payload).unwrap().1.confirm().unwrap();
                tags.push((confirm.publish_number, confirm.is_multiple));
            }
            tags
        };
        let mut every =
            Acking { acks: Acks::Manual { every: 1, prefetch_count: 0 }, acked: 0, frames: vec![] };
        assert_eq!(tags(&mut every, 2, false), [(1, false), (2, false)]);
        let mut tenth =
            Acking { acks: Acks::Manual { every: 10, prefetch_count: 0 }, acked: 0, frames: vec![] };
        assert_eq!(tags(&mut tenth, 25, false), [(10, true), (20, true)]);
        assert_eq!(tags(&mut tenth, 25, true), [(25, true)]);
        let mut auto = Acking { acks: Acks::Auto, acked: 0, frames: vec![] };
        assert_eq!(tags(&mut auto, 9, true), []);
    }
}
