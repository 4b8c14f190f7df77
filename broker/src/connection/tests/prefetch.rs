//! `basic.qos`: how much a consumer or a channel may hold.

use expect_test::expect;

use super::{
    bench::{A, check, queue},
    frames::{ack, consume, declare, get, plainly, publish, publishes, qos},
};

#[test]
fn prefetch_holds_for_consumers_to_come() {
    check(
        [
            A.sends([declare(1, "q", plainly), qos(1, 1, false), consume(1, "q", "one", plainly)]),
            A.sends([qos(1, 2, false), consume(1, "q", "two", plainly)]),
            A.sends(publishes(6)),
            queue("q"),
            A.sends(ack(1, 2, false)),
            A.sends(ack(1, 3, true)),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=1
            C: basic.consume 1 queue="q" consumer="one"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="one"
            C: basic.qos 1 prefetch-count=2
            C: basic.consume 1 queue="q" consumer="two"
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="two"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.publish 2 exchange="" key="q" + body 4
            C: basic.publish 2 exchange="" key="q" + body 5
            C: basic.publish 2 exchange="" key="q" + body 6
            S: basic.deliver 1 consumer="one" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="two" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="two" tag=3 redelivered=false exchange="" key="q" + body 3
               queue q: ready 3, unsettled 3
            C: basic.ack 1 tag=2
            S: basic.deliver 1 consumer="two" tag=4 redelivered=false exchange="" key="q" + body 4
            C: basic.ack 1 tag=3 multiple=true
            S: basic.deliver 1 consumer="one" tag=5 redelivered=false exchange="" key="q" + body 5
            S: basic.deliver 1 consumer="two" tag=6 redelivered=false exchange="" key="q" + body 6
               queue q: ready 0, unsettled 3
        "#]],
    );
}

#[test]
fn prefetch_of_the_whole_channel_is_shared() {
    check(
        [
            A.sends([declare(1, "q", plainly), declare(1, "p", plainly), qos(1, 2, true)]),
            A.sends([consume(1, "q", "c1", plainly), consume(1, "p", "c2", plainly)]),
            A.sends([publishes(3), publish(2, "", "p", 4)]),
            A.sends(ack(1, 1, false)),
            A.sends(ack(1, 2, false)),
            A.sends(ack(1, 3, false)),
            A.sends(qos(1, 0, true)),
            A.sends(publishes(3)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: queue.declare 1 queue="p"
            C: basic.qos 1 prefetch-count=2 global=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="p" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.consume 1 queue="p" consumer="c2"
            S: basic.consume-ok 1 consumer="c1"
            S: basic.consume-ok 1 consumer="c2"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.publish 2 exchange="" key="p" + body 4
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            C: basic.ack 1 tag=1
            S: basic.deliver 1 consumer="c2" tag=3 redelivered=false exchange="" key="p" + body 4
            C: basic.ack 1 tag=2
            S: basic.deliver 1 consumer="c1" tag=4 redelivered=false exchange="" key="q" + body 3
            C: basic.ack 1 tag=3
            C: basic.qos 1 prefetch-count=0 global=true
            S: basic.qos-ok 1
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            S: basic.deliver 1 consumer="c1" tag=5 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=6 redelivered=false exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=7 redelivered=false exchange="" key="q" + body 3
        "#]],
    );
}

#[test]
fn a_larger_prefetch_of_the_channel_holds_at_once() {
    check(
        [
            A.sends([
                declare(1, "q", plainly),
                qos(1, 1, true),
                consume(1, "q", "c1", plainly),
                publishes(3),
            ]),
            A.sends(qos(1, 2, true)),
            A.sends([qos(1, 1, true), ack(1, 1, false)]),
            A.sends(ack(1, 2, false)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=1 global=true
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            C: basic.qos 1 prefetch-count=2 global=true
            S: basic.qos-ok 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            C: basic.qos 1 prefetch-count=1 global=true
            C: basic.ack 1 tag=1
            S: basic.qos-ok 1
            C: basic.ack 1 tag=2
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3
        "#]],
    );
}

#[test]
fn credit_that_one_queue_gives_back_is_for_the_other_too() {
    check(
        [
            A.sends([declare(1, "q", plainly), declare(1, "p", plainly), qos(1, 1, true)]),
            A.sends([consume(1, "q", "c1", plainly), consume(1, "p", "c2", plainly)]),
            A.sends(publishes(1)),
            A.sends([publish(2, "", "p", 2), publish(2, "", "p", 3)]),
            A.sends(ack(1, 1, false)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: queue.declare 1 queue="p"
            C: basic.qos 1 prefetch-count=1 global=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="p" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.consume 1 queue="p" consumer="c2"
            S: basic.consume-ok 1 consumer="c1"
            S: basic.consume-ok 1 consumer="c2"
            C: basic.publish 2 exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="p" + body 2
            C: basic.publish 2 exchange="" key="p" + body 3
            C: basic.ack 1 tag=1
            S: basic.deliver 1 consumer="c2" tag=2 redelivered=false exchange="" key="p" + body 2
        "#]],
    );
}

#[test]
fn consumers_that_share_credit_take_turns() {
    check(
        [
            A.sends([declare(1, "q", plainly), declare(1, "p", plainly), qos(1, 1, true)]),
            A.sends([publish(2, "", "q", 1), publish(2, "", "q", 2), publish(2, "", "q", 3)]),
            A.sends([publish(2, "", "p", 4), publish(2, "", "p", 5)]),
            A.sends([consume(1, "q", "c1", plainly), consume(1, "p", "c2", plainly)]),
            A.sends(ack(1, 1, false)),
            A.sends(ack(1, 2, false)),
            A.sends(ack(1, 3, false)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: queue.declare 1 queue="p"
            C: basic.qos 1 prefetch-count=1 global=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="p" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.publish 2 exchange="" key="p" + body 4
            C: basic.publish 2 exchange="" key="p" + body 5
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.consume 1 queue="p" consumer="c2"
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.consume-ok 1 consumer="c2"
            C: basic.ack 1 tag=1
            S: basic.deliver 1 consumer="c2" tag=2 redelivered=false exchange="" key="p" + body 4
            C: basic.ack 1 tag=2
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 2
            C: basic.ack 1 tag=3
            S: basic.deliver 1 consumer="c2" tag=4 redelivered=false exchange="" key="p" + body 5
        "#]],
    );
}

#[test]
fn what_is_settled_before_a_shared_limit_is_not_under_it() {
    check(
        [
            A.sends([declare(1, "q", plainly), qos(1, 1, false), consume(1, "q", "c1", plainly)]),
            A.sends(publishes(2)),
            A.sends([ack(1, 1, false), qos(1, 1, true)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=1
            C: basic.consume 1 queue="q" consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            C: basic.ack 1 tag=1
            C: basic.qos 1 prefetch-count=1 global=true
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.qos-ok 1
        "#]],
    );
}

#[test]
fn prefetch_in_bytes_is_not_implemented() {
    let mut frame = qos(1, 1, false);
    // The first argument: 7 bytes of frame head, 4 of class and method.
    frame[11..15].copy_from_slice(&[0, 0, 0, 9]);
    check(
        [A.sends(frame)],
        &expect![[r#"
        C: basic.qos 1 prefetch-count=1
        S: connection.close 0 code=540 text="NOT_IMPLEMENTED - prefetch_size!=0 (9)" class=60 method=10
    "#]],
    );
}

#[test]
fn gets_do_not_count_for_prefetch() {
    check(
        [
            A.sends([declare(1, "q", plainly), qos(1, 1, true), publishes(3)]),
            A.sends([get(1, "q", false), get(1, "q", false)]),
            A.sends(consume(1, "q", "c1", plainly)),
            A.sends(ack(1, 0, true)),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=1 global=true
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=2 + body 1
            S: basic.get-ok 1 tag=2 redelivered=false exchange="" key="q" message-count=1 + body 2
            C: basic.consume 1 queue="q" consumer="c1"
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3
            C: basic.ack 1 tag=0 multiple=true
               queue q: ready 0, unsettled 0
        "#]],
    );
}
