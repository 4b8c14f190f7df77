//! From the protocol header to `connection.open-ok` (AMQP 0-9-1 section 2.2.4).

use std::{sync::Arc, time::Instant};

use amq_protocol::{
    protocol::{AMQPClass, connection},
    types::{AMQPValue, FieldTable},
};

use super::{
    Connection, Phase,
    exception::{Exception, ReplyCode},
    seat::Seat,
};
use crate::{
    limits::{CHANNEL_MAX, FRAME_MAX_INITIAL, FRAME_MIN, HEARTBEAT_SECS, SILENT_CLOSE_DELAY},
    model::{name::Name, user::User},
    product,
    wire::{
        frame::{
            ChannelNumber, HeaderCheck, HeaderRefusal, PROTOCOL_HEADER, ProtocolHeader, parse_protocol_header,
        },
        method::{Method, MethodId},
        table::{RawTable, RawValue},
    },
};

/// What both sides agreed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuning {
    /// Bytes; 0: no limit.
    pub(super) frame_max: u32,
    /// 0: no limit but the numbers themselves.
    pub(super) channel_max: u16,
    pub(super) heartbeat_secs: u16,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { frame_max: FRAME_MAX_INITIAL, channel_max: CHANNEL_MAX, heartbeat_secs: HEARTBEAT_SECS }
    }
}

const CONTROL: ChannelNumber = ChannelNumber(0);
const MECHANISMS: &str = "PLAIN AMQPLAIN";

/// Name and password as the client gave them.
struct Login {
    user: String,
    password: Vec<u8>,
}

impl Connection {
    /// The first eight bytes; says how many were taken.
    pub(super) fn handle_protocol_header(&mut self, bytes: &[u8]) -> usize {
        match parse_protocol_header(bytes) {
            HeaderCheck::NeedMore => 0,
            HeaderCheck::Accepted(header) => {
                self.send_start(header);
                self.phase = Phase::Start;
                ProtocolHeader::SIZE
            }
            HeaderCheck::Refused(refusal) => {
                let hint = match refusal {
                    HeaderRefusal::NotAmqp => "not AMQP",
                    HeaderRefusal::Version(_) => "an AMQP version we don't speak (we speak 0-9-1)",
                    HeaderRefusal::HttpGet => "HTTP: the management API has its own port",
                    HeaderRefusal::TlsClientHello => "TLS on the port for plain TCP",
                };
                tracing::error!(connection = %self.info.name(), "bad protocol header: {hint}");
                self.outbox.write(|bytes| bytes.extend_from_slice(&PROTOCOL_HEADER));
                self.end();
                bytes.len()
            }
        }
    }

    /// Methods before the connection is open.
    pub(super) fn handle_handshake(
        &mut self,
        number: ChannelNumber,
        method: Method<'_>,
        now: Instant,
    ) -> Result<(), Exception> {
        let Method::Cold(class) = method else { return Err(self.unexpected_method()) };
        let AMQPClass::Connection(method) = *class else { return Err(self.unexpected_method()) };
        if number != CONTROL {
            return Err(self.unexpected_method());
        }
        match (self.phase, method) {
            (Phase::Start, connection::AMQPMethod::StartOk(start_ok)) => self.handle_start_ok(start_ok, now),
            (Phase::Tune, connection::AMQPMethod::TuneOk(tune_ok)) => self.handle_tune_ok(&tune_ok),
            (Phase::Open, connection::AMQPMethod::Open(open)) => self.handle_open(open.virtual_host.as_str()),
            (_, connection::AMQPMethod::Close(_)) => {
                self.send(connection::AMQPMethod::CloseOk(connection::CloseOk {}));
                self.phase = Phase::Ended;
                Ok(())
            }
            _ => Err(self.unexpected_method()),
        }
    }

    fn send_start(&self, header: ProtocolHeader) {
        let (version_major, version_minor) = header.version();
        self.send(connection::AMQPMethod::Start(connection::Start {
            version_major,
            version_minor,
            server_properties: product::server_properties(&self.node.cluster_name()),
            mechanisms: MECHANISMS.into(),
            locales: "en_US".into(),
        }));
    }

    fn handle_start_ok(&mut self, start_ok: connection::StartOk, now: Instant) -> Result<(), Exception> {
        let mechanism = start_ok.mechanism.to_string();
        let is_close_understood = capability(&start_ok.client_properties, "authentication_failure_close");
        self.is_cancel_notified = capability(&start_ok.client_properties, "consumer_cancel_notify");
        self.blocking.is_announced = capability(&start_ok.client_properties, "connection.blocked");
        self.info.update(|facts| {
            facts.state = "tuning";
            facts.auth_mechanism = mechanism.clone();
            facts.set_client_properties(&start_ok.client_properties);
        });
        let login = match mechanism.as_str() {
            "PLAIN" => parse_plain(start_ok.response.as_bytes()),
            "AMQPLAIN" => parse_amqplain(start_ok.response.as_bytes()),
            other => {
                let text = format!("unknown authentication mechanism '{other}'");
                return Err(Exception::new(ReplyCode::CommandInvalid, text));
            }
        };
        let logged_in = login.ok_or(Refusal::Malformed).and_then(|login| self.log_in(&login));
        self.node.statistics.amqp_logins.count(logged_in.is_ok());
        match logged_in {
            Ok(user) => {
                self.info.update(|facts| facts.user = Some(user.name.clone()));
                (self.user, self.password) = (Some(user.name), Some(user.password));
                self.phase = Phase::Tune;
                self.send(connection::AMQPMethod::Tune(connection::Tune {
                    channel_max: self.node.limits.channel_max,
                    frame_max: self.node.limits.frame_max,
                    heartbeat: self.node.limits.heartbeat_secs,
                }));
                Ok(())
            }
            Err(refusal) => {
                self.refuse(&refusal, &mechanism, is_close_understood, now);
                Ok(())
            }
        }
    }

    fn log_in(&self, login: &Login) -> Result<User, Refusal> {
        let user = self.node.broker.authenticate(&login.user, &login.password);
        let user = user.ok_or_else(|| Refusal::Credentials(login.user.clone()))?;
        if self.node.broker.is_loopback_user(&user.name) && !self.info.peer.ip().to_canonical().is_loopback()
        {
            return Err(Refusal::NotLoopback(user.name));
        }
        Ok(user)
    }

    /// A failed login: told to clients that understand it, answered with silence to others.
    fn refuse(&mut self, refusal: &Refusal, mechanism: &str, is_close_understood: bool, now: Instant) {
        tracing::error!(connection = %self.info.name(), "{mechanism} login refused: {}", refusal.reason());
        if is_close_understood {
            let text = format!(
                "Login was refused using authentication mechanism {mechanism}. For details see the broker \
                 logfile.{}",
                refusal.hint()
            );
            return self.close(&Exception::new(ReplyCode::AccessRefused, text), MethodId::NONE, now);
        }
        self.phase = Phase::Refused;
        self.deadline = Some(now + SILENT_CLOSE_DELAY);
    }

    fn handle_tune_ok(&mut self, tune_ok: &connection::TuneOk) -> Result<(), Exception> {
        let not_allowed = |text| Err(Exception::new(ReplyCode::NotAllowed, text));
        let connection::TuneOk { channel_max, frame_max, heartbeat } = *tune_ok;
        if frame_max != 0 && frame_max < FRAME_MIN {
            return not_allowed(format!(
                "negotiated frame_max = {frame_max} is lower than the minimum allowed value ({FRAME_MIN})"
            ));
        }
        let offered = self.node.limits.frame_max;
        if frame_max == 0 || frame_max > offered {
            let shown = shown_limit(u64::from(frame_max));
            return not_allowed(format!(
                "negotiated frame_max = {shown} is higher than the maximum allowed value ({offered})"
            ));
        }
        let offered = self.node.limits.channel_max;
        if channel_max == 0 || channel_max > offered {
            let shown = shown_limit(u64::from(channel_max));
            return not_allowed(format!(
                "negotiated channel_max = {shown} is higher than the maximum allowed value ({offered})"
            ));
        }
        self.tuning = Tuning { frame_max, channel_max, heartbeat_secs: heartbeat };
        self.outbox.set_frame_max(frame_max);
        self.heartbeat.start(heartbeat);
        self.info.update(|facts| {
            facts.state = "opening";
            (facts.frame_max, facts.channel_max) = (frame_max, channel_max);
            facts.heartbeat_secs = heartbeat;
        });
        self.phase = Phase::Open;
        Ok(())
    }

    fn handle_open(&mut self, vhost_name: &str) -> Result<(), Exception> {
        let broker = &self.node.broker;
        let user = self.user.clone().ok_or_else(|| self.unexpected_method())?;
        let not_allowed = |text| Exception::new(ReplyCode::NotAllowed, text);
        let not_found = || not_allowed(format!("vhost {vhost_name} not found"));
        let refused = || not_permitted(vhost_name, &user);
        let vhost = broker.vhost(vhost_name).ok_or_else(not_found)?;
        let seat = Seat::take(&self.node, &vhost, &user);
        let seat = seat.map_err(|full| full.exception(&self.node.name, vhost_name, &user))?;
        if broker.access().permission(&user, vhost.name()).is_none() {
            return Err(refused());
        }
        self.info.update(|facts| {
            facts.state = "running";
            facts.vhost = Some(vhost.name().clone());
        });
        // Whoever deletes a vhost or a user closes the connections that say they are of it. One that says so
        // only now looks itself.
        if broker.vhost(vhost_name).is_none_or(|current| !Arc::ptr_eq(&current, &vhost)) {
            return Err(not_found());
        }
        if broker.access().user(&user).map(|user| &user.password) != self.password.take().as_ref() {
            return Err(refused());
        }
        tracing::info!(
            connection = %self.info.name(),
            "user '{user}' authenticated and granted access to vhost '{vhost_name}'"
        );
        (self.vhost, self.seat) = (Some(Arc::clone(&vhost)), Some(seat));
        self.phase = Phase::Running;
        self.deadline = None;
        self.send(connection::AMQPMethod::OpenOk(connection::OpenOk {}));
        Ok(())
    }

    fn send(&self, method: connection::AMQPMethod) {
        self.outbox.write_method(CONTROL, &AMQPClass::Connection(method));
    }
}

/// The refusal of a vhost in which the user has no permission.
pub(super) fn not_permitted(vhost: &str, user: &str) -> Exception {
    let text = format!("access to vhost '{vhost}' refused for user '{user}'");
    Exception::new(ReplyCode::NotAllowed, text)
}

/// Why a login failed.
enum Refusal {
    /// The SASL response can't be read.
    Malformed,
    /// No such user, or not this password; which of the two is nobody's business.
    Credentials(String),
    /// `guest`, or another who may not, from elsewhere.
    NotLoopback(Name),
}

impl Refusal {
    /// For the log.
    fn reason(&self) -> String {
        match self {
            Self::Malformed => "malformed SASL response".to_owned(),
            Self::Credentials(user) => format!("user '{user}' - invalid credentials"),
            Self::NotLoopback(user) => format!(
                "user '{user}' can only connect via localhost: add a user of your own with 'rabbitmqctl add_user \
                 NAME PASSWORD' and 'rabbitmqctl set_permissions NAME \".*\" \".*\" \".*\"'"
            ),
        }
    }

    /// For the client, behind RabbitMQ's text.
    fn hint(&self) -> String {
        match self {
            Self::NotLoopback(user) => {
                format!(" ({user} may log in from localhost only: rabbitmqctl add_user)")
            }
            _ => String::new(),
        }
    }
}

/// `\0user\0password`, or with an authorization identity before (RFC 4616).
fn parse_plain(response: &[u8]) -> Option<Login> {
    let mut parts = response.splitn(3, |byte| *byte == 0);
    let (_authorization, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Login { user: String::from_utf8(user.to_vec()).ok()?, password: password.to_vec() })
}

/// A field table without its length: LOGIN and PASSWORD.
fn parse_amqplain(response: &[u8]) -> Option<Login> {
    let table = RawTable::parse_entries(response).ok()?;
    let text = |name: &str| match table.get(name)? {
        RawValue::LongString(text) => Some(text.to_vec()),
        _ => None,
    };
    Some(Login { user: String::from_utf8(text("LOGIN")?).ok()?, password: text("PASSWORD")? })
}

fn capability(client_properties: &FieldTable, name: &str) -> bool {
    let Some(AMQPValue::FieldTable(capabilities)) = client_properties.inner().get("capabilities") else {
        return false;
    };
    matches!(capabilities.inner().get(name), Some(AMQPValue::Boolean(true)))
}

fn shown_limit(limit: u64) -> String {
    if limit == 0 { "0 (no limit)".to_owned() } else { limit.to_string() }
}
