//! The nouns and rules of the broker. Pure: no sockets, no files, no clock.

pub mod arguments;
pub mod binding;
pub mod dead_letter;
pub mod definition;
pub mod exchange;
pub mod expiration;
pub mod limit;
pub mod message;
pub mod name;
pub mod parameter;
pub mod password;
pub mod pattern;
pub mod permission;
pub mod policy;
pub mod queue;
pub mod queue_id;
pub mod routing;
pub mod statistics;
pub mod timestamp;
pub mod topic_permission;
pub mod topology;
pub mod user;
