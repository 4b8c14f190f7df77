//! Durable queues that another connection is still making durable: nobody relies on them before they are.

use amq_protocol::protocol::BasicProperties;
use expect_test::expect;

use super::{
    bench::{A, B, C, check, queue as shown, store_catches_up, store_fails, store_holds},
    frames::{
        bind, confirm_select, connection_close_ok, declare, declare_exchange, durable, get, plainly, publish,
        publish_with,
    },
};

/// A persistent message on channel 1, by way of the default exchange.
fn persistent(queue: &str, body: &str) -> Vec<u8> {
    let properties = BasicProperties::default().with_delivery_mode(2);
    publish_with(1, ("", queue, false), body.as_bytes(), &properties)
}

#[test]
fn a_confirm_waits_for_the_queue_that_another_declares() {
    check(
        [
            store_holds(),
            A.sends(declare(1, "q", durable)),
            B.sends([
                confirm_select(1),
                persistent("q", "1"),
                persistent("q", "2"),
                declare(2, "t", plainly),
            ]),
            shown("q"),
            store_catches_up(),
            B.sends([persistent("q", "3"), persistent("q", "4")]),
            shown("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C2: confirm.select 1
            C2: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            C2: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            C2: queue.declare 2 queue="t"
            S2: confirm.select-ok 1
               queue q: ready 0, unsettled 0
               the store catches up
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S2: basic.ack 1 tag=1
            S2: basic.ack 1 tag=2
            S2: queue.declare-ok 2 queue="t" message-count=0 consumer-count=0
            C2: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            C2: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            S2: basic.ack 1 tag=4 multiple=true
               queue q: ready 4, unsettled 0
        "#]],
    );
}

#[test]
fn what_needs_no_disk_does_not_wait() {
    check(
        [
            store_holds(),
            A.sends(declare(1, "q", durable)),
            B.sends([confirm_select(1), publish(1, "", "q", 1), publish(1, "", "q", 2)]),
            C.sends([persistent("q", "1"), get(1, "q", true)]),
            B.sends(declare(1, "q", |it| (it.durable, it.passive) = (true, true))),
            store_catches_up(),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C2: confirm.select 1
            C2: basic.publish 1 exchange="" key="q" + body 1
            C2: basic.publish 1 exchange="" key="q" + body 2
            S2: confirm.select-ok 1
            S2: basic.ack 1 tag=2 multiple=true
            C3: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            C3: basic.get 1 queue="q" no-ack=true
            S3: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=2 + body 1
            C2: queue.declare 1 queue="q" passive=true durable=true
               the store catches up
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S2: queue.declare-ok 1 queue="q" message-count=2 consumer-count=0
        "#]],
    );
}

#[test]
fn what_was_published_before_is_confirmed_meanwhile() {
    check(
        [
            A.sends(declare(1, "old", durable)),
            store_holds(),
            A.sends(declare(1, "q", durable)),
            B.sends([
                confirm_select(1),
                persistent("old", "1"),
                persistent("nowhere", "2"),
                persistent("q", "3"),
                persistent("old", "4"),
            ]),
            shown("old"),
            store_catches_up(),
            shown("old"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="old" durable=true
            S: queue.declare-ok 1 queue="old" message-count=0 consumer-count=0
            C: queue.declare 1 queue="q" durable=true
            C2: confirm.select 1
            C2: basic.publish 1 exchange="" key="old" + body 1 {delivery-mode=2}
            C2: basic.publish 1 exchange="" key="nowhere" + body 1 {delivery-mode=2}
            C2: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            C2: basic.publish 1 exchange="" key="old" + body 1 {delivery-mode=2}
            S2: confirm.select-ok 1
            S2: basic.ack 1 tag=2 multiple=true
               queue old: ready 1, unsettled 0
               the store catches up
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S2: basic.ack 1 tag=3
            S2: basic.ack 1 tag=4
               queue old: ready 2, unsettled 0
        "#]],
    );
}

#[test]
fn a_message_to_a_queue_that_cannot_be_stored_is_refused() {
    check(
        [
            store_holds(),
            A.sends(declare(1, "q", durable)),
            B.sends([confirm_select(1), persistent("q", "1"), persistent("q", "2")]),
            store_fails(),
            A.sends(connection_close_ok()),
            shown("q"),
            C.sends([confirm_select(1), persistent("q", "3")]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C2: confirm.select 1
            C2: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            C2: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            S2: confirm.select-ok 1
               the store fails
            S: connection.close 0 code=506 text="RESOURCE_ERROR - the definitions are closed: the broker is stopping" class=50 method=10
            S2: basic.nack 1 tag=1
            S2: basic.ack 1 tag=2
            C: connection.close-ok 0
            S: (end)
               queue q: ready 1, unsettled 0
            C3: confirm.select 1
            C3: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            S3: confirm.select-ok 1
            S3: basic.ack 1 tag=1
        "#]],
    );
}

#[test]
fn of_many_queues_all_have_to_be_durable() {
    let bound = |queue| bind(1, [queue, "amq.fanout", ""], plainly);
    let properties = BasicProperties::default().with_delivery_mode(2);
    check(
        [
            A.sends([declare(1, "old", durable), bound("old")]),
            store_holds(),
            A.sends(declare(1, "q", durable)),
            C.sends(bound("q")),
            B.sends([confirm_select(1), publish_with(1, ("amq.fanout", "", false), b"1", &properties)]),
            shown("old"),
            store_catches_up(),
            shown("old"),
            shown("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="old" durable=true
            C: queue.bind 1 queue="old" exchange="amq.fanout" key=""
            S: queue.declare-ok 1 queue="old" message-count=0 consumer-count=0
            S: queue.bind-ok 1
            C: queue.declare 1 queue="q" durable=true
            C3: queue.bind 1 queue="q" exchange="amq.fanout" key=""
            C2: confirm.select 1
            C2: basic.publish 1 exchange="amq.fanout" key="" + body 1 {delivery-mode=2}
            S2: confirm.select-ok 1
               queue old: ready 0, unsettled 0
               the store catches up
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S2: basic.ack 1 tag=1
            S3: queue.bind-ok 1
               queue old: ready 1, unsettled 0
               queue q: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn a_held_message_is_not_lost_when_its_publisher_is_closed() {
    check(
        [
            store_holds(),
            A.sends(declare(1, "q", durable)),
            B.sends([confirm_select(1), persistent("q", "1")]),
            B.is_forced_to_close("going down"),
            shown("q"),
            store_catches_up(),
            B.sends(connection_close_ok()),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C2: confirm.select 1
            C2: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            S2: confirm.select-ok 1
            S2: connection.close 0 code=320 text="CONNECTION_FORCED - going down" class=0 method=0
               queue q: ready 1, unsettled 0
               the store catches up
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C2: connection.close-ok 0
            S2: (end)
        "#]],
    );
}

#[test]
fn a_passive_declare_finds_what_is_durable() {
    let passively = || {
        let exchange = declare_exchange(2, "x", "direct", |it| it.passive = true);
        [declare(1, "q", |it| it.passive = true), exchange]
    };
    check(
        [
            store_holds(),
            A.sends(declare(1, "q", durable)),
            C.sends(declare_exchange(1, "x", "direct", |it| it.durable = true)),
            B.sends(passively()),
            store_catches_up(),
            store_holds(),
            B.sends(passively()),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C3: exchange.declare 1 exchange="x" type="direct" durable=true
            C2: queue.declare 1 queue="q" passive=true
            C2: exchange.declare 2 exchange="x" type="direct" passive=true
               the store catches up
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S2: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S2: exchange.declare-ok 2
            S3: exchange.declare-ok 1
            C2: queue.declare 1 queue="q" passive=true
            C2: exchange.declare 2 exchange="x" type="direct" passive=true
            S2: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S2: exchange.declare-ok 2
        "#]],
    );
}
