//! The campaigns that crash the broker again and again: load, crash, restart, reconcile.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lapin::{Connection, options::ConfirmSelectOptions};

use super::{
    clients::{Clients, url},
    drain::drain,
    getter::Getting,
    ground::Ground,
    history::{Event, Judgement, Usage},
    process::{Addresses, Launch, Process},
    publishers::publish_one,
    random::Random,
    report::Report,
    shared::Shared,
    topology::{look, ready, set_up},
    trouble::{Doing, Trouble},
    workload::{publisher, queue, queues},
};
use crate::wait::pause;

/// Between two looks at what the process uses, after its clients have gone.
const USAGE_PAUSE: Duration = Duration::from_millis(20);

/// What to do, and how often.
#[derive(Debug, Clone)]
pub struct Orders {
    pub seed: u64,
    pub crashes: u32,
    /// Drain all queues before every so many crashes.
    pub drain_every: u32,
    /// Longest load before a crash.
    pub load_ms_max: u64,
    /// Of a disk that is to be filled, so much is taken at most.
    pub ballast_mib: u64,
    /// Of these free sizes one is the broker's limit in each round; 0 is no limit.
    pub alarm_sizes: Vec<String>,
    /// How long anything may take after a fault.
    pub patience: Duration,
    pub count_unconfirmed: bool,
    /// Go on after a violation.
    pub keep_going: bool,
}

/// A campaign on its way.
#[derive(Debug)]
pub struct Campaign {
    pub(super) shared: Arc<Shared>,
    pub(super) launch: Launch,
    pub(super) ground: Ground,
    pub(super) orders: Orders,
    pub(super) random: Random,
    pub(super) crashes: u32,
    crashes_at_start: u32,
    slowest_start: Duration,
    begin: Instant,
}

impl Campaign {
    pub fn new(launch: Launch, ground: Ground, orders: Orders) -> Campaign {
        let judgement = Judgement { patience: orders.patience, count_unconfirmed: orders.count_unconfirmed };
        Campaign {
            shared: Arc::new(Shared::new(orders.seed, judgement)),
            launch,
            ground,
            random: Random::new(orders.seed, 0),
            orders,
            crashes: 0,
            crashes_at_start: 0,
            slowest_start: Duration::ZERO,
            begin: Instant::now(),
        }
    }

    /// Crashes the broker as often as ordered, or until a promise is broken; then reads all queues to their ends.
    pub async fn run(mut self) -> Result<Report, Trouble> {
        let result = self.crash_again_and_again().await;
        self.conclude(result)
    }

    /// The report. Trouble after a broken promise is part of it: the broker may well refuse to go on then.
    pub(super) fn conclude(mut self, result: Result<(), Trouble>) -> Result<Report, Trouble> {
        if !self.is_broken() {
            result?;
            return Ok(self.report());
        }
        let mut report = self.report();
        report.notes.extend(result.err().map(|trouble| format!("ended by: {trouble}")));
        let complaints = self.ground.complaints();
        if !complaints.is_empty() {
            report.notes.push(format!("e2fsck: {}", complaints.replace(['\n', '\t'], " ")));
        }
        Ok(report)
    }

    async fn crash_again_and_again(&mut self) -> Result<(), Trouble> {
        let (mut broker, addresses) = self.start().await?;
        self.set_up(addresses, true).await?;
        let mut before = broker.usage();
        let mut addresses = Some(addresses);
        while self.crashes < self.orders.crashes && (self.orders.keep_going || !self.is_broken()) {
            if let Some(addresses) = addresses {
                self.load(&broker, addresses, before).await?;
            } else {
                self.crashes_at_start += 1;
            }
            self.crash(broker)?;
            self.tell_progress();
            if self.random.chance(10) {
                // The next life ends before it has begun.
                broker = self.launch.start(&self.ground.data_dir())?;
                pause(Duration::from_millis(self.random.between(0, 50))).await;
                addresses = None;
                self.shared.begin_life();
                self.shared.expect_failures();
                continue;
            }
            let (started, ready_at) = self.start().await?;
            self.reconcile(ready_at).await?;
            self.set_up(ready_at, false).await?;
            before = started.usage();
            (broker, addresses) = (started, Some(ready_at));
        }
        self.finish(broker, addresses).await
    }

    /// Starts the broker and waits until it is ready.
    pub(super) async fn start(&mut self) -> Result<(Process, Addresses), Trouble> {
        self.shared.begin_life();
        self.shared.observe(Event::FaultOver);
        let begin = Instant::now();
        let broker = self.launch.start(&self.ground.data_dir())?;
        let Some(addresses) = broker.wait_ready(3 * self.orders.patience) else {
            self.shared.observe(Event::GaveUp { what: "the broker's start".to_owned() });
            return Err(Trouble::new(format!(
                "the broker does not start; its log is {}",
                self.launch.log.display()
            )));
        };
        self.slowest_start = self.slowest_start.max(begin.elapsed());
        Ok((broker, addresses))
    }

    /// Compares what the broker shows after a crash with what it must show.
    pub(super) async fn reconcile(&mut self, addresses: Addresses) -> Result<(), Trouble> {
        let seen = look(addresses.http, self.orders.patience)?;
        self.shared.observe(Event::EntitiesSeen { entities: seen.entities.clone() });
        for entity in &seen.dangling {
            self.shared.observe(Event::Dangling { entity: entity.clone() });
        }
        if self.is_broken() && !self.orders.keep_going {
            return Ok(());
        }
        let connection = self.connect(addresses).await?;
        let channel = connection.create_channel().await.doing("opening a channel")?;
        for queue in queues().filter(|queue| seen.has_queue(*queue)) {
            let ready = ready(&channel, queue).await.doing("counting messages")?;
            self.shared.observe(Event::Counted { queue, ready });
            self.shared.set_crowd(queue, ready);
        }
        connection.close(200, "bye".into()).await.doing("closing a connection")
    }

    /// Declares what is missing, and passes one message through.
    pub(super) async fn set_up(&mut self, addresses: Addresses, is_first: bool) -> Result<(), Trouble> {
        let connection = self.connect(addresses).await?;
        self.shared.observe(Event::Accepted);
        let trying = async {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            set_up(&self.shared, &channel, is_first).await?;
            publish_one(&self.shared, &channel, publisher::PROBE).await?;
            let mut getting = Getting::new(&self.shared, &channel, queue::PROBE);
            getting.get_some(10).await?;
            getting.ack_all().await?;
            getting.close().await
        };
        match tokio::time::timeout(2 * self.orders.patience, trying).await {
            Ok(tried) => tried.doing("trying the broker after its start")?,
            Err(_) => self.shared.observe(Event::GaveUp { what: "one message, there and back".to_owned() }),
        }
        connection.close(200, "bye".into()).await.doing("closing a connection")
    }

    /// Lets all clients work for a while; leaves them to the crash, or drains first.
    async fn load(
        &mut self,
        broker: &Process,
        addresses: Addresses,
        before: Option<Usage>,
    ) -> Result<(), Trouble> {
        let clients = Clients::start(&self.shared, addresses, u64::from(self.crashes) + 1);
        pause(Duration::from_millis(self.random.between(20, self.orders.load_ms_max))).await;
        let is_drain = (self.crashes + 1).is_multiple_of(self.orders.drain_every);
        if !is_drain {
            self.shared.expect_failures();
            broker.kill_now();
            self.shared.observe(Event::Killed);
            clients.end().await;
            return Ok(());
        }
        clients.end().await;
        self.drain(addresses).await?;
        self.check_usage(broker, before).await;
        self.shared.expect_failures();
        Ok(())
    }

    pub(super) async fn drain(&mut self, addresses: Addresses) -> Result<(), Trouble> {
        let seen = look(addresses.http, self.orders.patience)?;
        drain(&self.shared, &url(addresses), &seen).await.doing("draining the queues")
    }

    /// What the process uses must go down again; it may take a moment.
    async fn check_usage(&self, broker: &Process, before: Option<Usage>) {
        let Some(before) = before else { return };
        let deadline = Instant::now() + self.orders.patience;
        loop {
            let Some(after) = broker.usage() else { return };
            if after.excess(&before).is_none() || Instant::now() > deadline {
                self.shared.observe(Event::Used { before, after });
                return;
            }
            pause(USAGE_PAUSE).await;
        }
    }

    pub(super) fn crash(&mut self, broker: Process) -> Result<(), Trouble> {
        broker.kill();
        self.shared.observe(Event::Killed);
        self.shared.observe(Event::LifeEnded);
        self.crashes += 1;
        self.ground.crash(&mut self.random)
    }

    /// One life more, to the end: everything is read, and the broker ends in order.
    async fn finish(&mut self, broker: Process, addresses: Option<Addresses>) -> Result<(), Trouble> {
        let (broker, addresses) = match addresses {
            Some(addresses) => (broker, addresses),
            None => {
                self.crash(broker)?;
                let (broker, addresses) = self.start().await?;
                self.reconcile(addresses).await?;
                self.set_up(addresses, false).await?;
                (broker, addresses)
            }
        };
        self.drain(addresses).await?;
        self.shared.expect_failures();
        let ended = broker.stop();
        if !ended.is_some_and(|status| status.success()) {
            self.shared.observe(Event::GaveUp { what: format!("an orderly end: {ended:?}") });
        }
        Ok(())
    }

    pub(super) fn report(&self) -> Report {
        let history = self.shared.history();
        let mut notes = vec![
            format!("slowest start {} ms", self.slowest_start.as_millis()),
            format!("transactions {}", if self.shared.has_transactions() { "yes" } else { "no" }),
        ];
        if self.crashes_at_start > 0 {
            notes.push(format!("{} kills during recovery", self.crashes_at_start));
        }
        Report {
            count: self.crashes,
            totals: history.totals(),
            violation_count: history.violation_count(),
            violations: history.violations().to_vec(),
            notes,
            took: self.begin.elapsed(),
        }
    }

    pub(super) async fn connect(&self, addresses: Addresses) -> Result<Connection, Trouble> {
        let url = url(addresses);
        let connected =
            tokio::time::timeout(self.orders.patience, Connection::connect(&url, Default::default())).await;
        connected.doing("connecting")?.doing("connecting")
    }

    pub(super) fn is_broken(&self) -> bool {
        self.shared.history().violation_count() > 0
    }

    pub(super) fn tell_progress(&self) {
        if self.crashes.is_multiple_of(20) {
            let history = self.shared.history();
            eprintln!(
                "{:>6} s: {} crashes, {} messages confirmed, {} delivered, {} violations",
                self.begin.elapsed().as_secs(),
                self.crashes,
                history.totals().confirmed,
                history.totals().delivered,
                history.violation_count()
            );
        }
    }
}
