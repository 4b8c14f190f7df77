//! Where the broker is and who we are there: a URL, or its parts.

use std::env;
use std::fmt;

use clap::Args;
use lapin::uri::{AMQPScheme, AMQPUri};

/// What the tutorials of this and other brokers read, after our own variable.
const FALLBACK_VARIABLE: &str = "AMQP_URL";

/// The options that name a broker.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "The broker")]
pub struct AddressArgs {
    /// The broker: amqp://USER:PASSWORD@HOST:PORT/VHOST [default: amqp://guest:guest@localhost:5672/, or what AMQP_URL
    /// says]
    #[arg(long, env = "LIEBRE_URL", hide_env_values = true)]
    url: Option<String>,
    /// Its host name or IP address, in place of the URL's
    #[arg(long)]
    host: Option<String>,
    /// Its port, in place of the URL's
    #[arg(long)]
    port: Option<u16>,
    /// User name, in place of the URL's
    #[arg(long)]
    user: Option<String>,
    /// Password, in place of the URL's; others can see it in the list of processes, but not in the environment
    #[arg(long)]
    password: Option<String>,
    /// Virtual host, in place of the URL's
    #[arg(long)]
    vhost: Option<String>,
    /// Seconds between signs of life; without two of them the connection counts as lost
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    heartbeat: u16,
}

/// A broker to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// In the client library's form.
    pub uri: AMQPUri,
}

impl AddressArgs {
    /// The address, or what is wrong with it.
    pub fn address(&self) -> Result<Address, String> {
        let fallback = env::var(FALLBACK_VARIABLE).ok().filter(|url| !url.is_empty());
        let url = self.url.clone().filter(|url| !url.is_empty()).or(fallback);
        let mut uri = url.as_deref().map(parse).transpose()?.unwrap_or_default();
        replace(&mut uri.authority.host, &self.host);
        replace(&mut uri.authority.userinfo.username, &self.user);
        replace(&mut uri.authority.userinfo.password, &self.password);
        replace(&mut uri.vhost, &self.vhost);
        if let Some(port) = self.port {
            uri.authority.port = port;
        }
        if uri.vhost.len() > 255 {
            return Err("the name of the virtual host is longer than 255 bytes".to_owned());
        }
        uri.query.heartbeat = uri.query.heartbeat.or(Some(self.heartbeat));
        Ok(Address { uri })
    }
}

/// `host:port`, as in every message about it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.uri.authority;
        match authority.host.contains(':') {
            true => write!(f, "[{}]:{}", authority.host, authority.port),
            false => write!(f, "{}:{}", authority.host, authority.port),
        }
    }
}

fn parse(url: &str) -> Result<AMQPUri, String> {
    let expected = "expected amqp://USER:PASSWORD@HOST:PORT/VHOST";
    let mut uri: AMQPUri = url.parse().map_err(|problem| format!("{problem}: {expected}"))?;
    if uri.scheme == AMQPScheme::AMQPS {
        return Err("amqps (TLS) is not supported: use amqp, or a tunnel".to_owned());
    }
    // The parser of the library takes an IPv6 address for no host at all.
    if let Some(host) = bracketed(url) {
        uri.authority.host = host.to_owned();
    }
    // `amqp://host/` names the default vhost for most users, though by the letter it names one without a name.
    if uri.vhost.is_empty() {
        uri.vhost = "/".to_owned();
    }
    Ok(uri)
}

fn bracketed(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    address.strip_prefix('[')?.split_once(']').map(|(host, _)| host)
}

fn replace(part: &mut String, with: &Option<String>) {
    if let Some(with) = with {
        part.clone_from(with);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &AMQPUri) -> (&str, u16, &str, &str, &str) {
        let (authority, user) = (&uri.authority, &uri.authority.userinfo);
        (&authority.host, authority.port, &user.username, &user.password, &uri.vhost)
    }

    #[test]
    fn a_url_may_leave_parts_out() {
        assert_eq!(parts(&parse("amqp://").unwrap()), ("localhost", 5672, "guest", "guest", "/"));
        assert_eq!(parts(&parse("amqp://mq/").unwrap()), ("mq", 5672, "guest", "guest", "/"));
        let full = parse("amqp://ana:s%40l@10.0.0.7:5673/clase").unwrap();
        assert_eq!(parts(&full), ("10.0.0.7", 5673, "ana", "s@l", "clase"));
    }

    #[test]
    fn an_ipv6_address_is_a_host() {
        let uri = parse("amqp://a:b@[::1]:5673/%2f").unwrap();
        assert_eq!(parts(&uri), ("::1", 5673, "a", "b", "/"));
        assert_eq!(Address { uri }.to_string(), "[::1]:5673");
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in ["amqps://mq", "http://mq", "mq:5672", "mq", "amqp://mq:x"] {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn options_replace_parts_of_the_url() {
        let text = |text: &str| Some(text.to_owned());
        let args = AddressArgs {
            url: text("amqp://ana:1@mq:5673/clase"),
            host: text("localhost"),
            password: text("2"),
            heartbeat: 10,
            ..AddressArgs::default()
        };
        let address = args.address().unwrap();
        assert_eq!(parts(&address.uri), ("localhost", 5673, "ana", "2", "clase"));
        assert_eq!(address.uri.query.heartbeat, Some(10));
        let vhost = "v".repeat(256);
        assert!(AddressArgs { vhost: Some(vhost), ..args }.address().is_err());
    }
}
