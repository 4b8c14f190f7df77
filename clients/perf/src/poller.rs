//! Waits for many sockets at once, with the clock's full resolution.
//!
//! Events are edges: a socket is reported when it becomes readable or writable, so whoever is told reads and
//! writes until there is nothing left, and remembers.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use rustix::time::Timespec;

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The number it was added with.
    pub index: usize,
    pub is_readable: bool,
    pub is_writable: bool,
    /// The peer will send nothing more than what is there to be read; only said together with `is_readable`.
    pub is_over: bool,
}

pub use system::Poller;

fn timespec(span: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(span.subsec_nanos()) as _,
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::fmt;

    use rustix::event::epoll;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::fd::OwnedFd;
    use rustix::io::Errno;

    use super::{Duration, Event, TcpStream, io, timespec};

    /// For waits as long as this a millisecond is exact enough.
    const COARSE_WAIT_MIN: Duration = Duration::from_millis(20);
    /// Events taken at once.
    const EVENTS_MAX: usize = 1_024;

    /// An epoll instance.
    pub struct Poller {
        epoll: OwnedFd,
        events: Vec<epoll::Event>,
    }

    impl fmt::Debug for Poller {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
        }
    }

    impl Poller {
        pub fn new() -> io::Result<Self> {
            Ok(Self {
                epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
                events: Vec::with_capacity(EVENTS_MAX),
            })
        }

        /// Reports `stream` as `index` from now on.
        pub fn add(&mut self, stream: &TcpStream, index: usize) -> io::Result<()> {
            use epoll::EventFlags;
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            Ok(epoll::add(&self.epoll, stream, epoll::EventData::new_u64(index as u64), flags)?)
        }

        /// Waits for at most `span`.
        pub fn wait(&mut self, span: Duration) -> io::Result<impl Iterator<Item = Event>> {
            self.events.clear();
            let mut span = span;
            if !span.is_zero() && span < COARSE_WAIT_MIN {
                // `epoll_pwait` counts in milliseconds; waiting for the epoll instance itself does not.
                let mut fds = [PollFd::new(&self.epoll, PollFlags::IN)];
                ignore_interrupt(poll(&mut fds, Some(&timespec(span))))?;
                span = Duration::ZERO;
            }
            let events = rustix::buffer::spare_capacity(&mut self.events);
            ignore_interrupt(epoll::wait(&self.epoll, events, Some(&timespec(span))))?;
            Ok(self.events.iter().map(|event| {
                use epoll::EventFlags;
                let flags = event.flags;
                let is_gone = flags.intersects(EventFlags::HUP | EventFlags::ERR);
                let is_over = is_gone || flags.contains(EventFlags::RDHUP);
                Event {
                    index: usize::try_from(event.data.u64()).unwrap_or(usize::MAX),
                    is_readable: is_over || flags.contains(EventFlags::IN),
                    is_writable: is_gone || flags.contains(EventFlags::OUT),
                    is_over,
                }
            }))
        }
    }

    fn ignore_interrupt(waited: Result<usize, Errno>) -> io::Result<()> {
        match waited {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Elsewhere `poll`, which costs more the more sockets there are and knows no edges: each wait is short and reports
/// every socket as writable.
#[cfg(not(target_os = "linux"))]
mod system {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;

    use super::{Duration, Event, TcpStream, io, timespec};

    /// All sockets.
    #[derive(Debug)]
    pub struct Poller {
        streams: Vec<(TcpStream, usize)>,
    }

    impl Poller {
        pub fn new() -> io::Result<Self> {
            Ok(Self { streams: Vec::new() })
        }

        pub fn add(&mut self, stream: &TcpStream, index: usize) -> io::Result<()> {
            self.streams.push((stream.try_clone()?, index));
            Ok(())
        }

        pub fn wait(&mut self, span: Duration) -> io::Result<impl Iterator<Item = Event>> {
            // A socket that cannot be written is waited for in steps, as asking for it would wake for all others.
            let span = span.min(Duration::from_millis(1));
            let mut fds: Vec<PollFd<'_>> =
                self.streams.iter().map(|(stream, _)| PollFd::new(stream, PollFlags::IN)).collect();
            match poll(&mut fds, Some(&timespec(span))) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let readable: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            Ok(self.streams.iter().zip(readable).map(|((_, index), is_readable)| Event {
                index: *index,
                is_readable,
                is_writable: true,
                // The next wait tells, as long as anything is unread.
                is_over: false,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn only_the_socket_with_news_is_readable() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (quiet, _quiet_peer) = (connect(), listener.accept().unwrap());
        let (busy, busy_peer) = (connect(), listener.accept().unwrap());
        let mut poller = Poller::new().unwrap();
        poller.add(&quiet, 7).unwrap();
        poller.add(&busy, 9).unwrap();
        let first: Vec<Event> = poller.wait(Duration::ZERO).unwrap().collect();
        assert_eq!(first.iter().filter(|event| event.is_writable && !event.is_readable).count(), 2);
        (&busy_peer.0).write_all(b"news").unwrap();
        let readable = |event: &Event| event.is_readable;
        let news: Vec<Event> = poller.wait(Duration::from_secs(9)).unwrap().filter(readable).collect();
        assert_eq!(news.iter().map(|event| event.index).collect::<Vec<_>>(), [9]);
        (&busy).read_exact(&mut [0; 4]).unwrap();
        assert_eq!(poller.wait(Duration::ZERO).unwrap().filter(readable).count(), 0);
    }
}
