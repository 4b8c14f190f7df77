//! The task of one connection: all its waiting happens here.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{Arc, LazyLock, atomic::Ordering::Relaxed},
    task::Poll,
    time::{Duration, Instant},
};

use tokio::{
    io::Interest,
    net::TcpStream,
    sync::Notify,
    time::{Sleep, sleep_until, timeout},
};

use crate::{
    connection::{Applied, Connection, Event, Flow, registry::ConnectionInfo, settle::resume},
    model::message::Arena,
    storage::StoreError,
    vhost::{
        buffer::Buffer,
        outbox::{Outbox, Wake},
        ticket::Ticket,
    },
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

/// Wakes a connection's task.
#[derive(Debug, Default)]
pub(super) struct Waker(pub(super) Arc<Notify>);

impl Wake for Waker {
    fn wake(&self) {
        self.0.notify_one();
    }
}

/// A connection and its socket.
pub(super) struct Socket {
    stream: TcpStream,
    connection: Connection,
    info: Arc<ConnectionInfo>,
    outbox: Arc<Outbox>,
    woken: Arc<Notify>,
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

enum Wakeup {
    Ready(tokio::io::Ready),
    Woken,
    Stored(Result<(), StoreError>),
    Timer,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        connection: Connection,
        info: Arc<ConnectionInfo>,
        woken: Arc<Notify>,
    ) -> Self {
        let timer = Box::pin(sleep_until(connection.next_tick().unwrap_or_else(now).into()));
        let outbox = Arc::clone(&info.outbox);
        Self {
            stream,
            connection,
            info,
            outbox,
            woken,
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
            let _ = timeout(LINGER, self.say_good_bye()).await;
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
            match self.wait().await? {
                Wakeup::Ready(ready) if ready.is_readable() && self.may_read() => {
                    // A busy publisher would keep its thread to itself, and with it the consumers' tasks
                    // that it woke and that no other thread may take over.
                    if self.receive()? > LONG_READ {
                        tokio::task::yield_now().await;
                    }
                }
                // Room to send: the next turn does.
                Wakeup::Ready(_) => {}
                Wakeup::Woken => self.apply(Event::Woken),
                Wakeup::Stored(result) => {
                    self.stored = None;
                    self.apply(Event::Stored(result));
                    self.read_partial();
                }
                Wakeup::Timer => self.apply_tick(),
            }
        }
    }

    /// The next thing that happens.
    async fn wait(&mut self) -> io::Result<Wakeup> {
        let interest = match (self.may_read(), self.sending.is_empty()) {
            (true, true) => Some(Interest::READABLE),
            (true, false) => Some(Interest::READABLE | Interest::WRITABLE),
            (false, false) => Some(Interest::WRITABLE),
            (false, true) => None,
        };
        let stored = &mut self.stored;
        let durable = poll_fn(|context| match stored {
            Some(stored) => stored.as_mut().poll(context),
            None => Poll::Pending,
        });
        tokio::select! {
            ready = self.stream.ready(interest.unwrap_or(Interest::READABLE)), if interest.is_some() => {
                Ok(Wakeup::Ready(ready?))
            }
            () = self.woken.notified() => Ok(Wakeup::Woken),
            result = durable => Ok(Wakeup::Stored(result)),
            () = self.timer.as_mut() => Ok(Wakeup::Timer),
        }
    }

    /// A peer that does not read its answers may not ask for more, and one that publishes waits for disk and
    /// memory. Whether it is still there is then seen only when something is sent, at the latest a heartbeat.
    fn may_read(&self) -> bool {
        self.stored.is_none()
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
