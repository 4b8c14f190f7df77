//! `liebre-perf`: the real program against the real broker.

use std::{
    net::TcpListener,
    process::{Command, Output},
};

use liebre_tests::{amqp, binaries::binary, broker::Broker, unique};
use serde_json::Value;
use tempfile::tempdir;

/// Runs it against the tests' broker.
fn perf(words: &str) -> Output {
    let url = Broker::shared().url();
    run(&format!("{words} --uri {url}"))
}

fn run(words: &str) -> Output {
    run_words(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
}

fn run_words(words: &[String]) -> Output {
    let mut command = Command::new(binary("liebre-perf", "liebre-perf"));
    command.args(words).env_remove("LIEBRE_PERF_URL").output().expect("the program starts")
}

/// What it printed as JSON; it must have ended well.
fn figures(words: &str) -> Value {
    let output = perf(&format!("{words} --json"));
    assert_eq!(output.status.code(), Some(0), "{words}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it printed JSON")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn many_channels_on_many_connections_share_queues() {
    let queue = unique("perf");
    let found = figures(&format!(
        "-x 12 -X 2 -y 4 -Y 3 -qp {queue}-%02d -qpf 5 -qpt 9 -C 50 -c 10 -q 10 -A 5 --quiet"
    ));
    for count in ["sent", "confirmed", "received"] {
        assert_eq!(found[count], 1_200, "{count} in {found}");
    }
    assert_eq!((&found["is_complete"], &found["is_taken_down"]), (&Value::Bool(true), &Value::Bool(true)));
    assert!(found["confirm_latency"]["p999_us"].as_f64() > Some(0.0));
}

#[test]
fn each_queue_of_a_fan_out_gets_each_message() {
    let found = figures("--fan-out 7 --messages 100 --quiet");
    assert_eq!((&found["sent"], &found["received"]), (&Value::from(100), &Value::from(700)));
}

#[test]
fn a_publisher_stays_near_its_consumers() {
    let found = figures("--messages 3000 --max-backlog 20 -R 20000 --quiet");
    assert_eq!(found["received"], 3_000);
    // At 20 messages ahead and 20,000 a second a message waits for about a millisecond.
    assert!(found["latency"]["p50_us"].as_f64() < Some(500_000.0), "{found}");
}

#[test]
fn unroutable_messages_are_counted() {
    let exchange = unique("perf");
    let found = figures(&format!("-e {exchange} -t topic -sb -f mandatory -C 20 -c 5 -y 0 --quiet"));
    assert_eq!((&found["returned"], &found["confirmed"]), (&Value::from(20), &Value::from(20)));
}

#[tokio::test]
async fn messages_are_as_they_were_asked_for() {
    let dir = tempdir().unwrap();
    let bodies = [("first", "one"), ("second", "the other")].map(|(name, body)| {
        let path = dir.path().join(name);
        std::fs::write(&path, body).unwrap();
        path.display().to_string()
    });
    let queue = unique("perf");
    figures(&format!(
        "-u {queue} -C 3 -y 0 -B {} -T text/plain -f persistent -mp priority=5,shop=7 -ad false --quiet",
        bodies.join(",")
    ));
    let (_connection, channel) = amqp::connect_channel(Broker::shared()).await;
    for body in ["one", "the other", "one"] {
        let delivery = amqp::get(&channel, &queue).await.expect("the queue has the message").delivery;
        assert_eq!(text(&delivery.data), body);
        let properties = &delivery.properties;
        assert_eq!(properties.content_type().as_ref().map(|kind| kind.as_str()), Some("text/plain"));
        assert_eq!((properties.delivery_mode(), properties.priority()), (&Some(2), &Some(5)));
        assert!(properties.headers().as_ref().is_some_and(|headers| headers.contains_key("shop")));
    }
}

#[test]
fn what_comes_and_goes_is_counted() {
    for what in ["connections", "channels", "queues", "queues --durable"] {
        let found = figures(&format!("churn {what} --at-once 4 -z 0.3"));
        assert!(found["per_second"].as_f64() > Some(0.0), "{what}: {found}");
    }
}

#[test]
fn a_backlog_is_built_and_drained() {
    let found = figures("backlog --messages 2000 -s 1024 -c 100");
    for rate in ["built_per_second", "drained_per_second"] {
        assert!(found[rate].as_f64() > Some(0.0), "{found}");
    }
}

#[test]
fn idle_queues_and_connections_are_weighed() {
    for what in ["connections 20", "queues 200"] {
        let found = figures(&format!("idle {what} --hold 0 --pid {}", std::process::id()));
        assert!(found["rss_after_mib"].as_f64() > Some(0.0), "{what}: {found}");
    }
    assert_eq!(perf("idle queues 5").status.code(), Some(2));
}

#[test]
fn a_table_of_two_brokers_becomes_a_chart() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("results.json").display().to_string();
    let url = Broker::shared().url();
    let words = format!(
        "table --a {url} --b {url} --a-name Left --b-name Right --rounds 1 -z 0.2 --only channels --only transient,\
         --dir {} --out {out}",
        dir.path().display()
    );
    let words = words.replace("transient,", "transient, ");
    let output = run(&words);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(table.starts_with("| work | figure | Left | Right | ratio |"), "{table}");
    let brief = text(&run(&format!("report {out} --brief")).stdout);
    assert!(brief.contains("| channels opened and closed, 16 at once |"), "{brief}");
    let chart = text(&run(&format!("chart {out}")).stdout);
    assert!(chart.starts_with("<svg ") && chart.contains("Left is better than Right"), "{chart}");
}

#[test]
fn a_table_starts_brokers_for_what_only_a_fresh_one_tells() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("results.json").display().to_string();
    let sites = dir.path().join("sites");
    std::fs::create_dir(&sites).unwrap();
    let command = format!(
        "{} --amqp-listen 127.0.0.1:{{port}} --http-listen 127.0.0.1:0 --prometheus-listen off --data-dir {{dir}}/data",
        binary("liebre", "liebre").display()
    );
    let url = Broker::shared().url();
    let dir = sites.display().to_string();
    let words = ["table", "--a", &url, "--a-command", &command, "--rounds", "2", "-z", "0.2", "--dir", &dir];
    let only =
        ["--only", "empty broker", "--only", "10,000 durable", "--only", "queues declared and deleted, 1 c"];
    let words: Vec<String> =
        words.into_iter().chain(only).chain(["--out", &out]).map(str::to_owned).collect();
    let output = run_words(&words);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(&sites).unwrap().count(), 0);
    let results: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    let figure = |title: &str, key: &str, of: &str| {
        let cells = results["cells"].as_array().unwrap();
        let cell = cells.iter().find(|cell| cell["title"].as_str().unwrap().contains(title)).unwrap();
        let row = cell["rows"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
        row[of]["median"].as_f64().unwrap()
    };
    assert!(figure("memory of an empty", "rss_mib", "a") > 1.0, "{results}");
    assert!(figure("start of an empty", "start_ms", "a") > 0.0, "{results}");
    assert!(figure("start with 10,000", "start_ms", "a") > 0.0, "{results}");
    for queues in ["transient queues", "durable queues"] {
        assert!(figure(queues, "per_second", "floor") > 0.0, "{results}");
    }
    let brief = text(&run(&format!("report {out} --brief")).stdout);
    let line = |title: &str| brief.lines().find(|line| line.contains(title)).unwrap().to_owned();
    assert!(line("memory of an empty").contains(" MiB |"), "{brief}");
    assert!(line("start of an empty").matches(" ms |").count() == 2, "{brief}");
}

#[test]
fn a_start_is_timed_to_the_first_client() {
    let dir = tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let command = format!(
        "{} --amqp-listen 127.0.0.1:{port} --http-listen 127.0.0.1:0 --prometheus-listen off --data-dir {}",
        binary("liebre", "liebre").display(),
        dir.path().display()
    );
    let url = format!("amqp://127.0.0.1:{port}");
    let words = ["start", "--command", &command, "--uri", &url, "--rounds", "2", "--json"].map(str::to_owned);
    let output = run_words(&words);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&found["rows"][0]["key"], found["a"].as_array().map(Vec::len)),
        (&Value::from("start_ms"), Some(2))
    );
}

#[test]
fn what_goes_wrong_is_said() {
    let said = |output: Output| (output.status.code(), text(&output.stderr));
    let url = format!("amqp://guest:guest@{}/no-such-vhost", Broker::shared().amqp);
    let (code, told) = said(run(&format!("-z 1 --uri {url}")));
    assert!(code == Some(1) && told.contains("530 NOT_ALLOWED"), "{code:?} {told}");
    let (code, told) = said(perf("-p -u no-such-queue -x 0 -z 1 --quiet"));
    assert!(code == Some(1) && told.contains("404 NOT_FOUND"), "{code:?} {told}");
    let (code, told) = said(perf("-qp no-number -qpt 3"));
    assert!(code == Some(2) && told.contains("has no %d in it"), "{code:?} {told}");
    let (code, told) = said(run("chart /dev/null"));
    assert!(code == Some(1) && told.contains("/dev/null"), "{code:?} {told}");
    let (code, told) = said(run("start --command /no/such/program --uri amqp://127.0.0.1:1"));
    assert!(code == Some(1) && told.contains("cannot start"), "{code:?} {told}");
}
