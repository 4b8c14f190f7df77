//! Headers exchanges: the message's headers against the binding's arguments.
//!
//! | `x-match` | matches when | looks at arguments `x-…` |
//! |---|---|---|
//! | `all` (default) | every argument matches; also when there is none | no |
//! | `any` | at least one argument matches | no |
//! | `all-with-x`, `any-with-x` | likewise | yes, but not `x-match` |
//!
//! A void argument matches any value under its key; otherwise the types must be of one class (all integers,
//! all floats, strings and bytes) and the values equal. Within arrays and tables the types must be the same.
//!
//! Bindings are indexed by condition: an `all` binding under one of its conditions (the rarest when it was
//! bound), an `any` binding under each. A message looks at the bindings found under its own headers only.

use std::hash::{BuildHasher, Hash, Hasher};

use amq_protocol::types::{AMQPValue, FieldTable};
use foldhash::fast::FixedState;

use super::{BindingId, Map, Target, Targets};
use crate::model::arguments::{Arguments, erlang_term, type_name};

const X_MATCH: &str = "x-match";

/// A message's headers, as a headers exchange reads them.
pub trait HeaderTable {
    /// Appends all keys and values, in any order.
    fn read_headers<'a>(&'a self, into: &mut Vec<(&'a [u8], HeaderValue<'a>)>);
}

/// A field value with its type reduced to the class that headers exchanges compare.
#[derive(Clone, Debug)]
pub enum HeaderValue<'a> {
    /// Nothing.
    Void,
    /// A truth value.
    Bool(bool),
    /// An integer of any width.
    Integer(i64),
    /// A float of any width.
    Float(f64),
    /// A decimal: scale and value.
    Decimal(u8, u32),
    /// A string, or bytes.
    Bytes(&'a [u8]),
    /// Seconds since 1970.
    Timestamp(u64),
    /// An array or table.
    Nested(std::borrow::Cow<'a, AMQPValue>),
}

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
        table: Option<&dyn HeaderTable>,
        visit: &mut dyn FnMut(&'a Target),
    ) {
        self.unconditional.visit(visit);
        if self.rules.is_empty() {
            return;
        }
        let mut headers = Vec::new();
        if let Some(table) = table {
            table.read_headers(&mut headers);
        }
        // Of several headers with one key the first counts; sorting is stable.
        headers.sort_by_key(|(key, _)| *key);
        headers.dedup_by_key(|(key, _)| *key);
        for (key, value) in &headers {
            self.visit_bucket(condition_hash(key, value), &headers, visit);
            if !value.is_hashed_as_void() {
                self.visit_bucket(condition_hash(key, &HeaderValue::Void), &headers, visit);
            }
        }
    }

    fn visit_bucket<'a>(
        &'a self,
        hash: u64,
        headers: &[(&[u8], HeaderValue<'_>)],
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

    fn is_met_by(&self, headers: &[(&[u8], HeaderValue<'_>)]) -> bool {
        let mut conditions = self.conditions.iter();
        if self.needs_all {
            conditions.all(|condition| condition.is_met_by(headers))
        } else {
            conditions.any(|condition| condition.is_met_by(headers))
        }
    }
}

impl Condition {
    fn is_met_by(&self, headers: &[(&[u8], HeaderValue<'_>)]) -> bool {
        let Ok(index) = headers.binary_search_by_key(&&*self.key, |(key, _)| *key) else { return false };
        let wanted = HeaderValue::from(&self.value);
        matches!(wanted, HeaderValue::Void) || wanted == headers[index].1
    }

    fn hash(&self) -> u64 {
        condition_hash(&self.key, &HeaderValue::from(&self.value))
    }
}

fn condition_hash(key: &[u8], value: &HeaderValue<'_>) -> u64 {
    FixedState::default().hash_one((key, value))
}

impl HeaderValue<'_> {
    /// Arrays and tables are found under their key alone.
    fn is_hashed_as_void(&self) -> bool {
        matches!(self, Self::Void | Self::Nested(_))
    }
}

impl PartialEq for HeaderValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Void, Self::Void) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Decimal(scale_a, a), Self::Decimal(scale_b, b)) => (scale_a, a) == (scale_b, b),
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Nested(a), Self::Nested(b)) => a == b,
            _ => false,
        }
    }
}

/// Equal values hash alike; values of different classes may.
impl Hash for HeaderValue<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Void | Self::Nested(_) => {}
            Self::Bool(value) => value.hash(state),
            Self::Integer(value) => value.hash(state),
            // Both zeros are equal.
            Self::Float(value) => (value + 0.0).to_bits().hash(state),
            Self::Decimal(scale, value) => (scale, value).hash(state),
            Self::Bytes(bytes) => bytes.hash(state),
            Self::Timestamp(value) => value.hash(state),
        }
    }
}

impl<'a> From<&'a AMQPValue> for HeaderValue<'a> {
    fn from(value: &'a AMQPValue) -> Self {
        match value {
            AMQPValue::Void => Self::Void,
            AMQPValue::Boolean(value) => Self::Bool(*value),
            AMQPValue::ShortShortInt(value) => Self::Integer((*value).into()),
            AMQPValue::ShortShortUInt(value) => Self::Integer((*value).into()),
            AMQPValue::ShortInt(value) => Self::Integer((*value).into()),
            AMQPValue::ShortUInt(value) => Self::Integer((*value).into()),
            AMQPValue::LongInt(value) => Self::Integer((*value).into()),
            AMQPValue::LongUInt(value) => Self::Integer((*value).into()),
            AMQPValue::LongLongInt(value) => Self::Integer(*value),
            AMQPValue::Float(value) => Self::Float((*value).into()),
            AMQPValue::Double(value) => Self::Float(*value),
            AMQPValue::DecimalValue(decimal) => Self::Decimal(decimal.scale, decimal.value),
            AMQPValue::ShortString(text) => Self::Bytes(text.as_str().as_bytes()),
            AMQPValue::LongString(text) => Self::Bytes(text.as_bytes()),
            AMQPValue::ByteArray(bytes) => Self::Bytes(bytes.as_slice()),
            AMQPValue::Timestamp(value) => Self::Timestamp(*value),
            AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) => {
                Self::Nested(std::borrow::Cow::Borrowed(value))
            }
        }
    }
}

impl HeaderTable for FieldTable {
    fn read_headers<'a>(&'a self, into: &mut Vec<(&'a [u8], HeaderValue<'a>)>) {
        into.extend(self.inner().iter().map(|(key, value)| (key.as_str().as_bytes(), value.into())));
    }
}
