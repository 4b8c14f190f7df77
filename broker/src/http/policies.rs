//! Policies, which policymakers set in their vhosts, and operator policies, which administrators set.

use std::sync::Arc;

use amq_protocol::types::{AMQPValue, FieldTable, ShortString};
use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    body::RequestBody,
    json::{arguments_to_json, value_from_json},
    parameters::as_html,
    permissions::what_is_wrong,
    request::{Request, durable, new_name},
};
use crate::{
    model::{
        arguments::Arguments,
        name::Name,
        pattern::Pattern,
        policy::{ApplyTo, DefinitionError, Policy, PolicyDefinition, PolicyKind},
    },
    vhost::Vhost,
};

/// `policies`, `policies/{vhost}`, `policies/{vhost}/{name}`; likewise `operator-policies`
pub(super) async fn answer(request: &Request, kind: PolicyKind, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => Ok(list(kind, &request.vhosts())),
        ([vhost], &Method::GET) => Ok(list(kind, &[request.vhost(vhost)?])),
        ([vhost, name], &Method::GET) => {
            let vhost = existing(request, kind, vhost)?;
            let policy = vhost.policy(kind, name).ok_or(HttpError::ObjectNotFound)?;
            Ok(Answer::Object(view(&vhost, &policy)))
        }
        ([vhost, name], &Method::PUT) => put(request, kind, vhost, name).await,
        ([vhost, name], &Method::DELETE) => delete(request, kind, vhost, name).await,
        _ => Err(HttpError::ObjectNotFound),
    }
}

fn list(kind: PolicyKind, vhosts: &[Arc<Vhost>]) -> Answer {
    let of_vhost = |vhost: &Arc<Vhost>| {
        vhost.policies(kind).iter().map(|policy| view(vhost, policy)).collect::<Vec<_>>()
    };
    Answer::Listing(vhosts.iter().flat_map(of_vhost).collect())
}

/// A policy as listings and exports show it.
pub(super) fn view(vhost: &Vhost, policy: &Policy) -> Value {
    json!({
        "vhost": vhost.name().as_str(),
        "name": policy.name.as_str(),
        "pattern": policy.pattern.as_str(),
        "apply-to": policy.apply_to.as_str(),
        "definition": arguments_to_json(policy.definition.arguments()),
        "priority": policy.priority,
    })
}

async fn put(request: &Request, kind: PolicyKind, vhost: &str, name: &str) -> Answered {
    let vhost = existing(request, kind, vhost).map_err(|error| match error {
        HttpError::ObjectNotFound => HttpError::NotFound("vhost_not_found".to_owned()),
        other => other,
    })?;
    let fields = request.fields()?;
    fields.require(&["pattern", "definition"])?;
    let policy = parse(kind, new_name(name)?, &fields).map_err(|reasons| refusal(kind, &reasons))?;
    let (is_new, ticket) = vhost.put_policy(kind, policy);
    durable(ticket).await?;
    Ok(Answer::put(is_new))
}

async fn delete(request: &Request, kind: PolicyKind, vhost: &str, name: &str) -> Answered {
    let vhost = existing(request, kind, vhost)?;
    let name = Name::parse(name).map_err(|_| HttpError::ObjectNotFound)?;
    let (was_there, ticket) = vhost.delete_policy(kind, &name);
    durable(ticket).await?;
    if was_there { Ok(Answer::Done) } else { Err(HttpError::ObjectNotFound) }
}

/// The vhost, if the caller may see and change single policies there.
pub(super) fn existing(request: &Request, kind: PolicyKind, vhost: &str) -> Result<Arc<Vhost>, HttpError> {
    if kind == PolicyKind::Operator {
        request.require(Right::Administrator)?;
        return request.broker().vhost(vhost).ok_or(HttpError::ObjectNotFound);
    }
    let refused = || HttpError::NotAuthorised("User not authorised to access object".into());
    if !request.caller.may_make_policies() {
        return Err(refused());
    }
    request.vhost(vhost).map_err(|error| match error {
        HttpError::NotAuthorised(_) => refused(),
        other => other,
    })
}

/// A policy from the fields of a body; else everything that is wrong, in RabbitMQ's order.
pub(super) fn parse(kind: PolicyKind, name: Name, fields: &RequestBody) -> Result<Policy, Vec<String>> {
    let definition = parse_definition(kind, fields);
    let apply_to = parse_apply_to(fields);
    let pattern = parse_pattern(fields);
    let priority = parse_priority(fields);
    match (definition, apply_to, pattern, priority) {
        (Ok(definition), Ok(apply_to), Ok(pattern), Ok(priority)) => {
            Ok(Policy { name, pattern, apply_to, priority, definition })
        }
        (definition, apply_to, pattern, priority) => {
            Err([definition.err(), apply_to.err(), pattern.err(), priority.err()]
                .into_iter()
                .flatten()
                .collect())
        }
    }
}

fn parse_definition(kind: PolicyKind, fields: &RequestBody) -> Result<PolicyDefinition, String> {
    let mut table = FieldTable::default();
    match fields.value("definition") {
        Some(Value::Object(definition)) => {
            for (key, value) in definition {
                let key = ShortString::try_new(key.as_str())
                    .map_err(|_| "a key is longer than 255 bytes".to_owned())?;
                table.insert(key, value_of(value)?);
            }
        }
        other => {
            let value = value_of(other.unwrap_or(&Value::Null))?;
            return Err(DefinitionError::no_dictionary(&value).to_string());
        }
    }
    PolicyDefinition::parse(kind, Arguments::from(table)).map_err(|error| error.to_string())
}

fn value_of(value: &Value) -> Result<AMQPValue, String> {
    match value {
        Value::Null => Ok(AMQPValue::Void),
        value => value_from_json(value, 1).map_err(|_| format!("{value} is no value of a policy")),
    }
}

fn parse_apply_to(fields: &RequestBody) -> Result<ApplyTo, String> {
    match fields.value("apply-to") {
        None => Ok(ApplyTo::default()),
        Some(value) => value.as_str().and_then(ApplyTo::parse).ok_or_else(|| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!(
                "apply-to '{value}' unrecognised; should be one of: 'queues', 'classic_queues',  \
                 'quorum_queues', 'streams', 'exchanges', or 'all'"
            )
        }),
    }
}

fn parse_pattern(fields: &RequestBody) -> Result<Pattern, String> {
    let value = fields.value("pattern").unwrap_or(&Value::Null);
    let text = value.as_str().ok_or_else(|| format!("pattern should be a binary but was {value}"))?;
    Pattern::parse(text).map_err(|error| {
        let error = what_is_wrong(&error);
        format!("pattern should be regular expression but is invalid: {error}")
    })
}

fn parse_priority(fields: &RequestBody) -> Result<i64, String> {
    match fields.value("priority") {
        None => Ok(0),
        Some(value) => value.as_i64().ok_or_else(|| {
            let value = value.as_str().map_or_else(|| value.to_string(), |text| format!("<<{text:?}>>"));
            format!("priority should be a number, actually was {value}")
        }),
    }
}

/// RabbitMQ makes HTML of what it says of policies, but not of operator policies.
fn refusal(kind: PolicyKind, reasons: &[String]) -> HttpError {
    let reasons = reasons.join("\n");
    let reasons = match kind {
        PolicyKind::User => as_html(&reasons),
        PolicyKind::Operator => reasons,
    };
    HttpError::bad_request(format!("Validation failed\n\n{reasons}\n"))
}
