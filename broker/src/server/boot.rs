//! What is there before the first connection: definitions from disk, or the first user and vhost.

use std::{sync::Arc, thread};

use super::{DefaultUser, Settings, StartError};
use crate::{
    connection::registry::Node,
    model::{
        definition::VhostDefinition,
        name::Name,
        permission::{Pattern, Permission},
        user::{HashingAlgorithm, PasswordHash, User},
    },
    storage::{DataDir, RedbStore, queue_log::MemoryLog},
    vhost::broker::Broker,
};

/// Loads the broker and starts the thread that makes definitions durable.
pub(super) async fn boot(
    settings: &Settings,
    data_dir: &DataDir,
) -> Result<(Arc<Node>, thread::JoinHandle<()>), StartError> {
    let (store, writer) = RedbStore::open(data_dir).map_err(StartError::Store)?;
    let writer = thread::Builder::new().name("definitions".to_owned()).spawn(move || writer.run());
    let writer = writer.map_err(StartError::Spawn)?;
    let (broker, lost) = Broker::load(Arc::new(store), Arc::new(MemoryLog)).map_err(StartError::Store)?;
    for loss in lost {
        tracing::error!("{loss}");
    }
    if broker.is_blank() {
        make_default_user(&broker, &settings.default_user).await?;
    }
    Ok((Arc::new(Node::new(Arc::new(broker), settings.node_name.clone())), writer))
}

/// As RabbitMQ does at its first start: <https://www.rabbitmq.com/docs/access-control#default-state>.
async fn make_default_user(broker: &Broker, default_user: &DefaultUser) -> Result<(), StartError> {
    let bad = |reason: &str| StartError::DefaultUser(reason.to_owned());
    let name = Name::parse(&default_user.name).map_err(|_| bad("its name is too long"))?;
    let vhost = Name::parse(&default_user.vhost).map_err(|_| bad("its vhost's name is too long"))?;
    let password = default_user.password.as_bytes();
    let password = PasswordHash::new(password, rand::random(), HashingAlgorithm::Sha256)
        .map_err(|_| bad("its password is blank"))?;
    let everything = Pattern::parse(".*").map_err(|error| bad(&error.to_string()))?;
    let permission =
        Permission { configure: everything.clone(), write: everything.clone(), read: everything };
    let definition = VhostDefinition {
        name: vhost.clone(),
        description: "Default virtual host".to_owned(),
        tags: Vec::new(),
        default_queue_type: None,
    };
    let tags = vec!["administrator".to_owned()];
    let (_, made_vhost) = broker.put_vhost(definition);
    let (_, made_user) = broker.put_user(User { name: name.clone(), password, tags });
    let granted = broker.put_permission(&name, &vhost, permission);
    let (_, granted) = granted.map_err(|_| bad("its user or vhost is not there"))?;
    for ticket in [made_vhost, made_user, granted].into_iter().flatten() {
        ticket.durable().await.map_err(StartError::Store)?;
    }
    tracing::info!("made user '{name}' and vhost '{vhost}'");
    Ok(())
}
