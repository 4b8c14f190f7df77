//! Policies: what an operator wants of queues and exchanges, by their names
//! (<https://www.rabbitmq.com/docs/policies>).
//!
//! Of the policies that match a name the one with the highest priority counts; so does one operator policy, besides.
//!
//! ```text
//! declared arguments ──┐
//! policy ──────────────┼──> rules of the queue      numbers: the smallest; else the argument, then the operator's
//! operator policy ─────┘
//! ```

mod definition;

pub use definition::{DefinitionError, PolicyDefinition};

use std::{
    collections::{BTreeMap, btree_map},
    fmt,
    sync::Arc,
};

use crate::model::{arguments::Arguments, name::Name, pattern::Pattern, queue::QueueType};

/// A policy. All fields are durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Tells it from others of its kind in its vhost.
    pub name: Name,
    /// The names that it is about; an empty one: all.
    pub pattern: Pattern,
    /// What it is about.
    pub apply_to: ApplyTo,
    /// Of those that match, the one with the highest counts.
    pub priority: i64,
    /// What it sets.
    pub definition: PolicyDefinition,
}

/// Who makes a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyKind {
    /// Whoever may (`policymaker`).
    User,
    /// Administrators alone: limits that no policy exceeds.
    Operator,
}

/// What a policy is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplyTo {
    /// `all`
    #[default]
    All,
    /// `queues`
    Queues,
    /// `classic_queues`
    ClassicQueues,
    /// `quorum_queues`
    QuorumQueues,
    /// `streams`
    Streams,
    /// `exchanges`
    Exchanges,
}

/// What policies are looked for.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// An exchange.
    Exchange(&'a str),
    /// A queue of this type.
    Queue(&'a str, QueueType),
}

/// What policies make of a queue or an exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectivePolicy {
    /// The policy's name.
    pub policy: Option<Name>,
    /// The operator policy's name.
    pub operator_policy: Option<Name>,
    /// What both set together.
    pub definition: Arguments,
}

/// The policies of a vhost.
#[derive(Debug, Default)]
pub struct Policies {
    user: BTreeMap<Name, Arc<Policy>>,
    operator: BTreeMap<Name, Arc<Policy>>,
    /// What was made of pairs of them, so that all queues of a pair share it.
    effective: BTreeMap<(Option<Name>, Option<Name>), Arc<EffectivePolicy>>,
}

impl ApplyTo {
    /// The word in definitions and tools.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Queues => "queues",
            Self::ClassicQueues => "classic_queues",
            Self::QuorumQueues => "quorum_queues",
            Self::Streams => "streams",
            Self::Exchanges => "exchanges",
        }
    }

    /// What the word stands for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::All,
            Self::Queues,
            Self::ClassicQueues,
            Self::QuorumQueues,
            Self::Streams,
            Self::Exchanges,
        ];
        all.into_iter().find(|apply_to| apply_to.as_str() == text)
    }

    fn is_about(self, subject: Subject<'_>) -> bool {
        match (self, subject) {
            (Self::All, _)
            | (Self::Exchanges, Subject::Exchange(_))
            | (Self::Queues, Subject::Queue(..))
            | (Self::ClassicQueues, Subject::Queue(_, QueueType::Classic))
            | (Self::QuorumQueues, Subject::Queue(_, QueueType::Quorum)) => true,
            (Self::Exchanges, Subject::Queue(..))
            | (
                Self::Queues | Self::ClassicQueues | Self::QuorumQueues | Self::Streams,
                Subject::Exchange(_) | Subject::Queue(..),
            ) => false,
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "policy",
            Self::Operator => "operator policy",
        })
    }
}

impl Policy {
    fn matches(&self, subject: Subject<'_>) -> bool {
        let (Subject::Exchange(name) | Subject::Queue(name, _)) = subject;
        let is_for_all = self.pattern.as_str().is_empty();
        self.apply_to.is_about(subject) && (is_for_all || self.pattern.is_match(name))
    }
}

impl EffectivePolicy {
    /// What a queue with these arguments does.
    #[must_use]
    pub fn arguments_for(&self, declared: &Arguments) -> Arguments {
        definition::with_arguments(&self.definition, declared)
    }
}

impl Policies {
    /// Adds or replaces a policy; says whether it is new.
    pub fn put(&mut self, kind: PolicyKind, policy: Policy) -> bool {
        self.effective.clear();
        self.of_mut(kind).insert(policy.name.clone(), Arc::new(policy)).is_none()
    }

    /// Removes a policy; says whether it was there.
    pub fn remove(&mut self, kind: PolicyKind, name: &str) -> bool {
        self.effective.clear();
        self.of_mut(kind).remove(name).is_some()
    }

    /// Whether there is none of either kind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.user.is_empty() && self.operator.is_empty()
    }

    /// The policy with this name.
    #[must_use]
    pub fn policy(&self, kind: PolicyKind, name: &str) -> Option<Arc<Policy>> {
        self.of(kind).get(name).cloned()
    }

    /// All of a kind, by name.
    pub fn policies(&self, kind: PolicyKind) -> btree_map::Values<'_, Name, Arc<Policy>> {
        self.of(kind).values()
    }

    /// What they make of a queue or exchange; none if they make nothing of it.
    pub fn effective(&mut self, subject: Subject<'_>) -> Option<Arc<EffectivePolicy>> {
        let policy = best(&self.user, subject);
        let operator = best(&self.operator, subject);
        if policy.is_none() && operator.is_none() {
            return None;
        }
        let name = |policy: &Option<&Arc<Policy>>| policy.map(|policy| policy.name.clone());
        let key = (name(&policy), name(&operator));
        if let Some(known) = self.effective.get(&key) {
            return Some(Arc::clone(known));
        }
        let definition = |policy: Option<&Arc<Policy>>| {
            policy.map(|policy| policy.definition.arguments().clone()).unwrap_or_default()
        };
        let definition = definition::with_operator(&definition(policy), &definition(operator));
        let (policy, operator_policy) = key.clone();
        let effective = Arc::new(EffectivePolicy { policy, operator_policy, definition });
        self.effective.insert(key, Arc::clone(&effective));
        Some(effective)
    }

    fn of(&self, kind: PolicyKind) -> &BTreeMap<Name, Arc<Policy>> {
        match kind {
            PolicyKind::User => &self.user,
            PolicyKind::Operator => &self.operator,
        }
    }

    fn of_mut(&mut self, kind: PolicyKind) -> &mut BTreeMap<Name, Arc<Policy>> {
        match kind {
            PolicyKind::User => &mut self.user,
            PolicyKind::Operator => &mut self.operator,
        }
    }
}

/// The policy that counts: among equals the first by name.
fn best<'a>(policies: &'a BTreeMap<Name, Arc<Policy>>, subject: Subject<'_>) -> Option<&'a Arc<Policy>> {
    let matching = policies.values().filter(|policy| policy.matches(subject));
    matching.reduce(|best, other| if other.priority > best.priority { other } else { best })
}

#[cfg(test)]
mod tests {
    use amq_protocol::types::{AMQPValue, FieldTable};

    use super::*;

    fn arguments(pairs: &[(&str, AMQPValue)]) -> Arguments {
        let mut table = FieldTable::default();
        for (key, value) in pairs {
            table.insert((*key).into(), value.clone());
        }
        table.into()
    }

    fn number(number: i64) -> AMQPValue {
        AMQPValue::LongLongInt(number)
    }

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn policy(name: &'static str, pattern: &str, apply_to: &str, priority: i64, max_length: i64) -> Policy {
        let definition = arguments(&[("max-length", number(max_length))]);
        Policy {
            name: Name::literal(name),
            pattern: Pattern::parse(pattern).unwrap(),
            apply_to: ApplyTo::parse(apply_to).unwrap(),
            priority,
            definition: PolicyDefinition::parse(PolicyKind::User, definition).unwrap(),
        }
    }

    #[test]
    fn one_policy_counts() {
        let mut policies = Policies::default();
        for policy in [
            policy("low", "", "all", -1, 1),
            policy("queues", "^q", "queues", 0, 2),
            policy("also queues", "^q", "queues", 0, 3),
            policy("quorum", "m", "quorum_queues", 5, 4),
            policy("streams", "", "streams", 9, 5),
            policy("exchanges", "x$", "exchanges", 0, 6),
        ] {
            assert!(policies.put(PolicyKind::User, policy));
        }
        let mut name = |subject| {
            let effective = policies.effective(subject)?;
            effective.policy.as_ref().map(ToString::to_string)
        };
        for (subject, expected) in [
            (Subject::Queue("q1", QueueType::Classic), "also queues"),
            (Subject::Queue("", QueueType::Classic), "low"),
            (Subject::Queue("qm", QueueType::Quorum), "quorum"),
            (Subject::Queue("qm", QueueType::Classic), "also queues"),
            (Subject::Exchange("qx"), "exchanges"),
            (Subject::Exchange("xq"), "low"),
        ] {
            assert_eq!(name(subject).as_deref(), Some(expected), "{subject:?}");
        }
        assert!(policies.remove(PolicyKind::User, "low"));
        assert!(!policies.remove(PolicyKind::User, "low"));
        assert_eq!(policies.effective(Subject::Exchange("xq")), None);
    }

    #[test]
    fn an_operator_s_limit_holds_whatever_the_policy_says() {
        let queue = Subject::Queue("q", QueueType::Classic);
        let mut policies = Policies::default();
        policies.put(PolicyKind::Operator, policy("o", "", "all", 0, 5));
        let mut definition = |max_length| {
            policies.put(PolicyKind::User, policy("p", "", "all", 0, max_length));
            policies.effective(queue).unwrap().definition.integer("max-length")
        };
        assert_eq!([3, 7].map(&mut definition), [Some(3), Some(5)]);
    }

    #[test]
    fn the_smaller_number_counts_and_the_declared_word() {
        let definition = arguments(&[
            ("max-length", number(5)),
            ("message-ttl", number(5)),
            ("overflow", text("reject-publish")),
            ("dead-letter-exchange", text("policy")),
        ]);
        let effective = EffectivePolicy { policy: None, operator_policy: None, definition };
        let declared = arguments(&[
            ("x-max-length", number(3)),
            ("x-message-ttl", number(7)),
            ("x-dead-letter-exchange", text("argument")),
            ("x-max-priority", number(2)),
        ]);
        let expected = arguments(&[
            ("x-max-length", number(3)),
            ("x-message-ttl", number(5)),
            ("x-overflow", text("reject-publish")),
            ("x-dead-letter-exchange", text("argument")),
            ("x-max-priority", number(2)),
        ]);
        assert_eq!(effective.arguments_for(&declared), expected);
    }
}
