//! Every method of AMQP 0-9-1 with RabbitMQ's additions: its arguments in text and on the wire.
//!
//! Names that are long in the specification are short here: `key` is routing-key, `tag` delivery-tag, `consumer`
//! consumer-tag, `args` arguments, `vhost` virtual-host.

use std::sync::LazyLock;

use super::{
    Trouble,
    table::Table,
    words::{Words, quoted},
};
use crate::codec::{Reader, Writer};

/// `class.method name argument:kind …`; arguments without a name are reserved: zero, and not shown.
const TABLE: &str = "\
10.10 connection.start major:octet minor:octet server-properties:table mechanisms:long-string locales:long-string
10.11 connection.start-ok client-properties:table mechanism:short-string response:long-string locale:short-string
10.20 connection.secure challenge:long-string
10.21 connection.secure-ok response:long-string
10.30 connection.tune channel-max:short frame-max:long heartbeat:short
10.31 connection.tune-ok channel-max:short frame-max:long heartbeat:short
10.40 connection.open vhost:short-string :short-string :bit
10.41 connection.open-ok :short-string
10.50 connection.close code:short text:short-string class:short method:short
10.51 connection.close-ok
10.60 connection.blocked reason:short-string
10.61 connection.unblocked
10.70 connection.update-secret secret:long-string reason:short-string
10.71 connection.update-secret-ok
20.10 channel.open :short-string
20.11 channel.open-ok :long-string
20.20 channel.flow active:bit
20.21 channel.flow-ok active:bit
20.40 channel.close code:short text:short-string class:short method:short
20.41 channel.close-ok
30.10 access.request realm:short-string exclusive:bit passive:bit active:bit write:bit read:bit
30.11 access.request-ok ticket:short
40.10 exchange.declare :short exchange:short-string type:short-string passive:bit durable:bit auto-delete:bit internal:bit no-wait:bit args:table
40.11 exchange.declare-ok
40.20 exchange.delete :short exchange:short-string if-unused:bit no-wait:bit
40.21 exchange.delete-ok
40.30 exchange.bind :short destination:short-string source:short-string key:short-string no-wait:bit args:table
40.31 exchange.bind-ok
40.40 exchange.unbind :short destination:short-string source:short-string key:short-string no-wait:bit args:table
40.51 exchange.unbind-ok
50.10 queue.declare :short queue:short-string passive:bit durable:bit exclusive:bit auto-delete:bit no-wait:bit args:table
50.11 queue.declare-ok queue:short-string messages:long consumers:long
50.20 queue.bind :short queue:short-string exchange:short-string key:short-string no-wait:bit args:table
50.21 queue.bind-ok
50.30 queue.purge :short queue:short-string no-wait:bit
50.31 queue.purge-ok messages:long
50.40 queue.delete :short queue:short-string if-unused:bit if-empty:bit no-wait:bit
50.41 queue.delete-ok messages:long
50.50 queue.unbind :short queue:short-string exchange:short-string key:short-string args:table
50.51 queue.unbind-ok
60.10 basic.qos prefetch-size:long prefetch-count:short global:bit
60.11 basic.qos-ok
60.20 basic.consume :short queue:short-string consumer:short-string no-local:bit no-ack:bit exclusive:bit no-wait:bit args:table
60.21 basic.consume-ok consumer:short-string
60.30 basic.cancel consumer:short-string no-wait:bit
60.31 basic.cancel-ok consumer:short-string
60.40 basic.publish :short exchange:short-string key:short-string mandatory:bit immediate:bit
60.50 basic.return code:short text:short-string exchange:short-string key:short-string
60.60 basic.deliver consumer:short-string tag:long-long redelivered:bit exchange:short-string key:short-string
60.70 basic.get :short queue:short-string no-ack:bit
60.71 basic.get-ok tag:long-long redelivered:bit exchange:short-string key:short-string messages:long
60.72 basic.get-empty :short-string
60.80 basic.ack tag:long-long multiple:bit
60.90 basic.reject tag:long-long requeue:bit
60.100 basic.recover-async requeue:bit
60.110 basic.recover requeue:bit
60.111 basic.recover-ok
60.120 basic.nack tag:long-long multiple:bit requeue:bit
85.10 confirm.select no-wait:bit
85.11 confirm.select-ok
90.10 tx.select
90.11 tx.select-ok
90.20 tx.commit
90.21 tx.commit-ok
90.30 tx.rollback
90.31 tx.rollback-ok
";

/// A method's place, name and arguments.
#[derive(Debug)]
pub struct Signature {
    pub class: u16,
    pub id: u16,
    pub name: &'static str,
    arguments: Vec<Argument>,
}

#[derive(Debug)]
struct Argument {
    name: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Bit,
    Octet,
    Short,
    Long,
    LongLong,
    ShortString,
    LongString,
    Table,
}

/// What a script gives for an argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// The name alone: a bit that is set.
    Flag,
    Text(Vec<u8>),
    Table(Table),
}

/// The arguments of a line of a script. What is not given is zero, empty or not set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments(Vec<(String, Given)>);

impl Arguments {
    /// Reads all words that are left.
    pub fn parse(words: &mut Words<'_>) -> Result<Arguments, Trouble> {
        let mut given = Vec::new();
        loop {
            words.skip_space();
            if words.is_empty() {
                return Ok(Arguments(given));
            }
            let name = words.bare()?.to_owned();
            let value = match words.take('=') {
                false => Given::Flag,
                true if words.rest().starts_with('{') => Given::Table(Table::parse(words)?),
                true => Given::Text(words.text()?),
            };
            given.push((name, value));
        }
    }

    /// Takes the argument of this name out.
    pub fn take(&mut self, name: &str) -> Option<Given> {
        let index = self.0.iter().position(|(given, _)| given == name)?;
        Some(self.0.remove(index).1)
    }

    /// Takes an argument that is text out.
    pub fn take_text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Given::Text(text) => Some(String::from_utf8_lossy(&text).into_owned()),
            Given::Flag | Given::Table(_) => None,
        }
    }

    /// Refuses arguments that nobody took.
    pub fn finish(&self) -> Result<(), Trouble> {
        match self.0.first() {
            Some((name, _)) => Err(Trouble::new(format!("no argument is called {name:?}"))),
            None => Ok(()),
        }
    }

    /// The same with other text wherever `change` has some.
    pub fn changed(&self, change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Arguments {
        let mut changed = self.clone();
        for (_, given) in &mut changed.0 {
            if let Given::Text(text) = given {
                *text = change(text).unwrap_or_else(|| std::mem::take(text));
            }
        }
        changed
    }
}

impl Signature {
    /// The method of this name.
    pub fn named(name: &str) -> Option<&'static Signature> {
        SIGNATURES.iter().find(|signature| signature.name == name)
    }

    /// The method with these ids.
    pub fn of(class: u16, id: u16) -> Option<&'static Signature> {
        SIGNATURES.iter().find(|signature| (signature.class, signature.id) == (class, id))
    }

    /// The method frame's payload.
    pub fn encode(&self, mut given: Arguments) -> Result<Vec<u8>, Trouble> {
        let mut writer = Writer::default().u16(self.class).u16(self.id);
        let mut bits = Bits::default();
        for argument in &self.arguments {
            let value = given.take(argument.name).filter(|_| !argument.name.is_empty());
            if argument.kind == Kind::Bit {
                bits.push(value.is_some());
            } else {
                writer = argument.encode(bits.flush(writer), value)?;
            }
        }
        given.finish()?;
        Ok(bits.flush(writer).0)
    }

    /// A method frame's arguments in words. `args` is what follows its ids.
    pub fn describe(&self, args: &[u8]) -> String {
        let mut reader = Reader(args);
        if self.name.ends_with(".close") {
            return format!("{} {}", self.name, describe_close(&mut reader));
        }
        let mut text = self.name.to_owned();
        let mut bits = Bits::default();
        for argument in &self.arguments {
            let value = match argument.kind {
                Kind::Bit => bits.next(&mut reader).then(String::new),
                _ => {
                    bits = Bits::default();
                    Some(format!("={}", argument.decode(&mut reader)))
                }
            };
            if let Some(value) = value.filter(|_| !argument.name.is_empty()) {
                text += &format!(" {}{value}", argument.name);
            }
        }
        if !reader.0.is_empty() {
            text += &format!(" and {} bytes too many", reader.0.len());
        }
        text
    }
}

/// The name of a method, or its numbers.
pub fn name(class: u16, id: u16) -> String {
    Signature::of(class, id)
        .map_or_else(|| format!("method {class}.{id}"), |signature| signature.name.to_owned())
}

/// `404 "NOT_FOUND - …" basic.get`; nothing for the method if no method is to blame.
fn describe_close(reader: &mut Reader<'_>) -> String {
    let code = reader.u16();
    let text = quoted(reader.short_bytes());
    match (reader.u16(), reader.u16()) {
        (0, 0) => format!("{code} {text}"),
        (class, id) => format!("{code} {text} {}", name(class, id)),
    }
}

impl Argument {
    fn encode(&self, writer: Writer, value: Option<Given>) -> Result<Writer, Trouble> {
        let (text, table) = match value {
            Some(Given::Text(text)) => (text, Table::default()),
            Some(Given::Table(table)) => (table.encode(), table),
            Some(Given::Flag) => return Err(Trouble::new(format!("{} needs a value", self.name))),
            None => (Vec::new(), Table::default()),
        };
        let number = || self.number(&text);
        Ok(match self.kind {
            Kind::Octet => writer.u8(number()? as u8),
            Kind::Short => writer.u16(number()? as u16),
            Kind::Long => writer.u32(number()? as u32),
            Kind::LongLong => writer.u64(number()?),
            Kind::ShortString => writer.short(&text),
            Kind::LongString => writer.long(&text),
            Kind::Table => writer.long(&table.encode()),
            Kind::Bit => writer,
        })
    }

    /// Nothing is zero.
    fn number(&self, text: &[u8]) -> Result<u64, Trouble> {
        let text = String::from_utf8_lossy(text);
        let number = if text.is_empty() { Ok(0) } else { text.parse() };
        number.map_err(|_| Trouble::new(format!("{}={text} is no number", self.name)))
    }

    fn decode(&self, reader: &mut Reader<'_>) -> String {
        match self.kind {
            Kind::Octet | Kind::Bit => reader.u8().to_string(),
            Kind::Short => reader.u16().to_string(),
            Kind::Long => reader.u32().to_string(),
            Kind::LongLong => reader.u64().to_string(),
            Kind::ShortString => quoted(reader.short_bytes()),
            Kind::LongString => quoted(reader.long()),
            Kind::Table => Table::decode(reader.long()).to_string(),
        }
    }
}

/// Bits that follow each other share octets, from the lowest bit up.
#[derive(Default)]
struct Bits {
    octet: u8,
    count: u8,
}

impl Bits {
    fn push(&mut self, is_set: bool) {
        self.octet |= u8::from(is_set) << self.count;
        self.count += 1;
    }

    fn flush(&mut self, writer: Writer) -> Writer {
        let bits = std::mem::take(self);
        if bits.count == 0 { writer } else { writer.u8(bits.octet) }
    }

    fn next(&mut self, reader: &mut Reader<'_>) -> bool {
        if self.count == 0 {
            self.octet = reader.u8();
        }
        let is_set = self.octet >> self.count & 1 == 1;
        self.count += 1;
        is_set
    }
}

static SIGNATURES: LazyLock<Vec<Signature>> = LazyLock::new(|| TABLE.lines().map(signature).collect());

fn signature(line: &'static str) -> Signature {
    let mut words = line.split(' ');
    let mut word = || words.next().expect("a line of the table has a place and a name");
    let (place, name) = (word(), word());
    let (class, id) = place.split_once('.').expect("a place is class.method");
    let number = |text: &str| text.parse().expect("class and method are numbers");
    Signature { class: number(class), id: number(id), name, arguments: words.map(argument).collect() }
}

fn argument(word: &'static str) -> Argument {
    let (name, kind) = word.split_once(':').expect("an argument has a kind");
    let kind = match kind {
        "bit" => Kind::Bit,
        "octet" => Kind::Octet,
        "short" => Kind::Short,
        "long" => Kind::Long,
        "long-long" => Kind::LongLong,
        "short-string" => Kind::ShortString,
        "long-string" => Kind::LongString,
        "table" => Kind::Table,
        _ => panic!("no kind of arguments is called {kind}"),
    };
    Argument { name, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line in words, through the wire.
    fn round(name: &str, arguments: &str) -> String {
        let signature = Signature::named(name).unwrap();
        let payload = signature.encode(Arguments::parse(&mut Words::new(arguments)).unwrap()).unwrap();
        signature.describe(&payload[4..])
    }

    #[test]
    fn methods_survive_the_wire() {
        for line in [
            "queue.declare queue=\"q\" durable no-wait args={x-expires=i32:1}",
            "exchange.declare exchange=\"x\" type=\"topic\" internal args={}",
            "basic.get-ok tag=18446744073709551615 redelivered exchange=\"\" key=\"\\xff\" messages=3",
            "connection.tune channel-max=2047 frame-max=131072 heartbeat=60",
            "connection.open vhost=\"/\"",
            "tx.commit",
        ] {
            let (name, arguments) = line.split_once(' ').unwrap_or((line, ""));
            assert_eq!(round(name, arguments), line);
        }
        assert_eq!(
            round("channel.close", "code=404 text=\"no\" class=50 method=10"),
            "channel.close 404 \"no\" queue.declare"
        );
        assert_eq!(round("connection.close", "code=320 text=bye"), "connection.close 320 \"bye\"");
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let encode = |name: &str, text: &str| {
            Signature::named(name).unwrap().encode(Arguments::parse(&mut Words::new(text)).unwrap())
        };
        assert!(encode("basic.ack", "tga=1").is_err());
        assert!(encode("basic.ack", "tag=one").is_err());
        assert!(encode("queue.bind", "queue").is_err());
    }
}
