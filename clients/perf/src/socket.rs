//! A connection whose socket never blocks: what cannot be written yet waits here.

use std::io::{self, ErrorKind, Write};

use crate::connection::{Connection, is_wake};
use crate::poller::Event;

/// A connection in the hands of one thread that has many.
#[derive(Debug)]
pub struct Socket<'a> {
    pub connection: &'a mut Connection,
    /// Bytes that the socket did not take, from `written` on.
    rest: Vec<u8>,
    written: usize,
    is_readable: bool,
    is_writable: bool,
    /// Whether the peer has ended the stream. With an edge there may be bytes and the end: there is no other for it.
    is_over: bool,
}

impl<'a> Socket<'a> {
    pub fn new(connection: &'a mut Connection) -> io::Result<Self> {
        connection.stream.set_nonblocking(true)?;
        Ok(Self {
            connection,
            rest: Vec::new(),
            written: 0,
            is_readable: true,
            is_writable: true,
            is_over: false,
        })
    }

    /// Remembers what the poller said.
    pub fn note(&mut self, event: Event) {
        self.is_readable |= event.is_readable;
        self.is_writable |= event.is_writable;
        self.is_over |= event.is_over;
    }

    /// Whether more may be written: nothing waits.
    pub fn has_room(&self) -> bool {
        self.rest.is_empty()
    }

    /// Writes as much as the socket takes and keeps the rest.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            return self.flush();
        }
        let written = self.write_some(bytes)?;
        self.rest.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes what waits.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let rest = std::mem::take(&mut self.rest);
        let written = self.write_some(&rest[self.written..]);
        self.rest = rest;
        self.written += written?;
        if self.written == self.rest.len() {
            self.rest.clear();
            self.written = 0;
        }
        Ok(())
    }

    /// Reads once, if there may be something to read. `Ok(0)`: nothing for now.
    pub fn fill(&mut self) -> io::Result<usize> {
        if !self.is_readable {
            return Ok(0);
        }
        let Connection { stream, inbox, .. } = &mut *self.connection;
        match inbox.fill(&mut &*stream) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.is_readable = inbox.is_full() || self.is_over;
                Ok(count)
            }
            Err(error) if is_wake(&error) => {
                self.is_readable = false;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether another `fill` may bring more at once.
    pub fn is_readable(&self) -> bool {
        self.is_readable
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while self.is_writable && written < bytes.len() {
            match (&self.connection.stream).write(&bytes[written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_wake(&error) => self.is_writable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::poller::Poller;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_end_that_comes_with_the_last_bytes_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection = Connection::bare(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (mut peer, _) = listener.accept().unwrap();
        let mut poller = Poller::new().unwrap();
        peer.write_all(b"bytes").unwrap();
        drop(peer);
        poller.add(&connection.stream, 0).unwrap();
        let mut socket = Socket::new(&mut connection).unwrap();
        let mut is_over = false;
        while !is_over {
            for event in poller.wait(Duration::from_secs(9)).unwrap() {
                socket.note(event);
                is_over = event.is_over;
            }
        }
        assert_eq!((socket.fill().unwrap(), socket.is_readable()), (5, true));
        assert_eq!(socket.fill().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
