//! The table of routes, and a request's way to one.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use tokio::time::timeout;

use super::{
    Api, HttpError, answer,
    answer::{Answer, Answered},
    auth::{Caller, Right},
    bindings, channels, cluster, connections, consumers,
    deeds::Deed,
    definitions, exchanges, health, limits, login, messages, metrics, nodes, overview, own, pages,
    parameters, path, permissions, policies, queues,
    request::Request,
    table, topic_permissions, users, vhosts,
};
use crate::{
    limits::{DEFINITIONS_BODY_MAX, HTTP_BODY_MAX, HTTP_BODY_TIMEOUT, HTTP_FIELDS_MAX, HTTP_FORM_MAX},
    model::policy::PolicyKind,
};

/// Which way a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The port: callers log in. With the peer's address.
    Tcp(Option<SocketAddr>),
    /// The control socket: callers are administrators.
    Control,
}

/// Answers a request.
pub(super) async fn respond(api: Arc<Api>, door: Door, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let is_options = parts.method == Method::OPTIONS;
    let mut response = match take(api, door, parts, body).await {
        Ok(response) => response,
        Err(HttpError::MethodNotAllowed { allow }) if is_options => {
            (StatusCode::OK, [(header::ALLOW, HeaderValue::from_static(allow))]).into_response()
        }
        Err(error) => error.into_response(),
    };
    answer::add_headers(response.headers_mut());
    response
}

async fn take(api: Arc<Api>, door: Door, parts: Parts, body: Body) -> Result<Response, HttpError> {
    let names = path::segments(parts.uri.path())?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let names = match names.as_slice() {
        ["api", names @ ..] if !matches!(names, [] | ["index.html"]) => names,
        ["metrics", names @ ..] => return scrape(&api, door, &parts, names).await,
        names => return pages::answer(&parts.method, names),
    };
    let route = table::find(names).ok_or(HttpError::ObjectNotFound)?;
    if parts.method == Method::OPTIONS || !route.has(&parts.method) {
        return Err(HttpError::MethodNotAllowed { allow: route.allow });
    }
    check_origin(&parts)?;
    let peer = match door {
        Door::Control => None,
        Door::Tcp(peer) => peer,
    };
    if names == ["login"] {
        return log_in(&api, &parts.method, body, peer).await;
    }
    let caller = caller(&api, door, &parts)?;
    let body = read(body, body_max(&caller, names)).await?;
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let request = Request { api, caller, method, query, peer, headers: parts.headers, body };
    if is_large(&request, names) {
        return answer_large(request, names).await;
    }
    let deed = Deed::begin(&request, names);
    let answered = pick(&request, names).await;
    deed.log(&request, names, &answered);
    answered?.into_response(&request.query)
}

/// Whether the answer may be about everything there is.
fn is_large(request: &Request, names: &[&str]) -> bool {
    let has_page = request.parameter("page").is_some();
    request.method == Method::GET
        && match names {
            ["queues" | "exchanges" | "connections" | "channels"] => !has_page,
            ["queues" | "exchanges", _] | ["vhosts", _, "connections" | "channels"] => !has_page,
            // These have no pages, whatever the query asks for.
            ["bindings" | "consumers" | "definitions" | "all-configuration"] => true,
            ["bindings" | "consumers" | "definitions", _] => true,
            [.., "bindings"] | ["exchanges", .., "source" | "destination"] => true,
            _ => false,
        }
}

async fn answer_large(request: Request, names: &[&str]) -> Result<Response, HttpError> {
    let place = request.api.large_answers.place().await.ok_or_else(HttpError::no_place)?;
    let answer = pick(&request, names).await?;
    let Request { api, query, .. } = request;
    let response = api.large_answers.aside(move || answer.into_response(&query)).await;
    Ok(place.hold(response.ok_or_else(HttpError::not_made)??).await)
}

/// What a caller may send to a path, bytes.
fn body_max(caller: &Caller, names: &[&str]) -> usize {
    match names.first() {
        _ if is_import(names) && caller.has(Right::Administrator) => DEFINITIONS_BODY_MAX,
        Some(&"exchanges") if names.last() == Some(&"publish") => HTTP_BODY_MAX,
        _ => HTTP_FIELDS_MAX,
    }
}

fn is_import(names: &[&str]) -> bool {
    matches!(names, ["definitions", ..] | ["all-configuration"] | ["liebre", "definitions"])
}

/// A form with name and password, which need not come with an `authorization`. Logging out is up to the client.
async fn log_in(
    api: &Api,
    method: &Method,
    body: Body,
    peer: Option<SocketAddr>,
) -> Result<Response, HttpError> {
    if *method == Method::DELETE {
        return Answer::Done.into_response("");
    }
    let form = read(body, HTTP_FORM_MAX).await?;
    login::log_in(api, &form, peer.map(|peer| peer.ip()))?.into_response("")
}

/// All of a body, whatever length it announces.
async fn read(body: Body, size_max: usize) -> Result<Bytes, HttpError> {
    let read = timeout(HTTP_BODY_TIMEOUT, to_bytes(body, size_max)).await;
    read.map_err(|_| HttpError::BodyTooSlow)?.map_err(|_| HttpError::BodyTooLarge)
}

/// A browser in which somebody has logged in sends the password along wherever a page leads it. It says where the
/// page came from: what another site's page asks for is not done.
fn check_origin(parts: &Parts) -> Result<(), HttpError> {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let text = |name| parts.headers.get(name).map(HeaderValue::as_bytes);
    let Some(origin) = text(header::ORIGIN) else { return Ok(()) };
    let host = text(header::HOST).unwrap_or_default();
    let is_own = |scheme: &str| origin.strip_prefix(scheme.as_bytes()).is_some_and(|origin| origin == host);
    if is_own("http://") || is_own("https://") { Ok(()) } else { Err(HttpError::ForeignOrigin) }
}

/// Who asks.
fn caller(api: &Api, door: Door, parts: &Parts) -> Result<Caller, HttpError> {
    match door {
        Door::Control => Ok(Caller::Control),
        Door::Tcp(peer) => Caller::log_in(&api.node, &parts.headers, peer.map(|peer| peer.ip())),
    }
}

/// The metrics, for callers who monitor; on a port of their own they are for anybody.
async fn scrape(api: &Arc<Api>, door: Door, parts: &Parts, names: &[&str]) -> Result<Response, HttpError> {
    caller(api, door, parts)?.require(Right::Monitoring)?;
    match parts.method {
        Method::GET | Method::HEAD => {
            let query = parts.uri.query().unwrap_or_default();
            metrics::answer(api, &api.large_answers, names, query).await
        }
        _ => Err(HttpError::MethodNotAllowed { allow: "HEAD, GET, OPTIONS" }),
    }
}

/// The first name is a noun, or what the noun's file holds besides.
async fn pick(request: &Request, names: &[&str]) -> Answered {
    match names {
        ["overview" | "whoami" | "version" | "extensions"] => overview::answer(request, names[0]),
        ["cluster-name"] => parameters::answer_cluster_name(request).await,
        ["aliveness-test", vhost] => messages::test_aliveness(request, vhost).await,
        ["healthchecks", "node", node @ ..] => health::answer_node(request, node).await,
        ["health", "checks", check @ ..] => health::answer(request, check).await,
        ["auth", rest @ ..] => login::answer(request, rest),
        ["feature-flags", rest @ ..] => cluster::answer_feature_flags(request, rest),
        ["deprecated-features", ..] => cluster::answer_deprecated_features(request),
        ["reset", rest @ ..] => cluster::reset(request, rest),
        ["rebalance", ..] => cluster::rebalance(request),
        ["queues", "quorum", rest @ ..] if rest.len() > 2 => cluster::answer_quorum(request, rest),
        ["nodes", rest @ ..] => nodes::answer(request, rest),
        ["users", rest @ ..] => users::answer(request, rest).await,
        ["vhosts", rest @ ..] => vhosts::answer(request, rest).await,
        ["permissions", rest @ ..] => permissions::answer(request, rest).await,
        ["topic-permissions", rest @ ..] => topic_permissions::answer(request, rest).await,
        ["vhost-limits", rest @ ..] => limits::answer_vhosts(request, rest).await,
        ["user-limits", rest @ ..] => limits::answer_users(request, rest).await,
        ["policies", rest @ ..] => policies::answer(request, PolicyKind::User, rest).await,
        ["operator-policies", rest @ ..] => policies::answer(request, PolicyKind::Operator, rest).await,
        ["parameters", rest @ ..] => parameters::answer(request, rest).await,
        ["global-parameters", rest @ ..] => parameters::answer_global(request, rest).await,
        ["definitions", rest @ ..] => definitions::answer(request, rest).await,
        ["all-configuration"] => definitions::answer(request, &[]).await,
        ["exchanges", rest @ ..] => exchanges::answer(request, rest).await,
        ["queues", rest @ ..] => queues::answer(request, rest).await,
        ["bindings", rest @ ..] => bindings::answer(request, rest).await,
        ["connections", rest @ ..] => connections::answer(request, rest).await,
        ["channels", rest @ ..] => channels::answer(request, rest).await,
        ["consumers", rest @ ..] => consumers::answer(request, rest).await,
        ["config", "effective"] => own::answer_effective(request),
        ["liebre", rest @ ..] => own::answer(request, rest).await,
        _ => Err(HttpError::ObjectNotFound),
    }
}
