//! Random and mutated frames. Most connections are opened in order and say much that is right, so that the wrong frames
//! meet a broker in many states.

use std::{io, net::SocketAddr, time::Duration};

use super::peer::{Peer, id};
use crate::{
    campaign::random::Random,
    codec::{BODY, FRAME_END, Frame, HEADER, METHOD, Value, Writer},
    method::{self, Say, consume, exchange, publish, queue},
    raw::PROTOCOL_HEADER,
};

/// Frames sent before the broker's verdict is asked for.
const BATCH_MAX: u64 = 12;

/// Longer than any answer should take; shorter than the broker's own patience with half a frame.
const VERDICT_PATIENCE: Duration = Duration::from_millis(300);

const NAMES: [&str; 6] = ["a", "b", "c", "amq.topic", "amq.headers", ""];
const KEYS: [&str; 5] = ["a", "b", "x.y.z", "x.*.#", ""];
const CLASSES: [u16; 9] = [0, 10, 20, 30, 40, 50, 60, 85, 90];

/// What was said, and to how many connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub frames: u64,
    pub connections: u64,
    /// Connections that the broker closed.
    pub refused: u64,
    /// Connections that fell silent: the broker waits for the rest of something.
    pub silent: u64,
}

/// Says `frames` frames. An error is something that no broker may do.
pub fn spread(amqp: SocketAddr, vhost: &str, frames: u64, random: &mut Random) -> Result<Tally, String> {
    let mut tally = Tally::default();
    while tally.frames < frames {
        tally.connections += 1;
        if random.chance(5) {
            say_noise(amqp, random, &mut tally).map_err(|error| format!("a connection: {error}"))?;
            continue;
        }
        let mut peer =
            Peer::open(amqp, vhost, 0).map_err(|error| format!("opening a connection: {error}"))?;
        peer.set_patience(VERDICT_PATIENCE).map_err(|error| error.to_string())?;
        while tally.frames < frames {
            match say_batch(&mut peer, random, &mut tally) {
                Ok(()) if random.chance(98) => {}
                // Its end is as rude as the rest.
                Ok(()) => break,
                Err(verdict) => {
                    note(verdict, &mut tally)?;
                    break;
                }
            }
        }
    }
    Ok(tally)
}

/// From the first byte on nothing makes sense.
fn say_noise(amqp: SocketAddr, random: &mut Random, tally: &mut Tally) -> io::Result<()> {
    let mut peer = Peer::connect(amqp)?;
    let mut bytes = if random.chance(50) { PROTOCOL_HEADER.to_vec() } else { Vec::new() };
    for _ in 0..random.between(1, 4) {
        bytes.extend(random_frame(random).encode());
        tally.frames += 1;
    }
    mutate(&mut bytes, random);
    // It may be closed before everything is said.
    peer.write(&bytes).ok();
    Ok(())
}

/// Some frames, and a question whose answer tells that the broker got through them.
fn say_batch(peer: &mut Peer, random: &mut Random, tally: &mut Tally) -> io::Result<()> {
    let mut bytes = Vec::new();
    for _ in 0..random.between(1, BATCH_MAX) {
        let begin = bytes.len();
        let frames = if random.chance(90) { sensible(random) } else { vec![random_frame(random)] };
        tally.frames += frames.len() as u64;
        frames.iter().for_each(|frame| bytes.extend(frame.encode()));
        if random.chance(5) {
            mutate(&mut bytes[begin..], random);
        }
    }
    let question = Frame { channel: 7, ..method::channel_open() };
    let close = Frame { channel: 7, ..method::channel_close() };
    bytes.extend([question, close].iter().flat_map(Frame::encode));
    peer.write(&bytes)?;
    loop {
        let frame = peer.hear()?;
        match (frame.channel, id(&frame)) {
            (7, Some((20, 41))) => return Ok(()),
            (0, Some((10, 50))) => return Err(io::Error::other(method::describe(&frame))),
            (channel, Some((20, 40))) => {
                let again = [method::channel_close_ok(), method::channel_open()];
                peer.say(&again.map(|frame| Frame { channel, ..frame }))?;
            }
            _ => {}
        }
    }
}

/// Counts how a connection ended.
fn note(verdict: io::Error, tally: &mut Tally) -> Result<(), String> {
    let text = verdict.to_string();
    match verdict.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => tally.silent += 1,
        io::ErrorKind::Other if text.contains("close 541") => return Err(text),
        _ => tally.refused += 1,
    }
    Ok(())
}

/// What a client might say.
fn sensible(random: &mut Random) -> Vec<Say> {
    let (name, other, key) = (random.pick(&NAMES), random.pick(&NAMES), random.pick(&KEYS));
    let tag = random.between(0, 5);
    vec![match random.between(0, 19) {
        0..=5 => return message(name, key, random),
        6 => method::queue_declare(
            random.pick(&KEYS),
            random.pick(&[0, queue::DURABLE, queue::EXCLUSIVE, queue::AUTO_DELETE]),
            &arguments(random),
        ),
        7 => method::queue_bind(random.pick(&KEYS), name, key),
        8 => method::queue_purge(key),
        9 => method::queue_delete(key, 0),
        10 => method::exchange_declare(
            random.pick(&["x", "y"]),
            random.pick(&["topic", "headers", "direct"]),
            exchange::AUTO_DELETE,
            &arguments(random),
        ),
        11 => method::exchange_bind(name, other, key),
        12 => method::exchange_delete(random.pick(&["x", "y"]), false),
        13 => method::basic_consume(key, random.pick(&["", "t", "u"]), random.pick(&[0, consume::NO_ACK])),
        14 => method::basic_cancel(random.pick(&["t", "u"])),
        15 => method::basic_get(key),
        16 => method::basic_ack(tag, random.chance(50)),
        17 => method::basic_nack(tag, random.pick(&[0, 1, 2, 3])),
        18 => method::qos(0, random.pick(&[0, 1, 10]), random.chance(50)),
        _ => method::confirm_select(),
    }]
}

fn message(exchange: &str, key: &str, random: &mut Random) -> Vec<Say> {
    let size = random.pick(&[0, 1, 10, 1_000, 20_000]);
    let mut frames = vec![
        method::basic_publish(exchange, key, random.pick(&[0, publish::MANDATORY])),
        method::header(size as u64),
    ];
    if size > 0 {
        frames.push(method::body(&vec![b'x'; size]));
    }
    frames
}

fn arguments(random: &mut Random) -> Vec<(&'static str, Value)> {
    match random.between(0, 5) {
        0 => vec![("x-max-length", Value::Int(3))],
        1 => {
            vec![("x-message-ttl", Value::Int(50)), ("nested", Value::Table(vec![("a", Value::Bool(true))]))]
        }
        2 => vec![("x-max-priority", Value::Int(5))],
        _ => Vec::new(),
    }
}

/// A frame in form; anything in it.
fn random_frame(random: &mut Random) -> Frame {
    let kind = random.pick(&[METHOD, METHOD, METHOD, HEADER, BODY, 8, 0]);
    let channel = random.pick(&[0, 1, 1, 1, 2, 2_048]);
    let size = random.between(0, 60);
    let rest: Vec<u8> = (0..size).map(|_| random.bits() as u8).collect();
    let mut payload = match kind {
        METHOD => Writer::default().u16(random.pick(&CLASSES)).u16(random.between(0, 125) as u16).0,
        _ => Vec::new(),
    };
    payload.extend(rest);
    Frame { kind, channel, payload }
}

/// Some octets become others, lengths most of all.
fn mutate(bytes: &mut [u8], random: &mut Random) {
    for _ in 0..random.between(1, 4) {
        let most = bytes.len().min(64).saturating_sub(1) as u64;
        let index = random.between(0, most) as usize;
        let any = random.bits() as u8;
        let octet = random.pick(&[0, 1, 0x7F, 0xFF, FRAME_END, any]);
        if let Some(changed) = bytes.get_mut(index) {
            *changed = octet;
        }
    }
}
