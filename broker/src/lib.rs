//! Liebre: an AMQP 0-9-1 message broker that stands in for RabbitMQ.
//!
//! `ARCHITECTURE.md` beside this crate has the map and the life of a message.

pub mod http;
pub mod limits;
pub mod model;
pub mod storage;
pub mod wire;
