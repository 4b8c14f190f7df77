//! Alarms: publishers wait for disk and memory, consumers go on, nothing is lost.

use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions},
};
use liebre_tests::{
    admin::Admin,
    amqp::{
        ack, body, confirm, connect_channel, consume, counts, declare, drain, get, next, next_body, within,
    },
    broker::Broker,
    wait,
};
use tokio::task::JoinHandle;

/// More than any disk has free.
const HUGE: &str = "1PB";

/// A broker whose disk alarm is on, and its admin tools.
fn alarmed() -> Option<(Broker, Admin)> {
    let broker = Broker::own_with(&["--disk-free-limit", HUGE])?;
    let admin = broker.admin().unwrap();
    Some((broker, admin))
}

/// Publishes one by one; ends when all are confirmed. While it is blocked the client sends nothing, so that takes a
/// task of its own.
fn publishing(
    channel: &Channel,
    queue: &'static str,
    bodies: &'static [&str],
) -> JoinHandle<lapin::Result<()>> {
    let channel = channel.clone();
    tokio::spawn(async move {
        for body in bodies {
            let properties = BasicProperties::default().with_delivery_mode(2);
            let options = BasicPublishOptions::default();
            let sent = channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties);
            assert_eq!(sent.await?.await?, Confirmation::Ack(None));
        }
        Ok(())
    })
}

async fn confirmed(publishing: JoinHandle<lapin::Result<()>>) {
    within("confirms", publishing).await.unwrap().unwrap();
}

fn wait_blocked(connection: &Connection, is_blocked: bool) {
    let what = format!("blocked: {is_blocked}");
    wait::until(&what, || (connection.status().blocked() == is_blocked).then_some(()));
}

/// The states of all connections, sorted.
fn states(admin: &Admin) -> String {
    let mut states: Vec<_> = admin
        .output("rabbitmqctl -q --no-table-headers list_connections state")
        .lines()
        .map(str::to_owned)
        .collect();
    states.sort_unstable();
    states.join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_waits_until_the_disk_has_room() {
    let Some((broker, admin)) = alarmed() else { return };
    assert!(broker.log().contains("disk resource limit alarm set on node"), "{}", broker.log());
    let (_consuming, consumer_channel) = connect_channel(&broker).await;
    declare(&consumer_channel, "jobs", QueueDeclareOptions::durable()).await;
    let (publisher, channel) = connect_channel(&broker).await;
    confirm(&channel).await;
    assert_eq!(states(&admin), "blocking blocking");

    let sent = publishing(&channel, "jobs", &["1", "2", "3"]);
    wait_blocked(&publisher, true);
    assert_eq!(states(&admin), "blocked blocking");
    assert_eq!(counts(&consumer_channel, "jobs").await.0, 0, "who does not publish is heard");

    admin.output("rabbitmqctl set_disk_free_limit 0");
    confirmed(sent).await;
    wait_blocked(&publisher, false);
    assert_eq!(states(&admin), "running running");
    assert!(broker.log().contains("disk resource limit alarm cleared on node"), "{}", broker.log());

    admin.output(&format!("rabbitmqctl set_disk_free_limit {HUGE}"));
    let sent = publishing(&channel, "jobs", &["4"]);
    wait_blocked(&publisher, true);
    let mut jobs = consume(&consumer_channel, "jobs", BasicConsumeOptions::default()).await;
    for expected in ["1", "2", "3"] {
        let delivery = next(&mut jobs).await;
        assert_eq!(body(&delivery), expected);
        ack(&delivery).await;
    }
    admin.output("rabbitmqctl set_disk_free_limit 0");
    confirmed(sent).await;
    assert_eq!(next_body(&mut jobs).await, "4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_blocks_as_the_disk_does() {
    let Some(broker) = Broker::own_with(&["--vm-memory-high-watermark", "0"]) else { return };
    let admin = broker.admin().unwrap();
    let (publisher, channel) = connect_channel(&broker).await;
    confirm(&channel).await;
    declare(&channel, "jobs", QueueDeclareOptions::durable()).await;
    let sent = publishing(&channel, "jobs", &["1"]);
    wait_blocked(&publisher, true);
    admin.output("rabbitmqctl set_vm_memory_high_watermark 1.0");
    confirmed(sent).await;
    assert_eq!(drain(&channel, "jobs").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_with_blocked_publishers_stops_in_order() {
    let Some((mut broker, admin)) = alarmed() else { return };
    admin.output("rabbitmqctl set_disk_free_limit 0");
    let (publisher, channel) = connect_channel(&broker).await;
    confirm(&channel).await;
    declare(&channel, "jobs", QueueDeclareOptions::durable()).await;
    confirmed(publishing(&channel, "jobs", &["kept"])).await;
    admin.output(&format!("rabbitmqctl set_disk_free_limit {HUGE}"));
    let blocked = publishing(&channel, "jobs", &["not confirmed"]);
    wait_blocked(&publisher, true);
    broker.stop();
    assert!(within("the end", blocked).await.unwrap().is_err(), "what was blocked is not confirmed");
    // The alarm is on again: what is there can be taken all the same.
    broker.start_again();
    let (_connection, channel) = connect_channel(&broker).await;
    let kept = get(&channel, "jobs").await.expect("the confirmed message");
    assert_eq!(body(&kept.delivery), "kept");
    ack(&kept.delivery).await;
    assert_eq!(counts(&channel, "jobs").await.0, 0);
}

#[test]
fn tools_tell_of_alarms() {
    let Some((_broker, admin)) = alarmed() else { return };
    let lines = [
        "rabbitmq-diagnostics check_alarms",
        "rabbitmq-diagnostics check_local_alarms -q",
        "rabbitmq-diagnostics alarms -q",
        "rabbitmqctl set_disk_free_limit 2GBit",
        "rabbitmqctl set_disk_free_limit 0",
        "rabbitmq-diagnostics alarms -q",
        "rabbitmq-diagnostics check_local_alarms -q",
    ];
    let status = admin.output("rabbitmqctl status");
    assert!(status.contains("Low free disk space watermark: 1000000.0 gb\n"), "{status}");
    let alarms = status.split("Alarms\n\n").nth(1).and_then(|alarms| alarms.lines().next());
    assert!(
        alarms.is_some_and(|alarm| alarm.starts_with("Free disk space alarm on node rabbit@")),
        "{status}"
    );
    expect_test::expect![[r#"
        $ rabbitmq-diagnostics check_alarms
        Asking node rabbit@host to report any local resource alarms ...
        ! Error:
        ! Free disk space alarm on node rabbit@host
        exit 69
        $ rabbitmq-diagnostics check_local_alarms -q
        ! Error:
        ! Free disk space alarm on node rabbit@host
        exit 69
        $ rabbitmq-diagnostics alarms -q
        Free disk space alarm on node rabbit@host
        $ rabbitmqctl set_disk_free_limit 2GBit
        Setting disk free limit on rabbit@host to 2GBit bytes ...
        ! Error (argument validation): Bad argument: '2GBit' is no size: bytes, or a number with a unit as in 500MiB or 2GB
        ! Arguments given:
        ! 	set_disk_free_limit 2GBit
        ! 
        ! Usage
        ! 
        ! rabbitmqctl [--node <node>] [--longnames] [--quiet] set_disk_free_limit <disk_limit> | mem_relative <fraction>
        exit 65
        $ rabbitmqctl set_disk_free_limit 0
        Setting disk free limit on rabbit@host to 0 bytes ...
        $ rabbitmq-diagnostics alarms -q
        Node rabbit@host reported no alarms, local or clusterwide
        $ rabbitmq-diagnostics check_local_alarms -q
        Node rabbit@host reported no local alarms
    "#]].assert_eq(&admin.transcript(&lines));
}
