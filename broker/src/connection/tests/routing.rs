//! Exchanges of all kinds, as publishers see them.

use amq_protocol::types::{AMQPValue, FieldTable};
use expect_test::expect;

use super::{
    bench::{A, B, check, queue},
    frames::{
        bind, bind_exchange, confirm_select, consume, declare, declare_exchange, delete, get, plainly,
        publish, publish_mandatory, publish_with, table, unbind,
    },
};

#[test]
fn direct() {
    check(
        [
            A.sends([declare(1, "red", plainly), declare(1, "both", plainly)]),
            A.sends([
                bind(1, ["red", "amq.direct", "red"], plainly),
                bind(1, ["both", "amq.direct", "red"], plainly),
                bind(1, ["both", "amq.direct", "blue"], plainly),
            ]),
            A.sends([
                publish(1, "amq.direct", "red", 1),
                publish(1, "amq.direct", "blue", 2),
                publish_mandatory(1, "amq.direct", "green", 3),
            ]),
            queue("red"),
            queue("both"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="red"
            C: queue.declare 1 queue="both"
            S: queue.declare-ok 1 queue="red" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="both" message-count=0 consumer-count=0
            C: queue.bind 1 queue="red" exchange="amq.direct" key="red"
            C: queue.bind 1 queue="both" exchange="amq.direct" key="red"
            C: queue.bind 1 queue="both" exchange="amq.direct" key="blue"
            S: queue.bind-ok 1
            S: queue.bind-ok 1
            S: queue.bind-ok 1
            C: basic.publish 1 exchange="amq.direct" key="red" + body 1
            C: basic.publish 1 exchange="amq.direct" key="blue" + body 2
            C: basic.publish 1 exchange="amq.direct" key="green" mandatory=true + body 3
            S: basic.return 1 code=312 text="NO_ROUTE" exchange="amq.direct" key="green" + body 3
               queue red: ready 1, unsettled 0
               queue both: ready 2, unsettled 0
        "#]],
    );
}

#[test]
fn fanout_to_consumers_of_several_queues() {
    check(
        [
            A.sends([
                declare_exchange(1, "news", "fanout", plainly),
                declare(1, "one", plainly),
                declare(1, "two", plainly),
                bind(1, ["one", "news", ""], plainly),
                bind(1, ["two", "news", "ignored"], plainly),
                confirm_select(1),
            ]),
            A.sends(consume(1, "one", "c1", |it| it.no_ack = true)),
            B.sends(consume(1, "two", "c2", |it| it.no_ack = true)),
            A.sends([publish(1, "news", "a", 1), publish(1, "news", "b", 2)]),
        ],
        &expect![[r#"
            C: exchange.declare 1 exchange="news" type="fanout"
            C: queue.declare 1 queue="one"
            C: queue.declare 1 queue="two"
            C: queue.bind 1 queue="one" exchange="news" key=""
            C: queue.bind 1 queue="two" exchange="news" key="ignored"
            C: confirm.select 1
            S: exchange.declare-ok 1
            S: queue.declare-ok 1 queue="one" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="two" message-count=0 consumer-count=0
            S: queue.bind-ok 1
            S: queue.bind-ok 1
            S: confirm.select-ok 1
            C: basic.consume 1 queue="one" consumer="c1" no-ack=true
            S: basic.consume-ok 1 consumer="c1"
            C2: basic.consume 1 queue="two" consumer="c2" no-ack=true
            S2: basic.consume-ok 1 consumer="c2"
            C: basic.publish 1 exchange="news" key="a" + body 1
            C: basic.publish 1 exchange="news" key="b" + body 2
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="news" key="a" + body 1
            S: basic.deliver 1 consumer="c1" tag=2 redelivered=false exchange="news" key="b" + body 2
            S: basic.ack 1 tag=2 multiple=true
            S2: basic.deliver 1 consumer="c2" tag=1 redelivered=false exchange="news" key="a" + body 1
            S2: basic.deliver 1 consumer="c2" tag=2 redelivered=false exchange="news" key="b" + body 2
        "#]],
    );
}

#[test]
fn topic() {
    check(
        [
            A.sends([
                declare(1, "sea", plainly),
                declare(1, "all", plainly),
                bind(1, ["sea", "amq.topic", "*.sea.#"], plainly),
                bind(1, ["all", "amq.topic", "#"], plainly),
                bind(1, ["all", "amq.topic", "eu.#"], plainly),
            ]),
            A.sends([
                publish(1, "amq.topic", "eu.sea", 1),
                publish(1, "amq.topic", "eu.sea.north.cod", 2),
                publish(1, "amq.topic", "eu.land", 3),
                publish(1, "amq.topic", "", 4),
            ]),
            queue("sea"),
            queue("all"),
        ],
        &expect![[r##"
            C: queue.declare 1 queue="sea"
            C: queue.declare 1 queue="all"
            C: queue.bind 1 queue="sea" exchange="amq.topic" key="*.sea.#"
            C: queue.bind 1 queue="all" exchange="amq.topic" key="#"
            C: queue.bind 1 queue="all" exchange="amq.topic" key="eu.#"
            S: queue.declare-ok 1 queue="sea" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="all" message-count=0 consumer-count=0
            S: queue.bind-ok 1
            S: queue.bind-ok 1
            S: queue.bind-ok 1
            C: basic.publish 1 exchange="amq.topic" key="eu.sea" + body 1
            C: basic.publish 1 exchange="amq.topic" key="eu.sea.north.cod" + body 2
            C: basic.publish 1 exchange="amq.topic" key="eu.land" + body 3
            C: basic.publish 1 exchange="amq.topic" key="" + body 4
               queue sea: ready 2, unsettled 0
               queue all: ready 4, unsettled 0
        "##]],
    );
}

#[test]
fn headers() {
    let x_match = |entries: &[(&str, &str)]| table(entries);
    let with = |entries: &[(&str, &str)]| {
        amq_protocol::protocol::BasicProperties::default().with_headers(table(entries))
    };
    let publish_headers =
        |entries: &[(&str, &str)]| publish_with(1, ("amq.headers", "same-key", false), b"x", &with(entries));
    check(
        [
            A.sends([
                declare(1, "all", plainly),
                declare(1, "any", plainly),
                bind(1, ["all", "amq.headers", ""], |it| {
                    it.arguments = x_match(&[("x-match", "all"), ("kind", "cod"), ("sea", "north")]);
                }),
                bind(1, ["any", "amq.headers", ""], |it| {
                    it.arguments = x_match(&[("x-match", "any"), ("kind", "cod"), ("sea", "north")]);
                }),
            ]),
            A.sends([
                publish_headers(&[("kind", "cod"), ("sea", "north")]),
                publish_headers(&[("kind", "cod")]),
                publish_headers(&[("kind", "eel")]),
            ]),
            queue("all"),
            queue("any"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="all"
            C: queue.declare 1 queue="any"
            C: queue.bind 1 queue="all" exchange="amq.headers" key="" arguments={kind="cod", sea="north", x-match="all"}
            C: queue.bind 1 queue="any" exchange="amq.headers" key="" arguments={kind="cod", sea="north", x-match="any"}
            S: queue.declare-ok 1 queue="all" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="any" message-count=0 consumer-count=0
            S: queue.bind-ok 1
            S: queue.bind-ok 1
            C: basic.publish 1 exchange="amq.headers" key="same-key" + body 1 {headers={kind="cod", sea="north"}}
            C: basic.publish 1 exchange="amq.headers" key="same-key" + body 1 {headers={kind="cod"}}
            C: basic.publish 1 exchange="amq.headers" key="same-key" + body 1 {headers={kind="eel"}}
               queue all: ready 1, unsettled 0
               queue any: ready 2, unsettled 0
        "#]],
    );
}

#[test]
fn from_exchange_to_exchange_and_to_the_alternate() {
    check(
        [
            A.sends([
                declare_exchange(1, "lost", "fanout", plainly),
                declare_exchange(1, "in", "direct", |it| {
                    it.arguments = table(&[("alternate-exchange", "lost")]);
                }),
                declare_exchange(1, "out", "topic", plainly),
                bind_exchange(1, ["out", "in", "a.b"]),
                declare(1, "found", plainly),
                declare(1, "unfound", plainly),
                bind(1, ["found", "out", "a.*"], plainly),
                bind(1, ["found", "in", "a.b"], plainly),
                bind(1, ["unfound", "lost", ""], plainly),
            ]),
            A.sends([publish_mandatory(1, "in", "a.b", 1), publish_mandatory(1, "in", "c", 2)]),
            queue("found"),
            queue("unfound"),
        ],
        &expect![[r#"
            C: exchange.declare 1 exchange="lost" type="fanout"
            C: exchange.declare 1 exchange="in" type="direct" arguments={alternate-exchange="lost"}
            C: exchange.declare 1 exchange="out" type="topic"
            C: exchange.bind 1 destination="out" source="in" key="a.b"
            C: queue.declare 1 queue="found"
            C: queue.declare 1 queue="unfound"
            C: queue.bind 1 queue="found" exchange="out" key="a.*"
            C: queue.bind 1 queue="found" exchange="in" key="a.b"
            C: queue.bind 1 queue="unfound" exchange="lost" key=""
            S: exchange.declare-ok 1
            S: exchange.declare-ok 1
            S: exchange.declare-ok 1
            S: exchange.bind-ok 1
            S: queue.declare-ok 1 queue="found" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="unfound" message-count=0 consumer-count=0
            S: queue.bind-ok 1
            S: queue.bind-ok 1
            S: queue.bind-ok 1
            C: basic.publish 1 exchange="in" key="a.b" mandatory=true + body 1
            C: basic.publish 1 exchange="in" key="c" mandatory=true + body 2
               queue found: ready 1, unsettled 0
               queue unfound: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn the_same_key_goes_elsewhere_after_a_change() {
    check(
        [
            A.sends([declare(1, "q", plainly), bind(1, ["q", "amq.direct", "k"], plainly)]),
            A.sends([
                publish_mandatory(2, "amq.direct", "k", 1),
                unbind(1, ["q", "amq.direct", "k"]),
                publish_mandatory(2, "amq.direct", "k", 2),
                bind(1, ["q", "amq.direct", "k"], plainly),
                publish_mandatory(2, "amq.direct", "k", 3),
            ]),
            B.sends(delete(1, "q", plainly)),
            A.sends(publish_mandatory(2, "amq.direct", "k", 4)),
            B.sends(declare(1, "q", plainly)),
            A.sends([publish_mandatory(2, "", "q", 5), get(2, "q", true)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: queue.bind 1 queue="q" exchange="amq.direct" key="k"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.bind-ok 1
            C: basic.publish 2 exchange="amq.direct" key="k" mandatory=true + body 1
            C: queue.unbind 1 queue="q" exchange="amq.direct" key="k"
            C: basic.publish 2 exchange="amq.direct" key="k" mandatory=true + body 2
            C: queue.bind 1 queue="q" exchange="amq.direct" key="k"
            C: basic.publish 2 exchange="amq.direct" key="k" mandatory=true + body 3
            S: queue.unbind-ok 1
            S: basic.return 2 code=312 text="NO_ROUTE" exchange="amq.direct" key="k" + body 2
            S: queue.bind-ok 1
            C2: queue.delete 1 queue="q"
            S2: queue.delete-ok 1 message-count=2
            C: basic.publish 2 exchange="amq.direct" key="k" mandatory=true + body 4
            S: basic.return 2 code=312 text="NO_ROUTE" exchange="amq.direct" key="k" + body 4
            C2: queue.declare 1 queue="q"
            S2: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.publish 2 exchange="" key="q" mandatory=true + body 5
            C: basic.get 2 queue="q" no-ack=true
            S: basic.get-ok 2 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 5
        "#]],
    );
}

#[test]
fn one_read_with_many_routes_keeps_each_queues_order() {
    check(
        [
            A.sends([
                declare(1, "q", plainly),
                declare(1, "p", plainly),
                bind(1, ["q", "amq.fanout", ""], plainly),
            ]),
            A.sends(consume(2, "q", "c1", |it| it.no_ack = true)),
            A.sends([
                publish(1, "", "q", 1),
                publish(1, "", "p", 2),
                publish(1, "amq.fanout", "", 3),
                publish(2, "", "q", 4),
                publish(1, "", "q", 5),
            ]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: queue.declare 1 queue="p"
            C: queue.bind 1 queue="q" exchange="amq.fanout" key=""
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="p" message-count=0 consumer-count=0
            S: queue.bind-ok 1
            C: basic.consume 2 queue="q" consumer="c1" no-ack=true
            S: basic.consume-ok 2 consumer="c1"
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.publish 1 exchange="" key="p" + body 2
            C: basic.publish 1 exchange="amq.fanout" key="" + body 3
            C: basic.publish 2 exchange="" key="q" + body 4
            C: basic.publish 1 exchange="" key="q" + body 5
            S: basic.deliver 2 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 2 consumer="c1" tag=2 redelivered=false exchange="amq.fanout" key="" + body 3
            S: basic.deliver 2 consumer="c1" tag=3 redelivered=false exchange="" key="q" + body 4
            S: basic.deliver 2 consumer="c1" tag=4 redelivered=false exchange="" key="q" + body 5
        "#]],
    );
}

#[test]
fn an_x_match_that_is_none() {
    let mut arguments = FieldTable::default();
    arguments.insert("x-match".into(), AMQPValue::LongString("some".into()));
    check(
        [
            A.sends(declare(1, "q", plainly)),
            A.sends(bind(1, ["q", "amq.headers", ""], |it| it.arguments = arguments)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: queue.bind 1 queue="q" exchange="amq.headers" key="" arguments={x-match="some"}
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x" class=50 method=20
        "#]],
    );
}
