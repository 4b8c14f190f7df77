//! The API as callers see it: requests in, a transcript out. No sockets, no disk.

mod access;
mod bench;
mod connections;
mod definitions;
mod definitions_random;
mod facts;
mod limits;
mod parameters;
mod policies;
mod topology;
mod users;
