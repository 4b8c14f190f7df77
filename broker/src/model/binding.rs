//! Bindings: edges from an exchange to a queue or to another exchange.

use crate::model::{arguments::Arguments, name::Name};

/// What a binding leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A queue, by name.
    Queue(Name),
    /// An exchange, by name (RabbitMQ's exchange-to-exchange bindings).
    Exchange(Name),
}

impl Destination {
    /// The name of the queue or exchange.
    #[must_use]
    pub fn name(&self) -> &Name {
        match self {
            Self::Queue(name) | Self::Exchange(name) => name,
        }
    }

    /// `queue` or `exchange`, as tools print it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Exchange(_) => "exchange",
        }
    }
}

/// A binding. Durable when both ends are; the same (source, destination, key, arguments) exists once.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The exchange messages come from.
    pub source: Name,
    /// Where they go.
    pub destination: Destination,
    /// The pattern or key on the edge.
    pub binding_key: Name,
    /// As bound; the headers exchange matches on them.
    pub arguments: Arguments,
}
