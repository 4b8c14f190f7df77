//! Bytes <-> AMQP 0-9-1, as far as a load generator needs it.
//!
//! ```text
//! frame:  type u8 | channel u16 | size u32 | payload | 0xCE          type: 1 method, 2 header, 3 body, 8 heartbeat
//! method payload:  class u16 | method u16 | arguments
//! header payload:  class u16 | weight u16 | body size u64 | flags u16 | properties
//! ```
//! Field tables are written (the capabilities) but never read.

pub mod frame;
pub mod method;
pub mod publish;
pub mod table;
