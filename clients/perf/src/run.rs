//! One measured run: connect, declare, publish and consume, read the clocks, take down.

use std::fmt;
use std::thread::{self, Builder, ScopedJoinHandle};
use std::time::Duration;

use serde::Serialize;

use crate::cli::Target;
use crate::clock::{Nanos, now, own_cpu};
use crate::connection::{CHANNEL, Connection, close_all};
use crate::consumer::consume;
use crate::error::PerfError;
use crate::latency::Percentiles;
use crate::load::{Acks, Consuming, Load, Publishing};
use crate::process::{self, Usage};
use crate::publisher::publish;
use crate::shared::Shared;
use crate::topology::amid_topology;

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
    pub returned: u64,
    pub sent_per_second: f64,
    pub received_per_second: f64,
    /// From the stamp in a body to its arrival; `None` when bodies are too short, or nothing came.
    pub latency: Option<Percentiles>,
    /// From a publish to its confirm.
    pub confirm_latency: Option<Percentiles>,
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
    /// Per million messages: a message that was both sent and received counts once, one that goes to several queues
    /// once for each.
    pub cpu_seconds_per_million: Option<f64>,
    /// The largest resident memory seen.
    pub rss_bytes_max: u64,
    /// The resident memory at the end.
    pub rss_bytes: u64,
}

/// How it goes, since the last time.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Since the run began, the warm-up included.
    pub elapsed: Duration,
    pub sent_per_second: f64,
    pub confirmed_per_second: f64,
    pub nacked_per_second: f64,
    pub returned_per_second: f64,
    pub received_per_second: f64,
    pub latency: Option<Percentiles>,
    pub confirm_latency: Option<Percentiles>,
}

/// Who wants to know how it goes, and how often.
pub struct Watcher<'a> {
    /// Zero: never.
    pub interval: Duration,
    pub watch: Box<dyn FnMut(&Moment) + 'a>,
}

impl Watcher<'_> {
    /// For runs that nobody watches.
    pub fn nobody() -> Self {
        Self { interval: Duration::ZERO, watch: Box::new(|_| ()) }
    }
}

impl fmt::Debug for Watcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("interval", &self.interval).finish_non_exhaustive()
    }
}

/// Runs `load` against `target` and takes its queues and connections down again.
pub fn run(target: &Target, load: &Load, watcher: &mut Watcher<'_>) -> Result<Figures, PerfError> {
    let load = &load.with_unique_names();
    let work = |deadline| drive(target, load, deadline, watcher);
    let ((mut figures, connections), is_taken_down) = amid_topology(target, load, work)?;
    // Without its queue, a publisher's unread messages and a consumer's deliveries are soon through. A broker that did
    // not delete it in time is not waited for again.
    let deadline = if is_taken_down { load.teardown_deadline() } else { now() };
    let are_closed = close_all(connections.closeable, deadline);
    figures.is_taken_down = is_taken_down && connections.is_whole && are_closed;
    Ok(figures)
}

/// What is left of a run's connections.
#[derive(Debug)]
pub struct Leftovers {
    /// Those that can still be closed politely.
    pub closeable: Vec<Connection>,
    /// Whether these are all.
    pub is_whole: bool,
}

/// Connects both sides and lets them work.
fn drive(
    target: &Target,
    load: &Load,
    deadline: Nanos,
    watcher: &mut Watcher<'_>,
) -> Result<(Figures, Leftovers), PerfError> {
    let open = |count: u32, channels: u16| -> Result<Vec<Connection>, PerfError> {
        let connect = |_| {
            let mut connection = Connection::open(&target.url, deadline)?;
            connection.open_channels(channels, deadline)?;
            Ok(connection)
        };
        (0..count).map(connect).collect()
    };
    let (publishing, consuming) = (load.publishing.as_ref(), load.consuming.as_ref());
    let mut consumers = consuming.map_or(Ok(Vec::new()), |side| open(side.consumers, side.channels))?;
    let mut publishers = publishing.map_or(Ok(Vec::new()), |side| open(side.producers, side.channels))?;
    if let Some(consuming) = consuming {
        subscribe(&mut consumers, load, consuming, deadline)?;
    }
    if let Some(publishing) = publishing.filter(|publishing| publishing.confirm_window.is_some()) {
        select_confirms(&mut publishers, publishing, deadline)?;
    }
    run_connected(target.pid, load, publishers, consumers, watcher)
}

/// Lets connections that are ready for it publish and consume.
pub fn run_connected(
    pid: Option<u32>,
    load: &Load,
    mut publishers: Vec<Connection>,
    mut consumers: Vec<Connection>,
    watcher: &mut Watcher<'_>,
) -> Result<(Figures, Leftovers), PerfError> {
    let (publishing, consuming) = (load.publishing.as_ref(), load.consuming.as_ref());
    let shared = Shared::default();
    let start = Reading::take(pid, &shared)?;
    if load.extent.warmup.is_zero() {
        shared.start_measuring();
    }
    let (measured, whole) = thread::scope(|scope| {
        let name = |name: &str| Builder::new().name(name.to_owned());
        let consumers = consuming.map(|side| {
            let (work, shared) = (&mut consumers[..], &shared);
            name("consumers").spawn_scoped(scope, move || consume(work, load, side, shared))
        });
        let publishers = publishing.map(|side| {
            let (work, shared) = (&mut publishers[..], &shared);
            name("publishers").spawn_scoped(scope, move || publish(work, load, side, shared))
        });
        let measured = measure(pid, load, start, &shared, watcher);
        shared.stop();
        (measured, [consumers, publishers].map(join))
    });
    if let Some(failure) = shared.take_failure() {
        return Err(failure);
    }
    let measured = measured?;
    let [whole_consumers, whole_publishers] = whole.map(|whole| whole.into_iter());
    let all = consumers.into_iter().zip(whole_consumers).chain(publishers.into_iter().zip(whole_publishers));
    let (closeable, torn): (Vec<_>, Vec<_>) = all.partition(|(_, is_whole)| *is_whole);
    let closeable = closeable.into_iter().map(|(connection, _)| connection).collect();
    let figures = measured.figures(load, &shared);
    Ok((figures, Leftovers { closeable, is_whole: torn.is_empty() }))
}

/// The connections of a side that still speak in whole frames; none if its thread did not even start.
fn join(thread: Option<std::io::Result<ScopedJoinHandle<'_, Vec<bool>>>>) -> Vec<bool> {
    thread.and_then(|thread| thread.ok()?.join().ok()).unwrap_or_default()
}

fn subscribe(
    connections: &mut [Connection],
    load: &Load,
    consuming: &Consuming,
    deadline: Nanos,
) -> Result<(), PerfError> {
    let mut number = 0;
    for connection in connections {
        for channel in CHANNEL..CHANNEL + consuming.channels {
            if let Acks::Manual { prefetch_count, is_per_channel, .. } = consuming.acks {
                connection.set_prefetch(channel, prefetch_count, is_per_channel, deadline)?;
            }
        }
        for channel in CHANNEL..CHANNEL + consuming.channels {
            let is_auto_ack = consuming.acks == Acks::Auto;
            connection.consume(
                channel,
                load.topology.queue(number),
                is_auto_ack,
                &consuming.arguments,
                deadline,
            )?;
            number += 1;
        }
    }
    Ok(())
}

fn select_confirms(
    connections: &mut [Connection],
    publishing: &Publishing,
    deadline: Nanos,
) -> Result<(), PerfError> {
    connections.iter_mut().try_for_each(|connection| {
        let mut channels = CHANNEL..CHANNEL + publishing.channels;
        channels.try_for_each(|channel| connection.select_confirms(channel, deadline))
    })
}

/// All counters at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Nanos,
    sent: u64,
    received: u64,
    confirmed: u64,
    nacked: u64,
    returned: u64,
    own_cpu: Duration,
    broker: Option<Usage>,
}

impl Reading {
    fn take(pid: Option<u32>, shared: &Shared) -> Result<Self, PerfError> {
        Ok(Self {
            at: now(),
            sent: shared.sent.value(),
            received: shared.received.value(),
            confirmed: shared.confirmed.value(),
            nacked: shared.nacked.value(),
            returned: shared.returned.value(),
            own_cpu: own_cpu(),
            broker: pid.map(process::usage_of).transpose()?,
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
fn measure(
    pid: Option<u32>,
    load: &Load,
    start: Reading,
    shared: &Shared,
    watcher: &mut Watcher<'_>,
) -> Result<Measured, PerfError> {
    let extent = load.extent;
    let mut watch = Watch { pid, start: start.at, last: start, watcher, shared };
    let sides = match load.ending_sides() {
        // Then only a failure ends it early.
        0 => usize::MAX,
        sides => sides,
    };
    let mut start = start;
    if !extent.warmup.is_zero() && !watch.is_over_before(now().plus(extent.warmup), sides)? {
        start = Reading::take(pid, shared)?;
        shared.start_measuring();
    }
    let deadline = extent.duration.map(|duration| start.at.plus(duration));
    let stall = load.patience.stall + longest_pause(load);
    let mut end = start;
    let mut last_move = start;
    let mut rss_bytes_max = 0;
    loop {
        let next_look = now().plus(WATCH_EVERY);
        let wake = deadline.map_or(next_look, |deadline| deadline.min(next_look));
        let is_over = watch.is_over_before(wake, sides)?;
        end = match Reading::take(pid, shared) {
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

/// Between two slow messages nothing moves either.
fn longest_pause(load: &Load) -> Duration {
    let publishing = load.publishing.as_ref().and_then(|publishing| publishing.rate.as_ref());
    let seconds = publishing.map_or(0.0, |rate| {
        let pauses = rate.steps().iter().filter(|step| step.value == 0.0).map(|step| step.seconds);
        let slowest =
            rate.steps().iter().map(|step| step.value).filter(|rate| *rate > 0.0).fold(f64::MAX, f64::min);
        pauses.sum::<f64>() + 2.0 / slowest
    });
    let consuming =
        load.consuming.as_ref().and_then(|consuming| consuming.rate).map_or(0.0, |rate| 2.0 / rate);
    Duration::from_secs_f64(seconds.max(consuming))
}

/// The end of the run awaited, with looks at how it goes in between.
struct Watch<'a, 'w> {
    pid: Option<u32>,
    start: Nanos,
    last: Reading,
    watcher: &'a mut Watcher<'w>,
    shared: &'a Shared,
}

impl Watch<'_, '_> {
    fn is_over_before(&mut self, deadline: Nanos, sides: usize) -> Result<bool, PerfError> {
        let interval = self.watcher.interval;
        loop {
            let next_line = if interval.is_zero() { deadline } else { self.last.at.plus(interval) };
            if self.shared.is_over_before(deadline.min(next_line), sides) {
                return Ok(true);
            }
            if !interval.is_zero() && now() >= next_line {
                let reading = Reading::take(self.pid, self.shared)?;
                let moment = self.moment(&reading);
                (self.watcher.watch)(&moment);
                self.last = reading;
            }
            if now() >= deadline {
                return Ok(false);
            }
        }
    }

    fn moment(&self, reading: &Reading) -> Moment {
        let seconds = reading.at.since(self.last.at).as_secs_f64().max(f64::MIN_POSITIVE);
        let rate = |count: fn(&Reading) -> u64| (count(reading) - count(&self.last)) as f64 / seconds;
        Moment {
            elapsed: reading.at.since(self.start),
            sent_per_second: rate(|reading| reading.sent),
            confirmed_per_second: rate(|reading| reading.confirmed),
            nacked_per_second: rate(|reading| reading.nacked),
            returned_per_second: rate(|reading| reading.returned),
            received_per_second: rate(|reading| reading.received),
            latency: self.shared.delivery_latency.take_interval(),
            confirm_latency: self.shared.confirm_latency.take_interval(),
        }
    }
}

impl Measured {
    fn figures(&self, load: &Load, shared: &Shared) -> Figures {
        let (start, end) = (&self.start, &self.end);
        let seconds = end.at.since(start.at).as_secs_f64().max(f64::MIN_POSITIVE);
        let sent = end.sent - start.sent;
        let received = end.received - start.received;
        let copies = if load.consuming.is_some() { load.topology.copies() } else { 1 };
        let millions = (sent * copies + received) as f64 / load.sides() as f64 / 1e6;
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
            returned: end.returned - start.returned,
            sent_per_second: sent as f64 / seconds,
            received_per_second: received as f64 / seconds,
            latency: shared.delivery_latency.total(),
            confirm_latency: shared.confirm_latency.total(),
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
        let enough =
            |moved: u64, total: u64, asked: Option<u64>| asked.map_or(moved > 0, |asked| total >= asked);
        let confirmed = end.confirmed - start.confirmed;
        let publishing = load.publishing.as_ref().is_none_or(|side| {
            enough(end.sent - start.sent, end.sent, side.messages)
                && (side.confirm_window.is_none() || enough(confirmed, end.confirmed, side.messages))
        });
        let consuming = load.consuming.as_ref();
        publishing
            && consuming.is_none_or(|side| enough(end.received - start.received, end.received, side.messages))
    }
}
