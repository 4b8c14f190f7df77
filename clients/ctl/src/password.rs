//! Passwords: read from standard input, without echo when that is a terminal, and hashed as RabbitMQ does.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use sha2::{Digest, Sha256, Sha512};

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

/// How a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The usual one.
    Sha256,
    /// The other one that RabbitMQ recommends.
    Sha512,
}

impl Algorithm {
    /// The algorithm of that name, in its short form or as definitions have it.
    pub fn parse(name: &str) -> Option<Self> {
        match name.trim_start_matches("rabbit_password_hashing_") {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Base64 of the salt and the hash of salt and password
    /// (<https://www.rabbitmq.com/docs/passwords#computing-password-hash>).
    pub fn hash(self, password: &str, salt: [u8; 4]) -> String {
        let salted = [&salt, password.as_bytes()].concat();
        let hash = match self {
            Self::Sha256 => Sha256::digest(&salted).to_vec(),
            Self::Sha512 => Sha512::digest(&salted).to_vec(),
        };
        BASE64.encode([&salt[..], &hash].concat())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_one_of_rabbitmqs_documentation() {
        let salt = [0x90, 0x8d, 0xc6, 0x0a];
        assert_eq!(
            Algorithm::Sha256.hash("test12", salt),
            "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
        );
        assert!(Algorithm::Sha512.hash("test12", salt).len() > 90);
    }
}
