//! Exchanges, with the permissions that AMQP asks for.

use std::sync::Arc;

use axum::http::Method;
use serde_json::json;

use super::{
    HttpError,
    answer::{Answer, Answered},
    bindings,
    json::arguments_to_json,
    messages,
    path::exchange_name,
    query::ListQuery,
    rates::{Fields, exchange_stats},
    request::{Request, durable, new_name, refused},
};
use crate::{
    connection::exception::Exception,
    model::{
        binding::Destination,
        exchange::{Exchange, ExchangeKind},
        permission::Operation,
        statistics::Ranges,
        topology::ALTERNATE_EXCHANGE,
    },
    vhost::Vhost,
};

/// `exchanges`, `exchanges/{vhost}`, `exchanges/{vhost}/{exchange}`, `…/publish`, `…/bindings/source`,
/// `…/bindings/destination`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => list(request, &request.vhosts()).await,
        ([vhost], &Method::GET) => list(request, &[request.vhost(vhost)?]).await,
        ([vhost, exchange], &Method::GET) => show(request, vhost, exchange),
        ([vhost, exchange], &Method::PUT) => declare(request, vhost, exchange_name(exchange)).await,
        ([vhost, exchange], &Method::DELETE) => delete(request, vhost, exchange).await,
        ([vhost, exchange, "publish"], &Method::POST) => messages::publish(request, vhost, exchange).await,
        ([vhost, exchange, "bindings", "source"], &Method::GET) => {
            list_bindings_of_source(request, vhost, exchange)
        }
        ([vhost, exchange, "bindings", "destination"], &Method::GET) => {
            let vhost = request.vhost(vhost)?;
            let exchange = vhost.exchange(exchange_name(exchange));
            let to_exchange =
                |exchange: Exchange| vhost.bindings_of_destination(&Destination::Exchange(exchange.name));
            Ok(bindings::listing(&vhost, exchange.map(to_exchange).unwrap_or_default()))
        }
        _ => Err(HttpError::ObjectNotFound),
    }
}

async fn list(request: &Request, vhosts: &[Arc<Vhost>]) -> Answered {
    let query = ListQuery::parse(&request.query)?;
    let ranges = request.wanted_ranges()?;
    let mut exchanges = Vec::new();
    for (place, vhost) in vhosts.iter().enumerate() {
        exchanges.extend(vhost.exchanges().into_iter().map(|exchange| (place, vhost, exchange)));
    }
    let listing = query.list(
        exchanges,
        |(one_vhost, _, one), (vhost, _, other)| one_vhost.cmp(vhost).then_with(|| one.name.cmp(&other.name)),
        |(.., exchange)| &exchange.name,
        |(_, vhost, exchange), wants| view(vhost, exchange, ranges.as_ref(), wants).into_value(),
    );
    Ok(Answer::Selected(listing.await?))
}

fn show(request: &Request, vhost: &str, name: &str) -> Answered {
    let (vhost, exchange) = find(request, vhost, name)?;
    let ranges = request.wanted_ranges()?;
    let mut fields = view(&vhost, &exchange, ranges.as_ref(), &|_| true);
    if ranges.is_some() {
        // What came over which channel and went to which queue is not counted.
        fields.put("incoming", || json!([]));
        fields.put("outgoing", || json!([]));
    }
    Ok(Answer::Object(fields.into_value()))
}

async fn declare(request: &Request, vhost: &str, name: &str) -> Answered {
    let vhost = request.vhost_of_new(vhost)?;
    let name = new_name(name)?;
    let fields = request.fields()?;
    let kind = fields.text("type")?.unwrap_or(ExchangeKind::Direct.as_str());
    let kind = ExchangeKind::parse(kind)
        .ok_or_else(|| HttpError::bad_request(format!("invalid exchange type '{kind}'")))?;
    let exchange = Exchange {
        name,
        kind,
        is_durable: fields.flag("durable")?,
        is_auto_delete: fields.flag("auto_delete")?,
        is_internal: fields.flag("internal")?,
        arguments: fields.arguments()?,
    };
    let is_new = vhost.exchange(&exchange.name).is_none();
    if is_new {
        let room = request.node().check_exchange_room();
        room.map_err(|max| refused(&Exception::of_exchange_limit(&exchange.name, vhost.name(), max)))?;
    }
    let alternate_exchange = exchange.arguments.text(ALTERNATE_EXCHANGE).filter(|_| is_new);
    let operation = Operation::DeclareExchange { exchange: &exchange.name, alternate_exchange };
    request.authorize(&vhost, &operation)?;
    let declared = vhost.declare_exchange(exchange);
    let ticket = declared.map_err(|error| refused(&Exception::of_exchange(&error, vhost.name())))?;
    durable(ticket).await?;
    Ok(Answer::put(is_new))
}

async fn delete(request: &Request, vhost: &str, name: &str) -> Answered {
    let (vhost, exchange) = find(request, vhost, name)?;
    request.authorize(&vhost, &Operation::DeleteExchange { exchange: &exchange.name })?;
    let deleted = vhost.delete_exchange(&exchange.name, request.has_flag("if-unused"));
    let ticket = deleted.map_err(|error| refused(&Exception::of_exchange_delete(&error, vhost.name())))?;
    durable(ticket).await?;
    Ok(Answer::Done)
}

/// An exchange that is not there has none, says RabbitMQ.
fn list_bindings_of_source(request: &Request, vhost: &str, name: &str) -> Answered {
    let vhost = request.vhost(vhost)?;
    let of_source = match vhost.exchange(exchange_name(name)) {
        None => Vec::new(),
        Some(exchange) if exchange.name.is_empty() => {
            vhost.queues().iter().map(|queue| bindings::implied(&queue.name)).collect()
        }
        Some(exchange) => vhost.bindings_of_source(&exchange.name),
    };
    Ok(bindings::listing(&vhost, of_source))
}

fn find(request: &Request, vhost: &str, name: &str) -> Result<(Arc<Vhost>, Exchange), HttpError> {
    let vhost = request.vhost(vhost)?;
    let exchange = vhost.exchange(exchange_name(name)).ok_or(HttpError::ObjectNotFound)?;
    Ok((vhost, exchange))
}

fn view<'w>(
    vhost: &Vhost,
    exchange: &Exchange,
    ranges: Option<&Ranges>,
    wants: &'w dyn Fn(&str) -> bool,
) -> Fields<'w> {
    let mut fields = Fields::new(wants);
    fields.put("name", || exchange.name.as_str().into());
    fields.put("vhost", || vhost.name().as_str().into());
    fields.put("type", || exchange.kind.as_str().into());
    fields.put("durable", || exchange.is_durable.into());
    fields.put("auto_delete", || exchange.is_auto_delete.into());
    fields.put("internal", || exchange.is_internal.into());
    fields.put("arguments", || arguments_to_json(&exchange.arguments));
    if fields.wants("policy")
        && let Some(policy) = vhost.policy_of_exchange(&exchange.name)
        && let Some(name) = policy.policy.as_deref()
    {
        fields.put("policy", || name.into());
    }
    if let Some(ranges) = ranges.filter(|_| fields.wants("message_stats"))
        && let Some(statistics) = vhost.known_exchange_statistics(&exchange.name)
        && let Some(stats) = exchange_stats(&statistics.curve(ranges), ranges)
    {
        fields.put("message_stats", || stats);
    }
    fields
}
