//! Topic permissions: set with the admin tool, in force at once on what is open, and still there after a crash.

use lapin::{
    Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use liebre_tests::{
    admin::Admin,
    amqp::{confirm, declare, exception, publish, within},
    broker::Broker,
};

const REFUSED: &str = "403 ACCESS_REFUSED - write access to topic 'ana.1' in exchange 'amq.topic' in vhost '/' refused for user 'ana'";

async fn log_in(broker: &Broker) -> (Connection, Channel) {
    let url = format!("amqp://ana:ana@{}/%2f", broker.amqp);
    let connection =
        within("connect", Connection::connect(&url, ConnectionProperties::default())).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    confirm(&channel).await;
    (connection, channel)
}

/// What a publish with a key to `amq.topic` ends in.
async fn refusal(channel: &Channel, key: &str) -> String {
    let options = BasicPublishOptions::default();
    let published =
        channel.basic_publish("amq.topic".into(), key.into(), options, b"", Default::default()).await;
    exception(within("a confirm", published.unwrap()).await)
}

fn set(admin: &Admin, write: &str) {
    admin.output(&format!("rabbitmqctl set_topic_permissions ana amq.topic '{write}' '^r$'"));
}

#[tokio::test]
async fn they_act_on_what_is_open_and_survive_a_crash() {
    let Some(mut broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    admin.output("rabbitmqctl add_user ana ana");
    admin.output("rabbitmqctl set_permissions ana .* .* .*");
    let (connection, channel) = log_in(&broker).await;
    publish(&channel, "amq.topic", "ana.1", "without any").await;

    set(&admin, "^b");
    assert_eq!(refusal(&channel, "ana.1").await, REFUSED);
    let channel = connection.create_channel().await.unwrap();
    confirm(&channel).await;
    set(&admin, "^{username}\\.");
    publish(&channel, "amq.topic", "ana.1", "her own").await;
    publish(&channel, "amq.topic", "ana.1", "again").await;
    admin.output("rabbitmqctl clear_permissions ana");
    let refused = refusal(&channel, "ana.1").await;
    assert!(refused.starts_with("403 ACCESS_REFUSED - write access to exchange 'amq.topic'"), "{refused}");

    admin.output("rabbitmqctl set_permissions ana .* .* .*");
    set(&admin, "^b");
    admin.output("rabbitmqctl set_topic_permissions ana another '' ''");
    let admin = {
        broker.kill9();
        broker.start_again();
        broker.admin().unwrap()
    };
    let (_connection, channel) = log_in(&broker).await;
    assert_eq!(refusal(&channel, "ana.1").await, REFUSED);
    admin.output("rabbitmqctl clear_topic_permissions ana amq.topic");
    let listed = admin.output("rabbitmqctl -q list_topic_permissions");
    assert_eq!(listed, "user\texchange\twrite\tread\nana\tanother\t\t\n");
    admin.output("rabbitmqctl clear_topic_permissions ana");

    let admin = {
        broker.kill9();
        broker.start_again();
        broker.admin().unwrap()
    };
    assert_eq!(admin.output("rabbitmqctl -q list_user_topic_permissions ana"), "\n");
    let (_connection, channel) = log_in(&broker).await;
    publish(&channel, "amq.topic", "ana.1", "without any").await;
}

#[tokio::test]
async fn they_go_with_their_user_and_vhost() {
    let Some(broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    let add = || {
        admin.output("rabbitmqctl add_user ana ana");
        admin.output("rabbitmqctl add_vhost v");
    };
    let listed = || admin.output("rabbitmqctl -q list_user_topic_permissions ana");
    add();
    admin.output("rabbitmqctl set_topic_permissions -p v ana amq.topic a b");
    admin.output("rabbitmqctl set_topic_permissions ana amq.topic c d");
    assert_eq!(listed(), "vhost\texchange\twrite\tread\n/\tamq.topic\tc\td\nv\tamq.topic\ta\tb\n");
    admin.output("rabbitmqctl delete_vhost v");
    assert_eq!(listed(), "vhost\texchange\twrite\tread\n/\tamq.topic\tc\td\n");
    admin.output("rabbitmqctl delete_user ana");
    add();
    assert_eq!(listed(), "\n");
}

#[tokio::test]
async fn bindings_over_http_need_them_too() {
    let Some(broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    let (_connection, channel) = liebre_tests::amqp::connect_channel(&broker).await;
    declare(&channel, "q", QueueDeclareOptions::durable()).await;
    admin.output("rabbitmqctl set_topic_permissions guest amq.topic '' ^mine");
    let bind = |key: &str| {
        let body = format!(r#"{{"routing_key":"{key}"}}"#);
        let path = "/api/bindings/%2F/e/amq.topic/q/q";
        let answer = liebre_tests::http::ask(broker.http.unwrap(), "POST", path, &body).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!([bind("mine"), bind("yours")], ["201", "401"]);
    let bound = channel.queue_bind(
        "q".into(),
        "amq.topic".into(),
        "yours".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    let expected = "403 ACCESS_REFUSED - read access to topic 'yours' in exchange 'amq.topic' in vhost '/' refused for \
                    user 'guest'";
    assert_eq!(exception(within("queue.bind", bound).await), expected);
}
