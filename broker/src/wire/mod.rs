//! Bytes to AMQP and back. Pure: no sockets, no files, no clock.
//!
//! A connection's bytes are frames ([`frame`]); a method frame carries a [`method`], a header frame the
//! [`properties`] and size of a [`content`]. What is on the path of every message is coded by hand on
//! borrowed bytes; every other ("cold") method goes through `amq-protocol`, after our own walk over its
//! arguments ([`catalog`], [`table`]): that crate's table parser recurses as deep as its input says.
//! [`encode`] writes, [`transcript`] tells a byte stream as a story for tests.

pub mod catalog;
pub mod content;
mod cursor;
pub mod encode;
pub mod frame;
pub mod method;
pub mod properties;
pub mod protocol_header;
pub mod table;
pub mod transcript;
