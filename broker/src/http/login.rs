//! Logging in, passwords and attempts.

use std::{net::IpAddr, sync::atomic::Ordering::Relaxed};

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    Api, HttpError,
    answer::{Answer, Answered},
    auth::{Caller, Right},
    cluster::find_node,
    credentials::Credentials,
    form,
    request::Request,
};
use crate::{
    connection::statistics::LoginCounts,
    model::user::{HashingAlgorithm, PasswordHash},
};

/// `login`, for a form with `username` and `password`: whether they are right.
///
/// RabbitMQ sets a cookie that holds the password. Here every request brings its own `authorization`: a page of
/// somebody else's cannot make a browser use what it does not have.
pub(super) fn log_in(api: &Api, form: &[u8], peer: Option<IpAddr>) -> Answered {
    let field = |name: &[u8]| form::pairs(form).find(|(key, _)| key == name).map(|(_, value)| value);
    let failed = || HttpError::LoginFailed;
    let user = String::from_utf8(field(b"username").ok_or_else(failed)?).map_err(|_| failed())?;
    let credentials = Credentials { user, password: field(b"password").ok_or_else(failed)? };
    Caller::with_credentials(&api.node, &credentials, peer)?;
    Ok(Answer::Object("ok".into()))
}

/// `auth`, `auth/hash_password/{password}`, `auth/attempts/{node}`, `auth/attempts/{node}/source`
pub(super) fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], _) => Ok(Answer::Object(json!({ "oauth_enabled": false }))),
        (["hash_password", password], _) => hash(password),
        (["attempts", node, of @ ..], method) => {
            request.require(Right::Monitoring)?;
            find_node(request, node)?;
            match (of, method) {
                // Attempts are not counted by source: neither does RabbitMQ unless it is told to.
                (["source"], &Method::GET) => Ok(Answer::Listing(Vec::new())),
                (["source"], _) => Ok(Answer::Done),
                (_, &Method::GET) => Ok(attempts(request)),
                (_, _) => Ok(reset_attempts(request)),
            }
        }
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// What a user's `password_hash` may be; with another salt every time.
fn hash(password: &str) -> Answered {
    let hash = PasswordHash::new(password.as_bytes(), rand::random(), HashingAlgorithm::Sha256);
    let hash = hash.map_err(|_| HttpError::bad_request("a blank password lets nobody in"))?;
    Ok(Answer::Object(json!({ "ok": hash.to_base64() })))
}

fn attempts(request: &Request) -> Answer {
    let view = |(protocol, logins): (&str, &LoginCounts)| -> Value {
        let (succeeded, failed) = (logins.succeeded.load(Relaxed), logins.failed.load(Relaxed));
        json!({
            "protocol": protocol,
            "auth_attempts": succeeded + failed,
            "auth_attempts_failed": failed,
            "auth_attempts_succeeded": succeeded,
        })
    };
    Answer::Listing(logins(request).map(view).to_vec())
}

fn reset_attempts(request: &Request) -> Answer {
    logins(request).iter().for_each(|(_, logins)| logins.reset());
    Answer::Done
}

fn logins(request: &Request) -> [(&'static str, &LoginCounts); 2] {
    let statistics = &request.node().statistics;
    [("http", &statistics.http_logins), ("amqp091", &statistics.amqp_logins)]
}
