//! Thousands of sockets at once.

use std::{io, net::SocketAddr, thread};

use super::peer::Peer;
use crate::{
    method::{self, queue},
    raw::PROTOCOL_HEADER,
};

/// Threads that connect at the same time.
const THREADS: usize = 8;

/// How far the peers of a crowd go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A protocol header; the broker's answer is not read.
    Greeting,
    /// An open connection with one channel.
    Open,
    /// The same, and an exclusive queue with a consumer.
    Consuming,
}

/// Brings `count` peers to a stage, many at the same time.
pub fn gather(amqp: SocketAddr, vhost: &str, count: usize, stage: Stage) -> Result<Vec<Peer>, String> {
    thread::scope(|scope| {
        let parts: Vec<_> = (0..THREADS)
            .map(|index| {
                let share = count / THREADS + usize::from(index < count % THREADS);
                scope.spawn(move || {
                    (0..share).map(|_| join(amqp, vhost, stage)).collect::<io::Result<Vec<Peer>>>()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(count);
        for part in parts {
            let peers = part.join().map_err(|_| "a thread of the crowd has panicked".to_owned())?;
            all.extend(peers.map_err(|error| format!("after {} of the crowd: {error}", all.len()))?);
        }
        Ok(all)
    })
}

/// Whether each of them is still served.
pub fn all_served(peers: &mut [Peer]) -> io::Result<()> {
    for peer in peers {
        peer.say(&[method::qos(0, 1, false)])?;
        peer.hear_until((60, 11))?;
    }
    Ok(())
}

/// Brings one peer to a stage.
pub fn join(amqp: SocketAddr, vhost: &str, stage: Stage) -> io::Result<Peer> {
    if stage == Stage::Greeting {
        let mut peer = Peer::connect(amqp)?;
        peer.write(&PROTOCOL_HEADER)?;
        return Ok(peer);
    }
    let mut peer = Peer::open(amqp, vhost, 0)?;
    if stage == Stage::Consuming {
        peer.say(&[method::queue_declare("", queue::EXCLUSIVE, &[]), method::basic_consume("", "", 0)])?;
        peer.hear_until((60, 21))?;
    }
    Ok(peer)
}
