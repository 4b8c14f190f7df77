//! One line of a script: what is done, and by whom.

use std::fmt::{self, Display};

use super::{
    Doing, Trouble,
    content::{self, Properties},
    methods::{Arguments, Given, Signature},
    table::hexadecimal,
    words::Words,
};

/// A step of a script.
#[derive(Debug)]
pub struct Step {
    /// The line.
    pub text: String,
    /// It is sent together with the next step: nobody listens in between.
    pub is_joined: bool,
    pub action: Action,
}

#[derive(Debug)]
pub enum Action {
    /// Something that an operator does.
    Broker(Setup),
    /// A command line of the broker's admin tools.
    Tool(String),
    /// Something that a connection says.
    At {
        who: Who,
        /// As it stands: no connection and no channel is opened for it.
        is_bare: bool,
        deed: Deed,
    },
}

/// A connection, and a channel of it: 0 for the connection itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    pub connection: char,
    pub channel: u16,
}

#[derive(Debug)]
pub enum Setup {
    User { name: String, tags: String },
    Permit { user: String, configure: String, write: String, read: String },
    Request { method: String, path: String, body: String },
}

#[derive(Debug)]
pub enum Deed {
    /// A TCP connection, nothing said.
    Socket,
    /// The protocol header, answered by `connection.start`, of which the transcript does not tell.
    Greet,
    /// The whole handshake.
    Connect(Login),
    Method(&'static Signature, Arguments),
    /// A method with its content.
    Publish(Arguments, Properties, Vec<u8>),
    Header {
        class: u16,
        size: u64,
        properties: Properties,
    },
    Body(Vec<u8>),
    Frame {
        kind: u8,
        payload: Vec<u8>,
        end: u8,
    },
    Bytes(Vec<u8>),
    /// The socket is closed without a farewell.
    Cut,
    /// Waits until a queue is as described.
    Await {
        queue: String,
        state: Awaited,
    },
}

/// What [`Deed::Await`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    Gone,
    /// Exclusive, and another connection's.
    Locked,
    Counts {
        messages: Option<u32>,
        consumers: Option<u32>,
    },
}

/// How [`Deed::Connect`] logs in.
#[derive(Debug, Clone)]
pub struct Login {
    pub user: String,
    pub password: String,
    /// None for the script's own.
    pub vhost: Option<String>,
    pub mechanism: String,
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat: u16,
    /// A capability that the client does not declare.
    pub without: Option<String>,
}

impl Default for Login {
    fn default() -> Login {
        Login {
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            vhost: None,
            mechanism: "PLAIN".to_owned(),
            channel_max: 2_047,
            frame_max: 131_072,
            heartbeat: 0,
            without: None,
        }
    }
}

impl Step {
    /// Reads a line.
    pub fn parse(text: &str) -> Result<Step, Trouble> {
        Step::parse_line(text).doing(text)
    }

    fn parse_line(text: &str) -> Result<Step, Trouble> {
        if let Some(line) = text.strip_prefix("$ ") {
            let action = Action::Tool(line.to_owned());
            return Ok(Step { text: text.to_owned(), is_joined: false, action });
        }
        let (is_joined, line) = match text.strip_prefix("+ ") {
            Some(line) => (true, line),
            None => (false, text),
        };
        let (who, rest) = line.split_once(' ').ok_or_else(|| Trouble::new("a step says who and what"))?;
        let mut words = Words::new(rest);
        let action = match who.split_at(who.len() - 1) {
            ("broker", ":") => Action::Broker(Setup::parse(&mut words)?),
            (who, mark @ (":" | "!")) => {
                let who = Who::parse(who)?;
                Action::At { who, is_bare: mark == "!", deed: Deed::parse(&mut words)? }
            }
            _ => return Err(Trouble::new("after who comes a colon or an exclamation mark")),
        };
        Ok(Step { text: text.to_owned(), is_joined, action })
    }
}

impl Who {
    fn parse(text: &str) -> Result<Who, Trouble> {
        let mut chars = text.chars();
        let connection = chars.next().filter(char::is_ascii_lowercase);
        let number = chars.as_str();
        let channel = if number.is_empty() { Ok(0) } else { number.parse() };
        let who = connection.zip(channel.ok()).map(|(connection, channel)| Who { connection, channel });
        who.ok_or_else(|| Trouble::new(format!("{text:?} is no connection, like a, or channel, like a1")))
    }
}

impl Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.channel {
            0 => write!(f, "{}", self.connection),
            channel => write!(f, "{}{channel}", self.connection),
        }
    }
}

impl Setup {
    fn parse(words: &mut Words<'_>) -> Result<Setup, Trouble> {
        match words.bare()? {
            "user" => {
                words.skip_space();
                let name = words.bare()?.to_owned();
                let mut given = Arguments::parse(words)?;
                let tags = given.take_text("tags").unwrap_or_default();
                given.finish()?;
                Ok(Setup::User { name, tags })
            }
            "permit" => {
                words.skip_space();
                let user = words.bare()?.to_owned();
                let mut given = Arguments::parse(words)?;
                let mut pattern = |name| given.take_text(name).unwrap_or_else(|| ".*".to_owned());
                let (configure, write, read) = (pattern("configure"), pattern("write"), pattern("read"));
                given.finish()?;
                Ok(Setup::Permit { user, configure, write, read })
            }
            method @ ("PUT" | "POST" | "DELETE") => {
                let method = method.to_owned();
                words.skip_space();
                let (path, body) = words.rest().split_once(' ').unwrap_or((words.rest(), ""));
                Ok(Setup::Request { method, path: path.to_owned(), body: body.to_owned() })
            }
            word => Err(Trouble::new(format!("{word:?} is nothing that an operator does"))),
        }
    }
}

impl Deed {
    fn parse(words: &mut Words<'_>) -> Result<Deed, Trouble> {
        let verb = words.bare()?;
        if verb == "bytes" {
            return parse_bytes(words).map(Deed::Bytes);
        }
        let mut given = Arguments::parse(words)?;
        let deed = match verb {
            "socket" => Deed::Socket,
            "greet" => Deed::Greet,
            "cut" => Deed::Cut,
            "connect" => Deed::Connect(Login::take(&mut given)?),
            "await" => parse_await(&mut given)?,
            "header" => Deed::Header {
                class: number(&mut given, "class", 60)?,
                size: number(&mut given, "size", 0)?,
                properties: take_properties(&mut given)?,
            },
            "body" => Deed::Body(take_body(&mut given).unwrap_or_default()),
            "heartbeat" => Deed::Frame { kind: 8, payload: Vec::new(), end: 0xCE },
            "frame" => Deed::Frame {
                kind: number(&mut given, "kind", 1)?,
                payload: hexadecimal(&given.take_text("payload").unwrap_or_default())?,
                end: number(&mut given, "end", 0xCE)?,
            },
            _ => {
                let method = Signature::named(verb)
                    .ok_or_else(|| Trouble::new(format!("{verb:?} is no method and nothing else")))?;
                return parse_method(method, given);
            }
        };
        given.finish()?;
        Ok(deed)
    }
}

fn parse_method(method: &'static Signature, mut given: Arguments) -> Result<Deed, Trouble> {
    let body = if method.name == "basic.publish" { take_body(&mut given) } else { None };
    let Some(body) = body else {
        // Encoded once here, so that a wrong script is found before anything is played.
        method.encode(given.clone())?;
        return Ok(Deed::Method(method, given));
    };
    let properties = take_properties(&mut given)?;
    method.encode(given.clone())?;
    Ok(Deed::Publish(given, properties, body))
}

fn take_body(given: &mut Arguments) -> Option<Vec<u8>> {
    match given.take("body")? {
        Given::Text(text) => Some(content::body(&text)),
        Given::Flag | Given::Table(_) => Some(Vec::new()),
    }
}

fn take_properties(given: &mut Arguments) -> Result<Properties, Trouble> {
    match given.take("props") {
        Some(Given::Table(table)) => Properties::of(&table),
        Some(_) => Err(Trouble::new("props={…}")),
        None => Ok(Properties::default()),
    }
}

/// Hexadecimal digits and quoted text, in any order.
fn parse_bytes(words: &mut Words<'_>) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    loop {
        words.skip_space();
        if words.is_empty() {
            return Ok(bytes);
        }
        bytes.extend(if words.is_quoted() { words.quoted()? } else { hexadecimal(words.bare()?)? });
    }
}

fn parse_await(given: &mut Arguments) -> Result<Deed, Trouble> {
    let queue = given.take_text("queue").unwrap_or_default();
    let messages = count(given, "messages")?;
    let consumers = count(given, "consumers")?;
    let state = if given.take("gone").is_some() {
        Awaited::Gone
    } else if given.take("locked").is_some() {
        Awaited::Locked
    } else {
        Awaited::Counts { messages, consumers }
    };
    Ok(Deed::Await { queue, state })
}

fn count(given: &mut Arguments, name: &str) -> Result<Option<u32>, Trouble> {
    given.take_text(name).map(|text| text.parse()).transpose().doing(name)
}

impl Login {
    fn take(given: &mut Arguments) -> Result<Login, Trouble> {
        let usual = Login::default();
        let user = given.take_text("user").unwrap_or(usual.user);
        Ok(Login {
            password: given.take_text("password").unwrap_or_else(|| user.clone()),
            user,
            vhost: given.take_text("vhost"),
            mechanism: given.take_text("mechanism").unwrap_or(usual.mechanism),
            channel_max: number(given, "channel-max", usual.channel_max)?,
            frame_max: number(given, "frame-max", usual.frame_max)?,
            heartbeat: number(given, "heartbeat", usual.heartbeat)?,
            without: given.take_text("without"),
        })
    }
}

fn number<T: std::str::FromStr<Err: Display>>(
    given: &mut Arguments,
    name: &str,
    usual: T,
) -> Result<T, Trouble> {
    given.take_text(name).map_or(Ok(usual), |text| text.parse().doing(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_understood() {
        for line in [
            "a: connect user=alice password=\"x y\" heartbeat=5",
            "+ a1: basic.publish key=q props={headers={a=i32:1}} body=100*x",
            "a7! channel.open",
            "b: bytes \"AMQP\" 00000901",
            "b: frame kind=9 payload=00ff end=0",
            "a1: await queue=q messages=3",
            "a1: await queue=q gone",
            "broker: user alice tags=management",
            "$ rabbitmqctl list_queues -p @vhost",
            "broker: permit alice configure=\"\"",
            "broker: PUT /api/vhosts/x {\"a\": 1}",
        ] {
            Step::parse(line).unwrap();
        }
    }

    #[test]
    fn wrong_steps_are_refused() {
        for line in [
            "a1 queue.declare",
            "A1: queue.declare",
            "a1: queue.declared",
            "a1: queue.declare que=q",
            "a1: basic.publish body=x props={shoe-size=1}",
            "a: connect shoe-size=42",
            "broker: dance",
            "a1: await messages=many",
        ] {
            assert!(Step::parse(line).is_err(), "{line}");
        }
    }
}
