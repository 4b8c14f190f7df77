//! Soft errors: they close the channel, with RabbitMQ's codes and texts, and nothing else.

use expect_test::{Expect, expect};
use liebre_tests::{
    broker::Broker,
    codec::Value,
    method::{self, Say, consume, exchange, queue},
    raw::Raw,
    unique,
};

/// What a channel hears that says `frames`. Afterwards the other channel of the connection must still work, and the
/// closed one must open again.
fn outcome(broker: &Broker, user: &str, frames: &[Say]) -> String {
    let mut raw = Raw::open_as(broker, user);
    raw.open_channel(1);
    raw.open_channel(2);
    raw.say(frames);
    let outcome = raw.verdict();
    if outcome.starts_with("channel.close ") {
        assert!(raw.is_alive(2), "the other channel must not suffer from {outcome}");
        raw.say(&[method::channel_close_ok()]);
        raw.open_channel(1);
        assert!(raw.is_alive(1), "the channel must be as new after {outcome}");
    }
    outcome
}

fn check(cases: &[(&str, Vec<Say>)], expected: Expect) {
    let line = |(what, frames): &(&str, Vec<Say>)| {
        let said = outcome(Broker::shared(), "guest", frames);
        format!(
            "{what}: {said}
"
        )
    };
    expected.assert_eq(&cases.iter().map(line).collect::<String>());
}

/// An open channel whose connection has said `frames` and heard `answers`.
fn other_connection(frames: &[(Say, &str)]) -> Raw {
    let mut raw = Raw::with_channel(Broker::shared());
    for (frame, answer) in frames {
        raw.ask(frame.clone(), answer);
    }
    raw
}

#[test]
fn not_found() {
    let (q, x) = (unique("q"), unique("x"));
    check(
        &[
            ("declare queue passively", vec![method::queue_declare(&q, queue::PASSIVE, &[])]),
            ("consume", vec![method::basic_consume(&q, "t", 0)]),
            ("get", vec![method::basic_get(&q)]),
            ("purge", vec![method::queue_purge(&q)]),
            ("bind missing queue", vec![method::queue_bind(&q, "amq.direct", "k")]),
            (
                "declare exchange passively",
                vec![method::exchange_declare(&x, "direct", exchange::PASSIVE, &[])],
            ),
            ("publish", vec![method::basic_publish(&x, "k", 0), method::header(0)]),
            ("bind missing source", vec![method::exchange_bind("amq.fanout", &x, "k")]),
            ("bind missing destination", vec![method::exchange_bind(&x, "amq.fanout", "k")]),
            ("get without a name", vec![method::basic_get("")]),
            ("consume without a name", vec![method::basic_consume("", "t", 0)]),
            ("purge without a name", vec![method::queue_purge("")]),
            ("bind without a name", vec![method::queue_bind("", "amq.direct", "k")]),
        ],
        expect![[r#"
            declare queue passively: channel.close 404 NOT_FOUND - no queue 'q' in vhost '/' [50.10]
            consume: channel.close 404 NOT_FOUND - no queue 'q' in vhost '/' [60.20]
            get: channel.close 404 NOT_FOUND - no queue 'q' in vhost '/' [60.70]
            purge: channel.close 404 NOT_FOUND - no queue 'q' in vhost '/' [50.30]
            bind missing queue: channel.close 404 NOT_FOUND - no queue 'q' in vhost '/' [50.20]
            declare exchange passively: channel.close 404 NOT_FOUND - no exchange 'x' in vhost '/' [40.10]
            publish: channel.close 404 NOT_FOUND - no exchange 'x' in vhost '/' [60.40]
            bind missing source: channel.close 404 NOT_FOUND - no exchange 'x' in vhost '/' [40.30]
            bind missing destination: channel.close 404 NOT_FOUND - no exchange 'x' in vhost '/' [40.30]
            get without a name: channel.close 404 NOT_FOUND - no previously declared queue [60.70]
            consume without a name: channel.close 404 NOT_FOUND - no previously declared queue [60.20]
            purge without a name: channel.close 404 NOT_FOUND - no previously declared queue [50.30]
            bind without a name: channel.close 404 NOT_FOUND - no previously declared queue [50.20]
        "#]],
    );
}

#[test]
fn queue_not_equivalent() {
    let names: Vec<String> = ["transient", "durable", "ttl", "auto"].map(unique).into();
    let [transient, durable, ttl, auto] = &names[..] else { unreachable!() };
    let _keeper = other_connection(&[
        (method::queue_declare(transient, 0, &[]), "queue.declare-ok"),
        (method::queue_declare(durable, queue::DURABLE, &[]), "queue.declare-ok"),
        (method::queue_declare(ttl, 0, &[("x-message-ttl", Value::Long(1_000))]), "queue.declare-ok"),
        (method::queue_declare(auto, queue::AUTO_DELETE, &[]), "queue.declare-ok"),
    ]);
    check(
        &[
            ("transient as durable", vec![method::queue_declare(transient, queue::DURABLE, &[])]),
            ("durable as transient", vec![method::queue_declare(durable, 0, &[])]),
            ("shared as auto-delete", vec![method::queue_declare(transient, queue::AUTO_DELETE, &[])]),
            ("auto-delete as not", vec![method::queue_declare(auto, 0, &[])]),
            ("shared as exclusive", vec![method::queue_declare(transient, queue::EXCLUSIVE, &[])]),
            ("argument left out", vec![method::queue_declare(ttl, 0, &[])]),
            (
                "argument added",
                vec![method::queue_declare(transient, 0, &[("x-message-ttl", Value::Int(1_000))])],
            ),
            (
                "argument changed",
                vec![method::queue_declare(ttl, 0, &[("x-message-ttl", Value::Int(2_000))])],
            ),
            (
                "argument of a name that means nothing",
                vec![
                    method::queue_declare(transient, 0, &[("shoe-size", Value::Int(42))]),
                    method::basic_ack(9, false),
                ],
            ),
            (
                "argument of another integer type",
                vec![
                    method::queue_declare(ttl, 0, &[("x-message-ttl", Value::Int(1_000))]),
                    method::basic_ack(9, false),
                ],
            ),
        ],
        expect![[r#"
            transient as durable: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'transient' in vhost '/': received 'true' but current is 'false' [50.10]
            durable as transient: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'durable' in vhost '/': received 'false' but current is 'true' [50.10]
            shared as auto-delete: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'transient' in vhost '/': received 'true' but current is 'false' [50.10]
            auto-delete as not: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'auto' in vhost '/': received 'false' but current is 'true' [50.10]
            shared as exclusive: channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'transient' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration. [50.10]
            argument left out: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'ttl' in vhost '/': received none but current is the value '1000' of type 'long' [50.10]
            argument added: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'transient' in vhost '/': received the value '1000' of type 'signedint' but current is none [50.10]
            argument changed: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'ttl' in vhost '/': received '2000' but current is '1000' [50.10]
            argument of a name that means nothing: channel.close 406 PRECONDITION_FAILED - unknown delivery tag 9 [60.80]
            argument of another integer type: channel.close 406 PRECONDITION_FAILED - unknown delivery tag 9 [60.80]
        "#]],
    );
    for name in names {
        other_connection(&[(method::queue_delete(&name, 0), "queue.delete-ok")]);
    }
}

#[test]
fn exchange_not_equivalent() {
    let (x, ae) = (unique("x"), unique("ae"));
    let mut keeper = other_connection(&[
        (method::exchange_declare(&x, "direct", exchange::DURABLE, &[]), "exchange.declare-ok"),
        (
            method::exchange_declare(&ae, "direct", 0, &[("alternate-exchange", Value::Text("amq.fanout"))]),
            "exchange.declare-ok",
        ),
    ]);
    let durable = exchange::DURABLE;
    check(
        &[
            ("other kind", vec![method::exchange_declare(&x, "fanout", durable, &[])]),
            ("not durable", vec![method::exchange_declare(&x, "direct", 0, &[])]),
            (
                "auto-delete",
                vec![method::exchange_declare(&x, "direct", durable | exchange::AUTO_DELETE, &[])],
            ),
            ("internal", vec![method::exchange_declare(&x, "direct", durable | exchange::INTERNAL, &[])]),
            ("alternate exchange left out", vec![method::exchange_declare(&ae, "direct", 0, &[])]),
            (
                "predeclared with another kind",
                vec![method::exchange_declare("amq.direct", "fanout", durable, &[])],
            ),
        ],
        expect![[r#"
            other kind: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct' [40.10]
            not durable: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'x' in vhost '/': received 'false' but current is 'true' [40.10]
            auto-delete: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false' [40.10]
            internal: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false' [40.10]
            alternate exchange left out: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'ae' in vhost '/': received none but current is the value 'amq.fanout' of type 'longstr' [40.10]
            predeclared with another kind: channel.close 406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received 'fanout' but current is 'direct' [40.10]
        "#]],
    );
    keeper.ask(method::exchange_delete(&x, false), "exchange.delete-ok");
    keeper.ask(method::exchange_delete(&ae, false), "exchange.delete-ok");
}

#[test]
fn exclusive_queue_of_another_connection() {
    let q = unique("q");
    let _owner = other_connection(&[(method::queue_declare(&q, queue::EXCLUSIVE, &[]), "queue.declare-ok")]);
    check(
        &[
            ("declare", vec![method::queue_declare(&q, queue::EXCLUSIVE, &[])]),
            ("declare as shared", vec![method::queue_declare(&q, 0, &[])]),
            ("declare passively", vec![method::queue_declare(&q, queue::PASSIVE, &[])]),
            ("bind", vec![method::queue_bind(&q, "amq.direct", "k")]),
            ("unbind", vec![method::queue_unbind(&q, "amq.direct", "k")]),
            ("consume", vec![method::basic_consume(&q, "t", 0)]),
            ("get", vec![method::basic_get(&q)]),
            ("purge", vec![method::queue_purge(&q)]),
            ("delete", vec![method::queue_delete(&q, 0)]),
        ],
        expect![[r#"
            declare: channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration. [50.10]
            declare as shared: channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration. [50.10]
            declare passively: channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration. [50.10]
            bind: channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration. [50.20]
            unbind: accepted
            consume: channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration. [60.20]
            get: channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration. [60.70]
            purge: channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration. [50.30]
            delete: channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration. [50.40]
        "#]],
    );
}

#[test]
fn exclusive_consumer() {
    let (taken, shared) = (unique("taken"), unique("shared"));
    let _keeper = other_connection(&[
        (method::queue_declare(&taken, queue::AUTO_DELETE, &[]), "queue.declare-ok"),
        (method::basic_consume(&taken, "only", consume::EXCLUSIVE), "basic.consume-ok"),
        (method::queue_declare(&shared, queue::AUTO_DELETE, &[]), "queue.declare-ok"),
        (method::basic_consume(&shared, "first", 0), "basic.consume-ok"),
    ]);
    check(
        &[
            ("consume beside an exclusive consumer", vec![method::basic_consume(&taken, "t", 0)]),
            (
                "consume exclusively beside another",
                vec![method::basic_consume(&shared, "t", consume::EXCLUSIVE)],
            ),
        ],
        expect![[r#"
            consume beside an exclusive consumer: channel.close 403 ACCESS_REFUSED - queue 'taken' in vhost '/' in exclusive use [60.20]
            consume exclusively beside another: channel.close 403 ACCESS_REFUSED - queue 'shared' in vhost '/' in exclusive use [60.20]
        "#]],
    );
}

#[test]
fn in_use_and_not_empty() {
    let (used, full, x) = (unique("used"), unique("full"), unique("x"));
    let mut keeper = other_connection(&[
        (method::queue_declare(&used, queue::AUTO_DELETE, &[]), "queue.declare-ok"),
        (method::basic_consume(&used, "t", 0), "basic.consume-ok"),
        (method::queue_declare(&full, 0, &[]), "queue.declare-ok"),
        (method::exchange_declare(&x, "fanout", 0, &[]), "exchange.declare-ok"),
        (method::queue_bind(&full, &x, ""), "queue.bind-ok"),
        (method::confirm_select(), "confirm.select-ok"),
    ]);
    keeper.say(&[method::basic_publish("", &full, 0), method::header(1), method::body(b"m")]);
    keeper.expect("basic.ack 1");
    check(
        &[
            ("delete a used queue if unused", vec![method::queue_delete(&used, 1)]),
            ("delete a full queue if empty", vec![method::queue_delete(&full, 2)]),
            ("delete a bound exchange if unused", vec![method::exchange_delete(&x, true)]),
        ],
        expect![[r#"
            delete a used queue if unused: channel.close 406 PRECONDITION_FAILED - queue 'used' in vhost '/' in use [50.40]
            delete a full queue if empty: channel.close 406 PRECONDITION_FAILED - queue 'full' in vhost '/' not empty [50.40]
            delete a bound exchange if unused: channel.close 406 PRECONDITION_FAILED - exchange 'x' in vhost '/' in use [40.20]
        "#]],
    );
    keeper.ask(method::queue_delete(&full, 0), "queue.delete-ok 1");
    keeper.ask(method::exchange_delete(&x, true), "exchange.delete-ok");
}

#[test]
fn refused_names_and_exchanges() {
    let x = unique("internal");
    let mut keeper = other_connection(&[(
        method::exchange_declare(&x, "fanout", exchange::INTERNAL, &[]),
        "exchange.declare-ok",
    )]);
    check(
        &[
            ("declare queue amq.x", vec![method::queue_declare("amq.x", 0, &[])]),
            ("declare exchange amq.x", vec![method::exchange_declare("amq.x", "direct", 0, &[])]),
            ("delete amq.direct", vec![method::exchange_delete("amq.direct", false)]),
            (
                "declare the default exchange",
                vec![method::exchange_declare("", "direct", exchange::DURABLE, &[])],
            ),
            ("delete the default exchange", vec![method::exchange_delete("", false)]),
            (
                "bind to the default exchange",
                vec![method::queue_declare("", queue::EXCLUSIVE, &[]), method::queue_bind("", "", "k")],
            ),
            (
                "unbind from the default exchange",
                vec![method::queue_declare("", queue::EXCLUSIVE, &[]), method::queue_unbind("", "", "k")],
            ),
            ("bind the default exchange", vec![method::exchange_bind("amq.fanout", "", "k")]),
            ("publish to an internal exchange", vec![method::basic_publish(&x, "k", 0), method::header(0)]),
        ],
        expect![[r#"
            declare queue amq.x: channel.close 403 ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*' [50.10]
            declare exchange amq.x: channel.close 403 ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*' [40.10]
            delete amq.direct: channel.close 403 ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed [40.20]
            declare the default exchange: channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange [40.10]
            delete the default exchange: channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange [40.20]
            bind to the default exchange: channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange [50.20]
            unbind from the default exchange: channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange [50.50]
            bind the default exchange: channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange [40.30]
            publish to an internal exchange: channel.close 403 ACCESS_REFUSED - cannot publish to internal exchange 'internal' in vhost '/' [60.40]
        "#]],
    );
    keeper.ask(method::exchange_delete(&x, false), "exchange.delete-ok");
}

#[test]
fn unknown_exchange_kind() {
    let said = outcome(Broker::shared(), "guest", &[method::exchange_declare(&unique("x"), "shoe", 0, &[])]);
    // Up to version 3 RabbitMQ closed the connection; since version 4 the channel is enough.
    let known = [
        "channel.close 406 PRECONDITION_FAILED - unknown exchange type 'shoe' [40.10]",
        "connection.close 503 COMMAND_INVALID - unknown exchange type 'shoe' [40.10]",
    ];
    let allowed = if Broker::shared().is_external() { &known[..] } else { &known[..1] };
    assert!(allowed.contains(&said.as_str()), "{said}");
}

#[test]
fn unknown_delivery_tag() {
    let q = unique("q");
    let with_delivery = |frame: Say| {
        vec![
            method::queue_declare(&q, queue::EXCLUSIVE, &[]),
            method::basic_publish("", &q, 0),
            method::header(1),
            method::body(b"m"),
            method::basic_get(&q),
            method::basic_ack(1, false),
            frame,
        ]
    };
    check(
        &[
            ("ack", vec![method::basic_ack(5, false)]),
            ("ack multiple", vec![method::basic_ack(5, true)]),
            ("ack 0", vec![method::basic_ack(0, false)]),
            ("nack", vec![method::basic_nack(5, 0)]),
            ("reject", vec![method::basic_reject(5, true)]),
            ("ack twice", with_delivery(method::basic_ack(1, false))),
            ("ack multiple of the settled", with_delivery(method::basic_ack(1, true))),
        ],
        expect![[r#"
            ack: channel.close 406 PRECONDITION_FAILED - unknown delivery tag 5 [60.80]
            ack multiple: channel.close 406 PRECONDITION_FAILED - unknown delivery tag 5 [60.80]
            ack 0: channel.close 406 PRECONDITION_FAILED - unknown delivery tag 0 [60.80]
            nack: channel.close 406 PRECONDITION_FAILED - unknown delivery tag 5 [60.120]
            reject: channel.close 406 PRECONDITION_FAILED - unknown delivery tag 5 [60.90]
            ack twice: channel.close 406 PRECONDITION_FAILED - unknown delivery tag 1 [60.80]
            ack multiple of the settled: channel.close 406 PRECONDITION_FAILED - unknown delivery tag 1 [60.80]
        "#]],
    );
}

#[test]
fn permissions() {
    let broker = Broker::shared();
    if broker.management().is_none() {
        return;
    }
    let (user, q, x, mine) = (unique("user"), unique("q"), unique("x"), unique("mine"));
    broker.add_user(&user, Some([".*mine$", ".*mine$", ".*mine$"]));
    let mut keeper = other_connection(&[
        (method::queue_declare(&q, 0, &[]), "queue.declare-ok"),
        (method::exchange_declare(&x, "fanout", 0, &[]), "exchange.declare-ok"),
        (method::queue_declare(&mine, 0, &[]), "queue.declare-ok"),
    ]);
    let cases: &[(&str, &str, &[Say])] = &[
        ("configure", "declare queue", &[method::queue_declare(&q, 0, &[])]),
        ("configure", "delete queue", &[method::queue_delete(&q, 0)]),
        ("read", "consume", &[method::basic_consume(&q, "t", 0)]),
        ("read", "get", &[method::basic_get(&q)]),
        ("read", "purge", &[method::queue_purge(&q)]),
        ("write", "bind queue", &[method::queue_bind(&q, &x, "k")]),
        ("read", "bind own queue", &[method::queue_bind(&mine, &x, "k")]),
        ("configure", "declare exchange", &[method::exchange_declare(&x, "fanout", 0, &[])]),
        ("configure", "delete exchange", &[method::exchange_delete(&x, false)]),
        ("write", "publish", &[method::basic_publish(&x, "k", 0), method::header(0)]),
        (
            "write",
            "publish to the default exchange",
            &[method::basic_publish("", &mine, 0), method::header(0)],
        ),
    ];
    let mut transcript = String::new();
    for (permission, what, frames) in cases {
        let mut said = outcome(broker, &user, frames);
        if broker.is_external() {
            // Before version 4 RabbitMQ did not say which permission is missing.
            said = said.replace(" - access to", &format!(" - {permission} access to"));
        }
        transcript += &format!("{what}: {said}\n");
    }
    expect![[r#"
            declare queue: channel.close 403 ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'user' [50.10]
            delete queue: channel.close 403 ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'user' [50.40]
            consume: channel.close 403 ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'user' [60.20]
            get: channel.close 403 ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'user' [60.70]
            purge: channel.close 403 ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'user' [50.30]
            bind queue: channel.close 403 ACCESS_REFUSED - write access to queue 'q' in vhost '/' refused for user 'user' [50.20]
            bind own queue: channel.close 403 ACCESS_REFUSED - read access to exchange 'x' in vhost '/' refused for user 'user' [50.20]
            declare exchange: channel.close 403 ACCESS_REFUSED - configure access to exchange 'x' in vhost '/' refused for user 'user' [40.10]
            delete exchange: channel.close 403 ACCESS_REFUSED - configure access to exchange 'x' in vhost '/' refused for user 'user' [40.20]
            publish: channel.close 403 ACCESS_REFUSED - write access to exchange 'x' in vhost '/' refused for user 'user' [60.40]
            publish to the default exchange: channel.close 403 ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'user' [60.40]
        "#]]
    .assert_eq(&transcript);
    keeper.ask(method::queue_delete(&q, 0), "queue.delete-ok");
    keeper.ask(method::queue_delete(&mine, 0), "queue.delete-ok");
    keeper.ask(method::exchange_delete(&x, false), "exchange.delete-ok");
    broker.delete_user(&user);
}
