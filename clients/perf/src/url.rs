//! `amqp://user:password@host:port/vhost`.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

const PORT_DEFAULT: u16 = 5672;

/// Where a broker is and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub vhost: String,
}

/// Why a URL was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlError {
    /// TLS would be measured, not the broker.
    Tls,
    /// It does not begin with `amqp://`.
    Scheme,
    /// No number up to 65535.
    Port,
    /// Something after a `%` is not two hexadecimal digits of UTF-8 text.
    Encoding,
    /// User or password with a NUL, or a vhost longer than 255 octets.
    Name,
}

impl BrokerUrl {
    /// A broker on this machine, with the user and the vhost that every broker has at first.
    pub fn on_port(port: u16) -> Self {
        let guest = "guest".to_owned();
        let (host, vhost) = ("127.0.0.1".to_owned(), "/".to_owned());
        Self { host, port, user: guest.clone(), password: guest, vhost }
    }
}

impl FromStr for BrokerUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        if url.starts_with("amqps://") {
            return Err(UrlError::Tls);
        }
        let rest = url.strip_prefix("amqp://").ok_or(UrlError::Scheme)?;
        let (authority, vhost) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, address) = authority.rsplit_once('@').unwrap_or(("guest:guest", authority));
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, "guest"));
        let (host, port) = split_port(address)?;
        let parsed = Self {
            host: if host.is_empty() { "127.0.0.1".to_owned() } else { host.to_owned() },
            port,
            user: decode(user)?,
            password: decode(password)?,
            vhost: if vhost.is_empty() { "/".to_owned() } else { decode(vhost)? },
        };
        if parsed.user.contains('\0') || parsed.password.contains('\0') || parsed.vhost.len() > 255 {
            return Err(UrlError::Name);
        }
        Ok(parsed)
    }
}

/// Without the password: this is what reports show.
impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} vhost {}", self.host, self.port, self.vhost)
    }
}

fn split_port(address: &str) -> Result<(&str, u16), UrlError> {
    if let Some(bracketed) = address.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or(UrlError::Port)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, port.parse().map_err(|_| UrlError::Port)?)),
            None if after.is_empty() => Ok((host, PORT_DEFAULT)),
            None => Err(UrlError::Port),
        };
    }
    match address.rsplit_once(':') {
        Some((host, port)) => Ok((host, port.parse().map_err(|_| UrlError::Port)?)),
        None => Ok((address, PORT_DEFAULT)),
    }
}

fn decode(text: &str) -> Result<String, UrlError> {
    percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| UrlError::Encoding)
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "amqps is not supported: measure the plain port",
            Self::Scheme => "expected amqp://user:password@host:port/vhost",
            Self::Port => "the port is not a number up to 65535",
            Self::Encoding => "percent-encoded text is not UTF-8",
            Self::Name => "user, password or vhost cannot be sent",
        })
    }
}

impl Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<(String, u16, String, String, String), UrlError> {
        url.parse::<BrokerUrl>().map(|url| (url.host, url.port, url.user, url.password, url.vhost))
    }

    fn parts(
        host: &str,
        port: u16,
        user: &str,
        password: &str,
        vhost: &str,
    ) -> (String, u16, String, String, String) {
        (host.to_owned(), port, user.to_owned(), password.to_owned(), vhost.to_owned())
    }

    #[test]
    fn parts_have_defaults() {
        assert_eq!(parse("amqp://"), Ok(parts("127.0.0.1", 5672, "guest", "guest", "/")));
        assert_eq!(parse("amqp://mq:1/"), Ok(parts("mq", 1, "guest", "guest", "/")));
        assert_eq!(parse("amqp://ana:x%40y@mq/%2f"), Ok(parts("mq", 5672, "ana", "x@y", "/")));
        assert_eq!(parse("amqp://a:b@[::1]:5673/shop"), Ok(parts("::1", 5673, "a", "b", "shop")));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert_eq!(parse("amqps://mq"), Err(UrlError::Tls));
        assert_eq!(parse("http://mq"), Err(UrlError::Scheme));
        assert_eq!(parse("amqp://mq:port"), Err(UrlError::Port));
        assert_eq!(parse("amqp://[::1"), Err(UrlError::Port));
        assert_eq!(parse("amqp://mq/%ff"), Err(UrlError::Encoding));
        assert_eq!(parse("amqp://a%00b:c@mq"), Err(UrlError::Name));
    }
}
