//! Status lines on standard error: standard output is for messages.

use std::fmt::Display;
use std::io::{self, Write};

/// Says what is going on, unless it is to be quiet. Errors are told in any case.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// `--quiet`: nothing but errors.
    pub is_quiet: bool,
}

impl Status {
    /// One line for whoever watches.
    pub fn say(self, line: impl Display) {
        if !self.is_quiet {
            tell(line);
        }
    }

    /// The prompt of the interactive mode, without a line's end.
    pub fn prompt(self) {
        if !self.is_quiet {
            write("> ");
        }
    }
}

/// One line, quiet or not.
pub fn tell(line: impl Display) {
    write(&format!("liebre-cat: {line}\n"));
}

fn write(text: &str) {
    // Nothing can be done when standard error is gone too.
    let _ = io::stderr().write_all(text.as_bytes());
}
