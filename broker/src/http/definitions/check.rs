//! Definitions of a file, checked as a whole: against the broker, and against each other.

mod categories;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::{ImportError, notes::Notes, object::Object, unsupported::LeftOut};
use crate::{
    connection::registry::Node,
    http::parameters::CheckedParameter,
    model::{
        binding::Binding,
        definition::VhostDefinition,
        exchange::Exchange,
        limit::{LimitName, LimitSet},
        name::Name,
        parameter::GlobalParameter,
        permission::Permission,
        policy::{Policy, PolicyKind},
        queue::QueueOptions,
        topology::Topology,
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
    /// other names are nobody's business. Gives what there is to say about them, too.
    pub(super) fn check(
        node: &Node,
        definitions: Map<String, Value>,
        target: Option<&Name>,
        skips_unsupported: bool,
    ) -> Result<(Self, Notes), ImportError> {
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
            notes: Notes::default(),
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
        let counts = checking.checked.counts();
        Ok((checking.checked, Notes { counts, ..checking.notes }))
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
    notes: Notes,
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
                    self.notes.skipped.push(error.line());
                }
                Err(error) => self.refused.push(error),
            }
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
        Err(object.dangle(json!(["no_such_vhost", vhost.as_str()])))
    }

    fn existing_user(&self, object: &Object) -> Result<Name, ImportError> {
        let user = object.name("user")?;
        if self.users.contains(&user) || self.broker.access().user(&user).is_some() {
            return Ok(user);
        }
        Err(object.dangle(json!(["no_such_user", user.as_str()])))
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
