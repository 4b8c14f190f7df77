//! What is there before the first connection: definitions and messages from disk, or the first user and vhost.

use std::{collections::BTreeMap, sync::Arc, thread, time::SystemTime};

use tokio::sync::watch;

use super::{
    Base, DefaultUser, StartError, definition_files::DefinitionFiles, listener::wall_clock, socket::elapsed,
    timers::WallClock,
};
use crate::{
    connection::registry::Node,
    model::{
        definition::VhostDefinition,
        name::Name,
        pattern::Pattern,
        permission::Permission,
        user::{HashingAlgorithm, PasswordHash, User},
    },
    storage::{
        DataDir, LogError, MESSAGES, RedbStore, StoreError,
        disk::RealDisk,
        log::{Log, LogOptions, Recovered},
    },
    vhost::broker::Broker,
};

const NO_FSYNC_WARNING: &str = "--unsafe-no-fsync: messages are confirmed before they are on stable storage. What \
                                was confirmed is lost when the machine stops. For tests and throw-away data only";

/// A broker as it was when it stopped, which nobody can reach yet.
#[derive(Debug)]
pub struct Loaded {
    pub(super) base: Base,
    pub(super) node: Node,
    pub(super) writers: Writers,
    /// True makes it stop.
    pub(super) stop: watch::Sender<bool>,
    pub(super) started_at: SystemTime,
    /// Nothing was ever defined.
    is_blank: bool,
}

/// The threads that write to disk, and the log that has to be closed for its thread to end.
#[derive(Debug)]
pub(super) struct Writers {
    log: Log,
    definitions: thread::JoinHandle<()>,
    messages: thread::JoinHandle<()>,
}

impl Writers {
    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Until everything is stored.
    pub(super) fn join(self) {
        // A writer that panicked said so; there is nothing left to wait for.
        let _ = self.definitions.join();
        self.log.close();
        let _ = self.messages.join();
    }
}

impl Loaded {
    /// Loads the broker and starts the threads that make definitions and messages durable.
    pub fn load(base: Base) -> Result<Self, StartError> {
        let started_at = wall_clock();
        // A first start that can't listen leaves nothing behind: the next one may have another default user.
        super::check_ports(&base.settings)?;
        let stop = watch::Sender::new(false);
        let (node, writers) = load(&base, stop.clone())?;
        let is_blank = node.broker.is_blank();
        Ok(Self { base, node, writers, stop, started_at, is_blank })
    }

    /// The broker.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// What is to be imported before anybody can reach it.
    #[must_use]
    pub fn definition_files(&self) -> &DefinitionFiles {
        &self.base.settings.definitions
    }

    /// Who may log in, if nobody else may.
    pub(super) async fn make_first_user(&self) -> Result<(), StartError> {
        if self.is_blank && self.node.broker.access().users().is_empty() {
            make_default_user(&self.node.broker, &self.base.settings.default_user).await?;
        }
        Ok(())
    }
}

/// `stop` is set when messages can't be stored any more.
fn load(base: &Base, stop: watch::Sender<bool>) -> Result<(Node, Writers), StartError> {
    let (settings, data_dir) = (&base.settings, &*base.data_dir);
    check_belongings(data_dir).map_err(StartError::Store)?;
    let (store, writer) = RedbStore::open(data_dir).map_err(StartError::Store)?;
    let definitions = spawn("definitions", move || writer.run())?;
    let disk = RealDisk::open(&data_dir.path().join(MESSAGES)).map_err(StartError::Store)?;
    let options =
        LogOptions { unsafe_no_fsync: settings.unsafe_no_fsync, clock: elapsed, ..LogOptions::default() };
    if options.unsafe_no_fsync {
        tracing::warn!("{NO_FSYNC_WARNING}");
    }
    let (log, writer, recovered) = Log::open(Arc::new(disk), options).map_err(StartError::Log)?;
    let messages = spawn("messages", move || {
        // However it ends, a panic too: without it nothing is stored.
        let _stop = StopOnDrop(stop);
        if let Err(error) = writer.run() {
            tracing::error!("messages can't be stored any more, stopping: {error}");
        }
    })?;
    let (broker, lost) = Broker::load(Arc::new(store), Arc::new(log.clone()), Arc::new(WallClock))
        .map_err(StartError::Store)?;
    for loss in lost.iter().chain(&recovered.lost) {
        tracing::error!("{loss}");
    }
    if !recovered.is_clean && recovered.queues.values().any(|queue| queue.count > 0) {
        tracing::warn!(
            "the last stop was not orderly: what consumers had may come again, flagged redelivered"
        );
    }
    restore(&broker, &log, recovered, lost.is_empty()).map_err(StartError::Log)?;
    broker.set_loopback_users(settings.loopback_users.clone());
    let mut node = Node::new(Arc::new(broker), settings.node_name.clone(), settings.node_limits);
    node.default_cluster_name.clone_from(&settings.cluster_name);
    Ok((node, Writers { log, definitions, messages }))
}

/// Makes the broker stop when it goes.
struct StopOnDrop(watch::Sender<bool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Messages without definitions are messages of queues that nobody knows: to start would be to drop them.
fn check_belongings(data_dir: &DataDir) -> Result<(), StoreError> {
    if RedbStore::is_in(data_dir)? || !data_dir.contains(MESSAGES)? {
        return Ok(());
    }
    let messages = data_dir.path().join(MESSAGES);
    Err(StoreError::Damaged {
        path: data_dir.path().to_path_buf(),
        reason: format!(
            "the definitions and their copy are missing, and there are messages: put one of them back, or remove {} \
             to start anew",
            messages.display()
        ),
    })
}

/// Puts the log's messages into their queues. Those of queues that are not there any more are dropped, for such a
/// queue was deleted, or its declaration never answered; but not if definitions were lost.
fn restore(
    broker: &Broker,
    log: &Log,
    recovered: Recovered,
    has_all_definitions: bool,
) -> Result<(), LogError> {
    let queues = broker.vhosts().into_iter().flat_map(|vhost| vhost.queues());
    let mut queues: BTreeMap<_, _> = queues.map(|queue| (queue.id, queue)).collect();
    let mut count = 0;
    for (id, messages) in recovered.queues {
        match queues.remove(&id) {
            Some(queue) => {
                count += messages.count;
                queue.restore(messages, recovered.has_loss);
            }
            None if has_all_definitions => drop(log.forget(id)?),
            None if messages.count > 0 => {
                tracing::error!(
                    "{} messages of queue {} are kept: its definition is lost",
                    messages.count,
                    id.0
                );
            }
            None => {}
        }
    }
    if count > 0 {
        tracing::info!("restored {count} messages");
    }
    Ok(())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>, StartError> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(StartError::Spawn)
}

/// As RabbitMQ does at its first start: <https://www.rabbitmq.com/docs/access-control#default-state>.
async fn make_default_user(broker: &Broker, default_user: &DefaultUser) -> Result<(), StartError> {
    let bad = |reason: &str| StartError::DefaultUser(reason.to_owned());
    let name = Name::parse(&default_user.name).map_err(|_| bad("its name is too long"))?;
    let vhost = Name::parse(&default_user.vhost).map_err(|_| bad("its vhost's name is too long"))?;
    let password = default_user.password.as_bytes();
    let password = PasswordHash::new(password, rand::random(), HashingAlgorithm::Sha256)
        .map_err(|_| bad("its password is blank"))?;
    let pattern = |text: &str| Pattern::parse(text).map_err(|error| bad(&error.to_string()));
    let permission = Permission {
        configure: pattern(&default_user.configure)?,
        write: pattern(&default_user.write)?,
        read: pattern(&default_user.read)?,
    };
    let definition = VhostDefinition {
        description: "Default virtual host".to_owned(),
        ..VhostDefinition::new(vhost.clone())
    };
    let tags = default_user.tags.clone();
    let (_, made_vhost) = broker.put_vhost(definition);
    let (_, made_user) =
        broker.put_user(User { name: name.clone(), password, tags, limits: Default::default() });
    let granted = broker.put_permission(&name, &vhost, permission);
    let (_, granted) = granted.map_err(|_| bad("its user or vhost is not there"))?;
    for ticket in [made_vhost, made_user, granted].into_iter().flatten() {
        ticket.durable().await.map_err(StartError::Store)?;
    }
    tracing::info!("made user '{name}' and vhost '{vhost}'");
    Ok(())
}
