//! Why a run ended without figures.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::codec::frame::FrameError;
use crate::codec::method::Close;
use crate::figure::grouped;

/// What went wrong, and with whom.
#[derive(Debug)]
pub enum PerfError {
    /// The address did not resolve or nobody listens there.
    Connect { address: String, source: io::Error },
    /// A read or write failed.
    Io { doing: &'static str, source: io::Error },
    /// The broker closed the channel.
    ChannelClosed(Close),
    /// The broker closed the connection.
    ConnectionClosed(Close),
    /// The broker closed the socket without a word.
    EndOfStream { doing: &'static str },
    /// The broker did not answer in time.
    TimedOut { doing: &'static str },
    /// In the time there was, not as much came about as was asked for.
    NotReached { what: &'static str, count: u64, wanted: u64, patience: Duration },
    /// What came is no frame.
    Frame(FrameError),
    /// A frame came that does not belong there.
    Unexpected(&'static str),
    /// The broker cancelled the consumer: somebody deleted the queue.
    Cancelled,
    /// The queue has messages or consumers of somebody else.
    QueueInUse { queue: String, message_count: u32, consumer_count: u32 },
    /// The process to be measured cannot be read.
    Process { pid: u32, source: io::Error },
    /// The broker's program could not be started.
    Command { command: String, source: io::Error },
    /// The broker's program ended before a client was served.
    Ended { status: std::process::ExitStatus },
    /// The broker's program was asked to end, and did not.
    Stays { patience: Duration },
    /// A queue that has to be there is not.
    NoQueue { queue: String },
    /// A start found fewer messages, or more, than were put there.
    Lost { found: u64, wanted: u64 },
    /// Another broker answers where one is to be started.
    PortTaken { address: String },
    /// A file could not be used.
    File { path: String, source: io::Error },
    /// A file holds something else than expected.
    Content { path: String, reason: String },
    /// No thread could be started.
    Thread(io::Error),
}

impl PerfError {
    /// A read or write that failed; the end of the stream has words of its own.
    pub fn while_doing(doing: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::EndOfStream { doing },
            _ => Self::Io { doing, source },
        }
    }
}

impl fmt::Display for PerfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { address, source } => write!(f, "cannot connect to {address}: {source}"),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::ChannelClosed(close) => write!(f, "the broker closed the channel: {close}"),
            Self::ConnectionClosed(close) => write!(f, "the broker closed the connection: {close}"),
            Self::EndOfStream { doing } => write!(f, "{doing}: the broker closed the socket without a word"),
            Self::TimedOut { doing } => write!(f, "{doing}: the broker did not answer in time"),
            Self::NotReached { what, count, wanted, patience } => {
                let (count, wanted) = (grouped(*count), grouped(*wanted));
                write!(f, "not reached: {count} of {wanted} {what} in {:.1} s", patience.as_secs_f64())
            }
            Self::Frame(error) => write!(f, "the broker sent no AMQP: {error}"),
            Self::Unexpected(what) => write!(f, "the broker sent what it must not: {what}"),
            Self::Cancelled => write!(f, "the broker cancelled the consumer: the queue was deleted"),
            Self::QueueInUse { queue, message_count, consumer_count } => write!(
                f,
                "queue {queue:?} already has {message_count} messages and {consumer_count} consumers, which would \
                 spoil the figures: choose another with --queue, or drain it with --consume-only"
            ),
            Self::Process { pid, source } => {
                write!(f, "process {pid} cannot be measured: /proc/{pid}/stat: {source}")
            }
            Self::Command { command, source } => write!(f, "cannot start {command:?}: {source}"),
            Self::Ended { status } => write!(f, "the broker ended before it served anybody: {status}"),
            Self::NoQueue { queue } => write!(f, "the broker has no queue {queue:?} any more"),
            Self::Stays { patience } => write!(
                f,
                "the broker had not stopped {:.1} s after SIGTERM, and was killed",
                patience.as_secs_f64()
            ),
            Self::Lost { found, wanted } => {
                write!(
                    f,
                    "the broker has {} of {} messages after its start",
                    grouped(*found),
                    grouped(*wanted)
                )
            }
            Self::PortTaken { address } => write!(f, "another broker answers at {address} already"),
            Self::File { path, source } => write!(f, "{path}: {source}"),
            Self::Content { path, reason } => write!(f, "{path}: {reason}"),
            Self::Thread(source) => write!(f, "cannot start a thread: {source}"),
        }
    }
}

impl Error for PerfError {}

impl From<FrameError> for PerfError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.reply_code, self.reply_text)
    }
}
