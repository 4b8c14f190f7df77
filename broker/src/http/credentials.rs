//! The `Authorization` header: Basic (RFC 7617).

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::http::HttpError;

/// A login and its password, as sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The login.
    pub user: String,
    /// The password's bytes.
    pub password: Vec<u8>,
}

impl Credentials {
    /// Reads the header's value.
    ///
    /// Nothing sent is [`HttpError::NoCredentials`]; Basic that cannot be read is [`HttpError::Malformed`];
    /// another scheme, or a login that no user can have, is [`HttpError::LoginFailed`].
    pub fn parse(header: Option<&[u8]>) -> Result<Self, HttpError> {
        let header =
            std::str::from_utf8(header.ok_or(HttpError::NoCredentials)?).map_err(|_| HttpError::Malformed)?;
        let (scheme, encoded) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(HttpError::LoginFailed);
        }
        let decoded = BASE64_STANDARD.decode(encoded.trim_start()).map_err(|_| HttpError::Malformed)?;
        let colon = decoded.iter().position(|&byte| byte == b':').ok_or(HttpError::Malformed)?;
        let user = std::str::from_utf8(&decoded[..colon]).map_err(|_| HttpError::LoginFailed)?;
        Ok(Self { user: user.to_owned(), password: decoded[colon + 1..].to_vec() })
    }
}

/// Never prints the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Result<(String, Vec<u8>), HttpError> {
        Credentials::parse(Some(header.as_bytes()))
            .map(|credentials| (credentials.user, credentials.password))
    }

    fn basic(text: &[u8]) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    #[test]
    fn login_ends_at_the_first_colon() {
        let expected = |user: &str, password: &[u8]| Ok((user.to_owned(), password.to_vec()));
        assert_eq!(parse("Basic Z3Vlc3Q6Z3Vlc3Q="), expected("guest", b"guest"));
        assert_eq!(parse("basic Z3Vlc3Q6Z3Vlc3Q="), expected("guest", b"guest"));
        assert_eq!(parse("BASIC  Z3Vlc3Q6Z3Vlc3Q="), expected("guest", b"guest"));
        assert_eq!(parse(&basic(b"a:b:c")), expected("a", b"b:c"));
        assert_eq!(parse(&basic("ñ:\u{1f511}".as_bytes())), expected("ñ", "\u{1f511}".as_bytes()));
        assert_eq!(parse(&basic(b"a:\xff")), expected("a", b"\xff"));
        assert_eq!(parse(&basic(b":")), expected("", b""));
    }

    #[test]
    fn what_cannot_be_read_is_told_from_what_is_not_there() {
        assert_eq!(Credentials::parse(None), Err(HttpError::NoCredentials));
        for malformed in ["Basic", "Basic ", "Basic !!!", "Basic Z3Vlc3Q=", "Basic Z3Vlc3Q6Z3Vlc3Q"] {
            assert_eq!(parse(malformed), Err(HttpError::Malformed), "{malformed}");
        }
        assert_eq!(Credentials::parse(Some(b"Basic \xff")), Err(HttpError::Malformed));
        assert_eq!(parse("Bearer abc"), Err(HttpError::LoginFailed));
        assert_eq!(parse(""), Err(HttpError::LoginFailed));
        assert_eq!(parse(&basic(b"\xff:x")), Err(HttpError::LoginFailed));
    }

    #[test]
    fn debug_output_has_no_password() {
        let credentials = Credentials { user: "guest".into(), password: b"secret".to_vec() };
        assert_eq!(format!("{credentials:?}"), "Credentials { user: \"guest\", .. }");
    }
}
