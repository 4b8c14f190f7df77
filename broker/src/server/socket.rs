//! The task of one connection: all its waiting happens here.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{Arc, LazyLock, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    net::TcpStream,
    time::{Sleep, sleep_until, timeout},
};

use super::bell::Bell;
use crate::{
    connection::{Applied, Connection, Event, Flow, registry::ConnectionInfo, settle::resume},
    model::message::Arena,
    storage::StoreError,
    vhost::{buffer::Buffer, outbox::Outbox, ticket::Ticket},
};

/// What a worker thread lends to the connection that it runs: nothing of it is kept over a wait, so an
/// idle connection has no buffers.
struct Scratch {
    input: Vec<u8>,
    arena: Arena,
}

/// Bytes of one read.
const INPUT_SIZE: usize = 256 << 10;
/// After a read of more than this, others get their turn, bytes.
const LONG_READ: usize = 32 << 10;
/// How long the peer may take to read our last words and to notice that we are done.
const LINGER: Duration = Duration::from_secs(2);

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { input: vec![0; INPUT_SIZE], arena: Arena::default() });
}

/// A connection and its socket.
pub(super) struct Socket {
    stream: TcpStream,
    connection: Connection,
    info: Arc<ConnectionInfo>,
    outbox: Arc<Outbox>,
    bell: Arc<Bell>,
    /// The beginning of a frame whose end has not come yet; or whole frames, while the disk or the peer is
    /// waited for, or an alarm is on.
    partial: Vec<u8>,
    /// `partial` may hold whole frames: they are for the moment when the peer has read its replies, and no alarm
    /// blocks it.
    is_held: bool,
    /// What is being sent.
    sending: Buffer,
    /// What has to be durable before more is read.
    stored: Option<Stored>,
    timer: Pin<Box<Sleep>>,
    is_ended: bool,
}

pub(super) type Stored = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// What ended a wait: several things may at once.
#[derive(Default)]
struct Happened {
    /// The peer sent something, or is gone.
    is_readable: bool,
    /// The socket takes more.
    is_writable: bool,
    /// The outbox rang.
    is_rung: bool,
    stored: Option<Result<(), StoreError>>,
    is_time: bool,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        connection: Connection,
        info: Arc<ConnectionInfo>,
        bell: Arc<Bell>,
    ) -> Self {
        let timer = Box::pin(sleep_until(connection.next_tick().unwrap_or_else(now).into()));
        let outbox = Arc::clone(&info.outbox);
        Self {
            stream,
            connection,
            info,
            outbox,
            bell,
            partial: Vec::new(),
            is_held: false,
            sending: Buffer::default(),
            stored: None,
            timer,
            is_ended: false,
        }
    }

    /// Until the connection ends. An error is the peer's going without a word.
    pub(super) async fn run(&mut self) -> io::Result<()> {
        let result = self.serve().await;
        self.connection.end();
        if result.is_ok() {
            // A peer that is dead, or does not read, is not waited for.
            // Boxed, so that its waits take no room in the task before that.
            let _ = Box::pin(timeout(LINGER, self.say_good_bye())).await;
        }
        result
    }

    async fn serve(&mut self) -> io::Result<()> {
        loop {
            if self.is_ended {
                return Ok(());
            }
            self.send()?;
            if self.is_held && self.may_read() {
                self.read_partial();
                // A peer that reads as fast as we answer would keep its thread to itself.
                tokio::task::yield_now().await;
                continue;
            }
            let happened = poll_fn(|context| self.poll_happened(context)).await?;
            let is_readable = happened.is_readable;
            self.apply_happened(happened);
            // A busy publisher would keep its thread to itself, and with it the consumers' tasks
            // that it woke and that no other thread may take over.
            // What is held comes first: the next turn reads it.
            if is_readable && !self.is_held && self.may_read() && self.receive()? > LONG_READ {
                tokio::task::yield_now().await;
            }
        }
    }

    /// What happened, once something did. One task waits for a socket's room and for its bytes, so tokio's own futures
    /// for that, which any number of tasks may have, would be memory for nothing.
    fn poll_happened(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Happened>> {
        let mut happened = Happened::default();
        if self.may_read()
            && let Poll::Ready(ready) = self.stream.poll_read_ready(context)
        {
            ready?;
            happened.is_readable = true;
        }
        if !self.sending.is_empty()
            && let Poll::Ready(ready) = self.stream.poll_write_ready(context)
        {
            ready?;
            happened.is_writable = true;
        }
        happened.is_rung = self.bell.poll_rung(context).is_ready();
        if let Some(stored) = &mut self.stored
            && let Poll::Ready(result) = stored.as_mut().poll(context)
        {
            happened.stored = Some(result);
        }
        happened.is_time = self.timer.as_mut().poll(context).is_ready();
        if happened.is_nothing() { Poll::Pending } else { Poll::Ready(Ok(happened)) }
    }

    /// Lets the connection decide, but for what the peer sent.
    fn apply_happened(&mut self, happened: Happened) {
        if happened.is_rung {
            self.apply(Event::Woken);
        }
        if let Some(result) = happened.stored {
            self.stored = None;
            self.apply(Event::Stored(result));
            self.read_partial();
        }
        if happened.is_time {
            self.apply_tick();
        }
    }

    /// A peer that does not read its answers may not ask for more, and one that publishes waits for disk and
    /// memory. Whether it is still there is then seen only when something is sent, at the latest a heartbeat.
    fn may_read(&self) -> bool {
        !self.is_ended
            && self.stored.is_none()
            && !self.outbox.is_full_of_replies()
            && !self.connection.is_blocked()
            && !self.connection.is_throttled()
    }

    /// Reads what is there and lets the connection decide; says how much that was.
    fn receive(&mut self) -> io::Result<usize> {
        SCRATCH.with_borrow_mut(|scratch| {
            let kept = self.partial.len();
            scratch.input[..kept].copy_from_slice(&self.partial);
            let count = match self.stream.try_read(&mut scratch.input[kept..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) => return Err(error),
            };
            self.info.traffic.received_bytes.fetch_add(count as u64, Relaxed);
            self.info.traffic.receives.fetch_add(1, Relaxed);
            self.read(scratch, kept + count);
            Ok(count)
        })
    }

    /// What was read before the disk, the peer or the end of an alarm had to be waited for.
    fn read_partial(&mut self) {
        self.is_held = false;
        if self.partial.is_empty() {
            return;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let kept = self.partial.len();
            scratch.input[..kept].copy_from_slice(&self.partial);
            self.read(scratch, kept);
        });
    }

    fn read(&mut self, scratch: &mut Scratch, size: usize) {
        // `serve` sends after this, whatever it leads to.
        self.outbox.attend();
        let mut start = 0;
        while start < size && !self.is_ended && !self.is_held && self.stored.is_none() {
            let input = &scratch.input[start..size];
            let applied = self.connection.apply(Event::Read(input), now(), &mut scratch.arena);
            let consumed = applied.consumed;
            self.follow(applied);
            start += consumed;
            if consumed == 0 {
                break;
            }
        }
        self.keep(&scratch.input[start..size]);
    }

    /// Keeps the beginning of what is to be read again, and no more memory than that takes.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }

    fn apply(&mut self, event: Event<'_>) {
        if self.is_ended {
            return;
        }
        self.outbox.attend();
        let applied =
            SCRATCH.with_borrow_mut(|scratch| self.connection.apply(event, now(), &mut scratch.arena));
        self.follow(applied);
    }

    fn follow(&mut self, applied: Applied) {
        match applied.flow {
            Flow::Continue => {}
            Flow::Wait(ticket) => self.stored = Some(Box::pin(Ticket::durable(ticket))),
            Flow::Hold => self.is_held = true,
            Flow::End => self.is_ended = true,
        }
        self.set_timer();
    }

    /// The timer may stand earlier than it must: activity moves deadlines on, and setting a timer costs more
    /// than to find now and then that there is still time.
    fn set_timer(&mut self) {
        let Some(deadline) = self.connection.next_tick() else { return };
        if deadline < self.timer.deadline().into_std() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(deadline.into());
        }
    }

    fn apply_tick(&mut self) {
        let now = now();
        match self.connection.next_tick() {
            Some(deadline) if deadline <= now => self.apply(Event::Tick),
            Some(deadline) => self.timer.as_mut().reset(deadline.into()),
            None => self.timer.as_mut().reset((now + Duration::from_secs(86_400)).into()),
        }
    }

    /// Sends what the socket takes now.
    fn send(&mut self) -> io::Result<()> {
        loop {
            if self.sending.is_empty() {
                self.outbox.swap(&mut self.sending);
                if self.sending.is_empty() {
                    return Ok(());
                }
            }
            let cost = self.sending.cost();
            let count = match self.stream.try_write_vectored(&self.sending.slices()) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.info.traffic.sent_bytes.fetch_add(count as u64, Relaxed);
            self.info.traffic.sends.fetch_add(1, Relaxed);
            self.connection.sent(now());
            if self.sending.advance(count) {
                resume(self.outbox.sent(cost));
            }
        }
    }

    /// Sends what is left and lets the peer read it: closing a socket with unread input would take it away.
    /// A peer that asked for the close closes first, as with RabbitMQ: some clients take anything else for
    /// a broken connection.
    async fn say_good_bye(&mut self) -> io::Result<()> {
        use tokio::io::AsyncWriteExt;
        self.send()?;
        while !self.sending.is_empty() {
            self.stream.writable().await?;
            self.send()?;
        }
        if !self.connection.is_closed_by_peer() {
            self.stream.shutdown().await?;
        }
        while !self.discard()? {
            self.stream.readable().await?;
        }
        Ok(())
    }

    /// Reads what nobody wants any more; whether that was the end.
    fn discard(&self) -> io::Result<bool> {
        let read = SCRATCH.with_borrow_mut(|scratch| self.stream.try_read(&mut scratch.input));
        match read {
            Ok(count) => Ok(count == 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Happened {
    fn is_nothing(&self) -> bool {
        let Self { is_readable, is_writable, is_rung, stored, is_time } = self;
        !(*is_readable || *is_writable || *is_rung || *is_time || stored.is_some())
    }
}

/// Lends this thread's arena.
pub(super) fn with_arena<R>(f: impl FnOnce(&mut Arena) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| f(&mut scratch.arena))
}

#[expect(clippy::disallowed_methods, reason = "the server layer reads the clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The time since this was first asked.
pub(super) fn elapsed() -> Duration {
    static FIRST: LazyLock<Instant> = LazyLock::new(now);
    now().saturating_duration_since(*FIRST)
}
