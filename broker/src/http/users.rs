//! Users. Only administrators see and change them.

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    body::RequestBody,
    deeds, limits, permissions,
    query::ListQuery,
    request::{Request, durable, new_name, words},
    topic_permissions,
};
use crate::{
    limits::USER_TAGS_MAX,
    model::{
        limit::LimitSet,
        name::Name,
        user::{HashingAlgorithm, PasswordHash, User},
    },
};

/// `users`, `users/without-permissions`, `users/bulk-delete`, `users/{user}`, `users/{user}/permissions`,
/// `…/topic-permissions`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    request.require(Right::Administrator)?;
    match (names, &request.method) {
        ([], &Method::GET) => list(request).await,
        (["without-permissions"], _) => Ok(list_without_permissions(request)),
        (["bulk-delete"], _) => delete_many(request).await,
        ([user], &Method::GET) => show(request, user),
        ([user], &Method::PUT) => put(request, user).await,
        ([user], &Method::DELETE) => delete(request, user).await,
        ([user, "permissions"], &Method::GET) => list_permissions(request, user),
        ([user, "topic-permissions"], &Method::GET) => {
            request.broker().access().user(user).ok_or(HttpError::ObjectNotFound)?;
            Ok(topic_permissions::list(request, |grant| grant.user.as_str() == *user))
        }
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// A user from the fields of a body. `algorithm` is that of a hash of which they don't say how it was made.
pub(super) fn parse(
    name: Name,
    fields: &RequestBody,
    algorithm: HashingAlgorithm,
) -> Result<User, HttpError> {
    let tags = tags(fields)?;
    let limits = fields.value("limits").map_or(Ok(LimitSet::default()), limits::parse_user_limits)?;
    Ok(User { name, password: password(fields, algorithm)?, tags, limits })
}

/// How RabbitMQ of that version made the hashes of which its definitions don't say.
pub(super) fn default_algorithm(version: &str) -> HashingAlgorithm {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(u32::MAX));
    match (numbers.next(), numbers.next()) {
        (Some(0..=2), _) | (Some(3), Some(0..=5)) => HashingAlgorithm::Md5,
        _ => HashingAlgorithm::Sha256,
    }
}

async fn list(request: &Request) -> Answered {
    let users = request.broker().access().users();
    let order = |one: &User, other: &User| one.name.cmp(&other.name);
    let query = ListQuery::parse(&request.query)?;
    let listing = query.list(users, order, |user| &user.name, |user, _| view(user));
    Ok(Answer::Selected(listing.await?))
}

fn list_without_permissions(request: &Request) -> Answer {
    let grants = request.broker().access().grants();
    let users = request.broker().access().users();
    let without = users.iter().filter(|user| grants.iter().all(|grant| grant.user != user.name));
    Answer::Listing(without.map(view).collect())
}

/// Stops at the first that is not there, as RabbitMQ does.
async fn delete_many(request: &Request) -> Answered {
    let fields = request.fields()?;
    fields.require(&["users"])?;
    let value = fields.value("users").unwrap_or(&Value::Null);
    let users = value.as_array().ok_or_else(|| HttpError::bad_value("not_a_list", value))?;
    for user in users {
        let missing = || HttpError::bad_value("no_such_user", user);
        let name = user.as_str().ok_or_else(missing)?;
        delete(request, name).await.map_err(|error| match error {
            HttpError::ObjectNotFound => missing(),
            other => other,
        })?;
        deeds::log_deleted_user(request, name);
    }
    Ok(Answer::Done)
}

fn show(request: &Request, name: &str) -> Answered {
    let user = request.broker().access().user(name).cloned().ok_or(HttpError::ObjectNotFound)?;
    Ok(Answer::Object(view(&user)))
}

/// Replaces the user as a whole: without a password in the body it has none any more. Limits that the body does not
/// name stay.
async fn put(request: &Request, name: &str) -> Answered {
    if name.is_empty() {
        return Err(HttpError::ObjectNotFound);
    }
    let fields = request.fields()?;
    let user = parse(new_name(name)?, &fields, HashingAlgorithm::Sha256)?;
    let (is_new, ticket) = request.broker().put_user(user);
    durable(ticket).await?;
    Ok(Answer::put(is_new))
}

async fn delete(request: &Request, name: &str) -> Answered {
    let name = Name::parse(name).map_err(|_| HttpError::ObjectNotFound)?;
    let ticket = request.broker().delete_user(&name).map_err(|_| HttpError::ObjectNotFound)?;
    let text = format!("user '{name}' is deleted");
    request.node().close_connections(&text, |facts| facts.user.as_ref() == Some(&name));
    durable(ticket).await?;
    Ok(Answer::Done)
}

fn list_permissions(request: &Request, name: &str) -> Answered {
    request.broker().access().user(name).ok_or(HttpError::ObjectNotFound)?;
    let grants = request.broker().access().grants();
    let own = grants.iter().filter(|grant| grant.user.as_str() == name);
    Ok(Answer::Listing(own.map(permissions::view).collect()))
}

/// A user as listings and exports show it.
pub(super) fn view(user: &User) -> Value {
    json!({
        "name": user.name.as_str(),
        "password_hash": user.password.to_base64(),
        "hashing_algorithm": user.password.algorithm.as_str(),
        "tags": user.tags,
        "limits": limits::view(&user.limits),
    })
}

fn password(fields: &RequestBody, algorithm: HashingAlgorithm) -> Result<PasswordHash, HttpError> {
    // What is refused is not told: it may be a password.
    let text = |field| fields.text(field).map_err(|_| HttpError::bad_request(format!("{field} is no text")));
    match (text("password")?, text("password_hash")?) {
        (Some(_), Some(_)) => Err(HttpError::bad_request("both_password_and_password_hash_are_provided")),
        (None, None) => Ok(PasswordHash::none()),
        (Some(password), None) => {
            let hash = PasswordHash::new(password.as_bytes(), rand::random(), HashingAlgorithm::Sha256);
            // Nobody gets in with a blank password: it is as good as none.
            Ok(hash.unwrap_or_else(|_| PasswordHash::none()))
        }
        (None, Some(hash)) => {
            let algorithms =
                match fields.text("hashing_algorithm")? {
                    None => algorithms(algorithm),
                    Some(name) => vec![HashingAlgorithm::parse(name).ok_or_else(|| {
                        HttpError::bad_request(format!("unknown hashing algorithm '{name}'"))
                    })?],
                };
            let mut parsed =
                algorithms.into_iter().map(|algorithm| PasswordHash::from_base64(hash, algorithm));
            parsed
                .find_map(Result::ok)
                .ok_or_else(|| HttpError::bad_request("password_hash is not base64 of a salt and a hash"))
        }
    }
}

/// How a hash may have been made that comes without a word of it: its length tells, but for the weak ones. RabbitMQ keeps it as one of SHA-256
/// whatever its length, and nobody can log in with it.
fn algorithms(usual: HashingAlgorithm) -> Vec<HashingAlgorithm> {
    vec![usual, HashingAlgorithm::Sha256, HashingAlgorithm::Sha512]
}

fn tags(fields: &RequestBody) -> Result<Vec<String>, HttpError> {
    let tags = words(fields.value("tags").ok_or_else(|| HttpError::bad_request("tags_not_present"))?)?;
    if tags.len() > USER_TAGS_MAX {
        return Err(HttpError::bad_request(format!("a user has at most {USER_TAGS_MAX} tags")));
    }
    Ok(tags)
}
