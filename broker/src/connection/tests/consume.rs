//! `basic.consume`, `cancel`, `get` and `qos`.

use amq_protocol::protocol::{AMQPClass, basic};
use expect_test::expect;

use super::{
    bench::{A, B, C, LOOPBACK, Peer, check, queue},
    frames::{
        ack, cancel, channel_close, channel_close_ok, channel_open, connection_open, consume, declare,
        delete, get, method, plainly, protocol_header, publish, publishes, purge, qos, start_ok, tune_ok,
    },
};

#[test]
fn two_consumers_take_strict_turns() {
    check(
        [
            A.sends(declare(1, "q", plainly)),
            A.sends([consume(1, "q", "c1", plainly), consume(1, "q", "c2", plainly)]),
            A.sends(publishes(5)),
            A.sends(publish(2, "", "q", 6)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.consume 1 queue="q" consumer="c2"
            S: basic.consume-ok 1 consumer="c1"
            S: basic.consume-ok 1 consumer="c2"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.publish 2 exchange="" key="q" + body 4
            C: basic.publish 2 exchange="" key="q" + body 5
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c2" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3
            S: basic.deliver 1 consumer="c2" tag=4 redelivered=false exchange="" key="q" + body 4
            S: basic.deliver 1 consumer="c1" tag=5 redelivered=false exchange="" key="q" + body 5
            C: basic.publish 2 exchange="" key="q" + body 6
            S: basic.deliver 1 consumer="c2" tag=6 redelivered=false exchange="" key="q" + body 6
        "#]],
    );
}

#[test]
fn consumers_on_other_connections_take_turns_too() {
    check(
        [
            A.sends(declare(1, "q", plainly)),
            B.sends(consume(1, "q", "same-tag", plainly)),
            C.sends(consume(2, "q", "same-tag", plainly)),
            A.sends(publishes(4)),
            B.sends(ack(1, 2, true)),
            C.sends(ack(2, 1, false)),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C2: basic.consume 1 queue="q" consumer="same-tag"
            S2: basic.consume-ok 1 consumer="same-tag"
            C3: basic.consume 2 queue="q" consumer="same-tag"
            S3: basic.consume-ok 2 consumer="same-tag"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.publish 2 exchange="" key="q" + body 4
            S2: basic.deliver 1 consumer="same-tag" tag=1 redelivered=false exchange="" key="q" + body 1
            S2: basic.deliver 1 consumer="same-tag" tag=2 redelivered=false exchange="" key="q" + body 3
            S3: basic.deliver 2 consumer="same-tag" tag=1 redelivered=false exchange="" key="q" + body 2
            S3: basic.deliver 2 consumer="same-tag" tag=2 redelivered=false exchange="" key="q" + body 4
            C2: basic.ack 1 tag=2 multiple=true
            C3: basic.ack 2 tag=1
               queue q: ready 0, unsettled 1
        "#]],
    );
}

#[test]
fn consume_ok_comes_before_what_waited() {
    check(
        [
            A.sends([declare(1, "q", plainly), publishes(2)]),
            A.sends(consume(1, "q", "c1", plainly)),
            A.sends(consume(1, "q", "c2", |it| it.nowait = true)),
            A.sends(publish(2, "", "q", 3)),
            A.sends(publish(2, "", "q", 4)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.consume 1 queue="q" consumer="c1"
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            C: basic.consume 1 queue="q" consumer="c2" no-wait=true
            C: basic.publish 2 exchange="" key="q" + body 3
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3
            C: basic.publish 2 exchange="" key="q" + body 4
            S: basic.deliver 1 consumer="c2" tag=4 redelivered=false exchange="" key="q" + body 4
        "#]],
    );
}

#[test]
fn a_consumer_without_a_tag_is_given_one() {
    check(
        [A.sends(declare(1, "q", plainly)), A.sends(consume(1, "q", "", plainly)), A.sends(publishes(1))],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.consume 1 queue="q" consumer=""
            S: basic.consume-ok 1 consumer="amq.ctag-*"
            C: basic.publish 2 exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="amq.ctag-*" tag=1 redelivered=false exchange="" key="q" + body 1
        "#]],
    );
}

#[test]
fn a_tag_is_used_once_on_a_channel() {
    check(
        [
            A.sends(declare(1, "q", plainly)),
            A.sends([consume(1, "q", "c1", plainly), consume(2, "q", "c1", plainly), cancel(1, "c1")]),
            A.sends([consume(1, "q", "c1", plainly), consume(1, "q", "c1", plainly)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.consume 2 queue="q" consumer="c1"
            C: basic.cancel 1 consumer="c1"
            S: basic.consume-ok 1 consumer="c1"
            S: basic.consume-ok 2 consumer="c1"
            S: basic.cancel-ok 1 consumer="c1"
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.consume 1 queue="q" consumer="c1"
            S: basic.consume-ok 1 consumer="c1"
            S: connection.close 0 code=530 text="NOT_ALLOWED - attempt to reuse consumer tag 'c1'" class=60 method=20
        "#]],
    );
}

#[test]
fn an_exclusive_consumer_is_alone() {
    check(
        [
            A.sends([declare(1, "q", plainly), consume(1, "q", "c1", |it| it.exclusive = true)]),
            B.sends(consume(1, "q", "c2", plainly)),
            A.sends([cancel(1, "c1"), consume(1, "q", "c1", plainly)]),
            B.sends(consume(2, "q", "c2", |it| it.exclusive = true)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="c1" exclusive=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="c1"
            C2: basic.consume 1 queue="q" consumer="c2"
            S2: channel.close 1 code=403 text="ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use" class=60 method=20
            C: basic.cancel 1 consumer="c1"
            C: basic.consume 1 queue="q" consumer="c1"
            S: basic.cancel-ok 1 consumer="c1"
            S: basic.consume-ok 1 consumer="c1"
            C2: basic.consume 2 queue="q" consumer="c2" exclusive=true
            S2: channel.close 2 code=403 text="ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use" class=60 method=20
        "#]],
    );
}

#[test]
fn consuming_what_is_not_there() {
    check(
        [A.sends(consume(1, "missing", "c1", plainly)), A.sends(consume(2, "", "c1", plainly))],
        &expect![[r#"
            C: basic.consume 1 queue="missing" consumer="c1"
            S: channel.close 1 code=404 text="NOT_FOUND - no queue 'missing' in vhost '/'" class=60 method=20
            C: basic.consume 2 queue="" consumer="c1"
            S: channel.close 2 code=404 text="NOT_FOUND - no previously declared queue" class=60 method=20
        "#]],
    );
}

#[test]
fn no_ack_means_gone_when_written() {
    check(
        [
            A.sends([declare(1, "q", plainly), qos(1, 1, false)]),
            A.sends(consume(1, "q", "c1", |it| it.no_ack = true)),
            A.sends(publishes(3)),
            queue("q"),
            A.sends(ack(1, 1, false)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            C: basic.consume 1 queue="q" consumer="c1" no-ack=true
            S: basic.consume-ok 1 consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3
               queue q: ready 0, unsettled 0
            C: basic.ack 1 tag=1
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - unknown delivery tag 1" class=60 method=80
        "#]],
    );
}

#[test]
fn cancelled_consumers_keep_what_they_hold() {
    check(
        [
            A.sends([
                declare(1, "q", plainly),
                qos(1, 2, false),
                consume(1, "q", "c1", plainly),
                publishes(3),
            ]),
            A.sends([cancel(1, "c1"), cancel(1, "unknown")]),
            queue("q"),
            A.sends(ack(1, 1, false)),
            queue("q"),
            A.sends(channel_close(1)),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=2
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            C: basic.cancel 1 consumer="c1"
            C: basic.cancel 1 consumer="unknown"
            S: basic.cancel-ok 1 consumer="c1"
            S: basic.cancel-ok 1 consumer="unknown"
               queue q: ready 1, unsettled 2
            C: basic.ack 1 tag=1
               queue q: ready 1, unsettled 1
            C: channel.close 1 code=200 text="" class=0 method=0
            S: channel.close-ok 1
               queue q: ready 2, unsettled 0
        "#]],
    );
}

#[test]
fn cancel_without_an_answer() {
    let cancel = basic::Cancel { consumer_tag: "c1".into(), nowait: true };
    check(
        [
            A.sends([declare(1, "q", plainly), consume(1, "q", "c1", plainly)]),
            A.sends(method(1, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)))),
            A.sends(publishes(1)),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="c1"
            C: basic.cancel 1 consumer="c1" no-wait=true
            C: basic.publish 2 exchange="" key="q" + body 1
               queue q: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn consumers_hear_of_their_queues_end() {
    check(
        [
            A.sends([declare(1, "q", plainly), consume(1, "q", "c1", plainly)]),
            B.sends([consume(2, "q", "c2", plainly), publishes(2)]),
            C.sends(delete(1, "q", plainly)),
            // What was delivered may be acked, to no effect.
            A.sends([ack(1, 1, false), cancel(1, "c1")]),
            B.sends(consume(2, "q", "c2", plainly)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="c1"
            C2: basic.consume 2 queue="q" consumer="c2"
            C2: basic.publish 2 exchange="" key="q" + body 1
            C2: basic.publish 2 exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S2: basic.consume-ok 2 consumer="c2"
            S2: basic.deliver 2 consumer="c2" tag=1 redelivered=false exchange="" key="q" + body 2
            C3: queue.delete 1 queue="q"
            S: basic.cancel 1 consumer="c1" no-wait=true
            S2: basic.cancel 2 consumer="c2" no-wait=true
            S3: queue.delete-ok 1 message-count=0
            C: basic.ack 1 tag=1
            C: basic.cancel 1 consumer="c1"
            S: basic.cancel-ok 1 consumer="c1"
            C2: basic.consume 2 queue="q" consumer="c2"
            S2: channel.close 2 code=404 text="NOT_FOUND - no queue 'q' in vhost '/'" class=60 method=20
        "#]],
    );
}

#[test]
fn who_does_not_ask_for_it_hears_nothing() {
    const OLD: Peer = A;
    let handshake = [
        protocol_header(),
        start_ok("PLAIN", b"\0guest\0guest", &[]),
        tune_ok(2_047, 131_072, 0),
        connection_open("/"),
    ];
    check(
        [
            OLD.connects_from(LOOPBACK),
            OLD.sends(handshake),
            OLD.sends([channel_open(1), declare(1, "q", plainly), consume(1, "q", "c1", plainly)]),
            B.sends(delete(1, "q", plainly)),
            OLD.sends([declare(1, "q", plainly), consume(1, "q", "c1", plainly)]),
        ],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={}} mechanism="PLAIN" response="\0guest\0guest" locale="en_US"
            C: connection.tune-ok 0 channel-max=2047 frame-max=131072 heartbeat=0
            C: connection.open 0 virtual-host="/"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
            S: connection.open-ok 0
            C: channel.open 1
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="c1"
            S: channel.open-ok 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="c1"
            C2: queue.delete 1 queue="q"
            S2: queue.delete-ok 1 message-count=0
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="c1"
        "#]],
    );
}

#[test]
fn getting_one_by_one() {
    check(
        [
            A.sends([declare(1, "q", plainly), publishes(3)]),
            A.sends(get(1, "q", false)),
            A.sends(get(1, "", true)),
            queue("q"),
            A.sends(ack(1, 1, false)),
            A.sends([get(1, "q", false), get(1, "q", false)]),
            queue("q"),
            A.sends(get(2, "missing", false)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.get 1 queue="q"
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=2 + body 1
            C: basic.get 1 queue="" no-ack=true
            S: basic.get-ok 1 tag=2 redelivered=false exchange="" key="q" message-count=1 + body 2
               queue q: ready 1, unsettled 1
            C: basic.ack 1 tag=1
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
            S: basic.get-ok 1 tag=3 redelivered=false exchange="" key="q" message-count=0 + body 3
            S: basic.get-empty 1
               queue q: ready 0, unsettled 1
            C: basic.get 2 queue="missing"
            S: channel.close 2 code=404 text="NOT_FOUND - no queue 'missing' in vhost '/'" class=60 method=70
        "#]],
    );
}

#[test]
fn purge_takes_what_is_ready_alone() {
    check(
        [
            A.sends([declare(1, "q", plainly), publishes(3), get(1, "q", false)]),
            A.sends(purge(1, "q")),
            queue("q"),
            A.sends(channel_close(1)),
            queue("q"),
            A.sends(purge(2, "missing")),
            A.sends([channel_close_ok(2), channel_open(2)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.get 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=2 + body 1
            C: queue.purge 1 queue="q"
            S: queue.purge-ok 1 message-count=2
               queue q: ready 0, unsettled 1
            C: channel.close 1 code=200 text="" class=0 method=0
            S: channel.close-ok 1
               queue q: ready 1, unsettled 0
            C: queue.purge 2 queue="missing"
            S: channel.close 2 code=404 text="NOT_FOUND - no queue 'missing' in vhost '/'" class=50 method=30
            C: channel.close-ok 2
            C: channel.open 2
            S: channel.open-ok 2
        "#]],
    );
}
