//! One measured run: connect, declare, publish and consume, read the clocks, take down.

use std::thread::{self, Builder};
use std::time::Duration;

use serde::Serialize;

use crate::cli::Target;
use crate::clock::{Nanos, now, own_cpu};
use crate::codec::method::QueueDeclare;
use crate::connection::Connection;
use crate::consumer::{Consumed, consume};
use crate::error::PerfError;
use crate::latency::{Histogram, Percentiles};
use crate::load::{Acks, Flow, Load};
use crate::process::{self, Usage};
use crate::publisher::publish;
use crate::shared::Shared;

/// How often the broker's memory is read, and a stalled run noticed.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// What was measured, from the end of the warm-up to the end of the run.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    pub seconds: f64,
    pub sent: u64,
    pub received: u64,
    pub confirmed: u64,
    pub nacked: u64,
    pub sent_per_second: f64,
    pub received_per_second: f64,
    /// From the stamp in a body to its arrival; `None` when bodies are too short, or nothing came.
    pub latency: Option<Percentiles>,
    /// `None` when no process was named.
    pub broker: Option<BrokerFigures>,
    pub own_cpu_seconds: f64,
    pub own_cpu_seconds_per_million: Option<f64>,
    /// Whether all that was asked for came about.
    pub is_complete: bool,
    /// Whether the broker had deleted the queue and closed the connections when it was left. If not, it is
    /// still busy with this run's messages, and what is measured next suffers.
    pub is_taken_down: bool,
}

/// What the run cost the broker's process.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BrokerFigures {
    pub cpu_seconds: f64,
    /// Per million messages: a message that was both sent and received counts once.
    pub cpu_seconds_per_million: Option<f64>,
    /// The largest resident memory seen.
    pub rss_bytes_max: u64,
    /// The resident memory at the end.
    pub rss_bytes: u64,
}

/// Runs `load` against `target` and takes its queue and connections down again.
pub fn run(target: &Target, load: &Load) -> Result<Figures, PerfError> {
    let deadline = now().plus(load.patience.setup);
    let unique;
    let load = if load.has_unique_queue {
        unique = Load { queue: format!("{}-{}", load.queue, now().0), ..load.clone() };
        &unique
    } else {
        load
    };
    let mut control = Connection::open(&target.url, deadline)?;
    declare(&mut control, load, deadline)?;
    let driven = drive(target, load, deadline);

    let deadline = now().plus(load.patience.teardown);
    // Without its queue, a publisher's unread messages and a consumer's deliveries are soon through.
    let only_if_empty = load.flow == Flow::ConsumeOnly;
    let deleted = load.deletes_queue.then(|| control.delete_queue(&load.queue, only_if_empty, deadline));
    let (mut figures, connections) = driven?;
    let mut is_taken_down = connections.len() == load.flow.sides() && !is_late(deleted);
    for connection in connections {
        is_taken_down &= connection.close(deadline).is_ok();
    }
    figures.is_taken_down = is_taken_down;
    // What its answer could tell is known already.
    let _ = control.close(deadline);
    Ok(figures)
}

/// A queue that is gone already, or that `only_if_empty` protects, is as good as deleted.
fn is_late(deleted: Option<Result<(), PerfError>>) -> bool {
    matches!(deleted, Some(Err(PerfError::TimedOut { .. })))
}

fn declare(control: &mut Connection, load: &Load, deadline: Nanos) -> Result<(), PerfError> {
    let declare =
        QueueDeclare { queue: &load.queue, is_durable: load.is_durable, is_auto_delete: !load.is_durable };
    let found = control.declare_queue(declare, deadline)?;
    if load.flow == Flow::Both && (found.message_count > 0 || found.consumer_count > 0) {
        return Err(PerfError::QueueInUse {
            queue: load.queue.clone(),
            message_count: found.message_count,
            consumer_count: found.consumer_count,
        });
    }
    Ok(())
}

/// Connects both sides and lets them work. Gives back the connections that can still be closed politely.
fn drive(target: &Target, load: &Load, deadline: Nanos) -> Result<(Figures, Vec<Connection>), PerfError> {
    let open = |takes_part: bool| takes_part.then(|| Connection::open(&target.url, deadline)).transpose();
    let mut consumer = open(load.flow.consumes())?;
    let mut publisher = open(load.flow.publishes())?;
    let shared = Shared::default();
    let start = Reading::take(target.pid, &shared)?;
    if load.extent.warmup.is_zero() {
        shared.start_measuring();
    }
    if let Some(connection) = &mut consumer {
        subscribe(connection, load, deadline)?;
    }
    if let Some(connection) = publisher.as_mut().filter(|_| load.confirm_window.is_some()) {
        connection.select_confirms(deadline)?;
    }
    let (measured, ends) = thread::scope(|scope| {
        let consuming = consumer.as_mut().map(|connection| {
            let work = || consume(connection, load, &shared);
            Builder::new().name("consumer".to_owned()).spawn_scoped(scope, work)
        });
        let publishing = publisher.as_mut().map(|connection| {
            let work = || publish(connection, load, &shared);
            Builder::new().name("publisher".to_owned()).spawn_scoped(scope, work)
        });
        let measured = measure(target, load, start, &shared);
        shared.stop();
        let consumed = consuming.and_then(|thread| thread.ok()?.join().ok());
        let published = publishing.and_then(|thread| thread.ok()?.join().ok());
        (measured, (consumed, published))
    });
    let measured = measured?;
    if let Some(failure) = shared.take_failure() {
        return Err(failure);
    }
    let (consumed, published) = ends;
    let consumer = consumer.filter(|_| consumed.as_ref().is_some_and(|consumed| consumed.ends_with_frame));
    let publisher = publisher.filter(|_| published == Some(true));
    Ok((measured.figures(load, consumed), publisher.into_iter().chain(consumer).collect()))
}

fn subscribe(connection: &mut Connection, load: &Load, deadline: Nanos) -> Result<(), PerfError> {
    if let Acks::Manual { prefetch_count, .. } = load.acks {
        connection.set_prefetch(prefetch_count, deadline)?;
    }
    connection.consume(&load.queue, load.acks == Acks::Auto, deadline)
}

/// All counters at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Nanos,
    sent: u64,
    received: u64,
    confirmed: u64,
    nacked: u64,
    own_cpu: Duration,
    broker: Option<Usage>,
}

impl Reading {
    fn take(pid: Option<u32>, shared: &Shared) -> Result<Self, PerfError> {
        let read = |pid| process::usage(pid).map_err(|source| PerfError::Process { pid, source });
        Ok(Self {
            at: now(),
            sent: shared.sent.value(),
            received: shared.received.value(),
            confirmed: shared.confirmed.value(),
            nacked: shared.nacked.value(),
            own_cpu: own_cpu(),
            broker: pid.map(read).transpose()?,
        })
    }

    /// A number that grows as long as anything moves.
    fn progress(&self) -> u64 {
        self.sent + self.received + self.confirmed + self.nacked
    }
}

#[derive(Debug)]
struct Measured {
    start: Reading,
    end: Reading,
    rss_bytes_max: u64,
}

/// Waits for the end of the warm-up, then of the run.
fn measure(target: &Target, load: &Load, start: Reading, shared: &Shared) -> Result<Measured, PerfError> {
    let extent = load.extent;
    let sides = load.flow.sides();
    let mut start = start;
    if !extent.warmup.is_zero() && !shared.is_over_before(now().plus(extent.warmup), sides) {
        start = Reading::take(target.pid, shared)?;
        shared.start_measuring();
    }
    let deadline = extent.duration.map(|duration| start.at.plus(duration));
    // Between two slow messages nothing moves either.
    let stall =
        load.patience.stall + load.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(2.0 / rate));
    let mut end = start;
    let mut last_move = start;
    let mut rss_bytes_max = 0;
    loop {
        let next_look = now().plus(WATCH_EVERY);
        let wake = deadline.map_or(next_look, |deadline| deadline.min(next_look));
        let is_over = shared.is_over_before(wake, sides);
        end = match Reading::take(target.pid, shared) {
            Ok(reading) => reading,
            // The broker died: what its connections say about it is the better error.
            Err(_) if is_over => end,
            Err(error) => return Err(error),
        };
        rss_bytes_max = rss_bytes_max.max(end.broker.map_or(0, |usage| usage.rss_bytes));
        if end.progress() > last_move.progress() {
            last_move = end;
        }
        let is_stalled = deadline.is_none() && end.at.since(last_move.at) >= stall;
        if is_over || is_stalled || deadline.is_some_and(|deadline| end.at >= deadline) {
            return Ok(Measured { start, end, rss_bytes_max });
        }
    }
}

impl Measured {
    fn figures(&self, load: &Load, consumed: Option<Consumed>) -> Figures {
        let (start, end) = (&self.start, &self.end);
        let seconds = end.at.since(start.at).as_secs_f64().max(f64::MIN_POSITIVE);
        let sent = end.sent - start.sent;
        let received = end.received - start.received;
        let millions = (sent + received) as f64 / load.flow.sides() as f64 / 1e6;
        let per_million = |cpu: f64| (millions > 0.0).then_some(cpu / millions);
        let own_cpu_seconds = (end.own_cpu.saturating_sub(start.own_cpu)).as_secs_f64();
        let broker = start.broker.zip(end.broker).map(|(start, end)| {
            let cpu_seconds = end.cpu.saturating_sub(start.cpu).as_secs_f64();
            BrokerFigures {
                cpu_seconds,
                cpu_seconds_per_million: per_million(cpu_seconds),
                rss_bytes_max: self.rss_bytes_max,
                rss_bytes: end.rss_bytes,
            }
        });
        Figures {
            seconds,
            sent,
            received,
            confirmed: end.confirmed - start.confirmed,
            nacked: end.nacked - start.nacked,
            sent_per_second: sent as f64 / seconds,
            received_per_second: received as f64 / seconds,
            latency: consumed.as_ref().map(|consumed| &consumed.latencies).and_then(Histogram::percentiles),
            broker,
            own_cpu_seconds,
            own_cpu_seconds_per_million: per_million(own_cpu_seconds),
            is_complete: self.is_complete(load),
            is_taken_down: false,
        }
    }

    /// All asked-for messages are through; or, without a number, each side has moved some.
    fn is_complete(&self, load: &Load) -> bool {
        let (start, end) = (&self.start, &self.end);
        let enough = |takes_part: bool, moved: u64, total: u64| {
            !takes_part || load.extent.messages.map_or(moved > 0, |messages| total >= messages)
        };
        let confirmed = end.confirmed - start.confirmed;
        enough(load.flow.publishes(), end.sent - start.sent, end.sent)
            && enough(load.flow.consumes(), end.received - start.received, end.received)
            && enough(load.confirm_window.is_some(), confirmed, end.confirmed)
    }
}
