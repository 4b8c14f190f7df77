//! The words of a line of a script: bare words, quoted text, `name=value`, tables in braces and lists in brackets.
//!
//! ```text
//! queue.declare queue=q durable args={x-message-ttl=i32:-1 x-dead-letter-exchange="" list=["a" i64:2]}
//! ```
//!
//! Quoted text knows `\"`, `\\`, `\n`, `\r` and `\xNN`; [`quoted`] writes it.

use super::Trouble;

/// What is left of a line.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    pub fn new(line: &'a str) -> Words<'a> {
        Words(line.trim())
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left, as it is.
    pub fn rest(&self) -> &'a str {
        self.0
    }

    /// Takes `mark` if it is next.
    pub fn take(&mut self, mark: char) -> bool {
        let rest = self.0.strip_prefix(mark);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Skips the space before the next word.
    pub fn skip_space(&mut self) {
        self.0 = self.0.trim_start();
    }

    /// A bare word: up to a space, `=`, a quote or a bracket.
    pub fn bare(&mut self) -> Result<&'a str, Trouble> {
        let is_end = |c: char| c.is_whitespace() || matches!(c, '=' | '"' | '{' | '}' | '[' | ']');
        let end = self.0.find(is_end).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        if word.is_empty() {
            Err(Trouble::new(format!("a word is missing before {rest:?}")))
        } else {
            Ok(word)
        }
    }

    /// Whether quoted text is next.
    pub fn is_quoted(&self) -> bool {
        self.0.starts_with('"')
    }

    /// The bytes that quoted text stands for.
    pub fn quoted(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Vec::new();
        let mut chars = self.0.char_indices().skip(1);
        while let Some((index, c)) = chars.next() {
            match c {
                '"' => {
                    self.0 = &self.0[index + 1..];
                    return Ok(bytes);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => bytes.push(b'\n'),
                    Some((_, 'r')) => bytes.push(b'\r'),
                    Some((at, 'x')) => {
                        let digits = self.0.get(at + 1..at + 3).unwrap_or_default();
                        let byte = u8::from_str_radix(digits, 16);
                        bytes.push(byte.map_err(|_| Trouble::new(format!("\\x{digits} is no byte")))?);
                        chars.nth(1);
                    }
                    Some((_, c)) => bytes.extend(c.to_string().bytes()),
                    None => break,
                },
                _ => bytes.extend(c.to_string().bytes()),
            }
        }
        Err(Trouble::new(format!("quoted text has no end: {}", self.0)))
    }

    /// Quoted text or a bare word, as bytes.
    pub fn text(&mut self) -> Result<Vec<u8>, Trouble> {
        if self.is_quoted() { self.quoted() } else { self.bare().map(|word| word.as_bytes().to_owned()) }
    }
}

/// Bytes as quoted text, so that any bytes can be read back.
pub fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                '\n' => text += "\\n",
                '\r' => text += "\\r",
                c if c.is_ascii_control() => text += &format!("\\x{:02x}", u32::from(c)),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_quoting() {
        for bytes in [&b"plain"[..], b"a \"quote\" \\ \n\r\0", b"\xff\xc3\x28", "conejo ñ".as_bytes()] {
            let text = quoted(bytes);
            let mut words = Words::new(&text);
            assert_eq!(words.quoted().unwrap(), bytes, "{text}");
            assert!(words.is_empty(), "{text}");
        }
    }

    #[test]
    fn text_without_an_end_is_refused() {
        assert!(Words::new("\"abc").quoted().is_err());
        assert!(Words::new("\"abc\\").quoted().is_err());
        assert!(Words::new("\"\\xz1\"").quoted().is_err());
        assert!(Words::new("=x").bare().is_err());
    }
}
