//! One connection of a script: its socket, a thread that reads it, and what is known of its state.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::mpsc::Sender,
};

use super::{
    Doing, Trouble, hearing::Hearing, methods::Arguments, methods::Signature, step::Login, target::Target,
    words::Words, words::quoted,
};
use crate::{
    codec::{BODY, FRAME_END, Frame, HEADER, METHOD},
    raw::PROTOCOL_HEADER,
};

/// The largest frame that is read; a broker that announces more has lost its place.
const FRAME_SIZE_MAX: u32 = 1 << 24;

/// What a socket brings.
#[derive(Debug)]
pub enum Event {
    Frame(Frame),
    /// Bytes that are no frame.
    Bytes(Vec<u8>),
    Closed,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Handshake,
    Open,
    /// One of the two has said `connection.close`.
    Closing,
    Closed,
}

/// A connection.
#[derive(Debug)]
pub struct Peer {
    /// Tells events of this connection from those of an earlier one of the same name.
    pub number: usize,
    pub phase: Phase,
    pub channels: BTreeMap<u16, Channel>,
    pub hearing: Hearing,
    /// How it logs in, if the player does that.
    pub login: Option<Login>,
    /// Whether the script said `connect`, so that the transcript tells how it went.
    pub is_login_told: bool,
    /// Whether `connection.start` is awaited that the transcript does not tell of.
    pub is_greeting: bool,
    pub frame_max: u32,
    /// The script is over; how this connection ends is not told.
    pub is_leaving: bool,
    socket: TcpStream,
}

/// A channel that is open, or that is being opened by the player.
#[derive(Debug, Default)]
pub struct Channel {
    pub is_open: bool,
    /// Opened by the player: the transcript does not tell.
    pub is_silent: bool,
    /// `channel.flow` that the script has said and that is not answered.
    pub own_flows: u32,
    /// `channel.flow` that the player has said to hear when all before it is answered.
    pub syncs: u32,
    /// Up to where all messages are confirmed.
    pub confirmed: u64,
    /// Confirmed messages after that.
    pub confirmed_early: Vec<u64>,
}

impl Peer {
    /// A TCP connection; its events come out of `events` with this number.
    pub fn connect(target: &Target, number: usize, events: Sender<(usize, Event)>) -> Result<Peer, Trouble> {
        let socket = TcpStream::connect(target.amqp).doing("connecting")?;
        socket.set_nodelay(true).doing("a socket")?;
        let reader = socket.try_clone().doing("a socket")?;
        std::thread::spawn(move || read(reader, |event| events.send((number, event)).is_ok()));
        Ok(Peer {
            number,
            phase: Phase::Handshake,
            channels: BTreeMap::new(),
            hearing: Hearing::default(),
            login: None,
            is_login_told: false,
            is_greeting: false,
            frame_max: Login::default().frame_max,
            is_leaving: false,
            socket,
        })
    }

    /// Says the protocol header.
    pub fn greet(&mut self) {
        self.is_greeting = true;
        self.write(&PROTOCOL_HEADER);
    }

    /// Begins the handshake; [`Peer::answer_start`] and [`Peer::answer_tune`] go on with it.
    pub fn log_in(&mut self, login: Login, is_told: bool) {
        self.frame_max = login.frame_max;
        self.login = Some(login);
        self.is_login_told = is_told;
        self.greet();
    }

    /// Says `connection.start-ok` if the player logs in.
    pub fn answer_start(&mut self) -> Result<(), Trouble> {
        let Some(login) = &self.login else { return Ok(()) };
        let is_declared = |name: &&str| login.without.as_deref() != Some(*name);
        let capabilities = [
            "authentication_failure_close",
            "basic.nack",
            "connection.blocked",
            "consumer_cancel_notify",
            "publisher_confirms",
        ];
        let capabilities: Vec<String> =
            capabilities.into_iter().filter(is_declared).map(|name| format!("{name}=true")).collect();
        let line = format!(
            "client-properties={{product=judge capabilities={{{}}}}} mechanism={} response={} locale=en_US",
            capabilities.join(" "),
            quoted(login.mechanism.as_bytes()),
            quoted(format!("\0{}\0{}", login.user, login.password).as_bytes()),
        );
        self.say("connection.start-ok", &line)
    }

    /// Says `connection.tune-ok` and `connection.open` if the player logs in.
    pub fn answer_tune(&mut self, vhost: &str) -> Result<bool, Trouble> {
        let Some(login) = &self.login else { return Ok(false) };
        let vhost = quoted(login.vhost.as_deref().unwrap_or(vhost).as_bytes());
        let tune = format!(
            "channel-max={} frame-max={} heartbeat={}",
            login.channel_max, login.frame_max, login.heartbeat
        );
        self.say("connection.tune-ok", &tune)?;
        self.say("connection.open", &format!("vhost={vhost}"))?;
        Ok(true)
    }

    /// Says a method of the connection.
    pub fn say(&mut self, method: &str, arguments: &str) -> Result<(), Trouble> {
        self.say_on(0, method, arguments)
    }

    /// Says a method on a channel.
    pub fn say_on(&mut self, channel: u16, method: &str, arguments: &str) -> Result<(), Trouble> {
        let signature = Signature::named(method).ok_or_else(|| Trouble::new(method))?;
        let payload = signature.encode(Arguments::parse(&mut Words::new(arguments))?)?;
        self.write_frame(METHOD, channel, payload);
        Ok(())
    }

    /// Says a method's content: the header, and the body in frames as large as they may be.
    pub fn write_content(&mut self, channel: u16, header: Vec<u8>, body: &[u8]) {
        self.write_frame(HEADER, channel, header);
        let size = self.frame_max.saturating_sub(8).max(1) as usize;
        for part in body.chunks(size) {
            self.write_frame(BODY, channel, part.to_vec());
        }
    }

    pub fn write_frame(&mut self, kind: u8, channel: u16, payload: Vec<u8>) {
        self.write(&Frame { kind, channel, payload }.encode());
    }

    /// The broker may have closed the connection already: that comes as an event.
    pub fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).ok();
    }

    /// Closes the socket.
    pub fn cut(&mut self) {
        self.phase = Phase::Closed;
        self.channels.clear();
        self.socket.shutdown(Shutdown::Both).ok();
    }

    /// Whether a channel can be asked something.
    pub fn is_channel_open(&self, channel: u16) -> bool {
        self.phase == Phase::Open && self.channels.get(&channel).is_some_and(|channel| channel.is_open)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Channel {
    /// The messages that an ack or nack is news about.
    pub fn confirm(&mut self, tag: u64, is_multiple: bool) -> Vec<u64> {
        let all = if is_multiple { self.confirmed + 1..=tag } else { tag..=tag };
        let news: Vec<u64> = all.filter(|number| !self.confirmed_early.contains(number)).collect();
        self.confirmed_early.extend(&news);
        self.confirmed_early.sort_unstable();
        while self.confirmed_early.first() == Some(&(self.confirmed + 1)) {
            self.confirmed_early.remove(0);
            self.confirmed += 1;
        }
        news
    }
}

/// Reads a socket until its end, or until nobody listens.
fn read(mut socket: TcpStream, send: impl Fn(Event) -> bool) {
    loop {
        let event = read_event(&mut socket).unwrap_or(Event::Closed);
        let is_last = matches!(event, Event::Closed);
        if !send(event) || is_last {
            return;
        }
    }
}

/// None at the end.
fn read_event(socket: &mut TcpStream) -> Option<Event> {
    let mut head = [0; 7];
    socket.read_exact(&mut head).ok()?;
    let [kind, c1, c0, size @ ..] = head;
    let size = u32::from_be_bytes(size);
    if head.starts_with(b"AMQP") || size > FRAME_SIZE_MAX {
        let mut rest = vec![0; 1];
        let count = socket.read(&mut rest).ok()?;
        return Some(Event::Bytes([&head[..], &rest[..count]].concat()));
    }
    let mut payload = vec![0; size as usize + 1];
    socket.read_exact(&mut payload).ok()?;
    if payload.pop() != Some(FRAME_END) {
        return Some(Event::Bytes([&head[..], &payload].concat()));
    }
    Some(Event::Frame(Frame { kind, channel: u16::from_be_bytes([c1, c0]), payload }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_confirmed_once() {
        let mut channel = Channel::default();
        assert_eq!(channel.confirm(2, false), [2]);
        assert_eq!(channel.confirm(4, true), [1, 3, 4]);
        assert_eq!(channel.confirm(5, true), [5]);
        assert_eq!((channel.confirmed, channel.confirmed_early.len()), (5, 0));
    }
}
