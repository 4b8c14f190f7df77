//! Exchanges, with the permissions that AMQP asks for.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    bindings,
    json::arguments_to_json,
    messages,
    path::exchange_name,
    request::{Request, durable, new_name, not_allowed, refused},
};
use crate::{
    connection::exception::Exception,
    model::{
        binding::Destination,
        exchange::{Exchange, ExchangeKind},
        permission::Operation,
        topology::ALTERNATE_EXCHANGE,
    },
    vhost::Vhost,
};

/// `exchanges`, `exchanges/{vhost}`, `exchanges/{vhost}/{exchange}`, `…/publish`, `…/bindings/source`,
/// `…/bindings/destination`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => Ok(list(&request.vhosts())),
        ([vhost], &Method::GET) => Ok(list(&[request.vhost(vhost)?])),
        ([vhost, exchange], &Method::GET) => {
            let (vhost, exchange) = find(request, vhost, exchange)?;
            Ok(Answer::Object(view(&vhost, &exchange)))
        }
        ([vhost, exchange], &Method::PUT) => declare(request, vhost, exchange_name(exchange)).await,
        ([vhost, exchange], &Method::DELETE) => delete(request, vhost, exchange).await,
        ([_, _], _) => not_allowed("HEAD, GET, PUT, DELETE, OPTIONS"),
        ([vhost, exchange, "publish"], &Method::POST) => messages::publish(request, vhost, exchange).await,
        ([_, _, "publish"], _) => not_allowed("POST, OPTIONS"),
        ([vhost, exchange, "bindings", "source"], &Method::GET) => {
            list_bindings_of_source(request, vhost, exchange)
        }
        ([vhost, exchange, "bindings", "destination"], &Method::GET) => {
            let (vhost, exchange) = find(request, vhost, exchange)?;
            let to_exchange = vhost.bindings_of_destination(&Destination::Exchange(exchange.name));
            Ok(bindings::listing(&vhost, to_exchange))
        }
        ([] | [_] | [_, _, "bindings", "source" | "destination"], _) => not_allowed("HEAD, GET, OPTIONS"),
        _ => Err(HttpError::ObjectNotFound),
    }
}

fn list(vhosts: &[Arc<Vhost>]) -> Answer {
    let of_vhost = |vhost: &Arc<Vhost>| {
        vhost.exchanges().iter().map(|exchange| view(vhost, exchange)).collect::<Vec<_>>()
    };
    Answer::Pages(vhosts.iter().flat_map(of_vhost).collect())
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

fn list_bindings_of_source(request: &Request, vhost: &str, name: &str) -> Answered {
    let (vhost, exchange) = find(request, vhost, name)?;
    let of_source = match exchange.name.is_empty() {
        true => vhost.queues().iter().map(|queue| bindings::implied(&queue.name)).collect(),
        false => vhost.bindings_of_source(&exchange.name),
    };
    Ok(bindings::listing(&vhost, of_source))
}

fn find(request: &Request, vhost: &str, name: &str) -> Result<(Arc<Vhost>, Exchange), HttpError> {
    let vhost = request.vhost(vhost)?;
    let exchange = vhost.exchange(exchange_name(name)).ok_or(HttpError::ObjectNotFound)?;
    Ok((vhost, exchange))
}

fn view(vhost: &Vhost, exchange: &Exchange) -> Value {
    let mut object = json!({
        "name": exchange.name.as_str(),
        "vhost": vhost.name().as_str(),
        "type": exchange.kind.as_str(),
        "durable": exchange.is_durable,
        "auto_delete": exchange.is_auto_delete,
        "internal": exchange.is_internal,
        "arguments": arguments_to_json(&exchange.arguments),
    });
    let policy = vhost.policy_of_exchange(&exchange.name);
    if let Some(policy) = policy.as_deref().and_then(|policy| policy.policy.as_deref()) {
        object["policy"] = policy.into();
    }
    object
}
