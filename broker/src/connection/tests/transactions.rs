//! `tx.select`, `commit` and `rollback`.

use amq_protocol::protocol::{AMQPClass, tx};
use expect_test::{Expect, expect};

use super::{
    bench::{A, B, Step, check, queue, transcript},
    frames::{
        ack, bind, channel_close, commit, confirm_select, connection_close, consume, declare,
        declare_exchange, delete, get, method, nack, plainly, publish, publish_mandatory, qos, recover,
        reject, rollback, tx_select, unbind,
    },
};

/// The queue `q` with messages of 1, 2, … bytes, got on channel 1, which is transactional.
fn holding(count: usize) -> Vec<u8> {
    let mut bytes = [declare(1, "q", plainly), tx_select(1)].concat();
    (1..=count).for_each(|size| bytes.extend(publish(2, "", "q", size)));
    (0..count).for_each(|_| bytes.extend(get(1, "q", false)));
    bytes
}

/// The lines from the one that begins so.
fn check_from(start: &str, steps: impl IntoIterator<Item = Step>, expected: &Expect) {
    let lines = transcript(steps);
    let at = lines.find(start).expect("the line is there");
    expected.assert_eq(&lines[at..]);
}

#[test]
fn publishes_are_there_with_the_commit_all_at_once() {
    check(
        [
            A.sends([declare(1, "q", plainly), declare(1, "other", plainly), tx_select(1)]),
            A.sends([publish(1, "", "q", 1), publish(1, "", "other", 2), publish(1, "", "q", 3)]),
            queue("q"),
            queue("other"),
            A.sends(commit(1)),
            queue("q"),
            queue("other"),
            A.sends([publish(1, "", "q", 4), commit(1), commit(1)]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: queue.declare 1 queue="other"
            C: tx.select 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="other" message-count=0 consumer-count=0
            S: tx.select-ok 1
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.publish 1 exchange="" key="other" + body 2
            C: basic.publish 1 exchange="" key="q" + body 3
               queue q: ready 0, unsettled 0
               queue other: ready 0, unsettled 0
            C: tx.commit 1
            S: tx.commit-ok 1
               queue q: ready 2, unsettled 0
               queue other: ready 1, unsettled 0
            C: basic.publish 1 exchange="" key="q" + body 4
            C: tx.commit 1
            C: tx.commit 1
            S: tx.commit-ok 1
            S: tx.commit-ok 1
               queue q: ready 3, unsettled 0
        "#]],
    );
}

#[test]
fn a_rollback_drops_what_was_published() {
    check(
        [
            A.sends([declare(1, "q", plainly), tx_select(1), publish(1, "", "q", 1), rollback(1)]),
            A.sends([publish(1, "", "q", 2), commit(1), get(1, "q", true)]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: tx.select 1
            C: basic.publish 1 exchange="" key="q" + body 1
            C: tx.rollback 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: tx.select-ok 1
            S: tx.rollback-ok 1
            C: basic.publish 1 exchange="" key="q" + body 2
            C: tx.commit 1
            C: basic.get 1 queue="q" no-ack=true
            S: tx.commit-ok 1
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 2
               queue q: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn acks_count_with_the_commit() {
    check_from(
        "C: basic.ack",
        [
            A.sends(holding(4)),
            A.sends([ack(1, 2, true), reject(1, 3, false)]),
            queue("q"),
            A.sends(commit(1)),
            queue("q"),
            A.sends([nack(1, 4, false, true), get(2, "q", true)]),
            A.sends([commit(1), get(2, "q", true)]),
            queue("q"),
        ],
        &expect![[r#"
            C: basic.ack 1 tag=2 multiple=true
            C: basic.reject 1 tag=3
               queue q: ready 0, unsettled 4
            C: tx.commit 1
            S: tx.commit-ok 1
               queue q: ready 0, unsettled 1
            C: basic.nack 1 tag=4 requeue=true
            C: basic.get 2 queue="q" no-ack=true
            S: basic.get-empty 2
            C: tx.commit 1
            C: basic.get 2 queue="q" no-ack=true
            S: tx.commit-ok 1
            S: basic.get-ok 2 tag=1 redelivered=true exchange="" key="q" message-count=0 + body 4
               queue q: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn a_rollback_leaves_deliveries_unsettled_where_they_are() {
    check_from(
        "C: basic.ack",
        [
            A.sends(holding(2)),
            A.sends([ack(1, 1, false), nack(1, 2, false, true), rollback(1), get(1, "q", false)]),
            queue("q"),
            A.sends([ack(1, 2, true), commit(1)]),
            queue("q"),
        ],
        &expect![[r#"
            C: basic.ack 1 tag=1
            C: basic.nack 1 tag=2 requeue=true
            C: tx.rollback 1
            C: basic.get 1 queue="q"
            S: tx.rollback-ok 1
            S: basic.get-empty 1
               queue q: ready 0, unsettled 2
            C: basic.ack 1 tag=2 multiple=true
            C: tx.commit 1
            S: tx.commit-ok 1
               queue q: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn unknown_tags_are_refused_at_once_and_what_is_held_is_known_no_more() {
    check_from(
        "C: basic.ack",
        [A.sends(holding(2)), A.sends(ack(1, 1, false)), A.sends(ack(1, 1, false)), queue("q")],
        &expect![[r#"
            C: basic.ack 1 tag=1
            C: basic.ack 1 tag=1
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - unknown delivery tag 1" class=60 method=80
               queue q: ready 2, unsettled 0
        "#]],
    );
    check_from(
        "C: basic.nack",
        [
            A.sends(holding(2)),
            A.sends([nack(1, 0, true, false), ack(1, 0, true)]),
            A.sends(reject(1, 3, true)),
            queue("q"),
        ],
        &expect![[r#"
            C: basic.nack 1 tag=0 multiple=true
            C: basic.ack 1 tag=0 multiple=true
            C: basic.reject 1 tag=3 requeue=true
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - unknown delivery tag 3" class=60 method=90
               queue q: ready 2, unsettled 0
        "#]],
    );
}

#[test]
fn modes_do_not_mix() {
    check(
        [
            A.sends([confirm_select(1), tx_select(1)]),
            A.reopens(1),
            A.sends([tx_select(1), tx_select(1), confirm_select(1)]),
            A.reopens(1),
            A.sends(commit(1)),
            A.reopens(1),
            A.sends(rollback(1)),
            A.reopens(1),
            A.sends(method(1, AMQPClass::Tx(tx::AMQPMethod::CommitOk(tx::CommitOk {})))),
        ],
        &expect![[r#"
            C: confirm.select 1
            C: tx.select 1
            S: confirm.select-ok 1
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - cannot switch from confirm to tx mode" class=90 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: tx.select 1
            C: tx.select 1
            C: confirm.select 1
            S: tx.select-ok 1
            S: tx.select-ok 1
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - cannot switch from tx to confirm mode" class=85 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: tx.commit 1
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - channel is not transactional" class=90 method=20
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: tx.rollback 1
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - channel is not transactional" class=90 method=30
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: tx.commit-ok 1
            S: connection.close 0 code=503 text="COMMAND_INVALID - unimplemented method" class=90 method=21
        "#]],
    );
}

#[test]
fn a_publish_that_cannot_be_is_refused_at_once() {
    check(
        [
            A.sends([declare(1, "q", plainly), tx_select(1), publish(1, "", "q", 1)]),
            A.sends([publish(1, "missing", "k", 1), commit(1)]),
            A.reopens(1),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: tx.select 1
            C: basic.publish 1 exchange="" key="q" + body 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: tx.select-ok 1
            C: basic.publish 1 exchange="missing" key="k" + body 1
            C: tx.commit 1
            S: channel.close 1 code=404 text="NOT_FOUND - no exchange 'missing' in vhost '/'" class=60 method=40
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
               queue q: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn what_nobody_takes_is_returned_before_the_commit_is_answered() {
    check(
        [
            A.sends([tx_select(1), publish_mandatory(1, "", "nowhere", 1), publish(1, "", "nowhere", 2)]),
            A.sends(rollback(1)),
            A.sends([publish_mandatory(1, "", "nowhere", 3), publish_mandatory(1, "amq.fanout", "", 4)]),
            A.sends(commit(1)),
        ],
        &expect![[r#"
            C: tx.select 1
            C: basic.publish 1 exchange="" key="nowhere" mandatory=true + body 1
            C: basic.publish 1 exchange="" key="nowhere" + body 2
            S: tx.select-ok 1
            C: tx.rollback 1
            S: tx.rollback-ok 1
            C: basic.publish 1 exchange="" key="nowhere" mandatory=true + body 3
            C: basic.publish 1 exchange="amq.fanout" key="" mandatory=true + body 4
            C: tx.commit 1
            S: basic.return 1 code=312 text="NO_ROUTE" exchange="" key="nowhere" + body 3
            S: basic.return 1 code=312 text="NO_ROUTE" exchange="amq.fanout" key="" + body 4
            S: tx.commit-ok 1
        "#]],
    );
}

#[test]
fn routes_are_those_of_the_publish() {
    check(
        [
            A.sends([declare(1, "q", plainly), declare_exchange(1, "x", "direct", plainly), tx_select(1)]),
            A.sends([
                publish(1, "x", "k", 1),
                bind(1, ["q", "x", "k"], plainly),
                publish(1, "x", "k", 2),
                unbind(1, ["q", "x", "k"]),
            ]),
            A.sends(commit(1)),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: exchange.declare 1 exchange="x" type="direct"
            C: tx.select 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: exchange.declare-ok 1
            S: tx.select-ok 1
            C: basic.publish 1 exchange="x" key="k" + body 1
            C: queue.bind 1 queue="q" exchange="x" key="k"
            C: basic.publish 1 exchange="x" key="k" + body 2
            C: queue.unbind 1 queue="q" exchange="x" key="k"
            S: queue.bind-ok 1
            S: queue.unbind-ok 1
            C: tx.commit 1
            S: tx.commit-ok 1
               queue q: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn a_queue_that_goes_before_the_commit_takes_nothing_unless_it_comes_back() {
    check(
        [
            A.sends([declare(1, "q", plainly), tx_select(1), publish_mandatory(1, "", "q", 1)]),
            A.sends([delete(2, "q", plainly), commit(1)]),
            A.sends([declare(1, "q", plainly), publish_mandatory(1, "", "q", 2)]),
            A.sends([delete(2, "q", plainly), declare(2, "q", plainly), commit(1)]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: tx.select 1
            C: basic.publish 1 exchange="" key="q" mandatory=true + body 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: tx.select-ok 1
            C: queue.delete 2 queue="q"
            C: tx.commit 1
            S: queue.delete-ok 2 message-count=0
            S: basic.return 1 code=312 text="NO_ROUTE" exchange="" key="q" + body 1
            S: tx.commit-ok 1
            C: queue.declare 1 queue="q"
            C: basic.publish 1 exchange="" key="q" mandatory=true + body 2
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: queue.delete 2 queue="q"
            C: queue.declare 2 queue="q"
            C: tx.commit 1
            S: queue.delete-ok 2 message-count=0
            S: queue.declare-ok 2 queue="q" message-count=0 consumer-count=0
            S: tx.commit-ok 1
               queue q: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn a_queue_that_goes_takes_held_acks_with_it() {
    check_from(
        "C: basic.ack",
        [A.sends(holding(2)), A.sends([ack(1, 1, false), delete(2, "q", plainly), commit(1)]), queue("q")],
        &expect![[r#"
            C: basic.ack 1 tag=1
            C: queue.delete 2 queue="q"
            C: tx.commit 1
            S: queue.delete-ok 2 message-count=0
            S: tx.commit-ok 1
               queue q: none
        "#]],
    );
}

#[test]
fn closing_rolls_back_and_requeues() {
    check_from(
        "C: basic.ack",
        [
            A.sends(holding(3)),
            A.sends([ack(1, 1, false), publish(1, "", "q", 9), channel_close(1)]),
            queue("q"),
            A.sends(get(2, "q", true)),
        ],
        &expect![[r#"
            C: basic.ack 1 tag=1
            C: basic.publish 1 exchange="" key="q" + body 9
            C: channel.close 1 code=200 text="" class=0 method=0
            S: channel.close-ok 1
               queue q: ready 3, unsettled 0
            C: basic.get 2 queue="q" no-ack=true
            S: basic.get-ok 2 tag=1 redelivered=true exchange="" key="q" message-count=2 + body 1
        "#]],
    );
    check_from(
        "C: basic.ack",
        [
            A.sends(holding(3)),
            A.sends([ack(1, 1, false), publish(1, "", "q", 9), connection_close()]),
            queue("q"),
            B.sends(get(2, "q", true)),
        ],
        &expect![[r#"
            C: basic.ack 1 tag=1
            C: basic.publish 1 exchange="" key="q" + body 9
            C: connection.close 0 code=200 text="bye" class=0 method=0
            S: connection.close-ok 0
            S: (end)
               queue q: ready 3, unsettled 0
            C2: basic.get 2 queue="q" no-ack=true
            S2: basic.get-ok 2 tag=1 redelivered=true exchange="" key="q" message-count=2 + body 1
        "#]],
    );
    check_from(
        "C: basic.ack",
        [
            A.sends(holding(3)),
            A.sends([ack(1, 1, false), publish(1, "", "q", 9)]),
            A.vanishes(),
            queue("q"),
            B.sends(get(2, "q", true)),
        ],
        &expect![[r#"
            C: basic.ack 1 tag=1
            C: basic.publish 1 exchange="" key="q" + body 9
               C vanishes
               queue q: ready 3, unsettled 0
            C2: basic.get 2 queue="q" no-ack=true
            S2: basic.get-ok 2 tag=1 redelivered=true exchange="" key="q" message-count=2 + body 1
        "#]],
    );
}

#[test]
fn credit_comes_back_with_the_commit() {
    check(
        [
            A.sends([
                declare(1, "q", plainly),
                qos(1, 1, false),
                tx_select(1),
                consume(1, "q", "c", plainly),
            ]),
            A.sends([publish(2, "", "q", 1), publish(2, "", "q", 2), publish(2, "", "q", 3)]),
            A.sends(ack(1, 1, false)),
            A.sends(commit(1)),
            A.sends([nack(1, 2, false, true), rollback(1), ack(1, 2, false), commit(1)]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.qos 1 prefetch-count=1
            C: tx.select 1
            C: basic.consume 1 queue="q" consumer="c"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: tx.select-ok 1
            S: basic.consume-ok 1 consumer="c"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            C: basic.publish 2 exchange="" key="q" + body 3
            S: basic.deliver 1 consumer="c" tag=1 redelivered=false exchange="" key="q" + body 1
            C: basic.ack 1 tag=1
            C: tx.commit 1
            S: basic.deliver 1 consumer="c" tag=2 redelivered=false exchange="" key="q" + body 2
            S: tx.commit-ok 1
            C: basic.nack 1 tag=2 requeue=true
            C: tx.rollback 1
            C: basic.ack 1 tag=2
            C: tx.commit 1
            S: tx.rollback-ok 1
            S: basic.deliver 1 consumer="c" tag=3 redelivered=false exchange="" key="q" + body 3
            S: tx.commit-ok 1
               queue q: ready 0, unsettled 1
        "#]],
    );
}

#[test]
fn channel_wide_credit_is_for_other_queues_too() {
    check(
        [
            A.sends([declare(1, "q", plainly), declare(1, "other", plainly), qos(1, 1, true), tx_select(1)]),
            A.sends([consume(1, "q", "c1", plainly), consume(1, "other", "c2", plainly)]),
            A.sends([publish(2, "", "q", 1), publish(2, "", "other", 2)]),
            A.sends([ack(1, 1, false), commit(1)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: queue.declare 1 queue="other"
            C: basic.qos 1 prefetch-count=1 global=true
            C: tx.select 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="other" message-count=0 consumer-count=0
            S: basic.qos-ok 1
            S: tx.select-ok 1
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.consume 1 queue="other" consumer="c2"
            S: basic.consume-ok 1 consumer="c1"
            S: basic.consume-ok 1 consumer="c2"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="other" + body 2
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            C: basic.ack 1 tag=1
            C: tx.commit 1
            S: basic.deliver 1 consumer="c2" tag=2 redelivered=false exchange="" key="other" + body 2
            S: tx.commit-ok 1
        "#]],
    );
}

#[test]
fn recover_leaves_what_is_held() {
    check_from(
        "C: basic.ack",
        [
            A.sends(holding(2)),
            A.sends([ack(1, 1, false), recover(1, true)]),
            queue("q"),
            A.sends([rollback(1), ack(1, 1, false), commit(1)]),
            queue("q"),
        ],
        &expect![[r#"
            C: basic.ack 1 tag=1
            C: basic.recover 1 requeue=true
            S: basic.recover-ok 1
               queue q: ready 1, unsettled 1
            C: tx.rollback 1
            C: basic.ack 1 tag=1
            C: tx.commit 1
            S: tx.rollback-ok 1
            S: tx.commit-ok 1
               queue q: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn others_go_their_own_way_meanwhile() {
    check(
        [
            A.sends([declare(1, "q", plainly), tx_select(1), publish(1, "", "q", 1), publish(2, "", "q", 2)]),
            B.sends([publish(1, "", "q", 3), consume(1, "q", "c", |it| it.no_ack = true)]),
            A.sends([publish(1, "", "q", 4), publish(2, "", "q", 5), commit(1)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: tx.select 1
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: tx.select-ok 1
            C2: basic.publish 1 exchange="" key="q" + body 3
            C2: basic.consume 1 queue="q" consumer="c" no-ack=true
            S2: basic.consume-ok 1 consumer="c"
            S2: basic.deliver 1 consumer="c" tag=1 redelivered=false exchange="" key="q" + body 2
            S2: basic.deliver 1 consumer="c" tag=2 redelivered=false exchange="" key="q" + body 3
            C: basic.publish 1 exchange="" key="q" + body 4
            C: basic.publish 2 exchange="" key="q" + body 5
            C: tx.commit 1
            S: tx.commit-ok 1
            S2: basic.deliver 1 consumer="c" tag=3 redelivered=false exchange="" key="q" + body 5
            S2: basic.deliver 1 consumer="c" tag=4 redelivered=false exchange="" key="q" + body 1
            S2: basic.deliver 1 consumer="c" tag=5 redelivered=false exchange="" key="q" + body 4
        "#]],
    );
}

#[test]
fn what_needs_no_ack_is_not_in_the_transaction() {
    check(
        [
            A.sends([declare(1, "q", plainly), tx_select(1), publish(2, "", "q", 1)]),
            A.sends([get(1, "q", true), rollback(1)]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: tx.select 1
            C: basic.publish 2 exchange="" key="q" + body 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: tx.select-ok 1
            C: basic.get 1 queue="q" no-ack=true
            C: tx.rollback 1
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 1
            S: tx.rollback-ok 1
               queue q: ready 0, unsettled 0
        "#]],
    );
}
