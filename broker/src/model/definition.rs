//! Definitions: the durable topology and users, as values that can be put, deleted and loaded again.

use crate::model::{
    arguments::Arguments,
    binding::Binding,
    exchange::Exchange,
    limit::LimitSet,
    name::Name,
    parameter::{GlobalParameter, Parameter},
    policy::{Policy, PolicyKind},
    user::User,
};

/// One durable thing. All fields of all of them are durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Definition {
    /// A namespace.
    Vhost(VhostDefinition),
    /// Somebody who can log in.
    User(User),
    /// What a user may do in a vhost.
    Permission(PermissionDefinition),
    /// What a user may do with the routing keys of an exchange.
    TopicPermission(TopicPermissionDefinition),
    /// A durable exchange.
    Exchange {
        /// The namespace it is in.
        vhost: Name,
        /// As declared.
        exchange: Exchange,
    },
    /// A durable queue.
    Queue {
        /// The namespace it is in.
        vhost: Name,
        /// As declared.
        queue: QueueDefinition,
    },
    /// A binding between durable ends.
    Binding {
        /// The namespace both ends are in.
        vhost: Name,
        /// The edge.
        binding: Binding,
    },
    /// A policy.
    Policy {
        /// The namespace that it is for.
        vhost: Name,
        /// Whose it is.
        kind: PolicyKind,
        /// As it was set.
        policy: Policy,
    },
    /// A runtime parameter.
    Parameter {
        /// The namespace that it is for.
        vhost: Name,
        /// As it was set.
        parameter: Parameter,
    },
    /// A runtime parameter of the whole cluster.
    GlobalParameter(GlobalParameter),
}

/// A vhost as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostDefinition {
    /// Its name; `/` is the first one's.
    pub name: Name,
    /// Free text for people.
    pub description: String,
    /// Free words for people.
    pub tags: Vec<String>,
    /// The `x-queue-type` of queues declared without one.
    pub default_queue_type: Option<String>,
    /// What may be in it.
    pub limits: LimitSet,
    /// It is not deleted before somebody lifts this.
    pub is_protected: bool,
}

impl VhostDefinition {
    /// Of a vhost about which nothing is said but its name.
    #[must_use]
    pub fn new(name: Name) -> Self {
        Self {
            name,
            description: String::new(),
            tags: Vec::new(),
            default_queue_type: None,
            limits: LimitSet::default(),
            is_protected: false,
        }
    }
}

/// The three patterns of a user in a vhost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionDefinition {
    /// Whose.
    pub user: Name,
    /// Where.
    pub vhost: Name,
    /// Names it may declare and delete.
    pub configure: String,
    /// Names it may publish to and bind.
    pub write: String,
    /// Names it may consume from and bind to.
    pub read: String,
}

/// The two patterns of a user for an exchange in a vhost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermissionDefinition {
    /// Whose.
    pub user: Name,
    /// Where.
    pub vhost: Name,
    /// Which exchange, be it there or not.
    pub exchange: Name,
    /// Keys it may publish with.
    pub write: String,
    /// Keys it may bind with.
    pub read: String,
}

/// A queue as it was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueDefinition {
    /// Never used by another queue, before or after: what is logged under it is this queue's alone.
    pub id: u64,
    /// Its name in its vhost.
    pub name: Name,
    /// Survives a restart.
    pub is_durable: bool,
    /// Belongs to one connection. Such a queue ends with it, so a stored one never is.
    pub is_exclusive: bool,
    /// Deleted when its last consumer goes.
    pub is_auto_delete: bool,
    /// As declared.
    pub arguments: Arguments,
}

/// What tells one definition from all others.
///
/// A binding is its own key: two that differ in their arguments alone are two bindings.
#[derive(Clone, Debug, PartialEq)]
pub enum DefinitionKey {
    /// A vhost.
    Vhost(Name),
    /// A user.
    User(Name),
    /// A user's permission in a vhost.
    Permission {
        /// Whose.
        user: Name,
        /// Where.
        vhost: Name,
    },
    /// A user's topic permission for an exchange in a vhost.
    TopicPermission {
        /// Whose.
        user: Name,
        /// Where.
        vhost: Name,
        /// Which exchange.
        exchange: Name,
    },
    /// An exchange.
    Exchange {
        /// The namespace it is in.
        vhost: Name,
        /// Its name.
        name: Name,
    },
    /// A queue.
    Queue {
        /// The namespace it is in.
        vhost: Name,
        /// Its name.
        name: Name,
    },
    /// A binding.
    Binding {
        /// The namespace it is in.
        vhost: Name,
        /// The edge.
        binding: Binding,
    },
    /// A policy.
    Policy {
        /// The namespace that it is for.
        vhost: Name,
        /// Whose it is.
        kind: PolicyKind,
        /// Its name.
        name: Name,
    },
    /// A runtime parameter.
    Parameter {
        /// The namespace that it is for.
        vhost: Name,
        /// What it is a setting of.
        component: Name,
        /// Its name.
        name: Name,
    },
    /// A runtime parameter of the whole cluster.
    GlobalParameter(Name),
}

/// One step of a change set. A change set happens as a whole or not at all.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Add the definition, or replace the one with the same key.
    Put(Definition),
    /// Remove the definition with this key, if there is one. What belonged to it stays unless listed too:
    /// deleting a vhost or a user means a change set with everything in it.
    Delete(DefinitionKey),
}

impl Definition {
    /// What tells it from all others.
    #[must_use]
    pub fn key(&self) -> DefinitionKey {
        match self {
            Self::Vhost(vhost) => DefinitionKey::Vhost(vhost.name.clone()),
            Self::User(user) => DefinitionKey::User(user.name.clone()),
            Self::Permission(permission) => {
                DefinitionKey::Permission { user: permission.user.clone(), vhost: permission.vhost.clone() }
            }
            Self::TopicPermission(TopicPermissionDefinition { user, vhost, exchange, .. }) => {
                DefinitionKey::TopicPermission {
                    user: user.clone(),
                    vhost: vhost.clone(),
                    exchange: exchange.clone(),
                }
            }
            Self::Exchange { vhost, exchange } => {
                DefinitionKey::Exchange { vhost: vhost.clone(), name: exchange.name.clone() }
            }
            Self::Queue { vhost, queue } => {
                DefinitionKey::Queue { vhost: vhost.clone(), name: queue.name.clone() }
            }
            Self::Binding { vhost, binding } => {
                DefinitionKey::Binding { vhost: vhost.clone(), binding: binding.clone() }
            }
            Self::Policy { vhost, kind, policy } => {
                DefinitionKey::Policy { vhost: vhost.clone(), kind: *kind, name: policy.name.clone() }
            }
            Self::Parameter { vhost, parameter: Parameter { component, name, .. } } => {
                DefinitionKey::Parameter {
                    vhost: vhost.clone(),
                    component: component.clone(),
                    name: name.clone(),
                }
            }
            Self::GlobalParameter(parameter) => DefinitionKey::GlobalParameter(parameter.name.clone()),
        }
    }
}

/// As an operator reads it: `queue 'orders' in vhost '/'`.
impl std::fmt::Display for DefinitionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vhost(name) => write!(f, "vhost '{name}'"),
            Self::User(name) => write!(f, "user '{name}'"),
            Self::Permission { user, vhost } => write!(f, "permission of user '{user}' in vhost '{vhost}'"),
            Self::TopicPermission { user, vhost, exchange } => {
                write!(f, "topic permission of user '{user}' for exchange '{exchange}' in vhost '{vhost}'")
            }
            Self::Exchange { vhost, name } => write!(f, "exchange '{name}' in vhost '{vhost}'"),
            Self::Queue { vhost, name } => write!(f, "queue '{name}' in vhost '{vhost}'"),
            Self::Binding { vhost, binding } => {
                let Binding { source, destination, binding_key, .. } = binding;
                let (kind, name): (_, &Name) = (destination.kind(), destination.name());
                write!(f, "binding from exchange '{source}' to {kind} '{name}' with key '{binding_key}' ")?;
                write!(f, "in vhost '{vhost}'")
            }
            Self::Policy { vhost, kind, name } => write!(f, "{kind} '{name}' in vhost '{vhost}'"),
            Self::Parameter { vhost, component, name } => {
                write!(f, "parameter '{name}' of component '{component}' in vhost '{vhost}'")
            }
            Self::GlobalParameter(name) => write!(f, "global parameter '{name}'"),
        }
    }
}
