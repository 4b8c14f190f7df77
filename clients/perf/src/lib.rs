//! `liebre-perf`: publishers and consumers against any AMQP 0-9-1 broker, and what they cost both sides.
//!
//! A load generator that costs as much as the broker measures itself, so this one has its own small codec
//! and does per message only what it must: publish frames are encoded once and written many at a time, and
//! the consumer looks at no more than the type, class and method of a frame. One thread publishes on all
//! connections, one consumes.
//!
//! | module | holds |
//! |---|---|
//! | [`codec`] | bytes <-> frames, the methods that a load generator needs, tables, the encoded publishes |
//! | [`connection`] | a blocking connection: handshake, calls with a deadline, close |
//! | [`poller`], [`socket`], [`driver`] | many connections in the hands of one thread |
//! | [`publisher`], [`confirms`], [`pace`], [`schedule`] | the publishing side: window, rate, what is unconfirmed |
//! | [`consumer`], [`latency`] | the consuming side and the times it saw |
//! | [`gathering`] | when a thread waits for more, to save wake-ups |
//! | [`shared`] | what the threads of a run tell each other |
//! | [`process`], [`clock`] | CPU, memory and time, as the kernel counts them |
//! | [`run`], [`topology`] | one measured load; its queues, declared and deleted |
//! | [`cycle`], [`churn`], [`idle`], [`backlog`], [`start`] | other work: what comes and goes, what just lies there, starts |
//! | [`work`], [`figure`], [`compare`] | any work, its figures; two brokers in turns |
//! | [`plans`], [`table`] | much work in one go |
//! | [`fresh`], [`floor`] | brokers started for one measurement; what nothing can be faster than |
//! | [`results`], [`chart`] | tables and a picture of it |
//! | [`cli`], [`load`], [`url`], [`report`] | the command line and what it prints |

pub mod backlog;
pub mod chart;
pub mod churn;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod compare;
pub mod confirms;
pub mod connection;
pub mod consumer;
pub mod cycle;
pub mod driver;
pub mod error;
pub mod figure;
pub mod floor;
pub mod fresh;
pub mod gathering;
pub mod idle;
pub mod latency;
pub mod load;
pub mod pace;
pub mod plans;
pub mod poller;
pub mod process;
pub mod publisher;
pub mod report;
pub mod results;
pub mod run;
pub mod schedule;
pub mod shared;
pub mod socket;
pub mod start;
pub mod table;
pub mod topology;
pub mod url;
pub mod work;
