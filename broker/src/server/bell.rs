//! How a connection's task learns that somebody else has something for it.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering::AcqRel},
    task::{Context, Poll},
};

use atomic_waker::AtomicWaker;

use crate::vhost::outbox::Wake;

/// Rung by anybody, heard by one task: once, however often it was rung meanwhile.
#[derive(Debug, Default)]
pub(super) struct Bell {
    is_rung: AtomicBool,
    listener: AtomicWaker,
}

impl Bell {
    /// Until it is rung.
    pub(super) async fn rung(&self) {
        poll_fn(|context| self.poll_rung(context)).await;
    }

    /// Whether it was rung since this was last true. If not, the task is woken when it is.
    pub(super) fn poll_rung(&self, context: &Context<'_>) -> Poll<()> {
        if self.take() {
            return Poll::Ready(());
        }
        self.listener.register(context.waker());
        // It may have been rung before anybody listened.
        if self.take() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn take(&self) -> bool {
        self.is_rung.swap(false, AcqRel)
    }
}

impl Wake for Bell {
    fn wake(&self) {
        if !self.is_rung.swap(true, AcqRel) {
            self.listener.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        task::Waker,
    };

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, AcqRel);
        }
    }

    #[test]
    fn is_heard_once_however_often_it_was_rung() {
        let bell = Bell::default();
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        let context = Context::from_waker(&waker);
        bell.wake();
        bell.wake();
        assert_eq!(bell.poll_rung(&context), Poll::Ready(()), "rung before anybody listened");
        assert_eq!(bell.poll_rung(&context), Poll::Pending);
        bell.wake();
        bell.wake();
        assert_eq!(task.0.load(std::sync::atomic::Ordering::Acquire), 1);
        assert_eq!(bell.poll_rung(&context), Poll::Ready(()));
        assert_eq!(bell.poll_rung(&context), Poll::Pending);
    }
}
