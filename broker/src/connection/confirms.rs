//! Publisher confirms of one channel (<https://www.rabbitmq.com/docs/confirms>).

/// A published message's number on its channel since `confirm.select`, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishNumber(pub u64);

/// What was published and what of it was confirmed.
#[derive(Debug, Default)]
pub struct Confirms {
    published: u64,
    confirmed: u64,
}

/// A `basic.ack` to the publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// The last message it is for.
    pub number: PublishNumber,
    /// It is for all before, too.
    pub multiple: bool,
}

impl Confirms {
    /// One more message was published.
    pub fn publish(&mut self) {
        self.published += 1;
    }

    /// All that was published is safe: the confirm that says so, if there is anything to say.
    pub fn confirm_all(&mut self) -> Option<Confirm> {
        let count = self.published - self.confirmed;
        self.confirmed = self.published;
        (count > 0).then_some(Confirm { number: PublishNumber(self.published), multiple: count > 1 })
    }

    /// Messages published and not yet confirmed.
    #[must_use]
    pub fn unconfirmed_count(&self) -> u64 {
        self.published - self.confirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_are_joined_and_sent_once() {
        let mut confirms = Confirms::default();
        assert_eq!(confirms.confirm_all(), None);
        confirms.publish();
        assert_eq!(confirms.confirm_all(), Some(Confirm { number: PublishNumber(1), multiple: false }));
        confirms.publish();
        confirms.publish();
        assert_eq!(confirms.unconfirmed_count(), 2);
        assert_eq!(confirms.confirm_all(), Some(Confirm { number: PublishNumber(3), multiple: true }));
        assert_eq!(confirms.confirm_all(), None);
    }
}
