//! Runtime parameters, global ones, and the cluster's name, which is one of these.
//!
//! Limits of vhosts and operator policies are parameters, too: those of the components `vhost-limits` and
//! `operator_policy`. To set them takes an administrator, whichever way; RabbitMQ lets policymakers set them this way.
//! Components of plugins (shovel, federation) can't be set; what a file of definitions brought of them is kept.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    body::RequestBody,
    deeds::quoted,
    definitions,
    json::arguments_to_json,
    limits, policies,
    request::{Request, durable, new_name},
};
use crate::{
    model::{
        limit::LimitSet,
        name::Name,
        parameter::{GlobalParameter, Parameter},
        policy::{Policy, PolicyKind},
    },
    vhost::{Vhost, broker::Broker, parameters::CLUSTER_NAME, ticket::Ticket},
};

/// The component whose only parameter is [`LIMITS`].
const VHOST_LIMITS: &str = "vhost-limits";
const LIMITS: &str = "limits";
/// The component whose parameters are operator policies.
pub(super) const OPERATOR_POLICY: &str = "operator_policy";
/// Of plugins that are not here: what files of definitions hold of them is kept and does nothing.
const WITHOUT_EFFECT: [&str; 3] = ["federation-upstream", "federation-upstream-set", "shovel"];

/// `parameters`, `parameters/{component}`, `parameters/{component}/{vhost}`, `…/{name}`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => list(request, None, &request.vhosts()),
        ([component], &Method::GET) => list(request, Some(component), &request.vhosts()),
        ([component, vhost], &Method::GET) => {
            let vhost = policies::existing(request, PolicyKind::User, vhost)?;
            list(request, Some(component), &[vhost])
        }
        ([component, vhost, name], &Method::GET) => {
            let vhost = policies::existing(request, PolicyKind::User, vhost)?;
            let mut views = views(request.broker(), &vhost).into_iter();
            let found = views.find(|view| view["component"] == *component && view["name"] == *name);
            found.map(Answer::Object).ok_or(HttpError::ObjectNotFound)
        }
        ([component, vhost, name], &Method::PUT) => put(request, component, vhost, name).await,
        ([component, vhost, name], &Method::DELETE) => delete(request, component, vhost, name).await,
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// `global-parameters`, `global-parameters/{name}`
pub(super) async fn answer_global(request: &Request, names: &[&str]) -> Answered {
    require_policymaker(request)?;
    match (names, &request.method) {
        ([], &Method::GET) => {
            Ok(Answer::Listing(request.broker().global_parameters().iter().map(global_view).collect()))
        }
        ([name], &Method::GET) => {
            let value = request.broker().global_parameter(name).ok_or(HttpError::ObjectNotFound)?;
            Ok(Answer::Object(json!({ "value": document(&value), "name": name })))
        }
        ([name], &Method::PUT) => {
            check_own(request, name)?;
            let fields = request.fields()?;
            fields.require(&["value"])?;
            put_global(request, name, fields.value("value").unwrap_or(&Value::Null)).await
        }
        ([name], &Method::DELETE) => {
            check_own(request, name)?;
            let name = Name::parse(name).map_err(|_| HttpError::ObjectNotFound)?;
            let (was_there, ticket) = request.broker().delete_global_parameter(&name);
            durable(ticket).await?;
            if was_there { Ok(Answer::Done) } else { Err(HttpError::ObjectNotFound) }
        }
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// The broker's own parameters are the administrator's, as the route of the cluster's name is. With RabbitMQ policymakers
/// set these, too.
fn check_own(request: &Request, name: &str) -> Result<(), HttpError> {
    match name {
        CLUSTER_NAME | definitions::IMPORTED => request.require(Right::Administrator),
        _ => Ok(()),
    }
}

/// `cluster-name`
pub(super) async fn answer_cluster_name(request: &Request) -> Answered {
    match request.method {
        Method::GET => Ok(Answer::Object(json!({ "name": request.node().cluster_name() }))),
        Method::PUT => {
            request.require(Right::Administrator)?;
            let fields = request.fields()?;
            fields.require(&["name"])?;
            let name = fields.text("name")?.unwrap_or_default();
            put_global(request, CLUSTER_NAME, &Value::from(name)).await?;
            Ok(Answer::Done)
        }
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// A parameter that can be, whatever it is a parameter of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum CheckedParameter {
    /// All limits of the vhost.
    Limits(LimitSet),
    /// An operator policy.
    OperatorPolicy(Policy),
    /// Something that is only kept.
    Kept(Parameter),
}

impl CheckedParameter {
    /// What may be set: in RabbitMQ's words what is wrong with it otherwise.
    pub(super) fn parse(component: &str, name: &str, value: &Value) -> Result<Self, HttpError> {
        let refused = |reason: String| HttpError::bad_request(format!("Validation failed\n\n{reason}\n"));
        match component {
            "policy" => Err(HttpError::bad_request("policies may not be set using this method")),
            // RabbitMQ keeps limits of other names, which limit nothing, and fails at the next one (500).
            VHOST_LIMITS if name != LIMITS => {
                Err(refused(format!("the only parameter of component {VHOST_LIMITS} is '{LIMITS}'")))
            }
            VHOST_LIMITS => limits::parse_vhost_limits(value).map(Self::Limits),
            OPERATOR_POLICY => parse_operator_policy(name, value).map(Self::OperatorPolicy),
            _ => Err(refused(format!("component {component} not found"))),
        }
    }

    /// What a file of definitions may hold besides: parameters of plugins.
    pub(super) fn parse_imported(component: &str, name: &str, value: &Value) -> Result<Self, HttpError> {
        // RabbitMQ keeps limits under any name, and those under other names limit nothing.
        let is_kept = WITHOUT_EFFECT.contains(&component) || component == VHOST_LIMITS && name != LIMITS;
        if !is_kept {
            return Self::parse(component, name, value);
        }
        let (component, name) = (new_name(component)?, new_name(name)?);
        Ok(Self::Kept(Parameter { component, name, value: value.to_string() }))
    }

    /// Sets it; says whether it is new. A vhost that is gone by now has none.
    pub(super) fn put(self, broker: &Broker, vhost: &Vhost) -> Option<(bool, Option<Ticket>)> {
        match self {
            Self::Limits(limits) => {
                let is_new = vhost.definition().limits.is_empty();
                let changed = broker.change_vhost_limits(vhost.name(), |before| *before = limits);
                Some((is_new, changed.ok()?))
            }
            Self::OperatorPolicy(policy) => Some(vhost.put_policy(PolicyKind::Operator, policy)),
            Self::Kept(parameter) => {
                tracing::warn!(
                    "parameter {} of component {} in vhost {}: kept and shown, without effect here",
                    quoted(&parameter.name),
                    quoted(&parameter.component),
                    quoted(vhost.name())
                );
                broker.put_parameter(vhost.name(), parameter).ok()
            }
        }
    }
}

/// The parameters of a vhost, as listings and exports show them.
pub(super) fn views(broker: &Broker, vhost: &Vhost) -> Vec<Value> {
    let view = |component: &str, name: &str, value: Value| json!({ "value": value, "vhost": vhost.name().as_str(), "component": component, "name": name });
    let limits = vhost.definition().limits;
    let limits = (!limits.is_empty()).then(|| view(VHOST_LIMITS, LIMITS, limits::view(&limits)));
    let policies = vhost.policies(PolicyKind::Operator);
    let policies = policies.iter().map(|policy| {
        let definition = arguments_to_json(policy.definition.arguments());
        let value = json!({
            "pattern": policy.pattern.as_str(),
            "definition": definition,
            "priority": policy.priority,
            "apply-to": policy.apply_to.as_str(),
        });
        view(OPERATOR_POLICY, &policy.name, value)
    });
    let kept = broker.parameters(vhost.name());
    let kept =
        kept.iter().map(|parameter| view(&parameter.component, &parameter.name, document(&parameter.value)));
    limits.into_iter().chain(policies).chain(kept).collect()
}

/// A global parameter, as listings and exports show it.
pub(super) fn global_view(parameter: &GlobalParameter) -> Value {
    json!({ "name": parameter.name.as_str(), "value": document(&parameter.value) })
}

/// RabbitMQ makes HTML of what it says of parameters.
pub(super) fn as_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn list(request: &Request, component: Option<&str>, vhosts: &[Arc<Vhost>]) -> Answered {
    require_policymaker(request)?;
    let all = vhosts.iter().flat_map(|vhost| views(request.broker(), vhost));
    let is_meant = |view: &Value| component.is_none_or(|component| view["component"] == component);
    Ok(Answer::Listing(all.filter(is_meant).collect()))
}

async fn put(request: &Request, component: &str, vhost: &str, name: &str) -> Answered {
    let no_vhost = || HttpError::NotFound("vhost_not_found".to_owned());
    let vhost = policies::existing(request, PolicyKind::User, vhost).map_err(|error| match error {
        HttpError::ObjectNotFound => no_vhost(),
        other => other,
    })?;
    let fields = request.fields()?;
    fields.require(&["value"])?;
    let value = fields.value("value").unwrap_or(&Value::Null);
    let parameter = CheckedParameter::parse(component, name, value).map_err(in_html)?;
    request.require(Right::Administrator)?;
    let (is_new, ticket) = parameter.put(request.broker(), &vhost).ok_or_else(no_vhost)?;
    durable(ticket).await?;
    Ok(Answer::put(is_new))
}

async fn delete(request: &Request, component: &str, vhost: &str, name: &str) -> Answered {
    let vhost = policies::existing(request, PolicyKind::User, vhost)?;
    let parse = |text| Name::parse(text).map_err(|_| HttpError::ObjectNotFound);
    let (component, name) = (parse(component)?, parse(name)?);
    let (was_there, ticket) = match component.as_str() {
        VHOST_LIMITS => {
            request.require(Right::Administrator)?;
            let was_there = name.as_str() == LIMITS && !vhost.definition().limits.is_empty();
            let clear = |limits: &mut LimitSet| *limits = LimitSet::default();
            let ticket =
                was_there.then(|| request.broker().change_vhost_limits(vhost.name(), clear).ok().flatten());
            (was_there, ticket.flatten())
        }
        OPERATOR_POLICY => {
            request.require(Right::Administrator)?;
            vhost.delete_policy(PolicyKind::Operator, &name)
        }
        _ => request.broker().delete_parameter(vhost.name(), &component, &name),
    };
    durable(ticket).await?;
    if was_there { Ok(Answer::Done) } else { Err(HttpError::ObjectNotFound) }
}

async fn put_global(request: &Request, name: &str, value: &Value) -> Answered {
    let parameter = GlobalParameter { name: new_name(name)?, value: value.to_string() };
    let (is_new, ticket) = request.broker().put_global_parameter(parameter);
    durable(ticket).await?;
    Ok(Answer::put(is_new))
}

fn require_policymaker(request: &Request) -> Result<(), HttpError> {
    if request.caller.may_make_policies() {
        return Ok(());
    }
    Err(HttpError::NotAuthorised("User not authorised to access object".into()))
}

fn parse_operator_policy(name: &str, value: &Value) -> Result<Policy, HttpError> {
    let empty = Map::new();
    let object = value.as_object().unwrap_or(&empty);
    let is_known = |key: &str| ["pattern", "definition", "priority", "apply-to"].contains(&key);
    let unknown: Vec<String> = object
        .iter()
        .filter(|(key, _)| !is_known(key))
        .map(|(key, value)| format!("{{<<\"{key}\">>,{}}}", limits::erlang(value)))
        .collect();
    let unknown = (!unknown.is_empty())
        .then(|| format!("Unrecognised terms [{}] in {name}", unknown.join(",\n                    ")));
    let missing = ["definition", "pattern", "priority"]
        .into_iter()
        .filter(|key| !object.contains_key(*key))
        .map(|key| format!("Key \"{key}\" not found in {name}"));
    let reasons: Vec<String> = unknown.into_iter().chain(missing).collect();
    if !reasons.is_empty() {
        return Err(HttpError::bad_request(format!("Validation failed\n\n{}\n", reasons.join("\n"))));
    }
    let fields = RequestBody::from(object.clone());
    policies::parse(PolicyKind::Operator, new_name(name)?, &fields)
        .map_err(|reasons| HttpError::bad_request(format!("Validation failed\n\n{}\n", reasons.join("\n"))))
}

fn in_html(error: HttpError) -> HttpError {
    match error {
        HttpError::BadRequest(Value::String(reason)) => HttpError::bad_request(as_html(&reason)),
        other => other,
    }
}

/// The document that a parameter was set with; only such are kept.
fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
