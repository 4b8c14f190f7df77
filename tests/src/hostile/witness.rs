//! The well-behaved client: publishes a persistent message, waits for its confirm and its delivery, acks it, and does so
//! again, while others misbehave. How long each takes is for the reader, since it depends on the machine; an answer that
//! does not come within [`PATIENCE`](super::peer::PATIENCE) is a broken promise.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::peer::{Peer, id};
use crate::{
    codec::{HEADER, Reader, Writer},
    method::{self, Say, queue},
};

const QUEUE: &str = "hostile.witness";

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(5);

/// A running witness.
#[derive(Debug)]
pub struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Served>>,
}

/// How it was served.
#[derive(Debug, Default)]
pub struct Served {
    /// From publish to confirm and delivery, of each message.
    latencies: Vec<Duration>,
}

impl Witness {
    /// Starts it in vhost `/`.
    pub fn start(amqp: SocketAddr) -> Witness {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        Witness { stop, thread: thread::spawn(move || watch(amqp, &stopping)) }
    }

    /// Ends it. An error is what went wrong for it.
    pub fn end(self) -> Result<Served, String> {
        self.stop.store(true, Relaxed);
        match self.thread.join() {
            Ok(result) => result.map_err(|error| format!("the well-behaved client: {error}")),
            Err(_) => Err("the well-behaved client got what it could not read".to_owned()),
        }
    }
}

impl Served {
    /// Messages.
    pub fn count(&self) -> usize {
        self.latencies.len()
    }

    /// The slowest one.
    pub fn worst(&self) -> Duration {
        self.latencies.iter().max().copied().unwrap_or_default()
    }

    /// What so many of a thousand did not exceed.
    pub fn permille(&self, permille: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * permille / 1_000).min(sorted.len().saturating_sub(1));
        sorted.get(index).copied().unwrap_or_default()
    }
}

fn watch(amqp: SocketAddr, stop: &AtomicBool) -> io::Result<Served> {
    let mut peer = Peer::open(amqp, "/", 0)?;
    peer.say(&[
        method::queue_declare(QUEUE, queue::DURABLE, &[]),
        method::confirm_select(),
        method::basic_consume(QUEUE, "witness", 0),
    ])?;
    peer.hear_until((60, 21))?;
    let mut served = Served::default();
    while !stop.load(Relaxed) {
        let begin = Instant::now();
        peer.say(&[method::basic_publish("", QUEUE, 0), persistent_header(5), method::body(b"hello")])?;
        let tag = confirmed_and_delivered(&mut peer)?;
        served.latencies.push(begin.elapsed());
        peer.say(&[method::basic_ack(tag, false)])?;
        thread::park_timeout(PAUSE);
    }
    peer.say(&[method::queue_delete(QUEUE, 0)])?;
    peer.hear_until((50, 41))?;
    Ok(served)
}

/// Waits for both, in whatever order; the delivery's tag.
fn confirmed_and_delivered(peer: &mut Peer) -> io::Result<u64> {
    let (mut is_confirmed, mut delivered) = (false, None);
    loop {
        let frame = peer.hear()?;
        match id(&frame) {
            Some((60, 80)) => is_confirmed = true,
            Some((60, 60)) => {
                let mut reader = Reader(&frame.payload[4..]);
                reader.short();
                delivered = Some(reader.u64());
            }
            Some(_) => return Err(io::Error::other(method::describe(&frame))),
            None => {}
        }
        if let (true, Some(tag)) = (is_confirmed, delivered) {
            return Ok(tag);
        }
    }
}

/// A content header with `delivery_mode` 2.
fn persistent_header(body_size: u64) -> Say {
    let payload = Writer::default().u16(60).u16(0).u64(body_size).u16(1 << 12).u8(2).0;
    Say { kind: HEADER, channel: 1, payload }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_ranked() {
        let served = Served { latencies: (1..=1_000).rev().map(Duration::from_micros).collect() };
        assert_eq!((served.count(), served.worst()), (1_000, Duration::from_micros(1_000)));
        assert_eq!(served.permille(500), Duration::from_micros(501));
        assert_eq!(served.permille(1_000), Duration::from_micros(1_000));
        assert_eq!(Served::default().permille(990), Duration::ZERO);
    }
}
