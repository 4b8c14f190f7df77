//! Which deliveries are not acked: for the class, to see what happens then.

/// What is said to the broker about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// `basic.ack`
    Accept,
    /// `basic.nack` with requeue: it comes again.
    Requeue,
    /// `basic.reject` without: it is dropped or dead-lettered.
    Discard,
}

/// Every how many deliveries something else than an ack is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plan {
    pub discard_every: Option<u64>,
    pub requeue_every: Option<u64>,
}

impl Plan {
    /// The outcome of delivery `number`, counted from 1. Where both are due, it is discarded.
    pub fn outcome(&self, number: u64) -> Outcome {
        let is_due = |every: Option<u64>| every.is_some_and(|every| number.is_multiple_of(every));
        if is_due(self.discard_every) {
            Outcome::Discard
        } else if is_due(self.requeue_every) {
            Outcome::Requeue
        } else {
            Outcome::Accept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nth_is_counted_from_one() {
        use Outcome::{Accept, Discard, Requeue};
        let outcomes = |plan: Plan| (1..=6).map(|number| plan.outcome(number)).collect::<Vec<_>>();
        assert_eq!(outcomes(Plan::default()), [Accept; 6]);
        assert_eq!(outcomes(Plan { discard_every: Some(1), requeue_every: None }), [Discard; 6]);
        let both = Plan { discard_every: Some(3), requeue_every: Some(2) };
        assert_eq!(outcomes(both), [Accept, Requeue, Discard, Requeue, Accept, Discard]);
    }
}
