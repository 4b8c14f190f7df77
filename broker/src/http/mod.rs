//! The management API: what it is told and what it answers, as values. No broker state, no sockets.
//!
//! Facts are RabbitMQ's (<https://www.rabbitmq.com/docs/management>); where its answer is an accident of its
//! implementation, such as a status 500 without a body, the comment says what is answered instead.

pub mod body;
pub mod credentials;
pub mod error;
pub mod json;
pub mod path;
pub mod properties_key;
pub mod query;

pub use error::HttpError;
