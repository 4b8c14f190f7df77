//! A socket that says anything to the broker, also what no client library would say.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use crate::{
    PATIENCE,
    broker::Broker,
    codec::{FRAME_END, Frame, METHOD, Reader},
    method::{self, Say, describe},
    plain,
};

/// The protocol header of AMQP 0-9-1.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// frame_max that [`Raw::open`] agrees on, bytes.
pub const FRAME_MAX: u32 = 131_072;

/// Between two bytes of [`Raw::drip`], and how long [`Raw::is_silent`] listens.
const DRIP: Duration = Duration::from_millis(250);

/// A TCP connection to the broker, in whatever state the test brought it to.
#[derive(Debug)]
pub struct Raw {
    socket: TcpStream,
}

impl Raw {
    /// A TCP connection; nothing said yet.
    pub fn connect(broker: &Broker) -> Raw {
        let socket = TcpStream::connect(broker.amqp).expect("the broker listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        socket.set_nodelay(true).expect("nodelay can be set");
        Raw { socket }
    }

    /// After the protocol header and `connection.start`.
    pub fn started(broker: &Broker) -> Raw {
        let mut raw = Raw::connect(broker);
        raw.write(&PROTOCOL_HEADER);
        raw.expect("connection.start");
        raw
    }

    /// After `connection.tune`: logged in as `user`, whose password is its name.
    pub fn tuned(broker: &Broker, user: &str) -> Raw {
        let mut raw = Raw::started(broker);
        raw.say(&[method::start_ok("PLAIN", format!("\0{user}\0{user}").as_bytes())]);
        raw.expect("connection.tune");
        raw
    }

    /// An open connection of user guest in the tests' vhost, without heartbeats.
    pub fn open(broker: &Broker) -> Raw {
        Raw::open_as(broker, "guest")
    }

    /// [`Raw::open`] for another user.
    pub fn open_as(broker: &Broker, user: &str) -> Raw {
        let mut raw = Raw::tuned(broker, user);
        raw.say(&[method::tune_ok(2_047, FRAME_MAX, 0), method::open(&broker.vhost)]);
        raw.expect("connection.open-ok");
        raw
    }

    /// An open connection with channel 1 open.
    pub fn with_channel(broker: &Broker) -> Raw {
        let mut raw = Raw::open(broker);
        raw.open_channel(1);
        raw
    }

    /// Opens a channel.
    pub fn open_channel(&mut self, channel: u16) {
        self.say_on(channel, &[method::channel_open()]);
        self.expect("channel.open-ok");
    }

    /// Sends frames as they are, in one write.
    pub fn say(&mut self, frames: &[Say]) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        self.write(&bytes);
    }

    /// Sends frames on another channel than the one they were made for.
    pub fn say_on(&mut self, channel: u16, frames: &[Say]) {
        let frames: Vec<Frame> = frames.iter().map(|frame| Frame { channel, ..frame.clone() }).collect();
        self.say(&frames);
    }

    /// Sends bytes as they are. The broker may have closed the connection already: what it said can still be read.
    pub fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).ok();
    }

    /// Sends bytes one at a time, with as much time between them as makes it look alive; ends when the broker closes.
    pub fn drip(&mut self, bytes: &[u8]) {
        self.socket.set_read_timeout(Some(DRIP)).expect("a timeout can be set");
        for byte in bytes {
            self.write(&[*byte]);
            match self.socket.peek(&mut [0]) {
                Err(error) if is_timeout(error.kind()) => {}
                // It has answered or closed.
                _ => break,
            }
        }
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    }

    /// Whether the broker says nothing for a while, and leaves the socket open.
    pub fn is_silent(&mut self) -> bool {
        self.socket.set_read_timeout(Some(DRIP)).expect("a timeout can be set");
        let heard = self.socket.peek(&mut [0]);
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        heard.is_err_and(|error| is_timeout(error.kind()))
    }

    /// No more bytes from us; the broker's can still be read.
    pub fn finish_writing(&mut self) {
        self.socket.shutdown(Shutdown::Write).ok();
    }

    /// The next frame. None if the broker has closed the connection.
    pub fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 7];
        self.read_exact(&mut head)?;
        let [kind, c1, c0, s3, s2, s1, s0] = head;
        let mut payload = vec![0; u32::from_be_bytes([s3, s2, s1, s0]) as usize + 1];
        self.read_exact(&mut payload)?;
        assert_eq!(payload.pop(), Some(FRAME_END), "the broker's frame has no end");
        Some(Frame { kind, channel: u16::from_be_bytes([c1, c0]), payload })
    }

    /// The next frame in a transcript's words; `closed` if the broker has closed the connection.
    pub fn hear(&mut self) -> String {
        self.read().map_or_else(|| "closed".to_owned(), |frame| plain(&describe(&frame)))
    }

    /// Reads one frame, which must begin with `what` in a transcript's words.
    pub fn expect(&mut self, what: &str) -> String {
        let next = self.hear();
        assert!(next.starts_with(what), "expected {what}, got {next}");
        next
    }

    /// Says frames on channel 1, which must be answered by `what`.
    pub fn ask(&mut self, frame: Say, what: &str) -> String {
        self.say(&[frame]);
        self.expect(what)
    }

    /// What the broker makes of all that was said on channel 1: the exception, or `accepted`.
    pub fn verdict(&mut self) -> String {
        // Methods of a channel are answered in their order, so this answer means that nothing before it was refused.
        self.say(&[method::qos(0, 0, false)]);
        self.outcome()
    }

    /// How many ready messages and how many consumers a queue has; both 0 if there is no such queue.
    pub fn queue_counts(&mut self, queue: &str) -> (u32, u32) {
        self.say(&[method::queue_declare(queue, method::queue::PASSIVE, &[])]);
        let frame = self.read().expect("the connection stays open");
        if describe(&frame) != "queue.declare-ok" {
            self.say(&[method::channel_close_ok()]);
            self.open_channel(1);
            return (0, 0);
        }
        // class, method, name, messages, consumers
        let mut reader = Reader(&frame.payload[4..]);
        reader.short();
        (reader.u32(), reader.u32())
    }

    /// Reads past everything else to the exception or the end, and says which.
    pub fn outcome(&mut self) -> String {
        loop {
            let next = self.hear();
            if next == "basic.qos-ok" {
                return "accepted".to_owned();
            }
            if next.starts_with("channel.close ") || next.starts_with("connection.close ") || next == "closed"
            {
                return next;
            }
        }
    }

    /// Everything that comes until the broker closes the connection, as bytes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.socket.read_to_end(&mut bytes) {
            Err(error) if is_timeout(error.kind()) => panic!("the broker has not closed the connection"),
            // A reset counts as an end.
            _ => bytes,
        }
    }

    /// Whether the connection answers on channel `channel`, which must be open.
    pub fn is_alive(&mut self, channel: u16) -> bool {
        self.say_on(channel, &[method::qos(0, 0, false)]);
        self.read().is_some_and(|frame| {
            frame.kind == METHOD && frame.channel == channel && describe(&frame) == "basic.qos-ok"
        })
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.socket.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if is_timeout(error.kind()) => panic!("the broker has said nothing for {PATIENCE:?}"),
            Err(_) => None,
        }
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
