//! The commands, by what they are about; each module has its table of commands and the functions they run.

pub mod absent;
pub mod auth_attempts;
pub mod cluster;
pub mod completion;
pub mod connections;
pub mod definitions;
pub mod general;
pub mod health;
pub mod inspection;
pub mod interfaces;
pub mod lifecycle;
pub mod limits;
pub mod logs;
pub mod node;
mod observer;
pub mod parameters;
pub mod permissions;
pub mod plugins;
pub mod policies;
pub mod process;
pub mod queues;
pub mod replicas;
mod sections;
pub mod topic_permissions;
pub mod topology;
pub mod usage_limits;
pub mod users;
pub mod vhost_metadata;
pub mod vhosts;

use crate::exit::Stop;

/// How every command ends.
type Outcome = Result<(), Stop>;
