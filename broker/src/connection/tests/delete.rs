//! How queues and exchanges end: on demand, with their connection, with their last consumer or binding.

use expect_test::expect;

use super::{
    bench::{A, B, Step, check, queue as shown},
    frames::{
        auto_delete, bind, cancel, channel_close, channel_close_ok, channel_open, connection_close, consume,
        declare, declare_exchange, delete, delete_exchange, durable, exclusive, get, passive, plainly,
        publish, unbind,
    },
};

#[test]
fn an_exclusive_queue_is_its_connections() {
    check(
        [
            A.sends([declare(1, "q", exclusive), declare(2, "q", exclusive), publish(1, "", "q", 1)]),
            B.sends(declare(1, "q", exclusive)),
            B.sends([channel_close_ok(1), channel_open(1), declare(1, "q", passive)]),
            B.sends([channel_close_ok(1), channel_open(1), consume(1, "q", "c1", plainly)]),
            B.sends([channel_close_ok(1), channel_open(1), delete(1, "q", plainly)]),
            B.sends([channel_close_ok(1), channel_open(1), bind(1, ["q", "amq.direct", "k"], plainly)]),
            B.sends([channel_close_ok(1), channel_open(1), publish(1, "", "q", 2)]),
            A.sends([get(2, "q", true), get(2, "q", true)]),
            A.vanishes(),
            shown("q"),
            B.sends(declare(1, "q", plainly)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" exclusive=true
            C: queue.declare 2 queue="q" exclusive=true
            C: basic.publish 1 exchange="" key="q" + body 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 2 queue="q" message-count=0 consumer-count=0
            C2: queue.declare 1 queue="q" exclusive=true
            S2: channel.close 1 code=405 text="RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration." class=50 method=10
            C2: channel.close-ok 1
            C2: channel.open 1
            C2: queue.declare 1 queue="q" passive=true
            S2: channel.open-ok 1
            S2: channel.close 1 code=405 text="RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration." class=50 method=10
            C2: channel.close-ok 1
            C2: channel.open 1
            C2: basic.consume 1 queue="q" consumer="c1"
            S2: channel.open-ok 1
            S2: channel.close 1 code=405 text="RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration." class=60 method=20
            C2: channel.close-ok 1
            C2: channel.open 1
            C2: queue.delete 1 queue="q"
            S2: channel.open-ok 1
            S2: channel.close 1 code=405 text="RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration." class=50 method=40
            C2: channel.close-ok 1
            C2: channel.open 1
            C2: queue.bind 1 queue="q" exchange="amq.direct" key="k"
            S2: channel.open-ok 1
            S2: channel.close 1 code=405 text="RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration." class=50 method=20
            C2: channel.close-ok 1
            C2: channel.open 1
            C2: basic.publish 1 exchange="" key="q" + body 2
            S2: channel.open-ok 1
            C: basic.get 2 queue="q" no-ack=true
            C: basic.get 2 queue="q" no-ack=true
            S: basic.get-ok 2 tag=1 redelivered=false exchange="" key="q" message-count=1 + body 1
            S: basic.get-ok 2 tag=2 redelivered=false exchange="" key="q" message-count=0 + body 2
               C vanishes
               queue q: none
            C2: queue.declare 1 queue="q"
            S2: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
        "#]],
    );
}

#[test]
fn an_exclusive_queue_is_gone_before_close_ok() {
    check(
        [
            A.sends([declare(1, "q", exclusive), declare(1, "kept", plainly)]),
            B.sends([bind(1, ["kept", "amq.fanout", ""], plainly), consume(1, "kept", "c1", plainly)]),
            A.sends(connection_close()),
            shown("q"),
            shown("kept"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" exclusive=true
            C: queue.declare 1 queue="kept"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="kept" message-count=0 consumer-count=0
            C2: queue.bind 1 queue="kept" exchange="amq.fanout" key=""
            C2: basic.consume 1 queue="kept" consumer="c1"
            S2: queue.bind-ok 1
            S2: basic.consume-ok 1 consumer="c1"
            C: connection.close 0 code=200 text="bye" class=0 method=0
            S: connection.close-ok 0
            S: (end)
               queue q: none
               queue kept: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let steps = |end: Step| {
        [
            A.sends([declare(1, "q", auto_delete), publish(1, "", "q", 1), get(1, "q", true)]),
            A.sends([consume(1, "q", "c1", plainly), consume(2, "q", "c2", plainly), cancel(2, "c2")]),
            shown("q"),
            end,
            shown("q"),
        ]
    };
    check(
        steps(A.sends(cancel(1, "c1"))),
        &expect![[r#"
        C: queue.declare 1 queue="q" auto-delete=true
        C: basic.publish 1 exchange="" key="q" + body 1
        C: basic.get 1 queue="q" no-ack=true
        S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
        S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 1
        C: basic.consume 1 queue="q" consumer="c1"
        C: basic.consume 2 queue="q" consumer="c2"
        C: basic.cancel 2 consumer="c2"
        S: basic.consume-ok 1 consumer="c1"
        S: basic.consume-ok 2 consumer="c2"
        S: basic.cancel-ok 2 consumer="c2"
           queue q: ready 0, unsettled 0
        C: basic.cancel 1 consumer="c1"
        S: basic.cancel-ok 1 consumer="c1"
           queue q: none
    "#]],
    );
    check(
        steps(A.sends(channel_close(1))),
        &expect![[r#"
        C: queue.declare 1 queue="q" auto-delete=true
        C: basic.publish 1 exchange="" key="q" + body 1
        C: basic.get 1 queue="q" no-ack=true
        S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
        S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 1
        C: basic.consume 1 queue="q" consumer="c1"
        C: basic.consume 2 queue="q" consumer="c2"
        C: basic.cancel 2 consumer="c2"
        S: basic.consume-ok 1 consumer="c1"
        S: basic.consume-ok 2 consumer="c2"
        S: basic.cancel-ok 2 consumer="c2"
           queue q: ready 0, unsettled 0
        C: channel.close 1 code=200 text="" class=0 method=0
        S: channel.close-ok 1
           queue q: none
    "#]],
    );
    check(
        steps(A.vanishes()),
        &expect![[r#"
        C: queue.declare 1 queue="q" auto-delete=true
        C: basic.publish 1 exchange="" key="q" + body 1
        C: basic.get 1 queue="q" no-ack=true
        S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
        S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 1
        C: basic.consume 1 queue="q" consumer="c1"
        C: basic.consume 2 queue="q" consumer="c2"
        C: basic.cancel 2 consumer="c2"
        S: basic.consume-ok 1 consumer="c1"
        S: basic.consume-ok 2 consumer="c2"
        S: basic.cancel-ok 2 consumer="c2"
           queue q: ready 0, unsettled 0
           C vanishes
           queue q: none
    "#]],
    );
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding() {
    check(
        [
            A.sends([
                declare(1, "q", plainly),
                declare_exchange(1, "x", "direct", |it| it.auto_delete = true),
                bind(1, ["q", "x", "k"], plainly),
                unbind(1, ["q", "x", "k"]),
            ]),
            A.sends(publish(1, "x", "k", 1)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: exchange.declare 1 exchange="x" type="direct" auto-delete=true
            C: queue.bind 1 queue="q" exchange="x" key="k"
            C: queue.unbind 1 queue="q" exchange="x" key="k"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: exchange.declare-ok 1
            S: queue.bind-ok 1
            S: queue.unbind-ok 1
            C: basic.publish 1 exchange="x" key="k" + body 1
            S: channel.close 1 code=404 text="NOT_FOUND - no exchange 'x' in vhost '/'" class=60 method=40
        "#]],
    );
}

#[test]
fn deleting() {
    check(
        [
            A.sends([declare(1, "q", plainly), publish(1, "", "q", 1), publish(1, "", "q", 2)]),
            A.sends(delete(1, "q", |it| it.if_empty = true)),
            A.reopens(1),
            A.sends([consume(2, "q", "c1", plainly), delete(1, "q", |it| it.if_unused = true)]),
            A.reopens(1),
            A.sends([cancel(2, "c1"), publish(1, "", "q", 3), delete(1, "q", |it| it.if_unused = true)]),
            A.sends(delete(1, "q", plainly)),
            A.sends([declare(1, "q", plainly), get(1, "q", true)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.publish 1 exchange="" key="q" + body 2
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: queue.delete 1 queue="q" if-empty=true
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - queue 'q' in vhost '/' not empty" class=50 method=40
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: basic.consume 2 queue="q" consumer="c1"
            C: queue.delete 1 queue="q" if-unused=true
            S: basic.consume-ok 2 consumer="c1"
            S: basic.deliver 2 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 2 consumer="c1" tag=2 redelivered=false exchange="" key="q" + body 2
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - queue 'q' in vhost '/' in use" class=50 method=40
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: basic.cancel 2 consumer="c1"
            C: basic.publish 1 exchange="" key="q" + body 3
            C: queue.delete 1 queue="q" if-unused=true
            S: basic.cancel-ok 2 consumer="c1"
            S: queue.delete-ok 1 message-count=1
            C: queue.delete 1 queue="q"
            S: queue.delete-ok 1 message-count=0
            C: queue.declare 1 queue="q"
            C: basic.get 1 queue="q" no-ack=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.get-empty 1
        "#]],
    );
}

#[test]
fn deleting_exchanges() {
    check(
        [
            A.sends([
                declare(1, "q", plainly),
                declare_exchange(1, "x", "direct", plainly),
                bind(1, ["q", "x", "k"], plainly),
                delete_exchange(1, "x", |it| it.if_unused = true),
            ]),
            A.reopens(1),
            A.sends([delete_exchange(1, "x", plainly), delete_exchange(1, "x", plainly)]),
            A.sends(publish(1, "x", "k", 1)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: exchange.declare 1 exchange="x" type="direct"
            C: queue.bind 1 queue="q" exchange="x" key="k"
            C: exchange.delete 1 exchange="x" if-unused=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: exchange.declare-ok 1
            S: queue.bind-ok 1
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - exchange 'x' in vhost '/' in use" class=40 method=20
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: exchange.delete 1 exchange="x"
            C: exchange.delete 1 exchange="x"
            S: exchange.delete-ok 1
            S: exchange.delete-ok 1
            C: basic.publish 1 exchange="x" key="k" + body 1
            S: channel.close 1 code=404 text="NOT_FOUND - no exchange 'x' in vhost '/'" class=60 method=40
        "#]],
    );
}

#[test]
fn only_the_queue_that_was_declared_goes_with_its_connection() {
    check(
        [
            A.sends(declare(1, "q", |it| (it.exclusive, it.auto_delete) = (true, true))),
            A.sends([consume(1, "q", "c1", plainly), cancel(1, "c1")]),
            shown("q"),
            B.sends([declare(1, "q", durable), publish(1, "", "q", 1)]),
            A.sends(connection_close()),
            shown("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" exclusive=true auto-delete=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.cancel 1 consumer="c1"
            S: basic.consume-ok 1 consumer="c1"
            S: basic.cancel-ok 1 consumer="c1"
               queue q: none
            C2: queue.declare 1 queue="q" durable=true
            C2: basic.publish 1 exchange="" key="q" + body 1
            S2: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: connection.close 0 code=200 text="bye" class=0 method=0
            S: connection.close-ok 0
            S: (end)
               queue q: ready 1, unsettled 0
        "#]],
    );
}
