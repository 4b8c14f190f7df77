//! What the environment makes of a broker: the variables of RabbitMQ's image, and a shell's limits.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use lapin::{Connection, ConnectionProperties, options::QueueDeclareOptions};
use liebre_tests::{
    amqp::{declare, drain, publish, within},
    binaries::binary,
    campaign::process::Launch,
};

/// How long a start may take.
pub const START_PATIENCE: Duration = Duration::from_secs(20);

/// The broker after a line of shell.
pub fn launch_after(line: &str, dir: &Path) -> Launch {
    let script = dir.join("broker");
    let broker = binary("liebre", "liebre");
    fs::write(&script, format!("#!/bin/sh\n{line}\nexec '{}' \"$@\"\n", broker.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    Launch { program: script, arguments: Vec::new(), log: dir.join("broker.log") }
}

#[tokio::test]
async fn the_variables_of_rabbitmqs_image_name_the_first_user_and_vhost() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let variables =
        "export RABBITMQ_DEFAULT_USER=student RABBITMQ_DEFAULT_PASS=s3cret RABBITMQ_DEFAULT_VHOST=class";
    let first = launch_after(variables, dir.path()).start(&data_dir).unwrap();
    let amqp = first.wait_ready(START_PATIENCE).expect("the broker starts").amqp;
    let connect = async |login: &str, amqp: std::net::SocketAddr| {
        let url = format!("amqp://{login}@{amqp}/class");
        within("connect", Connection::connect(&url, ConnectionProperties::default())).await
    };
    let connection = connect("student:s3cret", amqp).await.expect("the user may log in");
    let channel = connection.create_channel().await.unwrap();
    declare(&channel, "lesson", QueueDeclareOptions::default()).await;
    publish(&channel, "", "lesson", "one").await;
    assert_eq!(drain(&channel, "lesson").await, ["one"], "the user may do everything there");
    connect("guest:guest", amqp).await.expect_err("there is no guest besides");
    assert!(first.stop().is_some_and(|status| status.success()));
    // They are for the first start: what is there already is not made again.
    let other = "export RABBITMQ_DEFAULT_USER=other RABBITMQ_DEFAULT_PASS=other";
    let second = launch_after(other, dir.path()).start(&data_dir).unwrap();
    let amqp = second.wait_ready(START_PATIENCE).expect("the broker starts").amqp;
    connect("student:s3cret", amqp).await.expect("the user is there still");
    connect("other:other", amqp).await.expect_err("no user was made");
}
