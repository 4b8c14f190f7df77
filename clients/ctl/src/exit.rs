//! How a command ends: exit codes (those of `sysexits.h`, as RabbitMQ's tools use them) and what is said on the way.

use std::io;

/// The exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done.
    Ok = 0,
    /// Bad or missing arguments, an unknown command, option or column.
    Usage = 64,
    /// An argument's value is not acceptable, or names something that is not there.
    Data = 65,
    /// No such user.
    NoUser = 67,
    /// The broker can't be reached, a health check failed, or the broker refused.
    Unavailable = 69,
    /// The thing to be made exists already, or something unforeseen happened.
    Software = 70,
    /// The time given was not enough.
    Temporary = 75,
}

/// Why a command ends before its end.
#[derive(Debug)]
pub enum Stop {
    /// `--dry-run`: the banner is all that was asked for.
    DryRun,
    /// The command line itself is wrong: told with the arguments and the command's usage.
    Usage(UsageError),
    /// The operation failed.
    Failure(Failure),
    /// Standard output is gone (`list_queues | head -1`) or can't be written.
    Output(io::Error),
}

/// What is wrong with the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    /// 64, or 65 for a bad value.
    pub code: Code,
    /// One or several lines, without the "Error" before.
    pub problem: String,
}

/// An operation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How to exit.
    pub code: Code,
    /// What to say on standard error; the json formatter puts it into an object on standard output.
    pub message: String,
    /// Is `Error:` printed on a line of its own before the message?
    pub is_headed: bool,
    /// Is it told with the arguments and the usage of the command, which should not have been given now?
    pub is_misuse: bool,
}

impl UsageError {
    /// An error of exit code 64.
    pub fn new(problem: impl Into<String>) -> Self {
        Self { code: Code::Usage, problem: problem.into() }
    }

    /// Fewer arguments than the command needs.
    pub fn not_enough() -> Self {
        Self::new("not enough arguments.")
    }

    /// More arguments than the command takes.
    pub fn too_many() -> Self {
        Self::new("too many arguments.")
    }

    /// An argument whose value can't be accepted: exit code 65.
    pub fn bad_argument(problem: &str) -> Self {
        Self { code: Code::Data, problem: format!("Bad argument: {problem}") }
    }
}

impl Failure {
    /// A failure told below a line `Error:`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), is_headed: true, is_misuse: false }
    }

    /// A failure told in its own words only.
    pub fn bare(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), is_headed: false, is_misuse: false }
    }

    /// A command that can't be given as long as the broker runs, or is stopped.
    pub fn misuse(message: &str) -> Self {
        Self { is_misuse: true, ..Self::bare(Code::Usage, message) }
    }

    /// The user is not known.
    pub fn no_such_user(user: &str) -> Self {
        Self::new(Code::NoUser, format!("User \"{user}\" does not exist"))
    }

    /// The vhost is not known.
    pub fn no_such_vhost(vhost: &str) -> Self {
        Self::bare(Code::Data, format!("Virtual host '{vhost}' does not exist"))
    }

    /// What is printed on standard error.
    pub fn text(&self) -> String {
        if self.is_headed { format!("Error:\n{}", self.message) } else { self.message.clone() }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<UsageError> for Stop {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
