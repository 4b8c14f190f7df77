//! Brokers that the tool starts and stops.

use std::env;
use std::path::Path;
use std::thread;
use std::time::Duration;

use liebre_perf::clock::now;
use liebre_perf::fresh::{Recipe, State};
use liebre_perf::start::Start;

use crate::fake_broker::{FakeBroker, Habit};

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
    FakeBroker::restart(word("PORT").parse().unwrap(), Path::new(&word("DIR")), habit);
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
