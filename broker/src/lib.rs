//! Liebre: an AMQP 0-9-1 message broker that stands in for RabbitMQ.
//!
//! `ARCHITECTURE.md` beside this crate has the map and the life of a message.

pub mod config;
pub mod connection;
pub mod http;
pub mod limits;
pub mod model;
pub mod product;
pub mod server;
pub mod storage;
#[cfg(test)]
mod test_clock;
pub mod vhost;
pub mod wire;
