//! What an error of the client library means, and what to do about it.

use std::io;

use lapin::ErrorKind;
use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};

use crate::address::Address;
use crate::exit::{Code, Failure};

/// Whether another connection may help: the broker is away, not against us.
pub fn is_passing(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(error) => {
            *error.kind() == AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED)
        }
        ErrorKind::IOError(_)
        | ErrorKind::MissingHeartbeatError
        | ErrorKind::InvalidChannelState(..)
        | ErrorKind::InvalidConnectionState(_) => true,
        _ => false,
    }
}

/// The error in words, with advice.
pub fn explain(error: &lapin::Error, address: &Address) -> Failure {
    match error.kind() {
        ErrorKind::ProtocolError(error) => explain_exception(error, address),
        ErrorKind::IOError(error) => Failure::new(Code::Unavailable, explain_io(error, address)),
        ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) => Failure::new(
            Code::Unavailable,
            format!("{address} does not speak AMQP 0-9-1. Is it the right port? (5672 is the usual one)"),
        ),
        _ => {
            Failure::new(Code::Unavailable, format!("the connection to {address} is lost: {}", reason(error)))
        }
    }
}

/// The error in a few words, for a status line.
pub fn reason(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::MissingHeartbeatError => "no sign of life from the broker".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether a queue or exchange is not there.
pub fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error)
        if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}

fn explain_io(error: &io::Error, address: &Address) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "nobody listens at {address} (connection refused). Is the broker running? \
             --host, --port or --url name another one"
        ),
        io::ErrorKind::TimedOut => {
            format!("{address} does not answer. Is it the right host, and does its firewall let us in?")
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => {
            format!("{address} closed the connection ({error}). Is it an AMQP port? (5672 is the usual one)")
        }
        _ => format!("cannot reach {address}: {error}"),
    }
}

fn explain_exception(error: &AMQPError, address: &Address) -> Failure {
    let text = error.get_message().as_str();
    let (code, advice) = match error.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => (Code::NoPermission, refused(text, address)),
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => (Code::Data, not_found(text).to_owned()),
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => (Code::Data, precondition(text).to_owned()),
        AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED) => {
            (Code::Data, "another connection has it for itself alone; use another name".to_owned())
        }
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => not_allowed(text, address),
        _ => (Code::Unavailable, String::new()),
    };
    let advice = if advice.is_empty() { advice } else { format!("\n{advice}") };
    Failure::new(code, format!("the broker at {address} refused: {text}{advice}"))
}

fn refused(text: &str, address: &Address) -> String {
    let user = &address.uri.authority.userinfo.username;
    // About a queue or exchange; else about the login.
    if text.contains("access to ") {
        return format!("user '{user}' lacks a permission; see {}", permit(address));
    }
    let from_afar = match user.as_str() {
        "guest" => {
            "; 'guest' may log in from the broker's own machine only, so elsewhere another user is needed"
        }
        _ => "",
    };
    format!("check --user and --password (or the URL's){from_afar}")
}

fn not_allowed(text: &str, address: &Address) -> (Code, String) {
    let vhost = &address.uri.vhost;
    if text.contains("not found") {
        return (Code::Data, format!("there is no virtual host '{vhost}'; see rabbitmqctl list_vhosts"));
    }
    if text.contains("refused") {
        return (Code::NoPermission, permit(address));
    }
    (Code::Unavailable, String::new())
}

fn permit(address: &Address) -> String {
    let (user, vhost) = (&address.uri.authority.userinfo.username, &address.uri.vhost);
    format!("rabbitmqctl set_permissions -p {vhost} {user} \".*\" \".*\" \".*\"")
}

fn not_found(text: &str) -> &'static str {
    if text.contains("no exchange") {
        "check the name; amq.direct, amq.fanout, amq.topic and amq.headers are always there"
    } else if text.contains("no queue") {
        "check the name and the virtual host (--vhost): nobody has declared this queue there"
    } else {
        ""
    }
}

fn precondition(text: &str) -> &'static str {
    if text.contains("inequivalent arg") {
        "it is there with other properties: without --argument and --transient-queue it is taken as it is"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use lapin::uri::AMQPUri;

    use super::*;

    fn address() -> Address {
        Address { uri: AMQPUri::default() }
    }

    fn exception(code: u16, text: &str) -> lapin::Error {
        ErrorKind::ProtocolError(AMQPError::from_id(code, text.into()).unwrap()).into()
    }

    fn check(code: u16, text: &str, exit: Code, advice: &str) {
        let failure = explain(&exception(code, text), &address());
        assert_eq!(failure.code, exit, "{text}");
        assert!(failure.message.contains(text) && failure.message.contains(advice), "{}", failure.message);
    }

    #[test]
    fn exceptions_come_with_advice() {
        check(
            403,
            "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.",
            Code::NoPermission,
            "--password",
        );
        let text = "ACCESS_REFUSED - write access to exchange 'x' in vhost '/' refused for user 'guest'";
        check(403, text, Code::NoPermission, "set_permissions -p / guest");
        check(404, "NOT_FOUND - no queue 'q' in vhost '/'", Code::Data, "nobody has declared");
        check(404, "NOT_FOUND - no exchange 'x' in vhost '/'", Code::Data, "amq.fanout");
        let text = "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received …";
        check(406, text, Code::Data, "taken as it is");
        check(405, "RESOURCE_LOCKED - cannot obtain exclusive access", Code::Data, "another name");
        check(530, "NOT_ALLOWED - vhost x not found", Code::Data, "list_vhosts");
        check(
            530,
            "NOT_ALLOWED - access to vhost '/' refused for user 'ana'",
            Code::NoPermission,
            "set_permissions",
        );
        check(541, "INTERNAL_ERROR", Code::Unavailable, "");
    }

    #[test]
    fn an_absent_broker_is_told_from_a_hostile_one() {
        let io = |kind: io::ErrorKind| lapin::Error::from(io::Error::from(kind));
        assert!(is_passing(&io(io::ErrorKind::ConnectionRefused)));
        assert!(is_passing(&exception(320, "CONNECTION_FORCED - shutdown")));
        assert!(is_passing(&ErrorKind::MissingHeartbeatError.into()));
        assert!(!is_passing(&exception(403, "ACCESS_REFUSED")));
        assert!(!is_passing(&exception(404, "NOT_FOUND")));
        let failure = explain(&io(io::ErrorKind::ConnectionRefused), &address());
        assert_eq!(failure.code, Code::Unavailable);
        assert!(
            failure.message.contains("localhost:5672") && failure.message.contains("Is the broker running?")
        );
    }
}
