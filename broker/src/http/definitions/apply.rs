//! Checked definitions become what there is.

use super::{ImportError, check::Checked};
use crate::{
    connection::registry::Node,
    vhost::{Vhost, broker::NoSuch, declare::DeclareQueueError, ticket::Ticket},
};
use std::{fmt, sync::Arc};

/// After so many changes others get their turn on this thread.
const TURN: usize = 64;

impl Checked {
    /// Applies all of it, and waits until it is on stable storage.
    ///
    /// What was there when it was checked may be gone by now: that ends it there, and the error says where.
    pub(super) async fn apply(mut self, node: &Node) -> Result<(), ImportError> {
        let mut tickets = Tickets::default();
        self.apply_access(node, &mut tickets).await?;
        let broker = &node.broker;
        for (vhost, exchange) in self.exchanges {
            let place = || format!("exchange '{}' in vhost '{vhost}'", exchange.name);
            let declared = find(node, &vhost)?.declare_exchange(exchange.clone());
            // Somebody else may have declared another one of that name: it stays as it is.
            tickets.add(declared.ok().flatten(), place()).await;
        }
        for (vhost, policies) in self.policies {
            let (_, ticket) = find(node, &vhost)?.put_policies(policies);
            tickets.add(ticket, format!("policies in vhost '{vhost}'")).await;
        }
        for (vhost, parameter) in self.parameters {
            let put = parameter.put(broker, &*find(node, &vhost)?);
            let place = format!("parameters in vhost '{vhost}'");
            let (_, ticket) = put.ok_or_else(|| gone(&place, "the vhost"))?;
            tickets.add(ticket, place).await;
        }
        // A number that no connection has: what an import declares belongs to nobody.
        let nobody = broker.next_connection_id();
        for (vhost, name, options) in self.queues {
            let place = format!("queue '{name}' in vhost '{vhost}'");
            match find(node, &vhost)?.declare_queue(name.clone(), options, nobody) {
                Ok(declared) => {
                    node.churn.count_declared(declared.is_new);
                    tickets.add(declared.ticket, place).await;
                }
                // It stays as it is.
                Err(DeclareQueueError::Equivalence(_) | DeclareQueueError::Locked) => {}
                Err(error) => {
                    return Err(ImportError::Refused { place, reason: error.text(&name, &vhost).into() });
                }
            }
        }
        for (vhost, binding) in self.bindings {
            let place = format!("binding of '{}' in vhost '{vhost}'", binding.source);
            let bound = find(node, &vhost)?.bind(binding);
            let ticket = bound.map_err(|error| ImportError::Refused {
                place: place.clone(),
                reason: error.text(&vhost).into(),
            })?;
            tickets.add(ticket, place).await;
        }
        tickets.stored().await
    }

    async fn apply_access(&mut self, node: &Node, tickets: &mut Tickets) -> Result<(), ImportError> {
        let broker = &node.broker;
        for user in std::mem::take(&mut self.users) {
            let place = format!("user '{}'", user.name);
            tickets.add(broker.put_user(user).1, place).await;
        }
        for vhost in std::mem::take(&mut self.vhosts) {
            let place = format!("vhost '{}'", vhost.name);
            tickets.add(broker.put_vhost(vhost).1, place).await;
        }
        let missing = |place: &String, missing: NoSuch| match missing {
            NoSuch::User => gone(place, "the user"),
            NoSuch::Vhost => gone(place, "the vhost"),
        };
        for (user, vhost, permission) in std::mem::take(&mut self.permissions) {
            let place = format!("permission of user '{user}' in vhost '{vhost}'");
            let put = broker.put_permission(&user, &vhost, permission);
            tickets.add(put.map_err(|error| missing(&place, error))?.1, place).await;
        }
        for grant in std::mem::take(&mut self.topic_permissions) {
            let place = format!("topic permission of user '{}' in vhost '{}'", grant.user, grant.vhost);
            let put = broker.put_topic_permission(grant);
            tickets.add(put.map_err(|error| missing(&place, error))?.1, place).await;
        }
        for parameter in std::mem::take(&mut self.global_parameters) {
            let place = format!("global parameter '{}'", parameter.name);
            tickets.add(broker.put_global_parameter(parameter).1, place).await;
        }
        Ok(())
    }
}

/// Waits for a change.
pub(super) async fn stored(ticket: Option<Ticket>) -> Result<(), ImportError> {
    let mut tickets = Tickets::default();
    tickets.add(ticket, String::new()).await;
    tickets.stored().await
}

/// Changes on their way to stable storage, and what they are about.
#[derive(Default)]
struct Tickets(Vec<(Ticket, String)>);

impl Tickets {
    async fn add(&mut self, ticket: Option<Ticket>, place: String) {
        if let Some(ticket) = ticket {
            self.0.push((ticket, place));
            if self.0.len().is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn stored(self) -> Result<(), ImportError> {
        for (ticket, place) in self.0 {
            let stored = ticket.durable().await;
            stored.map_err(|error| ImportError::NotStored { place, error })?;
        }
        Ok(())
    }
}

fn find(node: &Node, vhost: &str) -> Result<Arc<Vhost>, ImportError> {
    node.broker.vhost(vhost).ok_or_else(|| gone(&format!("vhost '{vhost}'"), "it"))
}

fn gone(place: &dyn fmt::Display, what: &str) -> ImportError {
    let reason = format!("{what} was deleted meanwhile; everything before this is imported");
    ImportError::Refused { place: place.to_string(), reason: reason.into() }
}
