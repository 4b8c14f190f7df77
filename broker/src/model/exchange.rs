//! Exchanges: where publishers publish.

use crate::model::{arguments::Arguments, name::Name};

/// How an exchange chooses among its bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// Binding key equals routing key.
    Direct,
    /// Every binding.
    Fanout,
    /// Words separated by dots; `*` is one word, `#` any number.
    Topic,
    /// The message's headers against the binding's arguments.
    Headers,
}

impl ExchangeKind {
    /// The kind a client names in `exchange.declare`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "direct" => Self::Direct,
            "fanout" => Self::Fanout,
            "topic" => Self::Topic,
            "headers" => Self::Headers,
            _ => return None,
        })
    }

    /// The kind's name on the wire and in tools.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }
}

/// An exchange's definition. All fields are durable when `is_durable`.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Empty for the default exchange.
    pub name: Name,
    /// Its kind (`type` in AMQP).
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub is_durable: bool,
    /// Deleted when its last binding as a source goes, if it ever had one.
    pub is_auto_delete: bool,
    /// Reachable only through exchange-to-exchange bindings.
    pub is_internal: bool,
    /// As declared.
    pub arguments: Arguments,
}

impl Exchange {
    /// Whether every vhost has it: the default exchange and `amq.…`.
    #[must_use]
    pub fn is_predeclared(&self) -> bool {
        self.name.is_empty() || self.name.is_reserved()
    }
}
