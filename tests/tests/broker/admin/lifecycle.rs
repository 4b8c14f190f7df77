//! The life of the broker in its process: stopped, reset, started; its listener closed for a while; its log.

use expect_test::expect;
use lapin::{BasicProperties, options::QueueDeclareOptions};
use liebre_tests::{
    admin::Admin,
    amqp::{body, confirm, connect_channel, declare, get, publish_with},
    broker::Broker,
    raw::Raw,
};

use super::check;

#[tokio::test(flavor = "multi_thread")]
async fn an_application_in_its_process() {
    let Some(mut broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    kept(&broker).await;
    let mut connected = Raw::open(&broker);
    check(
        &admin,
        &["rabbitmqctl stop_app", "rabbitmqctl stop_app"],
        expect![[r#"
        $ rabbitmqctl stop_app
        Stopping rabbit application on node rabbit@host ...
        $ rabbitmqctl stop_app
        Stopping rabbit application on node rabbit@host ...
    "#]],
    );
    expect!["connection.close 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown' [0.0]"].assert_eq(&connected.outcome());
    while_stopped(&admin);
    assert!(std::net::TcpStream::connect(broker.amqp).is_err(), "nobody listens");
    check(
        &admin,
        &["rabbitmqctl start_app", "rabbitmqctl await_startup"],
        expect![[r#"
        $ rabbitmqctl start_app
        Starting node rabbit@host ...
        $ rabbitmqctl await_startup
    "#]],
    );
    came_back(&broker).await;
    reset(&admin);
    check(
        &admin,
        &["rabbitmqctl stop_app", "rabbitmqctl stop"],
        expect![[r#"
        $ rabbitmqctl stop_app
        Stopping rabbit application on node rabbit@host ...
        $ rabbitmqctl stop
        Stopping and halting node rabbit@host ...
    "#]],
    );
    assert_eq!(broker.wait_end(), Some(0));
}

/// Only a stopped broker is; then it is as at its first start.
fn reset(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl reset",
            "rabbitmqctl stop_app",
            "rabbitmqctl reset",
            "rabbitmqctl start_app",
            "rabbitmqctl list_users",
            "rabbitmqctl list_queues",
        ],
        expect![[r#"
            $ rabbitmqctl reset
            ! Error: this command requires the 'rabbit' app to be stopped on the target node. Stop it with 'rabbitmqctl stop_app'.
            ! Arguments given:
            ! 	reset
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] reset
            exit 64
            $ rabbitmqctl stop_app
            Stopping rabbit application on node rabbit@host ...
            $ rabbitmqctl reset
            Resetting node rabbit@host ...
            $ rabbitmqctl start_app
            Starting node rabbit@host ...
            $ rabbitmqctl list_users
            Listing users ...
            user	tags
            guest	[administrator]
            $ rabbitmqctl list_queues
            Timeout: 60.0 seconds ...
            Listing queues for vhost / ...
        "#]],
    );
}

/// A user, and a persistent message in a durable queue.
async fn kept(broker: &Broker) {
    broker.add_user("ana", None);
    let (connection, channel) = connect_channel(broker).await;
    confirm(&channel).await;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    declare(&channel, "orders", durable).await;
    let persistent = BasicProperties::default().with_delivery_mode(2);
    publish_with(&channel, "", "orders", "one", persistent).await;
    connection.close(200, "bye".into()).await.unwrap();
}

fn while_stopped(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl ping",
            "rabbitmqctl list_queues",
            "rabbitmq-diagnostics check_running",
            "rabbitmq-diagnostics is_running",
        ],
        expect![[r#"
            $ rabbitmqctl ping
            Will ping rabbit@host. This only checks if the OS process is running and registered with epmd. Timeout: 60000 ms.
            Ping succeeded
            $ rabbitmqctl list_queues
            Timeout: 60.0 seconds ...
            Listing queues for vhost / ...
            ! Error: this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.
            ! Arguments given:
            ! 	list_queues
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] list_queues [--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]
            exit 64
            $ rabbitmq-diagnostics check_running
            Checking if RabbitMQ is running on node rabbit@host ...
            ! Error:
            ! RabbitMQ on node rabbit@host is not running or has not fully booted yet (check with is_booting)
            exit 69
            $ rabbitmq-diagnostics is_running
            Asking node rabbit@host for its status ...
            RabbitMQ on node rabbit@host is not running or has not fully booted yet (check with is_booting)
        "#]],
    );
    // The process is there still, and its log.
    let tail = admin.output("rabbitmq-diagnostics -q log_tail -N 1");
    assert!(tail.contains("the broker is stopped; waiting to be started"), "{tail}");
    check(
        admin,
        &["rabbitmq-diagnostics -q log_location"],
        expect![[r#"
            $ rabbitmq-diagnostics -q log_location
            <stderr>
        "#]],
    );
    let status = admin.output("rabbitmqctl -q status");
    for text in ["RabbitMQ is stopped on this node", "OS PID: ", "Node data directory: "] {
        assert!(status.contains(text), "{text}: {status}");
    }
}

/// At the same address, with all that was there.
async fn came_back(broker: &Broker) {
    let (connection, channel) = connect_channel(broker).await;
    let message = get(&channel, "orders").await.unwrap();
    assert_eq!((body(&message.delivery).as_str(), message.delivery.redelivered), ("one", false));
    connection.close(200, "bye".into()).await.unwrap();
}

#[test]
fn the_listener_is_closed_for_a_while() {
    let Some(broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    let mut before = Raw::with_channel(&broker);
    let accepts = || std::net::TcpStream::connect(broker.amqp).is_ok();
    check(
        &admin,
        &["rabbitmqctl suspend_listeners", "rabbitmqctl suspend_listeners"],
        expect![[r#"
            $ rabbitmqctl suspend_listeners
            Will suspend client connection listeners on node rabbit@host. The node will no longer accept client connections!
            $ rabbitmqctl suspend_listeners
            Will suspend client connection listeners on node rabbit@host. The node will no longer accept client connections!
        "#]],
    );
    assert!(!accepts() && before.is_alive(1), "who is connected goes on");
    check(
        &admin,
        &["rabbitmqctl resume_listeners", "rabbitmqctl resume_listeners"],
        expect![[r#"
            $ rabbitmqctl resume_listeners
            Will resume client connection listeners on node rabbit@host. The node will now accept client connections
            $ rabbitmqctl resume_listeners
            Will resume client connection listeners on node rabbit@host. The node will now accept client connections
        "#]],
    );
    assert!(accepts());
    check(
        &admin,
        &["rabbitmq-upgrade drain"],
        expect![[r#"
        $ rabbitmq-upgrade drain
        Will put node rabbit@host into maintenance mode. The node will no longer serve any client traffic!
    "#]],
    );
    expect!["connection.close 320 CONNECTION_FORCED - Node was put into maintenance mode [0.0]"]
        .assert_eq(&before.outcome());
    assert!(!accepts());
    assert!(admin.output("rabbitmqctl status").contains("Is under maintenance?: true"));
    check(
        &admin,
        &["rabbitmq-upgrade revive"],
        expect![[r#"
            $ rabbitmq-upgrade revive
            Will put node rabbit@host back into regular operating mode. The node will again serve client traffic and host primary queue replicas.
        "#]],
    );
    drop(Raw::open(&broker));
}

#[test]
fn the_log_is_told_and_followed() {
    let Some(broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    let log = admin.output("rabbitmq-diagnostics -q log_tail");
    assert!(log.contains("Server startup complete") && !log.contains('\x1b'), "{log}");
    admin.output("rabbitmqctl set_log_level none");
    drop(Raw::open(&broker));
    assert!(!admin.output("rabbitmq-diagnostics -q log_tail").contains("accepting AMQP connection"));
    admin.output("rabbitmqctl set_log_level info");
    let mut follower = admin.start("rabbitmq-diagnostics log_tail_stream -d 600");
    follower.expect_line("Streaming logs from node ");
    drop(Raw::open(&broker));
    follower.expect_line("accepting AMQP connection 127.0.0.1:");
}
