//! What went wrong, in one line: `main` shows it and ends with code 1.

use std::{fmt, io};

use lapin::{ErrorKind, uri::AMQPUri};

use crate::broker_url;

/// What a lesson's `main` returns.
pub type Result<T> = std::result::Result<T, Trouble>;

/// An error that a beginner can do something about.
pub struct Trouble(String);

impl From<lapin::Error> for Trouble {
    fn from(error: lapin::Error) -> Trouble {
        Trouble(match error.kind() {
            ErrorKind::ProtocolError(error) => format!("the broker says {}", error.get_message()),
            ErrorKind::IOError(error) => io_trouble(error),
            _ => format!("the connection to the broker has ended ({error})"),
        })
    }
}

/// `main` shows an error by its `Debug`.
impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn io_trouble(error: &io::Error) -> String {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match broker_url().parse::<AMQPUri>() {
        Err(why) => format!("AMQP_URL is no address like amqp://guest:guest@127.0.0.1:5672/%2f ({why})"),
        Ok(_) if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof) => {
            format!("the connection to the broker has ended ({error})")
        }
        Ok(uri) => {
            let (host, port) = (uri.authority.host, uri.authority.port);
            format!("no broker answers at {host}:{port}: is it running? ({error})")
        }
    }
}
