//! Messages: published and got over an AMQP connection that lasts as long as the request, by the rules and with the
//! permissions of every other.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::task::yield_now;

use super::{
    HttpError,
    answer::{Answer, Answered},
    body::RequestBody,
    health,
    json::text_to_json,
    path::exchange_name,
    properties::{properties_from_json, properties_to_json},
    request::Request,
};
use crate::{
    connection::exception::ReplyCode,
    limits::{HTTP_GET_BYTES_MAX, HTTP_TURN},
    server::{
        direct::{DirectClient, DirectError, Got, Outcome},
        http::is_responsive,
    },
    vhost::Vhost,
    wire::content::parse_content_header,
};

const NOT_PUBLISHED: &str = "rejected Unable to publish message. Check queue limits.";
/// What a message's object takes besides its texts, for reckoning, bytes.
const VIEW_OVERHEAD: usize = 256;

/// `POST exchanges/{vhost}/{exchange}/publish`: answered when the message is safe.
pub(super) async fn publish(request: &Request, vhost: &str, exchange: &str) -> Answered {
    let vhost = request.vhost_of_new(vhost)?;
    let fields = request.fields()?;
    fields.require(&["routing_key", "properties", "payload", "payload_encoding"])?;
    let routing_key = fields.text("routing_key")?.unwrap_or_default();
    if routing_key.len() > usize::from(u8::MAX) {
        return Err(HttpError::bad_request("the routing key is longer than 255 bytes"));
    }
    let body = payload(&fields)?;
    let properties = properties_from_json(fields.value("properties").unwrap_or(&Value::Null))?;
    let mut client = open(request, &vhost).await?;
    let published = client.publish(exchange_name(exchange), routing_key, (&properties, &body)).await;
    match published.map_err(|error| refused(error, |code, text| unfit(code, &text)))? {
        Outcome::Routed => Ok(Answer::Object(json!({ "routed": true }))),
        Outcome::Unroutable => Ok(Answer::Object(json!({ "routed": false }))),
        Outcome::Refused => Err(HttpError::bad_request(NOT_PUBLISHED)),
    }
}

/// `POST queues/{vhost}/{queue}/get`: answered when what is settled is durable. Ends before `count` messages when they
/// take more than [`HTTP_GET_BYTES_MAX`].
pub(super) async fn get(request: &Request, vhost: &str, queue: &str) -> Answered {
    let vhost = request.vhost_of_new(vhost)?;
    let fields = request.fields()?;
    fields.require(&["ackmode", "count", "encoding"])?;
    let wish = Wish::parse(&fields)?;
    let mut client = open(request, &vhost).await?;
    let (mut messages, mut size, mut last_tag) = (Vec::new(), 0, 0);
    while messages.len() < wish.count && size < HTTP_GET_BYTES_MAX {
        let Some(got) = client.get(queue, wish.is_no_ack).await.map_err(refused_on_channel)? else { break };
        let Some(get_ok) = got.get_ok() else { break };
        last_tag = get_ok.delivery_tag;
        size += got.header.len() + wish.shown(&got).len() + VIEW_OVERHEAD;
        messages.push(wish.view(&got));
        if messages.len().is_multiple_of(HTTP_TURN) {
            yield_now().await;
        }
    }
    if let (Some(requeue), true) = (wish.reject, last_tag > 0) {
        client.reject_up_to(last_tag, requeue);
    }
    client.close().await.map_err(refused_on_channel)?;
    Ok(Answer::Listing(messages))
}

/// `GET aliveness-test/{vhost}`: a message to a queue and back. The queue stays, as in RabbitMQ.
pub(super) async fn test_aliveness(request: &Request, vhost: &str) -> Answered {
    const QUEUE: &str = "aliveness-test";
    let vhost = request.vhost(vhost)?;
    // The test's own connection is attended to here.
    if !is_responsive(&request.api.runtime).await {
        return Ok(health::not_responsive());
    }
    let mut client = open(request, &vhost).await?;
    client.declare_queue(QUEUE).await.map_err(refused_on_channel)?;
    let message = (&Default::default(), b"test_message".as_slice());
    let outcome = client.publish("", QUEUE, message).await.map_err(refused_on_channel)?;
    let got = client.get(QUEUE, true).await.map_err(refused_on_channel)?;
    client.close().await.map_err(refused_on_channel)?;
    match (outcome, got) {
        (Outcome::Routed, Some(_)) => Ok(Answer::Object(json!({ "status": "ok" }))),
        _ => Ok(Answer::Unhealthy(json!({ "status": "failed", "reason": "the message did not come back" }))),
    }
}

/// What a request to get messages asks for.
struct Wish {
    count: usize,
    /// They are gone when they are got.
    is_no_ack: bool,
    /// They are rejected: whether they go back. Otherwise they go back as those of a connection that is closed.
    reject: Option<bool>,
    is_base64: bool,
    truncate: usize,
}

impl Wish {
    fn parse(fields: &RequestBody) -> Result<Self, HttpError> {
        let value = |field| fields.value(field).unwrap_or(&Value::Null);
        let (is_no_ack, reject) = match value("ackmode").as_str() {
            Some("ack_requeue_true") => (false, None),
            Some("ack_requeue_false") => (true, None),
            Some("reject_requeue_true") => (false, Some(true)),
            Some("reject_requeue_false") => (false, Some(false)),
            // RabbitMQ's status is 500 here, and for a negative `truncate`.
            _ => return Err(HttpError::bad_value("unknown_ackmode", value("ackmode"))),
        };
        let is_base64 = match value("encoding").as_str() {
            Some("auto") => false,
            Some("base64") => true,
            _ => return Err(HttpError::bad_request("Unsupported encoding. Please use auto or base64.")),
        };
        // Less than none is all.
        let count = fields.integer("count")?.map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
        let truncate = fields.integer("truncate")?.map(usize::try_from).transpose();
        let truncate = truncate.map_err(|_| HttpError::bad_value("negative", value("truncate")))?;
        Ok(Self { count, is_no_ack, reject, is_base64, truncate: truncate.unwrap_or(usize::MAX) })
    }

    /// The part of the body that is shown.
    fn shown<'a>(&self, got: &'a Got) -> &'a [u8] {
        &got.body[..got.body.len().min(self.truncate)]
    }

    fn view(&self, got: &Got) -> Value {
        let shown = self.shown(got);
        let text = std::str::from_utf8(shown).ok().filter(|_| !self.is_base64);
        let (payload, encoding) = match text {
            Some(text) => (text.to_owned(), "string"),
            None => (BASE64_STANDARD.encode(shown), "base64"),
        };
        let get_ok = got.get_ok();
        let header = parse_content_header(&got.header);
        json!({
            "payload_bytes": got.body.len(),
            "redelivered": get_ok.is_some_and(|get_ok| get_ok.redelivered),
            "exchange": get_ok.map(|get_ok| text_to_json(get_ok.exchange)),
            "routing_key": get_ok.map(|get_ok| text_to_json(get_ok.routing_key)),
            "message_count": get_ok.map(|get_ok| get_ok.message_count),
            "properties": header.map_or(json!([]), |header| properties_to_json(&header.properties)),
            "payload": payload,
            "payload_encoding": encoding,
        })
    }
}

/// The bytes that are to be published.
fn payload(fields: &RequestBody) -> Result<Vec<u8>, HttpError> {
    let value = |field| fields.value(field).unwrap_or(&Value::Null);
    let text = value("payload").as_str().ok_or_else(|| HttpError::bad_request("payload_not_string"))?;
    match value("payload_encoding").as_str() {
        Some("string") => Ok(text.as_bytes().to_vec()),
        Some("base64") => {
            // Line breaks are not the message's.
            let digits: String = text.split_ascii_whitespace().collect();
            BASE64_STANDARD.decode(digits).map_err(|_| HttpError::bad_value("not_base64", value("payload")))
        }
        _ => Err(HttpError::bad_value("unsupported_encoding", value("payload_encoding"))),
    }
}

async fn open(request: &Request, vhost: &Arc<Vhost>) -> Result<DirectClient, HttpError> {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let ends = (request.peer.unwrap_or(nowhere), request.api.http_address);
    let opened = DirectClient::open(&request.api.node, ends, (request.caller.user(), vhost)).await;
    // An administrator sees every vhost, but needs a permission to use it.
    opened.map_err(|error| refused(error, |_, _| HttpError::NotAuthorised("Access refused.".into())))
}

fn refused(error: DirectError, exception: impl FnOnce(u16, String) -> HttpError) -> HttpError {
    match error {
        DirectError::Refused { code, text } => exception(code, text),
        DirectError::Blocked => {
            HttpError::Unavailable("publishing is blocked: memory or disk runs low".to_owned())
        }
        DirectError::Ended => HttpError::Unavailable("the broker is stopping".to_owned()),
    }
}

fn refused_on_channel(error: DirectError) -> HttpError {
    refused(error, |code, text| match code {
        code if code == ReplyCode::NotFound as u16 => HttpError::NotFound(text),
        code if code == ReplyCode::AccessRefused as u16 => HttpError::NotAuthorised(text.into()),
        _ => unfit(code, &text),
    })
}

fn unfit(code: u16, text: &str) -> HttpError {
    HttpError::bad_request(format!("{code} {text}"))
}
