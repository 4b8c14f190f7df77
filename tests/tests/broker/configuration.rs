//! What files, environment and command line make of a broker, and definitions that it starts with.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use lapin::{Connection, ConnectionProperties};
use liebre_tests::{amqp::within, binaries::binary, campaign::process::Launch};

use crate::environment::START_PATIENCE;

/// A user whose password is `test12`, its vhost, and a queue in it.
const DEFINITIONS: &str = r#"{
    "users": [{"name": "student", "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
        "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": "administrator"}],
    "vhosts": [{"name": "class"}],
    "permissions": [{"user": "student", "vhost": "class", "configure": ".*", "write": ".*", "read": ".*"}],
    "queues": [{"name": "lesson", "vhost": "class", "durable": true, "auto_delete": false, "arguments": {}}]
}"#;

/// What the broker says of a configuration, in a directory without data.
fn check(file: &Path, variables: &[(&str, &str)], options: &[&str]) -> Output {
    Command::new(binary("liebre", "liebre"))
        .arg("--config")
        .arg(file)
        .args(["--data-dir", "/nowhere", "--check-config"])
        .args(options)
        .envs(variables.iter().copied())
        .output()
        .expect("the broker runs")
}

#[test]
fn options_win_over_variables_over_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rabbitmq.conf");
    fs::write(
        &file,
        "heartbeat = 10\nchannel_max = 7\nvhost_max = 3\ndefault_pass = s3cret\nnet_ticktime = 5\n",
    )
    .unwrap();
    let output =
        check(&file, &[("LIEBRE_CHANNEL_MAX", "6"), ("LIEBRE_VHOST_MAX", "4")], &["--vhost-max", "5"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let line = |key: &str| {
        let found = said.lines().find(|line| line.starts_with(&format!("{key} = ")));
        found.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
    };
    assert_eq!(line("heartbeat"), format!("heartbeat = 10 # {}:1", file.display()));
    assert_eq!(line("channel_max"), "channel_max = 6 # variable LIEBRE_CHANNEL_MAX");
    assert_eq!(line("vhost_max"), "vhost_max = 5 # option --vhost-max");
    assert_eq!(line("frame_max"), "frame_max = 131072 # default");
    assert!(said.contains("net_ticktime does nothing here") && !said.contains("s3cret"), "{said}");
}

#[test]
fn the_same_keys_may_be_in_toml() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("liebre.toml");
    fs::write(&file, "heartbeat = 10\n[management.tcp]\nport = 15999\n").unwrap();
    let said = String::from_utf8(check(&file, &[], &[]).stdout).unwrap();
    assert!(said.contains("management.tcp.port = 15999") && said.contains("liebre.toml:3"), "{said}");
}

#[test]
fn what_can_not_be_ends_the_start_and_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rabbitmq.conf");
    for (text, message) in [
        ("\nheartbaet = 5\n", ":2: there is no key 'heartbaet'; did you mean 'heartbeat'?"),
        ("heartbeat = often\n", ":1: heartbeat: 'often' is no number from 0 to 65535"),
        ("heartbeat\n", ":1: there is no '=' between key and value"),
    ] {
        fs::write(&file, text).unwrap();
        let output = check(&file, &[], &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), said.trim()),
            (Some(1), format!("liebre: {}{message}", file.display()).as_str())
        );
    }
}

#[tokio::test]
async fn definitions_at_the_first_start_come_instead_of_guest() {
    let dir = tempfile::tempdir().unwrap();
    let definitions = dir.path().join("definitions.json");
    fs::write(&definitions, DEFINITIONS).unwrap();
    let launch = Launch {
        program: binary("liebre", "liebre"),
        arguments: vec!["--load-definitions".to_owned(), definitions.display().to_string()],
        log: dir.path().join("broker.log"),
    };
    let data_dir = dir.path().join("data");
    // The second start imports what is there already.
    for _ in 0..2 {
        let broker = launch.start(&data_dir).unwrap();
        let amqp = broker.wait_ready(START_PATIENCE).expect("the broker starts").amqp;
        let connect = async |login: &str, vhost: &str| {
            let url = format!("amqp://{login}@{amqp}/{vhost}");
            within("connect", Connection::connect(&url, ConnectionProperties::default())).await
        };
        let connection = connect("student:test12", "class").await.expect("the user may log in");
        let channel = connection.create_channel().await.unwrap();
        let declared = channel.queue_declare(
            "lesson".into(),
            lapin::options::QueueDeclareOptions { passive: true, ..Default::default() },
            Default::default(),
        );
        within("declare", declared).await.expect("the queue is there");
        connect("guest:guest", "%2f").await.expect_err("there is no guest");
        assert!(broker.stop().is_some_and(|status| status.success()));
    }
    fs::write(&definitions, DEFINITIONS.replace(r#""vhosts": [{"name": "class"}],"#, "")).unwrap();
    let broker = launch.start(&dir.path().join("other")).unwrap();
    assert!(broker.wait_ready(START_PATIENCE).is_none(), "the vhost is missing");
    let log = fs::read_to_string(&launch.log).unwrap();
    assert!(
        log.contains(
            "definitions.json: permissions[0] ('student' in vhost 'class'): there is no vhost 'class'"
        ),
        "{log}"
    );
}
