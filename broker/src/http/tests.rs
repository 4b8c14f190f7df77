//! The API as callers see it: requests in, a transcript out. No sockets, no disk.

mod access;
mod bench;
mod connections;
mod facts;
mod limits;
mod own_node;
mod policies;
mod topology;
mod users;
