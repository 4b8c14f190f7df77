//! The bench that connections are tested on: a broker in memory, peers without sockets, and what was said.
//!
//! A test is a list of steps and the transcript they lead to:
//!
//! ```text
//! C: basic.publish 1 exchange="" key="orders" + body 5       what the first peer sent
//! S: basic.deliver 1 consumer="c1" tag=1 redelivered=false   what it was sent
//! S2: basic.deliver 1 …                                      what the second peer was sent
//!    queue orders: ready 0, unsettled 1                      what a step looked at
//! ```
//!
//! A peer that a step names is connected as `guest`, with channels 1 and 2 open, unless a step made it
//! otherwise. After every step everything to send is sent. Generated names are shown as `amq.gen-*`.

use std::{
    future::Future,
    net::SocketAddr,
    ops::Range,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant, UNIX_EPOCH},
};

use expect_test::Expect;

use super::{frames, store::FakeStore};
use crate::{
    connection::{
        Applied, Connection, Event, Flow,
        alarm::Alarm,
        registry::{ConnectionInfo, Node},
        settle::resume,
    },
    limits::NodeLimits,
    model::{
        definition::VhostDefinition,
        message::Arena,
        name::Name,
        pattern::Pattern,
        permission::Permission,
        user::{HashingAlgorithm, PasswordHash, User},
    },
    storage::{
        MetadataStore, StoreError,
        queue_log::{MemoryLog, QueueLog},
    },
    test_clock::start_of_time,
    vhost::test_clock::TestClock,
    vhost::{
        broker::Broker,
        buffer::Buffer,
        outbox::{Outbox, Wake},
    },
    wire::{frame::ChannelNumber, transcript::describe},
};

/// One thing that happens.
pub(super) type Step = Box<dyn FnOnce(&mut Bench)>;

/// A peer, by its place in the transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer(pub(super) usize);

pub(super) const A: Peer = Peer(0);
pub(super) const B: Peer = Peer(1);
pub(super) const C: Peer = Peer(2);

pub(super) const LOOPBACK: &str = "127.0.0.1:50000";

/// Runs the steps and compares what was said.
pub(super) fn check(steps: impl IntoIterator<Item = Step>, expected: &Expect) {
    expected.assert_eq(&transcript(steps));
}

/// What the steps lead to.
pub(super) fn transcript(steps: impl IntoIterator<Item = Step>) -> String {
    transcript_with_log(Arc::new(MemoryLog), steps)
}

/// What the steps lead to when this is the log.
pub(super) fn transcript_with_log(log: Arc<dyn QueueLog>, steps: impl IntoIterator<Item = Step>) -> String {
    let mut bench = Bench::with_log(log);
    for step in steps {
        step(&mut bench);
    }
    bench.transcript
}

impl Peer {
    /// It connects; nothing is sent yet.
    pub(super) fn connects_from(self, address: &'static str) -> Step {
        Box::new(move |bench| bench.accept(self, address))
    }

    /// It connects and logs in; nothing of it is shown.
    pub(super) fn logs_in(self, user: &'static str, password: &'static str) -> Step {
        Box::new(move |bench| {
            bench.open(self, &frames::plain(user, password), &frames::tune_ok(2_047, 131_072, 0))
        })
    }

    /// It connects as `guest` with what it says to `connection.tune`; nothing of it is shown.
    pub(super) fn tunes(self, tune_ok: Vec<u8>) -> Step {
        Box::new(move |bench| bench.open(self, &frames::plain("guest", "guest"), &tune_ok))
    }

    /// It connects as `guest`, wants to hear of alarms, and has heartbeats of 10 seconds; nothing of it is shown.
    pub(super) fn hears_of_alarms(self) -> Step {
        let tune_ok = frames::tune_ok(2_047, 131_072, 10);
        Box::new(move |bench| bench.open(self, &frames::plain_hearing_of_alarms(), &tune_ok))
    }

    /// It sends something, which arrives in one read.
    pub(super) fn sends(self, parts: impl Into<Parts>) -> Step {
        let bytes = parts.into().0;
        Box::new(move |bench| bench.send(self, &bytes, usize::MAX))
    }

    /// It sends something made with the name of the reply consumer that was last seen on the wire.
    pub(super) fn sends_with_reply_name(self, parts: impl FnOnce(&str) -> Vec<u8> + 'static) -> Step {
        Box::new(move |bench| {
            let name = bench.reply_name.clone().expect("somebody got a request");
            bench.send(self, &parts(&name), usize::MAX);
        })
    }

    /// It sends something, which arrives in reads of `size` bytes.
    pub(super) fn sends_in_pieces(self, size: usize, parts: impl Into<Parts>) -> Step {
        let bytes = parts.into().0;
        Box::new(move |bench| bench.send(self, &bytes, size))
    }

    /// It answers the close of a channel and opens it again.
    pub(super) fn reopens(self, channel: u16) -> Step {
        self.sends([frames::channel_close_ok(channel), frames::channel_open(channel)])
    }

    /// It reads nothing until it [`reads_again`](Self::reads_again).
    pub(super) fn stops_reading(self) -> Step {
        Box::new(move |bench| {
            bench.connect(self);
            bench.link(self).is_reading = false;
        })
    }

    /// It reads what was kept for it.
    pub(super) fn reads_again(self) -> Step {
        Box::new(move |bench| {
            bench.link(self).is_reading = true;
            bench.settle_down();
        })
    }

    /// Its socket takes some of what is sent, not all.
    pub(super) fn reads_a_little(self) -> Step {
        Box::new(move |bench| {
            bench.note(&format!("   {} reads a little", self.label('C')));
            let now = bench.now;
            bench.link(self).connection.sent(now);
        })
    }

    /// Its socket is gone without a word.
    pub(super) fn vanishes(self) -> Step {
        Box::new(move |bench| {
            bench.note(&format!("   {} vanishes", self.label('C')));
            bench.link(self).connection.end();
            (bench.link(self).has_ended, bench.link(self).is_end_told) = (true, true);
            bench.settle_down();
        })
    }

    /// Its outbox has forgotten a channel whose queues do not know yet: the moment between the two.
    pub(super) fn loses_channel(self, channel: u16) -> Step {
        Box::new(move |bench| {
            bench.note(&format!("   channel {channel} of {} goes", self.label('C')));
            let _ = bench.link(self).info.outbox.close_channel(ChannelNumber(channel));
        })
    }

    /// Somebody wants it closed.
    pub(super) fn is_forced_to_close(self, text: &'static str) -> Step {
        Box::new(move |bench| {
            bench.connect(self);
            bench.link(self).info.force_close(text);
            bench.settle_down();
        })
    }

    fn label(self, side: char) -> String {
        match self.0 {
            0 => side.to_string(),
            index => format!("{side}{}", index + 1),
        }
    }
}

/// What a peer sends: one piece of bytes, or several behind each other.
pub(super) struct Parts(Vec<u8>);

impl From<Vec<u8>> for Parts {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> From<[Vec<u8>; N]> for Parts {
    fn from(parts: [Vec<u8>; N]) -> Self {
        Self(parts.concat())
    }
}

/// Shows a queue.
pub(super) fn queue(name: &'static str) -> Step {
    Box::new(move |bench| {
        let line = match bench.node.broker.vhost("/").unwrap().queue(name) {
            Some(queue) => {
                let counts = queue.counts();
                format!("   queue {name}: ready {}, unsettled {}", counts.ready, counts.unsettled)
            }
            None => format!("   queue {name}: none"),
        };
        bench.note(&line);
    })
}

/// Shows which connections the node knows.
pub(super) fn connections() -> Step {
    Box::new(|bench| {
        let states: Vec<_> = bench.node.connections().iter().map(|info| info.facts().state).collect();
        bench.note(&format!("   connections: {}", states.join(", ")));
    })
}

/// Time passes; timers go off when they are due.
pub(super) fn after(duration: Duration) -> Step {
    Box::new(move |bench| {
        bench.note(&format!("   after {duration:?}"));
        bench.pass(duration);
    })
}

/// Changes are not stored until [`store_catches_up`].
pub(super) fn store_holds() -> Step {
    Box::new(|bench| bench.store.state.lock().unwrap().is_holding = true)
}

/// Everything that was to be stored is.
pub(super) fn store_catches_up() -> Step {
    store_answers("the store catches up", Ok(()))
}

/// Nothing that was to be stored could be.
pub(super) fn store_fails() -> Step {
    store_answers("the store fails", Err(StoreError::Closed))
}

fn store_answers(line: &'static str, result: Result<(), StoreError>) -> Step {
    Box::new(move |bench| {
        bench.note(&format!("   {line}"));
        let waiting = {
            let mut state = bench.store.state.lock().unwrap();
            state.is_holding = false;
            std::mem::take(&mut state.waiting)
        };
        for completion in waiting {
            completion.complete(result.clone());
        }
        bench.settle_down();
    })
}

/// Shows what was stored since the last look.
pub(super) fn stored() -> Step {
    Box::new(|bench| {
        let changes = std::mem::take(&mut bench.store.state.lock().unwrap().changes);
        for change in changes {
            bench.note(&format!("   stored: {change}"));
        }
    })
}

/// An alarm is set.
pub(super) fn alarm(alarm: Alarm) -> Step {
    set_alarm(alarm, true)
}

/// An alarm is cleared.
pub(super) fn clears(alarm: Alarm) -> Step {
    set_alarm(alarm, false)
}

fn set_alarm(alarm: Alarm, is_on: bool) -> Step {
    Box::new(move |bench| {
        bench.note(&format!("   {alarm:?} alarm {}", if is_on { "set" } else { "cleared" }));
        let _ = bench.node.set_alarm(alarm, is_on);
        bench.settle_down();
    })
}

/// Does something to the broker that no peer asked for.
pub(super) fn meanwhile(line: &'static str, act: impl FnOnce(&Node) + 'static) -> Step {
    Box::new(move |bench| {
        bench.note(&format!("   {line}"));
        act(&bench.node);
        bench.settle_down();
    })
}

/// Gives a user permissions in `/`: configure, write, read.
pub(super) fn permit(user: &'static str, [configure, write, read]: [&'static str; 3]) -> Step {
    Box::new(move |bench| {
        let line = format!("   {user} may configure {configure:?}, write {write:?}, read {read:?}");
        bench.note(&line);
        bench.permit(user, [configure, write, read]);
        bench.settle_down();
    })
}

/// A broker, its store, its peers, the time, and what was said.
pub(super) struct Bench {
    pub(super) node: Arc<Node>,
    store: Arc<FakeStore>,
    now: Instant,
    arena: Arena,
    links: Vec<Option<Link>>,
    reply_name: Option<String>,
    transcript: String,
}

type Stored = Pin<Box<dyn Future<Output = Result<(), StoreError>>>>;

/// A connection and its peer.
struct Link {
    connection: Connection,
    info: Arc<ConnectionInfo>,
    woken: Arc<AtomicBool>,
    /// What the connection has not taken yet.
    unread: Vec<u8>,
    stored: Option<Stored>,
    /// It is full of replies, or blocked: `unread` waits until they are read, or the alarm clears.
    is_held: bool,
    is_reading: bool,
    has_ended: bool,
    is_end_told: bool,
}

impl Bench {
    /// A broker with the vhosts `/` and `other`, `guest` (password `guest`, may do everything in `/`) and
    /// `ana` (password `secret`, may do nothing).
    pub(super) fn new() -> Self {
        Self::with_log(Arc::new(MemoryLog))
    }

    fn with_log(log: Arc<dyn QueueLog>) -> Self {
        let store = Arc::new(FakeStore::default());
        let kept: Arc<dyn MetadataStore> = Arc::clone(&store) as _;
        let (broker, lost) = Broker::load(kept, log, Arc::new(TestClock::default())).unwrap();
        assert!(lost.is_empty());
        for vhost in ["/", "other"] {
            let name = Name::literal(vhost);
            let _ = broker.put_vhost(VhostDefinition::new(name));
        }
        for (name, password) in [("guest", "guest"), ("ana", "secret")] {
            let password =
                PasswordHash::new(password.as_bytes(), [1, 2, 3, 4], HashingAlgorithm::Sha256).unwrap();
            let _ = broker.put_user(User {
                name: Name::literal(name),
                password,
                tags: Vec::new(),
                limits: Default::default(),
            });
        }
        let node = Arc::new(Node::new(Arc::new(broker), "rabbit@test".to_owned(), NodeLimits::default()));
        let bench = Self {
            node,
            store,
            now: start_of_time(),
            arena: Arena::default(),
            links: Vec::new(),
            reply_name: None,
            transcript: String::new(),
        };
        bench.permit("guest", [".*"; 3]);
        bench.store.state.lock().unwrap().changes.clear();
        bench
    }

    /// A peer sends something; gives everything that all peers were sent because of it.
    pub(super) fn exchange(&mut self, peer: Peer, bytes: &[u8]) -> Vec<(Peer, Vec<u8>)> {
        self.connect(peer);
        self.link(peer).unread.extend_from_slice(bytes);
        self.feed(peer);
        self.collect()
    }

    /// The peer is gone; gives what others were sent because of it.
    pub(super) fn drop_peer(&mut self, peer: Peer) -> Vec<(Peer, Vec<u8>)> {
        if let Some(link) = &mut self.links[peer.0] {
            link.connection.end();
        }
        self.links[peer.0] = None;
        self.collect()
    }

    fn permit(&self, user: &str, patterns: [&str; 3]) {
        let [configure, write, read] = patterns.map(|pattern| Pattern::parse(pattern).unwrap());
        let user = Name::parse(user).unwrap();
        let permission = Permission { configure, write, read };
        let _ = self.node.broker.put_permission(&user, &Name::literal("/"), permission).unwrap();
    }

    fn note(&mut self, line: &str) {
        if let Some(name) = generated(line, REPLY_PREFIX, REPLY_SUFFIX_SIZE).next() {
            self.reply_name = Some(line[name].to_owned());
        }
        self.transcript.push_str(&masked(line));
        self.transcript.push('\n');
    }

    fn link(&mut self, peer: Peer) -> &mut Link {
        self.links[peer.0].as_mut().expect("a step named the peer before")
    }

    fn accept(&mut self, peer: Peer, address: &str) {
        let woken = Arc::new(AtomicBool::new(false));
        let outbox = Arc::new(Outbox::new(Arc::new(Flag(Arc::clone(&woken)))));
        let id = self.node.broker.next_connection_id();
        let address: SocketAddr = address.parse().unwrap();
        let local: SocketAddr = "127.0.0.1:5672".parse().unwrap();
        let info = Arc::new(ConnectionInfo::new(id, (address, local), UNIX_EPOCH, outbox));
        let connection = Connection::new(Arc::clone(&self.node), Arc::clone(&info), self.now);
        if self.links.len() <= peer.0 {
            self.links.resize_with(peer.0 + 1, || None);
        }
        self.links[peer.0] = Some(Link {
            connection,
            info,
            woken,
            unread: Vec::new(),
            stored: None,
            is_held: false,
            is_reading: true,
            has_ended: false,
            is_end_told: false,
        });
    }

    /// The handshake and channels 1 and 2, off the record.
    fn open(&mut self, peer: Peer, start_ok: &[u8], tune_ok: &[u8]) {
        let kept = std::mem::take(&mut self.transcript);
        self.accept(peer, LOOPBACK);
        let open = [
            &frames::protocol_header(),
            start_ok,
            tune_ok,
            &frames::connection_open("/"),
            &frames::channel_open(1),
            &frames::channel_open(2),
        ];
        self.send(peer, &open.concat(), usize::MAX);
        self.transcript = kept;
        assert_eq!(self.link(peer).info.facts().channels.len(), 2, "{peer:?} is not connected");
    }

    /// Connects the peer as `guest` if it is not there yet.
    fn connect(&mut self, peer: Peer) {
        if self.links.get(peer.0).is_none_or(Option::is_none) {
            self.open(peer, &frames::plain("guest", "guest"), &frames::tune_ok(2_047, 131_072, 0));
        }
    }

    fn send(&mut self, peer: Peer, bytes: &[u8], piece_size: usize) {
        self.connect(peer);
        for line in describe(bytes) {
            self.note(&format!("{}: {line}", peer.label('C')));
        }
        for piece in bytes.chunks(piece_size.min(bytes.len()).max(1)) {
            self.link(peer).unread.extend_from_slice(piece);
            self.feed(peer);
        }
        self.settle_down();
    }

    /// Lets a connection take what it can of what came: what the server layer does after a read.
    fn feed(&mut self, peer: Peer) {
        let (now, arena) = (self.now, &mut self.arena);
        let link = self.links[peer.0].as_mut().expect("a step named the peer before");
        while link.stored.is_none() && !link.is_held && !link.has_ended && !link.unread.is_empty() {
            let applied = link.connection.apply(Event::Read(&link.unread), now, arena);
            assert!(applied.consumed <= link.unread.len(), "no more than there was");
            link.unread.drain(..applied.consumed);
            let is_stuck = applied.consumed == 0;
            link.follow(applied);
            if is_stuck {
                return;
            }
        }
    }

    /// Sends everything, and writes it down.
    fn settle_down(&mut self) {
        for (peer, bytes) in self.collect() {
            for line in describe(&bytes) {
                self.note(&format!("{}: {line}", peer.label('S')));
            }
        }
        for index in 0..self.links.len() {
            if let Some(link) = &mut self.links[index]
                && link.has_ended
                && !std::mem::replace(&mut link.is_end_told, true)
            {
                link.connection.end();
                self.note(&format!("{}: (end)", Peer(index).label('S')));
            }
        }
    }

    /// Runs until nothing moves any more; gives what peers were sent.
    fn collect(&mut self) -> Vec<(Peer, Vec<u8>)> {
        let mut sent: Vec<(Peer, Vec<u8>)> = Vec::new();
        loop {
            let mut has_moved = false;
            for index in 0..self.links.len() {
                let peer = Peer(index);
                if self.links[index].is_none() {
                    continue;
                }
                has_moved |= self.wake(peer);
                let bytes = self.drain(peer);
                has_moved |= !bytes.is_empty();
                if !bytes.is_empty() {
                    match sent.iter_mut().find(|(other, _)| *other == peer) {
                        Some((_, all)) => all.extend(bytes),
                        None => sent.push((peer, bytes)),
                    }
                }
            }
            if !has_moved {
                break;
            }
        }
        sent
    }

    /// Tells a connection what it waits for. True when there was something.
    fn wake(&mut self, peer: Peer) -> bool {
        let (now, arena) = (self.now, &mut self.arena);
        let link = self.links[peer.0].as_mut().expect("only called for those there are");
        if link.has_ended {
            return false;
        }
        let mut has_moved = false;
        if link.woken.swap(false, Relaxed) {
            let applied = link.connection.apply(Event::Woken, now, arena);
            link.follow(applied);
            self.go_on(peer);
            has_moved = true;
        }
        let link = self.links[peer.0].as_mut().expect("as before");
        let (now, arena) = (self.now, &mut self.arena);
        let mut context = Context::from_waker(Waker::noop());
        if let Some(stored) = &mut link.stored
            && let Poll::Ready(result) = stored.as_mut().poll(&mut context)
        {
            link.stored = None;
            let applied = link.connection.apply(Event::Stored(result), now, arena);
            link.follow(applied);
            self.feed(peer);
            has_moved = true;
        }
        has_moved
    }

    /// Reads what was held back, if it may be read now.
    fn go_on(&mut self, peer: Peer) {
        let link = self.link(peer);
        let may_read = !link.info.outbox.is_full_of_replies() && !link.connection.is_blocked();
        if link.is_held && may_read {
            link.is_held = false;
            self.feed(peer);
        }
    }

    /// What the peer's socket takes.
    fn drain(&mut self, peer: Peer) -> Vec<u8> {
        let now = self.now;
        let link = self.link(peer);
        if !link.is_reading {
            return Vec::new();
        }
        let mut buffer = Buffer::default();
        link.info.outbox.swap(&mut buffer);
        if buffer.is_empty() {
            return Vec::new();
        }
        let cost = buffer.cost();
        let bytes = taken(buffer);
        link.connection.sent(now);
        resume(link.info.outbox.sent(cost));
        self.go_on(peer);
        bytes
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let due = |link: &Link| match link.has_ended {
                true => None,
                false => link.connection.next_tick().filter(|tick| *tick <= end),
            };
            let ticks = self.links.iter().enumerate();
            let next = ticks
                .filter_map(|(index, link)| Some((due(link.as_ref()?)?, Peer(index))))
                .min_by_key(|(tick, _)| *tick);
            let Some((tick, peer)) = next else { break };
            self.now = self.now.max(tick);
            let (now, arena) = (self.now, &mut self.arena);
            let link = self.links[peer.0].as_mut().expect("its tick was found");
            let applied = link.connection.apply(Event::Tick, now, arena);
            link.follow(applied);
            self.settle_down();
        }
        self.now = end;
    }
}

impl Link {
    fn follow(&mut self, applied: Applied) {
        match applied.flow {
            Flow::Continue => {}
            Flow::Wait(ticket) => self.stored = Some(Box::pin(ticket.durable())),
            Flow::Hold => self.is_held = true,
            Flow::End => self.has_ended = true,
        }
    }
}

/// Everything in the buffer, as a socket takes it.
fn taken(mut buffer: Buffer) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(buffer.size());
    loop {
        let part: Vec<u8> = buffer.slices().iter().flat_map(|slice| slice.to_vec()).collect();
        bytes.extend_from_slice(&part);
        if buffer.advance(part.len()) {
            return bytes;
        }
    }
}

/// Generated names and the server's properties, which every version changes, are not compared.
fn masked(line: &str) -> String {
    const RANDOM_SIZE: usize = 22;
    let mut line = line.to_owned();
    for (prefix, size) in
        [("amq.gen-", RANDOM_SIZE), ("amq.ctag-", RANDOM_SIZE), (REPLY_PREFIX, REPLY_SUFFIX_SIZE)]
    {
        let names: Vec<_> = generated(&line, prefix, size).collect();
        for name in names.into_iter().rev() {
            line.replace_range(name.start + prefix.len()..name.end, "*");
        }
    }
    if let (Some(start), Some(end)) = (line.find("server-properties={"), line.find(" mechanisms=")) {
        line.replace_range(start..end, "server-properties={..}");
    }
    line
}

const REPLY_PREFIX: &str = "amq.rabbitmq.reply-to.";
const REPLY_SUFFIX_SIZE: usize = 35;

/// Where names stand that are this prefix and so many random characters.
fn generated<'a>(
    line: &'a str,
    prefix: &'a str,
    size: usize,
) -> impl Iterator<Item = Range<usize>> + use<'a> {
    let is_random = move |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    line.match_indices(prefix).filter_map(move |(start, _)| {
        let end = start + prefix.len() + size;
        let suffix = line.as_bytes().get(start + prefix.len()..end)?;
        suffix.iter().all(is_random).then_some(start..end)
    })
}

/// Remembers that it was woken.
#[derive(Debug)]
struct Flag(Arc<AtomicBool>);

impl Wake for Flag {
    fn wake(&self) {
        self.0.store(true, Relaxed);
    }
}
