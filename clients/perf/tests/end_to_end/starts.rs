//! Brokers that the tool starts and stops.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use liebre_perf::cli::Target;
use liebre_perf::clock::now;
use liebre_perf::fresh::{Recipe, State};
use liebre_perf::plans::{Plan, Task};
use liebre_perf::results::Cell;
use liebre_perf::start::Start;
use liebre_perf::table::{Method, Named, measure_all};
use liebre_perf::work::Work;

use crate::fake_broker::{FakeBroker, Habit};

/// Beside the brokers' directories: a line with the directory for each start.
const STARTS: &str = "starts";

#[test]
fn looking_for_another_broker_is_no_part_of_the_start() {
    // The broker lives here; what is started is only there to be stopped.
    let broker = FakeBroker::start(Habit::MuteAtFirst);
    let command = vec!["sleep".to_owned(), "600".to_owned()];
    let start = Start { command, url: broker.url(), kills: false, patience: Duration::from_secs(10) };
    let (begin, mut looked) = (now(), None);
    let values = start.measure(|_, _| {
        looked = Some(now());
        Ok(())
    });
    let start_ms = values.unwrap()[0].value.unwrap();
    let before_ms = looked.unwrap().since(begin).as_secs_f64() * 1e3 - start_ms;
    // So long the tool waits for the one that says nothing.
    assert!(before_ms >= 50.0, "{before_ms} ms before a start of {start_ms} ms");
}

/// No test, but the process that the others start.
#[test]
#[ignore = "serves until it is ended"]
fn broker_process() {
    let word = |name: &str| env::var(name).unwrap();
    let habit = if word("HABIT") == "good" { Habit::Good } else { Habit::ForgetsNines };
    let dir = word("DIR");
    let dir = Path::new(&dir);
    let mut log = File::options().create(true).append(true).open(dir.with_file_name(STARTS)).unwrap();
    writeln!(log, "{}", dir.display()).unwrap();
    FakeBroker::restart(word("PORT").parse().unwrap(), dir, habit);
    loop {
        thread::park();
    }
}

/// How to start a broker that has its queues again after a stop, or only some of them.
fn recipe(habit: &str) -> Recipe {
    let program = env::current_exe().unwrap();
    let command = format!(
        "env HABIT={habit} DIR={{dir}} PORT={{port}} {} --ignored --exact starts::broker_process",
        program.display()
    );
    Recipe::parse(&command).unwrap()
}

#[test]
fn a_start_that_loses_queues_has_no_figures() {
    let parent = tempfile::tempdir().unwrap();
    let start = |habit| {
        let queues = State::DurableQueues(30);
        let site = recipe(habit).prepare(parent.path(), &queues, false, Duration::from_secs(10)).unwrap();
        site.measure().map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(start("good"), Ok(()));
    let told = start("forgets-nines").unwrap_err();
    assert!(told.starts_with("the broker has no queue ") && told.ends_with("-29\" any more"), "{told}");
}

/// Measures `task` in two rounds; with its cell come the directories of all starts, but for the one that tries it out.
fn measure(task: Task, keys: &'static [&'static str]) -> (Cell, Vec<String>) {
    let parent = tempfile::tempdir().unwrap();
    let broker = FakeBroker::start(Habit::Good);
    let target = Target { url: broker.url(), pid: None };
    let named = Named { name: "Mq".to_owned(), target, recipe: Some(recipe("good")) };
    let (dir, limit) = (parent.path().to_owned(), Duration::from_secs(10));
    let method = Method { brokers: vec![named], rounds: 2, dir, limit };
    let plan = Plan { title: "work".to_owned(), options: String::new(), task, keys, point: None };
    let mut results = measure_all(&[plan], &method, |_| Ok(())).unwrap();
    let starts = fs::read_to_string(parent.path().join(STARTS)).unwrap();
    (results.cells.remove(0), starts.lines().skip(1).map(str::to_owned).collect())
}

#[test]
fn what_a_start_recovers_was_not_recovered_before() {
    let start = |kills| {
        let task = Task::Start { state: State::DurableQueues(20), kills };
        let (cell, starts) = measure(task, &["start_ms"]);
        assert!(cell.is_sound() && cell.rows.len() == 1 && !cell.is_of_one_round, "{cell:?}");
        starts
    };
    // One to put it there, one to find it.
    let [a, b, c, d] = &start(true)[..] else { panic!("not two starts in each round") };
    assert!(a == b && b != c && c == d, "{a}, {b}, {c}, {d}");
    // One to put it there, then the rounds.
    let [a, b, c] = &start(false)[..] else { panic!("not one start in each round") };
    assert!(a == b && b == c, "{a}, {b}, {c}");
}

#[test]
fn what_is_weighed_is_weighed_in_one_round() {
    let (cell, starts) = measure(Task::Weigh(Work::parse("idle queues 10").unwrap()), &["per_second"]);
    assert!(cell.is_sound() && cell.rows.len() == 1 && cell.is_of_one_round, "{cell:?}");
    assert_eq!(starts.len(), 1);
}
