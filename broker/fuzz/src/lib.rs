//! What must hold for any bytes that a peer may send. Each target is a plain function that panics when something
//! does not hold: libFuzzer looks for bytes that make it do so, and the broker's tests run it on the corpus.
//!
//! | target | takes | what must hold |
//! |---|---|---|
//! | [`frame`] | frame_max, then a stream | frames are the same however the stream is cut; a refusal is final |
//! | [`method`] | a method frame's payload | what is read is written and read again as the same |
//! | [`table`] | a table's entries | the same; no nesting beyond the limit; every way to read agrees |
//! | [`properties`] | a content header | what is read is written as the same bytes |
//! | [`handshake`] | bytes from the first on | two connections in memory, see below |
//! | [`connection`] | a program for two peers, the disk and the clock | see below |
//!
//! The last two run real connections on a broker in memory. Whatever peers send: everything that is said to them is
//! whole, known and within the limits; nothing follows a close; nothing gathers without end; 541 is never the answer;
//! what a dead peer held goes back and what was its own goes; and others are served.

mod choices;
mod frames;
mod listener;
mod memory;
mod program;
mod wire;
mod world;

pub use program::{connection, handshake};
pub use wire::{frame, method, properties, table};

/// A name, and what runs on any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 6] = [
    ("frame", frame),
    ("method", method),
    ("table", table),
    ("properties", properties),
    ("handshake", handshake),
    ("connection", connection),
];
