//! Where something listens: a port, at an address or without one.
//!
//! A port alone does not say "everywhere": an address that a file names stays when a variable of the environment or an
//! option names another port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::value::Refused;

/// A port, and its address if somebody said one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) ip: Option<IpAddr>,
    pub(super) port: u16,
}

impl Endpoint {
    /// Where it is, if it is at `usual` unless somebody said otherwise.
    pub(super) fn or_at(self, usual: IpAddr) -> SocketAddr {
        SocketAddr::new(self.ip.unwrap_or(usual), self.port)
    }
}

/// `5672`, `127.0.0.1:5672`, `localhost:5672`, `[::1]:5672`, and `::1:5672` as RabbitMQ writes it.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, Refused> {
    let of_port = |port: &str| port.parse::<u16>().ok();
    if let Some(port) = of_port(text) {
        return Ok(Endpoint { ip: None, port });
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Endpoint { ip: Some(address.ip()), port: address.port() });
    }
    let parts = text.rsplit_once(':').and_then(|(at, port)| Some((ip(at).ok()?, of_port(port)?)));
    let (ip, port) = parts.ok_or_else(|| format!("'{text}' is neither a port nor an address with one"))?;
    Ok(Endpoint { ip: Some(ip), port })
}

/// An address. Names are not looked up, but for the one that every machine has.
pub(super) fn ip(text: &str) -> Result<IpAddr, Refused> {
    match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text.parse().map_err(|_| format!("'{text}' is no address")),
    }
}

/// Whether one process can't listen at both: the port is the same, and so is the address, or one of them is all.
pub(super) fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let is_all = |at: IpAddr| at.is_unspecified();
    let is_shared = one.ip() == other.ip()
        || is_all(one.ip()) && (one.is_ipv6() || other.is_ipv4())
        || is_all(other.ip()) && (other.is_ipv6() || one.is_ipv4());
    one.port() != 0 && one.port() == other.port() && is_shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_ports_or_have_one() {
        for (text, expected) in [
            ("5672", "[::]:5672"),
            ("0.0.0.0:5672", "0.0.0.0:5672"),
            ("localhost:5672", "127.0.0.1:5672"),
            ("[::1]:5672", "[::1]:5672"),
            ("::1:5672", "[::1]:5672"),
        ] {
            let endpoint = endpoint(text).unwrap();
            assert_eq!(endpoint.or_at("::".parse().unwrap()).to_string(), expected);
            assert_eq!(endpoint.ip.is_none(), text == "5672");
        }
        for text in ["", "x", "70000", "example.org:5672", "127.0.0.1", "127.0.0.1:x", ":5672", "localhost"] {
            assert!(endpoint(text).is_err(), "{text}");
        }
        assert_eq!(ip("localhost").unwrap().to_string(), "127.0.0.1");
        assert!(ip("example.org").is_err());
    }

    #[test]
    fn the_same_port_collides_where_addresses_overlap() {
        let collide = |one: &str, other: &str| collide(one.parse().unwrap(), other.parse().unwrap());
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("[::1]:1", "0.0.0.0:1", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!((collide(one, other), collide(other, one)), (expected, expected), "{one} {other}");
        }
    }
}
