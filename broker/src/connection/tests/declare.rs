//! Methods of the classes exchange and queue.

use amq_protocol::{protocol::queue, types::AMQPValue};
use expect_test::expect;

use super::{
    bench::{A, check, queue as shown, stored},
    frames::{
        auto_delete, bind, consume, declare, declare_exchange, delete, delete_exchange, durable, exclusive,
        get, passive, plainly, publish, table, unbind,
    },
};

#[test]
fn counts_of_a_queue_that_is_there() {
    check(
        [
            A.sends([declare(1, "q", plainly), publish(1, "", "q", 1), publish(1, "", "q", 2)]),
            A.sends([declare(1, "q", plainly), get(1, "q", false), consume(2, "q", "c1", plainly)]),
            A.sends([declare(1, "q", passive), declare(1, "q", |it| it.nowait = true)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.publish 1 exchange="" key="q" + body 2
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: queue.declare 1 queue="q"
            C: basic.get 1 queue="q"
            C: basic.consume 2 queue="q" consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=2 consumer-count=0
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=1 + body 1
            S: basic.consume-ok 2 consumer="c1"
            S: basic.deliver 2 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 2
            C: queue.declare 1 queue="q" passive=true
            C: queue.declare 1 queue="q" no-wait=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=1
        "#]],
    );
}

#[test]
fn a_queue_without_a_name_is_given_one_that_the_channel_remembers() {
    check(
        [
            A.sends(declare(1, "", exclusive)),
            A.sends([bind(1, ["", "amq.fanout", ""], plainly), publish(1, "amq.fanout", "", 1)]),
            A.sends(get(1, "", true)),
            A.sends(consume(1, "", "c1", plainly)),
            A.sends(delete(1, "", plainly)),
            A.sends(get(2, "", true)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="" exclusive=true
            S: queue.declare-ok 1 queue="amq.gen-*" message-count=0 consumer-count=0
            C: queue.bind 1 queue="" exchange="amq.fanout" key=""
            C: basic.publish 1 exchange="amq.fanout" key="" + body 1
            S: queue.bind-ok 1
            C: basic.get 1 queue="" no-ack=true
            S: basic.get-ok 1 tag=1 redelivered=false exchange="amq.fanout" key="" message-count=0 + body 1
            C: basic.consume 1 queue="" consumer="c1"
            S: basic.consume-ok 1 consumer="c1"
            C: queue.delete 1 queue=""
            S: queue.delete-ok 1 message-count=0
            S: basic.cancel 1 consumer="c1" no-wait=true
            C: basic.get 2 queue="" no-ack=true
            S: channel.close 2 code=404 text="NOT_FOUND - no previously declared queue" class=60 method=70
        "#]],
    );
}

#[test]
fn a_bind_without_names_is_to_the_last_queue_by_its_name() {
    check(
        [
            A.sends([declare(1, "q", plainly), bind(1, ["", "amq.direct", ""], plainly)]),
            A.sends([publish(1, "amq.direct", "q", 1), publish(1, "amq.direct", "", 2)]),
            shown("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: queue.bind 1 queue="" exchange="amq.direct" key=""
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.bind-ok 1
            C: basic.publish 1 exchange="amq.direct" key="q" + body 1
            C: basic.publish 1 exchange="amq.direct" key="" + body 2
               queue q: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn a_passive_declare_asks_only() {
    check(
        [
            A.sends(declare(1, "missing", passive)),
            A.reopens(1),
            A.sends(declare_exchange(1, "missing", "", |it| it.passive = true)),
            A.reopens(1),
            A.sends(declare_exchange(1, "amq.topic", "", |it| it.passive = true)),
            shown("missing"),
            A.sends([declare(1, "q", plainly), declare(1, "", passive)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="missing" passive=true
            S: channel.close 1 code=404 text="NOT_FOUND - no queue 'missing' in vhost '/'" class=50 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: exchange.declare 1 exchange="missing" type="" passive=true
            S: channel.close 1 code=404 text="NOT_FOUND - no exchange 'missing' in vhost '/'" class=40 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: exchange.declare 1 exchange="amq.topic" type="" passive=true
            S: exchange.declare-ok 1
               queue missing: none
            C: queue.declare 1 queue="q"
            C: queue.declare 1 queue="" passive=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: channel.close 1 code=404 text="NOT_FOUND - no queue '' in vhost '/'" class=50 method=10
        "#]],
    );
}

#[test]
fn redeclaring_something_else() {
    let ttl = |declare: &mut queue::Declare| {
        declare.arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(1_000));
    };
    check(
        [
            A.sends([declare(1, "q", plainly), declare(1, "q", durable)]),
            A.reopens(1),
            A.sends(declare(1, "q", auto_delete)),
            A.reopens(1),
            A.sends(declare(1, "q", exclusive)),
            A.reopens(1),
            A.sends(declare(1, "q", ttl)),
            A.reopens(1),
            A.sends([
                declare_exchange(1, "x", "direct", plainly),
                declare_exchange(1, "x", "direct", plainly),
                declare_exchange(1, "x", "fanout", plainly),
            ]),
            A.reopens(1),
            A.sends(declare_exchange(1, "y", "unknown", plainly)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: queue.declare 1 queue="q" durable=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'" class=50 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: queue.declare 1 queue="q" auto-delete=true
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'" class=50 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: queue.declare 1 queue="q" exclusive=true
            S: channel.close 1 code=405 text="RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration." class=50 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: queue.declare 1 queue="q" arguments={x-message-ttl=1000}
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received the value '1000' of type 'signedint' but current is none" class=50 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: exchange.declare 1 exchange="x" type="direct"
            C: exchange.declare 1 exchange="x" type="direct"
            C: exchange.declare 1 exchange="x" type="fanout"
            S: exchange.declare-ok 1
            S: exchange.declare-ok 1
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'" class=40 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: exchange.declare 1 exchange="y" type="unknown"
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - unknown exchange type 'unknown'" class=40 method=10
        "#]],
    );
}

#[test]
fn names_that_are_the_brokers() {
    check(
        [
            A.sends(declare(1, "amq.mine", plainly)),
            A.reopens(1),
            A.sends(declare_exchange(1, "amq.mine", "direct", plainly)),
            A.reopens(1),
            A.sends(declare_exchange(1, "amq.direct", "direct", |it| it.durable = true)),
            A.sends(declare_exchange(1, "", "direct", plainly)),
            A.reopens(1),
            A.sends(declare_exchange(1, "", "direct", |declare| declare.passive = true)),
            A.reopens(1),
            A.sends(delete_exchange(1, "", plainly)),
            A.reopens(1),
            A.sends(delete_exchange(1, "amq.direct", plainly)),
            A.reopens(1),
            A.sends(bind(1, ["q", "", "k"], plainly)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="amq.mine"
            S: channel.close 1 code=403 text="ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'" class=50 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: exchange.declare 1 exchange="amq.mine" type="direct"
            S: channel.close 1 code=403 text="ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'" class=40 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: exchange.declare 1 exchange="amq.direct" type="direct" durable=true
            S: exchange.declare-ok 1
            C: exchange.declare 1 exchange="" type="direct"
            S: channel.close 1 code=403 text="ACCESS_REFUSED - operation not permitted on the default exchange" class=40 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: exchange.declare 1 exchange="" type="direct" passive=true
            S: channel.close 1 code=403 text="ACCESS_REFUSED - operation not permitted on the default exchange" class=40 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: exchange.delete 1 exchange=""
            S: channel.close 1 code=403 text="ACCESS_REFUSED - operation not permitted on the default exchange" class=40 method=20
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: exchange.delete 1 exchange="amq.direct"
            S: channel.close 1 code=403 text="ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed" class=40 method=20
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: queue.bind 1 queue="q" exchange="" key="k"
            S: channel.close 1 code=403 text="ACCESS_REFUSED - operation not permitted on the default exchange" class=50 method=20
        "#]],
    );
}

#[test]
fn lines_in_names_are_joined() {
    check(
        [A.sends([declare(1, "a\r\nb", plainly), declare(1, "ab", passive)])],
        &expect![[r#"
        C: queue.declare 1 queue="a\r\nb"
        C: queue.declare 1 queue="ab" passive=true
        S: queue.declare-ok 1 queue="ab" message-count=0 consumer-count=0
        S: queue.declare-ok 1 queue="ab" message-count=0 consumer-count=0
    "#]],
    );
}

#[test]
fn binding_what_is_not_there() {
    check(
        [
            A.sends(declare(1, "q", plainly)),
            A.sends(bind(1, ["q", "missing", "k"], plainly)),
            A.reopens(1),
            A.sends(bind(1, ["missing", "amq.direct", "k"], plainly)),
            A.reopens(1),
            A.sends(unbind(1, ["q", "amq.direct", "never-bound"])),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: queue.bind 1 queue="q" exchange="missing" key="k"
            S: channel.close 1 code=404 text="NOT_FOUND - no exchange 'missing' in vhost '/'" class=50 method=20
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: queue.bind 1 queue="missing" exchange="amq.direct" key="k"
            S: channel.close 1 code=404 text="NOT_FOUND - no queue 'missing' in vhost '/'" class=50 method=20
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: queue.unbind 1 queue="q" exchange="amq.direct" key="never-bound"
            S: queue.unbind-ok 1
        "#]],
    );
}

#[test]
fn queue_types_and_what_they_cannot_be() {
    let typed = |queue_type: &str, set: fn(&mut queue::Declare)| {
        declare(1, "q", |it| {
            it.arguments.insert("x-queue-type".into(), AMQPValue::LongString(queue_type.into()));
            set(it);
        })
    };
    check(
        [
            A.sends(typed("unknown", plainly)),
            A.reopens(1),
            A.sends(typed("quorum", plainly)),
            A.reopens(1),
            A.sends([typed("quorum", durable), typed("classic", durable)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q" arguments={x-queue-type="unknown"}
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'q' in vhost '/': \"unsupported queue type 'unknown'\"" class=50 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: queue.declare 1 queue="q" arguments={x-queue-type="quorum"}
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - invalid property 'non-durable' for queue 'q' in vhost '/'" class=50 method=10
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: queue.declare 1 queue="q" durable=true arguments={x-queue-type="quorum"}
            C: queue.declare 1 queue="q" durable=true arguments={x-queue-type="classic"}
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received 'classic' but current is 'quorum'" class=50 method=10
        "#]],
    );
}

#[test]
fn what_is_durable_is_stored_and_nothing_else() {
    check(
        [
            A.sends([
                declare(1, "d", durable),
                declare(1, "t", plainly),
                declare(1, "e", |it| (it.durable, it.exclusive) = (true, true)),
                declare_exchange(1, "dx", "direct", |it| it.durable = true),
                declare_exchange(1, "tx", "direct", plainly),
                bind(1, ["d", "dx", "k"], |it| it.arguments = table(&[("a", "b")])),
                bind(1, ["d", "tx", "k"], plainly),
                bind(1, ["t", "dx", "k"], plainly),
                bind(1, ["d", "dx", "k"], |it| it.arguments = table(&[("a", "b")])),
            ]),
            stored(),
            A.sends([delete(1, "d", plainly), delete(1, "t", plainly), delete_exchange(1, "dx", plainly)]),
            stored(),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="d" durable=true
            C: queue.declare 1 queue="t"
            C: queue.declare 1 queue="e" durable=true exclusive=true
            C: exchange.declare 1 exchange="dx" type="direct" durable=true
            C: exchange.declare 1 exchange="tx" type="direct"
            C: queue.bind 1 queue="d" exchange="dx" key="k" arguments={a="b"}
            C: queue.bind 1 queue="d" exchange="tx" key="k"
            C: queue.bind 1 queue="t" exchange="dx" key="k"
            C: queue.bind 1 queue="d" exchange="dx" key="k" arguments={a="b"}
            S: queue.declare-ok 1 queue="d" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="t" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="e" message-count=0 consumer-count=0
            S: exchange.declare-ok 1
            S: exchange.declare-ok 1
            S: queue.bind-ok 1
            S: queue.bind-ok 1
            S: queue.bind-ok 1
            S: queue.bind-ok 1
               stored: put queue 'd' in vhost '/'
               stored: put exchange 'dx' in vhost '/'
               stored: put binding from exchange 'dx' to queue 'd' with key 'k' in vhost '/'
            C: queue.delete 1 queue="d"
            C: queue.delete 1 queue="t"
            C: exchange.delete 1 exchange="dx"
            S: queue.delete-ok 1 message-count=0
            S: queue.delete-ok 1 message-count=0
            S: exchange.delete-ok 1
               stored: delete queue 'd' in vhost '/'
               stored: delete binding from exchange 'dx' to queue 'd' with key 'k' in vhost '/'
               stored: delete exchange 'dx' in vhost '/'
        "#]],
    );
}
