//! What users may do in vhosts. Only administrators see and change it.

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    body::RequestBody,
    request::{Request, durable},
};
use crate::{
    model::{
        name::Name,
        pattern::{Pattern, PatternError},
        permission::Permission,
    },
    vhost::access::Grant,
};

/// `permissions`, `permissions/{vhost}/{user}`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    request.require(Right::Administrator)?;
    match (names, &request.method) {
        ([], &Method::GET) => Ok(list(request)),
        ([vhost, user], &Method::GET) => show(request, vhost, user),
        ([vhost, user], &Method::PUT) => put(request, vhost, user).await,
        ([vhost, user], &Method::DELETE) => delete(request, vhost, user).await,
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// A permission as listings have it.
pub(super) fn view(grant: &Grant) -> Value {
    let [configure, write, read] = grant.patterns().map(Pattern::as_str);
    json!({
        "user": grant.user.as_str(),
        "vhost": grant.vhost.as_str(),
        "configure": configure,
        "write": write,
        "read": read,
    })
}

fn list(request: &Request) -> Answer {
    let grants = request.broker().access().grants();
    Answer::Listing(grants.iter().map(view).collect())
}

fn show(request: &Request, vhost: &str, user: &str) -> Answered {
    let (vhost, user) = (existing(vhost)?, existing(user)?);
    let permission = request.broker().access().permission(&user, &vhost);
    let permission = permission.ok_or(HttpError::ObjectNotFound)?;
    Ok(Answer::Object(view(&Grant { user, vhost, permission })))
}

async fn put(request: &Request, vhost: &str, user: &str) -> Answered {
    let fields = request.fields()?;
    fields.require(&["configure", "write", "read"])?;
    let permission = Permission {
        configure: pattern(&fields, "configure")?,
        write: pattern(&fields, "write")?,
        read: pattern(&fields, "read")?,
    };
    let not_found = || HttpError::bad_request("vhost_or_user_not_found");
    let (Ok(vhost), Ok(user)) = (Name::parse(vhost), Name::parse(user)) else { return Err(not_found()) };
    let put = request.broker().put_permission(&user, &vhost, permission);
    let (is_new, ticket) = put.map_err(|_| not_found())?;
    durable(ticket).await?;
    Ok(Answer::put(is_new))
}

async fn delete(request: &Request, vhost: &str, user: &str) -> Answered {
    let (was_there, ticket) = request.broker().delete_permission(&existing(user)?, &existing(vhost)?);
    durable(ticket).await?;
    if was_there { Ok(Answer::Done) } else { Err(HttpError::ObjectNotFound) }
}

/// The name of something that may be there.
pub(super) fn existing(name: &str) -> Result<Name, HttpError> {
    Name::parse(name).map_err(|_| HttpError::ObjectNotFound)
}

/// The refusal of a text that is no pattern.
pub(super) fn invalid_pattern(text: &str, error: &PatternError) -> HttpError {
    HttpError::BadRequest(json!(["invalid_regexp", text, what_is_wrong(error)]))
}

/// The pattern in a field.
pub(super) fn pattern(fields: &RequestBody, field: &str) -> Result<Pattern, HttpError> {
    let text = fields.text(field)?.unwrap_or_default();
    Pattern::parse(text).map_err(|error| invalid_pattern(text, &error))
}

/// The last line says what is wrong; those before draw where.
pub(super) fn what_is_wrong(error: &PatternError) -> String {
    let error = error.to_string();
    let last = error.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
