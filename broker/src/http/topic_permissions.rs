//! What users may do with the routing keys of exchanges. Only administrators see and change it.

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    permissions::{existing, invalid_pattern},
    request::{Request, durable, new_name},
};
use crate::{
    model::{name::Name, topic_permission::TopicPermission},
    vhost::access::TopicGrant,
};

/// `topic-permissions`, `topic-permissions/{vhost}/{user}`, `…/{exchange}`. The exchange matters only to who deletes:
/// whoever puts names it in the body, and whoever gets is told of all.
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    request.require(Right::Administrator)?;
    match (names, &request.method) {
        ([], &Method::GET) => Ok(list(request, |_| true)),
        ([vhost, user] | [vhost, user, _], &Method::GET) => show(request, vhost, user),
        ([vhost, user] | [vhost, user, _], &Method::PUT) => put(request, vhost, user).await,
        ([vhost, user], &Method::DELETE) => delete(request, vhost, user, None).await,
        ([vhost, user, exchange], &Method::DELETE) => delete(request, vhost, user, Some(exchange)).await,
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// Those that are meant.
pub(super) fn list(request: &Request, is_meant: impl Fn(&TopicGrant) -> bool) -> Answer {
    let grants = request.broker().access().topic_grants();
    Answer::Listing(grants.iter().filter(|grant| is_meant(grant)).map(view).collect())
}

fn show(request: &Request, vhost: &str, user: &str) -> Answered {
    let (vhost, user) = known(request, vhost, user)?;
    Ok(list(request, |grant| grant.vhost == vhost && grant.user == user))
}

async fn put(request: &Request, vhost: &str, user: &str) -> Answered {
    let fields = request.fields()?;
    fields.require(&["exchange", "write", "read"])?;
    let text = |field| Ok(fields.text(field)?.unwrap_or_default());
    let not_found = || HttpError::bad_request("vhost_or_user_not_found");
    let (Ok(vhost), Ok(user)) = (Name::parse(vhost), Name::parse(user)) else { return Err(not_found()) };
    let permission = TopicPermission::parse(text("write")?, text("read")?, &user, &vhost);
    let permission = permission.map_err(|refused| invalid_pattern(&refused.text, &refused.error))?;
    let exchange = new_name(text("exchange")?)?;
    let put = request.broker().put_topic_permission(TopicGrant { user, vhost, exchange, permission });
    let (is_first, ticket) = put.map_err(|_| not_found())?;
    durable(ticket).await?;
    Ok(Answer::put(is_first))
}

async fn delete(request: &Request, vhost: &str, user: &str, exchange: Option<&str>) -> Answered {
    let (vhost, user) = known(request, vhost, user)?;
    durable(request.broker().delete_topic_permissions(&user, &vhost, exchange)).await?;
    Ok(Answer::Done)
}

/// A vhost and a user with topic permissions there.
fn known(request: &Request, vhost: &str, user: &str) -> Result<(Name, Name), HttpError> {
    let (vhost, user) = (existing(vhost)?, existing(user)?);
    match request.broker().access().topic_permissions(&user, &vhost) {
        Some(_) => Ok((vhost, user)),
        None => Err(HttpError::ObjectNotFound),
    }
}

/// A topic permission as listings and exports show it.
pub(super) fn view(grant: &TopicGrant) -> Value {
    json!({
        "user": grant.user.as_str(),
        "vhost": grant.vhost.as_str(),
        "exchange": grant.exchange.as_str(),
        "write": grant.permission.write.as_str(),
        "read": grant.permission.read.as_str(),
    })
}
