//! The objects of a file, category by category: each is read, and tried on what there will be.

use serde_json::{Map, Value};

use super::{Checking, Checks, topology_of};
use crate::{
    http::{
        HttpError, body::RequestBody, definitions::object::Object, limits, parameters,
        parameters::CheckedParameter, permissions, policies, users, vhosts,
    },
    model::{
        binding::{Binding, Destination},
        exchange::{Exchange, ExchangeKind},
        parameter::GlobalParameter,
        permission::Permission,
        policy::PolicyKind,
        queue::QueueOptions,
        queue_id::QueueId,
        topic_permission::TopicPermission,
        topology::{BindError, DeclareExchangeError, Declared, Topology},
    },
    vhost::access::TopicGrant,
};

impl Checking<'_> {
    pub(super) fn user(&mut self, object: &Object) -> Checks {
        let name = object.name("name")?;
        let default = users::default_algorithm(&self.version);
        let user = object.or_fail(users::parse(name, &object.fields, default))?;
        self.users.insert(user.name.clone());
        self.checked.users.push(user);
        Ok(())
    }

    pub(super) fn vhost(&mut self, object: &Object) -> Checks {
        let name = object.name("name")?;
        let before = self.broker.vhost(&name).map(|vhost| vhost.definition());
        let before_is_none = before.is_none();
        let fields = with_metadata(&object.fields);
        let mut definition = object.or_fail(vhosts::definition(name.clone(), before, &fields))?;
        let limits = object.fields.value("limits").map(pairs_as_object);
        if let Some(limits) = limits {
            definition.limits = object.or_fail(limits::parse_vhost_limits(&limits))?;
            self.note_limits(&name, &definition.limits);
        }
        if before_is_none && !self.topologies.contains_key(&name) {
            self.new_vhosts += 1;
            self.new_exchanges += Topology::new().exchange_count();
        }
        self.topologies.entry(name.clone()).or_insert_with(|| topology_of(self.broker, &name));
        self.checked.vhosts.push(definition);
        Ok(())
    }

    pub(super) fn permission(&mut self, object: &Object) -> Checks {
        let (user, vhost) = (self.existing_user(object)?, self.existing_vhost(object)?);
        object.require(&["configure", "write", "read"])?;
        let pattern = |field| object.or_fail(permissions::pattern(&object.fields, field));
        let permission =
            Permission { configure: pattern("configure")?, write: pattern("write")?, read: pattern("read")? };
        self.checked.permissions.push((user, vhost, permission));
        Ok(())
    }

    pub(super) fn topic_permission(&mut self, object: &Object) -> Checks {
        let (user, vhost) = (self.existing_user(object)?, self.existing_vhost(object)?);
        object.require(&["exchange", "write", "read"])?;
        let (write, read) = (object.text("write")?, object.text("read")?);
        let permission = TopicPermission::parse(write, read, &user, &vhost);
        let permission = object.or_fail(
            permission.map_err(|refused| permissions::invalid_pattern(&refused.text, &refused.error)),
        )?;
        let exchange = object.name("exchange")?;
        self.checked.topic_permissions.push(TopicGrant { user, vhost, exchange, permission });
        Ok(())
    }

    pub(super) fn global_parameter(&mut self, object: &Object) -> Checks {
        let value = object.fields.value("value").unwrap_or(&Value::Null).to_string();
        self.checked.global_parameters.push(GlobalParameter { name: object.name("name")?, value });
        Ok(())
    }

    pub(super) fn exchange(&mut self, object: &Object) -> Checks {
        let vhost = self.existing_vhost(object)?;
        let kind = object.text("type")?;
        let exchange = Exchange {
            name: object.name("name")?,
            kind: ExchangeKind::parse(kind)
                .ok_or_else(|| object.fail(format!("invalid exchange type '{kind}'")))?,
            is_durable: object.flag("durable")?,
            is_auto_delete: object.flag("auto_delete")?,
            is_internal: object.or_fail(object.fields.flag("internal"))?,
            arguments: object.arguments()?,
        };
        match self.topology(&vhost).declare_exchange(exchange.clone()) {
            Ok(declared) => {
                self.new_exchanges += usize::from(declared == Declared::Created);
                self.checked.exchanges.push((vhost, exchange));
            }
            // It stays as it is.
            Err(DeclareExchangeError::NotEquivalent { .. }) => {}
            Err(DeclareExchangeError::DefaultExchange | DeclareExchangeError::ReservedName(_)) => {
                tracing::warn!("{object} is not imported: its name is the broker's");
            }
            Err(error) => return Err(object.fail(error.text(&vhost))),
        }
        Ok(())
    }

    pub(super) fn policy(&mut self, object: &Object) -> Checks {
        let vhost = self.existing_vhost(object)?;
        let name = object.name("name")?;
        let policy = policies::parse(PolicyKind::User, name.clone(), &object.fields).map_err(|reasons| {
            let reasons = parameters::as_html(&reasons.join("\n"));
            object.fail(format!("Validation failed\n\n{reasons}\n ({vhost}/{name})"))
        })?;
        self.checked.policies.entry(vhost).or_default().push((PolicyKind::User, policy));
        Ok(())
    }

    pub(super) fn parameter(&mut self, object: &Object) -> Checks {
        let vhost = self.existing_vhost(object)?;
        let (component, name) = (object.name("component")?, object.name("name")?);
        let mut value = object.fields.value("value").cloned().unwrap_or_default();
        if let Some(definition) = value.get_mut("definition") {
            *definition = pairs_as_object(definition);
        }
        let parameter = CheckedParameter::parse_imported(&component, &name, &value).map_err(|error| {
            let reason = parameters::as_html(&reason_text(&error));
            object.fail(format!("{reason} ({vhost}/{component}/{name})"))
        })?;
        match parameter {
            CheckedParameter::OperatorPolicy(policy) => {
                self.checked.policies.entry(vhost).or_default().push((PolicyKind::Operator, policy));
            }
            CheckedParameter::Limits(limits) => {
                self.limits.insert(vhost.clone(), limits.clone());
                self.checked.parameters.push((vhost, CheckedParameter::Limits(limits)));
            }
            kept @ CheckedParameter::Kept(_) => self.checked.parameters.push((vhost, kept)),
        }
        Ok(())
    }

    pub(super) fn queue(&mut self, object: &Object) -> Checks {
        let vhost = self.existing_vhost(object)?;
        let name = object.name("name")?;
        let (is_durable, is_auto_delete) = (object.flag("durable")?, object.flag("auto_delete")?);
        let arguments = object.arguments()?;
        if name.is_reserved() {
            tracing::warn!("{object} is not imported: the broker chose its name");
            return Ok(());
        }
        let options = QueueOptions::parse(&name, is_durable, false, is_auto_delete, arguments)
            .map_err(|error| object.fail(error.text(&name, &vhost)))?;
        // Numbers are for those that are made.
        let topology = self.topology(&vhost);
        if topology.queue(&name).is_none() {
            topology.add_queue(name.clone(), QueueId(u64::MAX), is_durable);
            *self.new_queues.entry(vhost.clone()).or_default() += 1;
        }
        self.checked.queues.push((vhost, name, options));
        Ok(())
    }

    pub(super) fn binding(&mut self, object: &Object) -> Checks {
        let vhost = self.existing_vhost(object)?;
        let destination = object.name("destination")?;
        let destination = match object.text("destination_type")? {
            "queue" => Destination::Queue(destination),
            "exchange" => Destination::Exchange(destination),
            other => return Err(object.fail(format!("unknown destination type '{other}'"))),
        };
        let binding = Binding {
            source: object.name("source")?,
            destination,
            binding_key: object.optional_name("routing_key")?,
            arguments: object.arguments()?,
        };
        match self.topology(&vhost).bind(binding.clone()) {
            Ok(_) => self.checked.bindings.push((vhost, binding)),
            // Every queue has its binding to the default exchange.
            Err(BindError::DefaultExchange) => {}
            Err(BindError::NoQueue(name) | BindError::NoExchange(name))
                if self.is_rabbitmqs || name.is_reserved() =>
            {
                tracing::warn!("{object} is not imported: there is no '{name}' in vhost '{vhost}'");
            }
            Err(error) => return Err(object.fail(error.text(&vhost))),
        }
        Ok(())
    }
}

/// Description, tags and default queue type stand in `metadata`, beside it, or both.
fn with_metadata(fields: &RequestBody) -> RequestBody {
    let metadata = fields.value("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut merged: Map<String, Value> = metadata;
    merged.extend(fields.fields().clone());
    merged.into()
}

/// RabbitMQ's command line writes limits, and what operator policies set, as pairs: `[["max-queues", 5]]`.
fn pairs_as_object(value: &Value) -> Value {
    let pair = |pair: &Value| Some((pair[0].as_str()?.to_owned(), pair[1].clone()));
    match value {
        Value::Array(pairs) => {
            pairs.iter().map(pair).collect::<Option<Map<_, _>>>().map_or_else(|| value.clone(), Value::Object)
        }
        other => other.clone(),
    }
}

fn reason_text(error: &HttpError) -> String {
    match error {
        HttpError::BadRequest(Value::String(reason)) => reason.clone(),
        HttpError::BadRequest(reason) => reason.to_string(),
        other => other.body().map_or_else(String::new, |body| body["reason"].to_string()),
    }
}
