//! The campaign: rounds of all attacks against one broker, a client that has to be served all the time, and what the
//! broker must have given back after each round.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    ambushes::{AMBUSHES, SLOW_AMBUSHES},
    crowd::{Stage, all_served, gather, join},
    garbage::{self, Tally},
    witness::{Served, Witness},
};
use crate::{
    campaign::{
        history::{Invariant, Totals, Usage, Violation},
        process::{Addresses, Launch, Process},
        random::Random,
        report::Report,
        trouble::{Doing, Trouble},
    },
    http, wait,
};

/// Where attackers have all permissions; deleted after each round, and everything in it.
const VHOST: &str = "hostile";

/// Threads that say garbage at the same time.
const THREADS: u64 = 4;

/// How long the broker may take to start, and to give back what a round took.
const PATIENCE: Duration = Duration::from_secs(20);

/// Memory that may stay taken after the last round more than after those before, besides a quarter of that, KiB: what an
/// allocator keeps when thousands of connections have gone depends on the order in which they went.
const GROWTH_MAX_KIB: u64 = 16 << 10;

/// What connections that come and go one by one may leave behind, KiB. Here nothing but a leak can grow.
const CHURN_GROWTH_MAX_KIB: u64 = 1 << 10;

/// What was ordered.
#[derive(Debug, Clone, Copy)]
pub struct Orders {
    pub seed: u64,
    /// Frames over all rounds.
    pub frames: u64,
    /// Sockets that come at once.
    pub sockets: usize,
    /// Connections held at the same time.
    pub held: usize,
    /// How often everything is done; memory may not grow from round to round.
    pub rounds: u32,
    /// Also what takes as long as the broker's patience with a handshake.
    pub has_slow: bool,
}

/// A broker under attack.
struct Siege {
    orders: Orders,
    addresses: Addresses,
    process: Process,
    begin: Instant,
    frames: u64,
    witnessed: u64,
    violations: Vec<Violation>,
    notes: Vec<String>,
}

/// Runs all rounds.
pub fn run(launch: &Launch, data_dir: &Path, orders: Orders) -> Result<Report, Trouble> {
    raise_file_limit();
    let process = launch.start(data_dir)?;
    let addresses = process.wait_ready(PATIENCE).ok_or_else(|| Trouble::new("the broker does not start"))?;
    let (begin, violations, notes) = (Instant::now(), Vec::new(), Vec::new());
    let mut siege = Siege { orders, addresses, process, begin, frames: 0, witnessed: 0, violations, notes };
    let before = siege.usage()?;
    siege.notes.push(format!("at the start {} KiB", before.rss_kib));
    siege.churn()?;
    siege.hold()?;
    let mut kept = Vec::new();
    for round in 1..=orders.rounds {
        kept.push(siege.round(round, &before)?);
    }
    if let [before @ .., last] = &kept[..]
        && let Some(most) = before.iter().max()
        && *last > most + most / 4 + GROWTH_MAX_KIB
    {
        siege.broken(
            Invariant::Resources,
            format!("{last} KiB after the last round, at most {most} before it"),
        );
    }
    siege.finish(&launch.log)
}

impl Siege {
    /// All attacks once. Gives what memory stays taken, KiB.
    fn round(&mut self, round: u32, before: &Usage) -> Result<u64, Trouble> {
        let amqp = self.addresses.amqp;
        self.request("PUT", &format!("/api/vhosts/{VHOST}"))?;
        let witness = Witness::start(amqp);
        let tally = self.say_garbage(round);
        let mut most = self.usage()?.rss_kib;
        let slow = if self.orders.has_slow { &SLOW_AMBUSHES[..] } else { &[] };
        for (name, ambush) in AMBUSHES.iter().chain(slow) {
            if let Err(text) = ambush(amqp, VHOST) {
                self.broken(Invariant::Liveness, format!("{name}: {text}"));
            }
            most = most.max(self.usage()?.rss_kib);
        }
        if let Err(text) = self.bring_crowds() {
            self.broken(Invariant::Liveness, format!("a crowd: {text}"));
        }
        self.note_witness(round, witness.end());
        self.request("DELETE", &format!("/api/vhosts/{VHOST}"))?;
        let after = self.settled(before)?;
        self.notes.push(format!(
            "round {round}: {} frames on {} connections, {} refused, {} fell silent; up to {most} KiB, \
             {} KiB and {} file descriptors after all",
            tally.frames, tally.connections, tally.refused, tally.silent, after.rss_kib, after.fds
        ));
        Ok(after.rss_kib)
    }

    fn say_garbage(&mut self, round: u32) -> Tally {
        let share = self.orders.frames / u64::from(self.orders.rounds) / THREADS + 1;
        let (amqp, seed) = (self.addresses.amqp, self.orders.seed);
        let results: Vec<Result<Tally, String>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|index| {
                    let mut random = Random::new(seed, u64::from(round) << 8 | index);
                    scope.spawn(move || garbage::spread(amqp, VHOST, share, &mut random))
                })
                .collect();
            let panicked = |_| Err("a thread that says garbage has panicked".to_owned());
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
        });
        let mut sum = Tally::default();
        for result in results {
            match result {
                Ok(tally) => {
                    sum.frames += tally.frames;
                    sum.connections += tally.connections;
                    sum.refused += tally.refused;
                    sum.silent += tally.silent;
                }
                Err(text) => self.broken(Invariant::Liveness, format!("garbage: {text}")),
            }
        }
        self.frames += sum.frames;
        sum
    }

    /// As many connections as are to be held, one after another: only a leak could keep memory.
    fn churn(&mut self) -> Result<(), Trouble> {
        let count = self.orders.held;
        let come_and_go =
            |count| (0..count).try_for_each(|_| join(self.addresses.amqp, "/", Stage::Consuming).map(drop));
        // What is taken once is taken by the first of them, and more than a second of them: so long the broker remembers
        // queues that were deleted since it last looked at its statistics.
        let warmed_up = come_and_go(count / 2 + 100);
        let before = self.usage()?.rss_kib;
        match warmed_up.and_then(|()| come_and_go(count)) {
            Ok(()) => {
                let grown = self.usage()?.rss_kib.saturating_sub(before);
                self.notes.push(format!("{count} connections one after another leave {grown} KiB"));
                if grown > CHURN_GROWTH_MAX_KIB {
                    let text = format!("{grown} KiB stay taken by {count} connections that came and went");
                    self.broken(Invariant::Resources, text);
                }
            }
            Err(error) => self.broken(Invariant::Liveness, format!("coming and going: {error}")),
        }
        Ok(())
    }

    /// Many connections that stay, on a broker that has done nothing else yet: what each of them costs.
    fn hold(&mut self) -> Result<(), Trouble> {
        self.request("PUT", &format!("/api/vhosts/{VHOST}"))?;
        for stage in [Stage::Open, Stage::Consuming] {
            match self.hold_at(stage) {
                Ok(note) => self.notes.push(note),
                Err(text) => self.broken(Invariant::Liveness, format!("{stage:?}: {text}")),
            }
        }
        self.request("DELETE", &format!("/api/vhosts/{VHOST}"))
    }

    fn hold_at(&self, stage: Stage) -> Result<String, String> {
        let (before, begin) = (self.rss_kib()?, Instant::now());
        let mut peers = gather(self.addresses.amqp, VHOST, self.orders.held, stage)?;
        let took = begin.elapsed().as_millis();
        all_served(&mut peers).map_err(|error| error.to_string())?;
        let taken = self.rss_kib()?.saturating_sub(before);
        let count = peers.len();
        drop(peers);
        self.wait_alone()?;
        let kept = self.rss_kib()?.saturating_sub(before);
        let each = taken * 1_024 / count.max(1) as u64;
        Ok(format!(
            "{count} {stage:?} in {took} ms: {taken} KiB more, {each} bytes each; {kept} KiB of it after they left"
        ))
    }

    /// Sockets that say hello at once, and as many connections as are to be held, beside the rest of the round.
    fn bring_crowds(&self) -> Result<(), String> {
        let amqp = self.addresses.amqp;
        drop(gather(amqp, VHOST, self.orders.sockets, Stage::Greeting)?);
        let mut peers = gather(amqp, VHOST, self.orders.held, Stage::Consuming)?;
        all_served(&mut peers).map_err(|error| error.to_string())?;
        drop(peers);
        self.wait_alone()
    }

    /// Waits until no connections are left but the witness's.
    fn wait_alone(&self) -> Result<(), String> {
        const OTHERS: u32 = 64;
        let is_alone = || self.process.usage().filter(|usage| usage.fds < OTHERS).map(|_| ());
        wait::until_or(PATIENCE, is_alone).ok_or_else(|| "connections outlive their peers".to_owned())
    }

    fn note_witness(&mut self, round: u32, served: Result<Served, String>) {
        match served {
            Ok(served) => {
                self.witnessed += served.count() as u64;
                self.notes.push(format!(
                    "round {round}: beside all that {} messages were served, median {} us, 99 % within {} us, worst {} us",
                    served.count(),
                    served.permille(500).as_micros(),
                    served.permille(990).as_micros(),
                    served.worst().as_micros()
                ));
            }
            Err(text) => self.broken(Invariant::Liveness, text),
        }
    }

    /// Everything that can be given back is; what is used then.
    fn settled(&mut self, before: &Usage) -> Result<Usage, Trouble> {
        let process = &self.process;
        let settled = || process.usage().filter(|usage| usage.excess(before).is_none());
        if let Some(usage) = wait::until_or(PATIENCE, settled) {
            return Ok(usage);
        }
        let usage = self.usage()?;
        if let Some(excess) = usage.excess(before) {
            self.broken(Invariant::Resources, excess);
        }
        Ok(usage)
    }

    fn finish(mut self, log: &Path) -> Result<Report, Trouble> {
        if !self.process.is_running() {
            self.broken(Invariant::Liveness, "the broker has ended by itself".to_owned());
        }
        let Siege { process, begin, frames, witnessed, mut violations, notes, .. } = self;
        let mut broken = |text: &str| {
            let (at, text) = (begin.elapsed(), text.to_owned());
            violations.push(Violation { at, invariant: Invariant::Liveness, text });
        };
        if process.stop().is_none_or(|status| !status.success()) {
            broken("the broker does not stop in order");
        }
        let log = fs::read_to_string(log).doing("the broker's log")?;
        log.lines().filter(|line| line.contains("panicked") || line.contains("task failed")).for_each(broken);
        Ok(Report {
            count: u32::try_from(frames).unwrap_or(u32::MAX),
            totals: Totals { confirmed: witnessed, published: witnessed, ..Totals::default() },
            violation_count: violations.len() as u64,
            violations,
            notes,
            took: begin.elapsed(),
        })
    }

    fn broken(&mut self, invariant: Invariant, text: String) {
        self.violations.push(Violation { at: self.begin.elapsed(), invariant, text });
    }

    fn usage(&self) -> Result<Usage, Trouble> {
        self.process.usage().ok_or_else(|| Trouble::new("the broker is gone"))
    }

    fn rss_kib(&self) -> Result<u64, String> {
        self.process.usage().map(|usage| usage.rss_kib).ok_or_else(|| "the broker is gone".to_owned())
    }

    fn request(&self, method: &str, path: &str) -> Result<(), Trouble> {
        let address: SocketAddr = self.addresses.http;
        http::demand(address, method, path, "").doing(format_args!("{method} {path}"))
    }
}

/// As many sockets as this process may have; how many the broker may have is its own affair.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // What stays too low shows as a violation.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).ok();
}
