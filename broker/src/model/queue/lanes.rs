//! What one dispatch hands out, consumer by consumer.

use std::collections::{VecDeque, vec_deque};

use super::Delivery;

/// The deliveries of one dispatch that go to one consumer, in order.
#[derive(Debug)]
pub struct Lane<C> {
    /// Who gets them.
    pub consumer: C,
    /// What.
    pub deliveries: Vec<Delivery>,
}

/// The lanes of one dispatch, and the room that those of earlier ones took: whoever dispatches again and again
/// allocates nothing.
#[derive(Debug)]
pub struct Lanes<C> {
    lanes: VecDeque<Lane<C>>,
    spares: Vec<Vec<Delivery>>,
}

/// So much room is kept.
const SPARES_MAX: usize = 8;

impl<C> Lanes<C> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// The lanes, in the order in which consumers came first.
    pub fn iter(&self) -> vec_deque::Iter<'_, Lane<C>> {
        self.lanes.iter()
    }

    /// Takes the first lane out.
    pub fn pop_front(&mut self) -> Option<Lane<C>> {
        self.lanes.pop_front()
    }

    /// A delivery behind all others. `is_last` says whether the last lane's consumer gets it.
    pub fn push(&mut self, consumer: C, delivery: Delivery, is_last: impl FnOnce(&C) -> bool) {
        if !self.lanes.back().is_some_and(|lane| is_last(&lane.consumer)) {
            self.open(consumer);
        }
        let at = self.lanes.len() - 1;
        self.lanes[at].deliveries.push(delivery);
    }

    /// Takes back the room of a lane; what is still in it is dropped.
    pub fn keep(&mut self, mut deliveries: Vec<Delivery>) {
        deliveries.clear();
        if self.spares.len() < SPARES_MAX {
            self.spares.push(deliveries);
        }
    }

    /// The lane at a place.
    pub(super) fn get(&self, at: usize) -> Option<&Lane<C>> {
        self.lanes.get(at)
    }

    /// Opens a lane behind all others; says where.
    pub(super) fn open(&mut self, consumer: C) -> usize {
        let deliveries = self.spares.pop().unwrap_or_default();
        self.lanes.push_back(Lane { consumer, deliveries });
        self.lanes.len() - 1
    }

    /// A delivery of an open lane.
    pub(super) fn add(&mut self, at: usize, delivery: Delivery) {
        self.lanes[at].deliveries.push(delivery);
    }
}

impl<C> Default for Lanes<C> {
    fn default() -> Self {
        Self { lanes: VecDeque::new(), spares: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        message::{Arena, MessageHead},
        queue::Position,
    };

    fn delivery(position: u64) -> Delivery {
        let head = MessageHead { route: b"\0\x01q", header: b"h", is_persistent: false };
        let message = Arena::default().message(head, b"body");
        Delivery { position: Position(position), message, delivery_count: 0 }
    }

    #[test]
    fn deliveries_go_to_the_last_lane_or_to_a_new_one() {
        let mut lanes = Lanes::default();
        for (consumer, position) in [(1, 0), (1, 1), (2, 2), (1, 3)] {
            lanes.push(consumer, delivery(position), |last| *last == consumer);
        }
        let sizes: Vec<_> = lanes.iter().map(|lane| (lane.consumer, lane.deliveries.len())).collect();
        assert_eq!(sizes, [(1, 2), (2, 1), (1, 1)]);
    }

    #[test]
    fn room_is_used_again_and_not_kept_without_end() {
        let mut lanes = Lanes::default();
        for position in 0..100 {
            lanes.push('a', delivery(position), |_| true);
        }
        let lane = lanes.pop_front().unwrap();
        let capacity = lane.deliveries.capacity();
        lanes.keep(lane.deliveries);
        let at = lanes.open('b');
        let reused = &lanes.get(at).unwrap().deliveries;
        assert!(reused.is_empty() && reused.capacity() == capacity);
        (0..100).for_each(|_| lanes.keep(Vec::with_capacity(1)));
        assert_eq!(lanes.spares.len(), SPARES_MAX);
    }
}
