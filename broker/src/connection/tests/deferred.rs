//! Answers that wait for the disk.

use amq_protocol::types::FieldTable;
use expect_test::expect;

use super::{
    bench::{A, B, C, check, meanwhile, queue as shown, store_catches_up, store_fails, store_holds, stored},
    frames::{
        bind, channel_close, connection_close, connection_close_ok, consume, declare, declare_exchange,
        delete, delete_exchange, durable, plainly, publish,
    },
};
use crate::model::{
    exchange::{Exchange, ExchangeKind},
    name::Name,
};

#[test]
fn a_durable_declare_is_answered_when_it_is_durable() {
    check(
        [store_holds(), A.sends(declare(1, "q", durable)), store_catches_up()],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
               the store catches up
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
        "#]],
    );
}

#[test]
fn what_is_not_durable_does_not_wait() {
    check(
        [
            store_holds(),
            A.sends([
                declare(1, "t", plainly),
                declare(1, "e", |it| (it.durable, it.exclusive) = (true, true)),
                bind(1, ["t", "amq.direct", "k"], plainly),
                delete(1, "t", plainly),
            ]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="t"
            C: queue.declare 1 queue="e" durable=true exclusive=true
            C: queue.bind 1 queue="t" exchange="amq.direct" key="k"
            C: queue.delete 1 queue="t"
            S: queue.declare-ok 1 queue="t" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="e" message-count=0 consumer-count=0
            S: queue.bind-ok 1
            S: queue.delete-ok 1 message-count=0
        "#]],
    );
}

#[test]
fn frames_behind_it_wait() {
    check(
        [
            store_holds(),
            A.sends([
                declare(1, "q", durable),
                publish(2, "", "q", 1),
                consume(2, "q", "c1", plainly),
                declare_exchange(1, "x", "direct", |it| it.durable = true),
                bind(1, ["q", "x", "k"], plainly),
            ]),
            A.sends(publish(2, "", "q", 2)),
            shown("q"),
            B.sends(publish(1, "", "q", 3)),
            store_catches_up(),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.consume 2 queue="q" consumer="c1"
            C: exchange.declare 1 exchange="x" type="direct" durable=true
            C: queue.bind 1 queue="q" exchange="x" key="k"
            C: basic.publish 2 exchange="" key="q" + body 2
               queue q: ready 0, unsettled 0
            C2: basic.publish 1 exchange="" key="q" + body 3
               the store catches up
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 2 consumer="c1"
            S: basic.deliver 2 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 3
            S: basic.deliver 2 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 1
            S: exchange.declare-ok 1
            S: queue.bind-ok 1
            S: basic.deliver 2 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 2
        "#]],
    );
}

#[test]
fn deleting_waits_as_well() {
    check(
        [
            A.sends(declare(1, "q", durable)),
            store_holds(),
            A.sends(delete(1, "q", plainly)),
            shown("q"),
            store_catches_up(),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: queue.delete 1 queue="q"
               queue q: none
               the store catches up
            S: queue.delete-ok 1 message-count=0
        "#]],
    );
}

#[test]
fn without_an_answer_the_next_frame_waits_all_the_same() {
    check(
        [
            store_holds(),
            A.sends([
                declare(1, "q", |it| (it.durable, it.nowait) = (true, true)),
                declare(2, "q", |it| it.passive = true),
            ]),
            store_catches_up(),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true no-wait=true
            C: queue.declare 2 queue="q" passive=true
               the store catches up
            S: queue.declare-ok 2 queue="q" message-count=0 consumer-count=0
        "#]],
    );
}

#[test]
fn what_cannot_be_stored_is_told() {
    check(
        [
            store_holds(),
            A.sends([declare(1, "q", durable), publish(2, "", "q", 1)]),
            store_fails(),
            A.sends(connection_close_ok()),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C: basic.publish 2 exchange="" key="q" + body 1
               the store fails
            S: connection.close 0 code=506 text="RESOURCE_ERROR - the definitions are closed: the broker is stopping" class=50 method=10
            C: connection.close-ok 0
            S: (end)
        "#]],
    );
}

#[test]
fn who_vanishes_meanwhile_is_not_missed() {
    check(
        [store_holds(), A.sends(declare(1, "q", durable)), A.vanishes(), store_catches_up(), shown("q")],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
               C vanishes
               the store catches up
               queue q: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn a_close_overtakes_the_answer_that_waits() {
    check(
        [
            store_holds(),
            A.sends([declare(1, "q", durable), channel_close(1), connection_close()]),
            A.is_forced_to_close("going down"),
            store_catches_up(),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C: channel.close 1 code=200 text="" class=0 method=0
            C: connection.close 0 code=200 text="bye" class=0 method=0
            S: connection.close 0 code=320 text="CONNECTION_FORCED - going down" class=0 method=0
               the store catches up
            S: connection.close-ok 0
            S: (end)
        "#]],
    );
}

#[test]
fn a_deleted_vhost_leaves_nothing_behind() {
    let late = Exchange {
        name: Name::literal("late"),
        kind: ExchangeKind::Direct,
        is_durable: true,
        is_auto_delete: false,
        is_internal: false,
        arguments: FieldTable::default().into(),
    };
    check(
        [
            A.sends(declare(1, "q", durable)),
            meanwhile("the vhost is deleted, and then comes a declare that was allowed before", |node| {
                let vhost = node.broker.vhost("/").unwrap();
                let _ = node.broker.delete_vhost(vhost.name()).unwrap();
                assert!(vhost.declare_exchange(late).unwrap().is_none());
            }),
            stored(),
            A.sends(declare_exchange(1, "x", "direct", |it| it.durable = true)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
               the vhost is deleted, and then comes a declare that was allowed before
               stored: put queue 'q' in vhost '/'
               stored: delete queue 'q' in vhost '/'
               stored: delete permission of user 'guest' in vhost '/'
               stored: delete vhost '/'
            C: exchange.declare 1 exchange="x" type="direct" durable=true
            S: channel.close 1 code=403 text="ACCESS_REFUSED - configure access to exchange 'x' in vhost '/' refused for user 'guest'" class=40 method=10
        "#]],
    );
}

#[test]
fn what_another_declared_is_not_durable_before_it_is() {
    let durable_exchange = || declare_exchange(1, "x", "direct", |it| it.durable = true);
    check(
        [
            A.sends([declare(1, "q", durable), durable_exchange()]),
            store_holds(),
            A.sends(bind(1, ["q", "x", "k"], plainly)),
            B.sends(declare(1, "q", durable)),
            C.sends([durable_exchange(), bind(1, ["q", "x", "k"], plainly), declare(1, "t", plainly)]),
            store_catches_up(),
            B.sends([declare(1, "q", durable), durable_exchange(), bind(1, ["q", "x", "k"], plainly)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C: exchange.declare 1 exchange="x" type="direct" durable=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: exchange.declare-ok 1
            C: queue.bind 1 queue="q" exchange="x" key="k"
            C2: queue.declare 1 queue="q" durable=true
            S2: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C3: exchange.declare 1 exchange="x" type="direct" durable=true
            C3: queue.bind 1 queue="q" exchange="x" key="k"
            C3: queue.declare 1 queue="t"
            S3: exchange.declare-ok 1
               the store catches up
            S: queue.bind-ok 1
            S3: queue.bind-ok 1
            S3: queue.declare-ok 1 queue="t" message-count=0 consumer-count=0
            C2: queue.declare 1 queue="q" durable=true
            C2: exchange.declare 1 exchange="x" type="direct" durable=true
            C2: queue.bind 1 queue="q" exchange="x" key="k"
            S2: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S2: exchange.declare-ok 1
            S2: queue.bind-ok 1
        "#]],
    );
}

#[test]
fn what_another_deleted_is_not_gone_for_good_before_it_is() {
    check(
        [
            A.sends([declare(1, "q", durable), bind(1, ["q", "amq.direct", "k"], plainly)]),
            store_holds(),
            A.sends(delete(1, "q", plainly)),
            B.sends(delete(1, "q", plainly)),
            C.sends(delete_exchange(1, "never-there", plainly)),
            store_catches_up(),
            B.sends(delete(1, "q", plainly)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C: queue.bind 1 queue="q" exchange="amq.direct" key="k"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.bind-ok 1
            C: queue.delete 1 queue="q"
            C2: queue.delete 1 queue="q"
            C3: exchange.delete 1 exchange="never-there"
            S3: exchange.delete-ok 1
               the store catches up
            S: queue.delete-ok 1 message-count=0
            S2: queue.delete-ok 1 message-count=0
            C2: queue.delete 1 queue="q"
            S2: queue.delete-ok 1 message-count=0
        "#]],
    );
}

#[test]
fn what_could_not_be_stored_is_stored_by_the_next_who_declares_it() {
    check(
        [
            store_holds(),
            A.sends(declare(1, "q", durable)),
            store_fails(),
            stored(),
            B.sends(declare(1, "other", durable)),
            stored(),
            B.sends(declare(1, "other", durable)),
            B.sends(declare(1, "q", durable)),
            stored(),
            B.sends(declare(1, "q", durable)),
            stored(),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
               the store fails
            S: connection.close 0 code=506 text="RESOURCE_ERROR - the definitions are closed: the broker is stopping" class=50 method=10
               stored: put queue 'q' in vhost '/'
            C2: queue.declare 1 queue="other" durable=true
            S2: queue.declare-ok 1 queue="other" message-count=0 consumer-count=0
               stored: put queue 'other' in vhost '/'
            C2: queue.declare 1 queue="other" durable=true
            S2: queue.declare-ok 1 queue="other" message-count=0 consumer-count=0
            C2: queue.declare 1 queue="q" durable=true
            S2: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
               stored: put queue 'q' in vhost '/'
            C2: queue.declare 1 queue="q" durable=true
            S2: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
        "#]],
    );
}

#[test]
fn declares_and_binds_behind_each_other_share_the_wait() {
    check(
        [
            store_holds(),
            A.sends([
                declare(1, "q", durable),
                declare(2, "t", plainly),
                declare_exchange(1, "x", "direct", |it| (it.durable, it.nowait) = (true, true)),
                bind(2, ["q", "x", "k"], plainly),
                declare(1, "r", durable),
                delete(1, "t", plainly),
                declare(1, "s", durable),
            ]),
            stored(),
            store_catches_up(),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C: queue.declare 2 queue="t"
            C: exchange.declare 1 exchange="x" type="direct" durable=true no-wait=true
            C: queue.bind 2 queue="q" exchange="x" key="k"
            C: queue.declare 1 queue="r" durable=true
            C: queue.delete 1 queue="t"
            C: queue.declare 1 queue="s" durable=true
               stored: put queue 'q' in vhost '/'
               stored: put exchange 'x' in vhost '/'
               stored: put binding from exchange 'x' to queue 'q' with key 'k' in vhost '/'
               stored: put queue 'r' in vhost '/'
               the store catches up
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 2 queue="t" message-count=0 consumer-count=0
            S: queue.bind-ok 2
            S: queue.declare-ok 1 queue="r" message-count=0 consumer-count=0
            S: queue.delete-ok 1 message-count=0
            S: queue.declare-ok 1 queue="s" message-count=0 consumer-count=0
        "#]],
    );
}

#[test]
fn a_refusal_comes_after_what_was_asked_before() {
    check(
        [
            A.sends(declare(1, "t", plainly)),
            store_holds(),
            A.sends([
                declare(1, "q", durable),
                declare(1, "r", durable),
                declare(1, "t", durable),
                declare(2, "s", durable),
            ]),
            store_catches_up(),
            A.reopens(1),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="t"
            S: queue.declare-ok 1 queue="t" message-count=0 consumer-count=0
            C: queue.declare 1 queue="q" durable=true
            C: queue.declare 1 queue="r" durable=true
            C: queue.declare 1 queue="t" durable=true
            C: queue.declare 2 queue="s" durable=true
               the store catches up
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="r" message-count=0 consumer-count=0
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - inequivalent arg 'durable' for queue 't' in vhost '/': received 'true' but current is 'false'" class=50 method=10
            S: queue.declare-ok 2 queue="s" message-count=0 consumer-count=0
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
        "#]],
    );
}

#[test]
fn what_cannot_be_stored_ends_what_follows() {
    check(
        [
            store_holds(),
            A.sends([declare(1, "q", durable), declare(2, "t", plainly), declare(1, "r", durable)]),
            store_fails(),
            A.sends(connection_close_ok()),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C: queue.declare 2 queue="t"
            C: queue.declare 1 queue="r" durable=true
               the store fails
            S: connection.close 0 code=506 text="RESOURCE_ERROR - the definitions are closed: the broker is stopping" class=50 method=10
            C: connection.close-ok 0
            S: (end)
        "#]],
    );
}

#[test]
fn a_vanished_or_closed_peer_is_not_answered() {
    check(
        [
            store_holds(),
            A.sends([declare(1, "q", durable), declare(1, "r", durable)]),
            B.sends([declare(1, "q2", durable), declare(1, "r2", durable), channel_close(1)]),
            A.is_forced_to_close("going down"),
            B.vanishes(),
            store_catches_up(),
            A.sends(connection_close_ok()),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" durable=true
            C: queue.declare 1 queue="r" durable=true
            C2: queue.declare 1 queue="q2" durable=true
            C2: queue.declare 1 queue="r2" durable=true
            C2: channel.close 1 code=200 text="" class=0 method=0
            S: connection.close 0 code=320 text="CONNECTION_FORCED - going down" class=0 method=0
               C2 vanishes
               the store catches up
            C: connection.close-ok 0
            S: (end)
        "#]],
    );
}
