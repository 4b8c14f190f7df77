//! Just enough of an AMQP broker to run the tool against: one queue, threads, and a few bad habits.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Builder;

use liebre_perf::codec::frame::{FrameKind, Inbox, write_frame, write_sized};
use liebre_perf::codec::method::{Arguments, MethodId, basic_ack, method, parse_method, write_short_string};
use liebre_perf::connection::CHANNEL;
use liebre_perf::url::BrokerUrl;

/// Deliveries travel in frames of this size at most, so that larger bodies are split.
const BODY_FRAME_BYTES: usize = 100_000;

/// What is wrong with a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    Good,
    /// Accepts connections and says nothing.
    Mute,
    /// Says nothing to the first connection.
    MuteAtFirst,
    /// Stops reading, and writing, at the first publish.
    Stuck,
    /// Closes the channel at the first publish.
    ClosesChannel,
    /// Drops the socket at the first publish.
    Vanishes,
    /// Says that the queue has messages.
    HasBacklog,
    /// Refuses every publish with `basic.nack`.
    Refuses,
    /// Closes the channel of who declares a second queue.
    HasOneQueue,
    /// Closes the channel of who deletes the queue `q-1`.
    KeepsFirst,
    /// Stores no queue whose name ends with a nine.
    ForgetsNines,
}

/// What the broker saw.
#[derive(Debug)]
pub struct FakeBroker {
    pub address: SocketAddr,
    habit: Habit,
    has_been_mute: AtomicBool,
    pub is_deleted: AtomicBool,
    /// Declared and not deleted.
    pub queues: Mutex<BTreeSet<String>>,
    /// Where the queues are stored, a line for each.
    file: Option<PathBuf>,
    /// The highest delivery tag that was acked.
    pub acked_up_to: AtomicU64,
    /// Connections closed with a whole handshake.
    pub goodbyes: AtomicU64,
    bodies: SyncSender<Vec<u8>>,
    deliveries: Mutex<Option<Receiver<Vec<u8>>>>,
}

impl FakeBroker {
    /// One without a memory, at a port that nobody uses.
    pub fn start(habit: Habit) -> Arc<Self> {
        Self::start_at(0, None, habit)
    }

    /// One that finds the queues that were stored in `dir` before.
    pub fn restart(port: u16, dir: &Path, habit: Habit) -> Arc<Self> {
        Self::start_at(port, Some(dir.join("queues")), habit)
    }

    fn start_at(port: u16, file: Option<PathBuf>, habit: Habit) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let stored = file.as_ref().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let (bodies, deliveries) = sync_channel(1_000);
        let broker = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            habit,
            has_been_mute: AtomicBool::new(false),
            is_deleted: AtomicBool::new(false),
            queues: Mutex::new(stored.lines().map(str::to_owned).collect()),
            file,
            acked_up_to: AtomicU64::new(0),
            goodbyes: AtomicU64::new(0),
            bodies,
            deliveries: Mutex::new(Some(deliveries)),
        });
        let accepting = Arc::clone(&broker);
        spawn(move || {
            for stream in listener.incoming() {
                let broker = Arc::clone(&accepting);
                spawn(move || Peer::new(broker, stream.unwrap()).serve());
            }
        });
        broker
    }

    fn declare(&self, queue: String) {
        let mut queues = self.queues.lock().unwrap();
        queues.insert(queue);
        if let Some(file) = &self.file {
            let is_stored = |queue: &&String| self.habit != Habit::ForgetsNines || !queue.ends_with('9');
            let stored: Vec<&str> = queues.iter().filter(is_stored).map(String::as_str).collect();
            fs::write(file, stored.join("\n")).unwrap();
        }
    }

    /// Whether it says nothing to a new connection.
    fn is_mute(&self) -> bool {
        match self.habit {
            Habit::Mute => true,
            Habit::MuteAtFirst => !self.has_been_mute.swap(true, SeqCst),
            _ => false,
        }
    }

    pub fn url(&self) -> BrokerUrl {
        format!("amqp://guest:guest@{}/", self.address).parse().unwrap()
    }
}

struct Peer {
    broker: Arc<FakeBroker>,
    stream: TcpStream,
    /// Replies and deliveries come from two threads; each writes whole frames.
    outbox: Arc<Mutex<TcpStream>>,
    has_confirms: bool,
    publish_number: u64,
    body: Vec<u8>,
    body_size: usize,
    is_gone: bool,
    /// Until the other side agrees, nothing it says there is heard.
    is_channel_closing: bool,
}

impl Peer {
    fn new(broker: Arc<FakeBroker>, stream: TcpStream) -> Self {
        let outbox = Arc::new(Mutex::new(stream.try_clone().unwrap()));
        let (body, publish_number) = (Vec::new(), 0);
        Self {
            broker,
            stream,
            outbox,
            has_confirms: false,
            publish_number,
            body,
            body_size: 0,
            is_gone: false,
            is_channel_closing: false,
        }
    }

    fn serve(&mut self) {
        let mut protocol_header = [0; 8];
        self.stream.read_exact(&mut protocol_header).unwrap();
        assert_eq!(&protocol_header, b"AMQP\x00\x00\x09\x01");
        if !self.broker.is_mute() {
            self.reply(0, MethodId::CONNECTION_START, |out| {
                out.extend_from_slice(&[0, 9]);
                write_sized(out, |_| {});
                write_sized(out, |out| out.extend_from_slice(b"AMQPLAIN PLAIN"));
                write_sized(out, |out| out.extend_from_slice(b"en_US"));
            });
        }
        let mut inbox = Inbox::new();
        while !self.is_gone && inbox.fill(&mut self.stream).is_ok_and(|count| count > 0) {
            while let Some(frame) = inbox.next_frame().unwrap() {
                match frame.kind {
                    FrameKind::Method => {
                        let (id, arguments) = parse_method(frame.payload).unwrap();
                        self.take_method(id, arguments);
                    }
                    FrameKind::Header => {
                        self.body_size =
                            u64::from_be_bytes(*frame.payload[4..].first_chunk().unwrap()) as usize;
                        self.take_body(&[]);
                    }
                    FrameKind::Body => self.take_body(frame.payload),
                    FrameKind::Heartbeat => {}
                }
            }
        }
    }

    fn take_method(&mut self, id: MethodId, mut arguments: Arguments<'_>) {
        match id {
            MethodId::CHANNEL_CLOSE_OK => self.is_channel_closing = false,
            MethodId::CONNECTION_CLOSE => {
                self.broker.goodbyes.fetch_add(1, SeqCst);
                self.reply(0, MethodId::CONNECTION_CLOSE_OK, |_| {});
            }
            _ if self.is_channel_closing => {}
            MethodId::CONNECTION_START_OK => self.reply(0, MethodId::CONNECTION_TUNE, |out| {
                out.extend_from_slice(&[7, 255, 0, 2, 0, 0, 0, 60]);
            }),
            MethodId::CONNECTION_OPEN => self.reply(0, MethodId::CONNECTION_OPEN_OK, |out| out.push(0)),
            MethodId::CHANNEL_OPEN => {
                self.reply(CHANNEL, MethodId::CHANNEL_OPEN_OK, |out| write_sized(out, |_| {}))
            }
            MethodId::CHANNEL_CLOSE => self.reply(CHANNEL, MethodId::CHANNEL_CLOSE_OK, |_| {}),
            MethodId::QUEUE_DECLARE
                if self.broker.habit == Habit::HasOneQueue
                    && !self.broker.queues.lock().unwrap().is_empty() =>
            {
                self.close_channel(406, "PRECONDITION_FAILED - one is enough");
            }
            MethodId::QUEUE_DECLARE => {
                let message_count = u8::from(self.broker.habit == Habit::HasBacklog);
                let queue = queue_name(arguments);
                if is_passive(arguments) && !self.broker.queues.lock().unwrap().contains(&queue) {
                    return self.close_channel(404, "NOT_FOUND - no queue");
                }
                self.broker.declare(queue);
                self.reply(CHANNEL, MethodId::QUEUE_DECLARE_OK, |out| {
                    write_short_string(out, "q");
                    out.extend_from_slice(&[0, 0, 0, message_count, 0, 0, 0, 0]);
                });
            }
            MethodId::QUEUE_DELETE
                if self.broker.habit == Habit::KeepsFirst && queue_name(arguments) == "q-1" =>
            {
                self.close_channel(405, "RESOURCE_LOCKED - it stays");
            }
            MethodId::QUEUE_DELETE => {
                self.broker.is_deleted.store(true, SeqCst);
                self.broker.queues.lock().unwrap().remove(&queue_name(arguments));
                self.reply(CHANNEL, MethodId::QUEUE_DELETE_OK, |out| out.extend_from_slice(&[0; 4]));
            }
            MethodId::CONFIRM_SELECT => {
                self.has_confirms = true;
                self.reply(CHANNEL, MethodId::CONFIRM_SELECT_OK, |_| {});
            }
            MethodId::BASIC_QOS => self.reply(CHANNEL, MethodId::BASIC_QOS_OK, |_| {}),
            MethodId::BASIC_CONSUME => {
                let deliveries = self.broker.deliveries.lock().unwrap().take();
                let outbox = Arc::clone(&self.outbox);
                spawn(move || deliver_all(&outbox, deliveries.unwrap()));
            }
            MethodId::BASIC_ACK => {
                self.broker.acked_up_to.fetch_max(arguments.u64().unwrap(), SeqCst);
            }
            MethodId::BASIC_PUBLISH => self.take_publish(),
            _ => {}
        }
    }

    fn take_publish(&mut self) {
        match self.broker.habit {
            Habit::Stuck => loop {
                std::thread::park();
            },
            Habit::Vanishes => {
                self.stream.shutdown(std::net::Shutdown::Both).unwrap();
                self.is_gone = true;
            }
            Habit::ClosesChannel => self.close_channel(404, "NOT_FOUND - no exchange"),
            _ => {}
        }
    }

    fn close_channel(&mut self, reply_code: u16, reply_text: &str) {
        self.is_channel_closing = true;
        self.reply(CHANNEL, MethodId::CHANNEL_CLOSE, |out| {
            out.extend_from_slice(&reply_code.to_be_bytes());
            write_short_string(out, reply_text);
            out.extend_from_slice(&[0, 60, 0, 40]);
        });
    }

    fn take_body(&mut self, part: &[u8]) {
        self.body.extend_from_slice(part);
        if self.body.len() < self.body_size {
            return;
        }
        self.publish_number += 1;
        let body = std::mem::take(&mut self.body);
        if self.broker.habit == Habit::Refuses {
            let number = self.publish_number;
            return self.reply(CHANNEL, MethodId::BASIC_NACK, |out| {
                out.extend_from_slice(&number.to_be_bytes());
                out.push(0);
            });
        }
        if self.has_confirms {
            let ack = basic_ack(CHANNEL, self.publish_number, false);
            self.write(&ack);
        }
        // Nobody takes them any more when the run is over.
        let _ = self.broker.bodies.send(body);
    }

    fn reply(&self, channel: u16, id: MethodId, write_arguments: impl FnOnce(&mut Vec<u8>)) {
        self.write(&method(channel, id, write_arguments));
    }

    fn write(&self, bytes: &[u8]) {
        // The tool may have gone; the next read tells.
        let _ = self.outbox.lock().unwrap().write_all(bytes);
    }
}

/// Of `queue.declare` and `queue.delete`.
fn queue_name(mut arguments: Arguments<'_>) -> String {
    arguments.u16().unwrap();
    arguments.short_string().unwrap().to_owned()
}

/// Of `queue.declare`.
fn is_passive(mut arguments: Arguments<'_>) -> bool {
    arguments.u16().unwrap();
    arguments.short_string().unwrap();
    arguments.u8().unwrap() & 1 == 1
}

fn deliver_all(outbox: &Mutex<TcpStream>, deliveries: Receiver<Vec<u8>>) {
    for (index, body) in deliveries.into_iter().enumerate() {
        let mut out = method(CHANNEL, MethodId::BASIC_DELIVER, |out| {
            write_short_string(out, "c");
            out.extend_from_slice(&(index as u64 + 1).to_be_bytes());
            out.push(0);
            write_short_string(out, "");
            write_short_string(out, "q");
        });
        write_frame(&mut out, FrameKind::Header, CHANNEL, |out| {
            out.extend_from_slice(&[0, 60, 0, 0]);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        });
        for part in body.chunks(BODY_FRAME_BYTES) {
            write_frame(&mut out, FrameKind::Body, CHANNEL, |out| out.extend_from_slice(part));
        }
        if outbox.lock().unwrap().write_all(&out).is_err() {
            return;
        }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) {
    Builder::new().spawn(work).unwrap();
}
