//! The publishing side: one thread that writes, one that listens to what the broker says about it.

use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread::{self, Builder, Thread};
use std::time::Duration;

use crate::clock::{Nanos, now};
use crate::codec::frame::{FrameKind, Inbox};
use crate::codec::method::{self, Arguments, MethodId};
use crate::codec::publish::PublishBatch;
use crate::confirms::Unconfirmed;
use crate::connection::{CHANNEL, Connection, closed_by, is_wake, write_while};
use crate::error::PerfError;
use crate::gathering::Gathering;
use crate::load::Load;
use crate::pace::Pace;
use crate::shared::Shared;

/// No wait is longer than this without a look at whether the run is over.
const WAKE: Duration = Duration::from_millis(100);
/// The shortest sleep between paced writes: what a timer can keep.
const PACE_SLEEP_MIN: Duration = Duration::from_micros(100);

/// Publishes until the run is over. Failures go to `shared`.
/// Says whether the written bytes end with a whole frame, so that the connection can still be closed politely.
pub fn publish(connection: &mut Connection, load: &Load, shared: &Shared) -> bool {
    let batch =
        PublishBatch::new(CHANNEL, &load.queue, load.body_size, load.is_persistent, connection.frame_max);
    let window = load.confirm_window.map(|size| Window::new(u64::from(size), load.rate.is_some()));
    let Connection { stream, inbox, .. } = connection;
    let stream = &*stream;
    let mut replies = Replies {
        shared,
        window: window.as_ref(),
        gathering: Gathering::of_confirms(load),
        unconfirmed: Unconfirmed::new(load.confirm_window.unwrap_or(0) as usize),
        messages: load.extent.messages,
        settled: 0,
    };
    let mut writer = Writer {
        stream,
        shared,
        batch,
        window: window.as_ref(),
        pace: load.rate.map(|rate| Pace::new(rate, now())),
        messages: load.extent.messages,
        sent: 0,
    };
    thread::scope(|scope| {
        let publishing_thread = thread::current();
        let listening = Builder::new().name("confirms".to_owned()).spawn_scoped(scope, move || {
            if let Err(error) = replies.listen(stream, inbox, &publishing_thread) {
                shared.fail(error);
            }
        });
        if let Err(source) = listening {
            shared.fail(PerfError::Thread(source));
        }
        writer.run().unwrap_or_else(|error| {
            shared.fail(error);
            false
        })
    })
}

/// How many publishes may be unconfirmed, and how many are settled: the bond between writer and listener.
#[derive(Debug)]
struct Window {
    size: u64,
    /// The writer waits until this much is free. Half the window, so that confirms that trickle in do not
    /// cause as many small writes; a paced publisher writes little at a time anyway.
    room_wanted: u64,
    /// Publishes confirmed or refused. Written by the listener.
    settled: AtomicU64,
    /// The writer sleeps until `settled` reaches this; `u64::MAX` when it is awake.
    wake_at: AtomicU64,
}

impl Window {
    fn new(size: u64, is_paced: bool) -> Self {
        let room_wanted = if is_paced { 1 } else { (size / 2).max(1) };
        Self { size, room_wanted, settled: AtomicU64::new(0), wake_at: AtomicU64::new(u64::MAX) }
    }

    /// How many more may be written after `sent`; waits for enough to be worth a write, but not for ever.
    fn wait_for_room(&self, sent: u64) -> u64 {
        let room = || self.size - (sent - self.settled.load(SeqCst));
        if room() >= self.room_wanted {
            return room();
        }
        self.wake_at.store(sent + self.room_wanted - self.size, SeqCst);
        if room() < self.room_wanted {
            thread::park_timeout(WAKE);
        }
        self.wake_at.store(u64::MAX, SeqCst);
        room()
    }

    fn settle(&self, settled: u64, publishing_thread: &Thread) {
        self.settled.store(settled, SeqCst);
        if settled >= self.wake_at.load(SeqCst) {
            publishing_thread.unpark();
        }
    }
}

struct Writer<'a> {
    stream: &'a TcpStream,
    shared: &'a Shared,
    batch: PublishBatch,
    window: Option<&'a Window>,
    pace: Option<Pace>,
    messages: Option<u64>,
    sent: u64,
}

impl Writer<'_> {
    /// Returns whether what was written ends with a whole frame.
    fn run(&mut self) -> Result<bool, PerfError> {
        while !self.shared.is_stopping() {
            let left = self.messages.map_or(u64::MAX, |messages| messages - self.sent);
            if left == 0 {
                return self.finish();
            }
            let room = self.window.map_or(u64::MAX, |window| window.wait_for_room(self.sent));
            let count = left.min(room).min(self.batch.messages_max() as u64);
            let now = now();
            let count =
                self.pace.map_or(count, |pace| count.min(pace.due_count(now).saturating_sub(self.sent)));
            if count == 0 {
                self.sleep_until_due(now);
            } else if !self.write_messages(count, now)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn write_messages(&mut self, count: u64, now: Nanos) -> Result<bool, PerfError> {
        let (pace, sent) = (self.pace, self.sent);
        let stamp = |n: usize| pace.map_or(now, |pace| pace.stamp(sent + n as u64, now)).0;
        // Not more than a batch, which fits into memory.
        let bytes = self.batch.stamped(count as usize, stamp);
        if !write(self.stream, bytes, self.shared)? {
            return Ok(false);
        }
        self.sent += count;
        self.shared.sent.set(self.sent);
        Ok(true)
    }

    /// Without confirms, only the answer to `channel.close` tells that the broker has seen every message.
    fn finish(&self) -> Result<bool, PerfError> {
        match self.window {
            Some(_) => Ok(true),
            None => write(self.stream, &method::channel_close(CHANNEL), self.shared),
        }
    }

    /// Returns early, and at once when it was the window that had no room: the wait for room was the sleep.
    fn sleep_until_due(&self, now: Nanos) {
        if let Some(pace) = self.pace {
            let wait = pace.due_at(self.sent).since(now);
            if !wait.is_zero() {
                thread::sleep(wait.clamp(PACE_SLEEP_MIN, WAKE));
            }
        }
    }
}

fn write(stream: &TcpStream, bytes: &[u8], shared: &Shared) -> Result<bool, PerfError> {
    write_while(stream, bytes, || shared.may_write_on())
        .map_err(|source| PerfError::Io { doing: "publishing", source })
}

/// What comes back on the publisher's connection.
struct Replies<'a> {
    shared: &'a Shared,
    window: Option<&'a Window>,
    gathering: Gathering,
    unconfirmed: Unconfirmed,
    messages: Option<u64>,
    settled: u64,
}

impl Replies<'_> {
    fn listen(
        &mut self,
        stream: &TcpStream,
        inbox: &mut Inbox,
        publishing_thread: &Thread,
    ) -> Result<(), PerfError> {
        let mut last_read = 0;
        while !self.shared.is_stopping() {
            let settled_before = self.settled;
            let is_done = self.take_frames(inbox)?;
            if let Some(window) = self.window {
                window.settle(self.settled, publishing_thread);
            }
            if is_done {
                self.shared.finish();
                return Ok(());
            }
            self.gathering.wait(last_read, self.settled - settled_before);
            match inbox.fill(&mut &*stream) {
                Ok(0) => return Err(PerfError::EndOfStream { doing: "publishing" }),
                Ok(count) => last_read = count,
                Err(error) if is_wake(&error) => {}
                Err(source) => return Err(PerfError::Io { doing: "publishing", source }),
            }
        }
        Ok(())
    }

    /// Says whether the broker has now taken all there is to publish.
    fn take_frames(&mut self, inbox: &mut Inbox) -> Result<bool, PerfError> {
        while let Some(frame) = inbox.next_frame()? {
            if frame.kind != FrameKind::Method {
                continue;
            }
            let (id, arguments) = method::parse_method(frame.payload)
                .ok_or(PerfError::Unexpected("a method without a number"))?;
            match id {
                MethodId::BASIC_ACK => self.shared.confirmed.add(self.settle(arguments)?),
                MethodId::BASIC_NACK => self.shared.nacked.add(self.settle(arguments)?),
                MethodId::CHANNEL_CLOSE_OK => return Ok(true),
                _ => closed_by(id, arguments).map_or(Ok(()), Err)?,
            }
        }
        Ok(self.messages == Some(self.settled))
    }

    fn settle(&mut self, arguments: Arguments<'_>) -> Result<u64, PerfError> {
        let count = arguments
            .confirm()
            .and_then(|confirm| self.unconfirmed.settle(confirm))
            .ok_or(PerfError::Unexpected("a confirm of a message that was not published"))?;
        self.settled += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_waits_for_half_the_window() {
        let window = Window::new(10, false);
        assert_eq!(window.wait_for_room(0), 10);
        assert_eq!(window.wait_for_room(5), 5);
        window.settle(7, &thread::current());
        assert_eq!(window.wait_for_room(10), 7);
    }

    #[test]
    fn a_confirm_wakes_the_writer() {
        let window = Window::new(1, true);
        thread::scope(|scope| {
            let writer = thread::current();
            scope.spawn(|| window.settle(1, &{ writer }));
            while window.wait_for_room(1) == 0 {}
        });
        assert_eq!(window.wait_for_room(1), 1);
    }
}
