//! Each rule of exchanges and bindings for itself. The expected texts are what RabbitMQ answers.

use amq_protocol::types::{AMQPValue, FieldTable};

use super::*;
use crate::wire::table::{RawTable, encode_table};

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn arguments(entries: &[(&str, AMQPValue)]) -> crate::model::arguments::Arguments {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table.into()
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

pub(super) fn exchange(text: &str, kind: ExchangeKind) -> Exchange {
    Exchange {
        name: name(text),
        kind,
        is_durable: true,
        is_auto_delete: false,
        is_internal: false,
        arguments: Default::default(),
    }
}

pub(super) fn auto_delete(text: &str, kind: ExchangeKind) -> Exchange {
    Exchange { is_auto_delete: true, ..exchange(text, kind) }
}

pub(super) fn with_alternate(text: &str, alternate: &str) -> Exchange {
    let arguments = arguments(&[(ALTERNATE_EXCHANGE, self::text(alternate))]);
    Exchange { arguments, ..exchange(text, ExchangeKind::Direct) }
}

fn to_queue(source: &str, queue: &str, key: &str) -> Binding {
    let destination = Destination::Queue(name(queue));
    Binding { source: name(source), destination, binding_key: name(key), arguments: Default::default() }
}

fn to_exchange(source: &str, destination: &str, key: &str) -> Binding {
    Binding { destination: Destination::Exchange(name(destination)), ..to_queue(source, "", key) }
}

/// A topology with these exchanges, queues `q1` to `q9` with those ids, and these bindings.
fn topology(exchanges: &[Exchange], bindings: &[Binding]) -> Topology {
    let mut topology = Topology::new();
    for exchange in exchanges {
        assert_eq!(topology.declare_exchange(exchange.clone()), Ok(Declared::Created));
    }
    for id in 1..10 {
        assert_eq!(topology.add_queue(name(&format!("q{id}")), QueueId(id), true), Declared::Created);
    }
    for binding in bindings {
        assert_eq!(topology.bind(binding.clone()), Ok(Bound::Added));
    }
    topology
}

pub(super) fn route(topology: &Topology, exchange: &str, key: &str) -> Vec<u64> {
    let mut out = vec![QueueId(99)];
    topology.route(exchange, &[key.as_bytes()], None, &mut out).unwrap();
    out.into_iter().map(|id| id.0).collect()
}

fn names(removed: &Removed) -> Vec<&str> {
    let mut names: Vec<&str> = removed.exchanges.iter().map(|exchange| exchange.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_vhost_has_the_standard_exchanges() {
    let topology = Topology::new();
    let mut found: Vec<_> = topology
        .exchanges()
        .map(|exchange| (exchange.name.as_str(), exchange.kind.as_str(), exchange.is_internal))
        .collect();
    found.sort_unstable();
    let expected = [
        ("", "direct", false),
        ("amq.direct", "direct", false),
        ("amq.fanout", "fanout", false),
        ("amq.headers", "headers", false),
        ("amq.match", "headers", false),
        ("amq.rabbitmq.trace", "topic", true),
        ("amq.topic", "topic", false),
    ];
    assert_eq!(found, expected);
    assert!(topology.exchanges().all(|exchange| exchange.is_durable && !exchange.is_auto_delete));
}

#[test]
fn declaring_again_is_fine_when_equivalent() {
    let mut topology = Topology::new();
    let direct = exchange("x", ExchangeKind::Direct);
    assert_eq!(topology.check_declare(&direct), Ok(Declared::Created));
    assert_eq!(topology.declare_exchange(direct.clone()), Ok(Declared::Created));
    assert_eq!(topology.declare_exchange(direct.clone()), Ok(Declared::Existing));
    let other_argument = Exchange { arguments: arguments(&[("foo", text("bar"))]), ..direct };
    assert_eq!(topology.declare_exchange(other_argument), Ok(Declared::Existing));
    assert!(topology.exchange("x").unwrap().arguments.is_empty());
    let standard = exchange("amq.direct", ExchangeKind::Direct);
    assert_eq!(topology.declare_exchange(standard), Ok(Declared::Existing));
}

#[test]
fn refused_declares_say_why() {
    let plain = Exchange { is_durable: false, ..exchange("x", ExchangeKind::Direct) };
    let alternate = with_alternate("y", "ae");
    let ae = |value| arguments(&[(ALTERNATE_EXCHANGE, value)]);
    let topology = topology(&[plain.clone(), alternate.clone()], &[]);
    let differs = |argument: &str, exchange: &str, values: &str| {
        format!("inequivalent arg '{argument}' for exchange '{exchange}' in vhost '/': {values}")
    };
    let typed_5 = AMQPValue::LongInt(5);
    for (declared, expected) in [
        (exchange("", ExchangeKind::Direct), "operation not permitted on the default exchange".to_owned()),
        (
            exchange("amq.new", ExchangeKind::Direct),
            "exchange name 'amq.new' contains reserved prefix 'amq.*'".to_owned(),
        ),
        (
            exchange("amq.direct", ExchangeKind::Fanout),
            differs("type", "amq.direct", "received 'fanout' but current is 'direct'"),
        ),
        // Of several differences the first is told.
        (
            exchange("x", ExchangeKind::Fanout),
            differs("type", "x", "received 'fanout' but current is 'direct'"),
        ),
        (
            Exchange { is_durable: true, ..plain.clone() },
            differs("durable", "x", "received 'true' but current is 'false'"),
        ),
        (
            Exchange { is_auto_delete: true, ..plain.clone() },
            differs("auto_delete", "x", "received 'true' but current is 'false'"),
        ),
        (
            Exchange { is_internal: true, ..plain.clone() },
            differs("internal", "x", "received 'true' but current is 'false'"),
        ),
        (
            Exchange { arguments: ae(text("ae")), ..plain },
            differs(ALTERNATE_EXCHANGE, "x", "received the value 'ae' of type 'longstr' but current is none"),
        ),
        (
            exchange("y", ExchangeKind::Direct),
            differs(ALTERNATE_EXCHANGE, "y", "received none but current is the value 'ae' of type 'longstr'"),
        ),
        (
            Exchange { arguments: ae(text("ae2")), ..alternate.clone() },
            differs(ALTERNATE_EXCHANGE, "y", "received 'ae2' but current is 'ae'"),
        ),
        (
            Exchange { arguments: ae(typed_5.clone()), ..alternate.clone() },
            differs(ALTERNATE_EXCHANGE, "y", "received '5' but current is 'ae'"),
        ),
        (
            Exchange { arguments: ae(AMQPValue::Void), ..alternate },
            differs(ALTERNATE_EXCHANGE, "y", "received none but current is 'ae'"),
        ),
        (
            Exchange { arguments: ae(typed_5), ..exchange("z", ExchangeKind::Direct) },
            "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'z' in vhost '/'".to_owned(),
        ),
    ] {
        assert_eq!(topology.check_declare(&declared).unwrap_err().text("/"), expected);
        assert_eq!(topology.clone().declare_exchange(declared).unwrap_err().text("/"), expected);
    }
}

#[test]
fn refused_deletes_say_why() {
    let topology = topology(&[exchange("x", ExchangeKind::Direct)], &[to_queue("x", "q1", "k")]);
    for (exchange, if_unused, expected) in [
        ("", false, "operation not permitted on the default exchange"),
        ("amq.direct", false, "deletion of system exchange 'amq.direct' in vhost '/' not allowed"),
        ("amq.none", true, "deletion of system exchange 'amq.none' in vhost '/' not allowed"),
        ("x", true, "exchange 'x' in vhost '/' in use"),
    ] {
        let error = topology.clone().delete_exchange(&name(exchange), if_unused).unwrap_err();
        assert_eq!(error.text("/"), expected);
    }
}

#[test]
fn deleting_takes_the_bindings_both_ways() {
    let bindings = [to_exchange("a", "b", "1"), to_exchange("b", "a", "2"), to_queue("b", "q1", "3")];
    let exchanges = [exchange("a", ExchangeKind::Direct), exchange("b", ExchangeKind::Direct)];
    let mut topology = topology(&exchanges, &bindings);
    let removed = topology.delete_exchange(&name("b"), false).unwrap();
    assert_eq!(names(&removed), ["b"]);
    assert_eq!(removed.bindings.len(), 3);
    assert_eq!(topology.bindings().count(), 0);
    assert_eq!(route(&topology, "a", "1"), [0; 0]);
    assert_eq!(topology.delete_exchange(&name("b"), false), Ok(Removed::default()));
    // A new exchange of the old name has none of the old bindings.
    topology.declare_exchange(exchange("b", ExchangeKind::Direct)).unwrap();
    assert_eq!(route(&topology, "b", "3"), [0; 0]);
}

#[test]
fn removing_a_queue_takes_its_bindings() {
    let bindings = [
        to_queue("amq.direct", "q1", "k"),
        to_queue("amq.fanout", "q1", ""),
        to_queue("amq.fanout", "q2", ""),
    ];
    let mut topology = topology(&[], &bindings);
    assert_eq!(topology.remove_queue("q1").bindings.len(), 2);
    assert_eq!(topology.remove_queue("q1"), Removed::default());
    assert_eq!(topology.queue("q1"), None);
    assert_eq!(route(&topology, "", "q1"), [0; 0]);
    assert_eq!(route(&topology, "amq.fanout", "k"), [2]);
    topology.add_queue(name("q1"), QueueId(11), false);
    assert_eq!(route(&topology, "", "q1"), [11]);
    assert_eq!(route(&topology, "amq.direct", "k"), [0; 0]);
}

#[test]
fn a_queue_keeps_its_id() {
    let mut topology = topology(&[], &[]);
    assert_eq!(topology.add_queue(name("q1"), QueueId(50), true), Declared::Existing);
    assert_eq!(topology.queue("q1"), Some(QueueId(1)));
    assert_eq!(topology.queues().count(), 9);
}

#[test]
fn refused_binds_say_why() {
    let topology = topology(&[exchange("x", ExchangeKind::Direct)], &[]);
    let on_default = "operation not permitted on the default exchange";
    for (binding, expected) in [
        (to_queue("", "q1", "k"), on_default),
        (to_exchange("x", "", "k"), on_default),
        (to_queue("none", "none", "k"), "no exchange 'none' in vhost '/'"),
        (to_queue("x", "none", "k"), "no queue 'none' in vhost '/'"),
        (to_exchange("x", "other", "k"), "no exchange 'other' in vhost '/'"),
        (to_exchange("other", "none", "k"), "no exchange 'other' in vhost '/'"),
        (
            Binding { arguments: arguments(&[("x-match", text("foo"))]), ..to_queue("amq.match", "q1", "") },
            "Invalid x-match field value <<\"foo\">>; expected all, any, all-with-x, or any-with-x",
        ),
    ] {
        assert_eq!(topology.check_bind(&binding).unwrap_err().text("/"), expected);
        assert_eq!(topology.clone().bind(binding).unwrap_err().text("/"), expected);
    }
    let elsewhere = Binding { arguments: arguments(&[("x-match", text("foo"))]), ..to_queue("x", "q1", "") };
    assert_eq!(topology.check_bind(&elsewhere), Ok(Bound::Added));
}

#[test]
fn unbinding_what_is_not_there_is_fine() {
    let mut topology = topology(&[exchange("x", ExchangeKind::Direct)], &[to_queue("x", "q1", "k")]);
    for binding in [
        to_queue("x", "q1", "other"),
        to_queue("x", "none", "k"),
        to_queue("none", "q1", "k"),
        to_exchange("x", "x", "k"),
    ] {
        assert_eq!(topology.check_unbind(&binding), Ok(false));
        assert_eq!(topology.unbind(&binding), Ok(Removed::default()));
    }
    assert_eq!(topology.unbind(&to_queue("", "q1", "k")), Err(BindError::DefaultExchange));
    assert_eq!(topology.unbind(&to_exchange("x", "", "k")), Err(BindError::DefaultExchange));
    assert_eq!(route(&topology, "x", "k"), [1]);
}

#[test]
fn a_binding_exists_once() {
    let binding = to_queue("amq.direct", "q1", "k");
    let with_argument = Binding { arguments: arguments(&[("a", AMQPValue::LongInt(1))]), ..binding.clone() };
    let other_type = Binding { arguments: arguments(&[("a", AMQPValue::LongLongInt(1))]), ..binding.clone() };
    let mut topology = topology(&[], &[binding.clone(), with_argument.clone(), other_type]);
    assert_eq!(topology.bind(binding.clone()), Ok(Bound::Existing));
    assert_eq!(topology.bindings().count(), 3);
    assert_eq!(route(&topology, "amq.direct", "k"), [1], "one copy for three bindings");
    assert_eq!(topology.unbind(&binding).unwrap().bindings, [binding]);
    assert_eq!(topology.unbind(&with_argument).unwrap().bindings, [with_argument]);
    assert_eq!(route(&topology, "amq.direct", "k"), [1]);
}

#[test]
fn bindings_are_listed_by_either_end() {
    let bindings = [
        to_queue("amq.direct", "q1", "b"),
        to_queue("amq.direct", "q2", "a"),
        to_queue("amq.topic", "q1", "#"),
    ];
    let topology = topology(&[], &bindings);
    let of_source: Vec<_> = topology.bindings_of_source("amq.direct").cloned().collect();
    assert_eq!(of_source, bindings[..2]);
    let of_queue: Vec<_> = topology.bindings_of_destination(&Destination::Queue(name("q1"))).collect();
    assert_eq!(of_queue, [&bindings[0], &bindings[2]]);
    assert_eq!(topology.bindings_of_destination(&Destination::Exchange(name("q1"))).count(), 0);
}

#[test]
fn a_binding_is_as_durable_as_its_ends() {
    let transient = Exchange { is_durable: false, ..exchange("t", ExchangeKind::Direct) };
    let mut topology = topology(&[transient, exchange("d", ExchangeKind::Direct)], &[]);
    topology.add_queue(name("tq"), QueueId(20), false);
    for (binding, expected) in [
        (to_queue("d", "q1", "k"), true),
        (to_queue("d", "tq", "k"), false),
        (to_queue("t", "q1", "k"), false),
        (to_exchange("d", "amq.direct", "k"), true),
        (to_exchange("d", "t", "k"), false),
        (to_queue("d", "none", "k"), false),
    ] {
        assert_eq!(topology.is_durable_binding(&binding), expected, "{binding:?}");
    }
}

#[test]
fn auto_delete_waits_for_the_last_binding() {
    let bindings = [to_queue("x", "q1", "1"), to_queue("x", "q2", "2")];
    let mut topology = topology(&[auto_delete("x", ExchangeKind::Direct)], &bindings);
    assert_eq!(topology.unbind(&bindings[0]).unwrap().exchanges, []);
    let removed = topology.unbind(&bindings[1]).unwrap();
    assert_eq!((names(&removed), removed.bindings.len()), (vec!["x"], 1));
    assert_eq!(topology.exchange("x"), None);
}

#[test]
fn bindings_to_an_auto_delete_exchange_do_not_keep_it() {
    let exchanges = [auto_delete("x", ExchangeKind::Direct), auto_delete("idle", ExchangeKind::Direct)];
    let bindings = [
        to_exchange("amq.direct", "x", "k"),
        to_queue("x", "q1", "k"),
        to_exchange("amq.direct", "idle", "k"),
    ];
    let mut topology = topology(&exchanges, &bindings);
    // Losing a binding as a destination is no reason to go, nor is never having had one as a source.
    assert_eq!(topology.unbind(&bindings[2]).unwrap().exchanges, []);
    let removed = topology.remove_queue("q1");
    assert_eq!((names(&removed), removed.bindings.len()), (vec!["x"], 2));
    assert_eq!(topology.bindings().count(), 0);
    assert!(topology.exchange("idle").is_some());
}

#[test]
fn auto_delete_runs_along_chains_of_any_length() {
    let count = 10_000;
    let mut topology = topology(&[], &[]);
    for number in 0..count {
        topology.declare_exchange(auto_delete(&format!("x{number}"), ExchangeKind::Fanout)).unwrap();
    }
    for number in 1..count {
        topology.bind(to_exchange(&format!("x{}", number - 1), &format!("x{number}"), "")).unwrap();
    }
    topology.bind(to_queue(&format!("x{}", count - 1), "q1", "")).unwrap();
    assert_eq!(route(&topology, "x0", ""), [1]);
    let removed = topology.remove_queue("q1");
    assert_eq!((removed.exchanges.len(), removed.bindings.len()), (count, count));
    assert_eq!((topology.exchanges().count(), topology.bindings().count()), (7, 0));
}

#[test]
fn auto_delete_ends_on_cycles() {
    let exchanges = [auto_delete("a", ExchangeKind::Fanout), auto_delete("b", ExchangeKind::Fanout)];
    let bindings = [to_exchange("a", "b", ""), to_exchange("b", "a", ""), to_exchange("a", "a", "")];
    let mut topology = topology(&exchanges, &bindings);
    let removed = topology.unbind(&bindings[1]).unwrap();
    assert_eq!((names(&removed), removed.bindings.len()), (vec!["b"], 2));
    let removed = topology.unbind(&bindings[2]).unwrap();
    assert_eq!((names(&removed), removed.bindings.len()), (vec!["a"], 1));
}

#[test]
fn every_kind_routes_its_own_way() {
    let bindings = [
        to_queue("amq.direct", "q1", "k"),
        to_queue("amq.direct", "q2", "other"),
        to_queue("amq.fanout", "q3", "k"),
        to_queue("amq.fanout", "q2", "other"),
        to_queue("amq.topic", "q4", "*.b"),
        to_queue("amq.topic", "q4", "a.*"),
        to_queue("amq.topic", "q5", "#.c"),
    ];
    let topology = topology(&[], &bindings);
    for (exchange, key, expected) in [
        ("", "q7", &[7][..]),
        ("", "none", &[]),
        ("amq.direct", "k", &[1]),
        ("amq.direct", "K", &[]),
        ("amq.direct", "", &[]),
        ("amq.fanout", "anything", &[2, 3]),
        ("amq.topic", "a.b", &[4]),
        ("amq.topic", "a.c", &[4, 5]),
        ("amq.headers", "k", &[]),
    ] {
        assert_eq!(route(&topology, exchange, key), expected, "{exchange} {key}");
    }
}

#[test]
fn keys_that_are_no_text_match_nothing_by_name() {
    let topology = topology(&[], &[to_queue("amq.direct", "q1", "k"), to_queue("amq.topic", "q2", "#")]);
    let mut out = Vec::new();
    for (exchange, expected) in [("", &[][..]), ("amq.direct", &[]), ("amq.topic", &[QueueId(2)])] {
        topology.route(exchange, &[b"\xff\xfe"], None, &mut out).unwrap();
        assert_eq!(out, expected);
    }
}

#[test]
fn refused_publishes_say_why() {
    let topology = Topology::new();
    for (exchange, expected) in [
        ("none", "no exchange 'none' in vhost '/'"),
        ("amq.rabbitmq.trace", "cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"),
    ] {
        let error = topology.route(exchange, &[b""], None, &mut Vec::new()).unwrap_err();
        assert_eq!(error.text("/"), expected);
    }
}

#[test]
fn exchanges_lead_to_exchanges() {
    let internal = Exchange { is_internal: true, ..exchange("in", ExchangeKind::Topic) };
    let bindings = [
        to_exchange("amq.direct", "in", "a.b"),
        to_queue("amq.direct", "q2", "a.b"),
        to_queue("in", "q1", "a.*"),
        to_queue("in", "q2", "#"),
        // Round in circles.
        to_exchange("in", "amq.direct", "#"),
        to_exchange("in", "in", "#"),
        to_exchange("in", "amq.fanout", "#"),
        to_exchange("amq.fanout", "in", ""),
        to_queue("amq.fanout", "q3", ""),
    ];
    let topology = topology(&[internal], &bindings);
    assert_eq!(route(&topology, "amq.direct", "a.b"), [1, 2, 3]);
    assert_eq!(route(&topology, "amq.direct", "a.c"), [0; 0]);
    assert_eq!(route(&topology, "amq.fanout", "a.b"), [1, 2, 3]);
}

#[test]
fn unroutable_messages_go_to_the_alternate_exchange() {
    let exchanges = [
        with_alternate("first", "second"),
        with_alternate("second", "amq.fanout"),
        with_alternate("loop", "pool"),
        with_alternate("pool", "loop"),
        with_alternate("lost", "none"),
        with_alternate("self", "self"),
        with_alternate("through", "amq.fanout"),
        with_alternate("to default", ""),
        exchange("empty", ExchangeKind::Direct),
    ];
    let bindings = [
        to_queue("first", "q1", "1"),
        to_queue("second", "q2", "2"),
        to_queue("amq.fanout", "q3", ""),
        to_queue("pool", "q4", "4"),
        to_exchange("through", "empty", "k"),
    ];
    let topology = topology(&exchanges, &bindings);
    for (exchange, key, expected) in [
        ("first", "1", &[1][..]),
        ("first", "2", &[2]),
        ("first", "3", &[3]),
        ("loop", "4", &[4]),
        ("loop", "5", &[]),
        ("lost", "k", &[]),
        ("self", "k", &[]),
        // A matching binding was there: that it leads nowhere doesn't count.
        ("through", "k", &[]),
        ("through", "other", &[3]),
        ("to default", "q1", &[]),
    ] {
        assert_eq!(route(&topology, exchange, key), expected, "{exchange} {key}");
    }
}

#[test]
fn an_exchange_on_the_way_has_its_own_alternate() {
    let exchanges = [with_alternate("x", "amq.fanout")];
    let bindings = [
        to_exchange("amq.direct", "x", "k"),
        to_queue("amq.direct", "q1", "k"),
        to_queue("amq.fanout", "q2", ""),
    ];
    assert_eq!(route(&topology(&exchanges, &bindings), "amq.direct", "k"), [1, 2]);
}

#[test]
fn results_say_whether_headers_were_looked_at() {
    let exchanges = [with_alternate("x", "amq.headers")];
    let bindings = [
        to_queue("x", "q1", "known"),
        to_exchange("amq.direct", "amq.match", "k"),
        Binding { arguments: arguments(&[("a", AMQPValue::LongInt(1))]), ..to_queue("amq.match", "q2", "") },
    ];
    let topology = topology(&exchanges, &bindings);
    let bytes = encode_table(arguments(&[("a", AMQPValue::LongInt(1))]).as_table());
    let headers = RawTable::parse(&bytes).unwrap().0;
    for (exchange, key, expected, depends_on_headers) in [
        ("x", "known", &[1][..], false),
        ("x", "unknown", &[], true),
        ("amq.direct", "k", &[2], true),
        ("amq.direct", "other", &[], false),
        ("amq.match", "", &[2], true),
        ("", "q3", &[3], false),
    ] {
        let mut out = Vec::new();
        let routed = topology.route(exchange, &[key.as_bytes()], Some(headers), &mut out).unwrap();
        let ids: Vec<u64> = out.into_iter().map(|id| id.0).collect();
        assert_eq!((&ids[..], routed.depends_on_headers), (expected, depends_on_headers), "{exchange} {key}");
    }
}
