//! A broker in memory and two peers, as the server layer runs them, but without sockets, disk and clock.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant, UNIX_EPOCH},
};

use liebre::{
    connection::{
        Applied, Connection, Event, Flow,
        alarm::Alarm,
        registry::{ConnectionInfo, Node},
        settle::resume,
    },
    limits::{FRAME_MAX, NodeLimits, OUTBOX_BYTES_MAX},
    model::{
        definition::VhostDefinition,
        message::Arena,
        name::Name,
        pattern::Pattern,
        permission::Permission,
        timestamp::Timestamp,
        user::{HashingAlgorithm, PasswordHash, User},
    },
    storage::{MetadataStore, StoreError},
    vhost::{
        broker::Broker,
        buffer::Buffer,
        outbox::{Outbox, Wake},
        upkeep::Clock,
    },
};

use super::{
    frames,
    listener::Listener,
    memory::{MemoryLog, MemoryStore},
};

/// The time of day never passes: nothing expires but what does so at once.
#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000_000_000)
    }
}

/// Peers at the same time.
pub const PEERS: usize = 2;

/// So often is looked whether something moves before it is said that it never ends.
const ROUNDS_MAX: usize = 10_000;

/// A frame that is not whole yet, and the octets around it.
const PARTIAL_MAX: usize = FRAME_MAX as usize + 16;

/// Made once: patterns take longer to compile than a program to run.
static EVERYTHING: LazyLock<Permission> = LazyLock::new(|| {
    let [configure, write, read] = [".*"; 3].map(|all| Pattern::parse(all).expect("a pattern"));
    Permission { configure, write, read }
});

/// The broker and who talks to it.
pub struct World {
    node: Arc<Node>,
    pub store: Arc<MemoryStore>,
    pub log: Arc<MemoryLog>,
    now: Instant,
    arena: Arena,
    peers: Vec<Peer>,
}

type Stored = Pin<Box<dyn Future<Output = Result<(), StoreError>>>>;

/// A connection and its other end.
struct Peer {
    connection: Connection,
    info: Arc<ConnectionInfo>,
    woken: Arc<AtomicBool>,
    listener: Listener,
    /// What the connection has not taken yet.
    unread: Vec<u8>,
    /// What it ever sent, bytes.
    said: usize,
    stored: Option<Stored>,
    /// `unread` waits until it may be read.
    is_held: bool,
    is_reading: bool,
    has_ended: bool,
}

impl World {
    /// A broker with vhost `/` and user `guest`, who may do everything, and peers that have said nothing yet.
    pub fn new() -> Self {
        let (store, log) = (Arc::new(MemoryStore::default()), Arc::new(MemoryLog::default()));
        let kept: Arc<dyn MetadataStore> = Arc::clone(&store) as _;
        let (broker, lost) = Broker::load(kept, Arc::clone(&log) as _, Arc::new(StoppedClock))
            .expect("there is nothing to load");
        assert!(lost.is_empty());
        let (guest, vhost) = (Name::literal("guest"), Name::literal("/"));
        let _ = broker.put_vhost(VhostDefinition::new(vhost.clone()));
        let password = PasswordHash::new(b"guest", [1, 2, 3, 4], HashingAlgorithm::Sha256);
        let password = password.expect("the hash is known");
        let _ = broker.put_user(User {
            name: guest.clone(),
            password,
            tags: Vec::new(),
            limits: Default::default(),
        });
        let _ = broker.put_permission(&guest, &vhost, EVERYTHING.clone());
        let node = Arc::new(Node::new(Arc::new(broker), "rabbit@fuzz".to_owned(), NodeLimits::default()));
        #[expect(
            clippy::disallowed_methods,
            reason = "time has to begin somewhere; nothing depends on where"
        )]
        let now = Instant::now();
        let peers = (0..PEERS).map(|_| Peer::new(&node, now)).collect();
        Self { node, store, log, now, arena: Arena::default(), peers }
    }

    /// Bytes of a peer arrive.
    pub fn say(&mut self, peer: usize, bytes: &[u8]) {
        let to = &mut self.peers[peer];
        to.unread.extend_from_slice(bytes);
        to.said += bytes.len();
        to.feed(self.now, &mut self.arena);
    }

    /// Bytes of a peer arrive in pieces.
    pub fn say_in_pieces(&mut self, peer: usize, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size.max(1)) {
            self.say(peer, piece);
            self.come_to_rest();
        }
    }

    /// Whether the peer reads what it is sent.
    pub fn set_reading(&mut self, peer: usize, is_reading: bool) {
        self.peers[peer].is_reading = is_reading;
    }

    /// The peer's socket is gone; another one connects in its place.
    pub fn replace(&mut self, peer: usize) {
        self.peers[peer].end();
        self.peers[peer] = Peer::new(&self.node, self.now);
    }

    /// Somebody wants it closed.
    pub fn force_close(&self, peer: usize) {
        self.peers[peer].info.force_close("enough");
    }

    /// An alarm is set or cleared.
    pub fn set_alarm(&self, is_on: bool) {
        let _ = self.node.set_alarm(Alarm::Memory, is_on);
    }

    /// Time passes; timers go off when they are due.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..ROUNDS_MAX {
            let ticks = self.peers.iter().enumerate().filter(|(_, peer)| !peer.has_ended);
            let due = ticks.filter_map(|(index, peer)| Some((peer.connection.next_tick()?, index)));
            let Some((tick, index)) = due.filter(|(tick, _)| *tick <= end).min() else {
                self.now = end;
                return;
            };
            self.now = self.now.max(tick);
            let applied = self.peers[index].connection.apply(Event::Tick, self.now, &mut self.arena);
            self.peers[index].follow(&applied);
            self.come_to_rest();
        }
        panic!("timers without end");
    }

    /// Runs until nothing moves any more, and looks at what must always hold.
    pub fn come_to_rest(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let has_moved = self.peers.iter_mut().fold(false, |moved, peer| {
                peer.wake(self.now, &mut self.arena) | peer.drain(self.now, &mut self.arena) | moved
            });
            if !has_moved {
                return self.peers.iter().for_each(Peer::check);
            }
        }
        panic!("it never comes to rest");
    }

    /// All peers are gone: nothing of them is left, and the next one is served.
    pub fn end(&mut self) {
        self.set_alarm(false);
        self.store.catch_up(Ok(()));
        self.log.catch_up(Ok(()));
        self.come_to_rest();
        self.peers.iter_mut().for_each(Peer::end);
        assert_eq!(self.node.connection_count(), 0, "a connection outlives its peer");
        let vhost = self.node.broker.vhost("/").expect("nobody can delete it");
        for queue in vhost.queues() {
            let counts = queue.counts();
            assert_eq!((counts.unsettled, counts.consumers), (0, 0), "{} is still held", queue.name);
            assert!(queue.owner.is_none(), "{} outlives its owner", queue.name);
        }
        self.peers = vec![Peer::new(&self.node, self.now)];
        self.say(0, &frames::opening(131_072, 0));
        self.say(0, &frames::proof());
        self.come_to_rest();
        assert_eq!(self.peers[0].listener.bodies(), [frames::PROOF], "nobody is served any more");
        self.peers[0].end();
    }
}

impl Peer {
    fn new(node: &Arc<Node>, now: Instant) -> Self {
        let woken = Arc::new(AtomicBool::new(false));
        let outbox = Arc::new(Outbox::new(Arc::new(Flag(Arc::clone(&woken)))));
        let [peer, local] = [50_000, 5_672].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let id = node.broker.next_connection_id();
        let info = Arc::new(ConnectionInfo::new(id, (peer, local), UNIX_EPOCH, outbox));
        Self {
            connection: Connection::new(Arc::clone(node), Arc::clone(&info), now),
            info,
            woken,
            listener: Listener::default(),
            unread: Vec::new(),
            said: 0,
            stored: None,
            is_held: false,
            is_reading: true,
            has_ended: false,
        }
    }

    fn may_be_read(&self) -> bool {
        self.stored.is_none()
            && !self.has_ended
            && !self.info.outbox.is_full_of_replies()
            && !self.connection.is_blocked()
            && !self.connection.is_throttled()
    }

    /// The connection takes what it can of what came.
    fn feed(&mut self, now: Instant, arena: &mut Arena) {
        while self.may_be_read() && !self.unread.is_empty() {
            self.is_held = false;
            let applied = self.connection.apply(Event::Read(&self.unread), now, arena);
            assert!(applied.consumed <= self.unread.len(), "more is taken than there was");
            self.unread.drain(..applied.consumed);
            self.follow(&applied);
            if let Flow::Wait(ticket) = applied.flow {
                self.stored = Some(Box::pin(ticket.durable()));
            }
            if applied.consumed == 0 {
                return;
            }
        }
        self.is_held |= !self.unread.is_empty();
    }

    fn follow(&mut self, applied: &Applied) {
        match applied.flow {
            Flow::Hold => self.is_held = true,
            Flow::End => self.has_ended = true,
            Flow::Continue | Flow::Wait(_) => {}
        }
    }

    /// Tells the connection what it waits for. True when there was something.
    fn wake(&mut self, now: Instant, arena: &mut Arena) -> bool {
        if self.has_ended {
            return false;
        }
        let mut has_moved = false;
        if self.woken.swap(false, Relaxed) {
            self.apply(Event::Woken, now, arena);
            has_moved = true;
        }
        let mut context = Context::from_waker(Waker::noop());
        if let Some(stored) = &mut self.stored
            && let Poll::Ready(result) = stored.as_mut().poll(&mut context)
        {
            self.stored = None;
            self.apply(Event::Stored(result), now, arena);
            self.feed(now, arena);
            has_moved = true;
        }
        if self.is_held && self.may_be_read() {
            self.is_held = false;
            self.feed(now, arena);
        }
        has_moved
    }

    fn apply(&mut self, event: Event<'_>, now: Instant, arena: &mut Arena) {
        let applied = self.connection.apply(event, now, arena);
        self.follow(&applied);
        if let Flow::Wait(ticket) = applied.flow {
            self.stored = Some(Box::pin(ticket.durable()));
        }
    }

    /// The peer reads what it was sent. True when there was something.
    fn drain(&mut self, now: Instant, arena: &mut Arena) -> bool {
        if !self.is_reading {
            return false;
        }
        let mut buffer = Buffer::default();
        self.info.outbox.swap(&mut buffer);
        if buffer.is_empty() {
            return false;
        }
        let cost = buffer.cost();
        self.listener.hear(&taken(buffer));
        self.connection.sent(now);
        resume(self.info.outbox.sent(cost));
        self.feed(now, arena);
        true
    }

    fn check(&self) {
        let unsent_max = 2 * OUTBOX_BYTES_MAX + self.said;
        assert!(self.info.outbox.unsent_bytes() <= unsent_max, "replies gather without end");
        let is_waiting = !self.may_be_read() || self.is_held;
        assert!(is_waiting || self.unread.len() <= PARTIAL_MAX, "input gathers without end");
    }

    /// Its socket is gone. Its last words are looked at all the same.
    fn end(&mut self) {
        self.connection.end();
        let mut buffer = Buffer::default();
        self.info.outbox.swap(&mut buffer);
        self.listener.hear(&taken(buffer));
    }
}

/// Everything in the buffer, as a socket takes it.
fn taken(mut buffer: Buffer) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(buffer.size());
    while !buffer.is_empty() {
        let before = bytes.len();
        buffer.slices().iter().for_each(|slice| bytes.extend_from_slice(slice));
        buffer.advance(bytes.len() - before);
    }
    bytes
}

/// Remembers that it was woken.
#[derive(Debug)]
struct Flag(Arc<AtomicBool>);

impl Wake for Flag {
    fn wake(&self) {
        self.0.store(true, Relaxed);
    }
}
