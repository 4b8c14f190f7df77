//! How a player takes what connections bring: what is answered at once, what is told, and what is not.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{
    Trouble,
    hearing::ids,
    masks::{GENERATED, Heard, generated_after},
    peer::{Event, Phase},
    player::{OWN_CHANNEL, Player},
    step::{Awaited, Who},
    words::quoted,
};
use crate::codec::{Frame, METHOD, Reader};

/// Between two questions whether a queue is as it is to be.
const PAUSE: Duration = Duration::from_millis(5);

impl Player<'_> {
    /// Takes one event of a connection.
    pub(super) fn handle(&mut self, number: usize, event: Event) -> Result<(), Trouble> {
        let named = self.peers.iter_mut().find(|(_, peer)| peer.number == number);
        // A connection that another has replaced.
        let Some((&connection, peer)) = named else { return Ok(()) };
        match event {
            Event::Frame(frame) if frame.channel == OWN_CHANNEL => self.handle_own(connection, frame),
            Event::Frame(frame) => self.handle_frame(connection, &frame),
            Event::Bytes(bytes) => {
                self.tell(Who { connection, channel: 0 }, format!("bytes {}", quoted(&bytes)), None);
                Ok(())
            }
            Event::Closed => {
                let cut_off = peer.hearing.finish();
                let is_told = peer.phase != Phase::Closed && !peer.is_leaving;
                peer.phase = Phase::Closed;
                peer.channels.clear();
                for (channel, text) in cut_off {
                    self.tell(Who { connection, channel }, text, None);
                }
                if is_told {
                    self.tell(Who { connection, channel: 0 }, "closed".to_owned(), None);
                }
                Ok(())
            }
        }
    }

    fn handle_frame(&mut self, connection: char, frame: &Frame) -> Result<(), Trouble> {
        let who = Who { connection, channel: frame.channel };
        let text = self.peer(who)?.hearing.hear(frame);
        if frame.kind == METHOD && matches!(ids(frame), (60, 80 | 120)) {
            return self.handle_confirm(who, frame);
        }
        let is_told = frame.kind != METHOD || self.react(who, ids(frame))?;
        if let Some(text) = text.filter(|_| is_told) {
            self.tell(who, text, None);
        }
        Ok(())
    }

    /// Answers a method that must be answered, and remembers what it changes. Whether the transcript tells of it.
    fn react(&mut self, who: Who, method: (u16, u16)) -> Result<bool, Trouble> {
        let vhost = self.vhost.clone();
        let peer = self.peer(who)?;
        Ok(match method {
            // connection.start, tune, open-ok, close, close-ok
            (10, 10) => {
                peer.answer_start()?;
                !std::mem::take(&mut peer.is_greeting)
            }
            (10, 30) => !peer.answer_tune(&vhost)?,
            (10, 41) => {
                peer.phase = Phase::Open;
                peer.login.is_none() || peer.is_login_told
            }
            (10, 50) => {
                peer.say("connection.close-ok", "")?;
                peer.phase = Phase::Closing;
                peer.channels.clear();
                true
            }
            (10, 51) => {
                // Who is to close the socket now is open; so we do.
                peer.cut();
                !peer.is_leaving
            }
            // channel.open-ok, flow-ok, close, close-ok
            (20, 11) => {
                let channel = peer.channels.entry(who.channel).or_default();
                channel.is_open = true;
                !std::mem::take(&mut channel.is_silent)
            }
            (20, 21) => {
                let channel = peer.channels.entry(who.channel).or_default();
                let is_own = channel.own_flows > 0;
                let count = if is_own { &mut channel.own_flows } else { &mut channel.syncs };
                *count = count.saturating_sub(1);
                is_own
            }
            (20, 40) => {
                peer.say_on(who.channel, "channel.close-ok", "")?;
                peer.channels.remove(&who.channel);
                true
            }
            (20, 41) => {
                peer.channels.remove(&who.channel);
                true
            }
            _ => true,
        })
    }

    /// A line for each message that is confirmed, however they were joined.
    fn handle_confirm(&mut self, who: Who, frame: &Frame) -> Result<(), Trouble> {
        let mut reader = Reader(&frame.payload[4..]);
        let (tag, is_multiple) = (reader.u64(), reader.u8() & 1 == 1);
        let verb = if ids(frame).1 == 80 { "basic.ack" } else { "basic.nack" };
        let channel = self.peer(who)?.channels.entry(who.channel).or_default();
        let news = channel.confirm(tag, is_multiple);
        if news.is_empty() {
            self.tell(who, format!("{verb} tag={tag} again"), None);
        }
        for number in news {
            self.tell(who, format!("{verb} tag={number}"), Some(number));
        }
        Ok(())
    }

    /// Takes an answer to what the player asked for itself.
    fn handle_own(&mut self, connection: char, frame: Frame) -> Result<(), Trouble> {
        let who = Who { connection, channel: OWN_CHANNEL };
        let is_answer = frame.kind == METHOD && matches!(ids(&frame), (50, 11) | (20, 40));
        self.react(who, ids(&frame))?;
        if is_answer {
            self.own_answers.push_back(frame);
        }
        Ok(())
    }

    /// Asks for a queue again and again until it is as it is to be (as the guide says, if there is one); tells how it
    /// was the last time.
    pub(super) fn await_queue(&mut self, who: Who, queue: &str, state: Awaited) -> Result<(), Trouble> {
        let deadline = Instant::now() + self.patience;
        loop {
            let found = self.ask_queue(who, queue)?;
            let text = format!("queue {queue} {found}");
            let is_reached = match self.expected_lines() {
                Some(lines) => lines.contains(&format!("{who} {text}")),
                None => found.is(state),
            };
            if is_reached || Instant::now() > deadline {
                self.tell(who, text, None);
                return Ok(());
            }
            if let Ok((number, event)) = self.events.recv_timeout(PAUSE) {
                self.handle(number, event)?;
            }
        }
    }

    fn ask_queue(&mut self, who: Who, queue: &str) -> Result<Found, Trouble> {
        let own = Who { channel: OWN_CHANNEL, ..who };
        if !self.peer(own)?.is_channel_open(OWN_CHANNEL) {
            self.open_channel(own)?;
        }
        let question = format!("queue={} passive", quoted(queue.as_bytes()));
        self.peer(own)?.say_on(OWN_CHANNEL, "queue.declare", &question)?;
        self.wait(|player| !player.own_answers.is_empty())?;
        let Some(answer) = self.own_answers.pop_front() else { return Ok(Found::Unknown) };
        let mut reader = Reader(&answer.payload[4..]);
        if ids(&answer) == (20, 40) {
            return Ok(if reader.u16() == 404 { Found::Gone } else { Found::Locked });
        }
        reader.short();
        Ok(Found::Counts { messages: reader.u32(), consumers: reader.u32() })
    }

    fn tell(&mut self, who: Who, text: String, confirms: Option<u64>) {
        for prefix in GENERATED {
            if let Some(name) = generated_after(&text, prefix) {
                self.made_up.insert(prefix, name);
            }
        }
        self.heard.push(Heard { who, text, confirms });
    }
}

/// How a queue was found.
#[derive(Clone, Copy)]
enum Found {
    Counts {
        messages: u32,
        consumers: u32,
    },
    /// Another connection's.
    Locked,
    Gone,
    /// There was no answer.
    Unknown,
}

impl Found {
    fn is(self, state: Awaited) -> bool {
        match (state, self) {
            (Awaited::Gone, Found::Gone) | (Awaited::Locked, Found::Locked) => true,
            (Awaited::Counts { messages, consumers }, Found::Counts { messages: m, consumers: c }) => {
                messages.is_none_or(|count| count == m) && consumers.is_none_or(|count| count == c)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Counts { messages, consumers } => write!(f, "messages={messages} consumers={consumers}"),
            Found::Locked => f.write_str("locked"),
            Found::Gone => f.write_str("gone"),
            Found::Unknown => f.write_str("unknown"),
        }
    }
}
