//! Numbers that tools read: they grow with what clients do.

use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use liebre_tests::{
    amqp::{confirm, connect_channel, consume, declare, next_bodies, publish},
    broker::Broker,
    http::{ask, ask_anonymously},
    unique, wait,
};
use serde_json::Value;

/// What the API says of an object.
fn object(broker: &Broker, path: &str) -> Option<Value> {
    let response = ask(broker.http?, "GET", path, "").ok()?;
    serde_json::from_str(response.split_once("\r\n\r\n")?.1).ok()
}

#[tokio::test]
async fn rates_rise_with_traffic_and_samples_follow() {
    let broker = Broker::shared();
    if broker.management().is_none() {
        return;
    }
    let (_connection, channel) = connect_channel(broker).await;
    let q = unique("rates");
    declare(&channel, &q, QueueDeclareOptions { exclusive: true, ..Default::default() }).await;
    confirm(&channel).await;
    for _ in 0..20 {
        publish(&channel, "", &q, "m").await;
    }
    let mut consumer =
        consume(&channel, &q, BasicConsumeOptions { no_ack: true, ..Default::default() }).await;
    next_bodies(&mut consumer, 20).await;
    let vhost = broker.vhost.replace('/', "%2f");
    let path =
        format!("/api/queues/{vhost}/{q}?msg_rates_age=60&msg_rates_incr=5&lengths_age=60&lengths_incr=5");
    let queue = wait::until_async("a rate", async || {
        object(broker, &path).filter(|queue| {
            let stats = &queue["message_stats"];
            let rate = |name: &str| stats[name]["rate"].as_f64().unwrap_or(0.0);
            rate("publish_details") > 0.0 && rate("deliver_get_details") > 0.0
        })
    })
    .await;
    assert_eq!(queue["message_stats"]["publish"], 20, "{queue}");
    assert_eq!(queue["message_stats"]["deliver_no_ack"], 20, "{queue}");
    let samples = queue["message_stats"]["publish_details"]["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 13, "{queue}");
    let seconds: Vec<u64> =
        samples.iter().map(|sample| sample["timestamp"].as_u64().unwrap() / 1_000).collect();
    assert!(seconds.windows(2).all(|pair| pair[0] == pair[1] + 5), "{seconds:?}");
    wait::until_async("a sample of what was published", async || {
        let queue = object(broker, &path)?;
        (queue["message_stats"]["publish_details"]["samples"][0]["sample"] == 20).then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_channels_and_the_overview_count_what_a_client_did() {
    let Some(broker) = Broker::own() else { return };
    let (_connection, channel) = connect_channel(&broker).await;
    declare(&channel, "q", QueueDeclareOptions::default()).await;
    confirm(&channel).await;
    for key in ["q", "q", "nobody"] {
        publish(&channel, "", key, "m").await;
    }
    wait::until_async("sums", async || {
        let stats = object(&broker, "/api/overview")?["message_stats"].clone();
        let is_counted = stats["publish"] == 3 && stats["confirm"] == 3 && stats["drop_unroutable"] == 1;
        is_counted.then_some(())
    })
    .await;
    let channels = object(&broker, "/api/channels").unwrap();
    assert_eq!(channels[0]["message_stats"]["publish"], 3, "{channels}");
    let exchange = object(&broker, "/api/exchanges/%2f/amq.default").unwrap();
    let stats = &exchange["message_stats"];
    assert_eq!((&stats["publish_in"], &stats["publish_out"]), (&3.into(), &2.into()), "{exchange}");
    let connections = object(&broker, "/api/connections").unwrap();
    assert!(connections[0]["recv_oct"].as_u64() > Some(100), "{connections}");
}

#[tokio::test]
async fn prometheus_reads_without_a_login() {
    let Some(broker) = Broker::own_with(&["--prometheus-listen", "127.0.0.1:0"]) else { return };
    let log = broker.log();
    let line = log.lines().find(|line| line.ends_with("(http/prometheus)")).expect("a listener");
    let address = line.split(' ').rev().nth(1).unwrap().parse().unwrap();
    let response = ask_anonymously(address, "/metrics").unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    for line in ["# TYPE rabbitmq_queues gauge\n", "\nrabbitmq_queues 0\n", "\nliebre_log_unsynced_bytes "] {
        assert!(response.contains(line), "{response}");
    }
    for path in ["/api/overview", "/"] {
        assert!(ask_anonymously(address, path).unwrap().starts_with("HTTP/1.1 404"), "{path}");
    }
    let on_api = ask_anonymously(broker.http.unwrap(), "/metrics").unwrap();
    assert!(on_api.starts_with("HTTP/1.1 401"), "{on_api}");
}
