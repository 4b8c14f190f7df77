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

#[cfg(test)]
mod tests {
    use amq_protocol::types::{DecimalValue, FieldTable};
    use proptest::prelude::*;

    use super::*;
    use crate::{model::queue_id::QueueId, wire::table::encode_table};

    type Entries<'a> = &'a [(&'a str, AMQPValue)];

    fn table(entries: Entries<'_>) -> FieldTable {
        let mut table = FieldTable::default();
        for (key, value) in entries {
            table.insert((*key).into(), value.clone());
        }
        table
    }

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn int(value: i32) -> AMQPValue {
        AMQPValue::LongInt(value)
    }

    /// The numbers of the matching bindings; binding `n` leads to queue `n`.
    fn matching(router: &HeadersRouter, headers: &FieldTable) -> Vec<u64> {
        let bytes = encode_table(headers);
        let mut found = Vec::new();
        router.visit_matching(Some(RawTable::parse(&bytes).unwrap().0), &mut |target| {
            if let Target::Queue(QueueId(number)) = target {
                found.push(*number);
            }
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    fn is_match(arguments: Entries<'_>, headers: Entries<'_>) -> bool {
        let mut router = HeadersRouter::default();
        router.add(BindingId(0), &table(arguments).into(), Target::Queue(QueueId(0)));
        let is_match = !matching(&router, &table(headers)).is_empty();
        router.remove(BindingId(0));
        assert!(router.rules.is_empty() && router.by_condition.is_empty() && router.unconditional.is_empty());
        is_match
    }

    #[test]
    fn x_match_says_how_many_must_match() {
        let (one, both) = ([("a", int(1))], [("a", int(1)), ("b", int(2))]);
        for (x_match, headers, expected) in [
            ("all", &both[..], true),
            ("all", &one, false),
            ("all", &[], false),
            ("any", &both, true),
            ("any", &one, true),
            ("any", &[("b", int(2)), ("c", int(3))], true),
            ("any", &[("c", int(3))], false),
            ("any", &[], false),
            ("all-with-x", &both, true),
            ("all-with-x", &one, false),
            ("any-with-x", &one, true),
        ] {
            let arguments = [("x-match", text(x_match)), ("a", int(1)), ("b", int(2))];
            assert_eq!(is_match(&arguments, headers), expected, "{x_match} {headers:?}");
        }
        assert!(is_match(&both, &both), "all is the default");
        assert!(!is_match(&both, &one), "all is the default");
    }

    #[test]
    fn x_arguments_count_with_x_only() {
        let x = ("x-foo", int(1));
        for (x_match, headers, expected) in [
            ("all", &[][..], true),
            ("any", std::slice::from_ref(&x), false),
            ("all-with-x", std::slice::from_ref(&x), true),
            ("all-with-x", &[], false),
            ("any-with-x", std::slice::from_ref(&x), true),
            ("any-with-x", &[], false),
            ("any-with-x", &[("x-match", text("any-with-x"))], false),
        ] {
            let arguments = [("x-match", text(x_match)), x.clone()];
            assert_eq!(is_match(&arguments, headers), expected, "{x_match} {headers:?}");
        }
    }

    #[test]
    fn no_condition_is_always_all_and_never_any() {
        for (x_match, expected) in
            [("all", true), ("all-with-x", true), ("any", false), ("any-with-x", false)]
        {
            let arguments = [("x-match", text(x_match))];
            assert_eq!(is_match(&arguments, &[]), expected, "{x_match}");
            assert_eq!(is_match(&arguments, &[("a", int(1))]), expected, "{x_match}");
        }
        assert!(is_match(&[], &[]));
    }

    #[test]
    fn all_without_conditions_takes_messages_without_headers() {
        let mut router = HeadersRouter::default();
        router.add(BindingId(0), &Arguments::default(), Target::Queue(QueueId(0)));
        router.add(BindingId(1), &table(&[("a", AMQPValue::Void)]).into(), Target::Queue(QueueId(1)));
        let mut found = Vec::new();
        router.visit_matching(None, &mut |target| found.push(target.clone()));
        assert_eq!(found, [Target::Queue(QueueId(0))]);
    }

    #[test]
    fn values_are_equal_within_a_class() {
        let array = |value| AMQPValue::FieldArray(vec![value].into());
        let decimal = |scale, value| AMQPValue::DecimalValue(DecimalValue { scale, value });
        for (wanted, value, expected) in [
            (int(1), int(1), true),
            (int(1), int(2), false),
            (int(1), AMQPValue::LongLongInt(1), true),
            (int(-1), AMQPValue::ShortShortInt(-1), true),
            (AMQPValue::ShortShortUInt(200), AMQPValue::LongUInt(200), true),
            (int(1), text("1"), false),
            (AMQPValue::Boolean(true), int(1), false),
            (AMQPValue::Boolean(true), AMQPValue::Boolean(true), true),
            (text("b"), text("b"), true),
            (text("b"), text("B"), false),
            (text("b"), AMQPValue::ByteArray(b"b".as_slice().into()), true),
            (AMQPValue::Float(0.5), AMQPValue::Double(0.5), true),
            (AMQPValue::Double(-0.0), AMQPValue::Double(0.0), true),
            (decimal(2, 314), decimal(2, 314), true),
            (decimal(2, 314), decimal(1, 314), false),
            (AMQPValue::Timestamp(7), AMQPValue::Timestamp(7), true),
            (array(int(1)), array(int(1)), true),
            (array(int(1)), array(int(2)), false),
            (array(int(1)), array(AMQPValue::LongLongInt(1)), false),
            (
                AMQPValue::FieldTable(table(&[("k", int(1))])),
                AMQPValue::FieldTable(table(&[("k", int(1))])),
                true,
            ),
            // Void asks for presence; a void header has no other value.
            (AMQPValue::Void, int(1), true),
            (AMQPValue::Void, AMQPValue::Void, true),
            (AMQPValue::Void, array(int(1)), true),
            (int(1), AMQPValue::Void, false),
        ] {
            for x_match in ["all", "any"] {
                let arguments = [("x-match", text(x_match)), ("a", wanted.clone())];
                let headers = [("a", value.clone())];
                assert_eq!(is_match(&arguments, &headers), expected, "{wanted:?} {value:?}");
                assert!(!is_match(&arguments, &[("A", value.clone())]), "keys differ in case");
            }
        }
    }

    #[test]
    fn of_repeated_headers_the_first_counts() {
        let mut router = HeadersRouter::default();
        router.add(BindingId(0), &table(&[("a", int(1))]).into(), Target::Queue(QueueId(0)));
        for (entries, expected) in [(b"\x01at\x01\x01aI\0\0\0\x01", 0), (b"\x01aI\0\0\0\x01\x01at\x01", 1)] {
            let mut found = 0;
            router.visit_matching(Some(RawTable::parse_entries(entries).unwrap()), &mut |_| found += 1);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn x_match_must_be_known() {
        for known in ["all", "any", "all-with-x", "any-with-x"] {
            assert_eq!(check_x_match(&table(&[("x-match", text(known))]).into()), Ok(()));
        }
        let of_type = "Invalid x-match field type";
        let of_value = "Invalid x-match field value";
        let kinds = "expected all, any, all-with-x, or any-with-x";
        for (value, expected) in [
            (text("foo"), format!("{of_value} <<\"foo\">>; {kinds}")),
            (text(""), format!("{of_value} <<>>; {kinds}")),
            (text("a\"b\n"), format!("{of_value} <<\"a\\\"b\\n\">>; {kinds}")),
            (int(5), format!("{of_type} signedint (value 5); expected longstr")),
            (AMQPValue::Boolean(true), format!("{of_type} bool (value true); expected longstr")),
            (AMQPValue::Void, format!("{of_type} void (value undefined); expected longstr")),
            (
                AMQPValue::ByteArray([255, 0].as_slice().into()),
                format!("{of_type} binary (value <<255,0>>); expected longstr"),
            ),
            (
                AMQPValue::FieldArray(vec![text("a"), int(1)].into()),
                format!("{of_type} array (value [{{longstr,<<\"a\">>}},{{signedint,1}}]); expected longstr"),
            ),
        ] {
            let error = check_x_match(&table(&[("x-match", value)]).into()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn bindings_that_differ_elsewhere_are_not_looked_at() {
        let mut router = HeadersRouter::default();
        for number in 0..1_000 {
            let arguments = table(&[("format", text("pdf")), ("id", int(number.try_into().unwrap()))]);
            router.add(BindingId(number), &arguments.into(), Target::Queue(QueueId(number)));
        }
        let longest = router.by_condition.values().map(Vec::len).max();
        assert_eq!(longest, Some(1), "each stands under its rare condition");
        assert_eq!(matching(&router, &table(&[("format", text("pdf")), ("id", int(77))])), [77]);
    }

    fn value() -> impl Strategy<Value = AMQPValue> {
        proptest::sample::select(vec![
            AMQPValue::Void,
            int(1),
            AMQPValue::LongLongInt(1),
            text("1"),
            AMQPValue::FieldArray(vec![int(1)].into()),
        ])
    }

    fn entries() -> impl Strategy<Value = Vec<(&'static str, AMQPValue)>> {
        proptest::collection::vec((proptest::sample::select(vec!["a", "b", "x-c"]), value()), 0..4)
    }

    /// The rule in its plainest form.
    fn is_match_by_rule(arguments: &FieldTable, headers: &FieldTable) -> bool {
        let bytes = encode_table(headers);
        let headers = RawTable::parse(&bytes).unwrap().0;
        let x_match = match arguments.inner().get("x-match") {
            Some(AMQPValue::LongString(x_match)) => x_match.to_string(),
            _ => "all".to_owned(),
        };
        let mut met = arguments
            .inner()
            .iter()
            .filter(|(key, _)| key.as_str() != "x-match")
            .filter(|(key, _)| x_match.ends_with("-with-x") || !key.as_str().starts_with("x-"))
            .map(|(key, wanted)| {
                headers
                    .get(key.as_str())
                    .is_some_and(|value| *wanted == AMQPValue::Void || value.equals(wanted))
            });
        if x_match.starts_with("all") { met.all(|is_met| is_met) } else { met.any(|is_met| is_met) }
    }

    proptest! {
        #[test]
        fn index_agrees_with_the_rule(
            bindings in proptest::collection::vec(
                (proptest::sample::select(vec!["all", "any", "all-with-x", "any-with-x"]), entries(), any::<bool>()),
                0..12,
            ),
            headers in entries(),
        ) {
            let headers = table(&headers);
            let mut router = HeadersRouter::default();
            let mut expected = Vec::new();
            for (number, (x_match, entries, _)) in (0..).zip(&bindings) {
                let mut arguments = table(entries);
                arguments.insert("x-match".into(), text(x_match));
                router.add(BindingId(number), &arguments.into(), Target::Queue(QueueId(number)));
            }
            for (number, (x_match, entries, is_removed)) in (0..).zip(&bindings) {
                let mut arguments = table(entries);
                arguments.insert("x-match".into(), text(x_match));
                if *is_removed {
                    router.remove(BindingId(number));
                } else if is_match_by_rule(&arguments, &headers) {
                    expected.push(number);
                }
            }
            prop_assert_eq!(matching(&router, &headers), expected);
        }
    }
}
