//! The eight bytes that open a connection, before any frame (AMQP 0-9-1 section 4.2.2).

/// What the server answers to a header it refuses, before it closes: the version it speaks.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// A protocol header we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolHeader {
    /// `AMQP 0 0 9 1`.
    Amqp091,
    /// `AMQP 1 1 0 9`, the form of 0-9.
    Amqp09,
    /// `AMQP 1 1 8 0` and `AMQP 1 1 9 1`, the forms of 0-8.
    Amqp08,
}

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderCheck {
    /// All bytes so far fit; there are fewer than eight.
    NeedMore,
    /// A header we take; frames follow its eight bytes.
    Accepted(ProtocolHeader),
    /// These bytes begin no header we take.
    Refused(HeaderRefusal),
}

/// Why a connection's first bytes are refused; the operator's log says it in these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderRefusal {
    /// Something else than AMQP.
    NotAmqp,
    /// AMQP of a version we don't speak; its four version bytes.
    Version([u8; 4]),
    /// A browser or HTTP program: it wants the management port.
    HttpGet,
    /// A TLS ClientHello: it wants the TLS port.
    TlsClientHello,
}

const NAME: &[u8] = b"AMQP";
const HTTP_GET: &[u8] = b"GET ";
/// Handshake record (22) of TLS major version 3.
const TLS_RECORD: &[u8] = &[22, 3];

/// Looks at the bytes a connection begins with, and decides as early as they allow.
#[must_use]
pub fn parse_protocol_header(input: &[u8]) -> HeaderCheck {
    if begins(input, HTTP_GET) {
        return decided(input, HTTP_GET, HeaderRefusal::HttpGet);
    }
    if begins(input, TLS_RECORD) {
        return decided(input, TLS_RECORD, HeaderRefusal::TlsClientHello);
    }
    if !begins(input, NAME) {
        return HeaderCheck::Refused(HeaderRefusal::NotAmqp);
    }
    match input.get(NAME.len()..) {
        Some([0, 0, 9, 1, ..]) => HeaderCheck::Accepted(ProtocolHeader::Amqp091),
        Some([1, 1, 0, 9, ..]) => HeaderCheck::Accepted(ProtocolHeader::Amqp09),
        Some([1, 1, 8, 0, ..] | [1, 1, 9, 1, ..]) => HeaderCheck::Accepted(ProtocolHeader::Amqp08),
        Some(&[class, instance, major, minor, ..]) => {
            HeaderCheck::Refused(HeaderRefusal::Version([class, instance, major, minor]))
        }
        _ => HeaderCheck::NeedMore,
    }
}

impl ProtocolHeader {
    /// Bytes of every header.
    pub const SIZE: usize = 8;

    /// Major and minor version that `connection.start` names to such a peer.
    #[must_use]
    pub fn version(self) -> (u8, u8) {
        match self {
            Self::Amqp091 | Self::Amqp09 => (0, 9),
            Self::Amqp08 => (8, 0),
        }
    }
}

impl std::fmt::Display for HeaderRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAmqp => f.write_str("bad_header: not AMQP"),
            Self::Version([a, b, c, d]) => write!(f, "bad_version: AMQP {a} {b} {c} {d}"),
            Self::HttpGet => f.write_str("detected_http_get: an HTTP request on the AMQP port"),
            Self::TlsClientHello => {
                f.write_str("detected_tls: a TLS connection to the AMQP port without TLS")
            }
        }
    }
}

/// Whether `input` begins with `prefix`, as far as both go.
fn begins(input: &[u8], prefix: &[u8]) -> bool {
    input.iter().zip(prefix).all(|(a, b)| a == b)
}

fn decided(input: &[u8], prefix: &[u8], refusal: HeaderRefusal) -> HeaderCheck {
    if input.len() < prefix.len() { HeaderCheck::NeedMore } else { HeaderCheck::Refused(refusal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_every_form_rabbitmq_took() {
        for (version, header) in [
            ([0, 0, 9, 1], ProtocolHeader::Amqp091),
            ([1, 1, 0, 9], ProtocolHeader::Amqp09),
            ([1, 1, 8, 0], ProtocolHeader::Amqp08),
            ([1, 1, 9, 1], ProtocolHeader::Amqp08),
        ] {
            let bytes = [NAME, &version, b"rest"].concat();
            for cut in 0..8 {
                assert_eq!(parse_protocol_header(&bytes[..cut]), HeaderCheck::NeedMore, "{cut} bytes");
            }
            assert_eq!(parse_protocol_header(&bytes), HeaderCheck::Accepted(header));
        }
    }

    #[test]
    fn refuses_as_early_as_the_bytes_prove_it() {
        let refused = |input: &[u8]| match parse_protocol_header(input) {
            HeaderCheck::Refused(refusal) => Some(refusal),
            _ => None,
        };
        assert_eq!(refused(b"X"), Some(HeaderRefusal::NotAmqp));
        assert_eq!(refused(b"AMX"), Some(HeaderRefusal::NotAmqp));
        assert_eq!(refused(b"GEX"), Some(HeaderRefusal::NotAmqp));
        assert_eq!(refused(b"GET"), None);
        assert_eq!(refused(b"GET / HTTP/1.1\r\n"), Some(HeaderRefusal::HttpGet));
        assert_eq!(refused(b"\x16"), None);
        assert_eq!(refused(b"\x16\x03\x01"), Some(HeaderRefusal::TlsClientHello));
        assert_eq!(refused(b"AMQP\x00\x01\x00\x00"), Some(HeaderRefusal::Version([0, 1, 0, 0])));
        assert_eq!(refused(b"AMQP\x03\x01\x00\x00"), Some(HeaderRefusal::Version([3, 1, 0, 0])));
    }
}
