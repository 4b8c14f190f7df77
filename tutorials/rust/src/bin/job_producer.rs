//! The job queue, the handing-in half: an HTTP service that takes a job as JSON and answers with its identifier.
//!
//! `POST /jobs` with `{"name": "report"}`; the broker gets the job over its HTTP API. If the broker is away, the producer
//! tries again for a while before it says so.

use std::{error::Error, process::ExitCode, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::StatusCode,
    routing::post,
};
use bytes::Bytes;
use liebre_tutorials::{
    ended,
    jobs::{
        Job, Settings,
        api::{self, Trouble},
        stop_asked, stopped,
    },
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const BODY_BYTES_MAX: usize = 1 << 20;

/// How long to wait before the second try, the third and so on; after the last one we give up.
const PAUSES_MS: [u64; 4] = [250, 500, 1_000, 2_000];

/// What is said to a request for anything else.
const ONLY: &str = "POST /jobs, please";

type Answer = (StatusCode, Json<Value>);

#[tokio::main]
async fn main() -> ExitCode {
    ended(serve().await)
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    let log = settings.log;
    let listener = TcpListener::bind(&settings.listen)
        .await
        .map_err(|error| format!("cannot listen at {}: {error}", settings.listen))?;
    let mut stop = stop_asked()?;
    let address = listener.local_addr()?;
    let service = Router::new()
        .route("/jobs", post(take))
        .fallback(async || refused(StatusCode::NOT_FOUND, ONLY))
        .method_not_allowed_fallback(async || refused(StatusCode::METHOD_NOT_ALLOWED, ONLY))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(settings);
    log.status(format!("Waiting for jobs at http://{address}/jobs. To exit press CTRL+C"));
    // Requests that are in hand get their answer; new ones are not taken any more.
    axum::serve(listener, service).with_graceful_shutdown(async move { stopped(&mut stop).await }).await?;
    log.status("Bye");
    Ok(())
}

async fn take(State(settings): State<Settings>, body: Result<Bytes, BytesRejection>) -> Answer {
    let body = match body {
        Ok(body) => body,
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, "too large");
        }
        Err(error) => return refused(error.status(), "the request breaks off"),
    };
    let Ok(Value::Object(data)) = serde_json::from_slice(&body) else {
        return refused(StatusCode::BAD_REQUEST, "a JSON object, please");
    };
    let job = Job { job_id: new_id(), data };
    match hand_in(&settings, &job).await {
        Ok(()) => {
            settings.log.info(format!("{}: enqueued", job.job_id));
            let answer = json!({"jobId": job.job_id, "status": "enqueued", "data": job.data});
            (StatusCode::ACCEPTED, Json(answer))
        }
        Err(Trouble::Away(why)) => {
            settings.log.error(format!("{}: the broker is away ({why}); given up", job.job_id));
            refused(StatusCode::SERVICE_UNAVAILABLE, "the broker is away, try later")
        }
        Err(Trouble::Refused(why)) => {
            settings.log.error(format!("{}: the broker does not take it ({why})", job.job_id));
            refused(StatusCode::BAD_GATEWAY, "the broker does not take it")
        }
    }
}

/// Publishes; tries again if the broker is away, each time after a longer pause.
async fn hand_in(settings: &Settings, job: &Job) -> Result<(), Trouble> {
    for pause_ms in PAUSES_MS {
        match hand_in_once(settings, job).await {
            Err(Trouble::Away(why)) => {
                let id = &job.job_id;
                settings.log.error(format!("{id}: the broker is away ({why}); once more in {pause_ms} ms"));
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            result => return result,
        }
    }
    hand_in_once(settings, job).await
}

/// The first job of all finds no queue: then we make it.
async fn hand_in_once(settings: &Settings, job: &Job) -> Result<(), Trouble> {
    if api::publish(settings, job).await? {
        return Ok(());
    }
    settings.log.debug(format!("{}: there is no queue yet", job.job_id));
    api::declare_queues(settings).await?;
    match api::publish(settings, job).await? {
        true => Ok(()),
        false => Err(Trouble::Refused("no queue".to_owned())),
    }
}

fn refused(status: StatusCode, why: &str) -> Answer {
    (status, Json(json!({"status": "refused", "error": why})))
}

/// A random UUID.
fn new_id() -> String {
    let random = rand::random::<u128>();
    // Version 4, variant 1: what says "random" in a UUID.
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
