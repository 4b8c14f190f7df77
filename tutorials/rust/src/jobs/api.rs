//! The broker's HTTP API, as far as a producer needs it.

use std::{error::Error, time::Duration};

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time};

use super::{Job, Settings};

/// A broker that has not answered by then is away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers are small.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// `delivery_mode` 2 asks the broker to keep the message over a restart.
const PERSISTENT: u8 = 2;

/// Why the broker does not have the job.
#[derive(Debug)]
pub enum Trouble {
    /// It may be back soon: ask again.
    Away(String),
    /// It will say the same next time.
    Refused(String),
}

/// Publishes a job. False if there is no queue for it.
pub async fn publish(settings: &Settings, job: &Job) -> Result<bool, Trouble> {
    // amq.default is what the API calls the default exchange.
    let path = format!("/api/exchanges/{}/amq.default/publish", encoded(&settings.vhost));
    let message = json!({
        "properties": {
            "content_type": "application/json",
            "delivery_mode": PERSISTENT,
            "message_id": job.job_id,
        },
        "routing_key": settings.queue,
        "payload": json!(job).to_string(),
        "payload_encoding": "string",
    });
    let answer = call(settings, Method::POST, path, &message).await?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    Ok(answer["routed"] == true)
}

/// Makes the three queues. Those that are there already stay as they are.
pub async fn declare_queues(settings: &Settings) -> Result<(), Trouble> {
    for (name, arguments) in settings.queues() {
        let path = format!("/api/queues/{}/{}", encoded(&settings.vhost), encoded(&name));
        call(settings, Method::PUT, path, &json!({"durable": true, "arguments": arguments})).await?;
    }
    Ok(())
}

async fn call(settings: &Settings, method: Method, path: String, body: &Value) -> Result<Bytes, Trouble> {
    let login = BASE64_STANDARD.encode(format!("{}:{}", settings.user, settings.password));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, format!("{}:{}", settings.host, settings.http_port))
        .header(header::AUTHORIZATION, format!("Basic {login}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|error| Trouble::Refused(error.to_string()))?;
    let exchanged = time::timeout(PATIENCE, exchange(settings, request)).await;
    let (status, body) = exchanged
        .map_err(|_| Trouble::Away("no answer".to_owned()))?
        .map_err(|error| unanswered(settings, error.as_ref()))?;
    match status {
        200..=299 => Ok(body),
        500.. => Err(Trouble::Away(format!("status {status}"))),
        _ => Err(Trouble::Refused(format!("status {status}: {}", String::from_utf8_lossy(&body)))),
    }
}

/// Somebody else may listen there: at another port, the broker itself.
fn unanswered(settings: &Settings, error: &(dyn Error + 'static)) -> Trouble {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_parse() => {
            let (host, port) = (&settings.host, settings.http_port);
            Trouble::Refused(format!("what answers at {host}:{port} is not HTTP: is JOBS_HTTP_PORT right?"))
        }
        _ => Trouble::Away(error.to_string()),
    }
}

/// Status and body of the answer.
async fn exchange(
    settings: &Settings,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Bytes), Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect((settings.host.as_str(), settings.http_port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes()))
    };
    // The connection moves the bytes while we wait; it ends after the answer.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

/// `/` is `%2F` in a path.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
