//! The control socket while the broker is stopped and its process waits: an operator may reset the broker, start it, or
//! end the process. Everything else is answered with 503 `not_running`.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::Request,
    http::Method,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::sync::watch;

use super::{HttpError, answer, answer::Answer};
use crate::{
    server::{Base, StartError, http::serve},
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
    next: watch::Sender<Option<Next>>,
}

/// Waits until an operator wants the broker to start again; gives nothing when the process is to end.
pub async fn wait_for_start(mut base: Base) -> Result<Option<Base>, StartError> {
    let control = base.bind_control()?;
    let next = watch::Sender::new(None);
    let stopped = Arc::new(Stopped {
        node_name: base.node_name().to_owned(),
        data_dir: base.data_dir(),
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
    let mut response = match stopped.answer(request.method(), request.uri().path()) {
        Ok(answer) => answer.into_response("").unwrap_or_else(IntoResponse::into_response),
        Err(error) => error.into_response(),
    };
    answer::add_headers(response.headers_mut());
    response
}

impl Stopped {
    fn answer(&self, method: &Method, path: &str) -> answer::Answered {
        let asked = path.strip_prefix("/api/liebre/").filter(|_| method == Method::POST);
        match asked {
            Some("stop-app") => {}
            Some("start-app") => self.decide(Next::Start),
            Some("stop") => self.decide(Next::End),
            Some("reset") => {
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
            next: next.clone(),
        };
        let post = |path: &str| stopped.answer(&Method::POST, path).unwrap();
        assert_eq!(post("/api/liebre/stop-app"), Answer::Done);
        assert_eq!(post("/api/liebre/reset"), Answer::Done);
        assert_eq!(*next.borrow(), None);
        for path in ["/api/overview", "/api/liebre/environment"] {
            assert!(matches!(post(path), Answer::Unhealthy(_)), "{path}");
        }
        assert!(matches!(stopped.answer(&Method::GET, "/api/liebre/stop"), Ok(Answer::Unhealthy(_))));
        post("/api/liebre/start-app");
        post("/api/liebre/stop");
        assert_eq!(*next.borrow(), Some(Next::Start));
    }
}
