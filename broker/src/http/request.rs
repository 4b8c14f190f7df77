//! A request whose caller is known, and what routes ask of it.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Bytes,
    http::{HeaderMap, Method},
};
use serde_json::Value;

use super::{
    Api, HttpError,
    auth::{Caller, Right},
    body::RequestBody,
    deeds::quoted,
    form,
};
use crate::{
    connection::{exception::Exception, registry::Node},
    model::{binding::Binding, name::Name, permission::Operation},
    vhost::{Vhost, broker::Broker, ticket::Ticket},
};

/// A request with its body. HEAD has become GET.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) api: Arc<Api>,
    pub(super) caller: Caller,
    pub(super) method: Method,
    pub(super) query: String,
    /// Where it came from; none over the control socket.
    pub(super) peer: Option<SocketAddr>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Request {
    pub(super) fn node(&self) -> &Node {
        &self.api.node
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.api.node.broker
    }

    /// The fields of the body.
    pub(super) fn fields(&self) -> Result<RequestBody, HttpError> {
        RequestBody::parse(&self.body)
    }

    /// Whether the query has `name=true`.
    pub(super) fn has_flag(&self, name: &str) -> bool {
        form::pairs(self.query.as_bytes()).any(|(key, value)| key == name.as_bytes() && value == b"true")
    }

    /// Whether the query has `name=true`, for each name. Refuses other names and values: what is mistyped must not be
    /// ignored.
    pub(super) fn strict_flags<const N: usize>(&self, names: [&str; N]) -> Result<[bool; N], HttpError> {
        for pair in form::texts(&self.query) {
            let (name, value) = pair?;
            if !names.contains(&name.as_str()) {
                let reason = format!("unknown parameter '{name}'; there are {}", names.join(", "));
                return Err(HttpError::bad_request(reason));
            }
            if !matches!(value.as_str(), "true" | "false") {
                return Err(HttpError::bad_request(format!("{name} is true or false, not '{value}'")));
            }
        }
        Ok(names.map(|name| self.has_flag(name)))
    }

    /// The value of a parameter of the query; of several the first.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        form::value(&self.query, name)
    }

    /// Makes a large answer while others get theirs (see [`aside`](crate::server::large_answers::LargeAnswers::aside)).
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HttpError> {
        self.api.large_answers.aside(make).await.ok_or_else(HttpError::not_made)
    }

    /// Who asks, and from where, for the log.
    pub(super) fn asker(&self) -> String {
        match (self.caller.user(), self.peer) {
            (Some(user), Some(peer)) => format!("user {} from {peer}", quoted(user)),
            (Some(user), None) => format!("user {}", quoted(user)),
            (None, _) => "somebody at the control socket".to_owned(),
        }
    }

    /// The vhost of that name, if there is one and the caller may see what is in it.
    pub(super) fn vhost(&self, name: &str) -> Result<Arc<Vhost>, HttpError> {
        let vhost = self.broker().vhost(name).ok_or(HttpError::ObjectNotFound)?;
        if !self.caller.may_enter(self.broker(), vhost.name()) {
            return Err(HttpError::NotAuthorised("User not authorised to access virtual host".into()));
        }
        Ok(vhost)
    }

    /// The vhost in which something is to be declared.
    pub(super) fn vhost_of_new(&self, name: &str) -> Result<Arc<Vhost>, HttpError> {
        self.vhost(name).map_err(|error| match error {
            HttpError::ObjectNotFound => HttpError::NotFound("vhost_not_found".to_owned()),
            other => other,
        })
    }

    /// The vhosts whose contents the caller may see, by name.
    pub(super) fn vhosts(&self) -> Vec<Arc<Vhost>> {
        let mut vhosts = self.broker().vhosts();
        vhosts.retain(|vhost| self.caller.may_enter(self.broker(), vhost.name()));
        vhosts
    }

    /// See [`Caller::require`].
    pub(super) fn require(&self, right: Right) -> Result<(), HttpError> {
        self.caller.require(right)
    }

    /// See [`Caller::authorize`].
    pub(super) fn authorize(&self, vhost: &Vhost, operation: &Operation<'_>) -> Result<(), HttpError> {
        self.caller.authorize(self.broker(), vhost, operation)
    }

    /// See [`Caller::authorize_binding`].
    pub(super) fn authorize_binding(&self, vhost: &Vhost, binding: &Binding) -> Result<(), HttpError> {
        self.caller.authorize_binding(self.broker(), vhost, binding)
    }
}

/// A name for something new.
pub(super) fn new_name(text: &str) -> Result<Name, HttpError> {
    Name::parse(text).map_err(|_| HttpError::bad_request("the name is longer than 255 bytes"))
}

/// Tags of a user or vhost: `"a, b"` or `["a", "b"]`.
pub(super) fn words(value: &Value) -> Result<Vec<String>, HttpError> {
    let not_words = || HttpError::bad_value("not_a_list_of_strings", value);
    let texts: Vec<&str> = match value {
        Value::String(text) => text.split(',').collect(),
        Value::Array(texts) => {
            texts.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(not_words)?
        }
        _ => return Err(not_words()),
    };
    Ok(texts.into_iter().map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

/// Until a change is on stable storage.
pub(super) async fn durable(ticket: Option<Ticket>) -> Result<(), HttpError> {
    match ticket {
        Some(ticket) => ticket.durable().await.map_err(|error| HttpError::Internal(error.to_string())),
        None => Ok(()),
    }
}

/// What AMQP clients would be told, as an HTTP refusal.
pub(super) fn refused(exception: &Exception) -> HttpError {
    HttpError::from_reply(exception.code as u16, &exception.text)
}
