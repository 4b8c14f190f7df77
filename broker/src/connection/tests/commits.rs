//! Commits and the log: one record, the wait for the disk, refusals, limits.

use std::sync::Arc;

use amq_protocol::protocol::BasicProperties;
use expect_test::{Expect, expect};

use super::{
    bench::{A, Bench, Step, queue, transcript_with_log},
    frames::{
        ack, commit, declare, durable, get, nack, persistent, plainly, publish, publish_with, reject,
        tx_select,
    },
    log::FakeLog,
};
use crate::limits::{TRANSACTION_BYTES_MAX, TRANSACTION_MESSAGES_MAX};

/// Runs the steps on a broker with this log.
fn check_with_log(log: &Arc<FakeLog>, steps: impl IntoIterator<Item = Step>, expected: &Expect) {
    expected.assert_eq(&transcript_with_log(Arc::clone(log) as _, steps));
}

#[test]
fn a_commit_is_one_record_and_is_answered_when_that_is_synced() {
    let log = Arc::new(FakeLog::default());
    check_with_log(
        &log,
        [
            A.sends([declare(1, "q", durable), declare(1, "p", durable), tx_select(1)]),
            A.sends([persistent(2, "q", 1), persistent(2, "q", 2), persistent(2, "q", 3)]),
            log.catches_up(),
            A.sends([get(1, "q", false), get(1, "q", false), get(1, "q", false)]),
            log.catches_up(),
            A.sends([persistent(1, "p", 4), persistent(1, "p", 5), persistent(1, "q", 6)]),
            A.sends([ack(1, 1, false), nack(1, 2, false, true), reject(1, 3, false)]),
            A.sends([commit(1), get(2, "p", true)]),
            queue("q"),
            queue("p"),
            log.catches_up(),
            log.catches_up(),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C: queue.declare 1 queue="p" durable=true
            C: tx.select 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="p" message-count=0 consumer-count=0
            S: tx.select-ok 1
            C: basic.publish 2 exchange="" key="q" + body 1 {delivery-mode=2}
            C: basic.publish 2 exchange="" key="q" + body 2 {delivery-mode=2}
            C: basic.publish 2 exchange="" key="q" + body 3 {delivery-mode=2}
               the log catches up
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
               the log catches up
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=2 + body 1 {delivery-mode=2}
            S: basic.get-ok 1 tag=2 redelivered=false exchange="" key="q" message-count=1 + body 2 {delivery-mode=2}
            S: basic.get-ok 1 tag=3 redelivered=false exchange="" key="q" message-count=0 + body 3 {delivery-mode=2}
            C: basic.publish 1 exchange="" key="p" + body 4 {delivery-mode=2}
            C: basic.publish 1 exchange="" key="p" + body 5 {delivery-mode=2}
            C: basic.publish 1 exchange="" key="q" + body 6 {delivery-mode=2}
            C: basic.ack 1 tag=1
            C: basic.nack 1 tag=2 requeue=true
            C: basic.reject 1 tag=3
            C: tx.commit 1
            C: basic.get 2 queue="p" no-ack=true
               queue q: ready 2, unsettled 0
               queue p: ready 2, unsettled 0
               the log catches up
            S: tx.commit-ok 1
               the log catches up
            S: basic.get-ok 2 tag=1 redelivered=false exchange="" key="p" message-count=1 + body 4 {delivery-mode=2}
        "#]],
    );
    expect![[r#"
        transaction
          2 to queues [2]
          1 to queues [1]
          Settle { positions: [Position(0)], bytes: 1 } of queue 1
          Requeue([Position(1)]) of queue 1
          Settle { positions: [Position(2)], bytes: 3 } of queue 1
    "#]]
    .assert_eq(&log.transactions());
}

#[test]
fn a_commit_waits_while_the_disk_is_full() {
    let log = Arc::new(FakeLog::default());
    check_with_log(
        &log,
        [
            A.sends([declare(1, "q", durable), tx_select(1), persistent(1, "q", 1), commit(1)]),
            log.finds_the_disk_full(),
            log.finds_the_disk_full(),
            log.catches_up(),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C: tx.select 1
            C: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            C: tx.commit 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: tx.select-ok 1
               the disk is full
               the disk is full
               the log catches up
            S: tx.commit-ok 1
        "#]],
    );
}

#[test]
fn a_commit_that_the_log_refuses_is_none() {
    let log = Arc::new(FakeLog::default());
    check_with_log(
        &log,
        [
            A.sends([declare(1, "q", durable), persistent(1, "q", 1)]),
            log.catches_up(),
            A.sends([tx_select(1), get(1, "q", false), ack(1, 1, false), persistent(1, "q", 2)]),
            log.catches_up(),
            log.refuses(),
            A.sends(commit(1)),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C: basic.publish 1 exchange="" key="q" + body 1 {delivery-mode=2}
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
               the log catches up
            C: tx.select 1
            C: basic.get 1 queue="q"
            C: basic.ack 1 tag=1
            C: basic.publish 1 exchange="" key="q" + body 2 {delivery-mode=2}
            S: tx.select-ok 1
               the log catches up
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 1 {delivery-mode=2}
               the log refuses
            C: tx.commit 1
            S: connection.close 0 code=506 text="RESOURCE_ERROR - transaction is rolled back: the message log is closed: the broker is stopping" class=90 method=20
               queue q: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn a_transaction_has_a_limit() {
    let mut bench = Bench::new();
    bench.exchange(A, &[declare(1, "q", plainly), tx_select(1), tx_select(2)].concat());
    let body = vec![b'x'; TRANSACTION_BYTES_MAX];
    let whole = publish_with(1, ("", "q", false), &body, &BasicProperties::default());
    assert!(bench.exchange(A, &whole).is_empty(), "the first fits whatever its size");
    let refused = bench.exchange(A, &publish(1, "", "q", 1));
    let text = String::from_utf8_lossy(&refused[0].1).into_owned();
    assert!(
        text.contains("PRECONDITION_FAILED - transaction is too large: at most 100000 messages and"),
        "{text}"
    );
    let many = publish(2, "", "q", 0).repeat(TRANSACTION_MESSAGES_MAX as usize);
    assert!(bench.exchange(A, &many).is_empty());
    assert_eq!(bench.exchange(A, &publish(2, "", "q", 0)).len(), 1);
}
