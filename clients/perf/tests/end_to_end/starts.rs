//! Brokers that the tool starts and stops.

use std::time::Duration;

use liebre_perf::clock::now;
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
