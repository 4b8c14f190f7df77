//! Command lines and what is made of them.

use clap::CommandFactory;
use lapin::types::{AMQPValue, FieldTable};

use super::*;

fn command(line: &str) -> Result<Command, String> {
    let words = std::iter::once("liebre-cat").chain(line.split_whitespace());
    Cli::try_parse_from(words).map(|cli| cli.command).map_err(|error| error.kind().to_string())
}

fn produce_from(line: &str, stdin_is_terminal: bool) -> Result<Produce, String> {
    match command(&format!("produce {line}"))? {
        Command::Produce(args) => args.parse(stdin_is_terminal),
        other => panic!("{other:?}"),
    }
}

fn produce(line: &str) -> Result<Produce, String> {
    produce_from(line, false)
}

fn consume(line: &str) -> Result<Consume, String> {
    match command(&format!("consume {line}"))? {
        Command::Consume(args) => args.parse(),
        other => panic!("{other:?}"),
    }
}

fn get(line: &str) -> Result<Get, String> {
    match command(&format!("get {line}"))? {
        Command::Get(args) => args.parse(),
        other => panic!("{other:?}"),
    }
}

fn text(text: &str, is_numbered: bool, count: Option<u64>, milliseconds: u64) -> Input {
    Input::Text { text: text.to_owned(), is_numbered, count, interval: Duration::from_millis(milliseconds) }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn messages_come_from_where_the_options_say() {
    let input = |line: &str| produce(&format!("-q cola {line}")).unwrap().input;
    let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(input(""), Input::Lines(paths(&["-"])));
    assert_eq!(input("--whole"), Input::Whole(paths(&["-"])));
    assert_eq!(input("--interactive"), Input::Prompt);
    assert_eq!(input("a b"), Input::Whole(paths(&["a", "b"])));
    assert_eq!(input("a - --lines"), Input::Lines(paths(&["a", "-"])));
    assert_eq!(input("-n 5"), text("message", true, Some(5), 1000));
    assert_eq!(input("-n 5 -i 20 -t hola"), text("hola", true, Some(5), 20));
    assert_eq!(input("-i 0"), text("message", true, None, 0));
    assert_eq!(input("--text hola"), text("hola", false, Some(1), 1000));

    let at_terminal = |line: &str| produce_from(&format!("-q cola {line}"), true).unwrap();
    assert_eq!((at_terminal("").input, at_terminal("").window), (Input::Prompt, 1));
    assert_eq!(at_terminal("--lines").input, Input::Lines(paths(&["-"])));
    assert_eq!(at_terminal("-n 2").input, text("message", true, Some(2), 1000));
}

#[test]
fn a_queue_is_reached_through_the_default_exchange() {
    let options = produce("-q cola").unwrap();
    assert_eq!((options.exchange.as_str(), options.key.as_str()), ("", "cola"));
    assert_eq!(options.queue.unwrap().declaring, Declaring::IfAbsent);
    let options = produce("-e amq.topic -k a.b").unwrap();
    assert_eq!((options.exchange.as_str(), options.key.as_str()), ("amq.topic", "a.b"));
    assert!(options.queue.is_none());
}

#[test]
fn properties_make_a_queue_one_to_be_declared_like_that() {
    let declaring = |line: &str| produce(&format!("-q cola {line}")).unwrap().queue.unwrap().declaring;
    assert_eq!(declaring("--no-declare"), Declaring::No);
    let transient = Declaring::Like { is_durable: false, arguments: FieldTable::default() };
    assert_eq!(declaring("--transient-queue"), transient);
    let Declaring::Like { is_durable: true, arguments } = declaring("-a x-max-length=10") else { panic!() };
    assert_eq!(arguments.inner().get("x-max-length"), Some(&AMQPValue::LongLongInt(10)));
}

#[test]
fn messages_are_persistent_unless_told_otherwise() {
    let properties = |line: &str| produce(&format!("-q cola {line}")).unwrap().properties;
    assert_eq!(properties(""), BasicProperties::default().with_delivery_mode(2));
    assert_eq!(properties("--transient"), BasicProperties::default().with_delivery_mode(1));
    let full = properties(
        "-H n=1 --content-type text/plain --priority 7 --expiration 60000 --correlation-id c --reply-to r --message-id m",
    );
    let headers = pairs::table(&[pairs::parse("n=1").unwrap()]);
    let expected = BasicProperties::default()
        .with_delivery_mode(2)
        .with_headers(headers)
        .with_content_type("text/plain".into())
        .with_priority(7)
        .with_expiration("60000".into())
        .with_correlation_id("c".into())
        .with_reply_to("r".into())
        .with_message_id("m".into());
    assert_eq!(full, expected);
}

#[test]
fn consuming_has_defaults() {
    let options = consume("-q cola").unwrap();
    assert_eq!(
        (options.prefetch, options.is_auto_ack, options.count, options.form),
        (100, false, None, Form::Text)
    );
    assert_eq!(options.plan, Plan::default());
    assert_eq!((options.shared.patience, options.shared.grace), (None, Duration::from_secs(10)));
}

#[test]
fn every_nth_message_or_all() {
    let plan = |line: &str| consume(&format!("-q cola {line}")).unwrap().plan;
    assert_eq!(plan("--reject"), Plan { discard_every: Some(1), requeue_every: None });
    assert_eq!(plan("--reject=3 --nack-requeue=2"), Plan { discard_every: Some(3), requeue_every: Some(2) });
}

#[test]
fn an_exchange_may_have_many_keys() {
    let From::Exchange { name, keys } = consume("-e amq.topic -k a.* -k b.#").unwrap().from else { panic!() };
    assert_eq!((name.as_str(), keys), ("amq.topic", vec!["a.*".into(), "b.#".into()]));
    let From::Exchange { keys, .. } = consume("-e amq.fanout").unwrap().from else { panic!() };
    assert_eq!(keys, ["".into()]);
}

#[test]
fn get_takes_one_unless_told_otherwise() {
    let options = get("-q cola").unwrap();
    assert_eq!((options.count, options.requeues, options.form), (1, false, Form::Text));
    let options = get("-q cola -n 9 --requeue --json").unwrap();
    assert_eq!((options.count, options.requeues, options.form), (9, true, Form::Json));
}

#[test]
fn nonsense_is_refused() {
    for line in [
        "produce",
        "produce -q cola -e amq.topic",
        "produce -q cola -k key",
        "produce -q cola -n 0",
        "produce -q cola -i -5",
        "produce -q cola -n 5 file",
        "produce -q cola --whole -n 5",
        "produce -q cola --window 0",
        "produce -q cola --no-declare -a x=1",
        "produce -e amq.topic -a x=1",
        "produce -q cola -H novalue",
        "produce -q cola --priority 256",
        "consume",
        "consume -q cola --auto-ack --ack-delay 5",
        "consume -q cola --auto-ack --reject",
        "consume -q cola --reject=0",
        "consume -q cola --json --raw",
        "consume -q cola --idle -1",
        "consume -q cola --grace nan",
        "get",
        "get -q cola -n 0",
    ] {
        assert!(command(line).is_err(), "{line}");
    }
    assert!(command(&format!("get -q {}", "q".repeat(256))).is_err());
    assert!(get("-q cola --url amqps://mq").is_err());
}
