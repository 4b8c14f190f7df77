//! How the program ends: exit codes in the manner of `sysexits.h`, and the message that goes with one.

use std::io;

/// The exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done; also when Ctrl-C ended it in order.
    Ok = 0,
    /// The command line is wrong.
    Usage = 64,
    /// What is asked for is not there, is declared otherwise, or cannot be sent.
    Data = 65,
    /// A file cannot be read, or `get` found the queue empty.
    NoInput = 66,
    /// The broker cannot be reached, or ended the connection or the subscription.
    Unavailable = 69,
    /// Something unforeseen.
    Software = 70,
    /// Reading standard input or writing standard output failed.
    Io = 74,
    /// Messages were not accepted: refused, not routed, or not sent or confirmed in time.
    NotAccepted = 75,
    /// User, password or permissions do not do.
    NoPermission = 77,
}

/// Why the program ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How to exit.
    pub code: Code,
    /// What went wrong, and what to do about it. Empty if there is nobody to tell.
    pub message: String,
}

impl Failure {
    /// A failure in these words.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Writing to standard output failed. Whoever read it may have read enough (`| head -1`): that is no error.
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Code::Ok, ""),
            _ => Self::new(Code::Io, format!("cannot write to standard output: {error}")),
        }
    }
}

/// Why the work with one connection ended early.
#[derive(Clone, Debug)]
pub enum Interruption {
    /// The client library says so; [`crate::explain`] knows whether another connection may help.
    Broker(lapin::Error),
    /// Nothing to be tried again.
    Failure(Failure),
}

impl From<lapin::Error> for Interruption {
    fn from(error: lapin::Error) -> Self {
        Self::Broker(error)
    }
}

impl From<Failure> for Interruption {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_enough_is_no_error() {
        assert_eq!(Failure::output(&io::ErrorKind::BrokenPipe.into()), Failure::new(Code::Ok, ""));
        assert_eq!(Failure::output(&io::ErrorKind::StorageFull.into()).code, Code::Io);
    }
}
