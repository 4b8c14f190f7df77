//! One life of a broker: every invariant, kept and broken. A checker that cannot fail is no checker.

use std::time::Duration;

use super::{
    ChannelIndex, Event, History, Invariant, Judgement, MessageId, Plan, PublisherIndex, PublisherPlan,
    QueueIndex, QueuePlan, Usage,
};

/// The durable queue, and the publisher that goes there alone.
pub(super) const Q: QueueIndex = QueueIndex(0);
pub(super) const P: PublisherIndex = PublisherIndex(0);
/// The queue that is not durable.
pub(super) const MEMORY: QueueIndex = QueueIndex(1);
/// The publisher that goes to both.
pub(super) const BOTH: PublisherIndex = PublisherIndex(1);
/// The publisher that goes nowhere.
const NOWHERE: PublisherIndex = PublisherIndex(2);
/// A channel.
pub(super) const C: ChannelIndex = ChannelIndex(1);

/// A history that is told in few words.
pub(super) struct Story {
    pub(super) history: History,
    now: Duration,
}

impl Story {
    pub(super) fn new() -> Story {
        Story::judged(Judgement { patience: Duration::from_secs(10), count_unconfirmed: false })
    }

    pub(super) fn judged(judgement: Judgement) -> Story {
        let queue = |name, is_durable| QueuePlan { name, is_durable };
        let publisher = |name, queues| PublisherPlan { name, queues };
        let plan = Plan {
            queues: vec![queue("q", true), queue("memory", false)],
            publishers: vec![
                publisher("p", vec![Q]),
                publisher("both", vec![Q, MEMORY]),
                publisher("nowhere", vec![]),
            ],
        };
        Story { history: History::new(plan, judgement), now: Duration::ZERO }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.now += Duration::from_millis(1);
        self.history.observe(self.now, event);
    }

    fn later(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn publish(&mut self, publisher: PublisherIndex, number: u32) {
        let message = MessageId { publisher, number };
        self.tell(Event::Published { message, is_persistent: true, in_transaction: false });
    }

    pub(super) fn publish_transient(&mut self, publisher: PublisherIndex, number: u32) {
        let message = MessageId { publisher, number };
        self.tell(Event::Published { message, is_persistent: false, in_transaction: false });
    }

    pub(super) fn confirm(&mut self, publisher: PublisherIndex, number: u32) {
        self.tell(Event::Confirmed { message: MessageId { publisher, number }, is_ack: true });
    }

    /// Messages 0 to `count`, confirmed.
    pub(super) fn publish_confirmed(&mut self, count: u32) {
        for number in 0..count {
            self.publish(P, number);
            self.confirm(P, number);
        }
    }

    pub(super) fn open(&mut self, channel: ChannelIndex, queue: QueueIndex) {
        self.tell(Event::Opened { channel, queue, is_sole: true, is_no_ack: false });
    }

    pub(super) fn deliver(&mut self, channel: ChannelIndex, message: MessageId, is_redelivered: bool) {
        self.tell(Event::Delivered { channel, message, is_redelivered, is_intact: true });
    }

    pub(super) fn ack(&mut self, channel: ChannelIndex, number: u32) {
        self.tell(Event::AckSent { channel, message: p(number) });
    }

    /// The broker dies and everybody knows.
    pub(super) fn crash(&mut self) {
        self.tell(Event::Killed);
        self.tell(Event::LifeEnded);
    }

    /// The names of the broken promises.
    #[track_caller]
    pub(super) fn expect(&self, invariants: &[Invariant]) {
        let violations = self.history.violations();
        let found: Vec<Invariant> = violations.iter().map(|violation| violation.invariant).collect();
        assert_eq!(found, invariants, "{violations:#?}");
        assert_eq!(self.history.violation_count(), invariants.len() as u64);
    }
}

/// A message of the first publisher.
pub(super) fn p(number: u32) -> MessageId {
    MessageId { publisher: P, number }
}

#[test]
fn a_good_life_has_no_violations() {
    let mut story = Story::new();
    story.tell(Event::FaultOver);
    story.tell(Event::Accepted);
    story.publish_confirmed(3);
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.deliver(C, p(1), false);
    story.ack(C, 0);
    story.tell(Event::RequeueSent { channel: C, message: p(1) });
    story.deliver(C, p(2), false);
    story.deliver(C, p(1), true);
    story.ack(C, 1);
    story.ack(C, 2);
    story.tell(Event::CloseSent { channel: C });
    story.tell(Event::Barrier { channel: C });
    story.tell(Event::AllConfirmed { publisher: P });
    story.tell(Event::Drained);
    story.expect(&[]);
    assert_eq!(story.history.totals().confirmed, 3);
    assert_eq!(story.history.totals().redelivered, 1);
}

#[test]
fn i1_a_confirmed_message_is_missing() {
    let mut story = Story::new();
    story.publish_confirmed(2);
    story.open(C, Q);
    story.deliver(C, p(1), false);
    story.ack(C, 1);
    story.tell(Event::Drained);
    story.expect(&[Invariant::NoLoss]);
    // Once told it is not told again.
    story.tell(Event::Drained);
    story.expect(&[Invariant::NoLoss]);
}

#[test]
fn i1_what_was_delivered_and_not_acked_is_missing() {
    let mut story = Story::new();
    story.publish_confirmed(1);
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.tell(Event::CloseSent { channel: C });
    story.tell(Event::Drained);
    story.expect(&[Invariant::NoLoss]);
}

#[test]
fn i1_every_queue_counts() {
    let mut story = Story::new();
    story.publish(BOTH, 0);
    story.confirm(BOTH, 0);
    story.open(C, Q);
    let message = MessageId { publisher: BOTH, number: 0 };
    story.deliver(C, message, false);
    story.tell(Event::AckSent { channel: C, message });
    story.tell(Event::Drained);
    story.expect(&[Invariant::NoLoss]);
    assert!(story.history.violations()[0].text.contains("memory"));
}

#[test]
fn i1_an_unconfirmed_or_refused_message_may_be_missing() {
    let mut story = Story::new();
    story.publish(P, 0);
    story.publish(P, 1);
    story.tell(Event::Confirmed { message: p(1), is_ack: false });
    story.tell(Event::Drained);
    story.expect(&[]);
}

#[test]
fn i1_a_purge_takes_what_is_there() {
    let mut story = Story::new();
    story.publish_confirmed(3);
    story.tell(Event::PurgeSent { queue: Q });
    story.tell(Event::Purged { queue: Q });
    story.tell(Event::Drained);
    story.expect(&[]);
    story.publish(P, 3);
    story.confirm(P, 3);
    story.tell(Event::Drained);
    story.expect(&[Invariant::NoLoss]);
}

#[test]
fn the_control_finds_what_was_never_confirmed() {
    let judgement = Judgement { patience: Duration::from_secs(10), count_unconfirmed: true };
    let mut story = Story::judged(judgement);
    story.publish(P, 0);
    story.tell(Event::Drained);
    story.expect(&[Invariant::NoLoss]);
    // The confirm that does come is no second verdict.
    story.confirm(P, 0);
    story.expect(&[Invariant::NoLoss]);
}

#[test]
fn i2_a_delivery_was_not_published() {
    let mut story = Story::new();
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.expect(&[Invariant::NoInvention]);
    story.tell(Event::Foreign { channel: C });
    story.expect(&[Invariant::NoInvention; 2]);
    story.tell(Event::Returned { message: MessageId { publisher: NOWHERE, number: 7 } });
    story.expect(&[Invariant::NoInvention; 3]);
}

#[test]
fn i2_a_delivery_is_in_another_queue() {
    let mut story = Story::new();
    story.publish_confirmed(1);
    story.open(C, MEMORY);
    story.deliver(C, p(0), false);
    story.expect(&[Invariant::NoInvention]);
}

#[test]
fn i2_a_delivery_has_another_content() {
    let mut story = Story::new();
    story.publish_confirmed(1);
    story.open(C, Q);
    story.tell(Event::Delivered { channel: C, message: p(0), is_redelivered: false, is_intact: false });
    story.expect(&[Invariant::NoInvention]);
}

#[test]
fn i3_an_acked_message_comes_again() {
    let mut story = Story::new();
    story.publish_confirmed(1);
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.ack(C, 0);
    story.deliver(C, p(0), true);
    story.expect(&[Invariant::NoResurrection]);
}

#[test]
fn i3_a_purged_message_comes_again() {
    let mut story = Story::new();
    story.publish_confirmed(2);
    story.tell(Event::PurgeSent { queue: Q });
    story.tell(Event::Purged { queue: Q });
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.expect(&[Invariant::NoResurrection]);
}

#[test]
fn i3_a_deleted_queue_comes_back_with_its_messages() {
    let mut story = Story::new();
    story.publish_confirmed(1);
    story.tell(Event::DeleteSent { queue: Q });
    story.tell(Event::Deleted { queue: Q });
    story.crash();
    story.open(C, Q);
    story.deliver(C, p(0), true);
    story.expect(&[Invariant::NoResurrection]);
}

#[test]
fn i4_a_second_delivery_says_it_is_the_first() {
    let mut story = Story::new();
    story.publish_confirmed(1);
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.tell(Event::RequeueSent { channel: C, message: p(0) });
    story.deliver(C, p(0), false);
    story.expect(&[Invariant::HonestRedelivered]);
}

#[test]
fn i4_a_message_is_delivered_twice_at_once() {
    let mut story = Story::new();
    story.publish_confirmed(1);
    story.open(C, Q);
    let other = ChannelIndex(2);
    story.tell(Event::Opened { channel: other, queue: Q, is_sole: false, is_no_ack: false });
    story.deliver(C, p(0), false);
    story.deliver(other, p(0), true);
    story.expect(&[Invariant::HonestRedelivered]);
}

#[test]
fn i4_a_closed_channel_gives_back() {
    let mut story = Story::new();
    story.publish_confirmed(1);
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.tell(Event::CloseSent { channel: C });
    let other = ChannelIndex(2);
    story.open(other, Q);
    story.deliver(other, p(0), true);
    story.expect(&[]);
}

#[test]
fn i5_a_later_message_comes_first() {
    let mut story = Story::new();
    story.publish_confirmed(2);
    story.open(C, Q);
    story.deliver(C, p(1), false);
    story.deliver(C, p(0), false);
    story.expect(&[Invariant::Order]);
}

#[test]
fn i5_order_holds_from_channel_to_channel() {
    let mut story = Story::new();
    story.publish_confirmed(2);
    story.open(C, Q);
    story.deliver(C, p(1), false);
    story.tell(Event::CloseSent { channel: C });
    let other = ChannelIndex(2);
    story.open(other, Q);
    story.deliver(other, p(0), false);
    story.expect(&[Invariant::Order]);
}

#[test]
fn i5_several_consumers_see_no_order() {
    let mut story = Story::new();
    story.publish_confirmed(2);
    for (channel, number) in [(C, 1), (ChannelIndex(2), 0)] {
        story.tell(Event::Opened { channel, queue: Q, is_sole: false, is_no_ack: false });
        story.deliver(channel, p(number), false);
    }
    story.expect(&[]);
}

#[test]
fn i6_a_publish_has_two_verdicts_or_none() {
    let mut story = Story::new();
    story.publish(P, 0);
    story.confirm(P, 0);
    story.tell(Event::AllConfirmed { publisher: P });
    story.expect(&[]);
    story.tell(Event::Confirmed { message: p(0), is_ack: false });
    story.expect(&[Invariant::OneVerdict]);
    story.publish(P, 1);
    story.tell(Event::AllConfirmed { publisher: P });
    story.expect(&[Invariant::OneVerdict; 2]);
    story.confirm(P, 9);
    story.expect(&[Invariant::OneVerdict; 3]);
}

#[test]
fn i6_the_return_comes_before_the_ack() {
    let mut story = Story::new();
    let [good, bad] = [0, 1].map(|number| MessageId { publisher: NOWHERE, number });
    story.publish(NOWHERE, 0);
    story.tell(Event::Returned { message: good });
    story.confirm(NOWHERE, 0);
    story.expect(&[]);
    story.publish(NOWHERE, 1);
    story.confirm(NOWHERE, 1);
    story.tell(Event::Returned { message: bad });
    story.expect(&[Invariant::OneVerdict]);
}

#[test]
fn i6_what_has_a_queue_is_not_returned() {
    let mut story = Story::new();
    story.publish(P, 0);
    story.tell(Event::Returned { message: p(0) });
    story.expect(&[Invariant::OneVerdict]);
}

#[test]
fn i8_signs_of_life_come_in_time() {
    let mut story = Story::new();
    story.tell(Event::FaultOver);
    story.later(Duration::from_secs(9));
    story.tell(Event::Accepted);
    story.expect(&[]);
    story.later(Duration::from_secs(2));
    story.publish_confirmed(1);
    story.expect(&[Invariant::Liveness]);
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.expect(&[Invariant::Liveness; 2]);
    story.tell(Event::GaveUp { what: "anything".to_owned() });
    story.expect(&[Invariant::Liveness; 3]);
}

#[test]
fn i9_what_was_taken_is_given_back() {
    let before = Usage { fds: 20, threads: 5, rss_kib: 10_000 };
    let bad = [
        Usage { fds: 100, ..before },
        Usage { threads: 50, ..before },
        Usage { rss_kib: 1_000_000, ..before },
    ];
    let mut story = Story::new();
    story.tell(Event::Used { before, after: Usage { fds: 21, threads: 6, rss_kib: 30_000 } });
    story.expect(&[]);
    for after in bad {
        story.tell(Event::Used { before, after });
    }
    story.expect(&[Invariant::Resources; 3]);
}

#[test]
fn many_violations_are_counted_and_few_kept() {
    let mut story = Story::new();
    story.publish_confirmed(1_000);
    story.tell(Event::Drained);
    assert_eq!(story.history.violation_count(), 1_000);
    assert!(story.history.violations().len() < 100);
    assert_eq!(
        story.history.violations()[0].to_string(),
        "[2.001 s] I1 no loss: p 0 in q: confirmed, not settled, not there"
    );
}
