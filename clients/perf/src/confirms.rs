//! What the broker has not confirmed yet.

use std::collections::VecDeque;

use crate::codec::method::Confirm;

/// The unconfirmed publishes of a channel: counts each confirm once, in whatever order and grouping it comes.
#[derive(Debug)]
pub struct Unconfirmed {
    /// All publishes below this number are confirmed.
    first: u64,
    /// Whether publish `first + n` is confirmed; never begins with `true`.
    confirmed: VecDeque<bool>,
    /// No more than this many can be outstanding.
    window: usize,
}

impl Unconfirmed {
    /// A channel on which at most `window` publishes are unconfirmed at once.
    pub fn new(window: usize) -> Self {
        Self { first: 1, confirmed: VecDeque::with_capacity(window), window }
    }

    /// Notes a confirm; says how many publishes it confirmed that were not before.
    /// `None` when it speaks of a publish that cannot have happened.
    pub fn settle(&mut self, confirm: Confirm) -> Option<u64> {
        let Some(index) = confirm.publish_number.checked_sub(self.first) else { return Some(0) };
        let index = usize::try_from(index).ok().filter(|&index| index < self.window)?;
        if index >= self.confirmed.len() {
            self.confirmed.resize(index + 1, false);
        }
        if confirm.is_multiple {
            let fresh = self.confirmed.drain(..=index).filter(|is_confirmed| !is_confirmed).count();
            self.first = confirm.publish_number + 1;
            self.drop_confirmed();
            return Some(fresh as u64);
        }
        let is_fresh = !std::mem::replace(&mut self.confirmed[index], true);
        self.drop_confirmed();
        Some(u64::from(is_fresh))
    }

    fn drop_confirmed(&mut self) {
        while self.confirmed.front() == Some(&true) {
            self.confirmed.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(unconfirmed: &mut Unconfirmed, publish_number: u64, is_multiple: bool) -> Option<u64> {
        unconfirmed.settle(Confirm { publish_number, is_multiple })
    }

    #[test]
    fn each_publish_counts_once() {
        let mut unconfirmed = Unconfirmed::new(10);
        assert_eq!(settle(&mut unconfirmed, 3, false), Some(1));
        assert_eq!(settle(&mut unconfirmed, 1, false), Some(1));
        assert_eq!(settle(&mut unconfirmed, 1, false), Some(0));
        assert_eq!(settle(&mut unconfirmed, 5, true), Some(3));
        assert_eq!(settle(&mut unconfirmed, 4, true), Some(0));
        assert_eq!(settle(&mut unconfirmed, 7, false), Some(1));
        assert_eq!(settle(&mut unconfirmed, 6, false), Some(1));
        assert_eq!(unconfirmed.first, 8);
    }

    #[test]
    fn a_number_beyond_the_window_is_no_confirm() {
        let mut unconfirmed = Unconfirmed::new(2);
        assert_eq!(settle(&mut unconfirmed, 3, true), None);
        assert_eq!(settle(&mut unconfirmed, 2, true), Some(2));
        assert_eq!(settle(&mut unconfirmed, 4, false), Some(1));
        assert_eq!(settle(&mut unconfirmed, u64::MAX, false), None);
    }
}
