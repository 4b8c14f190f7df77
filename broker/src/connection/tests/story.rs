//! The life of a message, as the documents tell it.

use expect_test::expect;

use super::{
    bench::{A, B, check, queue, transcript},
    frames::{ack, confirm_select, consume, declare, plainly, publish},
};

#[test]
fn a_message_is_published_delivered_and_acked() {
    check(
        [
            A.sends(declare(1, "orders", plainly)),
            A.sends(consume(1, "orders", "c1", plainly)),
            A.sends(publish(1, "", "orders", 5)),
            queue("orders"),
            A.sends(ack(1, 1, false)),
            queue("orders"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="orders"
            S: queue.declare-ok 1 queue="orders" message-count=0 consumer-count=0
            C: basic.consume 1 queue="orders" consumer="c1"
            S: basic.consume-ok 1 consumer="c1"
            C: basic.publish 1 exchange="" key="orders" + body 5
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="orders" + body 5
               queue orders: ready 0, unsettled 1
            C: basic.ack 1 tag=1
               queue orders: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn publisher_and_consumer_are_two_connections() {
    check(
        [
            A.sends([declare(1, "orders", plainly), confirm_select(1)]),
            B.sends(consume(2, "orders", "worker", plainly)),
            A.sends(publish(1, "", "orders", 5)),
            B.sends(ack(2, 1, false)),
            queue("orders"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="orders"
            C: confirm.select 1
            S: queue.declare-ok 1 queue="orders" message-count=0 consumer-count=0
            S: confirm.select-ok 1
            C2: basic.consume 2 queue="orders" consumer="worker"
            S2: basic.consume-ok 2 consumer="worker"
            C: basic.publish 1 exchange="" key="orders" + body 5
            S: basic.ack 1 tag=1
            S2: basic.deliver 2 consumer="worker" tag=1 redelivered=false exchange="" key="orders" + body 5
            C2: basic.ack 2 tag=1
               queue orders: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn the_story_is_the_same_however_its_bytes_arrive() {
    let story = || {
        [
            declare(1, "orders", plainly),
            confirm_select(1),
            publish(1, "", "orders", 5),
            consume(1, "orders", "c1", plainly),
            ack(1, 1, false),
        ]
    };
    let whole = transcript([A.sends(story()), queue("orders")]);
    for size in [1, 2, 3, 7, 8, 9, 100] {
        assert_eq!(
            transcript([A.sends_in_pieces(size, story()), queue("orders")]),
            whole,
            "pieces of {size}"
        );
    }
}
