//! Connections, channels and consumers: listed, closed.

use expect_test::expect;
use lapin::{
    options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions},
    types::AMQPValue,
};
use liebre_tests::{
    admin::Admin,
    amqp::{confirm, connect_channel, declare, next_bodies, publish, table},
    broker::Broker,
    raw::Raw,
    wait,
};

use super::check;

#[tokio::test(flavor = "multi_thread")]
async fn connections() {
    let Some(broker) = Broker::own() else { return };
    let mut admin = broker.admin().unwrap();
    let (connection, channel) = connect_channel(&broker).await;
    confirm(&channel).await;
    declare(&channel, "jobs", QueueDeclareOptions::default()).await;
    publish(&channel, "", "jobs", "one").await;
    channel.basic_qos(7, BasicQosOptions::default()).await.unwrap();
    let arguments = table([("x-priority", AMQPValue::LongInt(3))]);
    let consumed =
        channel.basic_consume("jobs".into(), "worker-1".into(), BasicConsumeOptions::default(), arguments);
    let mut worker = consumed.await.unwrap();
    next_bodies(&mut worker, 1).await;
    for (column, command, name) in [
        ("peer_port", "list_connections", "PEER_PORT"),
        ("pid", "list_connections", "CONNECTION"),
        ("pid", "list_channels", "CHANNEL"),
    ] {
        let shown = admin.output(&format!("rabbitmqctl -s {command} {column}"));
        admin.mask(shown.trim_end(), name);
    }
    listed(&admin);
    consumers(&admin);
    connection.close(200, "bye".into()).await.unwrap();
    wait_alone(&admin);
    none(&admin);
    closed(&broker, &mut admin);
}

fn listed(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl list_connections",
            "rabbitmqctl list_connections pid name user vhost state protocol channels auth_mechanism",
            "rabbitmqctl -q list_connections host port timeout frame_max channel_max ssl",
            "rabbitmqctl list_channels",
            "rabbitmqctl -q list_channels connection number vhost prefetch_count confirm transactional",
            "rabbitmqctl -q list_channels name user messages_unconfirmed --formatter json",
        ],
        expect![[r#"
            $ rabbitmqctl list_connections
            Listing connections ...
            user	peer_host	peer_port	state
            guest	127.0.0.1	PEER_PORT	running
            $ rabbitmqctl list_connections pid name user vhost state protocol channels auth_mechanism
            Listing connections ...
            pid	name	user	vhost	state	protocol	channels	auth_mechanism
            CONNECTION	127.0.0.1:PEER_PORT -> 127.0.0.1:AMQP_PORT	guest	/	running	{0,9,1}	1	PLAIN
            $ rabbitmqctl -q list_connections host port timeout frame_max channel_max ssl
            host	port	timeout	frame_max	channel_max	ssl
            127.0.0.1	AMQP_PORT	60	131072	2047	false
            $ rabbitmqctl list_channels
            Listing channels ...
            pid	user	consumer_count	messages_unacknowledged
            CHANNEL	guest	1	1
            $ rabbitmqctl -q list_channels connection number vhost prefetch_count confirm transactional
            connection	number	vhost	prefetch_count	confirm	transactional
            CONNECTION	1	/	7	true	false
            $ rabbitmqctl -q list_channels name user messages_unconfirmed --formatter json
            [
            {"name":"127.0.0.1:PEER_PORT -> 127.0.0.1:AMQP_PORT (1)","user":"guest","messages_unconfirmed":0}
            ]
        "#]],
    );
}

fn consumers(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl list_consumers",
            "rabbitmqctl -q list_consumers prefetch_count queue_name",
            "rabbitmqctl list_consumers --formatter json",
            "rabbitmqctl -q list_consumers active activity_status --formatter csv",
        ],
        expect![[r#"
            $ rabbitmqctl list_consumers
            Listing consumers in vhost / ...
            queue_name	channel_pid	consumer_tag	ack_required	prefetch_count	active	arguments
            jobs	CHANNEL	worker-1	true	7	true	[{"x-priority",3}]
            $ rabbitmqctl -q list_consumers prefetch_count queue_name
            queue_name	prefetch_count
            jobs	7
            $ rabbitmqctl list_consumers --formatter json
            [
            {"queue_name":"jobs","channel_pid":"CHANNEL","consumer_tag":"worker-1","ack_required":true,"prefetch_count":7,"active":true,"arguments":{"x-priority":3}}
            ]
            $ rabbitmqctl -q list_consumers active activity_status --formatter csv
            "active","activity_status"
            "true","up"
        "#]],
    );
}

fn none(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl list_connections",
            "rabbitmqctl list_channels --formatter json",
            "rabbitmqctl list_consumers",
        ],
        expect![[r#"
            $ rabbitmqctl list_connections
            Listing connections ...
            $ rabbitmqctl list_channels --formatter json
            [
            ]
            $ rabbitmqctl list_consumers
            Listing consumers in vhost / ...
        "#]],
    );
}

/// A connection that has said goodbye is listed until its socket is closed.
fn wait_alone(admin: &Admin) {
    let is_alone = || admin.output("rabbitmqctl -s list_connections name").trim().is_empty();
    wait::until("no connections", || is_alone().then_some(()));
}

/// By pid as well as by name; the peer is told the reason.
fn closed(broker: &Broker, admin: &mut Admin) {
    for (column, name) in [("pid", "PID"), ("name", "NAME")] {
        wait_alone(admin);
        let mut raw = Raw::open(broker);
        admin.mask(admin.output(&format!("rabbitmqctl -s list_connections {column}")).trim_end(), name);
        let transcript = admin.transcript(&[&format!("rabbitmqctl close_connection '{name}' 'time is up'")]);
        let expected = format!(
            "$ rabbitmqctl close_connection '{name}' 'time is up'\nClosing connection {name}, reason: time is up...\n"
        );
        assert_eq!(transcript, expected);
        assert_eq!(raw.outcome(), "connection.close 320 CONNECTION_FORCED - time is up [0.0]");
    }
    check(
        admin,
        &["rabbitmqctl close_connection nonsense 'time is up'", "rabbitmqctl close_connection nonsense"],
        expect![[r#"
            $ rabbitmqctl close_connection nonsense 'time is up'
            Closing connection nonsense, reason: time is up...
            ! Error:
            ! Connection 'nonsense' was not found
            exit 69
            $ rabbitmqctl close_connection nonsense
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	close_connection nonsense
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] close_connection <connection pid> <explanation>
            exit 64
        "#]],
    );
}
