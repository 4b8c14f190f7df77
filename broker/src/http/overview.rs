//! The broker at a glance, and other facts that are not about one object.

use std::{net::SocketAddr, sync::Arc};

use serde_json::{Value, json};

use super::{
    Api, HttpError,
    answer::{Answer, Answered},
    auth::Right,
    connections,
    rates::{CHURN, Fields, overview_stats},
    request::Request,
};
use crate::{
    model::statistics::{Curve, SampleKind},
    product,
    vhost::Vhost,
};

/// `overview`, `whoami`, `version`, `extensions`
pub(super) fn answer(request: &Request, name: &str) -> Answered {
    Ok(match name {
        "overview" => Answer::Object(overview(request)?),
        "whoami" => Answer::Object(whoami(request)),
        "version" => Answer::Object(product::COMPATIBLE_VERSION.into()),
        "extensions" => Answer::Listing(Vec::new()),
        _ => return Err(HttpError::ObjectNotFound),
    })
}

/// A port that somebody listens on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener {
    /// `amqp`, `http` or `http/prometheus`.
    pub(super) protocol: &'static str,
    pub(super) address: SocketAddr,
}

impl Listener {
    /// All of them.
    pub(super) fn all(api: &Api) -> Vec<Self> {
        let of = |protocol| move |address: &SocketAddr| Self { protocol, address: *address };
        let mut listeners: Vec<_> = api.amqp_addresses.iter().map(of("amqp")).collect();
        listeners.push(of("http")(&api.http_address));
        listeners.extend(api.prometheus_address.iter().map(of("http/prometheus")));
        listeners
    }
}

/// The exchange types as overview and node list them.
pub(super) fn exchange_types() -> Value {
    let of_type = |name| {
        let description = format!("AMQP {name} exchange, as per the AMQP specification");
        json!({ "name": name, "description": description, "enabled": true })
    };
    ["direct", "fanout", "headers", "topic"].map(of_type).to_vec().into()
}

/// What answers HTTP.
pub(super) fn contexts(request: &Request) -> Value {
    let api = &request.api;
    let context = |description: &str, address: SocketAddr| {
        json!({
            "ssl_opts": [],
            "node": request.node().name,
            "description": description,
            "path": "/",
            "ip": address.ip().to_string(),
            "port": address.port().to_string(),
        })
    };
    let mut contexts = vec![context("RabbitMQ Management", api.http_address)];
    contexts.extend(api.prometheus_address.map(|address| context("RabbitMQ Prometheus", address)));
    contexts.into()
}

/// Who does not monitor sees sums over its own vhosts and connections, and neither node nor listeners.
fn overview(request: &Request) -> Result<Value, HttpError> {
    let node = request.node();
    let has_stats = !request.is_without_stats();
    let mut object = json!({
        "management_version": product::COMPATIBLE_VERSION,
        "rates_mode": "basic",
        "sample_retention_policies":
            { "global": [600, 3_600, 28_800, 86_400], "basic": [600, 3_600], "detailed": [600] },
        "exchange_types": exchange_types(),
        "product_name": product::NAME,
        "product_version": product::VERSION,
        "rabbitmq_version": product::COMPATIBLE_VERSION,
        "cluster_name": node.cluster_name(),
        "cluster_tags": {},
        "node_tags": {},
        // There is no Erlang, but strict clients insist on a text.
        "erlang_version": "none",
        "erlang_full_version": "none",
        "default_queue_type": "classic",
        "is_op_policy_updating_enabled": false,
        "disable_stats": !has_stats,
        "enable_queue_totals": request.has_flag("enable_queue_totals"),
    });
    add_stats(request, has_stats, &mut object)?;
    if request.api.unsafe_no_fsync {
        object["unsafe_no_fsync"] = true.into();
    }
    if request.caller.has(Right::Monitoring) {
        object["node"] = node.name.as_str().into();
        object["listeners"] = listeners(request);
        object["contexts"] = contexts(request);
    }
    Ok(object)
}

/// Sums over the vhosts that the caller sees. What happened up to now is looked at before.
fn add_stats(request: &Request, has_stats: bool, object: &mut Value) -> Result<(), HttpError> {
    request.node().sample();
    let ranges = request.ranges()?;
    let vhosts = match request.caller.has(Right::Monitoring) {
        true => request.broker().vhosts(),
        false => request.vhosts(),
    };
    if has_stats {
        let mut curve = Curve::zero(&ranges);
        vhosts.iter().for_each(|vhost| curve.add(&vhost.statistics().curve(&ranges)));
        let all = |_: &str| true;
        let (mut queue_totals, mut churn_rates) = (Fields::new(&all), Fields::new(&all));
        queue_totals.put_lengths(&curve, &ranges);
        let churn = request.node().churn_curve(&ranges);
        churn_rates.put_figures(CHURN, &churn, SampleKind::Messages, &ranges);
        object["message_stats"] = overview_stats(&curve, &ranges);
        object["churn_rates"] = churn_rates.into_value();
        object["queue_totals"] = queue_totals.into_value();
    }
    object["object_totals"] = object_totals(request, &vhosts, has_stats);
    if has_stats {
        object["statistics_db_event_queue"] = 0.into();
    }
    Ok(())
}

/// Channels and consumers count as statistics.
fn object_totals(request: &Request, vhosts: &[Arc<Vhost>], has_stats: bool) -> Value {
    let connections = connections::visible(request, None);
    let mut totals = json!({
        "connections": connections.len(),
        "exchanges": vhosts.iter().map(|vhost| vhost.exchange_count()).sum::<usize>(),
        "queues": vhosts.iter().map(|vhost| vhost.queue_count()).sum::<usize>(),
    });
    if has_stats {
        let channels = connections.iter().map(|info| info.read(|facts| facts.channels.len()));
        totals["channels"] = channels.sum::<usize>().into();
        totals["consumers"] = vhosts.iter().map(|vhost| vhost.statistics().consumers()).sum::<u64>().into();
    }
    totals
}

fn listeners(request: &Request) -> Value {
    let view = |Listener { protocol, address }| {
        json!({
            "node": request.node().name,
            "protocol": protocol,
            "ip_address": address.ip().to_string(),
            "port": address.port(),
            "socket_opts": {},
        })
    };
    Listener::all(&request.api).into_iter().map(view).collect()
}

/// At the control socket nobody has logged in: the name is blank.
fn whoami(request: &Request) -> Value {
    match request.caller.user() {
        Some(user) => json!({ "name": user.as_str(), "tags": request.caller.tags() }),
        None => json!({ "name": "", "tags": ["administrator"] }),
    }
}
