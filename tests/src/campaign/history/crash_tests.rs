//! Several lives of a broker: what a crash leaves open, and what it does not.

use super::{
    ChannelIndex, Event, Invariant, MessageId,
    tests::{BOTH, C, MEMORY, P, Q, Story, p},
};

/// A channel of the next life.
const NEXT: ChannelIndex = ChannelIndex(100);

/// Acks the message on a new channel and drains.
fn drain_with(story: &mut Story, numbers: &[u32]) {
    story.open(NEXT, Q);
    for number in numbers {
        story.deliver(NEXT, p(*number), true);
        story.ack(NEXT, *number);
    }
    story.tell(Event::CloseSent { channel: NEXT });
    story.tell(Event::Barrier { channel: NEXT });
    story.tell(Event::Drained);
}

#[test]
fn i1_a_crash_loses_what_was_confirmed() {
    let mut story = Story::new();
    story.publish_confirmed(3);
    story.crash();
    drain_with(&mut story, &[0, 2]);
    story.expect(&[Invariant::NoLoss]);
}

#[test]
fn i1_counting_finds_the_loss_at_once() {
    let mut story = Story::new();
    story.publish_confirmed(3);
    story.publish(P, 3);
    story.crash();
    story.tell(Event::Counted { queue: Q, ready: 3 });
    story.tell(Event::Counted { queue: Q, ready: 4 });
    story.expect(&[]);
    story.tell(Event::Counted { queue: Q, ready: 2 });
    story.expect(&[Invariant::NoLoss]);
    story.tell(Event::Counted { queue: Q, ready: 5 });
    story.expect(&[Invariant::NoLoss, Invariant::NoResurrection]);
}

#[test]
fn i1_what_was_transient_may_be_lost() {
    let mut story = Story::new();
    story.publish_transient(P, 0);
    story.confirm(P, 0);
    story.publish(BOTH, 0);
    story.confirm(BOTH, 0);
    story.crash();
    story.tell(Event::Counted { queue: MEMORY, ready: 0 });
    let message = MessageId { publisher: BOTH, number: 0 };
    story.open(C, Q);
    story.deliver(C, message, false);
    story.tell(Event::AckSent { channel: C, message });
    story.tell(Event::Drained);
    story.expect(&[]);
}

#[test]
fn i1_an_ack_before_the_crash_may_count_or_not() {
    for comes_back in [false, true] {
        let mut story = Story::new();
        story.publish_confirmed(1);
        story.open(C, Q);
        story.deliver(C, p(0), false);
        story.ack(C, 0);
        story.crash();
        drain_with(&mut story, if comes_back { &[0] } else { &[] });
        story.expect(&[]);
    }
}

#[test]
fn i1_what_came_back_must_stay() {
    let mut story = Story::new();
    story.publish_confirmed(1);
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.ack(C, 0);
    story.crash();
    story.open(NEXT, Q);
    story.deliver(NEXT, p(0), true);
    story.crash();
    story.tell(Event::Drained);
    story.expect(&[Invariant::NoLoss]);
}

#[test]
fn i1_an_ack_to_a_dead_broker_is_none() {
    let mut story = Story::new();
    story.publish_confirmed(1);
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.tell(Event::Killed);
    story.ack(C, 0);
    story.tell(Event::Barrier { channel: C });
    story.tell(Event::LifeEnded);
    story.tell(Event::Drained);
    story.expect(&[Invariant::NoLoss]);
}

#[test]
fn i1_without_acks_only_a_run_may_be_lost() {
    for (lost_in_between, violations) in [(false, vec![]), (true, vec![Invariant::NoLoss])] {
        let mut story = Story::new();
        story.publish_confirmed(6);
        story.tell(Event::Opened { channel: C, queue: Q, is_sole: true, is_no_ack: true });
        story.deliver(C, p(0), false);
        story.crash();
        // 1 and 2 were on their way.
        drain_with(&mut story, if lost_in_between { &[3, 5] } else { &[3, 4, 5] });
        story.expect(&violations);
    }
}

#[test]
fn i3_an_ack_before_a_barrier_is_for_good() {
    let mut story = Story::new();
    story.publish_confirmed(2);
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.deliver(C, p(1), false);
    story.ack(C, 0);
    story.tell(Event::Barrier { channel: C });
    story.ack(C, 1);
    story.crash();
    story.open(NEXT, Q);
    story.deliver(NEXT, p(1), true);
    story.expect(&[]);
    story.deliver(NEXT, p(0), true);
    story.expect(&[Invariant::NoResurrection]);
}

#[test]
fn i3_what_was_not_there_stays_away() {
    let mut story = Story::new();
    story.publish(P, 0);
    story.crash();
    drain_with(&mut story, &[]);
    story.crash();
    story.open(C, Q);
    story.deliver(C, p(0), true);
    story.expect(&[Invariant::NoResurrection]);
}

#[test]
fn i3_a_transient_message_does_not_outlive_a_crash() {
    let mut story = Story::new();
    story.publish_transient(P, 0);
    story.crash();
    story.open(C, Q);
    story.deliver(C, p(0), true);
    story.expect(&[Invariant::NoResurrection]);
}

#[test]
fn i3_a_purge_is_for_good_once_something_later_is_confirmed() {
    for (is_confirmed, violations) in [(false, vec![]), (true, vec![Invariant::NoResurrection])] {
        let mut story = Story::new();
        story.publish_confirmed(1);
        story.tell(Event::PurgeSent { queue: Q });
        story.tell(Event::Purged { queue: Q });
        story.publish(P, 1);
        if is_confirmed {
            story.confirm(P, 1);
        }
        story.crash();
        story.open(C, Q);
        story.deliver(C, p(0), true);
        story.expect(&violations);
    }
}

#[test]
fn a_purge_at_the_crash_may_have_happened_or_not() {
    for numbers in [&[0, 1][..], &[]] {
        let mut story = Story::new();
        story.publish_confirmed(2);
        story.tell(Event::PurgeSent { queue: Q });
        story.crash();
        drain_with(&mut story, numbers);
        story.expect(&[]);
    }
}

#[test]
fn i4_redelivered_is_honest_over_crashes() {
    for is_redelivered in [true, false] {
        let mut story = Story::new();
        story.publish_confirmed(1);
        story.open(C, Q);
        story.deliver(C, p(0), false);
        story.crash();
        story.open(NEXT, Q);
        story.deliver(NEXT, p(0), is_redelivered);
        story.expect(if is_redelivered { &[] } else { &[Invariant::HonestRedelivered] });
    }
}

#[test]
fn i5_order_outlives_crashes() {
    let mut story = Story::new();
    story.publish_confirmed(2);
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.deliver(C, p(1), false);
    story.crash();
    story.open(NEXT, Q);
    story.deliver(NEXT, p(1), true);
    story.deliver(NEXT, p(0), true);
    story.expect(&[Invariant::Order]);
}

#[test]
fn i7_definitions_outlive_crashes() {
    let mut story = Story::new();
    let ask = |entity: &str, is_durable| Event::EntitySent { entity: entity.to_owned(), is_durable };
    let done = |entity: &str, is_there| Event::EntityDone { entity: entity.to_owned(), is_there };
    for entity in ["there", "gone"] {
        story.tell(ask(entity, true));
        story.tell(done(entity, true));
    }
    story.tell(ask("memory", false));
    story.tell(done("memory", true));
    story.tell(ask("gone", true));
    story.tell(done("gone", false));
    story.tell(ask("open", true));
    story.crash();
    let see = |entities: &[&str]| {
        let entities = entities.iter().map(|entity| (*entity).to_owned()).collect();
        Event::EntitiesSeen { entities }
    };
    story.tell(see(&["there", "open", "of somebody else"]));
    story.expect(&[]);
    // What was open is known now.
    story.tell(see(&["there"]));
    story.expect(&[Invariant::Definitions]);
    story.tell(see(&["open"]));
    story.expect(&[Invariant::Definitions; 2]);
    story.tell(see(&["there", "open", "gone", "memory"]));
    story.expect(&[Invariant::Definitions; 4]);
    story.tell(Event::Dangling { entity: "binding".to_owned() });
    story.expect(&[Invariant::Definitions; 5]);
}

/// A transaction that publishes two messages and acks one; it is committed or not, and the broker crashes.
fn transaction(is_sent: bool, is_committed: bool) -> Story {
    let mut story = Story::new();
    story.publish_confirmed(1);
    story.open(C, Q);
    story.deliver(C, p(0), false);
    for number in [1, 2] {
        let message = p(number);
        story.tell(Event::Published { message, is_persistent: true, in_transaction: true });
    }
    if is_sent {
        story.tell(Event::CommitSent { publishes: vec![p(1), p(2)], channel: C, acks: vec![p(0)] });
    }
    if is_committed {
        story.tell(Event::Committed { publisher: P });
    }
    story.crash();
    story
}

#[test]
fn i10_a_committed_transaction_is_whole() {
    let mut story = transaction(true, true);
    drain_with(&mut story, &[1, 2]);
    story.expect(&[]);
    let mut story = transaction(true, true);
    drain_with(&mut story, &[1]);
    story.expect(&[Invariant::Transactions]);
    let mut story = transaction(true, true);
    drain_with(&mut story, &[0, 1, 2]);
    story.expect(&[Invariant::NoResurrection]);
}

#[test]
fn i10_an_uncommitted_transaction_is_nothing() {
    let mut story = transaction(false, false);
    drain_with(&mut story, &[0]);
    story.expect(&[]);
    let mut story = transaction(false, false);
    drain_with(&mut story, &[0, 1]);
    story.expect(&[Invariant::Transactions]);
    let mut story = transaction(false, false);
    drain_with(&mut story, &[]);
    story.expect(&[Invariant::NoLoss]);
}

/// The first commit's answer came when the broker was about to be killed, and was not told.
#[test]
fn i10_a_commit_that_another_follows_is_whole_or_nothing() {
    for (numbers, is_good) in [(&[1, 2, 3][..], true), (&[1, 2], true), (&[0], true), (&[0, 2], false)] {
        let mut story = Story::new();
        story.publish_confirmed(1);
        story.open(C, Q);
        story.deliver(C, p(0), false);
        for (publishes, acks) in [(vec![p(1), p(2)], vec![p(0)]), (vec![p(3)], vec![])] {
            for &message in &publishes {
                story.tell(Event::Published { message, is_persistent: true, in_transaction: true });
            }
            story.tell(Event::CommitSent { publishes, channel: C, acks });
        }
        story.crash();
        drain_with(&mut story, numbers);
        story.expect(if is_good { &[] } else { &[Invariant::Transactions] });
    }
}

#[test]
fn i10_a_transaction_at_the_crash_is_whole_or_nothing() {
    for (numbers, is_good) in
        [(&[1, 2][..], true), (&[0], true), (&[1], false), (&[0, 1, 2], false), (&[], false)]
    {
        let mut story = transaction(true, false);
        drain_with(&mut story, numbers);
        story.expect(if is_good { &[] } else { &[Invariant::Transactions] });
    }
}

#[test]
fn i10_what_was_taken_before_the_crash_says_nothing() {
    // Its publishes were delivered before it was on disk, one of them was acked; then all of it is gone.
    let mut story = Story::new();
    story.open(C, Q);
    for number in [0, 1] {
        let message = p(number);
        story.tell(Event::Published { message, is_persistent: true, in_transaction: true });
    }
    story.tell(Event::CommitSent { publishes: vec![p(0), p(1)], channel: C, acks: vec![] });
    story.deliver(C, p(0), false);
    story.deliver(C, p(1), false);
    story.ack(C, 0);
    story.crash();
    story.tell(Event::Drained);
    story.expect(&[]);
}

#[test]
fn i10_a_transaction_is_invisible_before_its_commit() {
    let mut story = Story::new();
    story.tell(Event::Published { message: p(0), is_persistent: true, in_transaction: true });
    story.open(C, Q);
    story.deliver(C, p(0), false);
    story.expect(&[Invariant::Transactions]);
}
