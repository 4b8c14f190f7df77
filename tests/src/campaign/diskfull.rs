//! The campaign that fills the disk again and again: publishers at full speed until nothing goes any more, acks and
//! deletions while it is full, then room again, and everything has to go on by itself.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use lapin::Connection;
use tokio::{task::JoinSet, time::timeout};

use super::{
    clients::DEATH_PATIENCE,
    crashes::Campaign,
    drain::take,
    getter::Getting,
    history::{Event, PublisherIndex},
    process::{Addresses, Process},
    publishers::publish_at_full_speed,
    report::Report,
    topology::{declare_queue, delete_queue, ready},
    trouble::{Doing, Trouble},
    workload::{publisher, queue},
};
use crate::wait::pause;

/// The disk counts as full when nothing was confirmed for so long.
const FULL_SILENCE: Duration = Duration::from_millis(500);

/// Filling may take so long.
const FILL_PATIENCE: Duration = Duration::from_secs(60);

/// Who fills the disk: large and small messages.
const PUBLISHERS: [PublisherIndex; 2] = [publisher::LARGE, publisher::WORK];

/// A queue that is deleted while the disk is full.
const SPARE_QUEUE: &str = "campaign.spare";

/// The option that sets the broker's disk alarm.
const ALARM_OPTION: &str = "--disk-free-limit";

/// Looks at what was confirmed.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How a round went.
#[derive(Debug, Default)]
struct Tally {
    rounds_with_alarm: u32,
    rounds_by_consuming: u32,
    starts_on_full: u32,
    starts_without_a_byte: u32,
    slowest_resume: Duration,
}

impl Campaign {
    /// Fills the disk as often as ordered, or until a promise is broken.
    pub async fn run_diskfull(mut self) -> Result<Report, Trouble> {
        let mut tally = Tally::default();
        let result = self.fill_again_and_again(&mut tally).await;
        let mut report = self.conclude(result)?;
        report.notes.push(format!("{} rounds with a disk alarm", tally.rounds_with_alarm));
        report.notes.push(format!("{} times room by consuming", tally.rounds_by_consuming));
        let (starts, without) = (tally.starts_on_full, tally.starts_without_a_byte);
        report.notes.push(format!("{starts} starts on a full disk, {without} of them without a byte left"));
        report.notes.push(format!("slowest resumption {} ms", tally.slowest_resume.as_millis()));
        Ok(report)
    }

    async fn fill_again_and_again(&mut self, tally: &mut Tally) -> Result<(), Trouble> {
        let has_alarm = self.has_alarm_option();
        self.choose_alarm(has_alarm, tally);
        let (mut broker, mut addresses) = self.start().await?;
        self.set_up(addresses, true).await?;
        while self.crashes < self.orders.crashes && (self.orders.keep_going || !self.is_broken()) {
            let (result, publishers) = self.fill_once(addresses, tally).await;
            if !broker.is_running() {
                self.shared.observe(Event::GaveUp { what: "the broker has ended by itself".to_owned() });
            }
            if !self.orders.keep_going {
                result?;
            }
            let is_start_on_full = publishers.is_some();
            if let Some(publishers) = publishers {
                tally.starts_on_full += 1;
                self.crash_on_full(broker, publishers).await?;
                if self.random.chance(50) {
                    tally.starts_without_a_byte += 1;
                    self.take_all_room()?;
                }
            } else {
                self.end_life(broker)?;
            }
            self.tell_progress();
            self.choose_alarm(has_alarm, tally);
            if !is_start_on_full {
                self.make_room();
            }
            (broker, addresses) = self.start().await?;
            self.make_room();
            self.reconcile(addresses).await?;
            // Before anything is published: the disk may be full without the ballast, too.
            self.drain(addresses).await?;
            self.set_up(addresses, false).await?;
        }
        self.shared.expect_failures();
        broker.kill();
        Ok(())
    }

    /// Without an alarm writes fail when the disk is full; with one there is room for them still.
    fn choose_alarm(&mut self, has_alarm: bool, tally: &mut Tally) {
        if has_alarm {
            let index = self.random.between(0, self.orders.alarm_sizes.len() as u64 - 1);
            let size = self.orders.alarm_sizes[usize::try_from(index).expect("an index")].clone();
            tally.rounds_with_alarm += u32::from(size != "0");
            self.launch.arguments = vec![ALARM_OPTION.to_owned(), size];
        }
    }

    /// An older broker has no alarm.
    fn has_alarm_option(&self) -> bool {
        let help = Command::new(&self.launch.program).arg("--help").stderr(Stdio::null()).output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(ALARM_OPTION))
    }

    /// The broker is killed, or ends in order.
    fn end_life(&mut self, broker: Process) -> Result<(), Trouble> {
        self.shared.expect_failures();
        if self.random.chance(50) {
            return self.crash(broker);
        }
        let ended = broker.stop();
        if !ended.is_some_and(|status| status.success()) {
            self.shared.observe(Event::GaveUp { what: format!("an orderly end: {ended:?}") });
        }
        self.shared.observe(Event::LifeEnded);
        self.crashes += 1;
        Ok(())
    }

    /// The broker is killed while the disk is full and publishers wait.
    async fn crash_on_full(&mut self, broker: Process, publishers: JoinSet<()>) -> Result<(), Trouble> {
        self.shared.expect_failures();
        broker.kill_now();
        self.shared.observe(Event::Killed);
        self.end_publishers(publishers).await;
        self.crash(broker)
    }

    /// Until it is full, while it is full, and after. The publishers, if they still wait for room.
    async fn fill_once(
        &mut self,
        addresses: Addresses,
        tally: &mut Tally,
    ) -> (Result<(), Trouble>, Option<JoinSet<()>>) {
        let mut publishers = JoinSet::new();
        if let Err(trouble) = self.fill(addresses, &mut publishers).await {
            return (Err(trouble), None);
        }
        if self.random.chance(25) {
            return (Ok(()), Some(publishers));
        }
        (self.resume(addresses, publishers, tally).await, None)
    }

    /// Fills the disk, and tries what frees room: that has to go on while there is none.
    async fn fill(&mut self, addresses: Addresses, publishers: &mut JoinSet<()>) -> Result<(), Trouble> {
        let connection = self.connect(addresses).await?;
        let channel = connection.create_channel().await.doing("opening a channel")?;
        declare_queue(&self.shared, &channel, SPARE_QUEUE, true).await.doing("declaring a queue")?;
        self.fill_with_ballast()?;
        self.start_publishers(addresses, publishers).await?;
        self.wait_full().await?;
        self.shared.observe(Event::FaultOver);
        self.in_time("acks while the disk is full", self.take(&connection, 200)).await?;
        let deleted = delete_queue(&self.shared, &channel, SPARE_QUEUE);
        self.in_time("a deletion while the disk is full", deleted).await?;
        connection.close(200, "bye".into()).await.doing("closing a connection")
    }

    /// Makes room, and waits until everything goes on by itself.
    async fn resume(
        &mut self,
        addresses: Addresses,
        publishers: JoinSet<()>,
        tally: &mut Tally,
    ) -> Result<(), Trouble> {
        if self.random.chance(30) {
            tally.rounds_by_consuming += 1;
            self.consume(addresses).await?;
        } else {
            self.make_room();
        }
        self.shared.observe(Event::FaultOver);
        self.shared.observe(Event::Accepted);
        let freed_at = Instant::now();
        self.in_time("confirms after the disk was full", self.wait_confirms()).await?;
        let connection = self.connect(addresses).await?;
        self.in_time("deliveries after the disk was full", self.take(&connection, 20)).await?;
        tally.slowest_resume = tally.slowest_resume.max(freed_at.elapsed());
        // The publishers have filled the disk again, or are about to: what they still wait for needs room.
        self.shared.stop();
        self.make_room();
        self.consume(addresses).await?;
        self.end_publishers(publishers).await;
        connection.close(200, "bye".into()).await.doing("closing a connection")
    }

    /// A file that takes some of the disk, so that it is full at another place each time.
    fn fill_with_ballast(&mut self) -> Result<(), Trouble> {
        let mut file = File::create(self.ballast()).doing("making ballast")?;
        let zeros = vec![0; 1 << 20];
        let mib = self.random.between(self.orders.ballast_mib / 2, self.orders.ballast_mib);
        for _ in 0..mib {
            // As much as there is room for.
            if file.write_all(&zeros).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Somebody else takes what a crash left free, to the last byte.
    fn take_all_room(&self) -> Result<(), Trouble> {
        let mut file =
            OpenOptions::new().append(true).create(true).open(self.ballast()).doing("opening ballast")?;
        let zeros = vec![0; 1 << 20];
        for size in [1 << 20, 4 << 10, 1] {
            while file.write_all(&zeros[..size]).is_ok() {}
        }
        file.sync_all().doing("syncing ballast")
    }

    /// Takes the ballast away, if it is there.
    fn make_room(&self) {
        fs::remove_file(self.ballast()).ok();
    }

    fn ballast(&self) -> PathBuf {
        self.ground.data_dir().with_file_name("ballast")
    }

    async fn start_publishers(
        &self,
        addresses: Addresses,
        publishers: &mut JoinSet<()>,
    ) -> Result<(), Trouble> {
        for publisher in PUBLISHERS {
            let connection = Arc::new(self.connect(addresses).await?);
            let shared = self.shared.clone();
            publishers.spawn(async move {
                let published = publish_at_full_speed(shared.clone(), connection.clone(), publisher).await;
                if let Err(error) = published {
                    if shared.is_killed() {
                        return;
                    }
                    shared.observe(Event::GaveUp { what: format!("a publisher on a full disk: {error}") });
                    return;
                }
                connection.close(200, "bye".into()).await.ok();
            });
        }
        Ok(())
    }

    async fn end_publishers(&self, mut publishers: JoinSet<()>) {
        self.shared.stop();
        let all = async { while publishers.join_next().await.is_some() {} };
        let patience = if self.shared.is_killed() { DEATH_PATIENCE } else { FILL_PATIENCE };
        if timeout(patience, all).await.is_err() {
            if !self.shared.is_killed() {
                let what = "the last confirms after the disk was full".to_owned();
                self.shared.observe(Event::GaveUp { what });
            }
            // Their failures mean nothing any more.
            publishers.shutdown().await;
        }
    }

    /// Waits until nothing is confirmed any more.
    async fn wait_full(&self) -> Result<(), Trouble> {
        let begin = Instant::now();
        let (mut confirmed, mut since) = (self.confirmed(), Instant::now());
        while since.elapsed() < FULL_SILENCE {
            if begin.elapsed() > FILL_PATIENCE {
                return Err(Trouble::new("the disk does not become full; make it smaller"));
            }
            pause(LOOK_PAUSE).await;
            let now = self.confirmed();
            if now != confirmed {
                (confirmed, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    async fn wait_confirms(&self) -> lapin::Result<()> {
        let before = self.confirmed();
        while self.confirmed() == before {
            pause(LOOK_PAUSE).await;
        }
        Ok(())
    }

    /// Makes room by taking all that is there now.
    async fn consume(&self, addresses: Addresses) -> Result<(), Trouble> {
        let connection = Arc::new(self.connect(addresses).await?);
        let channel = connection.create_channel().await.doing("opening a channel")?;
        let mut takers = JoinSet::new();
        for queue in [queue::HOLD, queue::REQUEUE, queue::WORK] {
            let count = ready(&channel, queue).await.doing("counting messages")?;
            takers.spawn(take(self.shared.clone(), connection.clone(), queue, count.into()));
        }
        while let Some(taken) = takers.join_next().await {
            taken.doing("consuming")?.doing("consuming while the disk is full")?;
        }
        connection.close(200, "bye".into()).await.doing("closing a connection")
    }

    /// Takes messages off a queue, one by one.
    async fn take(&self, connection: &Connection, count: u64) -> lapin::Result<()> {
        let channel = connection.create_channel().await?;
        let mut getting = Getting::new(&self.shared, &channel, queue::HOLD);
        getting.get_some(count).await?;
        getting.ack_all().await?;
        getting.close().await
    }

    /// Something that may take as long as anything after a fault.
    async fn in_time(
        &self,
        what: &str,
        doing: impl Future<Output = lapin::Result<()>>,
    ) -> Result<(), Trouble> {
        let trouble = match timeout(self.orders.patience, doing).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => format!("{what}: {error}"),
            Err(_) => format!("{what}: nothing happens"),
        };
        self.shared.observe(Event::GaveUp { what: trouble.clone() });
        Err(Trouble::new(trouble))
    }

    fn confirmed(&self) -> u64 {
        self.shared.history().totals().confirmed
    }
}
