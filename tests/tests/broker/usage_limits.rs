//! Limits of vhosts, users and the node: set with the admin tool or at the start, exact, and given back.

use std::sync::Arc;

use futures_lite::future::zip;
use lapin::{Channel, Connection, ConnectionProperties, options::QueueDeclareOptions, types::FieldTable};
use liebre_tests::{
    amqp::{connect_channel, declare, exception, within},
    broker::Broker,
    http::ask,
    wait,
};

async fn connect(broker: &Broker, place: &str) -> lapin::Result<Connection> {
    let url = format!("amqp://{place}", place = place.replace('@', &format!("@{}/", broker.amqp)));
    within("connect", Connection::connect(&url, ConnectionProperties::default())).await
}

async fn try_declare(channel: &Channel, name: &str) -> lapin::Result<lapin::Queue> {
    let declared = channel.queue_declare(name.into(), QueueDeclareOptions::default(), FieldTable::default());
    within("queue.declare", declared).await
}

/// However the connections end, their places are free again.
#[tokio::test]
async fn places_are_given_back() {
    let Some(broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    admin.output("rabbitmqctl add_user ana ana");
    admin.output("rabbitmqctl set_permissions ana .* .* .*");
    admin.output(r#"rabbitmqctl set_user_limits ana '{"max-connections": 1, "max-channels": 1}'"#);
    let refused = "530 NOT_ALLOWED - connection refused for user 'ana': user connection limit (1) is reached";
    let ana = "ana:ana@%2f";
    for round in 0..20 {
        let connection = connect(&broker, ana).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        assert_eq!(exception(connect(&broker, ana).await), refused);
        channel.close(200, "bye".into()).await.unwrap();
        let _held = connection.create_channel().await.unwrap();
        match round % 3 {
            0 => connection.close(200, "bye".into()).await.unwrap(),
            1 => {
                admin.output("rabbitmqctl close_all_connections bye");
                wait::until_async("the end", async || (!connection.status().connected()).then_some(())).await;
            }
            _ => {
                let too_many = connection.create_channel().await;
                let expected = "530 NOT_ALLOWED - number of channels opened for user 'ana' has reached the maximum \
                                allowed user limit of (1)";
                assert_eq!(exception(too_many), expected);
            }
        }
    }
}

#[tokio::test]
async fn they_survive_a_crash_and_other_changes() {
    let Some(mut broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    admin.output("rabbitmqctl add_user ana ana");
    admin.output("rabbitmqctl add_vhost v");
    admin.output(r#"rabbitmqctl set_user_limits ana '{"max-connections": 3, "max-channels": -1}'"#);
    admin.output(r#"rabbitmqctl set_vhost_limits -p v '{"max-queues": 0, "max-connections": 9}'"#);
    admin.output("rabbitmqctl change_password ana other");
    admin.output("rabbitmqctl set_user_tags ana management");
    admin.output("rabbitmqctl add_vhost v --description again");
    broker.kill9();
    broker.start_again();
    let admin = broker.admin().unwrap();
    let of_user = admin.output("rabbitmqctl -q list_user_limits --user ana");
    assert_eq!(of_user, "{\"max-channels\":-1,\"max-connections\":3}\n");
    let of_vhost = admin.output("rabbitmqctl -q list_vhost_limits -p v");
    assert_eq!(of_vhost, "{\"max-connections\":9,\"max-queues\":0}\n");
    admin.output("rabbitmqctl clear_vhost_limits -p v");
    admin.output("rabbitmqctl clear_user_limits ana all");
    broker.kill9();
    broker.start_again();
    let admin = broker.admin().unwrap();
    assert_eq!(admin.output("rabbitmqctl -q list_user_limits --global"), "\n");
    assert_eq!(admin.output("rabbitmqctl -q list_vhost_limits --global"), "\n");
}

/// Many who declare at once get no queue more than there may be, and durable queues are back after a restart that
/// finds more than there may be.
#[tokio::test(flavor = "multi_thread")]
async fn no_queue_too_many() {
    const MAX: usize = 40;
    let Some(mut broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    admin.output(&format!(r#"rabbitmqctl set_vhost_limits '{{"max-queues": {MAX}}}'"#));
    let (connection, channel) = connect_channel(&broker).await;
    let connection = Arc::new(connection);
    let declare_many = async |half: usize| {
        let mut declared = 0;
        for number in 0..MAX {
            let channel = connection.create_channel().await.unwrap();
            declared += usize::from(try_declare(&channel, &format!("q-{half}-{number}")).await.is_ok());
        }
        declared
    };
    let (one, other) = zip(declare_many(1), declare_many(2)).await;
    assert_eq!(one + other, MAX);
    let refused = exception(try_declare(&channel, "q").await);
    assert_eq!(
        refused,
        format!(
            "406 PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost '/' ({MAX}) is reached"
        )
    );
    admin.output("rabbitmqctl clear_vhost_limits");
    let channel = connection.create_channel().await.unwrap();
    for number in 0..3 {
        declare(&channel, &format!("durable-{number}"), QueueDeclareOptions::durable()).await;
    }
    admin.output(r#"rabbitmqctl set_vhost_limits '{"max-queues": 1}'"#);
    broker.restart();
    let (_connection, channel) = connect_channel(&broker).await;
    declare(&channel, "durable-2", QueueDeclareOptions::durable()).await;
    exception(try_declare(&channel, "another").await);
}

#[tokio::test]
async fn a_node_has_limits_too() {
    let options =
        ["--connection-max=2", "--channel-max=5", "--channel-max-per-node=6", "--cluster-queue-limit=1"];
    let Some(broker) = Broker::own_with(&options) else { return };
    let admin = broker.admin().unwrap();
    let guest = "guest:guest@%2f";
    let first = connect(&broker, guest).await.unwrap();
    let second = connect(&broker, guest).await.unwrap();
    let refused = "530 NOT_ALLOWED - connection refused: node connection limit (2) is reached";
    assert_eq!(exception(connect(&broker, guest).await), refused);

    let mut channels = Vec::new();
    for _ in 0..5 {
        channels.push(first.create_channel().await.unwrap());
    }
    channels.push(second.create_channel().await.unwrap());
    let refused = exception(second.create_channel().await);
    let (of_node, limit) = refused.split_once("' has reached ").unwrap_or_default();
    assert!(of_node.starts_with("530 NOT_ALLOWED - number of channels opened on node 'rabbit@"), "{refused}");
    assert_eq!(limit, "the maximum allowed limit of (6)");

    declare(&channels[0], "q", QueueDeclareOptions::default()).await;
    declare(&channels[1], "q", QueueDeclareOptions::default()).await;
    admin.output("rabbitmqctl add_vhost v");
    admin.output("rabbitmqctl set_permissions -p v guest .* .* .*");
    let elsewhere = ask(broker.http.unwrap(), "PUT", "/api/queues/v/another", "{}").unwrap();
    let reason = "cannot declare queue 'another': queue limit in cluster (1) is reached";
    assert!(elsewhere.contains(reason), "{elsewhere}");
    let refused = exception(try_declare(&channels[0], "another").await);
    assert_eq!(refused, format!("406 PRECONDITION_FAILED - {reason}"));
}
