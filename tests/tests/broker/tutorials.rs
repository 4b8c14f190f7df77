//! The tutorials do what their pages say, in Rust and in Python, and mixed.

use std::{
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use liebre_tests::{
    binaries::{binary, workspace_root},
    broker::Broker,
    method,
    program::Program,
    python,
    raw::Raw,
    wait,
};

mod chat;
mod confirms;
mod first;
mod jobs;
mod pages;
mod routing;
mod rpc;

/// What the programs begin with when they have subscribed.
const WAITING: &str = "[*] Waiting for";

/// Which of the two versions of a program.
#[derive(Clone, Copy, Debug)]
enum Language {
    Rust,
    Python,
}

impl Language {
    /// Runs a program against the tests' broker.
    fn run(self, name: &str, words: &[&str]) -> Program {
        Program::spawn(self.command(name, words, &Broker::shared().url()))
    }

    fn command(self, name: &str, words: &[&str], url: &str) -> Command {
        let mut command = match self {
            Language::Rust => Command::new(binary("liebre-tutorials", name)),
            Language::Python => python::tutorial(&format!("{name}.py")),
        };
        command.args(words).env("AMQP_URL", url).env_remove("AMQP_ADDR");
        command
    }
}

/// The page of a lesson, whose programs run in one of the languages.
struct Page {
    path: &'static str,
    text: String,
    language: Language,
}

impl Page {
    fn open(path: &'static str, language: Language) -> Page {
        let text = std::fs::read_to_string(workspace_root().join("tutorials").join(path));
        Page { path, text: text.expect("the page is there"), language }
    }

    /// `line` stands on the page: a line of its own, or words in backticks.
    fn shows(&self, line: &str) {
        let is_there =
            self.text.lines().any(|shown| shown == line) || self.text.contains(&format!("`{line}`"));
        assert!(is_there, "{} does not show {line:?}", self.path);
    }

    /// The same for a line in which times and counts are other ones each time.
    fn shows_but_numbers(&self, line: &str) {
        let line = without_numbers(line);
        let is_there = self.text.lines().any(|shown| without_numbers(shown) == line);
        assert!(is_there, "{} does not show {line:?}", self.path);
    }

    /// Runs a command line that stands on the page.
    fn run(&self, line: &str) -> Program {
        self.shows(line);
        // No word in quotes has a space in it.
        let mut words = line.split(' ').map(|word| word.trim_matches('"'));
        let name = words.next().expect("a command line names its program");
        self.language.run(name, &words.collect::<Vec<_>>())
    }

    /// Runs a subscriber that stands on the page, until it waits.
    fn subscribe(&self, line: &str) -> Program {
        let mut program = self.run(line);
        let waiting = program.next_line();
        assert!(waiting.contains(WAITING), "{waiting}");
        program
    }

    /// Runs a publisher that stands on the page to its end.
    fn publish(&self, line: &str) {
        self.run(line).finish();
    }

    /// The program's next line must be this one, and the page must show it.
    fn expect(&self, program: &mut Program, line: &str) {
        assert_eq!(program.next_line(), line);
        self.shows(line);
    }
}

/// `#` for each number; `10:15:30` and `50,000` are one each.
fn without_numbers(line: &str) -> String {
    let mut masked = String::new();
    for c in line.chars() {
        let goes_on = masked.ends_with('#');
        match c {
            '0'..='9' if !goes_on => masked.push('#'),
            '0'..='9' => {}
            ':' | ',' if goes_on => {}
            _ => masked.push(c),
        }
    }
    masked
}

/// The tutorials' names are fixed, so their tests go one after the other, each with a clean broker.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let guard = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut raw = Raw::with_channel(Broker::shared());
    let job_queues = ["jobs", "jobs.retry", "jobs.failed"];
    for queue in ["hello", "task_queue", "rpc_queue", "chat_cola"].into_iter().chain(job_queues) {
        raw.ask(method::queue_delete(queue, 0), "queue.delete-ok");
    }
    for exchange in ["logs", "direct_logs", "topic_logs", "chat_todos"] {
        raw.ask(method::exchange_delete(exchange, false), "exchange.delete-ok");
    }
    guard
}

/// A program that has subscribed; `queue` has `consumers` consumers then.
fn subscribed(program: Program, queue: &str, consumers: u32) -> Program {
    let mut program = program;
    program.expect_line(WAITING);
    wait_consumers(queue, consumers);
    program
}

fn wait_consumers(queue: &str, consumers: u32) {
    let mut raw = Raw::with_channel(Broker::shared());
    let what = format!("{consumers} consumers of {queue}");
    wait::until(&what, || (raw.queue_counts(queue).1 == consumers).then_some(()));
}

fn wait_ready(queue: &str, ready: u32) {
    let mut raw = Raw::with_channel(Broker::shared());
    let what = format!("{ready} ready messages in {queue}");
    wait::until(&what, || (raw.queue_counts(queue).0 == ready).then_some(()));
}

#[test]
fn numbers_are_masked() {
    assert_eq!(without_numbers("[Ana] ¡Hola! (10:15:30)"), "[Ana] ¡Hola! (#)");
    assert_eq!(without_numbers("Published 50,000 messages in 9 ms"), "Published # messages in # ms");
}
