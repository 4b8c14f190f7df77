//! Campaigns: long runs of random load and real faults against the real broker, judged by one checker.
//!
//! | module | does |
//! |---|---|
//! | [`command`] | the command line |
//! | [`crashes`], [`diskfull`] | the campaigns: crash, restart, reconcile; fill the disk, make room |
//! | [`clients`] | all clients of one life of the broker |
//! | [`publishers`], [`consumers`], [`getter`], [`background`], [`wire_publisher`] | the kinds of clients |
//! | [`drain`] | reads all queues to their ends |
//! | [`workload`], [`topology`] | queues, exchanges, bindings, publishers by name; declaring and looking at them |
//! | [`content`] | what a message looks like, from its number alone |
//! | [`history`] | the checker: events in, broken promises out |
//! | [`shared`] | what all clients share |
//! | [`process`], [`ground`] | the broker's program; where its data lies, and what a power cut leaves of it |
//! | [`report`] | the outcome, and the ledger |
//! | [`random`], [`trouble`] | numbers from a seed; what keeps a campaign from going on |
//!
//! `tests/CAMPAIGNS.md` says how to run them and what they prove. A life of the broker is the time from its start to its
//! end, however it ends.

pub mod background;
pub mod clients;
pub mod command;
pub mod consumers;
pub mod content;
pub mod crashes;
pub mod diskfull;
pub mod drain;
pub mod getter;
pub mod ground;
pub mod history;
pub mod process;
pub mod publishers;
pub mod random;
pub mod report;
pub mod shared;
pub mod topology;
pub mod trouble;
pub mod wire_publisher;
pub mod workload;
