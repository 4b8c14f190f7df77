//! What the tutorials share: where the broker is, and what the command line says.

use std::{error::Error, process::ExitCode};

pub mod chat;
pub mod jobs;
mod trouble;

pub use trouble::{Result, Trouble};

/// The broker's address: `AMQP_ADDR` or `AMQP_URL` from the environment, or this computer.
///
/// `%2f` is the name of the default vhost, `/`, written so that it fits in a URL.
pub fn broker_url() -> String {
    std::env::var("AMQP_ADDR")
        .or_else(|_| std::env::var("AMQP_URL"))
        .unwrap_or_else(|_| "amqp://127.0.0.1:5672/%2f".to_owned())
}

/// The words typed after the program's name, or `default` if there are none.
pub fn words_or(default: &str) -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() { default.to_owned() } else { words.join(" ") }
}

/// The first word typed after the program's name, and the words after it; defaults for what was not typed.
pub fn key_and_words_or(default_key: &str, default_words: &str) -> (String, String) {
    let mut words = std::env::args().skip(1);
    let key = words.next().unwrap_or_else(|| default_key.to_owned());
    let words: Vec<String> = words.collect();
    (key, if words.is_empty() { default_words.to_owned() } else { words.join(" ") })
}

/// The words typed after the program's name; if there are none, the program ends and says what it takes.
pub fn words_needed(usage: &str) -> Vec<String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        eprintln!("Usage: {usage}");
        std::process::exit(1);
    }
    words
}

/// How a program ends: well, or with the error's text and code 1.
pub fn ended(result: std::result::Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
