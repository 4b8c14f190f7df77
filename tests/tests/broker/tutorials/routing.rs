//! Lessons 4 and 5: routing and topics.

use liebre_tests::broker::Broker;

use super::{
    Language::{self, Python, Rust},
    Page, turn,
};

fn routing(page: &Page, [error, info, nobodys]: [&str; 3]) {
    let _turn = turn();
    let mut bad = page.subscribe("receive_logs_direct warning error");
    let mut all = page.subscribe("receive_logs_direct info warning error");
    // The same severity twice is one binding.
    let mut twice = page.subscribe("receive_logs_direct error error");
    if let Some(admin) = Broker::shared().admin() {
        let command = "rabbitmqctl list_bindings source_name routing_key";
        page.shows(command);
        let bindings = admin.output(command);
        let count = bindings.lines().filter(|line| line.starts_with("direct_logs")).count();
        assert_eq!(count, 5 + 1, "{bindings}");
    }

    for line in [nobodys, error, info, error] {
        page.publish(&format!("emit_log_direct {line}"));
    }
    let (error, info) = (printed(error), printed(info));
    page.expect(&mut bad, &error);
    page.expect(&mut bad, &error);
    page.expect(&mut all, &error);
    assert_eq!(all.next_line(), info);
    page.expect(&mut all, &error);
    page.expect(&mut twice, &error);
    page.expect(&mut twice, &error);
}

/// What a subscriber prints of the line that was typed as `error The tank is empty`.
fn printed(line: &str) -> String {
    let (key, line) = line.split_once(' ').expect("a key and a line");
    format!(" [x] {key}:{line}")
}

/// What the publishers say, and what they send if little is typed.
fn publishers(language: Language) {
    let _turn = turn();
    for (name, key) in [("emit_log_direct", "info"), ("emit_log_topic", "anonymous.info")] {
        for (words, line) in [
            (&[][..], format!(" [x] Sent {key}:Hello World!")),
            (&["kern.error"][..], " [x] Sent kern.error:Hello World!".to_owned()),
            (&["kern.error", "a", "b"][..], " [x] Sent kern.error:a b".to_owned()),
        ] {
            let mut program = language.run(name, words);
            assert_eq!(program.next_line(), line);
            program.finish();
        }
    }
    let usage = language.run("receive_logs_direct", &[]).fail();
    assert!(
        usage.contains("Usage: receive_logs_direct") && usage.contains(" [info] [warning] [error]"),
        "{usage}"
    );
    let usage = language.run("receive_logs_topic", &[]).fail();
    assert!(usage.contains("Usage: receive_logs_topic") && usage.contains(" [binding_key]..."), "{usage}");
}

fn topics(page: &Page, patterns: &str, [both, second, neither]: [&str; 3]) {
    let _turn = turn();
    let mut subscriber = page.subscribe(&format!("receive_logs_topic {patterns}"));
    for line in [both, neither, second] {
        page.publish(&format!("emit_log_topic {line}"));
        page.shows(&printed(line).replace("[x]", "[x] Sent"));
    }
    page.expect(&mut subscriber, &printed(both));
    page.expect(&mut subscriber, &printed(second));
}

/// One, two and three begin with the word `tank`; two has one more, three has two; four begins otherwise.
fn hash_or_star(page: &Page, tank: &str, [one, two, three, four]: [&str; 4]) {
    let _turn = turn();
    let mut hash = page.subscribe(&format!("receive_logs_topic \"{tank}.#\""));
    let mut star = page.subscribe(&format!("receive_logs_topic \"{tank}.*\""));
    for line in [four, one, two, three, two] {
        page.publish(&format!("emit_log_topic {line}"));
    }
    for line in [one, two, three, two] {
        assert_eq!(hash.next_line(), printed(line));
    }
    for line in [two, two] {
        assert_eq!(star.next_line(), printed(line));
    }
}

const ENGLISH_LINES: [&str; 3] =
    ["error The tank is empty", "info The pump is running", "debug The valve is at 20 %"];
const SPANISH_LINES: [&str; 3] =
    ["error El tanque está vacío", "info La bomba está en marcha", "debug La válvula está al 20 %"];

#[test]
fn routing_in_rust() {
    routing(&Page::open("en/4-routing.md", Rust), ENGLISH_LINES);
}

#[test]
fn routing_in_python() {
    routing(&Page::open("es/4-enrutamiento.md", Python), SPANISH_LINES);
}

#[test]
fn publishers_in_rust() {
    publishers(Rust);
}

#[test]
fn publishers_in_python() {
    publishers(Python);
}

#[test]
fn topics_in_rust() {
    let page = Page::open("es/5-topics.md", Rust);
    let lines = ["tanque.norte.error Vacío", "bomba.norte.info En marcha", "bomba.sur.info En marcha"];
    topics(&page, r#""tanque.*.error" "*.norte.*""#, lines);
    let lines = ["tanque uno", "tanque.norte dos", "tanque.norte.error tres", "subtanque.norte cuatro"];
    hash_or_star(&page, "tanque", lines);
}

#[test]
fn topics_in_python() {
    let page = Page::open("en/5-topics.md", Python);
    let lines = ["tank.north.error Empty", "pump.north.info Running", "pump.south.info Running"];
    topics(&page, r#""tank.*.error" "*.north.*""#, lines);
    let lines = ["tank one", "tank.north two", "tank.north.error three", "watertank.north four"];
    hash_or_star(&page, "tank", lines);
}
