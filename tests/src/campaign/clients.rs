//! All clients of one life of the broker.

use std::{sync::Arc, time::Duration};

use lapin::Connection;
use tokio::task::JoinSet;

use super::{
    background,
    consumers::{Role, Style, consume},
    getter,
    history::{Event, PublisherIndex},
    process::Addresses,
    publishers::publish,
    random::Random,
    shared::Shared,
    wire_publisher,
    workload::{publisher, queue},
};

/// How long clients may take to end in order.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// How long clients may take to see that the broker is dead.
pub const DEATH_PATIENCE: Duration = Duration::from_secs(2);

/// Publishers that share a connection.
const PUBLISHER_GROUPS: [&[PublisherIndex]; 4] = [
    &[publisher::WORK, publisher::PURGED],
    &[publisher::MIXED, publisher::NO_ACK],
    &[publisher::FAN_OUT],
    &[publisher::LARGE, publisher::REQUEUE],
];

/// Consumers; each has a connection of its own.
const CONSUMERS: [Role; 9] = [
    Role { queue: queue::WORK, style: Style::Batches, is_sole: false },
    Role { queue: queue::WORK, style: Style::Batches, is_sole: false },
    Role { queue: queue::FAN_A, style: Style::Batches, is_sole: true },
    Role { queue: queue::FAN_B, style: Style::OneByOne, is_sole: true },
    Role { queue: queue::FAN_MEMORY, style: Style::Batches, is_sole: true },
    Role { queue: queue::REQUEUE, style: Style::Requeue, is_sole: true },
    Role { queue: queue::NO_ACK, style: Style::NoAck, is_sole: true },
    Role { queue: queue::TX_B, style: Style::OneByOne, is_sole: true },
    Role { queue: queue::WIRE, style: Style::Batches, is_sole: true },
];

/// Running clients.
#[derive(Debug)]
pub struct Clients {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Clients {
    /// Starts them all. `part` makes their random numbers other ones than those of other lives.
    pub fn start(shared: &Arc<Shared>, addresses: Addresses, part: u64) -> Clients {
        let mut clients = Clients { shared: shared.clone(), tasks: JoinSet::new() };
        let url = url(addresses);
        for (index, group) in (0..).zip(PUBLISHER_GROUPS) {
            let random = Random::new(shared.seed, part ^ index << 32);
            clients.spawn("a group of publishers", publish_group(shared.clone(), url.clone(), group, random));
        }
        for (index, role) in (100..).zip(CONSUMERS) {
            let random = Random::new(shared.seed, part ^ index << 32);
            clients.spawn("a consumer", consume(shared.clone(), url.clone(), role, random));
        }
        let random = |index: u64| Random::new(shared.seed, part ^ index << 32);
        clients.spawn("background", background(shared.clone(), url.clone(), [random(200), random(201)]));
        clients.spawn("basic.get", get(shared.clone(), url.clone(), random(202)));
        if shared.has_transactions() {
            clients.spawn("transactions", background::transact(shared.clone(), url, random(203)));
        }
        let (wire_shared, random) = (shared.clone(), random(204));
        clients.tasks.spawn_blocking(move || {
            let result = wire_publisher::publish(&wire_shared, addresses.amqp, random);
            tell_failure(&wire_shared, "the publisher by hand", result);
        });
        clients
    }

    /// Waits until all have ended.
    pub async fn end(mut self) {
        self.shared.stop();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let patience = if self.shared.is_killed() { DEATH_PATIENCE } else { END_PATIENCE };
        if tokio::time::timeout(patience, all).await.is_err() {
            // With a dead broker it is the client library that hangs.
            if !self.shared.is_killed() {
                let what = format!("{} clients do not end", self.tasks.len());
                self.shared.observe(Event::GaveUp { what });
            }
            self.tasks.shutdown().await;
        }
    }

    fn spawn(
        &mut self,
        what: &'static str,
        client: impl Future<Output = lapin::Result<()>> + Send + 'static,
    ) {
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let result = client.await;
            tell_failure(&shared, what, result);
        });
    }
}

/// Where clients connect.
pub fn url(addresses: Addresses) -> String {
    format!("amqp://guest:guest@{}/%2f", addresses.amqp)
}

/// A client that fails while the broker lives was thrown out.
fn tell_failure<E: std::fmt::Display>(shared: &Shared, what: &str, result: Result<(), E>) {
    if let Err(error) = result
        && !shared.is_killed()
    {
        shared.observe(Event::GaveUp { what: format!("{what}: {error}") });
    }
}

async fn publish_group(
    shared: Arc<Shared>,
    url: String,
    group: &'static [PublisherIndex],
    mut random: Random,
) -> lapin::Result<()> {
    let connection = Arc::new(Connection::connect(&url, Default::default()).await?);
    let mut publishers = JoinSet::new();
    for publisher in group {
        let random = Random::new(random.bits(), 0);
        publishers.spawn(publish(shared.clone(), connection.clone(), *publisher, random));
    }
    all_well(publishers).await?;
    connection.close(200, "bye".into()).await
}

async fn background(shared: Arc<Shared>, url: String, [purge, churn]: [Random; 2]) -> lapin::Result<()> {
    let connection = Arc::new(Connection::connect(&url, Default::default()).await?);
    let mut tasks = JoinSet::new();
    tasks.spawn(background::purge(shared.clone(), connection.clone(), purge));
    tasks.spawn(background::churn(shared, connection.clone(), churn));
    all_well(tasks).await?;
    connection.close(200, "bye".into()).await
}

async fn get(shared: Arc<Shared>, url: String, random: Random) -> lapin::Result<()> {
    let connection = Arc::new(Connection::connect(&url, Default::default()).await?);
    getter::get(shared, connection.clone(), random).await?;
    connection.close(200, "bye".into()).await
}

/// Waits for all; the first error.
async fn all_well(mut tasks: JoinSet<lapin::Result<()>>) -> lapin::Result<()> {
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        result = result.and(ended.expect("clients do not panic"));
    }
    result
}
