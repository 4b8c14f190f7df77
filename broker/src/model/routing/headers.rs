//! Headers exchanges: the message's headers against the binding's arguments.
//!
//! | `x-match` | matches when | looks at arguments `x-…` |
//! |---|---|---|
//! | `all` (default) | every argument matches; also when there is none | no |
//! | `any` | at least one argument matches | no |
//! | `all-with-x`, `any-with-x` | likewise | yes, but not `x-match` |
//!
//! A void argument matches any value under its key; otherwise the values must be equal, which
//! [`RawValue::equals`] decides.
//!
//! Bindings are indexed by condition: an `all` binding under one of its conditions (the rarest when it was
//! bound), an `any` binding under each. A message looks at the bindings found under its own headers only.

use std::hash::BuildHasher;

use amq_protocol::types::AMQPValue;
use foldhash::fast::FixedState;

use super::{BindingId, Map, Target, Targets};
use crate::{
    model::arguments::{Arguments, erlang_term, type_name},
    wire::table::{RawTable, RawValue},
};

const X_MATCH: &str = "x-match";

/// Why a binding's `x-match` was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct XMatchError(AMQPValue);

/// Whether a headers exchange understands a binding's `x-match`.
pub fn check_x_match(arguments: &Arguments) -> Result<(), XMatchError> {
    Rule::parse_x_match(arguments).map(|_| ())
}

impl std::fmt::Display for XMatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = erlang_term(&self.0);
        match &self.0 {
            AMQPValue::LongString(_) => {
                write!(f, "Invalid x-match field value {value}; expected all, any, all-with-x, or any-with-x")
            }
            other => {
                write!(f, "Invalid x-match field type {} (value {value}); expected longstr", type_name(other))
            }
        }
    }
}

/// Bindings by their conditions.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadersRouter {
    rules: Map<BindingId, Rule>,
    /// Bindings that match every message.
    unconditional: Targets,
    /// By hash of a condition. Bindings of different conditions may share a hash: rules are always checked.
    by_condition: Map<u64, Vec<BindingId>>,
}

/// One binding.
#[derive(Clone, Debug)]
struct Rule {
    target: Target,
    needs_all: bool,
    conditions: Vec<Condition>,
    /// The hashes it stands under in `by_condition`.
    indexed_under: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Condition {
    key: Box<[u8]>,
    /// Void: any value will do.
    value: AMQPValue,
}

/// A message's headers, sorted by key.
type Headers<'a> = Vec<(&'a [u8], RawValue<'a>)>;

/// `x-match`, taken apart.
#[derive(Clone, Copy)]
struct XMatch {
    needs_all: bool,
    with_x: bool,
}

impl HeadersRouter {
    pub(super) fn add(&mut self, id: BindingId, arguments: &Arguments, target: Target) {
        let mut rule = Rule::new(arguments, target);
        if rule.needs_all && rule.conditions.is_empty() {
            self.unconditional.add(id, rule.target);
            return;
        }
        rule.indexed_under = self.choose_index(&rule);
        for hash in &rule.indexed_under {
            self.by_condition.entry(*hash).or_default().push(id);
        }
        self.rules.insert(id, rule);
    }

    pub(super) fn remove(&mut self, id: BindingId) {
        let Some(rule) = self.rules.remove(&id) else {
            self.unconditional.remove(id);
            return;
        };
        for hash in rule.indexed_under {
            let Some(ids) = self.by_condition.get_mut(&hash) else { continue };
            if let Ok(index) = ids.binary_search(&id) {
                ids.remove(index);
            }
            if ids.is_empty() {
                self.by_condition.remove(&hash);
            }
        }
    }

    pub(super) fn visit_matching<'a>(
        &'a self,
        table: Option<RawTable<'_>>,
        visit: &mut dyn FnMut(&'a Target),
    ) {
        self.unconditional.visit(visit);
        if self.rules.is_empty() {
            return;
        }
        let mut headers: Headers<'_> = table.iter().flat_map(RawTable::iter).collect();
        // Of several headers with one key the first counts; sorting is stable.
        headers.sort_by_key(|(key, _)| *key);
        headers.dedup_by_key(|(key, _)| *key);
        for (key, value) in &headers {
            self.visit_bucket(condition_hash(key, None), &headers, visit);
            if let Some(fingerprint) = fingerprint_of_header(value) {
                self.visit_bucket(condition_hash(key, Some(fingerprint)), &headers, visit);
            }
        }
    }

    fn visit_bucket<'a>(
        &'a self,
        hash: u64,
        headers: &[(&[u8], RawValue<'_>)],
        visit: &mut dyn FnMut(&'a Target),
    ) {
        for id in self.by_condition.get(&hash).into_iter().flatten() {
            if let Some(rule) = self.rules.get(id)
                && rule.is_met_by(headers)
            {
                visit(&rule.target);
            }
        }
    }

    /// Under which hashes a message must be able to find the rule.
    fn choose_index(&self, rule: &Rule) -> Vec<u64> {
        let mut hashes: Vec<u64> = rule.conditions.iter().map(Condition::hash).collect();
        if rule.needs_all {
            let bucket_len = |hash: &u64| self.by_condition.get(hash).map_or(0, Vec::len);
            return hashes.into_iter().min_by_key(bucket_len).into_iter().collect();
        }
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }
}

impl Rule {
    fn new(arguments: &Arguments, target: Target) -> Self {
        // What was bound has been checked; nothing better could be done here with what was not.
        let x_match = Self::parse_x_match(arguments).unwrap_or(XMatch { needs_all: true, with_x: false });
        let is_condition = |key: &str| if x_match.with_x { key != X_MATCH } else { !key.starts_with("x-") };
        let conditions = arguments
            .iter()
            .filter(|(key, _)| is_condition(key))
            .map(|(key, value)| Condition { key: key.as_bytes().into(), value: value.clone() })
            .collect();
        Self { target, needs_all: x_match.needs_all, conditions, indexed_under: Vec::new() }
    }

    fn parse_x_match(arguments: &Arguments) -> Result<XMatch, XMatchError> {
        let Some(value) = arguments.value(X_MATCH) else {
            return Ok(XMatch { needs_all: true, with_x: false });
        };
        let text = match value {
            AMQPValue::LongString(text) => text.as_bytes(),
            other => return Err(XMatchError(other.clone())),
        };
        Ok(match text {
            b"all" => XMatch { needs_all: true, with_x: false },
            b"any" => XMatch { needs_all: false, with_x: false },
            b"all-with-x" => XMatch { needs_all: true, with_x: true },
            b"any-with-x" => XMatch { needs_all: false, with_x: true },
            _ => return Err(XMatchError(value.clone())),
        })
    }

    fn is_met_by(&self, headers: &[(&[u8], RawValue<'_>)]) -> bool {
        let mut conditions = self.conditions.iter();
        if self.needs_all {
            conditions.all(|condition| condition.is_met_by(headers))
        } else {
            conditions.any(|condition| condition.is_met_by(headers))
        }
    }
}

impl Condition {
    fn is_met_by(&self, headers: &[(&[u8], RawValue<'_>)]) -> bool {
        let Ok(index) = headers.binary_search_by_key(&&*self.key, |(key, _)| *key) else { return false };
        self.value == AMQPValue::Void || headers[index].1.equals(&self.value)
    }

    fn hash(&self) -> u64 {
        condition_hash(&self.key, fingerprint_of_argument(&self.value))
    }
}

fn condition_hash(key: &[u8], fingerprint: Fingerprint) -> u64 {
    FixedState::default().hash_one((key, fingerprint))
}

/// What equal values have in common: the value as a number, or its bytes. None for nothing and for values that
/// are found under their key alone.
type Fingerprint = Option<u64>;

fn fingerprint_of_header(value: &RawValue<'_>) -> Fingerprint {
    match *value {
        RawValue::Bool(value) => Some(u64::from(value)),
        RawValue::Int8(value) => number(value),
        RawValue::UInt8(value) => number(value),
        RawValue::Int16(value) => number(value),
        RawValue::UInt16(value) => number(value),
        RawValue::Int32(value) => number(value),
        RawValue::UInt32(value) => number(value),
        RawValue::Int64(value) => number(value as f64),
        RawValue::Float(value) => number(value),
        RawValue::Double(value) => number(value),
        RawValue::Timestamp(value) => number(value as f64),
        RawValue::LongString(bytes) | RawValue::Bytes(bytes) => text(bytes),
        RawValue::Decimal { .. } | RawValue::Table(_) | RawValue::Array(_) | RawValue::Void => None,
    }
}

pub(crate) fn fingerprint_of_argument(value: &AMQPValue) -> Fingerprint {
    match value {
        AMQPValue::Boolean(value) => Some(u64::from(*value)),
        AMQPValue::ShortShortInt(value) => number(*value),
        AMQPValue::ShortShortUInt(value) => number(*value),
        AMQPValue::ShortInt(value) => number(*value),
        AMQPValue::ShortUInt(value) => number(*value),
        AMQPValue::LongInt(value) => number(*value),
        AMQPValue::LongUInt(value) => number(*value),
        AMQPValue::LongLongInt(value) => number(*value as f64),
        AMQPValue::Float(value) => number(*value),
        AMQPValue::Double(value) => number(*value),
        AMQPValue::Timestamp(value) => number(*value as f64),
        AMQPValue::ShortString(value) => text(value.as_str().as_bytes()),
        AMQPValue::LongString(value) => text(value.as_bytes()),
        AMQPValue::ByteArray(value) => text(value.as_slice()),
        AMQPValue::DecimalValue(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::Void => None,
    }
}

/// Numbers of different types may be equal, and are equal as doubles then. Both zeros are one.
fn number(value: impl Into<f64>) -> Fingerprint {
    Some((value.into() + 0.0).to_bits())
}

fn text(bytes: &[u8]) -> Fingerprint {
    Some(FixedState::default().hash_one(bytes))
}
