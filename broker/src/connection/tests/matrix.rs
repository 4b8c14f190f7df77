//! Every method that needs permission, with every set of permissions on the names it uses, on things that are there and
//! that are not. `docs/permissions-amqp.md` is made of the same table.

use std::fmt::Write as _;

use amq_protocol::{
    protocol::{exchange, queue},
    types::AMQPValue,
};
use expect_test::expect_file;

use super::{
    bench::{A, B, Bench, permit},
    frames::{
        bind, bind_exchange, channel_close, channel_close_ok, channel_open, consume, declare,
        declare_exchange, delete, delete_exchange, get, passive, plainly, publish, purge, unbind,
        unbind_exchange,
    },
};
use crate::{
    model::{
        name::Name,
        pattern::Pattern,
        permission::{Access, Permission},
    },
    wire::transcript::describe,
};

/// A method in a situation.
struct Row {
    what: &'static str,
    when: &'static str,
    /// `access name`, in the order in which they are asked for; `|` between accesses of which one is enough. `q` is
    /// the queue, `e` the exchange, `o` another exchange.
    needs: &'static [&'static str],
    /// What is there before.
    setup: Vec<Vec<u8>>,
    frame: Vec<u8>,
}

const ACCESSES: [(&str, Access); 3] =
    [("configure", Access::Configure), ("write", Access::Write), ("read", Access::Read)];
const QUEUE: &str = "q1";
const EXCHANGE: &str = "e1";
const OTHER: &str = "o1";

fn row(
    (what, when): (&'static str, &'static str),
    needs: &'static [&'static str],
    setup: &[Vec<u8>],
    frame: Vec<u8>,
) -> Row {
    Row { what, when, needs, setup: setup.to_vec(), frame }
}

fn make_queue() -> Vec<u8> {
    declare(1, QUEUE, plainly)
}

fn make_exchange(name: &str) -> Vec<u8> {
    declare_exchange(1, name, "direct", plainly)
}

fn make_internal(name: &str) -> Vec<u8> {
    declare_exchange(1, name, "direct", |declare| declare.internal = true)
}

fn with_dead_letters(declare: &mut queue::Declare) {
    declare.arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(OTHER.into()));
}

fn with_alternate(declare: &mut exchange::Declare) {
    declare.arguments.insert("alternate-exchange".into(), AMQPValue::LongString(OTHER.into()));
}

fn passively(declare: &mut exchange::Declare) {
    declare.passive = true;
}

/// The table. On channel 3, as the user that is asked about.
fn rows() -> Vec<Row> {
    let mut rows = queue_rows();
    rows.extend(exchange_rows());
    rows.extend(binding_rows());
    rows.extend(basic_rows());
    rows
}

fn queue_rows() -> Vec<Row> {
    let (new, there) = (&[][..], &[make_queue()][..]);
    let plain = || declare(3, QUEUE, plainly);
    let is_passive = || declare(3, QUEUE, passive);
    let dead = || declare(3, QUEUE, with_dead_letters);
    let dead_there = [declare(1, QUEUE, with_dead_letters)];
    let any = &["configure|write|read q"][..];
    vec![
        row(("queue.declare", "a new queue"), &["configure q"], new, plain()),
        row(("queue.declare", "a queue that is there"), &["configure q"], there, plain()),
        row(("queue.declare", "without a name"), &["configure amq.gen-*"], new, declare(3, "", plainly)),
        row(
            ("queue.declare", "a new queue with `x-dead-letter-exchange`"),
            &["configure q", "read q", "write o"],
            new,
            dead(),
        ),
        row(
            ("queue.declare", "a queue that is there, with `x-dead-letter-exchange`"),
            &["configure q"],
            &dead_there,
            dead(),
        ),
        row(("queue.declare passive", "a queue that is there"), any, there, is_passive()),
        row(("queue.declare passive", "a queue that is not there"), any, new, is_passive()),
        row(("queue.delete", "a queue that is there"), &["configure q"], there, delete(3, QUEUE, plainly)),
        row(("queue.delete", "a queue that is not there"), &["configure q"], new, delete(3, QUEUE, plainly)),
        row(("queue.purge", "a queue that is there"), &["read q"], there, purge(3, QUEUE)),
        row(("queue.purge", "a queue that is not there"), &["read q"], new, purge(3, QUEUE)),
    ]
}

fn exchange_rows() -> Vec<Row> {
    let (new, there) = (&[][..], &[make_exchange(EXCHANGE)][..]);
    let plain = || make_exchange_on(3, plainly);
    let is_passive = || make_exchange_on(3, passively);
    let alternate = || make_exchange_on(3, with_alternate);
    let alternate_there = [make_exchange_on(1, with_alternate)];
    let internal_there = [make_internal(EXCHANGE)];
    let any = &["configure|write|read e"][..];
    let drop = || delete_exchange(3, EXCHANGE, plainly);
    vec![
        row(("exchange.declare", "a new exchange"), &["configure e"], new, plain()),
        row(("exchange.declare", "an exchange that is there"), &["configure e"], there, plain()),
        row(
            ("exchange.declare", "a new internal exchange"),
            &["configure e"],
            new,
            make_exchange_on(3, |declare| declare.internal = true),
        ),
        row(
            ("exchange.declare", "a new exchange with `alternate-exchange`"),
            &["configure e", "read e", "write o"],
            new,
            alternate(),
        ),
        row(
            ("exchange.declare", "an exchange that is there, with `alternate-exchange`"),
            &["configure e"],
            &alternate_there,
            alternate(),
        ),
        row(("exchange.declare passive", "an exchange that is there"), any, there, is_passive()),
        row(("exchange.declare passive", "an exchange that is not there"), any, new, is_passive()),
        row(("exchange.delete", "an exchange that is there"), &["configure e"], there, drop()),
        row(("exchange.delete", "an internal exchange"), &["configure e"], &internal_there, drop()),
        row(("exchange.delete", "an exchange that is not there"), &["configure e"], new, drop()),
    ]
}

fn make_exchange_on(channel: u16, set: impl FnOnce(&mut exchange::Declare)) -> Vec<u8> {
    declare_exchange(channel, EXCHANGE, "direct", set)
}

fn binding_rows() -> Vec<Row> {
    let to_queue = &["write q", "read e"][..];
    let both = [make_queue(), make_exchange(EXCHANGE)];
    let bound = [make_queue(), make_exchange(EXCHANGE), bind(1, [QUEUE, EXCHANGE, "k"], plainly)];
    let make = |exchange| bind(3, [QUEUE, exchange, "k"], plainly);
    let undo = |exchange| unbind(3, [QUEUE, exchange, "k"]);
    let between = &["write o", "read e"][..];
    let exchanges = [make_exchange(EXCHANGE), make_exchange(OTHER)];
    let internal = [make_exchange(EXCHANGE), make_internal(OTHER)];
    let tied = [make_exchange(EXCHANGE), make_exchange(OTHER), bind_exchange(1, [OTHER, EXCHANGE, "k"])];
    let tie = || bind_exchange(3, [OTHER, EXCHANGE, "k"]);
    let untie = || unbind_exchange(3, [OTHER, EXCHANGE, "k"]);
    vec![
        row(("queue.bind", "a queue to an exchange"), to_queue, &both, make(EXCHANGE)),
        row(("queue.bind", "a queue that is not there"), to_queue, &both[1..], make(EXCHANGE)),
        row(("queue.bind", "to an exchange that is not there"), to_queue, &both[..1], make(EXCHANGE)),
        row(("queue.bind", "to the default exchange"), &["write q", "read amq.default"], &both, make("")),
        row(("queue.unbind", "a queue from an exchange"), to_queue, &bound, undo(EXCHANGE)),
        row(("queue.unbind", "what is not bound"), to_queue, &both, undo(EXCHANGE)),
        row(("queue.unbind", "a queue that is not there"), to_queue, &both[1..], undo(EXCHANGE)),
        row(("queue.unbind", "from the default exchange"), &["write q", "read amq.default"], &both, undo("")),
        row(("exchange.bind", "o to e"), between, &exchanges, tie()),
        row(("exchange.bind", "an internal exchange o to e"), between, &internal, tie()),
        row(("exchange.bind", "an exchange that is not there"), between, &exchanges[..1], tie()),
        row(("exchange.unbind", "o from e"), between, &tied, untie()),
        row(("exchange.unbind", "what is not bound"), between, &exchanges, untie()),
    ]
}

fn basic_rows() -> Vec<Row> {
    let (new, there) = (&[][..], &[make_queue()][..]);
    let named = [make_exchange(EXCHANGE)];
    let internal = [make_internal(EXCHANGE)];
    let to = |exchange| publish(3, exchange, QUEUE, 1);
    let take = || consume(3, QUEUE, "c", plainly);
    vec![
        row(("basic.publish", "to the default exchange"), &["write amq.default"], there, to("")),
        row(("basic.publish", "to an exchange"), &["write e"], &named, to(EXCHANGE)),
        row(("basic.publish", "to an internal exchange"), &["write e"], &internal, to(EXCHANGE)),
        row(("basic.publish", "to an exchange that is not there"), &["write e"], new, to(EXCHANGE)),
        row(("basic.get", "a queue that is there"), &["read q"], there, get(3, QUEUE, true)),
        row(("basic.get", "a queue that is not there"), &["read q"], new, get(3, QUEUE, true)),
        row(("basic.consume", "a queue that is there"), &["read q"], there, take()),
        row(("basic.consume", "a queue that is not there"), &["read q"], new, take()),
    ]
}

/// One need: accesses of which one is enough, and the name.
struct Need {
    accesses: Vec<(&'static str, Access)>,
    name: &'static str,
}

impl Need {
    fn parse(text: &'static str) -> Self {
        let (accesses, name) = text.split_once(' ').unwrap();
        let access = |word| *ACCESSES.iter().find(|(known, _)| *known == word).unwrap();
        let name = match name {
            "q" => QUEUE,
            "e" => EXCHANGE,
            "o" => OTHER,
            other => other,
        };
        Self { accesses: accesses.split('|').map(access).collect(), name }
    }

    fn kind(&self) -> &'static str {
        if self.name == QUEUE || self.name.starts_with("amq.gen") { "queue" } else { "exchange" }
    }
}

/// Who may do what: for each of the names a set of accesses.
struct Grants<'a> {
    names: &'a [&'static str],
    /// Three bits for each name.
    bits: usize,
    is_anchored: bool,
}

impl Grants<'_> {
    fn has(&self, access: Access, name: &str) -> bool {
        let index = self.names.iter().position(|known| *known == name).unwrap();
        self.bits >> (3 * index + access as usize) & 1 == 1
    }

    fn permission(&self) -> Permission {
        let pattern = |access| {
            let names = self.names.iter().filter(|name| self.has(access, name));
            let names: Vec<String> = names.map(|name| expression(name)).collect();
            let text = match (names.is_empty(), self.is_anchored) {
                (true, _) => String::new(),
                (_, true) => format!("^({})$", names.join("|")),
                (_, false) => names.join("|"),
            };
            Pattern::parse(&text).unwrap()
        };
        Permission {
            configure: pattern(Access::Configure),
            write: pattern(Access::Write),
            read: pattern(Access::Read),
        }
    }

    /// What is said to be missing.
    fn refusal(&self, needs: &[Need]) -> Option<String> {
        let missing = |need: &&Need| !need.accesses.iter().any(|(_, access)| self.has(*access, need.name));
        let need = needs.iter().find(missing)?;
        let (access, kind) = (need.accesses[0].0, need.kind());
        let name = need.name.strip_suffix('*').unwrap_or(need.name);
        Some(format!("ACCESS_REFUSED - {access} access to {kind} '{name}"))
    }
}

/// Names of queues that the broker names begin alike.
fn expression(name: &str) -> String {
    match name.strip_suffix('*') {
        Some(prefix) => format!("{}.*", regex::escape(prefix)),
        None => regex::escape(name),
    }
}

/// Tries one row with these permissions; gives the line in which access is refused.
fn attempt(bench: &mut Bench, row: &Row, grants: &Grants<'_>) -> Option<String> {
    let (user, vhost) = (Name::literal("ana"), Name::literal("/"));
    let _ = bench.node.broker.put_permission(&user, &vhost, grants.permission()).unwrap();
    let clean = [
        delete(1, QUEUE, plainly),
        delete_exchange(1, EXCHANGE, plainly),
        delete_exchange(1, OTHER, plainly),
    ];
    bench.exchange(B, &clean.concat());
    bench.exchange(B, &row.setup.concat());
    bench.exchange(A, &channel_open(3));
    let said = bench.exchange(A, &row.frame);
    let lines: Vec<String> =
        said.iter().filter(|(peer, _)| *peer == A).flat_map(|(_, bytes)| describe(bytes)).collect();
    let is_closed = lines.iter().any(|line| line.contains("channel.close"));
    bench.exchange(A, &if is_closed { channel_close_ok(3) } else { channel_close(3) });
    lines.into_iter().find(|line| line.contains(" access to "))
}

#[test]
fn permissions_are_asked_for_as_the_table_says() {
    let mut bench = Bench::new();
    permit("ana", [""; 3])(&mut bench);
    A.logs_in("ana", "secret")(&mut bench);
    let mut count = 0;
    for row in rows() {
        let needs: Vec<Need> = row.needs.iter().map(|need| Need::parse(need)).collect();
        let mut names: Vec<&'static str> = needs.iter().map(|need| need.name).collect();
        names.dedup();
        for (bits, is_anchored) in
            (0..1_usize << (3 * names.len())).flat_map(|bits| [(bits, true), (bits, false)])
        {
            let grants = Grants { names: &names, bits, is_anchored };
            let (found, expected) = (attempt(&mut bench, &row, &grants), grants.refusal(&needs));
            let is_as_expected = match (&found, &expected) {
                (Some(line), Some(text)) => line.contains(text.as_str()),
                (None, None) => true,
                _ => false,
            };
            let Row { what, when, .. } = row;
            let permission = grants.permission();
            assert!(is_as_expected, "{what} {when} with {permission:?}: {found:?}, not {expected:?}");
            count += 1;
        }
    }
    assert!(count > 2_000, "{count} cases");
}

#[test]
fn the_table_is_in_the_docs() {
    let mut table = String::from(
        "# What AMQP methods need permission for\n\n\
         A user has three patterns in each vhost: for names that it may *configure*, *write* and *read*. `q` is the \
         queue\nof the method, `e` its exchange, `o` the other exchange. The default exchange is called `amq.default`. \
         Accesses are\nasked for from left to right; the first that is missing is named in the refusal (403). On topic \
         exchanges, topic\npermissions narrow what `basic.publish` and `queue.bind` may do. Made and checked by a test \
         (`connection/tests/matrix.rs`).\n\n| method | when | needs |\n|---|---|---|\n",
    );
    for Row { what, when, needs, .. } in rows() {
        let needs = needs.join(", ").replace('|', " or ");
        writeln!(table, "| {what} | {when} | {needs} |").unwrap();
    }
    expect_file!["../../../docs/permissions-amqp.md"].assert_eq(&table);
}
