//! `basic.ack`, `nack`, `reject`, `recover`, and what goes back by itself.

use expect_test::expect;

use super::{
    bench::{A, B, Step, check, queue, transcript},
    frames::{
        ack, cancel, channel_close, channel_close_ok, channel_open, connection_close, consume, declare, get,
        nack, plainly, publish, publishes, qos, recover, recover_async, reject,
    },
};

/// Channel 1 of the first peer holds so many messages, and its consumer wants no more.
fn held(count: u16) -> Step {
    A.sends([
        declare(1, "q", plainly),
        qos(1, count, false),
        consume(1, "q", "c1", plainly),
        publishes(count.into()),
        cancel(1, "c1"),
    ])
}

#[test]
fn acks_one_by_one_in_any_order() {
    check(
        [
            held(3),
            A.sends(ack(1, 2, false)),
            queue("q"),
            A.sends([ack(1, 3, false), ack(1, 1, false)]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=3
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.cancel 1 consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3
            S: basic.cancel-ok 1 consumer="c1"
            C: basic.ack 1 tag=2
               queue q: ready 0, unsettled 2
            C: basic.ack 1 tag=3
            C: basic.ack 1 tag=1
               queue q: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn what_goes_back_goes_out_before_what_is_published_after_it() {
    check(
        [
            A.sends([
                declare(1, "q", plainly),
                qos(1, 1, false),
                consume(1, "q", "c1", plainly),
                publishes(1),
            ]),
            A.sends([nack(1, 1, false, true), publish(1, "", "q", 7)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=1
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            C: basic.nack 1 tag=1 requeue=true
            C: basic.publish 1 exchange="" key="q" + body 7
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=true exchange="" key="q" + body 1
        "#]],
    );
}

#[test]
fn acks_of_many() {
    check(
        [
            held(5),
            A.sends(ack(1, 2, false)),
            A.sends(ack(1, 3, true)),
            queue("q"),
            A.sends(ack(1, 0, true)),
            queue("q"),
            A.sends(ack(1, 0, true)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=5
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.publish 2 exchange="" key="q" + body 4
            C: basic.publish 2 exchange="" key="q" + body 5
            C: basic.cancel 1 consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3
            S: basic.deliver 1 consumer="c1" tag=4 redelivered=false exchange="" key="q" + body 4
            S: basic.deliver 1 consumer="c1" tag=5 redelivered=false exchange="" key="q" + body 5
            S: basic.cancel-ok 1 consumer="c1"
            C: basic.ack 1 tag=2
            C: basic.ack 1 tag=3 multiple=true
               queue q: ready 0, unsettled 2
            C: basic.ack 1 tag=0 multiple=true
               queue q: ready 0, unsettled 0
            C: basic.ack 1 tag=0 multiple=true
        "#]],
    );
}

#[test]
fn unknown_tags() {
    for unknown in [
        ack(1, 0, false),
        ack(1, 9, false),
        ack(1, 9, true),
        nack(1, 9, false, true),
        reject(1, 9, true),
        [ack(1, 1, false), ack(1, 1, false)].concat(),
        [ack(1, 2, false), ack(1, 2, true)].concat(),
        ack(2, 1, false),
    ] {
        let said = transcript([held(3), A.sends(unknown), queue("q")]);
        assert!(said.contains("code=406 text=\"PRECONDITION_FAILED - unknown delivery tag"), "{said}");
    }
}

#[test]
fn an_unknown_tag_settles_nothing_and_loses_nothing() {
    check(
        [held(3), A.sends([ack(1, 1, false), ack(1, 9, true)]), queue("q")],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=3
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.cancel 1 consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3
            S: basic.cancel-ok 1 consumer="c1"
            C: basic.ack 1 tag=1
            C: basic.ack 1 tag=9 multiple=true
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - unknown delivery tag 9" class=60 method=80
               queue q: ready 2, unsettled 0
        "#]],
    );
}

#[test]
fn requeued_messages_go_back_to_their_place() {
    check(
        [
            held(4),
            A.sends(publish(2, "", "q", 5)),
            A.sends([reject(1, 3, true), nack(1, 1, false, true)]),
            A.sends([get(2, "q", false), get(2, "q", false), get(2, "q", false)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=4
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.publish 2 exchange="" key="q" + body 4
            C: basic.cancel 1 consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3
            S: basic.deliver 1 consumer="c1" tag=4 redelivered=false exchange="" key="q" + body 4
            S: basic.cancel-ok 1 consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 5
            C: basic.reject 1 tag=3 requeue=true
            C: basic.nack 1 tag=1 requeue=true
            C: basic.get 2 queue="q"
            C: basic.get 2 queue="q"
            C: basic.get 2 queue="q"
            S: basic.get-ok 2 tag=1 redelivered=true exchange="" key="q" message-count=2 + body 1
            S: basic.get-ok 2 tag=2 redelivered=true exchange="" key="q" message-count=1 + body 3
            S: basic.get-ok 2 tag=3 redelivered=false exchange="" key="q" message-count=0 + body 5
        "#]],
    );
}

#[test]
fn nacks_of_many() {
    check(
        [
            held(4),
            A.sends(nack(1, 2, true, false)),
            queue("q"),
            A.sends(nack(1, 0, true, true)),
            A.sends([get(2, "q", true), get(2, "q", true), get(2, "q", true)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=4
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.publish 2 exchange="" key="q" + body 4
            C: basic.cancel 1 consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3
            S: basic.deliver 1 consumer="c1" tag=4 redelivered=false exchange="" key="q" + body 4
            S: basic.cancel-ok 1 consumer="c1"
            C: basic.nack 1 tag=2 multiple=true
               queue q: ready 0, unsettled 2
            C: basic.nack 1 tag=0 multiple=true requeue=true
            C: basic.get 2 queue="q" no-ack=true
            C: basic.get 2 queue="q" no-ack=true
            C: basic.get 2 queue="q" no-ack=true
            S: basic.get-ok 2 tag=1 redelivered=true exchange="" key="q" message-count=1 + body 3
            S: basic.get-ok 2 tag=2 redelivered=true exchange="" key="q" message-count=0 + body 4
            S: basic.get-empty 2
        "#]],
    );
}

#[test]
fn refused_messages_are_dropped() {
    check(
        [held(2), A.sends([reject(1, 1, false), nack(1, 2, false, false)]), queue("q")],
        &expect![[r#"
        C: queue.declare 1 queue="q"
        C: basic.qos 1 prefetch-count=2
        C: basic.consume 1 queue="q" consumer="c1"
        C: basic.publish 2 exchange="" key="q" + body 1
        C: basic.publish 2 exchange="" key="q" + body 2
        C: basic.cancel 1 consumer="c1"
        S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
        S: basic.qos-ok 1
        S: basic.consume-ok 1 consumer="c1"
        S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
        S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
        S: basic.cancel-ok 1 consumer="c1"
        C: basic.reject 1 tag=1
        C: basic.nack 1 tag=2
           queue q: ready 0, unsettled 0
    "#]],
    );
}

#[test]
fn a_requeue_may_come_back_at_once_and_flagged() {
    check(
        [
            A.sends([declare(1, "q", plainly), consume(1, "q", "c1", plainly), publishes(2)]),
            A.sends(reject(1, 1, true)),
            A.sends(nack(1, 3, true, true)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            C: basic.reject 1 tag=1 requeue=true
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=true exchange="" key="q" + body 1
            C: basic.nack 1 tag=3 multiple=true requeue=true
            S: basic.deliver 1 consumer="c1" tag=4 redelivered=true exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=5 redelivered=true exchange="" key="q" + body 2
        "#]],
    );
}

#[test]
fn recover_gives_everything_of_the_channel_back() {
    check(
        [
            A.sends([
                declare(1, "q", plainly),
                consume(1, "q", "c1", plainly),
                publishes(2),
                get(2, "q", false),
            ]),
            A.sends(recover(1, true)),
            A.sends(recover_async(1)),
            A.sends(recover(1, false)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.get 2 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.get-empty 2
            C: basic.recover 1 requeue=true
            S: basic.recover-ok 1
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=true exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=4 redelivered=true exchange="" key="q" + body 2
            C: basic.recover-async 1 requeue=true
            S: basic.deliver 1 consumer="c1" tag=5 redelivered=true exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=6 redelivered=true exchange="" key="q" + body 2
            C: basic.recover 1
            S: connection.close 0 code=540 text="NOT_IMPLEMENTED - requeue=false" class=60 method=110
        "#]],
    );
}

#[test]
fn a_channels_end_puts_everything_back_in_order_and_flagged() {
    check(
        [
            held(3),
            A.sends([publish(2, "", "q", 4), ack(1, 2, false)]),
            A.sends(channel_close(1)),
            A.sends(consume(2, "q", "c2", plainly)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=3
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.cancel 1 consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3
            S: basic.cancel-ok 1 consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 4
            C: basic.ack 1 tag=2
            C: channel.close 1 code=200 text="" class=0 method=0
            S: channel.close-ok 1
            C: basic.consume 2 queue="q" consumer="c2"
            S: basic.consume-ok 2 consumer="c2"
            S: basic.deliver 2 consumer="c2" tag=1 redelivered=true exchange="" key="q" + body 1
            S: basic.deliver 2 consumer="c2" tag=2 redelivered=true exchange="" key="q" + body 3
            S: basic.deliver 2 consumer="c2" tag=3 redelivered=false exchange="" key="q" + body 4
        "#]],
    );
}

#[test]
fn an_exception_puts_everything_back_as_well() {
    check(
        [
            held(2),
            B.sends(consume(1, "q", "other", plainly)),
            A.sends(ack(1, 9, false)),
            A.sends([channel_close_ok(1), channel_open(1), ack(1, 1, false)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=2
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.cancel 1 consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            S: basic.cancel-ok 1 consumer="c1"
            C2: basic.consume 1 queue="q" consumer="other"
            S2: basic.consume-ok 1 consumer="other"
            C: basic.ack 1 tag=9
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - unknown delivery tag 9" class=60 method=80
            S2: basic.deliver 1 consumer="other" tag=1 redelivered=true exchange="" key="q" + body 1
            S2: basic.deliver 1 consumer="other" tag=2 redelivered=true exchange="" key="q" + body 2
            C: channel.close-ok 1
            C: channel.open 1
            C: basic.ack 1 tag=1
            S: channel.open-ok 1
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - unknown delivery tag 1" class=60 method=80
        "#]],
    );
}

/// Both channels of the first peer hold messages when it ends.
fn ended_by(end: Step) -> [Step; 6] {
    [
        A.sends([declare(1, "q", plainly), qos(1, 2, false), qos(2, 1, false)]),
        A.sends([consume(1, "q", "c1", plainly), consume(2, "q", "c2", plainly)]),
        B.sends([publishes(5), get(1, "q", false)]),
        end,
        B.sends(consume(1, "q", "other", plainly)),
        queue("q"),
    ]
}

#[test]
fn a_peers_end_puts_everything_back() {
    check(
        ended_by(A.vanishes()),
        &expect![[r#"
        C: queue.declare 1 queue="q"
        C: basic.qos 1 prefetch-count=2
        C: basic.qos 2 prefetch-count=1
        S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
        S: basic.qos-ok 1
        S: basic.qos-ok 2
        C: basic.consume 1 queue="q" consumer="c1"
        C: basic.consume 2 queue="q" consumer="c2"
        S: basic.consume-ok 1 consumer="c1"
        S: basic.consume-ok 2 consumer="c2"
        C2: basic.publish 2 exchange="" key="q" + body 1
        C2: basic.publish 2 exchange="" key="q" + body 2
        C2: basic.publish 2 exchange="" key="q" + body 3
        C2: basic.publish 2 exchange="" key="q" + body 4
        C2: basic.publish 2 exchange="" key="q" + body 5
        C2: basic.get 1 queue="q"
        S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
        S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 3
        S: basic.deliver 2 consumer="c2" tag=1 redelivered=false exchange="" key="q" + body 2
        S2: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=1 + body 4
           C vanishes
        C2: basic.consume 1 queue="q" consumer="other"
        S2: basic.consume-ok 1 consumer="other"
        S2: basic.deliver 1 consumer="other" tag=2 redelivered=true exchange="" key="q" + body 1
        S2: basic.deliver 1 consumer="other" tag=3 redelivered=true exchange="" key="q" + body 2
        S2: basic.deliver 1 consumer="other" tag=4 redelivered=true exchange="" key="q" + body 3
        S2: basic.deliver 1 consumer="other" tag=5 redelivered=false exchange="" key="q" + body 5
           queue q: ready 0, unsettled 5
    "#]],
    );
}

#[test]
fn a_close_puts_everything_back() {
    check(
        ended_by(A.sends(connection_close())),
        &expect![[r#"
        C: queue.declare 1 queue="q"
        C: basic.qos 1 prefetch-count=2
        C: basic.qos 2 prefetch-count=1
        S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
        S: basic.qos-ok 1
        S: basic.qos-ok 2
        C: basic.consume 1 queue="q" consumer="c1"
        C: basic.consume 2 queue="q" consumer="c2"
        S: basic.consume-ok 1 consumer="c1"
        S: basic.consume-ok 2 consumer="c2"
        C2: basic.publish 2 exchange="" key="q" + body 1
        C2: basic.publish 2 exchange="" key="q" + body 2
        C2: basic.publish 2 exchange="" key="q" + body 3
        C2: basic.publish 2 exchange="" key="q" + body 4
        C2: basic.publish 2 exchange="" key="q" + body 5
        C2: basic.get 1 queue="q"
        S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
        S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 3
        S: basic.deliver 2 consumer="c2" tag=1 redelivered=false exchange="" key="q" + body 2
        S2: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=1 + body 4
        C: connection.close 0 code=200 text="bye" class=0 method=0
        S: connection.close-ok 0
        S: (end)
        C2: basic.consume 1 queue="q" consumer="other"
        S2: basic.consume-ok 1 consumer="other"
        S2: basic.deliver 1 consumer="other" tag=2 redelivered=true exchange="" key="q" + body 1
        S2: basic.deliver 1 consumer="other" tag=3 redelivered=true exchange="" key="q" + body 2
        S2: basic.deliver 1 consumer="other" tag=4 redelivered=true exchange="" key="q" + body 3
        S2: basic.deliver 1 consumer="other" tag=5 redelivered=false exchange="" key="q" + body 5
           queue q: ready 0, unsettled 5
    "#]],
    );
}

#[test]
fn what_one_holds_is_nobody_elses() {
    check(
        [
            held(1),
            B.sends(ack(1, 1, false)),
            B.sends(get(2, "q", false)),
            A.sends(ack(1, 1, false)),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=1
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.cancel 1 consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.cancel-ok 1 consumer="c1"
            C2: basic.ack 1 tag=1
            S2: channel.close 1 code=406 text="PRECONDITION_FAILED - unknown delivery tag 1" class=60 method=80
            C2: basic.get 2 queue="q"
            S2: basic.get-empty 2
            C: basic.ack 1 tag=1
               queue q: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn many_holes_are_squeezed_out() {
    let acks =
        |tags: std::ops::RangeInclusive<u64>| tags.flat_map(|tag| ack(1, tag, false)).collect::<Vec<_>>();
    let odd = (1..=3_001).step_by(2).flat_map(|tag| ack(1, tag, false)).collect::<Vec<_>>();
    let said = transcript([
        A.sends([declare(1, "q", plainly), consume(1, "q", "c1", plainly)]),
        B.sends((0..4_000).flat_map(|_| publish(1, "", "q", 1)).collect::<Vec<_>>()),
        queue("q"),
        A.sends(acks(2_000..=2_000)),
        A.sends(acks(3_500..=3_990)),
        A.sends(odd),
        queue("q"),
        A.sends(ack(1, 3_600, false)),
    ]);
    let told: Vec<_> =
        said.lines().filter(|line| line.contains("queue q") || line.contains("close")).collect();
    expect![[r#"
           queue q: ready 0, unsettled 4000
           queue q: ready 0, unsettled 2007
        S: channel.close 1 code=406 text="PRECONDITION_FAILED - unknown delivery tag 3600" class=60 method=80
    "#]]
    .assert_eq(&(told.join("\n") + "\n"));
}

#[test]
fn many_gets_are_held_and_settled() {
    let gets = || (0..10_000).flat_map(|_| get(1, "q", false)).collect::<Vec<_>>();
    let said = transcript([
        A.sends(declare(1, "q", plainly)),
        A.sends((0..10_000).flat_map(|_| publish(1, "", "q", 1)).collect::<Vec<_>>()),
        A.sends(gets()),
        queue("q"),
        A.sends(nack(1, 0, true, true)),
        A.sends(gets()),
        queue("q"),
        A.sends(ack(1, 20_000, true)),
        queue("q"),
    ]);
    let told: Vec<_> = said.lines().filter(|line| line.contains("queue q:")).map(str::trim_start).collect();
    expect![[r#"
           queue q: ready 0, unsettled 10000
           queue q: ready 0, unsettled 10000
           queue q: ready 0, unsettled 0
    "#]]
    .assert_eq(&(told.join("\n") + "\n"));
}
