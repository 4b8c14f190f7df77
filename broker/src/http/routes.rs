//! The table of routes, and a request's way to one.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::{
    Api, HttpError, answer,
    answer::Answered,
    auth::{Caller, Right},
    bindings, channels, connections, consumers, definitions, exchanges, health, limits, nodes, overview, own,
    parameters, path, permissions, policies, queues,
    request::Request,
    topic_permissions, users, vhosts,
};
use crate::{
    limits::{DEFINITIONS_BODY_MAX, HTTP_BODY_MAX},
    model::policy::PolicyKind,
};

/// Which way a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The port: callers log in.
    Tcp,
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
    let ["api", names @ ..] = names.as_slice() else { return Err(HttpError::ObjectNotFound) };
    let caller = match door {
        Door::Control => Caller::Control,
        Door::Tcp => Caller::log_in(&api.node.broker, &parts.headers, peer(&parts))?,
    };
    let body = to_bytes(body, body_max(&caller, names)).await.map_err(|_| HttpError::BodyTooLarge)?;
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let request = Request { api, caller, method, query, headers: parts.headers, body };
    let answer = pick(&request, names).await?;
    answer.into_response(&request.query)
}

/// What a caller may send to a path, bytes.
fn body_max(caller: &Caller, names: &[&str]) -> usize {
    match names.first() {
        Some(&"definitions") if caller.has(Right::Administrator) => DEFINITIONS_BODY_MAX,
        _ => HTTP_BODY_MAX,
    }
}

/// The peer's address, which the listener notes.
fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

/// The first name is a noun, or what the noun's file holds besides.
async fn pick(request: &Request, names: &[&str]) -> Answered {
    match names {
        ["overview" | "whoami" | "version" | "extensions"] => overview::answer(request, names[0]),
        ["cluster-name"] => parameters::answer_cluster_name(request).await,
        ["aliveness-test", ..] => health::answer(request, names),
        ["health", "checks", check @ ..] => health::answer(request, check),
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
        ["connections", rest @ ..] => connections::answer(request, rest),
        ["channels", rest @ ..] => channels::answer(request, rest),
        ["consumers", rest @ ..] => consumers::answer(request, rest),
        ["config", "effective"] => own::answer_effective(request),
        ["liebre", rest @ ..] => own::answer(request, rest),
        _ => Err(HttpError::ObjectNotFound),
    }
}
