//! The commands, by what they are about; each module has its table of commands and the functions they run.

pub mod absent;
pub mod connections;
pub mod definitions;
pub mod general;
pub mod health;
pub mod limits;
pub mod node;
pub mod parameters;
pub mod permissions;
pub mod plugins;
pub mod policies;
pub mod queues;
pub mod topic_permissions;
pub mod topology;
pub mod usage_limits;
pub mod users;
pub mod vhosts;

use crate::exit::Stop;

/// How every command ends.
type Outcome = Result<(), Stop>;
