//! A socket to the broker with a frame reader that never panics: what comes may be anything, or nothing.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    codec::{FRAME_END, Frame, METHOD},
    method::{self, Say},
    raw::{FRAME_MAX, PROTOCOL_HEADER},
};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the broker.
#[derive(Debug)]
pub struct Peer {
    socket: TcpStream,
    /// Read and not yet looked at.
    unread: Vec<u8>,
}

impl Peer {
    /// A TCP connection; nothing said yet.
    pub fn connect(amqp: SocketAddr) -> io::Result<Peer> {
        let socket = TcpStream::connect(amqp)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Peer { socket, unread: Vec::new() })
    }

    /// An open connection of user guest in `vhost` with channel 1 open.
    pub fn open(amqp: SocketAddr, vhost: &str, heartbeat_secs: u16) -> io::Result<Peer> {
        let mut peer = Peer::connect(amqp)?;
        peer.write(&PROTOCOL_HEADER)?;
        peer.say(&[
            method::start_ok("PLAIN", b"\0guest\0guest"),
            method::tune_ok(2_047, FRAME_MAX, heartbeat_secs),
            method::open(vhost),
            method::channel_open(),
        ])?;
        peer.hear_until((20, 11))?;
        Ok(peer)
    }

    /// Sends frames in one write.
    pub fn say(&mut self, frames: &[Say]) -> io::Result<()> {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        self.write(&bytes)
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// How long [`hear`](Self::hear) waits.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(patience))
    }

    /// The next frame. An error is the end of the connection, silence, or what is no frame.
    pub fn hear(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            let mut piece = [0; 16 << 10];
            match self.socket.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.unread.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// Reads past everything else to this method.
    pub fn hear_until(&mut self, wanted: (u16, u16)) -> io::Result<Frame> {
        loop {
            let frame = self.hear()?;
            match id(&frame) {
                Some(found) if found == wanted => return Ok(frame),
                Some((10, 50)) => return Err(io::Error::other(method::describe(&frame))),
                _ => {}
            }
        }
    }

    /// Whether the broker closes the connection within the patience, whatever it says before.
    pub fn is_closed(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
    }

    fn take_frame(&mut self) -> io::Result<Option<Frame>> {
        let Some((&[kind, c1, c0, s3, s2, s1, s0], rest)) = self.unread.split_first_chunk() else {
            return Ok(None);
        };
        let size = u32::from_be_bytes([s3, s2, s1, s0]) as usize;
        let Some((payload, &[end, ..])) = rest.split_at_checked(size) else { return Ok(None) };
        if end != FRAME_END {
            return Err(io::Error::other("the broker's frame has no end"));
        }
        let frame = Frame { kind, channel: u16::from_be_bytes([c1, c0]), payload: payload.to_vec() };
        self.unread.drain(..size + 8);
        Ok(Some(frame))
    }
}

/// Class and number of the method that a frame carries.
pub fn id(frame: &Frame) -> Option<(u16, u16)> {
    match (frame.kind, frame.payload.first_chunk()) {
        (METHOD, Some(&[a, b, c, d])) => Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))),
        _ => None,
    }
}
