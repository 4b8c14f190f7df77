//! Connections over vhosts in memory: frames in, a transcript out. No sockets, no disk, no clock.

mod alarms;
mod bench;
mod channels;
mod closing;
mod commits;
mod conservation;
mod consume;
mod declare;
mod deferred;
mod delete;
mod frames;
mod garbage;
mod handshake;
mod heartbeats;
mod log;
mod marks;
mod permissions;
mod prefetch;
mod publish;
mod room;
mod routing;
mod settle;
mod store;
mod story;
mod transactions;
mod unstored;
