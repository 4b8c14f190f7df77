//! Lesson 7: publisher confirms.

use liebre_tests::{broker::Broker, program::Program, wait};

use super::{
    Language::{self, Python, Rust},
    Page,
};

fn confirms(page: &Page) {
    page.shows("publisher_confirms");
    let mut program = page.language.run("publisher_confirms", &["1200"]);
    for how in ["individually", "in batch", "and handled confirms asynchronously"] {
        let line = program.next_line();
        assert!(line.starts_with(&format!("Published 1,200 messages {how} in ")), "{line}");
        page.shows_but_numbers(&line);
    }
    page.expect(&mut program, "Returned: 312 NO_ROUTE (routing key nowhere)");
    program.finish();
    let usage = page.language.run("publisher_confirms", &["many"]).fail();
    assert!(usage.starts_with("Usage: publisher_confirms"), "{usage}");
}

/// The broker is killed while confirms are outstanding: the program says so and ends.
fn broker_killed(language: Language) {
    let Some(mut broker) = Broker::own() else { return };
    let admin = broker.admin().expect("a broker of our own");
    let command = language.command("publisher_confirms", &["5000000"], &broker.url());
    let program = Program::spawn(command);
    wait::until("messages in its queue", || {
        let queues = admin.output("rabbitmqctl list_queues --quiet name messages_ready");
        queues.lines().any(|line| line.starts_with("amq.gen-") && !line.ends_with("\t0")).then_some(())
    });
    broker.kill9();
    let error = program.fail();
    assert!(!error.is_empty());
}

#[test]
fn confirms_in_rust() {
    confirms(&Page::open("en/7-publisher-confirms.md", Rust));
}

#[test]
fn confirms_in_python() {
    confirms(&Page::open("es/7-confirmaciones.md", Python));
}

#[test]
fn broker_killed_in_rust() {
    broker_killed(Rust);
}

#[test]
fn broker_killed_in_python() {
    broker_killed(Python);
}
