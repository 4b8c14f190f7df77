//! The control socket while the broker is stopped and its process waits: an operator may reset the broker, start it, or
//! end the process, and look at the log and at what is known of the process. Everything else is answered with 503
//! `not_running`.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::Request,
    http::{Method, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{HttpError, answer, answer::Answer, own, own_node};
use crate::{
    product,
    server::{Base, StartError, http::serve, journal::Journal},
    storage::DataDir,
};

/// For answers that are still on their way when it was decided what to do next.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// What the process is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Start,
    End,
}

/// What is at hand while the broker is stopped.
struct Stopped {
    node_name: String,
    data_dir: Arc<DataDir>,
    journal: Arc<Journal>,
    next: watch::Sender<Option<Next>>,
}

/// Waits until an operator wants the broker to start again; gives nothing when the process is to end.
pub async fn wait_for_start(mut base: Base) -> Result<Option<Base>, StartError> {
    let control = base.bind_control()?;
    let next = watch::Sender::new(None);
    let stopped = Arc::new(Stopped {
        node_name: base.node_name().to_owned(),
        data_dir: base.data_dir(),
        journal: base.journal(),
        next: next.clone(),
    });
    tracing::info!("the broker is stopped; waiting to be started");
    let mut decided = next.subscribe();
    let (stop, is_stopped) = watch::channel(false);
    let served = serve(control, move |request, _| respond(Arc::clone(&stopped), request), is_stopped);
    let decision = async move {
        let _ = decided.wait_for(Option::is_some).await;
        stop.send_replace(true);
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        () = served => {}
        () = decision => {}
        signal = base.next_signal() => tracing::info!("{signal} received, stopping"),
    }
    base.remove_control();
    let is_start = *next.borrow() == Some(Next::Start);
    Ok(is_start.then_some(base))
}

async fn respond(stopped: Arc<Stopped>, request: Request) -> Response {
    let mut response = match stopped.answer(request.method(), request.uri()) {
        Ok(answer) => answer.into_response("").unwrap_or_else(IntoResponse::into_response),
        Err(error) => error.into_response(),
    };
    answer::add_headers(response.headers_mut());
    response
}

impl Stopped {
    fn answer(&self, method: &Method, uri: &Uri) -> answer::Answered {
        match (method, uri.path().strip_prefix("/api/liebre/")) {
            (&Method::GET, Some("log")) => {
                return own_node::log(&self.journal, uri.query().unwrap_or_default());
            }
            (&Method::GET, Some("status")) => return Ok(Answer::Object(self.status())),
            (&Method::POST, Some("stop-app")) => {}
            (&Method::POST, Some("start-app")) => self.decide(Next::Start),
            (&Method::POST, Some("stop")) => self.decide(Next::End),
            (&Method::POST, Some("reset")) => {
                self.data_dir.wipe().map_err(|error| HttpError::Internal(error.to_string()))?;
                tracing::warn!("somebody at the control socket has removed all definitions and messages");
            }
            _ => return Ok(self.not_running()),
        }
        Ok(Answer::Done)
    }

    /// Once: who is first decides.
    fn decide(&self, next: Next) {
        self.next.send_if_modified(|decided| {
            let is_first = decided.is_none();
            decided.get_or_insert(next);
            is_first
        });
    }

    /// What `/api/nodes` tells of a running one stands here, too.
    fn status(&self) -> Value {
        let mut status = own::about_process();
        status["name"] = self.node_name.as_str().into();
        status["os_pid"] = std::process::id().to_string().into();
        status["db_dir"] = self.data_dir.path().display().to_string().into();
        status["log_files"] = self.journal.places().into();
        status["product_name"] = product::NAME.into();
        status["product_version"] = product::VERSION.into();
        status["rabbitmq_version"] = product::COMPATIBLE_VERSION.into();
        status
    }

    fn not_running(&self) -> Answer {
        Answer::Unhealthy(json!({
            "error": "not_running",
            "reason": "the broker is stopped, its process waits to start it again",
            "node": self.node_name,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_decides_once() {
        let root = tempfile::tempdir().unwrap();
        let next = watch::Sender::new(None);
        let stopped = Stopped {
            node_name: "rabbit@test".to_owned(),
            data_dir: Arc::new(DataDir::open(root.path()).unwrap()),
            journal: Arc::default(),
            next: next.clone(),
        };
        let ask = |method: &Method, path: &str| stopped.answer(method, &path.parse().unwrap());
        let post = |path: &str| ask(&Method::POST, path).unwrap();
        assert_eq!(post("/api/liebre/stop-app"), Answer::Done);
        assert_eq!(post("/api/liebre/reset"), Answer::Done);
        assert_eq!(*next.borrow(), None);
        for path in ["/api/overview", "/api/liebre/environment"] {
            assert!(matches!(post(path), Answer::Unhealthy(_)), "{path}");
        }
        assert!(matches!(ask(&Method::GET, "/api/liebre/stop"), Ok(Answer::Unhealthy(_))));
        for path in ["/api/liebre/log?lines=1", "/api/liebre/status"] {
            assert!(matches!(ask(&Method::GET, path), Ok(Answer::Object(_))), "{path}");
        }
        post("/api/liebre/start-app");
        post("/api/liebre/stop");
        assert_eq!(*next.borrow(), Some(Next::Start));
    }
}
