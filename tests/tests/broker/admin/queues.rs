//! Queues, exchanges and bindings: listed, purged, deleted.

use expect_test::expect;
use lapin::{
    Channel, Connection, ExchangeKind,
    options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use liebre_tests::{
    admin::Admin,
    amqp::{
        bind, confirm, connect_channel, consume, declare, declare_exchange, next_bodies, publish, table, text,
    },
    broker::Broker,
};

use super::check;

#[tokio::test(flavor = "multi_thread")]
async fn queues() {
    let Some(broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    let (_connection, channel) = fill(&broker).await;
    let mut worker = consume(&channel, "jobs", BasicConsumeOptions::default()).await;
    next_bodies(&mut worker, 2).await;
    listed(&admin);
    formatted(&admin);
    in_columns(&admin);
    exchanges_and_bindings(&admin);
    in_other_vhosts(&admin);
    purged(&admin);
    deleted(&admin);
}

/// A queue with three jobs, of which a consumer may take two; one with a message that nobody wants; one without.
async fn fill(broker: &Broker) -> (Connection, Channel) {
    let (connection, channel) = connect_channel(broker).await;
    confirm(&channel).await;
    let arguments = table([("x-message-ttl", AMQPValue::LongInt(3_600_000))]);
    let jobs = channel.queue_declare("jobs".into(), QueueDeclareOptions::durable(), arguments);
    jobs.await.unwrap();
    for queue in ["full", "idle"] {
        declare(&channel, queue, QueueDeclareOptions::default()).await;
    }
    declare_exchange(&channel, "events", ExchangeKind::Topic).await;
    bind(&channel, "idle", "events", "k.#", table([("x-note", text("ñ"))])).await;
    bind(&channel, "idle", "amq.fanout", "", FieldTable::default()).await;
    for (queue, body) in [("full", "x"), ("jobs", "one"), ("jobs", "two"), ("jobs", "three")] {
        publish(&channel, "", queue, body).await;
    }
    channel.basic_qos(2, BasicQosOptions::default()).await.unwrap();
    (connection, channel)
}

fn listed(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl list_queues",
            "rabbitmqctl list_queues name messages_ready messages_unacknowledged consumers",
            "rabbitmqctl list_queues -q name messages_ready messages_unacknowledged consumers",
            "rabbitmqctl list_queues -s name messages_ready messages_unacknowledged consumers",
            "rabbitmqctl -q list_queues --no-table-headers messages,name",
            "rabbitmq-diagnostics -q list_queues name --data-dir DATA_DIR",
        ],
        expect![[r#"
            $ rabbitmqctl list_queues
            Timeout: 60.0 seconds ...
            Listing queues for vhost / ...
            name	messages
            full	1
            idle	0
            jobs	3
            $ rabbitmqctl list_queues name messages_ready messages_unacknowledged consumers
            Timeout: 60.0 seconds ...
            Listing queues for vhost / ...
            name	messages_ready	messages_unacknowledged	consumers
            full	1	0	0
            idle	0	0	0
            jobs	1	2	1
            $ rabbitmqctl list_queues -q name messages_ready messages_unacknowledged consumers
            name	messages_ready	messages_unacknowledged	consumers
            full	1	0	0
            idle	0	0	0
            jobs	1	2	1
            $ rabbitmqctl list_queues -s name messages_ready messages_unacknowledged consumers
            full	1	0	0
            idle	0	0	0
            jobs	1	2	1
            $ rabbitmqctl -q list_queues --no-table-headers messages,name
            1	full
            0	idle
            3	jobs
            $ rabbitmq-diagnostics -q list_queues name --data-dir DATA_DIR
            name
            full
            idle
            jobs
        "#]],
    );
}

fn formatted(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl list_queues name messages_ready messages_unacknowledged consumers --formatter json",
            "rabbitmqctl list_queues name messages_ready messages_unacknowledged consumers --formatter csv",
            "rabbitmqctl list_queues name messages_ready messages_unacknowledged consumers --formatter pretty_table",
        ],
        expect![[r#"
            $ rabbitmqctl list_queues name messages_ready messages_unacknowledged consumers --formatter json
            [
            {"name":"full","messages_ready":1,"messages_unacknowledged":0,"consumers":0}
            ,{"name":"idle","messages_ready":0,"messages_unacknowledged":0,"consumers":0}
            ,{"name":"jobs","messages_ready":1,"messages_unacknowledged":2,"consumers":1}
            ]
            $ rabbitmqctl list_queues name messages_ready messages_unacknowledged consumers --formatter csv
            "name","messages_ready","messages_unacknowledged","consumers"
            "full","1","0","0"
            "idle","0","0","0"
            "jobs","1","2","1"
            $ rabbitmqctl list_queues name messages_ready messages_unacknowledged consumers --formatter pretty_table
            Timeout: 60.0 seconds ...
            Listing queues for vhost / ...
            ┌──────┬────────────────┬─────────────────────────┬───────────┐
            │ name │ messages_ready │ messages_unacknowledged │ consumers │
            ├──────┼────────────────┼─────────────────────────┼───────────┤
            │ full │ 1              │ 0                       │ 0         │
            ├──────┼────────────────┼─────────────────────────┼───────────┤
            │ idle │ 0              │ 0                       │ 0         │
            ├──────┼────────────────┼─────────────────────────┼───────────┤
            │ jobs │ 1              │ 2                       │ 1         │
            └──────┴────────────────┴─────────────────────────┴───────────┘
        "#]],
    );
}

fn in_columns(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl -q list_queues name durable auto_delete exclusive arguments policy state type",
            "rabbitmqctl -q list_queues name arguments --formatter json",
            "rabbitmqctl -q list_queues name message_bytes message_bytes_ready message_bytes_unacknowledged",
        ],
        expect![[r#"
            $ rabbitmqctl -q list_queues name durable auto_delete exclusive arguments policy state type
            name	durable	auto_delete	exclusive	arguments	policy	state	type
            full	false	false	false	[]		running	classic
            idle	false	false	false	[]		running	classic
            jobs	true	false	false	[{"x-message-ttl",3600000}]		running	classic
            $ rabbitmqctl -q list_queues name arguments --formatter json
            [
            {"name":"full","arguments":{}}
            ,{"name":"idle","arguments":{}}
            ,{"name":"jobs","arguments":{"x-message-ttl":3600000}}
            ]
            $ rabbitmqctl -q list_queues name message_bytes message_bytes_ready message_bytes_unacknowledged
            name	message_bytes	message_bytes_ready	message_bytes_unacknowledged
            full	1	1	0
            idle	0	0	0
            jobs	11	5	6
        "#]],
    );
}

fn exchanges_and_bindings(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl list_exchanges",
            "rabbitmqctl -q list_exchanges name type durable auto_delete internal arguments policy",
            "rabbitmqctl list_bindings",
            "rabbitmqctl -q list_bindings source_name destination_name",
        ],
        expect![[r#"
            $ rabbitmqctl list_exchanges
            Listing exchanges for vhost / ...
            name	type
            	direct
            amq.direct	direct
            amq.fanout	fanout
            amq.headers	headers
            amq.match	headers
            amq.rabbitmq.trace	topic
            amq.topic	topic
            events	topic
            $ rabbitmqctl -q list_exchanges name type durable auto_delete internal arguments policy
            name	type	durable	auto_delete	internal	arguments	policy
            	direct	true	false	false	[]	
            amq.direct	direct	true	false	false	[]	
            amq.fanout	fanout	true	false	false	[]	
            amq.headers	headers	true	false	false	[]	
            amq.match	headers	true	false	false	[]	
            amq.rabbitmq.trace	topic	true	false	true	[]	
            amq.topic	topic	true	false	false	[]	
            events	topic	false	false	false	[]	
            $ rabbitmqctl list_bindings
            Listing bindings for vhost /...
            source_name	source_kind	destination_name	destination_kind	routing_key	arguments
            	exchange	full	queue	full	[]
            	exchange	idle	queue	idle	[]
            	exchange	jobs	queue	jobs	[]
            amq.fanout	exchange	idle	queue		[]
            events	exchange	idle	queue	k.#	[{"x-note","ñ"}]
            $ rabbitmqctl -q list_bindings source_name destination_name
            source_name	destination_name
            	full
            	idle
            	jobs
            amq.fanout	idle
            events	idle
        "#]],
    );
}

fn in_other_vhosts(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl -q add_vhost curso",
            "rabbitmqctl list_queues -p curso",
            "rabbitmqctl list_queues -p curso --formatter json",
            "rabbitmqctl list_bindings -p curso",
            "rabbitmqctl -q list_exchanges -p curso type",
            "rabbitmqctl list_queues -p nowhere",
        ],
        expect![[r#"
            $ rabbitmqctl -q add_vhost curso
            $ rabbitmqctl list_queues -p curso
            Timeout: 60.0 seconds ...
            Listing queues for vhost curso ...
            $ rabbitmqctl list_queues -p curso --formatter json
            [
            ]
            $ rabbitmqctl list_bindings -p curso
            Listing bindings for vhost curso...
            $ rabbitmqctl -q list_exchanges -p curso type
            type
            direct
            direct
            fanout
            headers
            headers
            topic
            topic
            $ rabbitmqctl list_queues -p nowhere
            Timeout: 60.0 seconds ...
            Listing queues for vhost nowhere ...
            ! Virtual host 'nowhere' does not exist
            exit 65
        "#]],
    );
}

fn purged(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl purge_queue jobs",
            "rabbitmqctl -q list_queues name messages_ready messages_unacknowledged",
            "rabbitmqctl purge_queue nonsense",
            "rabbitmqctl purge_queue -p nowhere jobs",
        ],
        expect![[r#"
            $ rabbitmqctl purge_queue jobs
            Purging queue 'jobs' in vhost '/' ...
            $ rabbitmqctl -q list_queues name messages_ready messages_unacknowledged
            name	messages_ready	messages_unacknowledged
            full	1	0
            idle	0	0
            jobs	0	2
            $ rabbitmqctl purge_queue nonsense
            Purging queue 'nonsense' in vhost '/' ...
            ! Error:
            ! not_found
            exit 69
            $ rabbitmqctl purge_queue -p nowhere jobs
            Purging queue 'jobs' in vhost 'nowhere' ...
            ! Error:
            ! not_found
            exit 69
        "#]],
    );
}

fn deleted(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl delete_queue jobs --if-unused",
            "rabbitmqctl delete_queue full --if-empty",
            "rabbitmqctl delete_queue idle --if-empty --if-unused",
            "rabbitmqctl delete_queue full",
            "rabbitmqctl delete_queue full",
            "rabbitmqctl delete_queue jobs",
            "rabbitmqctl -q list_queues",
        ],
        expect![[r#"
            $ rabbitmqctl delete_queue jobs --if-unused
            Deleting queue 'jobs' on vhost '/' if queue is unused ...
            ! Error:
            ! The queue is in use
            exit 64
            $ rabbitmqctl delete_queue full --if-empty
            Deleting queue 'full' on vhost '/' if queue is empty ...
            ! Error:
            ! The queue is not empty
            exit 64
            $ rabbitmqctl delete_queue idle --if-empty --if-unused
            Deleting queue 'idle' on vhost '/' if queue is empty and if queue is unused ...
            Queue was successfully deleted with 0 ready messages
            $ rabbitmqctl delete_queue full
            Deleting queue 'full' on vhost '/' ...
            Queue was successfully deleted with 1 ready messages
            $ rabbitmqctl delete_queue full
            Deleting queue 'full' on vhost '/' ...
            ! Error:
            ! No such queue was found
            exit 64
            $ rabbitmqctl delete_queue jobs
            Deleting queue 'jobs' on vhost '/' ...
            Queue was successfully deleted with 0 ready messages
            $ rabbitmqctl -q list_queues
        "#]],
    );
}
