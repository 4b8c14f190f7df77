//! What can go wrong with exchanges and bindings, in RabbitMQ's words.
//!
//! A topology does not know its vhost's name, which most texts carry: hence `text(vhost)` instead of `Display`.

use amq_protocol::types::AMQPValue;

use crate::model::{
    arguments::{erlang_term, type_name},
    name::Name,
    routing::XMatchError,
};

const ON_DEFAULT_EXCHANGE: &str = "operation not permitted on the default exchange";

/// Why an exchange was not declared.
#[derive(Clone, Debug, PartialEq)]
pub enum DeclareExchangeError {
    /// The name is empty: refused access.
    DefaultExchange,
    /// The name is the broker's: refused access.
    ReservedName(Name),
    /// `alternate-exchange` is not a string: failed precondition.
    AlternateExchangeType {
        /// The exchange to declare.
        exchange: Name,
        /// The argument's type.
        type_name: &'static str,
    },
    /// It exists and is different: failed precondition.
    NotEquivalent {
        /// The existing exchange.
        exchange: Name,
        /// The first property or argument that differs.
        argument: &'static str,
        /// As the text shows what was asked for, quotes included.
        received: String,
        /// As the text shows what exists, quotes included.
        current: String,
    },
}

impl DeclareExchangeError {
    /// RabbitMQ's text, without the code's name.
    #[must_use]
    pub fn text(&self, vhost: &str) -> String {
        match self {
            Self::DefaultExchange => ON_DEFAULT_EXCHANGE.to_owned(),
            Self::ReservedName(name) => format!("exchange name '{name}' contains reserved prefix 'amq.*'"),
            Self::AlternateExchangeType { exchange, type_name } => format!(
                "invalid type '{type_name}' for arg 'alternate-exchange' in exchange '{exchange}' in vhost '{vhost}'"
            ),
            Self::NotEquivalent { exchange, argument, received, current } => format!(
                "inequivalent arg '{argument}' for exchange '{exchange}' in vhost '{vhost}': \
                 received {received} but current is {current}"
            ),
        }
    }
}

/// Why an exchange was not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteExchangeError {
    /// The name is empty: refused access.
    DefaultExchange,
    /// The name is the broker's: refused access.
    SystemExchange(Name),
    /// `if-unused`, and it is the source of bindings: failed precondition.
    InUse(Name),
}

impl DeleteExchangeError {
    /// RabbitMQ's text, without the code's name.
    #[must_use]
    pub fn text(&self, vhost: &str) -> String {
        match self {
            Self::DefaultExchange => ON_DEFAULT_EXCHANGE.to_owned(),
            Self::SystemExchange(name) => {
                format!("deletion of system exchange '{name}' in vhost '{vhost}' not allowed")
            }
            Self::InUse(name) => format!("exchange '{name}' in vhost '{vhost}' in use"),
        }
    }
}

/// Why nothing was bound or unbound.
#[derive(Clone, Debug, PartialEq)]
pub enum BindError {
    /// One end's name is empty: refused access.
    DefaultExchange,
    /// No such exchange.
    NoExchange(Name),
    /// No such queue.
    NoQueue(Name),
    /// A headers exchange can't read `x-match`: failed precondition.
    XMatch(XMatchError),
}

impl BindError {
    /// RabbitMQ's text, without the code's name.
    #[must_use]
    pub fn text(&self, vhost: &str) -> String {
        match self {
            Self::DefaultExchange => ON_DEFAULT_EXCHANGE.to_owned(),
            Self::NoExchange(name) => format!("no exchange '{name}' in vhost '{vhost}'"),
            Self::NoQueue(name) => format!("no queue '{name}' in vhost '{vhost}'"),
            Self::XMatch(error) => error.to_string(),
        }
    }
}

/// Why nothing was routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// No such exchange.
    NoExchange(String),
    /// Only other exchanges may publish to it: refused access.
    Internal(Name),
}

impl RouteError {
    /// RabbitMQ's text, without the code's name.
    #[must_use]
    pub fn text(&self, vhost: &str) -> String {
        match self {
            Self::NoExchange(name) => format!("no exchange '{name}' in vhost '{vhost}'"),
            Self::Internal(name) => {
                format!("cannot publish to internal exchange '{name}' in vhost '{vhost}'")
            }
        }
    }
}

/// Both sides of a difference between an argument received and the current one, as RabbitMQ shows them: the
/// type only where the other side has none.
pub(super) fn argument_difference(
    received: Option<&AMQPValue>,
    current: Option<&AMQPValue>,
) -> (String, String) {
    match (received, current) {
        (Some(received), Some(current)) => (plain(received), plain(current)),
        (received, current) => (typed(received), typed(current)),
    }
}

fn plain(value: &AMQPValue) -> String {
    match value {
        AMQPValue::Void => "none".to_owned(),
        other => format!("'{}'", unquoted(other)),
    }
}

fn typed(value: Option<&AMQPValue>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => format!("the value '{}' of type '{}'", unquoted(value), type_name(value)),
    }
}

fn unquoted(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        other => erlang_term(other),
    }
}
