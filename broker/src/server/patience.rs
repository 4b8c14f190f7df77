//! How long is waited for who reads an HTTP answer: a peer that takes nothing, or a byte now and then, is left.
//!
//! Patience is a stretch of time, [`HTTP_WRITE_TIMEOUT`] at first. Waiting uses it up; what the peer takes gives some of
//! it back, as much as it may take at [`HTTP_WRITE_RATE_MIN`], and so does time in which nobody waits.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::limits::{HTTP_WRITE_RATE_MIN, HTTP_WRITE_TIMEOUT};

/// A stream whose writes fail when its peer takes too little.
#[derive(Debug)]
pub struct PatientStream<S> {
    stream: S,
    patience: Patience,
    /// There while a write waits.
    end: Option<Pin<Box<Sleep>>>,
}

/// What is left of it.
#[derive(Debug)]
struct Patience {
    left: Duration,
    /// When `left` was right.
    at: Instant,
}

impl Patience {
    fn new(now: Instant) -> Self {
        Self { left: HTTP_WRITE_TIMEOUT, at: now }
    }

    /// From now on somebody waits: gives how long at most.
    fn wait(&mut self, now: Instant) -> Instant {
        self.gain(now.saturating_duration_since(self.at));
        self.at = now;
        now + self.left
    }

    /// The peer has taken something, and nobody waits any more.
    fn took(&mut self, byte_count: usize, has_waited: bool, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        match has_waited {
            true => self.left = self.left.saturating_sub(passed),
            false => self.gain(passed),
        }
        self.at = now;
        let nanos = byte_count as u128 * 1_000_000_000 / u128::from(HTTP_WRITE_RATE_MIN);
        self.gain(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
    }

    fn gain(&mut self, time: Duration) {
        self.left = self.left.saturating_add(time).min(HTTP_WRITE_TIMEOUT);
    }
}

impl<S> PatientStream<S> {
    /// As patient as can be.
    pub fn new(stream: S) -> Self {
        Self { stream, patience: Patience::new(Instant::now()), end: None }
    }

    /// What a write gave, or that it has waited for too long.
    fn paced(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            let byte_count = written.as_ref().map_or(0, |byte_count| *byte_count);
            self.patience.took(byte_count, self.end.take().is_some(), Instant::now());
            return Poll::Ready(written);
        }
        let patience = &mut self.patience;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep_until(patience.wait(Instant::now()))));
        ready!(end.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PatientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.paced(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.paced(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PatientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::interval,
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(seconds: u64) -> usize {
        usize::try_from(HTTP_WRITE_RATE_MIN * seconds).unwrap()
    }

    #[tokio::test]
    async fn waiting_uses_patience_up_and_taking_gives_it_back() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        assert_eq!(patience.wait(start), start + HTTP_WRITE_TIMEOUT);
        let now = start + 10 * SECOND;
        patience.took(1, true, now);
        let left = patience.wait(now) - now;
        assert!(left >= HTTP_WRITE_TIMEOUT - 10 * SECOND && left < HTTP_WRITE_TIMEOUT - 9 * SECOND);
        patience.took(rate(4), true, now + 2 * SECOND);
        let now = now + 2 * SECOND;
        let left = patience.wait(now) - now;
        assert!(left >= HTTP_WRITE_TIMEOUT - 8 * SECOND && left < HTTP_WRITE_TIMEOUT - 7 * SECOND);
        // Never more than at first.
        patience.took(rate(1_000), true, now);
        assert_eq!(patience.wait(now), now + HTTP_WRITE_TIMEOUT);
    }

    #[tokio::test]
    async fn idle_time_gives_patience_back() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        patience.wait(start);
        let now = start + HTTP_WRITE_TIMEOUT;
        patience.took(0, true, now);
        assert_eq!(patience.wait(now), now, "none is left");
        patience.took(0, true, now);
        let later = now + 5 * SECOND;
        assert_eq!(patience.wait(later), later + 5 * SECOND);
    }

    /// Writes a lot to a peer that takes so many bytes a second; how long that goes well, and how it ends.
    async fn write_to_reader_of(bytes_a_second: usize) -> (Duration, io::Result<()>) {
        let (near, mut far) = duplex(1_024);
        let start = Instant::now();
        let reader = async {
            let mut clock = interval(SECOND);
            let mut taken = vec![0; bytes_a_second];
            loop {
                clock.tick().await;
                if far.read_exact(&mut taken).await.is_err() {
                    break;
                }
            }
        };
        let mut near = PatientStream::new(near);
        let writer = async {
            let written = near.write_all(&vec![0; rate(60)]).await;
            drop(near);
            (start.elapsed(), written)
        };
        let (_, ended) = tokio::join!(reader, writer);
        ended
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_not_enough() {
        let (after, ended) = write_to_reader_of(1).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(after >= HTTP_WRITE_TIMEOUT && after < HTTP_WRITE_TIMEOUT + 2 * SECOND, "{after:?}");
        let (after, ended) = write_to_reader_of(rate(1) / 2).await;
        assert!(ended.is_err() && after < 2 * HTTP_WRITE_TIMEOUT + 2 * SECOND, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_keeps_the_pace_gets_everything() {
        let (after, ended) = write_to_reader_of(rate(1) + 1).await;
        assert!(ended.is_ok(), "{ended:?} after {after:?}");
        assert!(after > HTTP_WRITE_TIMEOUT, "{after:?}");
    }
}
