//! Large answers to HTTP requests: few at a time, and made aside.
//!
//! ```text
//! request ──> a place ──> made on another thread, one after another ──> sent, or its reader has gone: the place is free
//! ```
//!
//! All of 100,000 queues are an answer of more than 100 MB, which stays in memory until its reader has taken it, and takes
//! about a second to make, while small requests, health checks for one, want an answer at once.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    response::{IntoResponse, Response},
};
use hyper::StatusCode;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};

use crate::limits::{HTTP_LARGE_ANSWERS, HTTP_LARGE_BYTES, HTTP_PLACE_TIMEOUT};

/// Places for large answers. The default has [`HTTP_LARGE_ANSWERS`], all free.
#[derive(Debug)]
pub struct LargeAnswers {
    places: Arc<Semaphore>,
    /// Who has it makes an answer.
    turn: Arc<Semaphore>,
}

/// A place for one large answer, free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Default for LargeAnswers {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(HTTP_LARGE_ANSWERS)), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl LargeAnswers {
    /// Waits for a place, in the order of the callers; none if there is none for too long.
    pub async fn place(&self) -> Option<Place> {
        let permit = timeout(HTTP_PLACE_TIMEOUT, Arc::clone(&self.places).acquire_owned()).await;
        Some(Place { _permit: permit.ok()?.ok()? })
    }

    /// Makes something that takes its time, on a thread where nobody waits behind it; none if that panics. What others
    /// make comes first.
    pub async fn aside<T: Send + 'static>(&self, make: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.ok()?;
        let make = move || {
            let made = make();
            // Not before, even if nobody waits for it any more.
            drop(turn);
            made
        };
        spawn_blocking(make).await.ok()
    }
}

impl Place {
    /// The same response; if it is large, its body holds the place until the last byte is sent or dropped.
    pub async fn hold(self, response: Response) -> Response {
        struct Held {
            bytes: Bytes,
            _place: Place,
        }
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }
        let (parts, body) = response.into_parts();
        match to_bytes(body, usize::MAX).await {
            Ok(bytes) if bytes.len() < HTTP_LARGE_BYTES => Response::from_parts(parts, Body::from(bytes)),
            // The connection drops the body when it has taken its bytes, which are not sent yet: they hold the place.
            Ok(bytes) => {
                let held = Bytes::from_owner(Held { bytes, _place: self });
                Response::from_parts(parts, Body::from(held))
            }
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        sync::watch,
    };

    use super::*;
    use crate::server::http::serve;

    async fn held(answers: &LargeAnswers, size: usize) -> Response {
        let place = answers.place().await.unwrap();
        place.hold(vec![b'x'; size].into_response()).await
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_are_not_sent_hold_their_place() {
        let answers = LargeAnswers::default();
        let first = held(&answers, HTTP_LARGE_BYTES).await;
        let mut others = Vec::new();
        for _ in 1..HTTP_LARGE_ANSWERS {
            others.push(held(&answers, HTTP_LARGE_BYTES).await);
        }
        assert!(answers.place().await.is_none());
        let mut bytes = to_bytes(first.into_body(), usize::MAX).await.unwrap();
        assert_eq!(bytes.len(), HTTP_LARGE_BYTES);
        let end = bytes.split_off(HTTP_LARGE_BYTES - 1);
        drop(bytes);
        assert!(answers.place().await.is_none(), "the last byte is not sent");
        drop(end);
        assert!(answers.place().await.is_some());
        // Who leaves without reading gives back, too.
        drop(others);
        assert_eq!(answers.places.available_permits(), HTTP_LARGE_ANSWERS);
    }

    /// Whatever the connection does with a body before it is sent.
    #[tokio::test]
    async fn a_slow_reader_holds_its_place_until_the_end() {
        const SIZE: usize = 64 << 20;
        let answers = Arc::new(LargeAnswers::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopped) = watch::channel(false);
        let served = Arc::clone(&answers);
        let respond = move |_, _| {
            let answers = Arc::clone(&served);
            async move { held(&answers, SIZE).await }
        };
        #[expect(clippy::disallowed_methods, reason = "a test's own server")]
        tokio::spawn(serve(listener, respond, stopped));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut read = vec![0; SIZE / 4];
        stream.read_exact(&mut read).await.unwrap();
        assert!(read.starts_with(b"HTTP/1.1 200 OK"));
        assert_eq!(answers.places.available_permits(), HTTP_LARGE_ANSWERS - 1);
        stream.read_to_end(&mut read).await.unwrap();
        assert!(read.len() > SIZE);
        let all = u32::try_from(HTTP_LARGE_ANSWERS).unwrap();
        assert!(timeout(HTTP_PLACE_TIMEOUT, answers.places.acquire_many(all)).await.is_ok());
    }

    #[tokio::test]
    async fn small_answers_need_no_place() {
        let answers = LargeAnswers::default();
        let small = held(&answers, HTTP_LARGE_BYTES - 1).await;
        assert_eq!(answers.places.available_permits(), HTTP_LARGE_ANSWERS);
        assert_eq!(to_bytes(small.into_body(), usize::MAX).await.unwrap().len(), HTTP_LARGE_BYTES - 1);
    }

    #[tokio::test]
    async fn what_is_made_aside_keeps_nobody_waiting() {
        let answers = LargeAnswers::default();
        let (tell, told) = std::sync::mpsc::channel();
        let made = answers.aside(move || told.recv().unwrap());
        // On this thread, while the other waits for it.
        let other = async { tell.send(5).unwrap() };
        assert_eq!(tokio::join!(made, other), (Some(5), ()));
        assert_eq!(answers.aside(|| panic!("on purpose")).await, None::<()>);
        assert_eq!(answers.aside(|| 6).await, Some(6));
    }
}
