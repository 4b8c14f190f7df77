//! A blocking AMQP connection with channels numbered from 1.
//!
//! Every wait has a deadline. The socket's own timeouts are short (`WAKE_MILLIS`), so that whoever reads or
//! writes it in a loop sees soon enough that the run is over.

use std::io::{self, ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::clock::{Nanos, now};
use crate::codec::frame::{FRAME_MAX, FrameKind, Inbox};
use crate::codec::method::{self, Arguments, DeclareOk, MethodId, QueueDeclare, Tune};
use crate::codec::table::FieldTable;
use crate::error::PerfError;
use crate::load::Exchange;
use crate::url::BrokerUrl;

/// The channel that every connection has open; others follow.
pub const CHANNEL: u16 = 1;
/// A read or write that waits longer than this comes back to see whether it should go on.
const WAKE_MILLIS: u64 = 100;
/// The smallest frame limit that the protocol allows a peer to propose.
const FRAME_MAX_LEAST: u32 = 4_096;
/// The reply code of who asks for what is not there.
const NOT_FOUND: u16 = 404;

/// A connection whose handshake is done, with channel 1 open.
#[derive(Debug)]
pub struct Connection {
    /// `&TcpStream` reads and writes, so two threads can share it, one for each direction.
    pub stream: TcpStream,
    /// What was read from `stream` and not yet taken.
    pub inbox: Inbox,
    /// The agreed limit for frames in either direction.
    pub frame_max: u32,
    /// The agreed limit for channels.
    pub channels_max: u16,
}

impl Connection {
    /// Connects, authenticates and opens the vhost and the channel, all before `deadline`.
    pub fn open(url: &BrokerUrl, deadline: Nanos) -> Result<Self, PerfError> {
        let stream = connect(url, deadline)?;
        let mut connection = Self::bare(stream);
        connection.handshake(url, deadline)?;
        connection.open_channel(CHANNEL, deadline)?;
        Ok(connection)
    }

    /// Without a handshake, for peers that expect none.
    pub fn bare(stream: TcpStream) -> Self {
        Self { stream, inbox: Inbox::new(), frame_max: FRAME_MAX, channels_max: 0 }
    }

    /// Opens channels up to this number of them.
    pub fn open_channels(&mut self, count: u16, deadline: Nanos) -> Result<(), PerfError> {
        (CHANNEL + 1..CHANNEL + count).try_for_each(|channel| self.open_channel(channel, deadline))
    }

    fn open_channel(&mut self, channel: u16, deadline: Nanos) -> Result<(), PerfError> {
        let open = method::channel_open(channel);
        self.call("channel.open", &open, MethodId::CHANNEL_OPEN_OK, deadline, |_| Some(()))
    }

    /// Goes on with channel 1 after the broker has closed it.
    pub fn reopen_channel(&mut self, deadline: Nanos) -> Result<(), PerfError> {
        self.write("channel.close-ok", &method::channel_close_ok(CHANNEL), deadline)?;
        self.open_channel(CHANNEL, deadline)
    }

    pub fn declare_exchange(
        &mut self,
        exchange: &Exchange,
        is_durable: bool,
        deadline: Nanos,
    ) -> Result<(), PerfError> {
        let frame = method::exchange_declare(CHANNEL, &exchange.name, &exchange.kind, is_durable);
        self.call("exchange.declare", &frame, MethodId::EXCHANGE_DECLARE_OK, deadline, |_| Some(()))
    }

    pub fn delete_exchange(&mut self, exchange: &str, deadline: Nanos) -> Result<(), PerfError> {
        let frame = method::exchange_delete(CHANNEL, exchange);
        self.call("exchange.delete", &frame, MethodId::EXCHANGE_DELETE_OK, deadline, |_| Some(()))
    }

    pub fn bind_queue(
        &mut self,
        queue: &str,
        exchange: &str,
        binding_key: &str,
        deadline: Nanos,
    ) -> Result<(), PerfError> {
        let frame = method::queue_bind(CHANNEL, queue, exchange, binding_key);
        self.call("queue.bind", &frame, MethodId::QUEUE_BIND_OK, deadline, |_| Some(()))
    }

    pub fn declare_queue(
        &mut self,
        declare: QueueDeclare<'_>,
        deadline: Nanos,
    ) -> Result<DeclareOk, PerfError> {
        let frame = method::queue_declare(CHANNEL, declare);
        self.call("queue.declare", &frame, MethodId::QUEUE_DECLARE_OK, deadline, |arguments| {
            arguments.declare_ok()
        })
    }

    /// What is in a queue that has to be there already.
    pub fn find_queue(&mut self, queue: &str, deadline: Nanos) -> Result<DeclareOk, PerfError> {
        let frame = method::queue_declare_passive(CHANNEL, queue);
        let found = self.call("queue.declare", &frame, MethodId::QUEUE_DECLARE_OK, deadline, |arguments| {
            arguments.declare_ok()
        });
        match found {
            Err(PerfError::ChannelClosed(close)) if close.reply_code == NOT_FOUND => {
                Err(PerfError::NoQueue { queue: queue.to_owned() })
            }
            found => found,
        }
    }

    pub fn delete_queue(
        &mut self,
        queue: &str,
        only_if_empty: bool,
        deadline: Nanos,
    ) -> Result<(), PerfError> {
        let frame = method::queue_delete(CHANNEL, queue, only_if_empty);
        self.call("queue.delete", &frame, MethodId::QUEUE_DELETE_OK, deadline, |_| Some(()))
    }

    pub fn select_confirms(&mut self, channel: u16, deadline: Nanos) -> Result<(), PerfError> {
        let frame = method::confirm_select(channel);
        self.call("confirm.select", &frame, MethodId::CONFIRM_SELECT_OK, deadline, |_| Some(()))
    }

    pub fn set_prefetch(
        &mut self,
        channel: u16,
        prefetch_count: u16,
        is_per_channel: bool,
        deadline: Nanos,
    ) -> Result<(), PerfError> {
        let frame = method::basic_qos(channel, prefetch_count, is_per_channel);
        self.call("basic.qos", &frame, MethodId::BASIC_QOS_OK, deadline, |_| Some(()))
    }

    /// Begins to consume, without an answer: deliveries of other channels may come before one could.
    pub fn consume(
        &mut self,
        channel: u16,
        queue: &str,
        is_auto_ack: bool,
        arguments: &FieldTable,
        deadline: Nanos,
    ) -> Result<(), PerfError> {
        let frame = method::basic_consume(channel, queue, is_auto_ack, arguments);
        self.write("basic.consume", &frame, deadline)
    }

    /// Says goodbye and throws away what still comes, until the broker has said it too or `deadline` passes.
    /// Call it only when what was written so far ends with a whole frame.
    pub fn close(mut self, deadline: Nanos) -> Result<(), PerfError> {
        self.say_goodbye(deadline)?;
        self.await_goodbye(deadline)
    }

    /// Begins to close. Call it only when what was written so far ends with a whole frame.
    fn say_goodbye(&mut self, deadline: Nanos) -> Result<(), PerfError> {
        let failed = |source| PerfError::Io { doing: "connection.close", source };
        self.stream.set_nonblocking(false).map_err(failed)?;
        self.write("connection.close", &method::connection_close(), deadline)
    }

    fn await_goodbye(&mut self, deadline: Nanos) -> Result<(), PerfError> {
        loop {
            while let Some(frame) = self.inbox.next_frame()? {
                if frame.kind != FrameKind::Method {
                    continue;
                }
                match method::parse_method(frame.payload) {
                    Some((MethodId::CONNECTION_CLOSE_OK | MethodId::CONNECTION_CLOSE, _)) => return Ok(()),
                    _ => continue,
                }
            }
            self.read("connection.close", deadline)?;
        }
    }

    fn handshake(&mut self, url: &BrokerUrl, deadline: Nanos) -> Result<(), PerfError> {
        self.write("handshake", method::PROTOCOL_HEADER, deadline)?;
        let offers_plain =
            self.await_method("connection.start", MethodId::CONNECTION_START, deadline, |arguments| {
                arguments.offers_mechanism("PLAIN")
            })?;
        if !offers_plain {
            return Err(PerfError::Unexpected("connection.start without the mechanism PLAIN"));
        }
        let start_ok = method::start_ok(&url.user, &url.password);
        let offer =
            self.call("login", &start_ok, MethodId::CONNECTION_TUNE, deadline, |arguments| arguments.tune())?;
        let frame_max = if offer.frame_max == 0 { FRAME_MAX } else { offer.frame_max.min(FRAME_MAX) };
        if frame_max < FRAME_MAX_LEAST {
            return Err(PerfError::Unexpected("connection.tune with a frame_max below 4096"));
        }
        self.frame_max = frame_max;
        self.channels_max = offer.channels_max;
        self.write("connection.tune-ok", &method::tune_ok(Tune { frame_max, ..offer }), deadline)?;
        let open = method::connection_open(&url.vhost);
        self.call("connection.open", &open, MethodId::CONNECTION_OPEN_OK, deadline, |_| Some(()))
    }

    /// Sends `frame` and waits for the method `reply`.
    fn call<T>(
        &mut self,
        doing: &'static str,
        frame: &[u8],
        reply: MethodId,
        deadline: Nanos,
        parse: impl FnOnce(Arguments<'_>) -> Option<T>,
    ) -> Result<T, PerfError> {
        self.write(doing, frame, deadline)?;
        self.await_method(doing, reply, deadline, parse)
    }

    fn await_method<T>(
        &mut self,
        doing: &'static str,
        awaited: MethodId,
        deadline: Nanos,
        parse: impl FnOnce(Arguments<'_>) -> Option<T>,
    ) -> Result<T, PerfError> {
        loop {
            while let Some(frame) = self.inbox.next_frame()? {
                if frame.kind != FrameKind::Method {
                    continue;
                }
                let (id, arguments) = method::parse_method(frame.payload).ok_or(TRUNCATED)?;
                if id == awaited {
                    return parse(arguments).ok_or(TRUNCATED);
                }
                if let Some(closed) = closed_by(id, arguments) {
                    return Err(closed);
                }
            }
            self.read(doing, deadline)?;
        }
    }

    fn read(&mut self, doing: &'static str, deadline: Nanos) -> Result<(), PerfError> {
        loop {
            if now() >= deadline {
                return Err(PerfError::TimedOut { doing });
            }
            match self.inbox.fill(&mut &self.stream) {
                Ok(0) => return Err(PerfError::EndOfStream { doing }),
                Ok(_) => return Ok(()),
                Err(error) if is_wake(&error) => {}
                Err(source) => return Err(PerfError::Io { doing, source }),
            }
        }
    }

    fn write(&mut self, doing: &'static str, bytes: &[u8], deadline: Nanos) -> Result<(), PerfError> {
        match write_while(&self.stream, bytes, || now() < deadline) {
            Ok(true) => Ok(()),
            Ok(false) => Err(PerfError::TimedOut { doing }),
            Err(source) => Err(PerfError::Io { doing, source }),
        }
    }
}

/// Closes them all at the same time; says whether all were closed before `deadline`.
pub fn close_all(mut connections: Vec<Connection>, deadline: Nanos) -> bool {
    let said: Vec<bool> =
        connections.iter_mut().map(|connection| connection.say_goodbye(deadline).is_ok()).collect();
    let closed = connections
        .iter_mut()
        .zip(said)
        .map(|(connection, said)| said && connection.await_goodbye(deadline).is_ok());
    // Each is awaited, whatever became of those before.
    closed.filter(|is_closed| !is_closed).count() == 0
}

const TRUNCATED: PerfError = PerfError::Unexpected("a method whose arguments end too early");

/// Writes `bytes`; `false` when `may_go_on` ended it before all was written.
pub fn write_while(mut stream: &TcpStream, bytes: &[u8], may_go_on: impl Fn() -> bool) -> io::Result<bool> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => rest = &rest[count..],
            Err(error) if is_wake(&error) => {}
            Err(error) => return Err(error),
        }
        if !rest.is_empty() && !may_go_on() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a read or write came back only because it waited long enough.
pub fn is_wake(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// What the broker's method means if it ends the channel or the connection.
pub fn closed_by(id: MethodId, arguments: Arguments<'_>) -> Option<PerfError> {
    match id {
        MethodId::CHANNEL_CLOSE => Some(arguments.close().map_or(TRUNCATED, PerfError::ChannelClosed)),
        MethodId::CONNECTION_CLOSE => Some(arguments.close().map_or(TRUNCATED, PerfError::ConnectionClosed)),
        _ => None,
    }
}

/// Connects, with short timeouts for reads and writes.
pub fn connect(url: &BrokerUrl, deadline: Nanos) -> Result<TcpStream, PerfError> {
    let failed = |source| PerfError::Connect { address: format!("{}:{}", url.host, url.port), source };
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in (url.host.as_str(), url.port).to_socket_addrs().map_err(failed)? {
        let left = deadline.since(now());
        if left.is_zero() {
            return Err(failed(ErrorKind::TimedOut.into()));
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                let wake = Some(Duration::from_millis(WAKE_MILLIS));
                stream.set_nodelay(true).map_err(failed)?;
                stream.set_read_timeout(wake).map_err(failed)?;
                stream.set_write_timeout(wake).map_err(failed)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}
