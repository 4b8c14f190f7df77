//! The class that everybody begins with, from the first user to the last: its commands as they are typed there.

use std::process::Command;

use expect_test::expect;
use liebre_tests::{
    admin::Admin,
    amqp::{ack, body, get, wait_ready},
    binaries::binary,
    broker::Broker,
    method,
    program::Program,
    raw::{FRAME_MAX, Raw},
};

use super::check;

#[tokio::test(flavor = "multi_thread")]
async fn a_class() {
    let Some(broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    prepared(&admin);
    worked(&broker, &admin).await;
    ended(&broker, &admin);
}

fn prepared(admin: &Admin) {
    assert!(admin.output("rabbitmqctl status").contains("\n\nOS PID: "));
    assert!(admin.output("rabbitmqctl help").contains("\n   add_user "));
    check(
        admin,
        &[
            "rabbitmqctl add_user ana ana",
            "rabbitmqctl add_vhost curso",
            r#"rabbitmqctl set_permissions -p curso ana ".*" ".*" ".*""#,
        ],
        expect![[r#"
            $ rabbitmqctl add_user ana ana
            Adding user "ana" ...
            Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.
            $ rabbitmqctl add_vhost curso
            Adding vhost "curso" ...
            $ rabbitmqctl set_permissions -p curso ana ".*" ".*" ".*"
            Setting permissions for user "ana" in vhost "curso" ...
        "#]],
    );
}

/// A worker takes a job, one waits; the worker is killed before it acks, and both wait.
async fn worked(broker: &Broker, admin: &Admin) {
    let url = format!("amqp://ana:ana@{}/curso", broker.amqp);
    let run = |name: &str, words: &[&str]| {
        let mut command = Command::new(binary("liebre-tutorials", name));
        command.args(words).env("AMQP_URL", &url).env_remove("AMQP_ADDR");
        Program::spawn(command)
    };
    let mut worker = run("worker", &[]);
    worker.expect_line("[*] Waiting for");
    let long = ".".repeat(60);
    run("new_task", &["first", &long]).finish();
    worker.expect_line(" [x] Received first");
    run("new_task", &["second"]).finish();
    let connection = lapin::Connection::connect(&url, Default::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    wait_ready(&channel, "task_queue", 1).await;
    let look = "rabbitmqctl -p curso list_queues name messages_ready messages_unacknowledged";
    check(
        admin,
        &[look],
        expect![[r#"
        $ rabbitmqctl -p curso list_queues name messages_ready messages_unacknowledged
        Timeout: 60.0 seconds ...
        Listing queues for vhost curso ...
        name	messages_ready	messages_unacknowledged
        task_queue	1	1
    "#]],
    );

    worker.kill9();
    wait_ready(&channel, "task_queue", 2).await;
    check(
        admin,
        &[look],
        expect![[r#"
        $ rabbitmqctl -p curso list_queues name messages_ready messages_unacknowledged
        Timeout: 60.0 seconds ...
        Listing queues for vhost curso ...
        name	messages_ready	messages_unacknowledged
        task_queue	2	0
    "#]],
    );
    for (expected, is_redelivered) in [(format!("first {long}"), true), ("second".to_owned(), false)] {
        let job = get(&channel, "task_queue").await.unwrap();
        assert_eq!((body(&job.delivery), job.delivery.redelivered), (expected, is_redelivered));
        ack(&job.delivery).await;
    }
    connection.close(200, "bye".into()).await.unwrap();
}

/// Who is connected is told why that ends.
fn ended(broker: &Broker, admin: &Admin) {
    let mut in_vhost = connected(broker, "curso");
    check(
        admin,
        &["rabbitmqctl delete_vhost curso"],
        expect![[r#"
        $ rabbitmqctl delete_vhost curso
        Deleting vhost "curso" ...
    "#]],
    );
    expect!["connection.close 320 CONNECTION_FORCED - vhost 'curso' is deleted [0.0]"]
        .assert_eq(&in_vhost.outcome());

    admin.output("rabbitmqctl set_permissions -p / ana .* .* .*");
    let mut as_user = connected(broker, "/");
    check(
        admin,
        &["rabbitmqctl delete_user ana"],
        expect![[r#"
        $ rabbitmqctl delete_user ana
        Deleting user "ana" ...
    "#]],
    );
    expect!["connection.close 320 CONNECTION_FORCED - user 'ana' is deleted [0.0]"]
        .assert_eq(&as_user.outcome());
    check(
        admin,
        &["rabbitmqctl list_vhosts", "rabbitmqctl list_users"],
        expect![[r#"
        $ rabbitmqctl list_vhosts
        Listing vhosts ...
        name
        /
        $ rabbitmqctl list_users
        Listing users ...
        user	tags
        guest	[administrator]
    "#]],
    );
}

/// An open connection of user ana.
fn connected(broker: &Broker, vhost: &str) -> Raw {
    let mut raw = Raw::tuned(broker, "ana");
    raw.say(&[method::tune_ok(2_047, FRAME_MAX, 0), method::open(vhost)]);
    raw.expect("connection.open-ok");
    raw
}
