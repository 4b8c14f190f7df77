//! The API as callers see it: requests in, a transcript out. No sockets, no disk.

mod access;
mod bench;
mod connections;
mod deeds;
mod definitions;
mod definitions_random;
mod definitions_unsupported;
mod facts;
mod garbage;
mod limits;
mod matrix;
mod messages;
mod metrics;
mod operation;
mod own_node;
mod parameters;
mod policies;
mod protection;
mod recorded;
mod topology;
mod users;
