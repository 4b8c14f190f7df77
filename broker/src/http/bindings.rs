//! Bindings, the default exchange's implied ones included.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    json::arguments_to_json,
    path::exchange_name,
    properties_key::{is_properties_key_of, location, properties_key},
    request::{Request, durable, new_name, refused},
};
use crate::{
    connection::exception::Exception,
    model::{
        binding::{Binding, Destination},
        name::Name,
        permission::Operation,
    },
    vhost::Vhost,
};

/// `bindings`, `bindings/{vhost}`, `bindings/{vhost}/e/{source}/{q or e}/{destination}`, `…/{properties key}`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => list(request, request.vhosts()).await,
        ([vhost], &Method::GET) => list(request, vec![request.vhost(vhost)?]).await,
        ([vhost, "e", source, kind @ ("q" | "e"), destination, key @ ..], method) if key.len() < 2 => {
            let ends = || Ends::find(request, vhost, source, kind, destination);
            match (key, method) {
                ([], &Method::GET) => list_between(request, vhost, ends()),
                ([], _) => bind(request, ends()?).await,
                ([key, ..], &Method::DELETE) => unbind(request, &ends()?, key).await,
                ([key, ..], _) => {
                    let ends = ends()?;
                    Ok(Answer::Object(view(&ends.vhost, &ends.binding(key)?)))
                }
            }
        }
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// The binding that every queue has to the default exchange.
pub(super) fn implied(queue: &Name) -> Binding {
    Binding {
        source: Name::literal(""),
        destination: Destination::Queue(queue.clone()),
        binding_key: queue.clone(),
        arguments: Default::default(),
    }
}

/// Bindings of one vhost, sorted by their ends and key.
pub(super) fn listing(vhost: &Vhost, bindings: Vec<Binding>) -> Answer {
    Answer::Listing(views(vhost, bindings))
}

/// Both ends of a binding, which are there.
struct Ends {
    vhost: Arc<Vhost>,
    source: Name,
    destination: Destination,
}

impl Ends {
    fn find(
        request: &Request,
        vhost: &str,
        source: &str,
        kind: &str,
        destination: &str,
    ) -> Result<Self, HttpError> {
        let vhost = request.vhost(vhost)?;
        let exchange = |name: &str| {
            let exchange = vhost.exchange(exchange_name(name)).ok_or(HttpError::ObjectNotFound)?;
            Ok::<_, HttpError>(exchange.name)
        };
        let source = exchange(source)?;
        let destination = match kind {
            "e" => Destination::Exchange(exchange(destination)?),
            _ => {
                let queue = vhost.queue(destination).ok_or(HttpError::ObjectNotFound)?;
                Destination::Queue(queue.name.clone())
            }
        };
        Ok(Self { vhost, source, destination })
    }

    fn bindings(&self) -> Vec<Binding> {
        if let (true, Destination::Queue(queue)) = (self.source.is_empty(), &self.destination) {
            return vec![implied(queue)];
        }
        let mut bindings = self.vhost.bindings_of_destination(&self.destination);
        bindings.retain(|binding| binding.source == self.source);
        bindings
    }

    fn binding(&self, key: &str) -> Result<Binding, HttpError> {
        let found = self.bindings().into_iter().find(|binding| is_properties_key_of(key, binding));
        found.ok_or(HttpError::ObjectNotFound)
    }
}

/// Between ends that are not there, there are none, says RabbitMQ.
fn list_between(request: &Request, vhost: &str, ends: Result<Ends, HttpError>) -> Answered {
    let vhost = request.vhost(vhost)?;
    match ends {
        Ok(ends) => Ok(listing(&vhost, ends.bindings())),
        Err(HttpError::ObjectNotFound) => Ok(listing(&vhost, Vec::new())),
        Err(error) => Err(error),
    }
}

async fn list(request: &Request, vhosts: Vec<Arc<Vhost>>) -> Answered {
    let of_vhost = |vhost: &Arc<Vhost>| {
        let implied = vhost.queues().into_iter().map(|queue| implied(&queue.name));
        views(vhost, implied.chain(vhost.bindings()).collect())
    };
    request.aside(move || Answer::Listing(vhosts.iter().flat_map(of_vhost).collect())).await
}

async fn bind(request: &Request, ends: Ends) -> Answered {
    let fields = request.fields()?;
    let key = fields.text("routing_key")?.unwrap_or_default();
    let binding = Binding {
        source: ends.source,
        destination: ends.destination,
        binding_key: new_name(key)?,
        arguments: fields.arguments()?,
    };
    let vhost = ends.vhost;
    let (source, name) = (binding.source.as_str(), binding.destination.name().as_str());
    let operation = match &binding.destination {
        Destination::Queue(_) => Operation::BindQueue { exchange: source, queue: name },
        Destination::Exchange(_) => Operation::BindExchange { source, destination: name },
    };
    request.authorize(&vhost, &operation)?;
    request.authorize_binding(&vhost, &binding)?;
    check_unlocked(request, &vhost, &binding.destination)?;
    let location = location(&binding);
    let bound = vhost.bind(binding);
    durable(bound.map_err(|error| refused(&Exception::of_bind(&error, vhost.name())))?).await?;
    Ok(Answer::Created(Some(location)))
}

async fn unbind(request: &Request, ends: &Ends, key: &str) -> Answered {
    let binding = ends.binding(key)?;
    let (source, name) = (binding.source.as_str(), binding.destination.name().as_str());
    let operation = match &binding.destination {
        Destination::Queue(_) => Operation::UnbindQueue { exchange: source, queue: name },
        Destination::Exchange(_) => Operation::UnbindExchange { source, destination: name },
    };
    request.authorize(&ends.vhost, &operation)?;
    request.authorize_binding(&ends.vhost, &binding)?;
    check_unlocked(request, &ends.vhost, &binding.destination)?;
    let unbound = ends.vhost.unbind(&binding);
    durable(unbound.map_err(|error| refused(&Exception::of_bind(&error, ends.vhost.name())))?).await?;
    Ok(Answer::Done)
}

/// An exclusive queue is bound by its connection alone.
fn check_unlocked(request: &Request, vhost: &Vhost, destination: &Destination) -> Result<(), HttpError> {
    let Destination::Queue(queue) = destination else { return Ok(()) };
    let used = vhost.queue_for(queue, request.broker().next_connection_id());
    used.map(|_| ()).map_err(|error| refused(&Exception::of_queue(&error, queue, vhost.name())))
}

fn views(vhost: &Vhost, mut bindings: Vec<Binding>) -> Vec<Value> {
    bindings.sort_by(|one, other| sort_key(one).cmp(&sort_key(other)));
    bindings.iter().map(|binding| view(vhost, binding)).collect()
}

fn sort_key(binding: &Binding) -> (&str, &str, &str, &str) {
    let Binding { source, destination, binding_key, .. } = binding;
    (source, destination.kind(), destination.name(), binding_key)
}

fn view(vhost: &Vhost, binding: &Binding) -> Value {
    json!({
        "source": binding.source.as_str(),
        "vhost": vhost.name().as_str(),
        "destination": binding.destination.name().as_str(),
        "destination_type": binding.destination.kind(),
        "routing_key": binding.binding_key.as_str(),
        "arguments": arguments_to_json(&binding.arguments),
        "properties_key": properties_key(binding),
    })
}
