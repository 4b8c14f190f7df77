//! Messages that may not be handed out before the log has a mark for them.

use std::sync::Arc;

use expect_test::{Expect, expect};

use super::{
    bench::{A, B, C, Step, transcript_with_log},
    frames::{consume, declare, durable, get, persistent, plainly, publish},
    log::FakeLog,
};

/// From the moment on that the queue has persistent messages of one and two bytes.
fn check(log: &Arc<FakeLog>, steps: impl IntoIterator<Item = Step>, expected: &Expect) {
    let filled = A.sends([declare(1, "q", durable), persistent(2, "q", 1), persistent(2, "q", 2)]);
    let lines = transcript_with_log(Arc::clone(log) as _, [filled].into_iter().chain(steps));
    let last = "basic.publish 2 exchange=\"\" key=\"q\" + body 2 {delivery-mode=2}\n";
    let at = lines.find(last).expect("it was published") + last.len();
    expected.assert_eq(&lines[at..]);
}

#[test]
fn a_get_waits_for_the_mark_and_what_is_behind_it_waits_too() {
    let log = Arc::new(FakeLog::default());
    check(
        &log,
        [A.sends([get(1, "q", false), get(1, "q", false), get(1, "q", false)]), log.catches_up()],
        &expect![[r#"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
               the log catches up
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=1 + body 1 {delivery-mode=2}
            S: basic.get-ok 1 tag=2 redelivered=false exchange="" key="q" message-count=0 + body 2 {delivery-mode=2}
            S: basic.get-empty 1
        "#]],
    );
}

#[test]
fn a_get_waits_on_while_the_disk_is_full() {
    let log = Arc::new(FakeLog::default());
    check(
        &log,
        [A.sends(get(1, "q", true)), log.finds_the_disk_full(), log.finds_the_disk_full(), log.catches_up()],
        &expect![[r#"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.get 1 queue="q" no-ack=true
               the disk is full
               the disk is full
               the log catches up
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=1 + body 1 {delivery-mode=2}
        "#]],
    );
}

#[test]
fn a_backlog_waits_for_the_mark_and_what_is_published_then_does_not() {
    let log = Arc::new(FakeLog::default());
    check(
        &log,
        [
            B.sends(consume(1, "q", "c1", plainly)),
            log.finds_the_disk_full(),
            log.catches_up(),
            A.sends([persistent(2, "q", 3), persistent(2, "q", 4)]),
        ],
        &expect![[r#"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C2: basic.consume 1 queue="q" consumer="c1"
            S2: basic.consume-ok 1 consumer="c1"
               the disk is full
               the log catches up
            S2: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1 {delivery-mode=2}
            S2: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2 {delivery-mode=2}
            C: basic.publish 2 exchange="" key="q" + body 3 {delivery-mode=2}
            C: basic.publish 2 exchange="" key="q" + body 4 {delivery-mode=2}
            S2: basic.deliver 1 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 3 {delivery-mode=2}
            S2: basic.deliver 1 consumer="c1" tag=4 redelivered=false exchange="" key="q" + body 4 {delivery-mode=2}
        "#]],
    );
}

#[test]
fn transient_messages_wait_for_nothing_but_those_before_them() {
    let log = Arc::new(FakeLog::default());
    check(
        &log,
        [
            A.sends(publish(2, "", "q", 3)),
            A.sends([get(1, "q", true), get(1, "q", true)]),
            log.catches_up(),
            A.sends([get(1, "q", true), publish(2, "", "q", 4), get(1, "q", true)]),
        ],
        &expect![[r#"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.publish 2 exchange="" key="q" + body 3
            C: basic.get 1 queue="q" no-ack=true
            C: basic.get 1 queue="q" no-ack=true
               the log catches up
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=2 + body 1 {delivery-mode=2}
            S: basic.get-ok 1 tag=2 redelivered=false exchange="" key="q" message-count=1 + body 2 {delivery-mode=2}
            C: basic.get 1 queue="q" no-ack=true
            C: basic.publish 2 exchange="" key="q" + body 4
            C: basic.get 1 queue="q" no-ack=true
            S: basic.get-ok 1 tag=3 redelivered=false exchange="" key="q" message-count=0 + body 3
            S: basic.get-ok 1 tag=4 redelivered=false exchange="" key="q" message-count=0 + body 4
        "#]],
    );
}

#[test]
fn when_the_consumer_dies_that_was_to_be_told_another_one_is() {
    let log = Arc::new(FakeLog::default());
    check(
        &log,
        [
            B.sends(consume(1, "q", "c1", plainly)),
            C.sends(consume(1, "q", "c2", plainly)),
            B.vanishes(),
            log.catches_up(),
        ],
        &expect![[r#"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C2: basic.consume 1 queue="q" consumer="c1"
            S2: basic.consume-ok 1 consumer="c1"
            C3: basic.consume 1 queue="q" consumer="c2"
            S3: basic.consume-ok 1 consumer="c2"
               C2 vanishes
               the log catches up
            S3: basic.deliver 1 consumer="c2" tag=1 redelivered=false exchange="" key="q" + body 1 {delivery-mode=2}
            S3: basic.deliver 1 consumer="c2" tag=2 redelivered=false exchange="" key="q" + body 2 {delivery-mode=2}
        "#]],
    );
}
