//! A peer that does not read: its consumers stop, others go on, and nothing is lost.

use expect_test::expect;

use super::{
    bench::{A, B, Step, check, queue},
    frames::{ack, channel_close, consume, declare, get, plainly, publish, qos},
};

/// A third of an outbox.
const LARGE: usize = 350_000;

fn publishes(bodies: &[usize]) -> Step {
    B.sends(bodies.iter().flat_map(|size| publish(1, "", "q", *size)).collect::<Vec<_>>())
}

#[test]
fn a_full_outbox_stops_its_consumers_until_it_is_read() {
    check(
        [
            A.sends([declare(1, "q", plainly), consume(1, "q", "slow", plainly)]),
            A.stops_reading(),
            publishes(&[LARGE, LARGE + 1, LARGE + 2, LARGE + 3, LARGE + 4]),
            queue("q"),
            A.reads_again(),
            queue("q"),
            A.sends(ack(1, 0, true)),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="slow"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="slow"
            C2: basic.publish 1 exchange="" key="q" + body 350000
            C2: basic.publish 1 exchange="" key="q" + body 350001
            C2: basic.publish 1 exchange="" key="q" + body 350002
            C2: basic.publish 1 exchange="" key="q" + body 350003
            C2: basic.publish 1 exchange="" key="q" + body 350004
               queue q: ready 3, unsettled 2
            S: basic.deliver 1 consumer="slow" tag=1 redelivered=false exchange="" key="q" + body 350000
            S: basic.deliver 1 consumer="slow" tag=2 redelivered=false exchange="" key="q" + body 350001
            S: basic.deliver 1 consumer="slow" tag=3 redelivered=false exchange="" key="q" + body 350002
            S: basic.deliver 1 consumer="slow" tag=4 redelivered=false exchange="" key="q" + body 350003
            S: basic.deliver 1 consumer="slow" tag=5 redelivered=false exchange="" key="q" + body 350004
               queue q: ready 0, unsettled 5
            C: basic.ack 1 tag=0 multiple=true
               queue q: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn an_empty_outbox_takes_one_message_of_any_size() {
    check(
        [
            A.sends([declare(1, "q", plainly), consume(1, "q", "c1", plainly)]),
            A.stops_reading(),
            publishes(&[3_000_000, 1]),
            queue("q"),
            A.reads_again(),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="c1"
            C2: basic.publish 1 exchange="" key="q" + body 3000000
            C2: basic.publish 1 exchange="" key="q" + body 1
               queue q: ready 1, unsettled 1
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 3000000
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 1
               queue q: ready 0, unsettled 2
        "#]],
    );
}

#[test]
fn a_slow_reader_does_not_delay_others() {
    check(
        [
            A.sends([declare(1, "q", plainly), consume(1, "q", "slow", plainly)]),
            A.stops_reading(),
            publishes(&[1_000_000]),
            B.sends(consume(2, "q", "fast", plainly)),
            publishes(&[100_001, 100_002, 100_003]),
            A.reads_again(),
            publishes(&[1, 2]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="slow"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="slow"
            C2: basic.publish 1 exchange="" key="q" + body 1000000
            C2: basic.consume 2 queue="q" consumer="fast"
            S2: basic.consume-ok 2 consumer="fast"
            C2: basic.publish 1 exchange="" key="q" + body 100001
            C2: basic.publish 1 exchange="" key="q" + body 100002
            C2: basic.publish 1 exchange="" key="q" + body 100003
            S2: basic.deliver 2 consumer="fast" tag=1 redelivered=false exchange="" key="q" + body 100001
            S2: basic.deliver 2 consumer="fast" tag=2 redelivered=false exchange="" key="q" + body 100002
            S2: basic.deliver 2 consumer="fast" tag=3 redelivered=false exchange="" key="q" + body 100003
            S: basic.deliver 1 consumer="slow" tag=1 redelivered=false exchange="" key="q" + body 1000000
            C2: basic.publish 1 exchange="" key="q" + body 1
            C2: basic.publish 1 exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="slow" tag=2 redelivered=false exchange="" key="q" + body 2
            S2: basic.deliver 2 consumer="fast" tag=4 redelivered=false exchange="" key="q" + body 1
        "#]],
    );
}

#[test]
fn room_that_was_not_there_costs_no_credit() {
    check(
        [
            A.sends([declare(1, "q", plainly), qos(1, 2, false), consume(1, "q", "c1", plainly)]),
            A.stops_reading(),
            publishes(&[1_000_000, 100_001, 100_002]),
            queue("q"),
            A.reads_again(),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=2
            C: basic.consume 1 queue="q" consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: basic.consume-ok 1 consumer="c1"
            C2: basic.publish 1 exchange="" key="q" + body 1000000
            C2: basic.publish 1 exchange="" key="q" + body 100001
            C2: basic.publish 1 exchange="" key="q" + body 100002
               queue q: ready 2, unsettled 1
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1000000
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 100001
               queue q: ready 1, unsettled 2
        "#]],
    );
}

#[test]
fn a_peer_that_leaves_without_reading_takes_nothing_along() {
    check(
        [
            A.sends([declare(1, "q", plainly), consume(1, "q", "slow", plainly)]),
            A.stops_reading(),
            publishes(&[LARGE, LARGE + 1, LARGE + 2, LARGE + 3]),
            A.vanishes(),
            queue("q"),
            B.sends([get(1, "q", false), get(1, "q", false), get(1, "q", false), get(1, "q", false)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="slow"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="slow"
            C2: basic.publish 1 exchange="" key="q" + body 350000
            C2: basic.publish 1 exchange="" key="q" + body 350001
            C2: basic.publish 1 exchange="" key="q" + body 350002
            C2: basic.publish 1 exchange="" key="q" + body 350003
               C vanishes
               queue q: ready 4, unsettled 0
            C2: basic.get 1 queue="q"
            C2: basic.get 1 queue="q"
            C2: basic.get 1 queue="q"
            C2: basic.get 1 queue="q"
            S2: basic.get-ok 1 tag=1 redelivered=true exchange="" key="q" message-count=3 + body 350000
            S2: basic.get-ok 1 tag=2 redelivered=true exchange="" key="q" message-count=2 + body 350001
            S2: basic.get-ok 1 tag=3 redelivered=false exchange="" key="q" message-count=1 + body 350002
            S2: basic.get-ok 1 tag=4 redelivered=false exchange="" key="q" message-count=0 + body 350003
        "#]],
    );
}

#[test]
fn a_channel_that_closes_while_its_consumer_waits_for_room() {
    check(
        [
            A.sends([declare(1, "q", plainly), consume(1, "q", "slow", plainly)]),
            A.stops_reading(),
            publishes(&[1_000_000, 100_001]),
            A.sends([channel_close(1), consume(2, "q", "next", plainly)]),
            queue("q"),
            A.reads_again(),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="slow"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="slow"
            C2: basic.publish 1 exchange="" key="q" + body 1000000
            C2: basic.publish 1 exchange="" key="q" + body 100001
            C: channel.close 1 code=200 text="" class=0 method=0
            C: basic.consume 2 queue="q" consumer="next"
               queue q: ready 2, unsettled 0
            S: basic.deliver 1 consumer="slow" tag=1 redelivered=false exchange="" key="q" + body 1000000
            S: channel.close-ok 1
            S: basic.consume-ok 2 consumer="next"
            S: basic.deliver 2 consumer="next" tag=1 redelivered=true exchange="" key="q" + body 1000000
            S: basic.deliver 2 consumer="next" tag=2 redelivered=false exchange="" key="q" + body 100001
               queue q: ready 0, unsettled 2
        "#]],
    );
}

#[test]
fn a_consumer_that_is_going_leaves_its_message_to_others() {
    check(
        [
            A.sends([declare(1, "q", plainly), consume(1, "q", "going", plainly)]),
            B.sends(consume(2, "q", "staying", plainly)),
            A.loses_channel(1),
            publishes(&[1]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="going"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="going"
            C2: basic.consume 2 queue="q" consumer="staying"
            S2: basic.consume-ok 2 consumer="staying"
               channel 1 of C goes
            C2: basic.publish 1 exchange="" key="q" + body 1
            S2: basic.deliver 2 consumer="staying" tag=1 redelivered=true exchange="" key="q" + body 1
               queue q: ready 0, unsettled 1
        "#]],
    );
}

#[test]
fn consumers_that_share_credit_are_resumed_together() {
    check(
        [
            A.sends([declare(1, "q", plainly), declare(1, "p", plainly), qos(1, 2, true)]),
            A.sends([consume(1, "q", "c1", plainly), consume(1, "p", "c2", plainly)]),
            A.stops_reading(),
            publishes(&[1_000_000, 100_001]),
            B.sends(publish(1, "", "p", 100_002)),
            queue("q"),
            queue("p"),
            A.reads_again(),
            queue("q"),
            queue("p"),
            A.sends(ack(1, 0, true)),
            queue("p"),
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
            C2: basic.publish 1 exchange="" key="q" + body 1000000
            C2: basic.publish 1 exchange="" key="q" + body 100001
            C2: basic.publish 1 exchange="" key="p" + body 100002
               queue q: ready 1, unsettled 1
               queue p: ready 1, unsettled 0
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1000000
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 100001
               queue q: ready 0, unsettled 2
               queue p: ready 1, unsettled 0
            C: basic.ack 1 tag=0 multiple=true
            S: basic.deliver 1 consumer="c2" tag=3 redelivered=false exchange="" key="p" + body 100002
               queue p: ready 0, unsettled 1
        "#]],
    );
}

#[test]
fn who_does_not_read_its_replies_is_not_answered_further() {
    let gets = (0..6).flat_map(|_| get(1, "q", false)).collect::<Vec<_>>();
    check(
        [
            A.sends(declare(1, "q", plainly)),
            publishes(&[400_000, 400_001, 400_002, 400_003, 400_004]),
            A.stops_reading(),
            A.sends(gets),
            queue("q"),
            A.sends(ack(1, 1, false)),
            queue("q"),
            A.reads_again(),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C2: basic.publish 1 exchange="" key="q" + body 400000
            C2: basic.publish 1 exchange="" key="q" + body 400001
            C2: basic.publish 1 exchange="" key="q" + body 400002
            C2: basic.publish 1 exchange="" key="q" + body 400003
            C2: basic.publish 1 exchange="" key="q" + body 400004
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
               queue q: ready 2, unsettled 3
            C: basic.ack 1 tag=1
               queue q: ready 2, unsettled 3
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=4 + body 400000
            S: basic.get-ok 1 tag=2 redelivered=false exchange="" key="q" message-count=3 + body 400001
            S: basic.get-ok 1 tag=3 redelivered=false exchange="" key="q" message-count=2 + body 400002
            S: basic.get-ok 1 tag=4 redelivered=false exchange="" key="q" message-count=1 + body 400003
            S: basic.get-ok 1 tag=5 redelivered=false exchange="" key="q" message-count=0 + body 400004
            S: basic.get-empty 1
               queue q: ready 0, unsettled 4
        "#]],
    );
}
