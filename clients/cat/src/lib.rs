//! `liebre-cat`: messages from a terminal, a pipe or files into a broker, and out again, with any AMQP 0-9-1 broker.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`], [`address`], [`pairs`] | the command line: what to do, with which broker; `name=value` |
//! | [`produce`], [`source`], [`tally`] | publishing with confirms; where messages come from; what became of them |
//! | [`consume`], [`settling`], [`get`] | a subscription; which deliveries are not acked; `basic.get` |
//! | [`output`], [`json`] | how a delivery is written to standard output |
//! | [`broker`], [`queue`], [`backoff`] | connecting, again and again if need be; declaring; the pauses between |
//! | [`stop`], [`status`] | signals; the lines on standard error |
//! | [`exit`], [`explain`] | exit codes; what an error means and what to do about it |
//!
//! Standard output carries messages and nothing else. The one thread besides the runtime's reads input ([`source`]).

pub mod address;
pub mod backoff;
pub mod broker;
pub mod cli;
pub mod consume;
pub mod exit;
pub mod explain;
pub mod get;
pub mod json;
pub mod output;
pub mod pairs;
pub mod produce;
pub mod queue;
pub mod settling;
pub mod source;
pub mod status;
pub mod stop;
pub mod tally;
