//! Short dialogues with the broker, over and over: connections, channels and queues that come and go.
//!
//! One thread has many connections, each of which says its line when the broker has answered the last one.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::cli::Target;
use crate::clock::{Nanos, now, own_cpu};
use crate::codec::frame::FrameKind;
use crate::codec::method::{self, MethodId, QueueDeclare, Tune};
use crate::codec::table::FieldTable;
use crate::connection::{CHANNEL, Connection, close_all, closed_by, connect};
use crate::error::PerfError;
use crate::latency::{Histogram, Percentiles};
use crate::poller::{Event, Poller};
use crate::process::{self, Usage};

/// For errors.
const DOING: &str = "what comes and goes";
/// The channel that comes and goes; the connection's first stays.
const CHURNED_CHANNEL: u16 = CHANNEL + 1;
const WAKE: Duration = Duration::from_millis(100);
const SETUP: Duration = Duration::from_secs(10);
const TEARDOWN: Duration = Duration::from_secs(5);
/// A broker that answers nobody for this long is given up.
const STALL: Duration = Duration::from_secs(10);

/// What is done over and over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cycle {
    /// Connect, log in, open the vhost, close.
    Connection,
    /// Open and close a channel.
    Channel,
    /// Declare a queue and delete it.
    Queue { prefix: String, is_durable: bool },
    /// Only declare.
    Declare { prefix: String, is_durable: bool },
    /// Only delete.
    Delete { prefix: String },
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// For so long, after a warm-up that does not count.
    Time { warmup: Duration, duration: Duration },
    /// So many times, or as often as is possible before the deadline. What has begun by then is done, too.
    Count { count: u64, deadline: Nanos },
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Cycled {
    pub count: u64,
    pub seconds: f64,
    /// Of a whole cycle.
    pub latency: Option<Percentiles>,
    pub broker_cpu: Option<Duration>,
    pub own_cpu: Duration,
}

/// Lets `at_once` connections go through `cycle` until enough is done.
pub fn run_cycles(target: &Target, cycle: &Cycle, at_once: u32, until: Until) -> Result<Cycled, PerfError> {
    let mut round = Round::start(target, cycle, at_once, until)?;
    let cycled = round.run();
    let numbers: Vec<u64> = round.slots.iter().map(|slot| slot.number).collect();
    let connections = round.slots.into_iter().map(|slot| slot.connection).collect();
    if *cycle != Cycle::Connection {
        // Whether all of them answered changes no figure.
        close_all(connections, now().plus(TEARDOWN));
    }
    if let Cycle::Queue { prefix, .. } = cycle {
        // The end may have come between a declaration and its deletion. With what cannot be deleted now, nothing can
        // be done.
        let _ = delete_queues(target, prefix, &numbers);
    }
    cycled
}

fn delete_queues(target: &Target, prefix: &str, numbers: &[u64]) -> Result<(), PerfError> {
    let deadline = now().plus(TEARDOWN);
    let mut connection = Connection::open(&target.url, deadline)?;
    for number in numbers {
        connection.delete_queue(&queue_name(prefix, *number), false, deadline)?;
    }
    connection.close(deadline)
}

/// Of the queue that this cycle, from 0, declares.
pub fn queue_name(prefix: &str, number: u64) -> String {
    format!("{prefix}-{number}")
}

impl Cycle {
    /// What is said in this step, and the method that answers it; `None` after the last step.
    fn line(&self, step: usize, number: u64, target: &Target, tune: Tune) -> Option<(Vec<u8>, MethodId)> {
        let declare = |prefix: &str, is_durable| {
            let queue = &queue_name(prefix, number);
            let arguments = &FieldTable::default();
            method::queue_declare(
                CHANNEL,
                QueueDeclare { queue, is_durable, is_auto_delete: false, arguments },
            )
        };
        let delete = |prefix: &str| method::queue_delete(CHANNEL, &queue_name(prefix, number), false);
        let url = &target.url;
        Some(match (self, step) {
            (Self::Connection, 0) => (method::PROTOCOL_HEADER.to_vec(), MethodId::CONNECTION_START),
            (Self::Connection, 1) => (method::start_ok(&url.user, &url.password), MethodId::CONNECTION_TUNE),
            (Self::Connection, 2) => {
                let open = [method::tune_ok(tune), method::connection_open(&url.vhost)].concat();
                (open, MethodId::CONNECTION_OPEN_OK)
            }
            (Self::Connection, 3) => (method::connection_close(), MethodId::CONNECTION_CLOSE_OK),
            (Self::Channel, 0) => (method::channel_open(CHURNED_CHANNEL), MethodId::CHANNEL_OPEN_OK),
            (Self::Channel, 1) => (method::channel_close(CHURNED_CHANNEL), MethodId::CHANNEL_CLOSE_OK),
            (Self::Queue { prefix, is_durable } | Self::Declare { prefix, is_durable }, 0) => {
                (declare(prefix, *is_durable), MethodId::QUEUE_DECLARE_OK)
            }
            (Self::Queue { prefix, .. }, 1) | (Self::Delete { prefix }, 0) => {
                (delete(prefix), MethodId::QUEUE_DELETE_OK)
            }
            _ => return None,
        })
    }
}

/// One connection on its way through a cycle.
struct Slot {
    connection: Connection,
    step: usize,
    awaited: MethodId,
    /// The number of its cycle, from 0.
    number: u64,
    began: Nanos,
    is_idle: bool,
}

struct Round<'a> {
    target: &'a Target,
    cycle: &'a Cycle,
    until: Until,
    tune: Tune,
    poller: Poller,
    slots: Vec<Slot>,
    /// How many cycles have begun.
    begun: u64,
    done: u64,
    latencies: Histogram,
    last_move: Nanos,
}

impl<'a> Round<'a> {
    fn start(target: &'a Target, cycle: &'a Cycle, at_once: u32, until: Until) -> Result<Self, PerfError> {
        let deadline = now().plus(SETUP);
        let first = Connection::open(&target.url, deadline)?;
        let tune = Tune { channels_max: first.channels_max, frame_max: first.frame_max };
        let poller = Poller::new().map_err(failed)?;
        let latencies = Histogram::new();
        let mut round = Self {
            target,
            cycle,
            until,
            tune,
            poller,
            slots: Vec::new(),
            begun: 0,
            done: 0,
            latencies,
            last_move: now(),
        };
        for index in 0..at_once as usize {
            let connection = match cycle {
                Cycle::Connection => Connection::bare(connect(&target.url, deadline)?),
                _ => Connection::open(&target.url, deadline)?,
            };
            let (awaited, began) = (MethodId::CONNECTION_START, now());
            round.slots.push(Slot { connection, step: 0, awaited, number: 0, began, is_idle: true });
            round.watch(index)?;
        }
        // Its answer changes nothing.
        let _ = first.close(deadline);
        Ok(round)
    }

    fn run(&mut self) -> Result<Cycled, PerfError> {
        let (warmup, duration) = match self.until {
            Until::Time { warmup, duration } => (warmup, Some(duration)),
            Until::Count { .. } => (Duration::ZERO, None),
        };
        let mut measured: Option<Reading> = None;
        let begin = now();
        self.last_move = begin;
        for index in 0..self.slots.len() {
            self.begin(index)?;
        }
        loop {
            let now = now();
            if measured.is_none() && now.since(begin) >= warmup {
                self.latencies.clear();
                measured = Some(Reading::take(self.target, self.done)?);
            }
            let is_over = match (self.until, &measured) {
                (Until::Count { .. }, _) => self.done == self.begun && self.is_enough(now),
                (Until::Time { .. }, Some(start)) => {
                    duration.is_some_and(|duration| now.since(start.at) >= duration)
                }
                (Until::Time { .. }, None) => false,
            };
            if let Some(start) = measured.as_ref().filter(|_| is_over) {
                return Reading::take(self.target, self.done).map(|end| start.until(&end, &self.latencies));
            }
            if now.since(self.last_move) > STALL {
                return Err(PerfError::TimedOut { doing: DOING });
            }
            let events = self.poller.wait(WAKE).map_err(failed)?;
            let ready: Vec<Event> = events.filter(|event| event.is_readable).collect();
            for event in ready {
                self.read(event)?;
            }
        }
    }

    /// Begins the next cycle, if there is one to begin: with the last move, as a connection has been connected since.
    fn begin(&mut self, index: usize) -> Result<(), PerfError> {
        if self.is_enough(self.last_move) {
            self.slots[index].is_idle = true;
            return Ok(());
        }
        let slot = &mut self.slots[index];
        (slot.step, slot.number, slot.began, slot.is_idle) = (0, self.begun, self.last_move, false);
        self.begun += 1;
        self.say(index)
    }

    /// Whether no more is to begin.
    fn is_enough(&self, now: Nanos) -> bool {
        match self.until {
            Until::Time { .. } => false,
            Until::Count { count, deadline } => self.begun >= count || now >= deadline,
        }
    }

    /// Says the line of the slot's step, or ends its cycle when there is none.
    fn say(&mut self, index: usize) -> Result<(), PerfError> {
        let slot = &mut self.slots[index];
        if let Some((line, awaited)) = self.cycle.line(slot.step, slot.number, self.target, self.tune) {
            slot.awaited = awaited;
            return (&slot.connection.stream).write_all(&line).map_err(failed);
        }
        self.last_move = now();
        self.latencies.record(self.last_move.since(slot.began));
        self.done += 1;
        if *self.cycle == Cycle::Connection {
            slot.connection = Connection::bare(connect(&self.target.url, self.last_move.plus(SETUP))?);
            self.watch(index)?;
        }
        self.begin(index)
    }

    fn read(&mut self, event: Event) -> Result<(), PerfError> {
        let index = event.index;
        // The event's edge: there is no other before everything is read.
        loop {
            let Slot { connection, is_idle, .. } = &mut self.slots[index];
            let count = match connection.inbox.fill(&mut &connection.stream) {
                Ok(0) if *is_idle => return Ok(()),
                Ok(0) => return Err(PerfError::EndOfStream { doing: DOING }),
                Ok(count) => count,
                Err(error) if crate::connection::is_wake(&error) => return Ok(()),
                Err(source) => return Err(failed(source)),
            };
            let is_full = connection.inbox.is_full();
            self.last_move = now();
            while self.is_answered(index)? {
                self.slots[index].step += 1;
                self.say(index)?;
            }
            // The end of the stream may have come with the last bytes, and no edge of its own.
            if !is_full && !event.is_over || count == 0 {
                return Ok(());
            }
        }
    }

    /// Whether the awaited method is among the whole frames that have come.
    fn is_answered(&mut self, index: usize) -> Result<bool, PerfError> {
        let Slot { connection, awaited, .. } = &mut self.slots[index];
        while let Some(frame) = connection.inbox.next_frame()? {
            if frame.kind != FrameKind::Method {
                continue;
            }
            let (id, arguments) = method::parse_method(frame.payload)
                .ok_or(PerfError::Unexpected("a method without a number"))?;
            if id == *awaited {
                return Ok(true);
            }
            closed_by(id, arguments).map_or(Ok(()), Err)?;
        }
        Ok(false)
    }

    fn watch(&mut self, index: usize) -> Result<(), PerfError> {
        let stream: &TcpStream = &self.slots[index].connection.stream;
        stream.set_nonblocking(true).map_err(failed)?;
        self.poller.add(stream, index).map_err(failed)
    }
}

/// Counters and clocks at one moment.
struct Reading {
    at: Nanos,
    done: u64,
    own_cpu: Duration,
    broker: Option<Usage>,
}

impl Reading {
    fn take(target: &Target, done: u64) -> Result<Self, PerfError> {
        let broker = target.pid.map(process::usage_of).transpose()?;
        Ok(Self { at: now(), done, own_cpu: own_cpu(), broker })
    }

    fn until(&self, end: &Self, latencies: &Histogram) -> Cycled {
        Cycled {
            count: end.done - self.done,
            seconds: end.at.since(self.at).as_secs_f64().max(f64::MIN_POSITIVE),
            latency: latencies.percentiles(),
            broker_cpu: self.broker.zip(end.broker).map(|(start, end)| end.cpu.saturating_sub(start.cpu)),
            own_cpu: end.own_cpu.saturating_sub(self.own_cpu),
        }
    }
}

fn failed(source: std::io::Error) -> PerfError {
    PerfError::while_doing(DOING, source)
}
