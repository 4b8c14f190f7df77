//! Values of keys, from text.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use crate::server::watermark::ByteSize;

/// Why a text is no such value: what it may be.
pub(super) type Refused = String;

pub(super) fn flag(text: &str) -> Result<bool, Refused> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(format!("'{text}' is neither true nor false")),
    }
}

/// A number from `least` to `most`.
pub(super) fn number_within<T: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<T, Refused> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("'{text}' is no number from {least} to {most}"))
}

/// How many there may be; `infinity` is no limit.
pub(super) fn limit(text: &str) -> Result<Option<usize>, Refused> {
    if matches!(text, "infinity" | "unlimited") {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("'{text}' is neither a number nor infinity"))
}

pub(super) fn size(text: &str) -> Result<u64, Refused> {
    text.parse().map(|ByteSize(bytes)| bytes).map_err(|error| error.to_string())
}

/// Milliseconds, above 0.
pub(super) fn millis(text: &str) -> Result<Duration, Refused> {
    match text.parse() {
        Ok(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(format!("'{text}' is no number of milliseconds above 0")),
    }
}

/// `5672`, `127.0.0.1:5672`, `[::1]:5672`, and `::1:5672` as RabbitMQ writes it.
pub(super) fn address(text: &str) -> Result<SocketAddr, Refused> {
    let of_port = |port: &str| port.parse::<u16>().ok();
    if let Some(port) = of_port(text) {
        return Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let parts =
        text.rsplit_once(':').and_then(|(ip, port)| Some((ip.parse::<IpAddr>().ok()?, of_port(port)?)));
    parts.map(SocketAddr::from).ok_or_else(|| format!("'{text}' is neither a port nor an address with one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ports_or_have_one() {
        for (text, expected) in [
            ("5672", "[::]:5672"),
            ("0.0.0.0:5672", "0.0.0.0:5672"),
            ("[::1]:5672", "[::1]:5672"),
            ("::1:5672", "[::1]:5672"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected);
        }
        for text in ["", "x", "70000", "localhost:5672", "127.0.0.1", "127.0.0.1:x", ":5672"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_have_borders() {
        assert_eq!((limit("0"), limit("infinity")), (Ok(Some(0)), Ok(None)));
        assert_eq!(number_within::<u16>("2047", 1, 2_047), Ok(2_047));
        assert!(limit("many").is_err() && limit("-1").is_err());
        assert!(
            number_within::<u16>("2048", 1, 2_047).is_err() && number_within::<u8>("300", 0, 500).is_err()
        );
        assert!(millis("0").is_err() && millis("1.5").is_err());
        assert_eq!(millis("1500"), Ok(Duration::from_millis(1_500)));
    }

    #[test]
    fn flags_have_several_words() {
        assert_eq!(
            ["true", "ON", "false", "off"].map(|text| flag(text).unwrap()),
            [true, true, false, false]
        );
        assert!(flag("maybe").is_err());
    }
}
