//! What files, environment and command line make of a broker, and definitions that it starts with.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use lapin::{Connection, ConnectionProperties};
use liebre_tests::{amqp::within, binaries::binary, campaign::process::Launch};

use crate::environment::{START_PATIENCE, launch_after};

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
    check_at(Path::new("/nowhere"), file, variables, options)
}

fn check_at(data_dir: &Path, file: &Path, variables: &[(&str, &str)], options: &[&str]) -> Output {
    Command::new(binary("liebre", "liebre"))
        .arg("--config")
        .arg(file)
        .arg("--data-dir")
        .arg(data_dir)
        .arg("--check-config")
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

#[test]
fn all_mistakes_are_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rabbitmq.conf");
    fs::write(&file, "management.tcp.prot = 1\nheartbeat\nload_definitions = /no/such/file.json\n").unwrap();
    let output = check(&file, &[("LIEBRE_AMPQ_LISTEN", "5673")], &["--frame-max", "x"]);
    let said = String::from_utf8(output.stderr).unwrap();
    let place = file.display();
    let expected = [
        "liebre: there is no variable LIEBRE_AMPQ_LISTEN; did you mean LIEBRE_AMQP_LISTEN?".to_owned(),
        format!("liebre: {place}:2: there is no '=' between key and value"),
        format!(
            "liebre: {place}:1: there is no key 'management.tcp.prot'; did you mean 'management.tcp.port'?"
        ),
        "liebre: option --frame-max: frame_max: 'x' is no size: bytes, or a number with a unit as in 500MiB or 2GB".to_owned(),
        format!(
            "liebre: {place}:3: load_definitions: cannot read /no/such/file.json: No such file or directory (os error 2)"
        ),
    ];
    assert_eq!(
        (output.status.code(), said.lines().collect::<Vec<_>>()),
        (Some(1), expected.iter().map(String::as_str).collect())
    );
}

#[test]
fn definitions_are_tried_by_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let (file, definitions) = (dir.path().join("rabbitmq.conf"), dir.path().join("d.json"));
    let place = definitions.display();
    fs::write(&file, format!("load_definitions = {place}\n")).unwrap();
    let stream = r#"{"queues":[{"name":"s","vhost":"v","durable":true,"auto_delete":false,"arguments":{"x-queue-type":"stream"}}],"vhosts":[{"name":"v"}]}"#;
    let user = r#"{"permissions":[{"user":"ana","vhost":"/","configure":"","write":"","read":""}]}"#;
    for (text, said) in [
        ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
        (user, "permissions[0] ('ana' in vhost '/'): there is no user 'ana'"),
        (
            stream,
            "queues[0] ('s' in vhost 'v'): invalid arg 'x-queue-type' for queue 's' in vhost 'v': \"unsupported queue \
             type 'stream'\". The rest can be imported without it: definitions.skip_unsupported = true",
        ),
    ] {
        fs::write(&definitions, text).unwrap();
        let output = check(&file, &[], &[]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), errors.trim()),
            (Some(1), format!("liebre: {place}: {said}").as_str())
        );
    }
    let output = check(&file, &[], &["--definitions-skip-unsupported"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && shown.contains(&format!("# {place}: not imported: queues[0]")),
        "{shown}"
    );
    fs::write(&definitions, DEFINITIONS).unwrap();
    assert!(check(&file, &[], &[]).status.success());
}

/// Where there was a start, what the file refers to may be there; what no start takes is a mistake all the same.
#[test]
fn definitions_may_refer_to_what_an_earlier_start_made() {
    let dir = tempfile::tempdir().unwrap();
    let (file, definitions) = (dir.path().join("rabbitmq.conf"), dir.path().join("d.json"));
    let data_dir = dir.path().join("data");
    fs::create_dir_all(data_dir.join("messages")).unwrap();
    fs::write(&file, format!("load_definitions = {}\n", definitions.display())).unwrap();
    let vhosts = r#""vhosts":[{"name":"v"}]"#;
    let binding = r#""vhost":"v","source":"amq.direct","destination":"q""#;
    for (text, missing) in [
        (r#"{"permissions":[{"user":"ana","vhost":"/","configure":"","write":"","read":""}]}"#, "user 'ana'"),
        (r#"{"queues":[{"name":"q","vhost":"w","durable":true,"auto_delete":false}]}"#, "vhost 'w'"),
        (&format!(r#"{{{vhosts},"bindings":[{{{binding},"destination_type":"queue"}}]}}"#), "queue 'q'"),
        (
            &format!(r#"{{{vhosts},"bindings":[{{{binding},"destination_type":"exchange"}}]}}"#),
            "exchange 'q'",
        ),
    ] {
        fs::write(&definitions, text).unwrap();
        let output = check_at(&data_dir, &file, &[], &[]);
        let shown = String::from_utf8(output.stdout).unwrap();
        let notes: Vec<&str> =
            shown.lines().filter(|line| line.ends_with("unless the data directory has it")).collect();
        assert!(output.status.success() && matches!(notes[..], [note] if note.contains(missing)), "{shown}");
    }
    for (text, mistake) in [
        (
            &format!(r#"{{{vhosts},"bindings":[{{{binding}}}]}}"#)[..],
            "the field 'destination_type' is missing",
        ),
        (
            &format!(r#"{{{vhosts},"bindings":[{{{binding},"destination_type":"x"}}]}}"#),
            "unknown destination type 'x'",
        ),
        (
            &format!(r#"{{{vhosts},"bindings":[{{{binding},"destination_type":"queue","arguments":5}}]}}"#),
            "5",
        ),
        (r#"{"queues":[{"name":"q","durable":true,"auto_delete":false}]}"#, "no vhost 'undefined'"),
    ] {
        fs::write(&definitions, text).unwrap();
        let output = check_at(&data_dir, &file, &[], &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(mistake), "{text}: {said}");
    }
}

#[test]
fn a_port_in_the_environment_does_not_open_a_broker_that_a_file_keeps_local() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rabbitmq.conf");
    fs::write(&file, "listeners.tcp.default = 127.0.0.1:5672\nmanagement.tcp.ip = localhost\n").unwrap();
    let variables = [("RABBITMQ_NODE_PORT", "5673"), ("LIEBRE_HTTP_LISTEN", "15673")];
    let said = String::from_utf8(check(&file, &variables, &[]).stdout).unwrap();
    let has =
        |key: &str, value: &str| said.lines().any(|line| line.starts_with(&format!("{key} = {value} ")));
    assert!(has("listeners.tcp.default", "127.0.0.1:5673"), "{said}");
    assert!(has("management.tcp.ip", "localhost") && has("management.tcp.port", "15673"), "{said}");
}

#[test]
fn what_can_not_be_started_is_told_by_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rabbitmq.conf");
    let place = file.display();
    for (text, variables, message) in [
        (
            "load_definitions = /no/such/file.json\n",
            &[][..],
            format!(
                "{place}:1: load_definitions: cannot read /no/such/file.json: No such file or directory (os error 2)"
            ),
        ),
        (
            "listeners.tcp.default = 15672\n",
            &[],
            "listeners.tcp.default and management.tcp are on the same port: [::]:15672".to_owned(),
        ),
        (
            "",
            &[("LIEBRE_AMPQ_LISTEN", "127.0.0.1:5672")],
            "there is no variable LIEBRE_AMPQ_LISTEN; did you mean LIEBRE_AMQP_LISTEN?".to_owned(),
        ),
    ] {
        fs::write(&file, text).unwrap();
        let output = check(&file, variables, &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.trim()), (Some(1), format!("liebre: {message}").as_str()));
    }
}

/// What could not start has made no user either.
#[tokio::test]
async fn a_first_start_that_can_not_listen_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = Command::new(binary("liebre", "liebre"))
        .args(["--amqp-listen", &taken.local_addr().unwrap().to_string(), "--http-listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(&data_dir)
        .env("LIEBRE_CONFIG_FILE", "")
        .output()
        .expect("the broker runs");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = "export RABBITMQ_DEFAULT_USER=ana RABBITMQ_DEFAULT_PASS=s3creta";
    let broker = launch_after(line, dir.path()).start(&data_dir).unwrap();
    let amqp = broker.wait_ready(START_PATIENCE).expect("the broker starts").amqp;
    let url = format!("amqp://ana:s3creta@{amqp}/%2f");
    within("connect", Connection::connect(&url, ConnectionProperties::default()))
        .await
        .expect("ana is there");
}

/// The tools look for the broker where the configuration has its data.
#[test]
fn the_tools_find_a_data_directory_that_a_file_names() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let launch = Launch {
        program: binary("liebre", "liebre"),
        arguments: Vec::new(),
        log: dir.path().join("broker.log"),
    };
    let broker = launch.start(&data_dir).unwrap();
    broker.wait_ready(START_PATIENCE).expect("the broker starts");
    let shown = data_dir.display();
    for (name, text) in [
        ("liebre.conf", format!("# comment\ndata_dir = '{shown}' # here\n")),
        ("liebre.toml", format!("heartbeat = 5\ndata_dir = \"{shown}\"\n[log]\ndir = \"/x\"\n")),
    ] {
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        let mut tool = Command::new(binary("liebrectl", "rabbitmqctl"));
        tool.args(["-q", "list_users"]).env_remove("LIEBRE_DATA_DIR").env("LIEBRE_CONFIG_FILE", &file);
        let output = tool.output().expect("the tool runs");
        let (told, errors) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success() && told.contains("guest"), "{name}: {told}{errors}");
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
    for told in [
        "definitions.json: 2 of the definitions can't be imported:",
        "permissions[0] ('student' in vhost 'class'): there is no vhost 'class'",
        "queues[0] ('lesson' in vhost 'class'): there is no vhost 'class'",
    ] {
        assert!(log.contains(told), "{log}");
    }
}
