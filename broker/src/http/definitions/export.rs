//! What a file of definitions holds, in the form of RabbitMQ 4.x, which 3.x reads, too.
//!
//! Left out are exclusive queues, the broker's own exchanges, and the bindings that every queue has to the default
//! exchange. RabbitMQ's HTTP API and its command line differ in whether transient queues and internal exchanges are in
//! it; here all are.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::IMPORTED;
use crate::{
    connection::registry::Node,
    http::{
        json::arguments_to_json, limits, parameters, permissions, policies, topic_permissions, users, vhosts,
    },
    model::{
        binding::{Binding, Destination},
        exchange::Exchange,
        name::Name,
        policy::PolicyKind,
    },
    product,
    vhost::{Vhost, broker::Broker, queue::SharedQueue},
};

/// Everything.
pub(super) fn all(node: &Node) -> Value {
    let broker = &*node.broker;
    let cluster_name = node.cluster_name();
    let mut object = heading("cluster");
    object.insert("original_cluster_name".into(), cluster_name.as_str().into());
    object.insert("explanation".into(), format!("Definitions of cluster '{cluster_name}'").into());
    let vhosts = broker.vhosts();
    let access = broker.access();
    let (users, grants, topic_grants) = (access.users(), access.grants(), access.topic_grants());
    drop(access);
    let mut list = |key: &str, values: Vec<Value>| object.insert(key.to_owned(), values.into());
    list("users", users.iter().map(users::view).collect());
    list("vhosts", vhosts.iter().map(|vhost| vhost_view(vhost)).collect());
    list("permissions", grants.iter().map(permissions::view).collect());
    list("topic_permissions", topic_grants.iter().map(topic_permissions::view).collect());
    let globals = broker.global_parameters();
    let globals = globals.iter().filter(|parameter| parameter.name.as_str() != IMPORTED);
    let contents: Vec<Contents> = vhosts.iter().map(|vhost| Contents::of(broker, vhost)).collect();
    let mut parts: [Vec<Value>; 5] = Default::default();
    for Contents { parameters, policies, queues, exchanges, bindings } in contents {
        for (part, values) in parts.iter_mut().zip([parameters, policies, queues, exchanges, bindings]) {
            part.extend(values);
        }
    }
    let [parameters, policies, queues, exchanges, bindings] = parts;
    list("parameters", parameters);
    list("global_parameters", globals.map(parameters::global_view).collect());
    list("policies", policies);
    list("queues", queues);
    list("exchanges", exchanges);
    list("bindings", bindings);
    object.into()
}

/// What is in one vhost; the objects do not name it, so that they can be imported into another.
pub(super) fn of_vhost(broker: &Broker, vhost: &Vhost) -> Value {
    let mut object = heading("single_virtual_host");
    let definition = vhost.definition();
    let Value::Object(mut view) = vhost_view(vhost) else { return object.into() };
    object.insert("original_vhost_name".into(), definition.name.as_str().into());
    object.insert("explanation".into(), format!("Definitions of virtual host '{}'", definition.name).into());
    for key in ["metadata", "description", "default_queue_type"] {
        object.insert(key.into(), view.remove(key).unwrap_or_default());
    }
    object.insert("limits".into(), limits::view(&definition.limits));
    let Contents { parameters, policies, queues, exchanges, bindings } = Contents::of(broker, vhost);
    let parts = [
        ("parameters", parameters),
        ("policies", policies),
        ("queues", queues),
        ("exchanges", exchanges),
        ("bindings", bindings),
    ];
    for (key, mut values) in parts {
        for value in values.iter_mut().filter_map(Value::as_object_mut) {
            value.shift_remove("vhost");
        }
        object.insert(key.to_owned(), values.into());
    }
    object.into()
}

/// What is in a vhost.
struct Contents {
    parameters: Vec<Value>,
    policies: Vec<Value>,
    queues: Vec<Value>,
    exchanges: Vec<Value>,
    bindings: Vec<Value>,
}

impl Contents {
    fn of(broker: &Broker, vhost: &Vhost) -> Self {
        let queues = vhost.queues();
        let exclusive: HashSet<&Name> =
            queues.iter().filter(|queue| queue.options.is_exclusive).map(|queue| &queue.name).collect();
        let is_exported = |binding: &Binding| match &binding.destination {
            Destination::Queue(queue) => !exclusive.contains(queue),
            Destination::Exchange(_) => true,
        };
        let mut bindings = vhost.bindings();
        bindings.retain(is_exported);
        let arguments = |binding: &Binding| arguments_to_json(&binding.arguments).to_string();
        bindings.sort_by(|one, other| {
            order_of(one).cmp(&order_of(other)).then_with(|| arguments(one).cmp(&arguments(other)))
        });
        let exported = queues.iter().filter(|queue| !queue.options.is_exclusive);
        let exchanges = vhost.exchanges();
        let own = exchanges.iter().filter(|exchange| !exchange.is_predeclared());
        Self {
            parameters: parameters::views(broker, vhost),
            policies: vhost
                .policies(PolicyKind::User)
                .iter()
                .map(|policy| policies::view(vhost, policy))
                .collect(),
            queues: exported.map(|queue| queue_view(vhost, queue)).collect(),
            exchanges: own.map(|exchange| exchange_view(vhost, exchange)).collect(),
            bindings: bindings.iter().map(|binding| binding_view(vhost, binding)).collect(),
        }
    }
}

fn heading(format: &str) -> Map<String, Value> {
    let entries = [
        ("rabbit_version", product::COMPATIBLE_VERSION),
        ("rabbitmq_version", product::COMPATIBLE_VERSION),
        ("product_name", product::NAME),
        ("product_version", product::VERSION),
        ("rabbitmq_definition_format", format),
    ];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
}

fn vhost_view(vhost: &Vhost) -> Value {
    let definition = vhost.definition();
    let queue_type = definition.default_queue_type.as_deref().unwrap_or(vhosts::DEFAULT_QUEUE_TYPE);
    let mut view = json!({
        "name": definition.name.as_str(),
        "description": definition.description,
        "metadata": {
            "description": definition.description,
            "tags": definition.tags,
            "default_queue_type": queue_type,
        },
        "tags": definition.tags,
        "default_queue_type": queue_type,
    });
    if definition.is_protected {
        view["metadata"]["protected_from_deletion"] = true.into();
    }
    view
}

fn queue_view(vhost: &Vhost, queue: &SharedQueue) -> Value {
    let options = &queue.options;
    json!({
        "name": queue.name.as_str(),
        "vhost": vhost.name().as_str(),
        "durable": options.is_durable,
        "auto_delete": options.is_auto_delete,
        "arguments": arguments_to_json(&options.arguments),
    })
}

fn exchange_view(vhost: &Vhost, exchange: &Exchange) -> Value {
    json!({
        "name": exchange.name.as_str(),
        "vhost": vhost.name().as_str(),
        "type": exchange.kind.as_str(),
        "durable": exchange.is_durable,
        "auto_delete": exchange.is_auto_delete,
        "internal": exchange.is_internal,
        "arguments": arguments_to_json(&exchange.arguments),
    })
}

fn binding_view(vhost: &Vhost, binding: &Binding) -> Value {
    json!({
        "source": binding.source.as_str(),
        "vhost": vhost.name().as_str(),
        "destination": binding.destination.name().as_str(),
        "destination_type": binding.destination.kind(),
        "routing_key": binding.binding_key.as_str(),
        "arguments": arguments_to_json(&binding.arguments),
    })
}

fn order_of(binding: &Binding) -> (&str, &str, &str, &str) {
    let Binding { source, destination, binding_key, .. } = binding;
    (source, destination.kind(), destination.name(), binding_key)
}
