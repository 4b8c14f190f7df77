//! The consuming side: counts messages, settles them, samples how old they are.

use std::io;
use std::time::Duration;

use crate::clock::{Nanos, now};
use crate::codec::frame::{Frame, FrameKind};
use crate::codec::method::{self, MethodId};
use crate::codec::publish::STAMP_BYTES;
use crate::connection::{CHANNEL, Connection, closed_by};
use crate::driver::{TakesTurns, Turn, drive};
use crate::error::PerfError;
use crate::gathering::{Gathering, is_paced};
use crate::load::{Acks, Consuming, Load};
use crate::pace::Pace;
use crate::publisher::SAMPLE_EVERY;
use crate::schedule::Schedule;
use crate::shared::Shared;
use crate::socket::Socket;

/// Consumes on all connections until the run is over. Failures go to `shared`.
/// Says for each whether the written bytes end with a whole frame, so that it can still be closed politely.
pub fn consume(
    connections: &mut [Connection],
    load: &Load,
    consuming: &Consuming,
    shared: &Shared,
) -> Vec<bool> {
    let publishing = load.publishing.as_ref();
    let gathering = Gathering::of_deliveries(consuming, publishing);
    let sample_every = (!gathering.is_on()).then_some(if is_paced(publishing) { 1 } else { SAMPLE_EVERY });
    let consumers: io::Result<Vec<Consumer<'_>>> = connections
        .iter_mut()
        .map(|connection| Consumer::new(connection, consuming, sample_every, shared))
        .collect();
    match consumers {
        Ok(mut consumers) => drive(&mut consumers, gathering, shared),
        Err(source) => {
            shared.fail(PerfError::Io { doing: Consumer::DOING, source });
            Vec::new()
        }
    }
}

/// A connection that consumes on each of its channels.
struct Consumer<'a> {
    socket: Socket<'a>,
    channels: Vec<ConsumingChannel>,
    /// For all channels of the connection.
    pace: Option<Pace>,
    /// Whether the inbox may hold whole frames.
    has_unread: bool,
    received: u64,
    read_bytes: usize,
    /// How many messages all consumers are to take.
    messages: Option<u64>,
    samples: Vec<Duration>,
    acks: Vec<u8>,
    shared: &'a Shared,
}

#[derive(Debug)]
struct ConsumingChannel {
    tally: Tally,
    acking: Acking,
}

impl<'a> Consumer<'a> {
    fn new(
        connection: &'a mut Connection,
        consuming: &Consuming,
        sample_every: Option<u64>,
        shared: &'a Shared,
    ) -> io::Result<Self> {
        let channels = (CHANNEL..CHANNEL + consuming.channels)
            .map(|number| ConsumingChannel {
                tally: Tally::new(sample_every),
                acking: Acking { channel: number, acks: consuming.acks, acked: 0 },
            })
            .collect();
        let rate = consuming.rate.map(|rate| Schedule::constant(rate * f64::from(consuming.channels)));
        Ok(Self {
            socket: Socket::new(connection)?,
            channels,
            pace: rate.map(|rate| Pace::new(rate, now())),
            // Deliveries may have come with the last answer of the set-up.
            has_unread: true,
            received: 0,
            read_bytes: 0,
            messages: consuming.messages,
            samples: Vec::new(),
            acks: Vec::new(),
            shared,
        })
    }

    /// Takes all whole frames, or those that are due. They were read at the same time, so that one look at the clock
    /// does for all.
    fn take_frames(&mut self) -> Result<(), PerfError> {
        let read_at = now();
        let due_count = self.pace.as_ref().map_or(u64::MAX, |pace| pace.due_count(read_at));
        let inbox = &mut self.socket.connection.inbox;
        let received_before = self.received;
        while self.received < due_count {
            let Some(frame) = inbox.next_frame()? else {
                self.has_unread = false;
                break;
            };
            let index = usize::from(frame.channel).wrapping_sub(usize::from(CHANNEL));
            match self.channels.get_mut(index) {
                Some(channel) => self.received += channel.tally.take(frame, read_at, &mut self.samples)?,
                None => take_method(frame)?,
            }
        }
        self.shared.received.add(self.received - received_before);
        self.shared.delivery_latency.record(&mut self.samples, self.shared.is_measuring());
        Ok(())
    }

    /// Writes the acks that are due; with `settles_all` also those that are not worth one yet.
    fn ack(&mut self, settles_all: bool) -> Result<(), PerfError> {
        self.acks.clear();
        for channel in &mut self.channels {
            channel.acking.append(channel.tally.received, settles_all, &mut self.acks);
        }
        if self.acks.is_empty() { Ok(()) } else { self.socket.write(&self.acks).map_err(failed) }
    }
}

impl<'a> TakesTurns<'a> for Consumer<'a> {
    const DOING: &'static str = "consuming";

    fn socket(&mut self) -> &mut Socket<'a> {
        &mut self.socket
    }

    fn turn(&mut self, _now: Nanos) -> Result<Turn, PerfError> {
        self.socket.flush().map_err(failed)?;
        if !self.has_unread {
            let count = self.socket.fill().map_err(failed)?;
            self.read_bytes += count;
            self.has_unread = count > 0;
        }
        if self.has_unread {
            self.take_frames()?;
            self.ack(false)?;
        }
        if self.messages.is_some_and(|messages| self.shared.received.value() >= messages) {
            return Ok(Turn::AllDone);
        }
        Ok(match &self.pace {
            Some(pace) if self.has_unread => Turn::Until(pace.due_at(self.received)),
            _ if self.socket.is_readable() => Turn::Again,
            _ => Turn::Waits,
        })
    }

    fn read_so_far(&self) -> (u64, usize) {
        (self.received, self.read_bytes)
    }

    fn conclude(&mut self) -> Result<(), PerfError> {
        self.ack(true)
    }
}

fn failed(source: io::Error) -> PerfError {
    PerfError::while_doing(Consumer::DOING, source)
}

/// What a method means for the consumer: mostly nothing.
fn take_method(frame: Frame<'_>) -> Result<(), PerfError> {
    if frame.kind != FrameKind::Method {
        return Ok(());
    }
    let (id, arguments) =
        method::parse_method(frame.payload).ok_or(PerfError::Unexpected("a method without a number"))?;
    match id {
        MethodId::BASIC_DELIVER => Ok(()),
        MethodId::BASIC_CANCEL => Err(PerfError::Cancelled),
        _ => closed_by(id, arguments).map_or(Ok(()), Err),
    }
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
    /// The latency of one message in this many is of interest, if any is.
    sample_every: Option<u64>,
}

impl Tally {
    fn new(sample_every: Option<u64>) -> Self {
        Self { received: 0, body_left: 0, is_body_start: false, sample_every }
    }

    /// Takes the next frame of the channel; says how many messages it completed.
    fn take(
        &mut self,
        frame: Frame<'_>,
        read_at: Nanos,
        samples: &mut Vec<Duration>,
    ) -> Result<u64, PerfError> {
        let received = self.received;
        match frame.kind {
            FrameKind::Method => take_method(frame)?,
            FrameKind::Header => self.take_header(frame)?,
            FrameKind::Body => self.take_body(frame, read_at, samples)?,
            FrameKind::Heartbeat => {}
        }
        Ok(self.received - received)
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

    fn take_body(
        &mut self,
        frame: Frame<'_>,
        read_at: Nanos,
        samples: &mut Vec<Duration>,
    ) -> Result<(), PerfError> {
        let size = frame.payload.len() as u64;
        if size > self.body_left {
            return Err(PerfError::Unexpected("a body longer than its header says"));
        }
        if self.is_body_start {
            self.is_body_start = false;
            if self.sample_every.is_some_and(|every| self.received.is_multiple_of(every)) {
                samples.extend(age(frame.payload, read_at));
            }
        }
        self.body_left -= size;
        self.received += u64::from(self.body_left == 0);
        Ok(())
    }
}

/// How old a message is. A stamp that lies in the future is none: the message came from somebody else.
fn age(body: &[u8], read_at: Nanos) -> Option<Duration> {
    let stamp = Nanos(u64::from_be_bytes(*body.first_chunk::<STAMP_BYTES>()?));
    (stamp <= read_at).then(|| read_at.since(stamp))
}

/// The acks of a channel.
#[derive(Debug)]
struct Acking {
    channel: u16,
    acks: Acks,
    acked: u64,
}

impl Acking {
    /// Appends ack frames for what was received; with `settles_all` also for what is not worth an ack yet.
    fn append(&mut self, received: u64, settles_all: bool, out: &mut Vec<u8>) {
        if let Acks::Manual { every, .. } = self.acks {
            let every = u64::from(every);
            while received - self.acked >= every {
                self.acked += every;
                out.extend_from_slice(&method::basic_ack(self.channel, self.acked, every > 1));
            }
            if settles_all && received > self.acked {
                self.acked = received;
                out.extend_from_slice(&method::basic_ack(self.channel, received, true));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::frame::{FRAME_MAX, Inbox};
    use crate::codec::method::parse_method;
    use crate::codec::publish::{Bodies, Publish, PublishBatch, RoutingKey};
    use crate::codec::table::Properties;

    static NONE: Properties = Properties::none();

    fn batch(size: usize) -> PublishBatch {
        let routing_key = RoutingKey::Fixed("q");
        let publish = Publish {
            channel: CHANNEL,
            exchange: "",
            routing_key,
            is_mandatory: false,
            properties: &NONE,
            frame_max: FRAME_MAX,
        };
        PublishBatch::new(publish, Bodies::Sized(size), 64 * 1024)
    }

    /// Feeds contents (a publish differs from a delivery only in its method); says how many messages there were, and
    /// how many samples.
    fn tally(bytes: &[u8]) -> Result<(u64, usize), PerfError> {
        tally_sampling(bytes, Some(1))
    }

    fn tally_sampling(bytes: &[u8], sample_every: Option<u64>) -> Result<(u64, usize), PerfError> {
        let mut tally = Tally::new(sample_every);
        let mut samples = Vec::new();
        let mut inbox = Inbox::new();
        let mut source = bytes;
        while inbox.fill(&mut source).unwrap() > 0 {
            while let Some(frame) = inbox.next_frame()? {
                tally.take(frame, now(), &mut samples)?;
            }
        }
        Ok((tally.received, samples.len()))
    }

    #[test]
    fn messages_count_when_whole() {
        let bytes = batch(200_000).stamped(1, |_| now().0).repeat(3);
        assert_eq!(tally(&bytes).unwrap(), (3, 3));
        assert_eq!(tally(&bytes[..bytes.len() - 1]).unwrap(), (2, 3));
        assert_eq!(tally(batch(0).stamped(5, |_| 0)).unwrap(), (5, 0));
        assert_eq!(tally_sampling(&bytes, Some(2)).unwrap(), (3, 2));
        assert_eq!(tally_sampling(&bytes, None).unwrap(), (3, 0));
    }

    #[test]
    fn a_stamp_of_somebody_else_is_no_sample() {
        assert_eq!(tally(batch(16).stamped(4, |_| u64::MAX)).unwrap(), (4, 0));
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
            let mut acks = Vec::new();
            acking.append(received, settles_all, &mut acks);
            let mut inbox = Inbox::new();
            inbox.fill(&mut &acks[..]).unwrap();
            let mut tags = Vec::new();
            while let Some(frame) = inbox.next_frame().unwrap() {
                assert_eq!(frame.channel, 3);
                let confirm = parse_method(frame.payload).unwrap().1.confirm().unwrap();
                tags.push((confirm.publish_number, confirm.is_multiple));
            }
            tags
        };
        let manual = |every| {
            let acks = Acks::Manual { every, prefetch_count: 0, is_per_channel: false };
            Acking { channel: 3, acks, acked: 0 }
        };
        let mut every = manual(1);
        assert_eq!(tags(&mut every, 2, false), [(1, false), (2, false)]);
        let mut tenth = manual(10);
        assert_eq!(tags(&mut tenth, 25, false), [(10, true), (20, true)]);
        assert_eq!(tags(&mut tenth, 25, true), [(25, true)]);
        let mut auto = Acking { acks: Acks::Auto, ..manual(1) };
        assert_eq!(tags(&mut auto, 9, true), []);
    }
}
