//! Which value wins, what is shown of it, and what is said of those that can't be.

use std::path::PathBuf;

use expect_test::expect_file;

use super::*;
use crate::server::check_ports;

fn file(text: &str) -> Vec<Given> {
    let (entries, errors) = conf_file::parse(text, &|_| None);
    assert_eq!(errors, []);
    let source = |line| Source::File { path: PathBuf::from("/etc/rabbitmq/rabbitmq.conf"), line };
    entries
        .into_iter()
        .map(|entry| Given { key: entry.key, value: entry.value, source: source(entry.line) })
        .collect()
}

fn variable(name: &str, value: &str) -> Vec<Given> {
    environment::given(&|asked| (asked == name).then(|| value.to_owned()))
}

fn option(key: &str, value: &str) -> Vec<Given> {
    let source = Source::Flag(key.replace(['.', '_'], "-"));
    vec![Given { key: key.to_owned(), value: value.to_owned(), source }]
}

fn resolve(layers: &[Vec<Given>]) -> Result<Configuration, String> {
    let mut mistakes = Vec::new();
    let said =
        Said::read(option("data_dir", "/data").into_iter().chain(layers.concat()).collect(), &mut mistakes);
    let texts =
        |mistakes: Vec<ConfigError>| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    said.finish(Vec::new(), mistakes).map_err(texts)
}

fn error(layers: &[Vec<Given>]) -> String {
    resolve(layers).unwrap_err()
}

fn shown(configuration: &Configuration, key: &str) -> Option<(String, String)> {
    let settings = &configuration.settings.effective;
    settings
        .iter()
        .find(|setting| setting.key == key)
        .map(|setting| (setting.value.clone(), setting.source.clone()))
}

#[test]
fn options_come_before_variables_before_files_before_defaults() {
    let heartbeat = |layers: &[Vec<Given>]| {
        let configuration = resolve(layers).unwrap();
        (configuration.settings.node_limits.heartbeat_secs, shown(&configuration, "heartbeat").unwrap().1)
    };
    let (in_file, in_environment, in_options) = (
        file("\nheartbeat = 10\nheartbeat = 20"),
        variable("LIEBRE_HEARTBEAT", "30"),
        option("heartbeat", "40"),
    );
    assert_eq!(heartbeat(&[]), (60, "default".to_owned()));
    assert_eq!(heartbeat(std::slice::from_ref(&in_file)), (20, "/etc/rabbitmq/rabbitmq.conf:3".to_owned()));
    assert_eq!(
        heartbeat(&[in_file.clone(), in_environment.clone()]),
        (30, "variable LIEBRE_HEARTBEAT".to_owned())
    );
    assert_eq!(heartbeat(&[in_file, in_environment, in_options]), (40, "option --heartbeat".to_owned()));
}

#[test]
fn a_family_is_replaced_as_a_whole() {
    let two = file("listeners.tcp.1 = 127.0.0.1:1\nlisteners.tcp.2 = 127.0.0.1:2");
    let addresses = |layers: &[Vec<Given>]| {
        let settings = resolve(layers).unwrap().settings;
        settings.amqp_listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(addresses(std::slice::from_ref(&two)), "127.0.0.1:1 127.0.0.1:2");
    assert_eq!(addresses(&[two, variable("LIEBRE_AMQP_LISTEN", "127.0.0.1:3")]), "127.0.0.1:3");
    let relative = file("disk_free_limit.relative = 1.5");
    let configuration = resolve(&[relative, option("disk_free_limit.absolute", "1GB")]).unwrap();
    assert_eq!(shown(&configuration, "disk_free_limit.relative"), None);
    assert_eq!(shown(&configuration, "disk_free_limit.absolute").unwrap().0, "1GB");
    let http = |layers: &[Vec<Given>]| resolve(layers).unwrap().settings.http_listen.to_string();
    let split = file("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = 15673");
    assert_eq!(http(std::slice::from_ref(&split)), "127.0.0.1:15673");
    assert_eq!(http(&[split, option("management.tcp.address", "127.0.0.2:1")]), "127.0.0.2:1");
}

#[test]
fn a_port_alone_leaves_the_address_as_it_is() {
    let listen = |layers: &[Vec<Given>]| {
        let settings = resolve(layers).unwrap().settings;
        let amqp: Vec<_> = settings.amqp_listen.iter().map(ToString::to_string).collect();
        format!("{} {} {:?}", amqp.join(","), settings.http_listen, settings.prometheus_listen)
    };
    let local =
        file("listeners.tcp.default = 127.0.0.1:1\nmanagement.tcp.ip = localhost\nprometheus.tcp.port = 3");
    let port = |name: &str| variable(name, "9");
    let cases = [
        (vec![], "127.0.0.1:1 127.0.0.1:15672 At(127.0.0.1:3)"),
        (port("RABBITMQ_NODE_PORT"), "127.0.0.1:9 127.0.0.1:15672 At(127.0.0.1:3)"),
        (port("LIEBRE_AMQP_LISTEN"), "127.0.0.1:9 127.0.0.1:15672 At(127.0.0.1:3)"),
        (option("listeners.tcp.default", "9"), "127.0.0.1:9 127.0.0.1:15672 At(127.0.0.1:3)"),
        (option("listeners.tcp.default", "[::1]:9"), "[::1]:9 127.0.0.1:15672 At(127.0.0.1:3)"),
        (port("LIEBRE_HTTP_LISTEN"), "127.0.0.1:1 127.0.0.1:9 At(127.0.0.1:3)"),
        (port("LIEBRE_MANAGEMENT_TCP_PORT"), "127.0.0.1:1 127.0.0.1:9 At(127.0.0.1:3)"),
        (variable("LIEBRE_HTTP_LISTEN", "127.0.0.2:9"), "127.0.0.1:1 127.0.0.2:9 At(127.0.0.2:3)"),
        (port("LIEBRE_PROMETHEUS_LISTEN"), "127.0.0.1:1 127.0.0.1:15672 At(127.0.0.1:9)"),
        (variable("LIEBRE_PROMETHEUS_LISTEN", "off"), "127.0.0.1:1 127.0.0.1:15672 Off"),
    ];
    for (layer, expected) in cases {
        assert_eq!(listen(&[local.clone(), layer.clone()]), expected, "{layer:?}");
    }
    let ip = variable("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.3");
    assert!(listen(&[file("listeners.tcp.default = 5"), ip.clone()]).starts_with("127.0.0.3:5 "));
    assert!(listen(&[ip, port("RABBITMQ_NODE_PORT")]).starts_with("127.0.0.3:9 "));
    let both = [port("RABBITMQ_NODE_PORT"), variable("LIEBRE_AMQP_LISTEN", "10")].concat();
    assert!(listen(&[local, both.clone()]).starts_with("127.0.0.1:10 "));
    assert!(!listen(&[file("listeners.tcp.default = 5"), both]).starts_with("127."));
    let lines = file("listeners.tcp.default = 127.0.0.1:1\nlisteners.tcp.default = 2");
    assert!(!listen(&[lines]).starts_with("127."));
    let two = file("listeners.tcp.a = 127.0.0.1:1\nlisteners.tcp.b = 127.0.0.2:1");
    assert_eq!(
        error(&[two, port("RABBITMQ_NODE_PORT")]),
        "variable RABBITMQ_NODE_PORT: listeners.tcp.default: is this port at 127.0.0.1 or at 127.0.0.2? Say ADDR:PORT"
    );
}

#[test]
fn a_port_that_somebody_has_is_told_before_anything_is_made() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (key, option_name) in [
        ("listeners.tcp.default", "--amqp-listen"),
        ("management.tcp.address", "--http-listen"),
        ("prometheus.tcp.address", "--prometheus-listen"),
    ] {
        let free = file(
            "listeners.tcp.default = 127.0.0.1:0\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = 0",
        );
        let check = |layers: &[Vec<Given>]| check_ports(&resolve(layers).unwrap().settings);
        assert!(check(std::slice::from_ref(&free)).is_ok());
        let error = check(&[free, option(key, &taken)]).unwrap_err().to_string();
        assert!(error.contains(&taken) && error.contains(option_name), "{error}");
    }
}

#[test]
fn what_is_larger_than_can_be_is_taken_as_the_most_with_a_note() {
    for (text, value) in [
        ("channel_max = 0", "0 (no limit) is taken as 2047, the most there is here"),
        ("channel_max = 65535", "65535 is taken as 2047, the most there is here"),
        ("frame_max = 0", "0 (no limit) is taken as 1048576, the most there is here"),
        ("frame_max = 2MiB", "2097152 is taken as 1048576, the most there is here"),
        ("consumer_max_per_channel = infinity", "0 (no limit) is taken as 65535, the most there is here"),
    ] {
        let key = text.split(' ').next().unwrap();
        let configuration = resolve(&[file(text)]).unwrap();
        assert_eq!(configuration.notes, [format!("/etc/rabbitmq/rabbitmq.conf:1: {key}: {value}")]);
    }
    let configuration = resolve(&[file("channel_max = 70000\nframe_max = 0")]).unwrap();
    let limits = configuration.settings.node_limits;
    assert_eq!((limits.channel_max, limits.frame_max), (2_047, 1 << 20));
    let shown = |key| shown(&configuration, key).unwrap().0;
    assert_eq!((shown("channel_max"), shown("frame_max")), ("2047".to_owned(), "1048576".to_owned()));
}

#[test]
fn of_a_share_and_a_size_the_share_counts() {
    let both = file("disk_free_limit.relative = 1.5\ndisk_free_limit.absolute = 1GB");
    let configuration = resolve(std::slice::from_ref(&both)).unwrap();
    assert_eq!(shown(&configuration, "disk_free_limit.absolute"), None);
    let note = "disk_free_limit.absolute does nothing here: disk_free_limit.relative is there, too";
    assert_eq!(configuration.notes, [format!("/etc/rabbitmq/rabbitmq.conf:2: {note}")]);
    let configuration = resolve(&[both, option("disk_free_limit.absolute", "2GB")]).unwrap();
    assert_eq!(shown(&configuration, "disk_free_limit.absolute").unwrap().0, "2GB");
}

#[test]
fn the_log_goes_where_rabbitmqs_variables_say() {
    let log = |layers: &[Vec<Given>]| {
        let file = resolve(layers).unwrap().log.file;
        file.map_or("none".to_owned(), |(path, _)| path.display().to_string())
    };
    let name = option("node_name", "rabbit@mq");
    assert_eq!(log(&[name.clone(), variable("RABBITMQ_LOG_BASE", "/logs")]), "/logs/rabbit@mq.log");
    assert_eq!(log(&[variable("RABBITMQ_LOGS", "/logs/x.log")]), "/logs/x.log");
    assert_eq!(log(&[file("log.dir = /logs"), variable("RABBITMQ_LOGS", "-")]), "none");
    assert_eq!(log(&[name]), "none");
}

#[test]
fn defaults_are_shown_as_they_are_on_this_machine() {
    let configuration = resolve(&[option("node_name", "rabbit@mq")]).unwrap();
    assert_eq!(shown(&configuration, "cluster_name").unwrap().0, "rabbit@mq");
    assert_eq!(shown(&configuration, "disk_free_limit.absolute").unwrap().0, "100331648");
    let node_name = shown(&resolve(&[]).unwrap(), "node_name").unwrap().0;
    assert!(node_name.starts_with("rabbit@") && !node_name.contains(' '), "{node_name}");
}

#[test]
fn rabbitmqs_file_means_what_it_means_there() {
    let text = "
        listeners.tcp.default = 5673
        management.listener.port = 15673
        loopback_users = none
        default_user = ana
        default_pass = s3creta
        default_vhost = shop
        default_user_tags.management = true
        default_user_tags.administrator = false
        default_permissions.write = ^x
        max_connections = 5
        channel_max = 7
        vhost_max = 3
        cluster_exchange_limit = 50
        cluster_queue_limit = infinity
        consumer_timeout = undefined
        max_message_size = 16MiB
        vm_memory_high_watermark.relative = 0.6
        load_definitions = /etc/rabbitmq/definitions.json
        definitions.import_backend = local_filesystem
        definitions.local.path = /etc/rabbitmq/definitions.d
        definitions.skip_if_unchanged = true
        cluster_name = shop
        log.console = false
        log.dir = /var/log/rabbitmq
        log.file = rabbit.log
        log.file.level = warning
        log.default.level = debug
        log.file.formatter = json
    ";
    let configuration = resolve(&[file(text)]).unwrap();
    let settings = &configuration.settings;
    assert!(settings.amqp_listen[0].port() == 5_673 && settings.http_listen.port() == 15_673);
    assert!(settings.loopback_users.is_empty());
    let user = &settings.default_user;
    assert_eq!((user.name.as_str(), user.password.as_str(), user.vhost.as_str()), ("ana", "s3creta", "shop"));
    assert_eq!(
        (user.tags.join(","), user.write.as_str(), user.read.as_str()),
        ("management".into(), "^x", ".*")
    );
    let limits = settings.node_limits;
    assert_eq!((limits.connection_max, limits.channel_max, limits.vhost_max), (Some(5), 7, Some(3)));
    assert_eq!((limits.exchange_max, limits.queue_max, limits.consumer_timeout), (Some(50), None, None));
    assert_eq!(limits.message_size_max, 16 << 20);
    assert_eq!(settings.definitions.paths.len(), 2);
    assert!(settings.definitions.skip_if_unchanged);
    assert_eq!(settings.cluster_name.as_deref(), Some("shop"));
    assert_eq!(configuration.log.console, None);
    let (path, place) = configuration.log.file.clone().unwrap();
    assert_eq!((path, place.is_json), (PathBuf::from("/var/log/rabbitmq/rabbit.log"), true));
    assert_eq!(place.level, tracing_subscriber::filter::LevelFilter::WARN);
    assert_eq!(shown(&configuration, "default_pass").unwrap().0, HIDDEN);
    assert!(configuration.notes.is_empty());
}

#[test]
fn what_does_nothing_is_noted_with_its_place() {
    let configuration = resolve(&[file("\nnet_ticktime = 60\nlisteners.ssl.default = 5671")]).unwrap();
    assert_eq!(
        configuration.notes,
        [
            "/etc/rabbitmq/rabbitmq.conf:2: net_ticktime does nothing here: there is one node",
            "/etc/rabbitmq/rabbitmq.conf:3: listeners.ssl.default does nothing here: there is no TLS in this \
             version: nothing listens there",
        ]
    );
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_one() {
    for (text, message) in [
        ("heartbaet = 5", "there is no key 'heartbaet'; did you mean 'heartbeat'?"),
        (
            "vm_memory_high_watermark.relativ = 5",
            "there is no key 'vm_memory_high_watermark.relativ'; did you mean \
                                                  'vm_memory_high_watermark.relative'?",
        ),
        ("chanel_max = 5", "there is no key 'chanel_max'; did you mean 'channel_max'?"),
        (
            "management.tcp.prot = 5",
            "there is no key 'management.tcp.prot'; did you mean 'management.tcp.port'?",
        ),
        (
            "prometheus.tpc.port = 5",
            "there is no key 'prometheus.tpc.port'; did you mean 'prometheus.tcp.port'?",
        ),
        ("log.file.levle = info", "there is no key 'log.file.levle'; did you mean 'log.file.level'?"),
        (
            "log.console.formater = json",
            "there is no key 'log.console.formater'; did you mean 'log.console.formatter'?",
        ),
        (
            "tcp_listen_options.backlogs = 5",
            "there is no key 'tcp_listen_options.backlogs'; did you mean 'tcp_listen_options.backlog'?",
        ),
        ("zzz = 5", "there is no key 'zzz'"),
    ] {
        assert_eq!(error(&[file(text)]), format!("/etc/rabbitmq/rabbitmq.conf:1: {message}"));
    }
}

#[test]
fn rabbitmqs_keys_without_effect_are_no_mistakes() {
    let keys = [
        "tcp_listen_options.nodelay",
        "tcp_listen_options.linger.timeout",
        "management.tcp.idle_timeout",
        "management.sample_retention_policies.global.minute",
        "management.cors.allow_origins.1",
        "management.ssl.versions.tlsv1_2",
        "prometheus.return_per_object_metrics",
        "prometheus.authentication.enabled",
        "log.file.rotation.count",
        "log.console.formatter.time_format",
        "log.default.rotation.date",
    ];
    let configuration = resolve(&[file(&keys.map(|key| format!("{key} = 1\n")).concat())]).unwrap();
    assert_eq!(configuration.notes.len(), keys.len());
}

#[test]
fn all_mistakes_are_told_at_once() {
    let lines = file("heartbaet = 5\nchannel_max = x\nframe_max = 131072\nzzz = 5\nvhost_max = many");
    let place = "/etc/rabbitmq/rabbitmq.conf";
    assert_eq!(
        error(&[lines, variable("LIEBRE_HTTP_LISTEN", "nowhere")]),
        [
            "variable LIEBRE_HTTP_LISTEN: management.tcp.address: 'nowhere' is neither a port nor an address with one",
            &format!("{place}:1: there is no key 'heartbaet'; did you mean 'heartbeat'?"),
            &format!("{place}:4: there is no key 'zzz'"),
            &format!("{place}:2: channel_max: 'x' is no number from 1 to 2047"),
            &format!("{place}:5: vhost_max: 'many' is neither a number nor infinity"),
        ]
        .join("\n")
    );
}

#[test]
fn values_that_can_not_be_are_told_with_their_place() {
    let heartbeat = "heartbeat: '1m' is no number from 0 to 65535";
    assert_eq!(error(&[file("heartbeat = 1m")]), format!("/etc/rabbitmq/rabbitmq.conf:1: {heartbeat}"));
    assert_eq!(
        error(&[variable("LIEBRE_HEARTBEAT", "1m")]),
        format!("variable LIEBRE_HEARTBEAT: {heartbeat}")
    );
    assert_eq!(error(&[option("heartbeat", "1m")]), format!("option --heartbeat: {heartbeat}"));
    for text in [
        "listeners.tcp.default = localhost",
        "listeners.tcp = some",
        "management.tcp.ip = x",
        "disk_free_limit.absolute = much",
        "disk_free_limit.relative = -1",
        "vm_memory_high_watermark.relative = 1.5",
        "frame_max = 100",
        "max_message_size = 1GB",
        "handshake_timeout = 0",
        "loopback_users = guest",
        "loopback_users.guest = maybe",
        "definitions.import_backend = https",
        "log.file.level = loud",
        "log.console.formatter = xml",
        "unsafe_no_fsync = perhaps",
        "listeners.tcp = none",
        "listeners.tcp.1 = 5672\nlisteners.tcp.2 = 127.0.0.1:5672",
        "listeners.tcp.default = 15672",
        "management.tcp.port = 5\nprometheus.tcp.port = 5",
        "default_permissions.write = (",
        "max_message_size = 0",
        "node_ip_address = example.org",
    ] {
        assert!(resolve(&[file(text)]).is_err(), "{text}");
    }
}

#[test]
fn every_default_is_what_the_table_says() {
    let configuration = resolve(&[]).unwrap();
    let said = exact_keys()
        .filter(|key| !key.default.is_empty() && !key.default.contains(' ') && key.default != "never");
    for key in said {
        if key.name == "default_pass" {
            continue;
        }
        let with = resolve(&[option(key.name, key.default)]).unwrap_or_else(|error| panic!("{error}"));
        let strip = |configuration: &Configuration| {
            let mut settings = configuration.settings.clone();
            settings.effective.clear();
            format!("{settings:?} {:?}", configuration.log)
        };
        assert_eq!(strip(&with), strip(&configuration), "{}", key.name);
    }
}

#[test]
fn names_are_used_once() {
    let mut names: Vec<&str> = keys().flat_map(|key| key.aliases.iter().copied().chain([key.name])).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let mut options: Vec<String> = exact_keys().map(Key::option_name).collect();
    let count = options.len();
    options.sort_unstable();
    options.dedup();
    assert_eq!(options.len(), count);
}

#[test]
fn the_page_is_that_of_the_table() {
    expect_file!["../../docs/configuration.md"].assert_eq(&page::markdown());
}
