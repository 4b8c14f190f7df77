//! A publisher that speaks AMQP by hand: it sees each confirm as it comes, where a client library has its own mind about
//! a second ack or a late return.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use super::{
    history::{Event, MessageId, PublisherIndex},
    random::Random,
    shared::Shared,
    workload::{publisher, role},
};
use crate::{
    codec::{FRAME_END, Frame, HEADER, METHOD, Reader, Writer},
    method::{self, Say, describe},
    raw::{FRAME_MAX, PROTOCOL_HEADER},
};

/// How long the broker may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The property flag of `delivery_mode`.
const DELIVERY_MODE_FLAG: u16 = 1 << 12;

/// Publishes in bursts, each confirmed before the next, until the campaign stops or the broker dies. Says what the
/// broker did that no broker may.
pub fn publish(shared: &Arc<Shared>, amqp: SocketAddr, mut random: Random) -> Result<(), String> {
    let Some(mut wire) = Wire::open(amqp)? else { return Ok(()) };
    while !shared.is_stopping() {
        if !wire.publish_burst(shared, random.between(1, 100), &mut random)? {
            return Ok(());
        }
    }
    for publisher in [publisher::WIRE, publisher::UNROUTABLE] {
        shared.observe(Event::AllConfirmed { publisher });
    }
    wire.say(&[method::connection_close()]);
    Ok(())
}

/// A connection with one channel in confirm mode.
struct Wire {
    socket: TcpStream,
    /// The last publish number of the channel.
    published: u64,
    /// Which messages wait for their confirms, by publish number.
    open: std::collections::BTreeMap<u64, MessageId>,
}

impl Wire {
    /// None if the broker has died meanwhile.
    fn open(amqp: SocketAddr) -> Result<Option<Wire>, String> {
        let Ok(socket) = TcpStream::connect(amqp) else { return Ok(None) };
        if socket.set_read_timeout(Some(PATIENCE)).and(socket.set_nodelay(true)).is_err() {
            return Ok(None);
        }
        let mut wire = Wire { socket, published: 0, open: std::collections::BTreeMap::new() };
        wire.socket.write_all(&PROTOCOL_HEADER).ok();
        let steps: [(&[Say], &str); 4] = [
            (&[], "connection.start"),
            (&[method::start_ok("PLAIN", b"\0guest\0guest")], "connection.tune"),
            (&[method::tune_ok(2_047, FRAME_MAX, 0), method::open("/")], "connection.open-ok"),
            (&[method::channel_open()], "channel.open-ok"),
        ];
        for (say, answer) in steps {
            if !wire.ask(say, answer)? {
                return Ok(None);
            }
        }
        Ok(wire.ask(&[method::confirm_select()], "confirm.select-ok")?.then_some(wire))
    }

    /// False if the broker has died meanwhile.
    fn publish_burst(&mut self, shared: &Shared, count: u64, random: &mut Random) -> Result<bool, String> {
        let mut frames = Vec::new();
        for _ in 0..count {
            let publisher = if random.chance(20) { publisher::UNROUTABLE } else { publisher::WIRE };
            frames.extend(self.message(shared, publisher));
        }
        self.say(&frames);
        while !self.open.is_empty() {
            let Some(frame) = self.read()? else { return Ok(false) };
            self.hear(shared, &frame)?;
        }
        Ok(true)
    }

    fn message(&mut self, shared: &Shared, publisher: PublisherIndex) -> [Frame; 3] {
        let (message, content) = shared.publish(publisher);
        self.published += 1;
        self.open.insert(self.published, message);
        let role = role(publisher);
        let size = content.body.len() as u64;
        let header = Writer::default().u16(60).u16(0).u64(size).u16(DELIVERY_MODE_FLAG).u8(2);
        [
            method::basic_publish(role.exchange, role.routing_key, method::publish::MANDATORY),
            Frame { kind: HEADER, channel: 1, payload: header.0 },
            method::body(&content.body),
        ]
    }

    fn hear(&mut self, shared: &Shared, frame: &Frame) -> Result<(), String> {
        if frame.kind == crate::codec::BODY {
            // Only returns have bodies here.
            let message = super::content::message_of(&frame.payload).ok_or("a return of another body")?;
            shared.observe(Event::Returned { message });
            return Ok(());
        }
        if frame.kind != METHOD {
            return Ok(());
        }
        let mut reader = Reader(&frame.payload);
        match (reader.u16(), reader.u16()) {
            (60, 50) => Ok(()),
            (60, verdict @ (80 | 120)) => {
                let (tag, bits) = (reader.u64(), reader.u8());
                self.settle(shared, tag, bits & 1 == 1, verdict == 80)
            }
            _ => Err(describe(frame)),
        }
    }

    fn settle(&mut self, shared: &Shared, tag: u64, is_multiple: bool, is_ack: bool) -> Result<(), String> {
        let first = if is_multiple { 0 } else { tag };
        let settled: Vec<u64> = self.open.range(first..=tag).map(|(tag, _)| *tag).collect();
        if settled.is_empty() || settled.last() != Some(&tag) {
            return Err(format!("a verdict on publish {tag}, which had one or was never made"));
        }
        for tag in settled {
            if let Some(message) = self.open.remove(&tag) {
                shared.observe(Event::Confirmed { message, is_ack });
            }
        }
        Ok(())
    }

    fn say(&mut self, frames: &[Say]) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        // If the broker is dead, what it said can still be read.
        self.socket.write_all(&bytes).ok();
    }

    fn ask(&mut self, frames: &[Say], answer: &str) -> Result<bool, String> {
        self.say(frames);
        let Some(frame) = self.read()? else { return Ok(false) };
        let told = describe(&frame);
        if told.starts_with(answer) { Ok(true) } else { Err(format!("{told} instead of {answer}")) }
    }

    /// None if the broker has died.
    fn read(&mut self) -> Result<Option<Frame>, String> {
        let mut head = [0; 7];
        if !self.read_exact(&mut head)? {
            return Ok(None);
        }
        let [kind, c1, c0, s3, s2, s1, s0] = head;
        let mut payload = vec![0; u32::from_be_bytes([s3, s2, s1, s0]) as usize + 1];
        if !self.read_exact(&mut payload)? {
            return Ok(None);
        }
        if payload.pop() != Some(FRAME_END) {
            return Err("a frame without its end".to_owned());
        }
        Ok(Some(Frame { kind, channel: u16::from_be_bytes([c1, c0]), payload }))
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<bool, String> {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        match self.socket.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), TimedOut | WouldBlock) => {
                Err(format!("the broker was silent for {PATIENCE:?}"))
            }
            Err(_) => Ok(false),
        }
    }
}
