//! Passwords from standard input, without echo when that is a terminal.

use std::io;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::context::Streams;

/// Asks for a password; `None` when the input has ended.
pub fn read(streams: &mut Streams<'_>) -> io::Result<Option<String>> {
    write!(streams.output, "Password: ")?;
    streams.output.flush()?;
    let mut line = String::new();
    {
        let _silence = if streams.is_input_terminal { Silence::begin() } else { None };
        streams.input.read_line(&mut line)?;
    }
    writeln!(streams.output)?;
    let is_ended = line.is_empty();
    let password = line.trim_end_matches('\n').trim_end_matches('\r');
    Ok((!is_ended).then(|| password.to_string()))
}

/// While it lives, the terminal does not show what is typed.
struct Silence {
    before: Termios,
}

impl Silence {
    fn begin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent).ok()?;
        Some(Self { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // there is nobody to tell, and nothing else to do, if the terminal has gone
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
