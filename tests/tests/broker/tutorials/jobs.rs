//! Lesson 9: the job queue behind HTTP.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
};

use liebre_tests::{binaries::workspace_root, broker::Broker, http, method, program::Program, raw::Raw};
use serde_json::{Value, json};

use super::{
    Language::{self, Python, Rust},
    Page, WAITING, turn, wait_ready,
};

/// The job on the page.
const PAGE_ID: &str = "9a1f3c52-7c0e-4d86-b1d4-2f6e8a90c7b3";

/// Shorter than on the page: the test has less time.
const PAUSE_MS: &str = "150";

/// A program of the lesson whose broker speaks AMQP and HTTP there.
fn start(language: Language, name: &str, amqp: SocketAddr, http: SocketAddr) -> Program {
    let mut command = language.command(name, &[], "");
    command
        .env("JOBS_AMQP_PORT", amqp.port().to_string())
        .env("JOBS_HTTP_PORT", http.port().to_string())
        .env("JOBS_VHOST", &Broker::shared().vhost)
        .env("JOBS_PAUSE_MS", PAUSE_MS)
        .env("JOBS_LISTEN", "127.0.0.1:0");
    Program::spawn(command)
}

/// The service, and the program that offers it.
struct Producer {
    program: Program,
    address: SocketAddr,
}

impl Producer {
    fn start(language: Language, amqp: SocketAddr, http: SocketAddr) -> Producer {
        let mut program = start(language, "job_producer", amqp, http);
        let waiting = program.next_line();
        assert!(waiting.contains(WAITING), "{waiting}");
        let url = waiting.split_once("http://").expect("the service says where it is").1;
        let address = url.split_once("/jobs").expect("a path").0.parse().expect("an address");
        Producer { program, address }
    }

    /// Status line and body of the answer to a job.
    fn post(&self, data: &str) -> (String, Value) {
        let answer = http::ask(self.address, "POST", "/jobs", data).expect("the service answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.lines().next().expect("a status").split_once(' ').expect("a status").1;
        (status.to_owned(), serde_json::from_str(body).expect("JSON"))
    }

    /// Hands in a job that is taken; its identifier.
    fn hand_in(&self, data: &str) -> String {
        let (status, answer) = self.post(data);
        assert_eq!(status, "202 Accepted", "{answer}");
        let id = answer["jobId"].as_str().expect("an identifier").to_owned();
        assert_eq!(id.len(), PAGE_ID.len());
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(answer, json!({"jobId": id, "status": "enqueued", "data": data}));
        id
    }
}

/// The program's next line is this one; the page shows it, with a job and a pause of its own.
fn expect(page: &Page, program: &mut Program, id: &str, text: &str) {
    let line = program.next_line();
    let pause = format!("in {PAUSE_MS} ms");
    assert_eq!(line.replace(&pause, "in 2000 ms").replace(id, "ID"), text);
    page.shows(&text.replace("ID", PAGE_ID));
}

/// Hands in the job of a command line that stands on the page.
fn typed(page: &Page, producer: &Producer, data: &str) -> String {
    page.shows(&format!("curl -d '{data}' http://127.0.0.1:8080/jobs"));
    producer.hand_in(data)
}

/// The lesson as on its page: a job before anybody works, one that fails once, one that fails for good, an orderly end.
fn lesson(page: &Page, producer: Language, processor: Language) {
    let _turn = turn();
    let Some(http) = Broker::shared().management() else { return };
    let amqp = Broker::shared().amqp;
    for command in ["job_producer", "job_processor"] {
        page.shows(command);
    }

    let mut producer = Producer::start(producer, amqp, http);
    let id = typed(page, &producer, r#"{"name": "report"}"#);
    expect(page, &mut producer.program, &id, " [x] ID: enqueued");
    wait_ready("jobs", 1);
    let mut processor = start(processor, "job_processor", amqp, http);
    expect(page, &mut processor, &id, " [*] Waiting for jobs. To exit press CTRL+C");
    expect(page, &mut processor, &id, " [x] ID: try 1 of 3");
    expect(page, &mut processor, &id, " [x] ID: done");

    let id = typed(page, &producer, r#"{"name": "shaky", "seconds": 0, "fails": 1}"#);
    expect(page, &mut processor, &id, " [x] ID: try 1 of 3");
    expect(page, &mut processor, &id, " [!] ID: failed (as it was told to); once more in 2000 ms");
    expect(page, &mut processor, &id, " [x] ID: try 2 of 3");
    expect(page, &mut processor, &id, " [x] ID: done");

    let id = typed(page, &producer, r#"{"name": "hopeless", "seconds": 0, "fails": 3}"#);
    for attempt in 1..=2 {
        expect(page, &mut processor, &id, &format!(" [x] ID: try {attempt} of 3"));
        expect(page, &mut processor, &id, " [!] ID: failed (as it was told to); once more in 2000 ms");
    }
    expect(page, &mut processor, &id, " [x] ID: try 3 of 3");
    expect(page, &mut processor, &id, " [!] ID: failed (as it was told to); given up");
    failed_job_is_kept(page, http, &id);

    ended(page, &mut producer, processor);
    producer.program.terminate();
    producer.program.expect_line("Bye");
    producer.program.finish();
}

/// The queue of the failed ones has it, whole, and with the reason; nothing else is left.
fn failed_job_is_kept(page: &Page, http: SocketAddr, id: &str) {
    wait_ready("jobs.failed", 1);
    let ask = r#"{"count": 10, "ackmode": "ack_requeue_true", "encoding": "auto"}"#;
    let path = "/api/queues/%2F/jobs.failed/get";
    page.shows(&format!("curl -u guest:guest -d '{ask}' http://127.0.0.1:15672{path}"));
    let path = path.replace("%2F", &Broker::shared().vhost.replace('/', "%2F"));
    let answer = http::ask(http, "POST", &path, ask).expect("the API answers");
    let body = answer.split_once("\r\n\r\n").expect("a head and a body").1;
    let messages: Value = serde_json::from_str(body).expect("JSON");
    let message = &messages[0];
    assert_eq!(message["properties"]["headers"]["error"], "as it was told to", "{messages}");
    assert_eq!(message["properties"]["message_id"], id);
    let job: Value = serde_json::from_str(message["payload"].as_str().expect("a payload")).expect("a job");
    assert_eq!(job, json!({"jobId": id, "data": {"name": "hopeless", "seconds": 0, "fails": 3}}));
    wait_ready("jobs", 0);
    wait_ready("jobs.retry", 0);
}

/// SIGTERM: the job in hand is finished, the one that comes meanwhile waits.
fn ended(page: &Page, producer: &mut Producer, mut processor: Program) {
    let id = producer.hand_in(r#"{"name": "long", "seconds": 1}"#);
    expect(page, &mut processor, &id, " [x] ID: try 1 of 3");
    processor.terminate();
    expect(page, &mut processor, &id, " [*] Ending; jobs in hand: 1");
    // By now the consumer may still be there: the broker may give it this one, and gets it back.
    producer.hand_in(r#"{"name": "late"}"#);
    processor.expect_line("done");
    expect(page, &mut processor, &id, " [*] Bye");
    processor.finish();
    wait_ready("jobs", 1);
    let mut raw = Raw::with_channel(Broker::shared());
    assert_eq!(raw.queue_counts("jobs"), (1, 0), "one job waits, nobody consumes");
}

#[test]
fn producer_in_rust_processor_in_python() {
    lesson(&Page::open("en/9-job-queue.md", Rust), Rust, Python);
}

#[test]
fn producer_in_python_processor_in_rust() {
    lesson(&Page::open("es/9-cola-de-trabajos-http.md", Python), Python, Rust);
}

/// The file of settings says what the page and both versions of the programs say.
#[test]
fn settings_are_the_same_everywhere() {
    let read = |path: &str| std::fs::read_to_string(workspace_root().join("tutorials").join(path)).unwrap();
    let page = Page::open("en/9-job-queue.md", Rust);
    let programs = ["rust/src/jobs.rs", "python/jobs.py"].map(read);
    let file = read("jobs.env");
    let settings: Vec<_> = file.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(settings.len(), page.text.matches("`JOBS_").count() - 1, "one is named twice");
    for (name, default) in settings {
        page.shows(name);
        page.shows(default);
        for program in &programs {
            // Numbers may be written with underscores, texts in quotes.
            let program = program.replace("2_000", "2000").replace('"', "");
            assert!(program.contains(&format!("{name}, {default})")), "{name} is {default}");
        }
    }
}

/// Five jobs at a time; if the processor dies, they all wait again.
#[test]
fn five_at_a_time() {
    let _turn = turn();
    let Some(http) = Broker::shared().management() else { return };
    let amqp = Broker::shared().amqp;
    let producer = Producer::start(Rust, amqp, http);
    for _ in 0..6 {
        producer.hand_in(r#"{"seconds": 60}"#);
    }
    for language in [Rust, Python] {
        let mut processor = start(language, "job_processor", amqp, http);
        for _ in 0..5 {
            processor.expect_line("try 1 of 3");
        }
        wait_ready("jobs", 1);
        processor.kill9();
        wait_ready("jobs", 6);
    }
}

#[test]
fn what_is_no_job_is_refused_or_given_up() {
    let _turn = turn();
    let Some(http) = Broker::shared().management() else { return };
    let amqp = Broker::shared().amqp;
    for (count, language) in [(1, Rust), (2, Python)] {
        let producer = Producer::start(language, amqp, http);
        let deep = format!(r#"{{"a":{}"#, "[".repeat(100_000));
        let no_json =
            [r#"{"a": NaN}"#, r#"{"a": -Infinity}"#, r#"{"a": 1e999}"#, r#"{"a": "\ud800"}"#, &deep];
        for body in ["", "{", "[1]", "\"text\""].into_iter().chain(no_json) {
            let (status, answer) = producer.post(body);
            assert_eq!(status, "400 Bad Request", "{body}: {answer}");
        }
        for (method, path, status) in
            [("GET", "/jobs", "405 "), ("POST", "/", "404 "), ("DELETE", "/x", "404 ")]
        {
            let answer = http::ask(producer.address, method, path, "").expect("the service answers");
            assert!(answer.split_once(' ').is_some_and(|(_, rest)| rest.starts_with(status)), "{answer}");
            assert!(answer.ends_with(r#"{"status":"refused","error":"POST /jobs, please"}"#), "{answer}");
        }
        producer.hand_in(r#"{"seconds": -1}"#);
        let mut processor = start(language, "job_processor", amqp, http);
        processor.expect_line("failed (seconds must be a number from 0 to 3600); given up");
        wait_ready("jobs.failed", count);
        for mut program in [processor, producer.program] {
            program.interrupt();
            program.expect_line("Bye");
            program.finish();
        }
    }
}

/// The queues that a job goes to after it has failed may be gone by then.
#[test]
fn deleted_queues_lose_no_job() {
    let _turn = turn();
    let Some(http) = Broker::shared().management() else { return };
    let amqp = Broker::shared().amqp;
    for language in [Rust, Python] {
        let producer = Producer::start(language, amqp, http);
        let mut processor = start(language, "job_processor", amqp, http);
        processor.expect_line(WAITING);
        for (job, queue, end) in [
            (r#"{"seconds": 0.5, "fails": 1}"#, "jobs.retry", ": done"),
            (r#"{"seconds": 0.5, "fails": 3}"#, "jobs.failed", "; given up"),
        ] {
            producer.hand_in(job);
            for _ in 0..if queue == "jobs.failed" { 3 } else { 1 } {
                processor.expect_line("try ");
            }
            let deleted = method::queue_delete(queue, 0);
            Raw::with_channel(Broker::shared()).ask(deleted, "queue.delete-ok");
            processor.expect_line(end);
        }
        wait_ready("jobs.failed", 1);
    }
}

/// What is wrong with a setting is said at once, and by both versions in the same words.
#[test]
fn settings_that_can_not_be() {
    for language in [Rust, Python] {
        for (name, value, message) in [
            ("JOBS_QUEUE", "", "JOBS_QUEUE must not be empty"),
            ("JOBS_HTTP_PORT", "70000", "JOBS_HTTP_PORT is no number that fits: 70000"),
            ("JOBS_LISTEN", "nowhere", "cannot listen at nowhere: "),
        ] {
            let mut command = language.command("job_producer", &[], "");
            command.env(name, value);
            let told = Program::spawn(command).fail();
            assert!(told.contains(message), "{told}");
        }
        // A port alone: nobody else can reach it.
        let mut command = language.command("job_producer", &[], "");
        command.env("JOBS_LISTEN", "0");
        Program::spawn(command).expect_text("http://127.0.0.1:");
    }
}

/// Each of the two ports given for the other one.
#[test]
fn swapped_ports_are_told() {
    let Some(http) = Broker::shared().management() else { return };
    let amqp = Broker::shared().amqp;
    for language in [Rust, Python] {
        let mut processor = start(language, "job_processor", http, amqp);
        processor.expect_line(&format!("what answers at {http} is not AMQP: is JOBS_AMQP_PORT right?"));
        let mut producer = Producer::start(language, http, amqp);
        assert_eq!(producer.post("{}").0, "502 Bad Gateway");
        producer
            .program
            .expect_line(&format!("what answers at {amqp} is not HTTP: is JOBS_HTTP_PORT right?"));
    }
}

/// A broker that is away for one request gets the job at the next; one that stays away is told of.
#[test]
fn a_broker_may_be_away() {
    let tried = [Rust, Python].map(|language| thread::spawn(move || broker_away(language)));
    for tried in tried {
        tried.join().expect("the producer does as it should");
    }
}

fn broker_away(language: Language) {
    let broker = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = broker.local_addr().expect("an address");
    let mut producer = Producer::start(language, address, address);
    let answering = thread::spawn(move || {
        drop(broker.accept().expect("the first request"));
        let (mut second, _) = broker.accept().expect("the second request");
        let mut request = Vec::new();
        // The body ends the message: {"jobId":…} is in it, as JSON in JSON.
        while !request.ends_with(b"\"string\"}") {
            let mut bytes = [0; 4096];
            let length = second.read(&mut bytes).expect("a request");
            assert_ne!(length, 0, "the request ends too early");
            request.extend(&bytes[..length]);
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{\"routed\":true}";
        second.write_all(answer.as_bytes()).expect("an answer");
        // The port closes here: from now on nobody answers.
    });
    producer.hand_in(r#"{"name": "patient"}"#);
    producer.program.expect_line("once more in 250 ms");
    producer.program.expect_line("enqueued");
    answering.join().expect("two requests");

    let (status, _) = producer.post(r#"{"name": "unlucky"}"#);
    assert_eq!(status, "503 Service Unavailable");
    for pause_ms in [250, 500, 1_000, 2_000] {
        producer.program.expect_line(&format!("once more in {pause_ms} ms"));
    }
    producer.program.expect_line("given up");
}
