//! Attacks that are worked out, each with what the broker must make of it.

use std::{
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use super::peer::{Peer, id};
use crate::{
    codec::{Frame, HEADER, METHOD, Value, Writer},
    method::{self, Say, consume, queue},
    raw::{FRAME_MAX, PROTOCOL_HEADER},
};

/// The broker's patience with a handshake is 10 s; so long it may take until the last socket is closed.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(14);

/// Between two bytes of a slow peer.
const DRIP: Duration = Duration::from_millis(100);

/// With a heartbeat of a second, silence may last two; and as much again for a busy machine.
const SILENCE_PATIENCE: Duration = Duration::from_secs(5);

/// Peers of one attack.
const MANY: usize = 200;

/// Deeper than any client's tables.
const DEPTHS: [usize; 3] = [33, 1_000, 9_000];

/// What an attack is called, and what it does; an error is what no broker may do.
pub type Ambush = (&'static str, fn(SocketAddr, &str) -> Result<(), String>);

/// Those that are over in seconds.
pub const AMBUSHES: [Ambush; 6] = [
    ("half frames", half_frames),
    ("giant lengths", giant_lengths),
    ("nested tables", nested_tables),
    ("bodies that never come", missing_bodies),
    ("deaf peers", deaf_peers),
    ("all channels", all_channels),
];

/// Those that are not.
pub const SLOW_AMBUSHES: [Ambush; 1] = [("slow handshakes", slow_handshakes)];

/// One half of the peers says nothing at all, the other half says everything, byte by byte.
fn slow_handshakes(amqp: SocketAddr, _vhost: &str) -> Result<(), String> {
    let start_ok = method::start_ok("PLAIN", b"\0guest\0guest").encode();
    let words = [&PROTOCOL_HEADER[..], &start_ok].concat();
    let mut peers = many(|| Peer::connect(amqp))?;
    let begin = Instant::now();
    for byte in words.iter().cycle() {
        for peer in peers.iter_mut().step_by(2) {
            // An error: it is closed already.
            peer.write(&[*byte]).ok();
        }
        if begin.elapsed() > HANDSHAKE_PATIENCE {
            break;
        }
        thread::park_timeout(DRIP);
    }
    all_closed(&mut peers, Duration::from_millis(100))
}

/// The first half of the largest frame, and then silence: only the heartbeat tells that nobody is there.
fn half_frames(amqp: SocketAddr, vhost: &str) -> Result<(), String> {
    let mut peers = many(|| Peer::open(amqp, vhost, 1))?;
    let whole = Frame { kind: METHOD, channel: 1, payload: vec![b'x'; FRAME_MAX as usize - 8] }.encode();
    for peer in &mut peers {
        peer.write(&whole[..whole.len() / 2]).map_err(|error| error.to_string())?;
    }
    all_closed(&mut peers, SILENCE_PATIENCE)
}

/// Lengths that promise more than comes, or than may come.
fn giant_lengths(amqp: SocketAddr, vhost: &str) -> Result<(), String> {
    let head = |size: u32| [&[METHOD, 0, 1][..], &size.to_be_bytes()].concat();
    let declare = |arguments: &[u8]| {
        let mut payload = Writer::default().u16(50).u16(10).u16(0).short("q").u8(0).0;
        payload.extend(arguments);
        Frame { kind: METHOD, channel: 1, payload }.encode()
    };
    let within = |field: &[u8]| declare(&Writer::default().long(field).0);
    let header = |size| {
        let frames = [method::basic_publish("", "q", 0), method::header(size)];
        frames.iter().flat_map(Frame::encode).collect()
    };
    let attacks: [(&str, Vec<u8>); 8] = [
        ("a frame of 4 GiB", head(u32::MAX)),
        ("a frame of one byte too many", head(FRAME_MAX + 1)),
        ("a table of 4 GiB", declare(&[0xFF; 4])),
        ("a text of 4 GiB", within(b"\x01aS\xFF\xFF\xFF\xFF")),
        ("an array of 4 GiB", within(b"\x01aA\xFF\xFF\xFF\xFF")),
        ("a name beyond its table", within(b"\xFFa")),
        ("a body of 16 EiB", header(u64::MAX)),
        ("a body of 513 MiB", header(513 << 20)),
    ];
    attacks.into_iter().try_for_each(|(name, bytes)| refused(amqp, vhost, name, &bytes))
}

/// Tables in tables, in arguments and in headers.
fn nested_tables(amqp: SocketAddr, vhost: &str) -> Result<(), String> {
    DEPTHS.into_iter().try_for_each(|depth| {
        let nested = nested(depth);
        let arguments = [("nested", Value::Raw(b'F', nested.clone()))];
        let declare = method::queue_declare("q", 0, &arguments).encode();
        refused(amqp, vhost, &format!("arguments of depth {depth}"), &declare)?;
        let mut payload = Writer::default().u16(60).u16(0).u64(1).u16(1 << 13).0;
        payload.extend(nested);
        let header = Frame { kind: HEADER, channel: 1, payload };
        let publish = [method::basic_publish("", "q", 0), header];
        let bytes: Vec<u8> = publish.iter().flat_map(Frame::encode).collect();
        refused(amqp, vhost, &format!("headers of depth {depth}"), &bytes)
    })
}

/// The largest body that may be announced, and a byte of it: memory is taken for what came, not for what may come.
fn missing_bodies(amqp: SocketAddr, vhost: &str) -> Result<(), String> {
    let mut peers = many(|| Peer::open(amqp, vhost, 0))?;
    for peer in &mut peers {
        let frames = [method::basic_publish("", "q", 0), method::header(128 << 20), method::body(b"x")];
        peer.say(&frames).and_then(|()| alive(peer)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Peers that ask for much and read nothing of it.
fn deaf_peers(amqp: SocketAddr, vhost: &str) -> Result<(), String> {
    const NAME: &str = "hostile.deaf";
    let fill = || -> io::Result<Peer> {
        let mut filler = Peer::open(amqp, vhost, 0)?;
        filler.say(&[method::queue_declare(NAME, 0, &[])])?;
        let body = vec![b'x'; 100_000];
        for _ in 0..MANY {
            let message =
                [method::basic_publish("", NAME, 0), method::header(body.len() as u64), method::body(&body)];
            filler.say(&message)?;
        }
        filler.say(&[method::qos(0, 0, false)])?;
        filler.hear_until((60, 11))?;
        Ok(filler)
    };
    let mut filler = fill().map_err(|error| error.to_string())?;
    let deaf = (0..MANY / 4).map(|index| -> io::Result<Peer> {
        let mut peer = Peer::open(amqp, vhost, 0)?;
        if index % 2 == 0 {
            peer.say(&[method::basic_consume(NAME, "deaf", consume::NO_ACK)])?;
        } else {
            let gets: Vec<Say> = vec![method::basic_get(NAME); MANY];
            peer.say(&gets)?;
        }
        Ok(peer)
    });
    let deaf: io::Result<Vec<Peer>> = deaf.collect();
    let deaf = deaf.map_err(|error| error.to_string())?;
    alive(&mut filler).map_err(|error| format!("beside deaf peers: {error}"))?;
    drop(deaf);
    alive(&mut filler).map_err(|error| format!("after deaf peers: {error}"))
}

/// As many channels as there may be, each with a queue of its own and a consumer; then one more.
fn all_channels(amqp: SocketAddr, vhost: &str) -> Result<(), String> {
    let greedy = || -> io::Result<Peer> {
        let mut peer = Peer::open(amqp, vhost, 0)?;
        for channel in 2..=2_047 {
            let frames = [
                method::channel_open(),
                method::queue_declare("", queue::EXCLUSIVE, &[]),
                method::basic_consume("", "", 0),
            ];
            peer.say(&frames.map(|frame| Frame { channel, ..frame }))?;
            peer.hear_until((60, 21))?;
        }
        Ok(peer)
    };
    let mut peer = greedy().map_err(|error| error.to_string())?;
    let one_more = Frame { channel: 2_048, ..method::channel_open() };
    peer.write(&one_more.encode()).map_err(|error| error.to_string())?;
    judge(&mut peer, "one channel too many")
}

/// A table in a table in a table, with its length.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(vec![0; 4], |inner, _| {
        let size = u32::try_from(inner.len() + 3).unwrap_or(u32::MAX);
        [&size.to_be_bytes()[..], b"\x01aF", &inner].concat()
    })
}

fn many(make: impl Fn() -> io::Result<Peer>) -> Result<Vec<Peer>, String> {
    (0..MANY).map(|_| make().map_err(|error| error.to_string())).collect()
}

fn all_closed(peers: &mut [Peer], patience: Duration) -> Result<(), String> {
    let begin = Instant::now();
    for peer in peers.iter_mut() {
        let left = patience.saturating_sub(begin.elapsed()).max(Duration::from_millis(1));
        peer.set_patience(left).map_err(|error| error.to_string())?;
        if !peer.is_closed() {
            return Err("a connection is open still".to_owned());
        }
    }
    Ok(())
}

/// Says something that must end the connection, with a reason that is not the broker's own fault.
fn refused(amqp: SocketAddr, vhost: &str, name: &str, bytes: &[u8]) -> Result<(), String> {
    let mut peer = Peer::open(amqp, vhost, 0).map_err(|error| format!("{name}: {error}"))?;
    // Large ones may be refused before they are whole.
    peer.write(bytes).ok();
    judge(&mut peer, name)
}

fn judge(peer: &mut Peer, name: &str) -> Result<(), String> {
    loop {
        match peer.hear() {
            Ok(frame) if id(&frame) == Some((10, 50)) => {
                let close = method::describe(&frame);
                return if close.contains("close 541") { Err(format!("{name}: {close}")) } else { Ok(()) };
            }
            Ok(frame) if id(&frame) == Some((20, 40)) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(format!("{name}: the broker says nothing"));
            }
            Err(error) => return Err(format!("{name}: {error}")),
        }
    }
}

/// Whether the connection still answers, on a channel that nothing else uses.
fn alive(peer: &mut Peer) -> io::Result<()> {
    let frames = [method::channel_open(), method::channel_close()];
    peer.say(&frames.map(|frame| Frame { channel: 9, ..frame }))?;
    peer.hear_until((20, 41)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_tables_are_tables() {
        assert_eq!(nested(0), [0; 4]);
        assert_eq!(nested(1), b"\0\0\0\x07\x01aF\0\0\0\0");
        assert_eq!(nested(2), b"\0\0\0\x0e\x01aF\0\0\0\x07\x01aF\0\0\0\0");
    }
}
