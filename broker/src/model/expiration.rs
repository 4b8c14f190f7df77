//! The `expiration` of a message: milliseconds to live, as text.

use std::fmt;

/// The longest time to live that RabbitMQ takes: ten years, milliseconds.
const EXPIRATION_MAX: u64 = 315_360_000_000;

/// Why a text is no expiration; shown as RabbitMQ shows it, an Erlang term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpirationError {
    /// It doesn't begin with a number.
    NoInteger,
    /// So much follows the number.
    Leftover(Vec<u8>),
    /// Less than 0.
    Negative(String),
    /// More than ten years.
    TooLarge(String),
}

/// The milliseconds that an expiration says.
pub fn parse_expiration(text: &[u8]) -> Result<u64, ExpirationError> {
    let (is_negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let digits = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, leftover) = unsigned.split_at(digits);
    if digits.is_empty() {
        return Err(ExpirationError::NoInteger);
    }
    if !leftover.is_empty() {
        return Err(ExpirationError::Leftover(leftover.to_vec()));
    }
    let number = String::from_utf8_lossy(digits);
    let number = number.trim_start_matches('0');
    if is_negative && !number.is_empty() {
        return Err(ExpirationError::Negative(format!("-{number}")));
    }
    match number.parse() {
        _ if number.is_empty() => Ok(0),
        Ok(millis) if millis <= EXPIRATION_MAX => Ok(millis),
        _ => Err(ExpirationError::TooLarge(number.to_owned())),
    }
}

impl fmt::Display for ExpirationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInteger => f.write_str("no_integer"),
            Self::Leftover(bytes) => write!(f, "{{leftover_string,{}}}", erlang_string(bytes)),
            Self::Negative(number) => write!(f, "{{value_negative,{number}}}"),
            Self::TooLarge(number) => write!(f, "{{value_too_large,{number}}}"),
        }
    }
}

impl std::error::Error for ExpirationError {}

/// An Erlang string: text in quotes, or numbers when not all of it can be printed.
fn erlang_string(bytes: &[u8]) -> String {
    let is_printable = |byte: &u8| matches!(byte, 8..=13 | 27 | 32..=126 | 160..=255);
    if !bytes.iter().all(is_printable) {
        return format!("[{}]", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(","));
    }
    let mut text = Vec::new();
    for byte in bytes {
        match byte {
            8 => text.extend_from_slice(b"\\b"),
            9 => text.extend_from_slice(b"\\t"),
            10 => text.extend_from_slice(b"\\n"),
            11 => text.extend_from_slice(b"\\v"),
            12 => text.extend_from_slice(b"\\f"),
            13 => text.extend_from_slice(b"\\r"),
            27 => text.extend_from_slice(b"\\e"),
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', *byte]),
            _ => text.push(*byte),
        }
    }
    format!("\"{}\"", String::from_utf8_lossy(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_as_digits() {
        for (text, millis) in
            [("0", 0), ("1", 1), ("+5", 5), ("007", 7), ("-0", 0), ("315360000000", 315_360_000_000)]
        {
            assert_eq!(parse_expiration(text.as_bytes()), Ok(millis), "{text}");
        }
    }

    /// What RabbitMQ 3.10 says.
    #[test]
    fn anything_else_is_refused_in_rabbitmqs_words() {
        for (text, reason) in [
            ("", "no_integer"),
            ("+", "no_integer"),
            ("--1", "no_integer"),
            (" 1", "no_integer"),
            ("abc", "no_integer"),
            ("é", "no_integer"),
            ("1abc", "{leftover_string,\"abc\"}"),
            ("-1abc", "{leftover_string,\"abc\"}"),
            ("1.5", "{leftover_string,\".5\"}"),
            ("1 ", "{leftover_string,\" \"}"),
            ("1\"\n\\", "{leftover_string,\"\\\"\\n\\\\\"}"),
            ("1\u{1}", "{leftover_string,[1]}"),
            ("-1", "{value_negative,-1}"),
            ("315360000001", "{value_too_large,315360000001}"),
            ("0099999999999999999999", "{value_too_large,99999999999999999999}"),
        ] {
            assert_eq!(parse_expiration(text.as_bytes()).unwrap_err().to_string(), reason, "{text}");
        }
    }
}
