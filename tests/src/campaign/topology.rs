//! Queues, exchanges and bindings: declared, deleted, and looked at.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use lapin::{
    Channel, ExchangeKind,
    options::{
        ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::FieldTable,
};
use serde_json::Value;

use super::{
    history::{Event, QueueIndex},
    shared::Shared,
    trouble::{Doing, Trouble},
    workload::{BINDINGS, EXCHANGES, QUEUES, name, queue},
};

/// What the broker shows of itself.
#[derive(Debug, Default)]
pub struct Seen {
    pub entities: Vec<String>,
    /// Bindings with an end that is not shown.
    pub dangling: Vec<String>,
}

impl Seen {
    pub fn has_queue(&self, queue: QueueIndex) -> bool {
        self.entities.contains(&queue_entity(name(queue)))
    }
}

/// Declares what the load needs: everything, or what ended with the broker's last life.
pub async fn set_up(shared: &Shared, channel: &Channel, is_first: bool) -> lapin::Result<()> {
    if is_first {
        for (exchange, kind) in EXCHANGES {
            declare_exchange(shared, channel, exchange, kind).await?;
        }
    }
    for role in QUEUES.iter().filter(|role| role.name != name(queue::CHURN)) {
        if is_first || !role.is_durable {
            declare_queue(shared, channel, role.name, role.is_durable).await?;
        }
    }
    for (exchange, queue, key) in BINDINGS {
        let is_durable = QUEUES[usize::from(queue.0)].is_durable;
        if is_first || !is_durable {
            bind(shared, channel, exchange, name(queue), key, is_durable).await?;
        }
    }
    Ok(())
}

/// Declares an exchange, durable.
pub async fn declare_exchange(
    shared: &Shared,
    channel: &Channel,
    exchange: &str,
    kind: &str,
) -> lapin::Result<()> {
    let told = asked(shared, exchange_entity(exchange), true);
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let kind = if kind == "topic" { ExchangeKind::Topic } else { ExchangeKind::Fanout };
    channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await?;
    told.done(true);
    Ok(())
}

/// Deletes an exchange.
pub async fn delete_exchange(shared: &Shared, channel: &Channel, exchange: &str) -> lapin::Result<()> {
    let told = asked(shared, exchange_entity(exchange), true);
    channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await?;
    told.done(false);
    Ok(())
}

/// Declares a queue.
pub async fn declare_queue(
    shared: &Shared,
    channel: &Channel,
    queue: &str,
    is_durable: bool,
) -> lapin::Result<()> {
    let told = asked(shared, queue_entity(queue), is_durable);
    let options = QueueDeclareOptions { durable: is_durable, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    told.done(true);
    Ok(())
}

/// Deletes a queue.
pub async fn delete_queue(shared: &Shared, channel: &Channel, queue: &str) -> lapin::Result<()> {
    let told = asked(shared, queue_entity(queue), true);
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
    told.done(false);
    Ok(())
}

/// Binds a queue.
pub async fn bind(
    shared: &Shared,
    channel: &Channel,
    exchange: &str,
    queue: &str,
    key: &str,
    is_durable: bool,
) -> lapin::Result<()> {
    let told = asked(shared, binding_entity(exchange, queue, key), is_durable);
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments).await?;
    told.done(true);
    Ok(())
}

/// Unbinds a queue.
pub async fn unbind(
    shared: &Shared,
    channel: &Channel,
    exchange: &str,
    queue: &str,
    key: &str,
) -> lapin::Result<()> {
    let told = asked(shared, binding_entity(exchange, queue, key), true);
    channel.queue_unbind(queue.into(), exchange.into(), key.into(), FieldTable::default()).await?;
    told.done(false);
    Ok(())
}

/// How many messages of a queue are ready.
pub async fn ready(channel: &Channel, queue: QueueIndex) -> lapin::Result<u32> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(name(queue).into(), options, FieldTable::default()).await?;
    Ok(declared.message_count())
}

/// What the management API shows.
pub fn look(http: SocketAddr, patience: Duration) -> Result<Seen, Trouble> {
    let mut seen = Seen::default();
    for queue in list(http, "queues", patience)? {
        seen.entities.push(queue_entity(text(&queue, "name")));
    }
    for exchange in list(http, "exchanges", patience)? {
        seen.entities.push(exchange_entity(text(&exchange, "name")));
    }
    let ends: HashSet<String> = seen.entities.iter().cloned().collect();
    for binding in list(http, "bindings", patience)? {
        let (source, destination) = (text(&binding, "source"), text(&binding, "destination"));
        let to = match text(&binding, "destination_type") {
            "exchange" => exchange_entity(destination),
            _ => queue_entity(destination),
        };
        let entity = binding_entity(source, destination, text(&binding, "routing_key"));
        let has_source = source.is_empty() || ends.contains(&exchange_entity(source));
        if !has_source || !ends.contains(&to) {
            seen.dangling.push(entity.clone());
        }
        seen.entities.push(entity);
    }
    Ok(seen)
}

/// An entity that was asked for, or asked to go.
struct Asked<'a> {
    shared: &'a Shared,
    entity: String,
}

fn asked(shared: &Shared, entity: String, is_durable: bool) -> Asked<'_> {
    shared.observe(Event::EntitySent { entity: entity.clone(), is_durable });
    Asked { shared, entity }
}

impl Asked<'_> {
    fn done(self, is_there: bool) {
        self.shared.answered(Event::EntityDone { entity: self.entity, is_there });
    }
}

/// A queue's deletion takes its bindings with it; whoever deletes has to tell.
pub fn queue_entity(queue: &str) -> String {
    format!("queue {queue}")
}

/// An exchange's name in the history.
pub fn exchange_entity(exchange: &str) -> String {
    format!("exchange {exchange}")
}

/// A binding's name in the history.
pub fn binding_entity(exchange: &str, queue: &str, key: &str) -> String {
    format!("binding {exchange} -> {queue} ({key})")
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

/// One list of the default vhost, as user guest.
fn list(http: SocketAddr, what: &str, patience: Duration) -> Result<Vec<Value>, Trouble> {
    let asking = format!("asking the management API for {what}");
    let mut socket = TcpStream::connect(http).doing(&asking)?;
    socket.set_read_timeout(Some(patience)).doing(&asking)?;
    // Z3Vlc3Q6Z3Vlc3Q= is guest:guest.
    let request = format!(
        "GET /api/{what}/%2F HTTP/1.1\r\nhost: {http}\r\nauthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\
         connection: close\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).doing(&asking)?;
    let mut response = String::new();
    socket.read_to_string(&mut response).doing(&asking)?;
    let (_, body) = response.split_once("\r\n\r\n").ok_or_else(|| Trouble::new(&*asking))?;
    serde_json::from_str(body).doing(&asking)
}
