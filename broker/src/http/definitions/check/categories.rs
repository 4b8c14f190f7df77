//! The objects of a file, category by category: each is read, and tried on what there will be.

use serde_json::{Map, Value};

use super::{Checking, Checks, topology_of};
use crate::{
    http::{
        HttpError,
        body::RequestBody,
        deeds::{one_line, quoted},
        definitions::{
            object::Object,
            unsupported::{
                is_empty_policy, is_other_queue, is_plugin_exchange, without_federation, without_mirroring,
            },
        },
        limits, parameters,
        parameters::{CheckedParameter, OPERATOR_POLICY},
        permissions, policies, users, vhosts,
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
        // Also if something is wrong with it: what is granted to it is not to blame.
        self.users.insert(name.clone());
        let default = users::default_algorithm(&self.version);
        self.checked.users.push(object.or_fail(users::parse(name, &object.fields, default))?);
        Ok(())
    }

    pub(super) fn vhost(&mut self, object: &Object) -> Checks {
        let name = object.name("name")?;
        let before = self.broker.vhost(&name).map(|vhost| vhost.definition());
        if before.is_none() && !self.topologies.contains_key(&name) {
            self.new_vhosts += 1;
            self.new_exchanges += Topology::new().exchange_count();
        }
        // Also if something is wrong with it: what is in it is not to blame.
        self.topologies.entry(name.clone()).or_insert_with(|| topology_of(self.broker, &name));
        let mut fields = with_metadata(&object.fields);
        if fields.value("default_queue_type").and_then(Value::as_str) == Some("stream") {
            let lack = object.lack("default_queue_type: unsupported queue type 'stream'");
            if !self.skips_unsupported {
                return Err(lack);
            }
            self.notes.skipped.push(lack.line());
            fields = without(&fields, "default_queue_type");
        }
        let mut definition = object.or_fail(vhosts::definition(name.clone(), before, &fields))?;
        if let Some(limits) = fields.value("limits").map(pairs_as_object) {
            definition.limits = object.or_fail(limits::parse_vhost_limits(&limits))?;
            self.note_limits(&name, &definition.limits);
        }
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
        let (name, kind) = (object.name("name")?, object.text("type")?);
        let exchange = Exchange {
            kind: match ExchangeKind::parse(kind) {
                Some(kind) => kind,
                None => {
                    self.left_out.add(&vhost, &name);
                    let reason = format!("invalid exchange type '{kind}'");
                    let is_plugins = is_plugin_exchange(kind);
                    return Err(if is_plugins { object.lack(reason) } else { object.fail(reason) });
                }
            },
            name,
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
            Err(error @ DeclareExchangeError::NotEquivalent { .. }) => self.keep(object, &error.text(&vhost)),
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
        let (fields, foreign) = without_federation(&object.fields);
        if !foreign.is_empty() {
            let lack = object.lack(format!("{}: there is no federation here", foreign.join(", ")));
            if !self.skips_unsupported || is_empty_policy(&fields) {
                return Err(lack);
            }
            self.notes.skipped.push(lack.line());
        }
        let policy = policies::parse(PolicyKind::User, name.clone(), &fields).map_err(|reasons| {
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
        if &*component == OPERATOR_POLICY {
            let (fields, foreign) = without_mirroring(value.as_object().unwrap_or(&Map::new()));
            if !foreign.is_empty() {
                let without = one_line(&foreign.join(", "));
                tracing::warn!("{object} is imported without {without}: there are no mirrored queues");
                if is_empty_policy(&fields) {
                    return Ok(());
                }
                value = Value::Object(fields.fields().clone());
            }
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
        let parsed = QueueOptions::parse(&name, is_durable, false, is_auto_delete, arguments);
        let options = match parsed {
            Ok(options) => options,
            Err(error) => {
                self.left_out.add(&vhost, &name);
                let reason = error.text(&name, &vhost);
                return Err(if is_other_queue(object) { object.lack(reason) } else { object.fail(reason) });
            }
        };
        let there = self.broker.vhost(&vhost).and_then(|vhost| vhost.queue(&name));
        if let Some(Err(error)) = there.map(|there| there.options.check_equivalent(&options)) {
            self.keep(object, &error.text(&name, &vhost));
        }
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
                if self.left_out.has(&vhost, &name) =>
            {
                self.notes.skipped.push(format!("{object}: there is no '{name}'"));
            }
            Err(BindError::NoQueue(name) | BindError::NoExchange(name))
                if self.is_rabbitmqs || name.is_reserved() =>
            {
                tracing::warn!(
                    "{object} is not imported: there is no {} in vhost {}",
                    quoted(&name),
                    quoted(&vhost)
                );
            }
            Err(error @ (BindError::NoQueue(_) | BindError::NoExchange(_))) => {
                return Err(object.dangle(error.text(&vhost)));
            }
            Err(error) => return Err(object.fail(error.text(&vhost))),
        }
        Ok(())
    }
}

impl Checking<'_> {
    /// It is there with other properties, and stays as it is.
    fn keep(&mut self, object: &Object, reason: &str) {
        self.notes.kept.push(format!("{object}: {reason}"));
    }
}

/// Description, tags and default queue type stand in `metadata`, beside it, or both.
fn with_metadata(fields: &RequestBody) -> RequestBody {
    let metadata = fields.value("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut merged: Map<String, Value> = metadata;
    merged.extend(fields.fields().clone());
    // Some exporters write what is not there.
    merged.retain(|_, value| !value.is_null());
    merged.into()
}

fn without(fields: &RequestBody, field: &str) -> RequestBody {
    let mut fields = fields.fields().clone();
    fields.shift_remove(field);
    fields.into()
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
