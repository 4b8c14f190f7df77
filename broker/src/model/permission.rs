//! What a user may do in a vhost: RabbitMQ's configure, write and read, decided in one place.
//!
//! Every protocol and the HTTP API ask [`authorize`]. Which operation needs what is the table in
//! [`Operation`]'s needs; nothing else decides, and what the table does not grant is refused.

use super::pattern::Pattern;

/// The default exchange under the name that patterns see.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// A user's permissions in one vhost. All fields are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// What may be declared and deleted.
    pub configure: Pattern,
    /// What may be published to or bound to something.
    pub write: Pattern,
    /// What may be consumed, purged or bound from.
    pub read: Pattern,
}

/// A kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Declare, delete.
    Configure,
    /// Publish, bind to an exchange.
    Write,
    /// Consume, purge, bind from an exchange.
    Read,
}

/// What is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource<'a> {
    /// An exchange, by name.
    Exchange(&'a str),
    /// A queue, by name.
    Queue(&'a str),
}

/// An operation that needs permission. Whether a declared thing is new decides about its arguments: the exchange
/// that an existing one names is not used by declaring it once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// `exchange.declare`.
    DeclareExchange {
        /// Its name.
        exchange: &'a str,
        /// Its `alternate-exchange`, when the exchange is new.
        alternate_exchange: Option<&'a str>,
    },
    /// `exchange.declare` with `passive`. Asked before it is known whether the exchange is there.
    FindExchange {
        /// Its name.
        exchange: &'a str,
    },
    /// `exchange.delete`.
    DeleteExchange {
        /// Its name.
        exchange: &'a str,
    },
    /// `exchange.bind`.
    BindExchange {
        /// Where messages come from.
        source: &'a str,
        /// Where they go.
        destination: &'a str,
    },
    /// `exchange.unbind`.
    UnbindExchange {
        /// Where messages came from.
        source: &'a str,
        /// Where they went.
        destination: &'a str,
    },
    /// `queue.declare`, under the generated name if the client gave none.
    DeclareQueue {
        /// Its name.
        queue: &'a str,
        /// Its `x-dead-letter-exchange`, when the queue is new.
        dead_letter_exchange: Option<&'a str>,
    },
    /// `queue.declare` with `passive`. Asked before it is known whether the queue is there.
    FindQueue {
        /// Its name.
        queue: &'a str,
    },
    /// `queue.delete`.
    DeleteQueue {
        /// Its name.
        queue: &'a str,
    },
    /// `queue.bind`.
    BindQueue {
        /// Where messages come from.
        exchange: &'a str,
        /// Where they go.
        queue: &'a str,
    },
    /// `queue.unbind`.
    UnbindQueue {
        /// Where messages came from.
        exchange: &'a str,
        /// Where they went.
        queue: &'a str,
    },
    /// `queue.purge`.
    PurgeQueue {
        /// Its name.
        queue: &'a str,
    },
    /// `basic.publish`.
    Publish {
        /// The exchange published to.
        exchange: &'a str,
    },
    /// `basic.get`.
    Get {
        /// The queue asked.
        queue: &'a str,
    },
    /// `basic.consume`.
    Consume {
        /// The queue consumed from.
        queue: &'a str,
    },
}

/// Proof that [`authorize`], or [`authorize_topic`](super::topic_permission::authorize_topic), was asked and said yes:
/// only they make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Authorized(());

impl Authorized {
    /// Of a routing key that a topic permission allows, or that none is about.
    pub(super) fn of_topic(is_allowed: bool) -> Option<Self> {
        is_allowed.then_some(Self(()))
    }
}

/// A refusal, with the first access that was missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRefused {
    /// What was missing.
    pub access: Access,
    /// `exchange` or `queue`.
    pub kind: &'static str,
    /// On what; the default exchange as `amq.default`.
    pub name: String,
}

/// Whether a user with `permission` in the vhost may do `operation`; without a permission there nothing is
/// allowed.
pub fn authorize(
    operation: &Operation<'_>,
    permission: Option<&Permission>,
) -> Result<Authorized, AccessRefused> {
    for need in operation.needs().into_iter().flatten() {
        let is_granted =
            |access: &Access| permission.is_some_and(|permission| permission.grants(*access, need.resource));
        if !need.any_of.iter().any(is_granted) {
            return Err(AccessRefused {
                access: need.any_of[0],
                kind: need.resource.kind(),
                name: need.resource.name().to_owned(),
            });
        }
    }
    Ok(Authorized(()))
}

/// One of the accesses is needed.
struct Need<'a> {
    any_of: &'static [Access],
    resource: Resource<'a>,
}

impl<'a> Operation<'a> {
    /// The table of who needs what, in the order in which RabbitMQ asks.
    fn needs(&self) -> [Option<Need<'a>>; 3] {
        use Resource::{Exchange, Queue};
        match *self {
            Self::DeclareExchange { exchange, alternate_exchange } => [
                configure(Exchange(exchange)),
                alternate_exchange.and_then(|_| read(Exchange(exchange))),
                alternate_exchange.and_then(|alternate| write(Exchange(alternate))),
            ],
            Self::FindExchange { exchange } => [any(Exchange(exchange)), None, None],
            Self::DeleteExchange { exchange } => [configure(Exchange(exchange)), None, None],
            Self::BindExchange { source, destination } | Self::UnbindExchange { source, destination } => {
                [write(Exchange(destination)), read(Exchange(source)), None]
            }
            Self::DeclareQueue { queue, dead_letter_exchange } => [
                configure(Queue(queue)),
                dead_letter_exchange.and_then(|_| read(Queue(queue))),
                dead_letter_exchange.and_then(|exchange| write(Exchange(exchange))),
            ],
            Self::FindQueue { queue } => [any(Queue(queue)), None, None],
            Self::DeleteQueue { queue } => [configure(Queue(queue)), None, None],
            Self::BindQueue { exchange, queue } | Self::UnbindQueue { exchange, queue } => {
                [write(Queue(queue)), read(Exchange(exchange)), None]
            }
            Self::PurgeQueue { queue } => [read(Queue(queue)), None, None],
            Self::Publish { exchange } => [write(Exchange(exchange)), None, None],
            Self::Get { queue } | Self::Consume { queue } => [read(Queue(queue)), None, None],
        }
    }
}

fn configure(resource: Resource<'_>) -> Option<Need<'_>> {
    Some(Need { any_of: &[Access::Configure], resource })
}

fn write(resource: Resource<'_>) -> Option<Need<'_>> {
    Some(Need { any_of: &[Access::Write], resource })
}

fn read(resource: Resource<'_>) -> Option<Need<'_>> {
    Some(Need { any_of: &[Access::Read], resource })
}

fn any(resource: Resource<'_>) -> Option<Need<'_>> {
    Some(Need { any_of: &[Access::Configure, Access::Write, Access::Read], resource })
}

impl Permission {
    /// For everything, whatever its name.
    ///
    /// # Panics
    /// Never: the pattern is one.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the pattern is a literal")]
    pub fn everything() -> Self {
        let everything = Pattern::parse(".*").expect("the literal is a pattern");
        Self { configure: everything.clone(), write: everything.clone(), read: everything }
    }

    /// Whether the pattern for `access` matches the resource's name.
    #[must_use]
    pub fn grants(&self, access: Access, resource: Resource<'_>) -> bool {
        let pattern = match access {
            Access::Configure => &self.configure,
            Access::Write => &self.write,
            Access::Read => &self.read,
        };
        pattern.is_match(resource.name())
    }
}

impl Access {
    /// The word in texts and tools.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

impl<'a> Resource<'a> {
    /// The name that patterns see: the default exchange has one here.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            Self::Exchange("") => DEFAULT_EXCHANGE,
            Self::Exchange(name) | Self::Queue(name) => name,
        }
    }

    /// `exchange` or `queue`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Exchange(_) => "exchange",
            Self::Queue(_) => "queue",
        }
    }
}

impl AccessRefused {
    /// RabbitMQ's text, without the code's name.
    #[must_use]
    pub fn text(&self, vhost: &str, user: &str) -> String {
        let Self { access, kind, name } = self;
        let access = access.as_str();
        format!("{access} access to {kind} '{name}' in vhost '{vhost}' refused for user '{user}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESSES: [Access; 3] = [Access::Configure, Access::Write, Access::Read];

    /// Every operation with what it needs, in order; `|` between accesses of which one is enough.
    /// `e` is an exchange, `q` a queue, `o` the other exchange in play.
    fn table() -> Vec<(Operation<'static>, &'static [&'static str])> {
        let (exchange, queue, other) = ("e", "q", Some("o"));
        vec![
            (Operation::DeclareExchange { exchange, alternate_exchange: None }, &["configure e"]),
            (
                Operation::DeclareExchange { exchange, alternate_exchange: other },
                &["configure e", "read e", "write o"],
            ),
            (Operation::FindExchange { exchange }, &["configure|write|read e"]),
            (Operation::DeleteExchange { exchange }, &["configure e"]),
            (Operation::BindExchange { source: "e", destination: "o" }, &["write o", "read e"]),
            (Operation::UnbindExchange { source: "e", destination: "o" }, &["write o", "read e"]),
            (Operation::DeclareQueue { queue, dead_letter_exchange: None }, &["configure q"]),
            (
                Operation::DeclareQueue { queue, dead_letter_exchange: other },
                &["configure q", "read q", "write o"],
            ),
            (Operation::FindQueue { queue }, &["configure|write|read q"]),
            (Operation::DeleteQueue { queue }, &["configure q"]),
            (Operation::BindQueue { exchange, queue }, &["write q", "read e"]),
            (Operation::UnbindQueue { exchange, queue }, &["write q", "read e"]),
            (Operation::PurgeQueue { queue }, &["read q"]),
            (Operation::Publish { exchange }, &["write e"]),
            (Operation::Get { queue }, &["read q"]),
            (Operation::Consume { queue }, &["read q"]),
        ]
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn permission(configure: &str, write: &str, read: &str) -> Permission {
        Permission { configure: pattern(configure), write: pattern(write), read: pattern(read) }
    }

    /// The first need that `is_granted` does not meet.
    fn first_missing(needs: &[&str], is_granted: impl Fn(&str, &str) -> bool) -> Option<String> {
        needs.iter().find_map(|need| {
            let (accesses, name) = need.split_once(' ').unwrap();
            let first = accesses.split('|').next().unwrap();
            let is_met = accesses.split('|').any(|access| is_granted(access, name));
            (!is_met).then(|| format!("{first} {name}"))
        })
    }

    fn missing(operation: &Operation<'_>, permission: Option<&Permission>) -> Option<String> {
        let refused = authorize(operation, permission).err()?;
        Some(format!("{} {}", refused.access.as_str(), refused.name))
    }

    #[test]
    fn the_matrix_of_operations_and_accesses() {
        for (operation, needs) in table() {
            for subset in 0..8 {
                let texts = [0, 1, 2].map(|bit| if subset >> bit & 1 == 1 { ".*" } else { "" });
                let granted = permission(texts[0], texts[1], texts[2]);
                let is_granted = |access: &str, _: &str| {
                    let bit = ACCESSES.iter().position(|other| other.as_str() == access).unwrap();
                    subset >> bit & 1 == 1
                };
                let expected = first_missing(needs, is_granted);
                assert_eq!(missing(&operation, Some(&granted)), expected, "{operation:?} {granted:?}");
            }
        }
    }

    /// Each access on each resource for itself: 3 accesses x 3 names, all 512 combinations.
    #[test]
    fn the_matrix_of_operations_accesses_and_names() {
        let names = ["e", "q", "o"];
        for subset in 0..512 {
            let has = |access: usize, name: usize| subset >> (access * 3 + name) & 1 == 1;
            let texts = [0, 1, 2].map(|access| {
                let granted = (0..3).filter(|name| has(access, *name)).map(|name| names[name]);
                granted.map(|name| format!("^{name}$")).collect::<Vec<_>>().join("|")
            });
            let granted = permission(&texts[0], &texts[1], &texts[2]);
            for (operation, needs) in table() {
                let expected = first_missing(needs, |access, name| {
                    let access = ACCESSES.iter().position(|other| other.as_str() == access).unwrap();
                    has(access, names.iter().position(|other| *other == name).unwrap())
                });
                assert_eq!(missing(&operation, Some(&granted)), expected, "{operation:?} {granted:?}");
            }
        }
    }

    #[test]
    fn without_a_permission_nothing_is_allowed() {
        for (operation, needs) in table() {
            assert_eq!(missing(&operation, None), first_missing(needs, |_, _| false), "{operation:?}");
        }
    }

    #[test]
    fn the_default_exchange_has_a_name_here() {
        let publish = Operation::Publish { exchange: "" };
        let bind = Operation::BindExchange { source: "", destination: "" };
        for (write, is_allowed) in [("^amq\\.default$", true), ("^$", false), ("", false), (".*", true)] {
            for operation in [publish, bind] {
                let granted = permission("", write, ".*");
                assert_eq!(authorize(&operation, Some(&granted)).is_ok(), is_allowed, "{write}");
            }
        }
        let refused = authorize(&publish, None).unwrap_err();
        let expected = "write access to exchange 'amq.default' in vhost '/' refused for user 'u'";
        assert_eq!(refused.text("/", "u"), expected);
    }

    #[test]
    fn refusals_read_as_rabbitmq_writes_them() {
        for (operation, expected) in [
            (
                Operation::DeleteQueue { queue: "q" },
                "configure access to queue 'q' in vhost 'v' refused for user 'u'",
            ),
            (Operation::Get { queue: "q" }, "read access to queue 'q' in vhost 'v' refused for user 'u'"),
            (
                Operation::BindExchange { source: "s", destination: "d" },
                "write access to exchange 'd' in vhost 'v' refused for user 'u'",
            ),
        ] {
            assert_eq!(authorize(&operation, None).unwrap_err().text("v", "u"), expected);
        }
    }

    #[test]
    fn patterns_are_not_anchored() {
        for (text, name, expected) in [
            ("a", "xxaxx", true),
            ("^a", "xa", false),
            ("^a", "ax", true),
            ("^a$", "ab", false),
            ("a|b", "cb", true),
            (".*", "", true),
            ("", "a", false),
            ("^$", "a", false),
            ("(?i)AbC", "xabcx", true),
            ("^amq\\.gen.*", "amq.gen-x", true),
            ("é", "café", true),
        ] {
            assert_eq!(pattern(text).is_match(name), expected, "{text} {name}");
            assert_eq!(pattern(text).to_string(), text);
        }
    }

    #[test]
    fn hostile_patterns_are_matched_in_linear_time() {
        let name = "a".repeat(254) + "!";
        assert!(!pattern("^(a+)+$").is_match(&name));
        assert!(!pattern("^(a|a)*$").is_match(&name));
        assert!(!pattern("^(.*)*b$").is_match(&name));
    }
}
