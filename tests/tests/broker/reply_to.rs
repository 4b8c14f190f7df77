//! Remote procedure calls without a queue for the replies (direct reply-to).

use futures_lite::StreamExt;
use lapin::{
    BasicProperties, Channel, Consumer,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions},
};
use liebre_tests::{
    amqp::{ack, body, connect_channel, consume, declare, get, next, publish_with, wait_ready, within},
    broker::Broker,
    unique,
};

const REPLY_TO: &str = "amq.rabbitmq.reply-to";
const CLIENTS: usize = 8;
const REQUESTS: usize = 500;

/// Begins to wait for replies.
async fn consume_replies(channel: &Channel) -> Consumer {
    let no_ack = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    consume(channel, REPLY_TO, no_ack).await
}

async fn request(channel: &Channel, queue: &str, question: &str) {
    let properties =
        BasicProperties::default().with_reply_to(REPLY_TO.into()).with_correlation_id(question.into());
    publish_with(channel, "", queue, question, properties).await;
}

/// Answers every request with its own words in capitals.
async fn serve(channel: Channel, queue: String) {
    let mut requests = consume(&channel, &queue, BasicConsumeOptions::default()).await;
    while let Some(Ok(request)) = requests.next().await {
        let reply_to = request.properties.reply_to().clone().expect("a request says who asks");
        let correlation_id = request.properties.correlation_id().clone().expect("a request has a number");
        let properties = BasicProperties::default().with_correlation_id(correlation_id);
        publish_with(&channel, "", reply_to.as_str(), &body(&request).to_uppercase(), properties).await;
        ack(&request).await;
    }
}

/// Sends many requests at once; the replies are all its own, each once and in order.
async fn ask(queue: String, client: usize) {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let mut replies = consume_replies(&channel).await;
    for number in 0..REQUESTS {
        request(&channel, &queue, &format!("client {client}, {number}")).await;
    }
    for number in 0..REQUESTS {
        let reply = next(&mut replies).await;
        let question = format!("client {client}, {number}");
        assert_eq!(reply.properties.correlation_id().as_ref().map(|id| id.as_str()), Some(&*question));
        assert_eq!(body(&reply), question.to_uppercase());
    }
}

#[tokio::test]
async fn many_clients_get_their_own_replies() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let queue = unique("rpc");
    declare(&channel, &queue, QueueDeclareOptions::exclusive()).await;
    let server = tokio::spawn(serve(channel, queue.clone()));
    let clients: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(ask(queue.clone(), client))).collect();
    for client in clients {
        client.await.expect("the client got its replies");
    }
    server.abort();
}

#[tokio::test]
async fn a_reply_to_who_left_comes_back() {
    let broker = Broker::shared();
    let (_connection, server) = connect_channel(broker).await;
    let queue = unique("rpc");
    declare(&server, &queue, QueueDeclareOptions::default().auto_delete()).await;
    let (connection, client) = connect_channel(broker).await;
    let _replies = consume_replies(&client).await;
    request(&client, &queue, "anybody?").await;
    wait_ready(&server, &queue, 1).await;
    let request = get(&server, &queue).await.expect("the request is there");
    let reply_to = request.delivery.properties.reply_to().clone().expect("a request says who asks");
    let declared = declare(&server, reply_to.as_str(), QueueDeclareOptions::default().passive()).await;
    assert_eq!((declared.message_count(), declared.consumer_count()), (0, 1));
    connection.close(200, "bye".into()).await.expect("the connection closes");
    server
        .confirm_select(lapin::options::ConfirmSelectOptions::default())
        .await
        .expect("confirms can be turned on");
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default();
    let published = server.basic_publish("".into(), reply_to, mandatory, b"nobody", properties).await;
    let confirmation = within("the confirm", published.expect("the reply can be sent")).await;
    let returned = confirmation.expect("the channel stays open").take_message().expect("it comes back");
    assert_eq!((returned.reply_code, returned.reply_text.as_str()), (312, "NO_ROUTE"));
}
