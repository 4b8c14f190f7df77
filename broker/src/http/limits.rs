//! Limits of vhosts and of users.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    permissions::existing,
    request::{Request, durable},
};
use crate::{
    model::{
        limit::{LimitName, LimitSet},
        name::Name,
    },
    vhost::{broker::NoSuch, ticket::Ticket},
};

/// `vhost-limits`, `vhost-limits/{vhost}`, `vhost-limits/{vhost}/{name}`
pub(super) async fn answer_vhosts(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => {
            let sees_all = request.caller.has(Right::Monitoring);
            let vhosts = if sees_all { request.broker().vhosts() } else { request.vhosts() };
            let limits = vhosts.iter().map(|vhost| (vhost.name().clone(), vhost.definition().limits));
            Ok(listing("vhost", limits))
        }
        ([vhost], &Method::GET) => {
            let vhost = match request.caller.has(Right::Monitoring) {
                true => request.broker().vhost(vhost).ok_or(HttpError::ObjectNotFound)?,
                false => request.vhost(vhost)?,
            };
            Ok(listing("vhost", [(vhost.name().clone(), vhost.definition().limits)]))
        }
        ([vhost, limit], &Method::PUT) => put(request, OF_VHOSTS, vhost, limit).await,
        ([vhost, limit], &Method::DELETE) => delete(request, OF_VHOSTS, vhost, limit).await,
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// `user-limits`, `user-limits/{user}`, `user-limits/{user}/{name}`. Who may only manage sees their own.
pub(super) async fn answer_users(request: &Request, names: &[&str]) -> Answered {
    let is_shown = |user: &Name| request.caller.has(Right::Monitoring) || request.caller.is(Some(user));
    match (names, &request.method) {
        ([], &Method::GET) => {
            let users = request.broker().access().users();
            let shown = users.into_iter().filter(|user| is_shown(&user.name));
            Ok(listing("user", shown.map(|user| (user.name, user.limits))))
        }
        ([user], &Method::GET) => {
            let user = request.broker().access().user(user).cloned();
            let user = user.filter(|user| is_shown(&user.name)).ok_or(HttpError::ObjectNotFound)?;
            Ok(listing("user", [(user.name, user.limits)]))
        }
        ([user, limit], &Method::PUT) => put(request, OF_USERS, user, limit).await,
        ([user, limit], &Method::DELETE) => delete(request, OF_USERS, user, limit).await,
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// Limits as an object.
pub(super) fn view(limits: &LimitSet) -> Value {
    limits.iter().map(|(name, value)| (name.as_str().to_owned(), value.into())).collect::<Map<_, _>>().into()
}

/// Limits of a user from an object.
pub(super) fn parse_user_limits(value: &Value) -> Result<LimitSet, HttpError> {
    let object = value.as_object().ok_or_else(|| HttpError::bad_value("not_an_object", value))?;
    object.iter().map(|(name, value)| OF_USERS.parse(name, value)).collect()
}

/// Limits of a vhost from an object. An empty array is one, too: RabbitMQ's own exports have it.
pub(super) fn parse_vhost_limits(value: &Value) -> Result<LimitSet, HttpError> {
    match value {
        Value::Array(array) if array.is_empty() => Ok(LimitSet::default()),
        Value::Object(object) => object.iter().map(|(name, value)| OF_VHOSTS.parse(name, value)).collect(),
        _ => Err(HttpError::bad_value("not_an_object", value)),
    }
}

/// Whose limits.
#[derive(Clone, Copy)]
struct Kind {
    names: &'static [LimitName],
    /// As refusals call them.
    noun: &'static str,
    /// What refusals begin and end with.
    frame: [&'static str; 2],
    change: fn(&Request, &Name, Change) -> Result<Option<Ticket>, NoSuch>,
    missing: fn(&str) -> HttpError,
}

type Change = Box<dyn FnOnce(&mut LimitSet)>;

const OF_VHOSTS: Kind = Kind {
    names: LimitName::OF_VHOSTS,
    noun: "limits",
    frame: ["Validation failed\n\n", "\n"],
    change: |request, name, change| request.broker().change_vhost_limits(name, change),
    missing: |_| HttpError::NotFound("vhost_not_found".to_owned()),
};

const OF_USERS: Kind = Kind {
    names: LimitName::OF_USERS,
    noun: "user-limits",
    frame: ["", ""],
    change: |request, name, change| request.broker().change_user_limits(name, change),
    missing: |name| HttpError::bad_value("no_such_user", &name.into()),
};

impl Kind {
    /// A limit from a name and its value, in RabbitMQ's words when it is none.
    fn parse(self, name: &str, value: &Value) -> Result<(LimitName, i64), HttpError> {
        let refused = |reason: String| {
            let [before, after] = self.frame;
            HttpError::bad_request(format!("{before}{reason}{after}"))
        };
        let limit = LimitName::parse(name).filter(|limit| self.names.contains(limit)).ok_or_else(|| {
            refused(format!("Unrecognised terms [{{<<\"{name}\">>,{}}}] in {}", erlang(value), self.noun))
        })?;
        let number = value.as_i64();
        let number = number
            .ok_or_else(|| refused(format!("{name} should be a number, actually was {}", erlang(value))))?;
        Ok((limit, number))
    }
}

async fn put(request: &Request, kind: Kind, owner: &str, limit: &str) -> Answered {
    request.require(Right::Administrator)?;
    let owner = Name::parse(owner).map_err(|_| (kind.missing)(owner))?;
    let fields = request.fields()?;
    fields.require(&["value"])?;
    let (name, value) = kind.parse(limit, fields.value("value").unwrap_or(&Value::Null))?;
    let changed = (kind.change)(request, &owner, Box::new(move |limits| limits.set(name, value)));
    durable(changed.map_err(|_| (kind.missing)(&owner))?).await?;
    Ok(Answer::Done)
}

/// A limit that is not there counts as deleted.
async fn delete(request: &Request, kind: Kind, owner: &str, limit: &str) -> Answered {
    request.require(Right::Administrator)?;
    let owner = existing(owner)?;
    let name = LimitName::parse(limit);
    let clear = move |limits: &mut LimitSet| name.into_iter().for_each(|name| limits.clear(name));
    let changed = (kind.change)(request, &owner, Box::new(clear));
    durable(changed.map_err(|_| HttpError::ObjectNotFound)?).await?;
    Ok(Answer::Done)
}

/// Those that have limits.
fn listing(owner: &str, limits: impl IntoIterator<Item = (Name, LimitSet)>) -> Answer {
    let limited = limits.into_iter().filter(|(_, limits)| !limits.is_empty());
    Answer::Listing(
        limited.map(|(name, limits)| json!({ (owner): name.as_str(), "value": view(&limits) })).collect(),
    )
}

/// A value as RabbitMQ's refusals show it.
pub(super) fn erlang(value: &Value) -> String {
    match value {
        Value::String(text) => format!("<<\"{text}\">>"),
        other => other.to_string(),
    }
}
