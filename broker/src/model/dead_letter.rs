//! What a message becomes when a queue sends it on to its dead letter exchange, as RabbitMQ does
//! (<https://www.rabbitmq.com/docs/dlx>).
//!
//! The headers say what happened, newest first, one entry for each queue and reason:
//!
//! ```text
//! x-death: [{count, reason, queue, time, exchange, routing-keys, original-expiration}, ...]
//! x-first-death-queue, -reason, -exchange: of the first entry ever; x-last-death-…: of the newest
//! ```
//!
//! Other headers stay as they are, sorted by name.

use std::{fmt, iter};

use super::{message::Message, name::Name, timestamp::Timestamp};
use crate::wire::{
    content::encode_header,
    encode::put_short_string,
    properties::Properties,
    table::{RawArray, RawTable, RawValue},
};

/// Why a message leaves a queue that nobody acked it from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `basic.reject` or `nack` without requeue.
    Rejected,
    /// Its time to live is over.
    Expired,
    /// The queue is longer than it may be.
    MaxLength,
    /// It was delivered too often.
    DeliveryLimit,
}

/// Where a queue sends its dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterTarget {
    /// `x-dead-letter-exchange`
    pub exchange: Name,
    /// `x-dead-letter-routing-key`; none: the message's own keys.
    pub routing_key: Option<Name>,
}

/// A message's end in a queue.
#[derive(Clone, Copy, Debug)]
pub struct Death<'a> {
    /// The queue.
    pub queue: &'a str,
    /// Why.
    pub reason: Reason,
    /// When.
    pub now: Timestamp,
}

/// A dead letter on its way.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// What is published to the exchange.
    pub message: Message,
    /// Keys to route by besides the message's own.
    pub more_keys: Vec<Vec<u8>>,
}

impl Reason {
    /// The word in `x-death`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl DeadLetter {
    /// What becomes of a message that died. None if its properties can't be read, or grew too deep.
    #[must_use]
    pub fn of(message: &Message, death: Death<'_>, target: &DeadLetterTarget) -> Option<Self> {
        let properties = message.content_header()?.properties;
        let table = properties.headers.unwrap_or_default();
        let carbon_copies = carbon_copies(properties.headers);
        let event =
            Event { death, message, carbon_copies: &carbon_copies, expiration: properties.expiration };
        let mut headers = Headers::of(table);
        headers.note_death(&event, table.get("x-death"));
        headers.remove(b"BCC");
        let key = match &target.routing_key {
            Some(key) => {
                headers.remove(b"CC");
                key.as_bytes()
            }
            None => message.routing_key(),
        };
        let route = (target.exchange.as_bytes(), key);
        let message = headers.apply(message, route, Properties { expiration: None, ..properties })?;
        let more_keys = if target.routing_key.is_some() { Vec::new() } else { carbon_copies };
        Some(Self { message, more_keys })
    }

    /// Whether the letter would come back to a queue that it left before, and no consumer had a hand in what happened
    /// since: nothing would ever end that.
    #[must_use]
    pub fn is_cycle(&self, reason: Reason, queue: &str) -> bool {
        if reason == Reason::Rejected {
            return false;
        }
        let headers = self.message.content_header().and_then(|header| header.properties.headers);
        let Some(RawValue::Array(deaths)) = headers.and_then(|headers| headers.get("x-death")) else {
            return false;
        };
        for death in deaths.iter() {
            let RawValue::Table(death) = death else { return false };
            if text(death, "reason") == Some(Reason::Rejected.as_str().as_bytes()) {
                return false;
            }
            if text(death, "queue") == Some(queue.as_bytes()) {
                return true;
            }
        }
        false
    }
}

/// The message with a count in one of its headers. None if its properties can't be read.
#[must_use]
pub fn with_count_header(message: &Message, name: &str, count: u32) -> Option<Message> {
    with_headers(message, |headers| headers.put(name.as_bytes(), RawValue::Int64(i64::from(count))))
}

/// The message without one of its headers. None if its properties can't be read.
#[must_use]
pub fn without_header(message: &Message, name: &str) -> Option<Message> {
    with_headers(message, |headers| headers.remove(name.as_bytes()))
}

fn with_headers(message: &Message, change: impl FnOnce(&mut Headers)) -> Option<Message> {
    let properties = message.content_header()?.properties;
    let mut headers = Headers::of(properties.headers.unwrap_or_default());
    change(&mut headers);
    let changed = headers.apply(message, (message.exchange(), message.routing_key()), properties)?;
    Some(changed.arriving_at(message.arrived_at().unwrap_or_default()))
}

/// Headers as names and tagged values.
struct Headers {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Headers {
    fn of(table: RawTable<'_>) -> Self {
        Self { entries: table.iter().map(|(name, value)| (name.to_vec(), tagged(value))).collect() }
    }

    fn note_death(&mut self, event: &Event<'_>, before: Option<RawValue<'_>>) {
        if before.is_none() {
            self.put_death("first", event);
        }
        let deaths = match before {
            Some(RawValue::Array(deaths)) => event.add_to(&grouped(deaths)),
            _ => event.table(),
        };
        self.entries.retain(|(name, _)| name != b"x-death");
        self.entries.push((b"x-death".to_vec(), with_size(b'A', &deaths)));
        self.put_death("last", event);
    }

    /// What the first or last entry is about, on its own.
    fn put_death(&mut self, which: &str, event: &Event<'_>) {
        for (what, text) in [
            ("reason", event.death.reason.as_str().as_bytes()),
            ("queue", event.death.queue.as_bytes()),
            ("exchange", event.message.exchange()),
        ] {
            self.put(format!("x-{which}-death-{what}").as_bytes(), RawValue::LongString(text));
        }
    }

    fn put(&mut self, name: &[u8], value: RawValue<'_>) {
        self.remove(name);
        self.entries.push((name.to_vec(), tagged(value)));
    }

    fn remove(&mut self, name: &[u8]) {
        self.entries.retain(|(other, _)| other != name);
    }

    /// The same body with these headers. None if they are too deep for a table by now.
    fn apply(
        mut self,
        message: &Message,
        (exchange, key): (&[u8], &[u8]),
        properties: Properties<'_>,
    ) -> Option<Message> {
        self.entries.sort_by(|one, other| one.0.cmp(&other.0));
        let entries = entries(self.entries.iter().map(|(name, value)| (name.as_slice(), value.as_slice())));
        let table = RawTable::parse_entries(&entries).ok()?;
        let headers = (!table.is_empty()).then_some(table);
        let mut buffer = Vec::with_capacity(message.size() + entries.len());
        put_short_string(&mut buffer, exchange);
        put_short_string(&mut buffer, key);
        let route_size = buffer.len();
        encode_header(&mut buffer, message.body_size() as u64, &Properties { headers, ..properties });
        let header_size = buffer.len() - route_size;
        buffer.extend_from_slice(message.body());
        let sizes = (u16::try_from(route_size).ok()?, u32::try_from(header_size).ok()?);
        Some(Message::from_buffer(buffer.into(), sizes, message.is_persistent()))
    }
}

/// A death and what it says of the message.
struct Event<'a> {
    death: Death<'a>,
    message: &'a Message,
    carbon_copies: &'a [Vec<u8>],
    expiration: Option<&'a [u8]>,
}

impl Event<'_> {
    /// The entry for it, in the order in which RabbitMQ has it.
    fn fields(&self) -> Vec<(&'static [u8], Vec<u8>)> {
        let keys = iter::once(self.message.routing_key()).chain(self.carbon_copies.iter().map(Vec::as_slice));
        let keys: Vec<u8> = keys.flat_map(|key| tagged(RawValue::LongString(key))).collect();
        let mut fields: Vec<(&'static [u8], Vec<u8>)> = vec![
            (b"count", tagged(RawValue::Int64(1))),
            (b"reason", tagged(RawValue::LongString(self.death.reason.as_str().as_bytes()))),
            (b"queue", tagged(RawValue::LongString(self.death.queue.as_bytes()))),
            (b"time", tagged(RawValue::Timestamp(self.death.now.seconds()))),
            (b"exchange", tagged(RawValue::LongString(self.message.exchange()))),
            (b"routing-keys", with_size(b'A', &keys)),
        ];
        let expiration = self.expiration.map(|text| tagged(RawValue::LongString(text)));
        fields.extend(expiration.map(|text| (&b"original-expiration"[..], text)));
        fields
    }

    /// The entry for it, alone.
    fn table(&self) -> Vec<u8> {
        let fields = self.fields();
        with_size(b'F', &entries(fields.iter().map(|(name, value)| (*name, value.as_slice()))))
    }

    /// The entries with this one counted, at the front.
    fn add_to(&self, deaths: &[(RawValue<'_>, i64)]) -> Vec<u8> {
        let (same, others): (Vec<(RawValue<'_>, i64)>, Vec<_>) =
            deaths.iter().partition(|(death, _)| self.is_of(death));
        let mut fields: Vec<(&[u8], Vec<u8>)> = match same.first() {
            Some((RawValue::Table(death), count)) => {
                let rest = death.iter().filter(|(name, _)| *name != b"count");
                let count = (&b"count"[..], tagged(RawValue::Int64(count.saturating_add(1))));
                iter::once(count).chain(rest.map(|(name, value)| (name, tagged(value)))).collect()
            }
            _ => self.fields(),
        };
        fields.sort_by_key(|(name, _)| *name);
        let first = with_size(b'F', &entries(fields.iter().map(|(name, value)| (*name, value.as_slice()))));
        others.into_iter().fold(first, |mut out, (death, count)| {
            out.extend(counted(death, count));
            out
        })
    }

    fn is_of(&self, death: &RawValue<'_>) -> bool {
        let own = (Some(self.death.queue.as_bytes()), Some(self.death.reason.as_str().as_bytes()));
        matches!(death, RawValue::Table(table) if (text(*table, "queue"), text(*table, "reason")) == own)
    }
}

/// The entries and how often each happened: those of the same queue and reason, which older brokers wrote one by one,
/// are one.
fn grouped(deaths: RawArray<'_>) -> Vec<(RawValue<'_>, i64)> {
    let mut groups: Vec<(RawValue<'_>, i64)> = Vec::new();
    for death in deaths.iter() {
        let count = match death {
            RawValue::Table(table) => table.get("count"),
            _ => None,
        };
        let count = match count {
            Some(RawValue::Int64(count)) => count,
            Some(RawValue::Int32(count)) => i64::from(count),
            _ => 1,
        };
        let same = groups.iter_mut().find(|(other, _)| is_same_death(other, &death));
        match same {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => groups.push((death, count)),
        }
    }
    groups
}

fn is_same_death(one: &RawValue<'_>, other: &RawValue<'_>) -> bool {
    match (one, other) {
        (RawValue::Table(one), RawValue::Table(other)) => {
            text(*one, "queue") == text(*other, "queue") && text(*one, "reason") == text(*other, "reason")
        }
        _ => false,
    }
}

/// An entry with its count; what is none stays as it is.
fn counted(death: RawValue<'_>, count: i64) -> Vec<u8> {
    let RawValue::Table(table) = death else { return tagged(death) };
    let count = iter::once((&b"count"[..], tagged(RawValue::Int64(count))));
    let rest = table.iter().filter(|(name, _)| *name != b"count");
    let fields: Vec<(&[u8], Vec<u8>)> =
        count.chain(rest.map(|(name, value)| (name, tagged(value)))).collect();
    with_size(b'F', &entries(fields.iter().map(|(name, value)| (*name, value.as_slice()))))
}

/// The keys in the header `CC`: the publisher's besides the routing key.
fn carbon_copies(headers: Option<RawTable<'_>>) -> Vec<Vec<u8>> {
    let Some(RawValue::Array(keys)) = headers.and_then(|headers| headers.get("CC")) else {
        return Vec::new();
    };
    let text = |value| match value {
        RawValue::LongString(text) => Some(text.to_vec()),
        _ => None,
    };
    keys.iter().filter_map(text).collect()
}

fn text<'a>(table: RawTable<'a>, name: &str) -> Option<&'a [u8]> {
    match table.get(name)? {
        RawValue::LongString(text) => Some(text),
        _ => None,
    }
}

fn tagged(value: RawValue<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

/// A table's or an array's bytes behind tag and size.
fn with_size(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
    out
}

fn entries<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        put_short_string(&mut out, name);
        out.extend_from_slice(value);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::{
        model::message::{Arena, MessageHead},
        wire::content::parse_content_header,
    };

    const NOW: Timestamp = Timestamp(5_000);

    fn message(headers: &[(&str, RawValue<'_>)], expiration: Option<&[u8]>) -> Message {
        let fields: Vec<(&str, Vec<u8>)> =
            headers.iter().map(|(name, value)| (*name, tagged(*value))).collect();
        let entries = entries(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())));
        let headers = (!headers.is_empty()).then(|| RawTable::parse_entries(&entries).unwrap());
        let mut header = Vec::new();
        let properties = Properties { headers, expiration, priority: Some(3), ..Properties::default() };
        encode_header(&mut header, 4, &properties);
        let head = MessageHead { route: b"\x01x\x01k", header: &header, is_persistent: true };
        Arena::default().message(head, b"body")
    }

    fn target(routing_key: Option<&'static str>) -> DeadLetterTarget {
        DeadLetterTarget { exchange: Name::literal("dlx"), routing_key: routing_key.map(Name::literal) }
    }

    fn die(message: &Message, queue: &str, reason: Reason, key: Option<&'static str>) -> DeadLetter {
        DeadLetter::of(message, Death { queue, reason, now: NOW }, &target(key)).unwrap()
    }

    fn show_value(value: RawValue<'_>) -> String {
        let list = |items: Vec<String>| items.join(" ");
        match value {
            RawValue::Int64(number) => number.to_string(),
            RawValue::Timestamp(seconds) => format!("{seconds}s"),
            RawValue::LongString(text) => format!("'{}'", String::from_utf8_lossy(text)),
            RawValue::Array(array) => format!("[{}]", list(array.iter().map(show_value).collect())),
            RawValue::Table(table) => format!("{{{}}}", list(fields(table))),
            other => format!("{other:?}"),
        }
    }

    fn fields(table: RawTable<'_>) -> Vec<String> {
        table
            .iter()
            .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), show_value(value)))
            .collect()
    }

    /// Exchange, key, and a line for each header.
    fn show(message: &Message) -> String {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let mut out = format!("{} {}", text(message.exchange()), text(message.routing_key()));
        let properties = parse_content_header(message.header()).unwrap().properties;
        for field in fields(properties.headers.unwrap_or_default()) {
            write!(out, "\n{field}").unwrap();
        }
        out
    }

    #[test]
    fn a_first_death_is_told_as_rabbitmq_tells_it() {
        let before = message(&[("z", RawValue::Int64(1)), ("a", RawValue::LongString(b"b"))], Some(b"60000"));
        let letter = die(&before, "q", Reason::Expired, None);
        assert_eq!(
            show(&letter.message),
            "dlx k\n\
             a='b'\n\
             x-death=[{count=1 reason='expired' queue='q' time=5s exchange='x' routing-keys=['k'] \
             original-expiration='60000'}]\n\
             x-first-death-exchange='x'\n\
             x-first-death-queue='q'\n\
             x-first-death-reason='expired'\n\
             x-last-death-exchange='x'\n\
             x-last-death-queue='q'\n\
             x-last-death-reason='expired'\n\
             z=1"
        );
        let properties = letter.message.content_header().unwrap().properties;
        assert_eq!((properties.expiration, properties.priority), (None, Some(3)));
        assert_eq!((letter.message.body(), letter.message.is_persistent()), (&b"body"[..], true));
    }

    #[test]
    fn deaths_are_counted_by_queue_and_reason_and_the_newest_is_first() {
        let first = die(&message(&[], None), "q1", Reason::Rejected, None).message;
        let second = die(&first, "q2", Reason::MaxLength, None).message;
        let third = die(&second, "q1", Reason::Rejected, None).message;
        let deaths = show(&third).lines().nth(1).unwrap().to_owned();
        assert_eq!(
            deaths,
            "x-death=[{count=2 exchange='x' queue='q1' reason='rejected' routing-keys=['k'] time=5s} \
             {count=1 exchange='dlx' queue='q2' reason='maxlen' routing-keys=['k'] time=5s}]"
        );
        assert!(show(&third).contains("x-first-death-queue='q1'"));
    }

    #[test]
    fn entries_without_counts_are_counted_and_others_stay() {
        let death = |count: &[u8]| [count, b"\x05queueS\0\0\0\x01q\x06reasonS\0\0\0\x08rejected"].concat();
        let (plain, counted) =
            (with_size(b'F', &death(b"")), with_size(b'F', &death(b"\x05countI\0\0\0\x03")));
        let array = [plain.clone(), tagged(RawValue::LongString(b"odd")), plain, counted].concat();
        let entries = entries([(&b"x-death"[..], with_size(b'A', &array).as_slice())].into_iter());
        let table = RawTable::parse_entries(&entries).unwrap();
        let before = message(&[("x-death", table.get("x-death").unwrap())], None);
        let after = show(&die(&before, "q", Reason::Rejected, None).message);
        assert!(after.contains("x-death=[{count=6 queue='q' reason='rejected'} 'odd']"), "{after}");
        // What is no list of deaths gives way to one.
        let before = message(&[("x-death", RawValue::LongString(b"foo"))], None);
        let after = show(&die(&before, "q", Reason::Rejected, None).message);
        assert!(after.contains("x-death=[{count=1 reason='rejected'"), "{after}");
    }

    #[test]
    fn carbon_copies_are_keys_unless_the_queue_has_one() {
        let keys = [tagged(RawValue::LongString(b"c1")), tagged(RawValue::LongString(b"c2"))].concat();
        let entries = entries([(&b"CC"[..], with_size(b'A', &keys).as_slice())].into_iter());
        let copies = RawTable::parse_entries(&entries).unwrap().get("CC").unwrap();
        let before = message(&[("CC", copies), ("BCC", copies)], None);
        let own = die(&before, "q", Reason::Rejected, None);
        assert_eq!(own.more_keys, [b"c1", b"c2"]);
        assert!(show(&own.message).starts_with("dlx k\nCC=['c1' 'c2']\nx-death"));
        let other = die(&before, "q", Reason::Rejected, Some("r"));
        assert!(other.more_keys.is_empty());
        assert!(show(&other.message).starts_with("dlx r\nx-death"));
        assert!(show(&other.message).contains("routing-keys=['k' 'c1' 'c2']"));
    }

    #[test]
    fn what_goes_round_without_a_reject_is_a_cycle() {
        let first = die(&message(&[], None), "q1", Reason::Expired, None);
        assert!(first.is_cycle(Reason::Expired, "q1"));
        assert!(!first.is_cycle(Reason::Expired, "q2"));
        let second = die(&first.message, "q2", Reason::MaxLength, None);
        assert!(second.is_cycle(Reason::MaxLength, "q1"));
        assert!(!second.is_cycle(Reason::Rejected, "q1"), "a consumer refused it just now");
        let refused = die(&first.message, "q2", Reason::Rejected, None);
        let third = die(&refused.message, "q3", Reason::Expired, None);
        assert!(!third.is_cycle(Reason::Expired, "q1"), "a consumer refused it on the way");
        assert!(third.is_cycle(Reason::Expired, "q3"));
    }

    #[test]
    fn a_header_comes_and_goes() {
        let plain = message(&[], None).arriving_at(NOW);
        let counted = with_count_header(&plain, "n", 1).unwrap();
        let again = with_count_header(&counted, "n", 2).unwrap();
        assert_eq!((show(&again).as_str(), again.arrived_at()), ("x k\nn=2", Some(NOW)));
        let without = without_header(&again, "n").unwrap();
        assert_eq!((show(&without).as_str(), without.body()), ("x k", &b"body"[..]));
    }
}
