//! The publishing side: one thread that writes on all its connections, and listens to what the broker says about it.

use std::io;
use std::time::Duration;

use crate::clock::{Nanos, now};
use crate::codec::frame::FrameKind;
use crate::codec::method::{self, Arguments, MethodId};
use crate::codec::publish::{self, Publish, PublishBatch, RoutingKey};
use crate::confirms::Unconfirmed;
use crate::connection::{CHANNEL, Connection, closed_by};
use crate::driver::{TakesTurns, Turn, drive};
use crate::error::PerfError;
use crate::gathering::Gathering;
use crate::load::{Bodies, Load, Publishing};
use crate::pace::Pace;
use crate::schedule::Schedule;
use crate::shared::Shared;
use crate::socket::Socket;

/// A write is about this large, or one message if that is larger.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// Of many channels each has a small one: together they must fit into the processor's cache.
const WRITE_BYTES_MIN: usize = 4 * 1024;
/// A publisher that is too far ahead of the consumers looks again after this.
const BACKLOG_LOOK: Duration = Duration::from_micros(200);
/// Without a rate, the latency of one message in this many is recorded, or of none if messages gather; with a rate, of
/// every message.
pub const SAMPLE_EVERY: u64 = 64;

/// Publishes on all connections until the run is over. Failures go to `shared`.
/// Says for each whether the written bytes end with a whole frame, so that it can still be closed politely.
pub fn publish(
    connections: &mut [Connection],
    load: &Load,
    publishing: &Publishing,
    shared: &Shared,
) -> Vec<bool> {
    let start = now();
    let publishers: io::Result<Vec<Publisher<'_>>> = (0..)
        .zip(connections)
        .map(|(index, connection)| Publisher::new(index, connection, load, publishing, start, shared))
        .collect();
    match publishers {
        Ok(mut publishers) => drive(&mut publishers, Gathering::of_confirms(publishing), shared),
        Err(source) => {
            shared.fail(PerfError::Io { doing: Publisher::DOING, source });
            Vec::new()
        }
    }
}

/// A connection that publishes on each of its channels.
struct Publisher<'a> {
    socket: Socket<'a>,
    channels: Vec<PublishingChannel<'a>>,
    /// The channel whose turn it is.
    next: usize,
    shared: &'a Shared,
    /// How many messages may be ahead of the consumers, and how many queues get each.
    ahead_max: Option<u64>,
    copies: u64,
    settled: u64,
    read_bytes: usize,
    /// Latencies of confirms that are not yet with `shared`.
    samples: Vec<Duration>,
}

impl<'a> Publisher<'a> {
    fn new(
        index: u64,
        connection: &'a mut Connection,
        load: &'a Load,
        publishing: &'a Publishing,
        start: Nanos,
        shared: &'a Shared,
    ) -> io::Result<Self> {
        let frame_max = connection.frame_max;
        let channels = (0..publishing.channels)
            .map(|n| {
                let number = index * u64::from(publishing.channels) + u64::from(n);
                PublishingChannel::new(CHANNEL + n, number, load, publishing, frame_max, start)
            })
            .collect();
        Ok(Self {
            socket: Socket::new(connection)?,
            channels,
            next: 0,
            shared,
            ahead_max: publishing.ahead_max,
            copies: load.topology.copies(),
            settled: 0,
            read_bytes: 0,
            samples: Vec::new(),
        })
    }

    fn take_frames(&mut self) -> Result<(), PerfError> {
        let read_at = now();
        let settled_before = self.settled;
        let inbox = &mut self.socket.connection.inbox;
        let (mut nacked, mut returned) = (0, 0);
        while let Some(frame) = inbox.next_frame()? {
            // The contents of returned messages are of no interest.
            if frame.kind != FrameKind::Method {
                continue;
            }
            let (id, arguments) = method::parse_method(frame.payload)
                .ok_or(PerfError::Unexpected("a method without a number"))?;
            let index = usize::from(frame.channel).wrapping_sub(usize::from(CHANNEL));
            match (id, self.channels.get_mut(index)) {
                (MethodId::BASIC_ACK, Some(channel)) => {
                    self.settled += channel.settle(arguments, read_at, &mut self.samples)?;
                }
                (MethodId::BASIC_NACK, Some(channel)) => {
                    let count = channel.settle(arguments, read_at, &mut self.samples)?;
                    self.settled += count;
                    nacked += count;
                }
                (MethodId::BASIC_RETURN, _) => returned += 1,
                (MethodId::CHANNEL_CLOSE_OK, Some(channel)) => channel.is_closed = true,
                _ => closed_by(id, arguments).map_or(Ok(()), Err)?,
            }
        }
        if nacked + returned > 0 {
            self.shared.nacked.add(nacked);
            self.shared.returned.add(returned);
        }
        self.shared.confirmed.add(self.settled - settled_before - nacked);
        self.shared.confirm_latency.record(&mut self.samples, self.shared.is_measuring());
        Ok(())
    }

    /// One write on the next channel that has something to write.
    fn write(&mut self, now: Nanos) -> Result<Turn, PerfError> {
        let mut earliest: Option<Nanos> = None;
        let mut is_done = true;
        let allowed = self.allowed();
        let mut wait_until = |at: Nanos| earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
        let count = self.channels.len();
        for _ in 0..count {
            let channel = &mut self.channels[self.next];
            self.next = (self.next + 1) % count;
            match channel.wish(now) {
                Wish::Write(_) if allowed == 0 => {
                    channel.is_held_up = true;
                    wait_until(now.plus(BACKLOG_LOOK));
                }
                Wish::Write(count) => {
                    let count = count.min(allowed);
                    let bytes = channel.messages(count, now);
                    self.socket.write(bytes).map_err(failed)?;
                    self.shared.sent.add(count);
                    return Ok(Turn::Again);
                }
                Wish::Close => {
                    channel.has_said_goodbye = true;
                    self.socket.write(&method::channel_close(channel.number)).map_err(failed)?;
                    return Ok(Turn::Again);
                }
                Wish::WaitUntil(at) => wait_until(at),
                Wish::Wait => {}
                Wish::Nothing => continue,
            }
            is_done = false;
        }
        Ok(match earliest {
            _ if is_done => Turn::Done,
            Some(at) => Turn::Until(at),
            None => Turn::Waits,
        })
    }
}

impl Publisher<'_> {
    /// How many messages may be published now, with a view to the consumers.
    fn allowed(&self) -> u64 {
        self.ahead_max.map_or(u64::MAX, |max| {
            let ahead = self.shared.sent.value().saturating_sub(self.shared.received.value() / self.copies);
            max.saturating_sub(ahead)
        })
    }
}

impl<'a> TakesTurns<'a> for Publisher<'a> {
    const DOING: &'static str = "publishing";

    fn socket(&mut self) -> &mut Socket<'a> {
        &mut self.socket
    }

    fn turn(&mut self, now: Nanos) -> Result<Turn, PerfError> {
        let count = self.socket.fill().map_err(failed)?;
        if count > 0 {
            self.read_bytes += count;
            self.take_frames()?;
        }
        self.socket.flush().map_err(failed)?;
        let turn = if self.socket.has_room() { self.write(now)? } else { Turn::Waits };
        if !self.socket.has_room() {
            self.channels.iter_mut().for_each(|channel| channel.is_held_up = true);
        }
        // What is there to be read may make room in a window.
        Ok(if self.socket.is_readable() && turn != Turn::Done { Turn::Again } else { turn })
    }

    fn read_so_far(&self) -> (u64, usize) {
        (self.settled, self.read_bytes)
    }
}

fn failed(source: io::Error) -> PerfError {
    PerfError::while_doing(Publisher::DOING, source)
}

/// What a channel wants to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// So many messages, not more than a write takes.
    Write(u64),
    /// Without confirms, only the answer to `channel.close` tells that the broker has seen every message.
    Close,
    /// The next message is due then.
    WaitUntil(Nanos),
    /// For the broker.
    Wait,
    /// All is done.
    Nothing,
}

/// One channel's messages.
struct PublishingChannel<'a> {
    number: u16,
    batch: PublishBatch,
    /// How large bodies are when, if that changes: what a new batch needs.
    resizing: Option<Resizing<'a>>,
    pace: Option<Pace>,
    window: Option<u64>,
    /// Nothing is written until this much of the window is free. Half of it, so that confirms that trickle in do not
    /// cause as many small writes; a paced publisher writes little at a time anyway.
    room_wanted: u64,
    unconfirmed: Unconfirmed,
    messages: Option<u64>,
    sent: u64,
    /// Confirmed or refused.
    settled: u64,
    /// Whether what is due could not be written since the last time that nothing was due: the broker's fault. A thread
    /// that the system let wait is not.
    is_held_up: bool,
    has_said_goodbye: bool,
    is_closed: bool,
}

/// The makings of a batch whose size of bodies changes with time.
struct Resizing<'a> {
    sizes: &'a Schedule,
    start: Nanos,
    /// The size of the batch there is.
    size: usize,
    publish: Publish<'a>,
    write_bytes: usize,
}

impl<'a> PublishingChannel<'a> {
    /// The channel `number` of all that publish, `channel` of its connection.
    fn new(
        channel: u16,
        number: u64,
        load: &'a Load,
        publishing: &'a Publishing,
        frame_max: u32,
        start: Nanos,
    ) -> Self {
        let count = publishing.channel_count();
        let write_bytes =
            (WRITE_BYTES_MAX / usize::try_from(count).unwrap_or(usize::MAX)).max(WRITE_BYTES_MIN);
        let routing_key = match publishing.has_random_keys {
            true => RoutingKey::Random,
            false => RoutingKey::Fixed(load.topology.routing_key(number as usize)),
        };
        let publish = Publish {
            channel,
            exchange: load.topology.exchange_name(),
            routing_key,
            is_mandatory: publishing.is_mandatory,
            properties: &publishing.properties,
            frame_max,
        };
        let (bodies, resizing) = match &publishing.bodies {
            Bodies::Given(bodies) => (publish::Bodies::Given(bodies), None),
            Bodies::Sized(sizes) => {
                let size = sizes.value_at(Duration::ZERO) as usize;
                let resizing = Resizing { sizes, start, size, publish, write_bytes };
                (publish::Bodies::Sized(size), (!sizes.is_constant()).then_some(resizing))
            }
        };
        // Publishers of the same rate do not all publish at the same moment.
        let offset = |rate: &Schedule| rate.time_of(number as f64 / count as f64).unwrap_or_default();
        let pace = publishing.rate.as_ref().map(|rate| Pace::new(rate.clone(), start.plus(offset(rate))));
        let window = publishing.confirm_window.map(u64::from);
        let is_sampled = !Gathering::of_confirms(publishing).is_on();
        let sample_every = is_sampled.then_some(if pace.is_some() { 1 } else { SAMPLE_EVERY });
        Self {
            number: channel,
            // Each channel has its own thousand million million random keys.
            batch: PublishBatch::new(publish, bodies, write_bytes).with_key_seed((number + 1) << 50),
            resizing,
            room_wanted: if pace.is_some() { 1 } else { window.unwrap_or(0).div_ceil(2).max(1) },
            pace,
            window,
            unconfirmed: Unconfirmed::new(window.unwrap_or(0) as usize, sample_every),
            messages: publishing.messages_of(number),
            sent: 0,
            settled: 0,
            is_held_up: false,
            has_said_goodbye: false,
            is_closed: false,
        }
    }

    fn wish(&mut self, now: Nanos) -> Wish {
        self.resize(now);
        let left = self.messages.map_or(u64::MAX, |messages| messages - self.sent);
        if left == 0 {
            return match self.window {
                Some(_) if self.settled == self.sent => Wish::Nothing,
                Some(_) => Wish::Wait,
                None if self.is_closed => Wish::Nothing,
                None if self.has_said_goodbye => Wish::Wait,
                None => Wish::Close,
            };
        }
        let room = self.window.map_or(u64::MAX, |window| window - (self.sent - self.settled));
        if room < self.room_wanted.min(left) {
            self.is_held_up = true;
            return Wish::Wait;
        }
        let count = left.min(room).min(self.batch.messages_max() as u64);
        match &self.pace {
            None => Wish::Write(count),
            Some(pace) => match count.min(pace.due_count(now).saturating_sub(self.sent)) {
                0 => {
                    self.is_held_up = false;
                    Wish::WaitUntil(pace.due_at(self.sent))
                }
                due => Wish::Write(due),
            },
        }
    }

    /// The bytes of the next `count` messages, which `wish` said.
    fn messages(&mut self, count: u64, now: Nanos) -> &[u8] {
        let sent = self.sent;
        self.sent += count;
        let late = self.pace.as_ref().filter(|_| self.is_held_up);
        let stamp = |n: u64| late.map_or(now, |pace| pace.stamp(n, now));
        if self.window.is_some() {
            match late {
                // One may be late and the next not.
                Some(_) => (sent..self.sent).for_each(|n| self.unconfirmed.note_sent(n + 1, stamp(n))),
                None => self.unconfirmed.note_sent(self.sent, now),
            }
        }
        self.batch.stamped(count as usize, |n| stamp(sent + n as u64).0)
    }

    /// Makes a new batch if bodies are now to have another size.
    fn resize(&mut self, now: Nanos) {
        let Some(resizing) = &mut self.resizing else { return };
        let size = resizing.sizes.value_at(now.since(resizing.start)) as usize;
        if std::mem::replace(&mut resizing.size, size) != size {
            let batch =
                PublishBatch::new(resizing.publish, publish::Bodies::Sized(size), resizing.write_bytes);
            self.batch = batch.with_key_seed(now.0);
        }
    }

    fn settle(
        &mut self,
        arguments: Arguments<'_>,
        now: Nanos,
        samples: &mut Vec<Duration>,
    ) -> Result<u64, PerfError> {
        let count = arguments
            .confirm()
            .and_then(|confirm| self.unconfirmed.settle(confirm, now, samples))
            .ok_or(PerfError::Unexpected("a confirm of a message that was not published"))?;
        self.settled += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::frame::{FRAME_MAX, Inbox};

    const START: Nanos = Nanos(1_000_000_000);

    fn at(millis: u64) -> Nanos {
        START.plus(Duration::from_millis(millis))
    }

    fn channel<'a>(load: &'a Load, number: u64) -> PublishingChannel<'a> {
        PublishingChannel::new(CHANNEL, number, load, load.publishing.as_ref().unwrap(), FRAME_MAX, START)
    }

    /// The stamps of the next `count` messages, in milliseconds since the start.
    fn stamps(channel: &mut PublishingChannel<'_>, count: u64, now: Nanos) -> Vec<u128> {
        let mut inbox = Inbox::new();
        let mut bytes = channel.messages(count, now);
        let mut stamps = Vec::new();
        while inbox.fill(&mut bytes).unwrap() > 0 {
            while let Some(frame) = inbox.next_frame().unwrap() {
                if frame.kind == FrameKind::Body {
                    let stamp = Nanos(u64::from_be_bytes(*frame.payload.first_chunk().unwrap()));
                    stamps.push(stamp.since(START).as_millis());
                }
            }
        }
        stamps
    }

    fn confirm(channel: &mut PublishingChannel<'_>, publish_number: u64, now: Nanos) -> Vec<Duration> {
        let ack = method::basic_ack(CHANNEL, publish_number, true);
        let mut inbox = Inbox::new();
        inbox.fill(&mut &ack[..]).unwrap();
        let frame = inbox.next_frame().unwrap().unwrap();
        let mut samples = Vec::new();
        channel.settle(method::parse_method(frame.payload).unwrap().1, now, &mut samples).unwrap();
        samples
    }

    #[test]
    fn what_the_broker_held_up_is_as_old_as_it_was_due() {
        let load = Load::parse("--rate 1000 -c 1").unwrap();
        let mut channel = channel(&load, 0);
        assert_eq!(channel.wish(at(0)), Wish::Write(1));
        assert_eq!(stamps(&mut channel, 1, at(0)), [0]);
        assert_eq!(channel.wish(at(5)), Wish::Wait);
        assert_eq!(confirm(&mut channel, 1, at(9)), [Duration::from_millis(9)]);
        assert_eq!(channel.wish(at(9)), Wish::Write(1));
        assert_eq!(stamps(&mut channel, 1, at(9)), [1]);
        assert_eq!(confirm(&mut channel, 2, at(11)), [Duration::from_millis(10)]);
    }

    #[test]
    fn what_this_process_was_late_with_is_new() {
        let load = Load::parse("--rate 1000").unwrap();
        let mut channel = channel(&load, 0);
        assert_eq!(channel.wish(at(2)), Wish::Write(3));
        assert_eq!(stamps(&mut channel, 3, at(2)), [2, 2, 2]);
        assert_eq!(channel.wish(at(2)), Wish::WaitUntil(at(3)));
    }

    #[test]
    fn the_window_is_filled_when_half_of_it_is_free() {
        let load = Load::parse("-c 10 -x 2 -C 25").unwrap();
        let mut channel = channel(&load, 1);
        assert_eq!(channel.wish(at(0)), Wish::Write(10));
        channel.messages(10, at(0));
        confirm(&mut channel, 4, at(1));
        assert_eq!(channel.wish(at(1)), Wish::Wait);
        confirm(&mut channel, 5, at(1));
        assert_eq!(channel.wish(at(1)), Wish::Write(5));
        channel.messages(5, at(1));
        confirm(&mut channel, 15, at(2));
        assert_eq!(channel.wish(at(2)), Wish::Write(10));
        channel.messages(10, at(2));
        assert_eq!(channel.wish(at(3)), Wish::Wait);
        confirm(&mut channel, 25, at(3));
        assert_eq!(channel.wish(at(3)), Wish::Nothing);
    }

    #[test]
    fn publishers_of_one_rate_take_turns() {
        let load = Load::parse("-x 4 --rate 1000").unwrap();
        assert_eq!(channel(&load, 2).wish(START), Wish::WaitUntil(START.plus(Duration::from_micros(500))));
    }

    #[test]
    fn sizes_change_with_time() {
        let load = Load::parse("--variable-size 16:1 --variable-size 5000:1").unwrap();
        let mut channel = channel(&load, 0);
        channel.wish(at(0));
        let small = channel.messages(1, at(0)).len();
        channel.wish(at(1_500));
        assert_eq!(channel.messages(1, at(1_500)).len(), small + 5_000 - 16);
    }
}
