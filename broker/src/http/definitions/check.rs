//! Definitions of a file, read and checked as a whole: against the broker, and against each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::{
    ImportError,
    object::Object,
    unsupported::{
        LeftOut, is_empty_policy, is_other_queue, is_plugin_exchange, without_federation, without_mirroring,
    },
};
use crate::{
    connection::registry::Node,
    http::{
        HttpError,
        body::RequestBody,
        limits, parameters,
        parameters::{CheckedParameter, OPERATOR_POLICY},
        permissions, policies, users, vhosts,
    },
    model::{
        binding::{Binding, Destination},
        definition::VhostDefinition,
        exchange::{Exchange, ExchangeKind},
        limit::{LimitName, LimitSet},
        name::Name,
        parameter::GlobalParameter,
        permission::Permission,
        policy::{Policy, PolicyKind},
        queue::QueueOptions,
        queue_id::QueueId,
        topic_permission::TopicPermission,
        topology::{BindError, DeclareExchangeError, Declared, Topology},
        user::User,
    },
    product,
    vhost::{access::TopicGrant, broker::Broker},
};

/// Definitions that can be, in the order in which they are applied: what each needs comes before it.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) users: Vec<User>,
    pub(super) vhosts: Vec<VhostDefinition>,
    pub(super) permissions: Vec<(Name, Name, Permission)>,
    pub(super) topic_permissions: Vec<TopicGrant>,
    pub(super) exchanges: Vec<(Name, Exchange)>,
    pub(super) global_parameters: Vec<GlobalParameter>,
    pub(super) policies: BTreeMap<Name, Vec<(PolicyKind, Policy)>>,
    pub(super) parameters: Vec<(Name, CheckedParameter)>,
    pub(super) queues: Vec<(Name, Name, QueueOptions)>,
    pub(super) bindings: Vec<(Name, Binding)>,
}

impl Checked {
    /// Checks the definitions of a file, or those for one vhost: of these only what is in a vhost counts. Entries of
    /// other names are nobody's business. Gives what is left out, too, if what is not supported may be.
    pub(super) fn check(
        node: &Node,
        definitions: Map<String, Value>,
        target: Option<&Name>,
        skips_unsupported: bool,
    ) -> Result<(Self, Vec<String>), ImportError> {
        let version = ["rabbitmq_version", "rabbit_version"]
            .into_iter()
            .find_map(|key| definitions.get(key).and_then(Value::as_str))
            .unwrap_or_default()
            .to_owned();
        let writer = definitions.get("product_name").and_then(Value::as_str).map(str::to_owned);
        let mut checking = Checking {
            broker: &node.broker,
            target,
            is_rabbitmqs: !version.is_empty() && writer.as_deref() != Some(product::NAME),
            version,
            users: BTreeSet::new(),
            topologies: HashMap::new(),
            limits: BTreeMap::new(),
            new_queues: BTreeMap::new(),
            new_exchanges: 0,
            new_vhosts: 0,
            skips_unsupported,
            skipped: Vec::new(),
            refused: Vec::new(),
            left_out: LeftOut::default(),
            checked: Self::default(),
        };
        let mut lists = definitions;
        if target.is_none() {
            checking.each(&mut lists, "users", Checking::user)?;
            checking.each(&mut lists, "vhosts", Checking::vhost)?;
            checking.each(&mut lists, "permissions", Checking::permission)?;
            checking.each(&mut lists, "topic_permissions", Checking::topic_permission)?;
            checking.each(&mut lists, "global_parameters", Checking::global_parameter)?;
        }
        checking.each(&mut lists, "exchanges", Checking::exchange)?;
        checking.each(&mut lists, "policies", Checking::policy)?;
        checking.each(&mut lists, "parameters", Checking::parameter)?;
        checking.each(&mut lists, "queues", Checking::queue)?;
        checking.each(&mut lists, "bindings", Checking::binding)?;
        match checking.refused.len() {
            0 => checking.room(node)?,
            1 => return Err(checking.refused.remove(0)),
            _ => return Err(ImportError::Several(checking.refused)),
        }
        Ok((checking.checked, checking.skipped))
    }
}

type Checks = Result<(), ImportError>;

/// What there will be when all that is checked so far has been applied.
struct Checking<'a> {
    broker: &'a Broker,
    target: Option<&'a Name>,
    /// RabbitMQ's version that wrote the file.
    version: String,
    /// RabbitMQ itself wrote the file: its exports may leave out internal exchanges, but not what is bound to them.
    is_rabbitmqs: bool,
    /// Users of the file.
    users: BTreeSet<Name>,
    /// Vhosts of the file, and others that the file has something for.
    topologies: HashMap<Name, Topology>,
    /// Limits that vhosts get.
    limits: BTreeMap<Name, LimitSet>,
    /// How many queues vhosts get.
    new_queues: BTreeMap<Name, usize>,
    /// How many exchanges there will be more, and how many vhosts.
    new_exchanges: usize,
    new_vhosts: usize,
    /// What is not supported is left out.
    skips_unsupported: bool,
    /// What was left out, a line each.
    skipped: Vec<String>,
    refused: Vec<ImportError>,
    left_out: LeftOut,
    checked: Checked,
}

impl Checking<'_> {
    fn each(
        &mut self,
        lists: &mut Map<String, Value>,
        category: &'static str,
        check: fn(&mut Self, &Object) -> Checks,
    ) -> Checks {
        for object in Object::list(category, lists.shift_remove(category))? {
            match check(self, &object) {
                Ok(()) => {}
                Err(error @ ImportError::Unsupported { .. }) if self.skips_unsupported => {
                    self.skipped.push(error.line());
                }
                Err(error) => self.refused.push(error),
            }
        }
        Ok(())
    }

    fn user(&mut self, object: &Object) -> Checks {
        let name = object.name("name")?;
        // Also if something is wrong with it: what is granted to it is not to blame.
        self.users.insert(name.clone());
        let default = users::default_algorithm(&self.version);
        self.checked.users.push(object.or_fail(users::parse(name, &object.fields, default))?);
        Ok(())
    }

    fn vhost(&mut self, object: &Object) -> Checks {
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
            self.skipped.push(lack.line());
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

    fn permission(&mut self, object: &Object) -> Checks {
        let (user, vhost) = (self.existing_user(object)?, self.existing_vhost(object)?);
        object.require(&["configure", "write", "read"])?;
        let pattern = |field| object.or_fail(permissions::pattern(&object.fields, field));
        let permission =
            Permission { configure: pattern("configure")?, write: pattern("write")?, read: pattern("read")? };
        self.checked.permissions.push((user, vhost, permission));
        Ok(())
    }

    fn topic_permission(&mut self, object: &Object) -> Checks {
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

    fn global_parameter(&mut self, object: &Object) -> Checks {
        let value = object.fields.value("value").unwrap_or(&Value::Null).to_string();
        self.checked.global_parameters.push(GlobalParameter { name: object.name("name")?, value });
        Ok(())
    }

    fn exchange(&mut self, object: &Object) -> Checks {
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
            // It stays as it is.
            Err(DeclareExchangeError::NotEquivalent { .. }) => {}
            Err(DeclareExchangeError::DefaultExchange | DeclareExchangeError::ReservedName(_)) => {
                tracing::warn!("{object} is not imported: its name is the broker's");
            }
            Err(error) => return Err(object.fail(error.text(&vhost))),
        }
        Ok(())
    }

    fn policy(&mut self, object: &Object) -> Checks {
        let vhost = self.existing_vhost(object)?;
        let name = object.name("name")?;
        let (fields, foreign) = without_federation(&object.fields);
        if !foreign.is_empty() {
            let lack = object.lack(format!("{}: there is no federation here", foreign.join(", ")));
            if !self.skips_unsupported || is_empty_policy(&fields) {
                return Err(lack);
            }
            self.skipped.push(lack.line());
        }
        let policy = policies::parse(PolicyKind::User, name.clone(), &fields).map_err(|reasons| {
            let reasons = parameters::as_html(&reasons.join("\n"));
            object.fail(format!("Validation failed\n\n{reasons}\n ({vhost}/{name})"))
        })?;
        self.checked.policies.entry(vhost).or_default().push((PolicyKind::User, policy));
        Ok(())
    }

    fn parameter(&mut self, object: &Object) -> Checks {
        let vhost = self.existing_vhost(object)?;
        let (component, name) = (object.name("component")?, object.name("name")?);
        let mut value = object.fields.value("value").cloned().unwrap_or_default();
        if let Some(definition) = value.get_mut("definition") {
            *definition = pairs_as_object(definition);
        }
        if &*component == OPERATOR_POLICY {
            let (fields, foreign) = without_mirroring(value.as_object().unwrap_or(&Map::new()));
            if !foreign.is_empty() {
                let without = foreign.join(", ");
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

    fn queue(&mut self, object: &Object) -> Checks {
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
        // Numbers are for those that are made.
        let topology = self.topology(&vhost);
        if topology.queue(&name).is_none() {
            topology.add_queue(name.clone(), QueueId(u64::MAX), is_durable);
            *self.new_queues.entry(vhost.clone()).or_default() += 1;
        }
        self.checked.queues.push((vhost, name, options));
        Ok(())
    }

    fn binding(&mut self, object: &Object) -> Checks {
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
                self.skipped.push(format!("{object}: there is no '{name}'"));
            }
            Err(BindError::NoQueue(name) | BindError::NoExchange(name))
                if self.is_rabbitmqs || name.is_reserved() =>
            {
                tracing::warn!("{object} is not imported: there is no '{name}' in vhost '{vhost}'");
            }
            Err(error) => return Err(object.fail(error.text(&vhost))),
        }
        Ok(())
    }

    /// Whether the file's queues are not too many, for vhosts and for the node.
    fn room(&self, node: &Node) -> Checks {
        let of_queues =
            |reason: String| ImportError::Refused { place: "queues".to_owned(), reason: reason.into() };
        for (name, added) in &self.new_queues {
            let vhost = self.broker.vhost(name);
            let limit = match self.limits.get(name) {
                Some(limits) => limits.max(LimitName::MaxQueues),
                None => vhost.as_ref().and_then(|vhost| vhost.limit(LimitName::MaxQueues)),
            };
            let count = vhost.map_or(0, |vhost| vhost.queue_count());
            if let Some(limit) = limit.filter(|limit| count + added > *limit) {
                return Err(of_queues(format!(
                    "Adding {added} queue(s) to virtual host \"{name}\" would exceed the limit of {limit} \
                     queue(s).\n\nThis virtual host currently has {count} queue(s) defined.\n\nImport aborted!"
                )));
            }
        }
        let added: usize = self.new_queues.values().sum();
        let limits = node.limits;
        for (place, added, count, max) in [
            ("queues", added, self.broker.queue_count(), limits.queue_max),
            ("exchanges", self.new_exchanges, self.broker.exchange_count(), limits.exchange_max),
            ("vhosts", self.new_vhosts, self.broker.vhost_count(), limits.vhost_max),
        ] {
            if let Some(max) = max.filter(|max| added > 0 && count + added > *max) {
                let reason =
                    format!("{added} more {place} would exceed the limit of {max}: there are {count}");
                return Err(ImportError::Refused { place: place.to_owned(), reason: reason.into() });
            }
        }
        Ok(())
    }

    /// Later ones count in addition, or instead.
    fn note_limits(&mut self, vhost: &Name, limits: &LimitSet) {
        let before = || self.broker.vhost(vhost).map(|vhost| vhost.definition().limits).unwrap_or_default();
        self.limits.entry(vhost.clone()).or_insert_with(before).merge(limits);
    }

    /// The vhost that the object is for, which is there or will be.
    fn existing_vhost(&self, object: &Object) -> Result<Name, ImportError> {
        let vhost = match self.target {
            Some(target) => return Ok(target.clone()),
            None => match object.fields.value("vhost") {
                Some(_) => object.name("vhost")?,
                None => return Err(object.fail(json!(["no_such_vhost", "undefined"]))),
            },
        };
        if self.topologies.contains_key(&vhost) || self.broker.vhost(&vhost).is_some() {
            return Ok(vhost);
        }
        Err(object.fail(json!(["no_such_vhost", vhost.as_str()])))
    }

    fn existing_user(&self, object: &Object) -> Result<Name, ImportError> {
        let user = object.name("user")?;
        if self.users.contains(&user) || self.broker.access().user(&user).is_some() {
            return Ok(user);
        }
        Err(object.fail(json!(["no_such_user", user.as_str()])))
    }

    /// What is in a vhost, to try changes on.
    fn topology(&mut self, vhost: &Name) -> &mut Topology {
        let broker = self.broker;
        self.topologies.entry(vhost.clone()).or_insert_with(|| topology_of(broker, vhost))
    }
}

fn topology_of(broker: &Broker, vhost: &Name) -> Topology {
    broker.vhost(vhost).map_or_else(Topology::new, |vhost| vhost.topology())
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
