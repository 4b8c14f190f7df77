//! Vhosts, and what is in one at a glance.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::{Caller, Right},
    body::RequestBody,
    channels,
    cluster::find_node,
    connections, permissions,
    query::ListQuery,
    rates::{Fields, MessageStats, VHOST_BYTES},
    request::{Request, durable, new_name, words},
    topic_permissions,
};
use crate::{
    model::{
        definition::VhostDefinition,
        name::Name,
        permission::Permission,
        statistics::{Ranges, SampleKind},
    },
    vhost::{Vhost, broker::DeleteVhostError, ticket::Ticket},
};

/// What queues are without `x-queue-type` where the vhost does not say.
pub(super) const DEFAULT_QUEUE_TYPE: &str = "classic";

/// `vhosts`, `vhosts/{vhost}`, `vhosts/{vhost}/permissions`, `…/topic-permissions`, `…/connections`, `…/channels`,
/// `…/deletion/protection`, `…/start/{node}`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => list(request).await,
        ([vhost], &Method::GET) => show(request, vhost),
        ([vhost], &Method::PUT) => put(request, vhost).await,
        ([vhost], &Method::DELETE) => delete(request, vhost).await,
        ([vhost, "deletion", "protection"], method) => protect(request, vhost, method).await,
        ([vhost, "start", node], _) => start(request, vhost, node),
        ([vhost, "permissions"], &Method::GET) => list_permissions(request, vhost),
        ([vhost, "topic-permissions"], &Method::GET) => {
            request.require(Right::Administrator)?;
            let vhost = find(request, vhost)?;
            Ok(topic_permissions::list(request, |grant| grant.vhost == *vhost.name()))
        }
        ([vhost, "connections"], &Method::GET) => {
            let vhost = request.vhost(vhost)?;
            connections::list(request, Some(vhost.name())).await
        }
        ([vhost, "channels"], &Method::GET) => {
            let vhost = request.vhost(vhost)?;
            channels::list(request, Some(vhost.name())).await
        }
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// Who monitors sees all vhosts, others those that they may enter.
async fn list(request: &Request) -> Answered {
    let query = ListQuery::parse(&request.query)?;
    // What happened up to now is in the sums.
    request.node().sample();
    let ranges = request.wanted_ranges()?;
    let vhosts = match request.caller.has(Right::Monitoring) {
        true => request.broker().vhosts(),
        false => request.vhosts(),
    };
    let view =
        |vhost: &Arc<Vhost>, wants: &dyn Fn(&str) -> bool| view(request, vhost, ranges.as_ref(), wants);
    let order = |one: &Arc<Vhost>, other: &Arc<Vhost>| one.name().cmp(other.name());
    Ok(Answer::Selected(query.list(vhosts, order, |vhost| vhost.name().as_str(), view).await?))
}

fn show(request: &Request, name: &str) -> Answered {
    request.require(Right::Administrator)?;
    let vhost = find(request, name)?;
    request.node().sample();
    Ok(Answer::Object(view(request, &vhost, request.wanted_ranges()?.as_ref(), &|_| true)))
}

/// What the body does not say stays as it was.
async fn put(request: &Request, name: &str) -> Answered {
    request.require(Right::Administrator)?;
    if name.is_empty() {
        return Err(HttpError::ObjectNotFound);
    }
    let name = new_name(name)?;
    let before = request.broker().vhost(&name).map(|vhost| vhost.definition());
    if before.is_none() {
        let room = request.node().check_vhost_room();
        room.map_err(|max| HttpError::bad_request(no_room(&name, max)))?;
    }
    let (is_new, ticket) = request.broker().put_vhost(definition(name.clone(), before, &request.fields()?)?);
    let granted = if is_new { grant_everything(request, &name) } else { None };
    durable(ticket).await?;
    durable(granted).await?;
    Ok(Answer::put(is_new))
}

async fn delete(request: &Request, name: &str) -> Answered {
    request.require(Right::Administrator)?;
    let vhost = find(request, name)?;
    let name = vhost.name();
    let ticket = request.broker().delete_vhost(name).map_err(|error| match error {
        DeleteVhostError::NoVhost => HttpError::ObjectNotFound,
        DeleteVhostError::Protected => HttpError::PreconditionFailed(format!(
            "refusing to delete virtual host '{name}' because it is protected from deletion"
        )),
    })?;
    let text = format!("vhost '{name}' is deleted");
    request.node().close_connections(&text, |facts| facts.vhost.as_ref() == Some(name));
    durable(ticket).await?;
    Ok(Answer::Done)
}

/// POST protects a vhost, DELETE lifts that.
async fn protect(request: &Request, name: &str, method: &Method) -> Answered {
    request.require(Right::Administrator)?;
    let vhost = find(request, name)?;
    if *method == Method::GET {
        let is_protected = vhost.definition().is_protected;
        return Ok(Answer::Object(json!({ "protected_from_deletion": is_protected })));
    }
    let ticket = request.broker().protect_vhost(vhost.name(), *method == Method::POST);
    durable(ticket.map_err(|_| HttpError::ObjectNotFound)?).await?;
    Ok(Answer::Done)
}

/// A vhost that is there runs on the one node.
fn start(request: &Request, name: &str, node: &str) -> Answered {
    request.require(Right::Administrator)?;
    find(request, name)?;
    find_node(request, node)?;
    Ok(Answer::Done)
}

fn list_permissions(request: &Request, name: &str) -> Answered {
    request.require(Right::Administrator)?;
    let vhost = find(request, name)?;
    let grants = request.broker().access().grants();
    let of_vhost = grants.iter().filter(|grant| grant.vhost == *vhost.name());
    Ok(Answer::Listing(of_vhost.map(permissions::view).collect()))
}

fn find(request: &Request, name: &str) -> Result<Arc<Vhost>, HttpError> {
    request.broker().vhost(name).ok_or(HttpError::ObjectNotFound)
}

/// Of a vhost that is one too many.
pub(super) fn no_room(name: &str, max: usize) -> String {
    format!("cannot create vhost '{name}': vhost limit of {max} is reached")
}

/// Who makes a vhost may do everything in it.
fn grant_everything(request: &Request, vhost: &Name) -> Option<Ticket> {
    let Caller::User(user) = &request.caller else { return None };
    // Either may have gone again meanwhile, and the permission with it.
    let granted = request.broker().put_permission(&user.name, vhost, Permission::everything());
    granted.ok().and_then(|(_, ticket)| ticket)
}

/// A vhost from the fields of a body; what they do not say stays as it was.
pub(super) fn definition(
    name: Name,
    before: Option<VhostDefinition>,
    fields: &RequestBody,
) -> Result<VhostDefinition, HttpError> {
    let before = before.unwrap_or(VhostDefinition::new(name));
    Ok(VhostDefinition {
        description: fields.text("description")?.map_or(before.description, str::to_owned),
        tags: fields.value("tags").map_or(Ok(before.tags), words)?,
        default_queue_type: match fields.text("default_queue_type")? {
            None => before.default_queue_type,
            // RabbitMQ's word for none, which its exports contain.
            Some("undefined" | "") => None,
            Some(known @ ("classic" | "quorum")) => Some(known.to_owned()),
            Some(other) => return Err(HttpError::bad_request(format!("unsupported queue type '{other}'"))),
        },
        is_protected: match fields.value("protected_from_deletion") {
            None => before.is_protected,
            Some(_) => fields.flag("protected_from_deletion")?,
        },
        ..before
    })
}

fn view(request: &Request, vhost: &Vhost, ranges: Option<&Ranges>, wants: &dyn Fn(&str) -> bool) -> Value {
    let definition = vhost.definition();
    let default_queue_type = definition.default_queue_type.as_deref().unwrap_or(DEFAULT_QUEUE_TYPE);
    let mut fields = Fields::new(wants);
    fields.put("name", || definition.name.as_str().into());
    fields.put("description", || definition.description.as_str().into());
    fields.put("tags", || definition.tags.clone().into());
    fields.put("default_queue_type", || default_queue_type.into());
    fields.put("protected_from_deletion", || definition.is_protected.into());
    fields.put("metadata", || {
        json!({
            "description": definition.description,
            "tags": definition.tags,
            "default_queue_type": default_queue_type,
        })
    });
    fields.put("tracing", || false.into());
    fields.put("cluster_state", || json!({ (request.node().name.as_str()): "running" }));
    if let Some(ranges) = ranges {
        let curve = vhost.statistics().curve(ranges);
        fields.put_lengths(&curve, ranges);
        fields.put_figures(VHOST_BYTES, &curve, SampleKind::Data, ranges);
        fields.put_message_stats(MessageStats::Channels, &curve, ranges);
    }
    fields.into_value()
}
