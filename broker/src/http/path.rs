//! Names in URL paths: percent-decoded segment by segment, so that `%2F` is a name and `/` a border.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::http::HttpError;

/// How the default exchange, whose name is empty, is called in paths.
pub const DEFAULT_EXCHANGE: &str = "amq.default";

/// What RabbitMQ leaves as it is in a name.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b' ');

/// The decoded segments of a path. One `/` at the end does not count; two have an empty name between them.
///
/// A broken escape is [`HttpError::Malformed`]. A name that is not UTF-8 names nothing here:
/// [`HttpError::ObjectNotFound`].
pub fn segments(path: &str) -> Result<Vec<String>, HttpError> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/').map(|segment| decode(segment)?.ok_or(HttpError::ObjectNotFound)).collect()
}

/// An exchange's name from its segment.
#[must_use]
pub fn exchange_name(segment: &str) -> &str {
    if segment == DEFAULT_EXCHANGE { "" } else { segment }
}

/// A name as RabbitMQ writes it in `Location` headers and properties keys: spaces are `+`.
#[must_use]
pub fn quote(name: &str) -> String {
    utf8_percent_encode(name, QUOTED).to_string().replace(' ', "+")
}

/// The name that was quoted, `+` being a space; none when it is not UTF-8.
pub(super) fn unquote(text: &str) -> Result<Option<String>, HttpError> {
    decode(&text.replace('+', " "))
}

/// The text with its escapes resolved; none when that is not UTF-8.
fn decode(text: &str) -> Result<Option<String>, HttpError> {
    if has_broken_escape(text) {
        return Err(HttpError::Malformed);
    }
    Ok(percent_decode_str(text).decode_utf8().ok().map(Into::into))
}

fn has_broken_escape(text: &str) -> bool {
    text.split('%').skip(1).any(|rest| {
        let digits = rest.as_bytes().get(..2);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: &[&str]) {
        let expected: Vec<String> = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(segments(path), Ok(expected), "{path}");
    }

    #[test]
    fn names_are_decoded_one_by_one() {
        check("/queues/%2F/orders", &["queues", "/", "orders"]);
        check("/queues/%2f", &["queues", "/"]);
        check("/queues/my%2Dvhost/a%2Db", &["queues", "my-vhost", "a-b"]);
        check("/vhosts/%252F", &["vhosts", "%2F"]);
        check("/queues/v/a+b", &["queues", "v", "a+b"]);
        check("/queues/v/%C3%B1%20", &["queues", "v", "ñ "]);
    }

    #[test]
    fn one_slash_at_the_end_does_not_count() {
        check("", &[]);
        check("/", &[]);
        check("/vhosts/", &["vhosts"]);
        check("/vhosts//", &["vhosts", ""]);
        check("/queues//", &["queues", ""]);
        check("/queues//q", &["queues", "", "q"]);
    }

    #[test]
    fn broken_escapes_are_refused() {
        for path in ["/vhosts/%", "/vhosts/%2", "/vhosts/%zz", "/vhosts/%2/x", "/vhosts/%%41", "/vhosts/%ñ"]
        {
            assert_eq!(segments(path), Err(HttpError::Malformed), "{path}");
        }
        assert_eq!(segments("/vhosts/%ff"), Err(HttpError::ObjectNotFound));
    }

    #[test]
    fn quoting_is_that_of_rabbitmq() {
        assert_eq!(quote("a.b-c_d9"), "a.b-c_d9");
        assert_eq!(quote("q/1 ñ"), "q%2F1+%C3%B1");
        let punctuation: String =
            (33..127_u8).map(char::from).filter(|letter| !letter.is_alphanumeric()).collect();
        let quoted =
            "%21%22%23%24%25%26%27%28%29%2A%2B%2C-.%2F%3A%3B%3C%3D%3E%3F%40%5B%5C%5D%5E_%60%7B%7C%7D%7E";
        assert_eq!(quote(&punctuation), quoted);
        assert_eq!(unquote(quoted), Ok(Some(punctuation)));
        assert_eq!(unquote("a+b"), Ok(Some("a b".to_owned())));
    }

    #[test]
    fn default_exchange_has_a_name_in_paths() {
        assert_eq!(exchange_name("amq.default"), "");
        assert_eq!(exchange_name("amq.direct"), "amq.direct");
    }
}
