//! How a connection ends that did something wrong, compared with how it should.

use liebre_tests::{
    broker::Broker,
    method::{self, Say},
    raw::Raw,
};

/// Compares what each case hears with what it should, while another connection goes on as if nothing were.
///
/// Expected is one verdict, or several with ` | ` between; one that ends with `…` is a beginning.
pub fn check<C>(cases: &[(&str, C, &str)], verdict: impl Fn(&C) -> String) {
    let broker = Broker::shared();
    let mut witness = Raw::with_channel(broker);
    let mut wrong = String::new();
    for (what, case, expected) in cases {
        let said = verdict(case);
        assert!(witness.is_alive(1), "another connection must not suffer from: {what}");
        // Where RabbitMQ itself stumbles, it closes without a word or speaks of an internal error. To say why is right.
        let stumbled =
            broker.is_external() && (said == "closed" || said.starts_with("connection.close 541 "));
        if !stumbled && !fits(&said, expected) {
            wrong += &format!("{what}:\n  expected {expected}\n  heard    {said}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What a connection hears that says `frames` after it opened channel 1.
pub fn after_frames(frames: &[Say]) -> String {
    let mut raw = Raw::with_channel(Broker::shared());
    raw.say(frames);
    finish(&mut raw)
}

/// Reads to the exception. If it closes the connection, it is answered, and then the socket must be closed.
pub fn finish(raw: &mut Raw) -> String {
    let verdict = raw.outcome();
    if verdict.starts_with("connection.close ") {
        raw.say(&[method::connection_close_ok()]);
        assert_eq!(raw.rest(), b"", "nothing may follow {verdict}");
    }
    verdict
}

fn fits(said: &str, expected: &str) -> bool {
    expected.split(" | ").any(|one| match one.strip_suffix('…') {
        Some(beginning) => said.starts_with(beginning),
        None => said == one,
    })
}
