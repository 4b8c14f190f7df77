//! Writing deliveries to standard output.

use std::io::{self, IsTerminal, Stdout, Write};

use lapin::message::Delivery;

use crate::exit::Failure;
use crate::json;

/// How a delivery is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The body and a line's end; in a terminal also whether it was redelivered, and nothing that could upset it.
    Text,
    /// One JSON object a line.
    Json,
    /// The body's bytes alone.
    Raw,
}

/// Standard output.
#[derive(Debug)]
pub struct Output {
    form: Form,
    is_terminal: bool,
    stdout: Stdout,
}

impl Output {
    /// Standard output in this form.
    pub fn new(form: Form) -> Self {
        let stdout = io::stdout();
        Self { form, is_terminal: stdout.is_terminal(), stdout }
    }

    /// Writes one delivery; when this returns, whoever reads standard output can have it.
    pub fn write(&mut self, delivery: &Delivery) -> Result<(), Failure> {
        let bytes = match self.form {
            Form::Raw => delivery.data.clone(),
            Form::Json => format!("{}\n", json::object(delivery)).into_bytes(),
            Form::Text if self.is_terminal => for_terminal(delivery).into_bytes(),
            Form::Text => [delivery.data.as_slice(), b"\n"].concat(),
        };
        let written = self.stdout.write_all(&bytes).and_then(|()| self.stdout.flush());
        written.map_err(|error| Failure::output(&error))
    }
}

/// Bytes from strangers could move the cursor or worse: what is no text or a control character is shown, not sent.
fn for_terminal(delivery: &Delivery) -> String {
    let mut line = String::new();
    for c in String::from_utf8_lossy(&delivery.data).chars() {
        if c.is_control() && !matches!(c, '\t' | '\n') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push_str(if delivery.redelivered { " (redelivered)\n" } else { "\n" });
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(redelivered: bool, body: &[u8]) -> String {
        for_terminal(&Delivery::mock(1, "".into(), "q".into(), redelivered, body.to_vec()))
    }

    #[test]
    fn a_terminal_shows_redeliveries() {
        assert_eq!(shown(false, "está\tlleno".as_bytes()), "está\tlleno\n");
        assert_eq!(shown(true, b"job"), "job (redelivered)\n");
    }

    #[test]
    fn a_terminal_is_not_upset() {
        assert_eq!(shown(false, b"\x1b[2J\r\x07"), "\\u{1b}[2J\\r\\u{7}\n");
        assert_eq!(shown(false, &[b'a', 0xff]), "a\u{fffd}\n");
    }
}
