//! What happens between two locks, step by step: the moments that a single connection never sees.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use amq_protocol::types::{AMQPValue, FieldTable};

use super::{
    Vhost,
    buffer::Buffer,
    deliveries::{ChannelDeliveries, Origin, SettleRun},
    model_tests::frames::read_all,
    outbox::{Outbox, Wake},
    queue::{ConnectionId, Got, SharedQueue},
    subscription::{Prefetch, Subscription, SubscriptionParts},
    transaction::{HeldMessage, HeldRun},
    upkeep::{Surroundings, Upkeep},
};
use crate::{
    limits::OUTBOX_BYTES_MAX,
    model::{
        arguments::Arguments,
        binding::{Binding, Destination},
        definition::{Change, QueueDefinition, VhostDefinition},
        exchange::{Exchange, ExchangeKind},
        message::{Arena, Message, MessageHead},
        name::Name,
        queue::{ConsumerId, Credit, Outcome, Position, QueueCounts, QueueOptions},
        queue_id::QueueId,
    },
    storage::{
        Completion, Loaded, LogError, MetadataStore, StoreError,
        log::{RecoveredQueue, Synced},
        queue_log::{LogTarget, LogTransaction, MemoryLog, QueueLog, QueueRecord},
        record::Lsn,
    },
    vhost::test_clock::TestClock,
    wire::{content::encode_header, frame::ChannelNumber, properties::Properties},
};

#[derive(Clone, Debug, Default)]
struct Flag(Arc<AtomicBool>);

impl Wake for Flag {
    fn wake(&self) {
        self.0.store(true, Relaxed);
    }
}

impl Flag {
    fn take(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

/// An outbox with channels 1 and 2.
fn outbox() -> (Arc<Outbox>, Flag) {
    let flag = Flag::default();
    let outbox = Arc::new(Outbox::new(Arc::new(flag.clone())));
    outbox.set_frame_max(131_072);
    for channel in [1, 2] {
        outbox.open_channel(ChannelNumber(channel), ChannelDeliveries::new(Arc::default(), Arc::default()));
    }
    (outbox, flag)
}

fn queue(id: u64) -> Arc<SharedQueue> {
    let name = Name::parse(&format!("q{id}")).unwrap();
    let options = QueueOptions::parse(&name, false, false, false, Arguments::default()).unwrap();
    SharedQueue::new(QueueId(id), name, options, None, Surroundings::of_log(Arc::new(MemoryLog)))
}

/// A consumer of this queue on the channel with the queue's number.
fn consume(queue: &Arc<SharedQueue>, outbox: &Arc<Outbox>) -> Arc<Subscription> {
    consume_as(queue.id.0, queue, outbox)
}

fn consume_as(id: u64, queue: &Arc<SharedQueue>, outbox: &Arc<Outbox>) -> Arc<Subscription> {
    let subscription = Arc::new(Subscription::from(SubscriptionParts {
        id: ConsumerId(id),
        channel: ChannelNumber(u16::try_from(queue.id.0).unwrap()),
        tag: Name::literal("c"),
        queue: Arc::clone(queue),
        outbox: Arc::clone(outbox),
        is_no_ack: false,
        is_exclusive: false,
        is_cancel_notified: true,
        arguments: Arguments::default(),
        prefetch_count: 0,
        channel_prefetch: Arc::<Prefetch>::default(),
    }));
    queue.consume(&subscription, |_| {}).unwrap();
    subscription
}

fn message(body_size: usize) -> Message {
    let head = MessageHead { route: b"\0\x01q", header: &[0; 14], is_persistent: false };
    Arena::default().message(head, &vec![0; body_size])
}

fn publish(queue: &SharedQueue, body_size: usize) {
    queue.publish(&mut vec![message(body_size)]).unwrap();
}

fn fill(outbox: &Outbox) {
    outbox.write(|bytes| bytes.resize(bytes.len() + OUTBOX_BYTES_MAX, 0));
}

/// The peer reads everything; gives who waited for that.
fn drain(outbox: &Outbox) -> Vec<u64> {
    let mut buffer = Buffer::default();
    outbox.swap(&mut buffer);
    outbox.sent(buffer.cost()).iter().map(|subscription| subscription.id.0).collect()
}

#[test]
fn a_consumer_waits_for_room_once_however_often_it_asks() {
    let (outbox, _) = outbox();
    let queue = queue(1);
    let consumer = consume(&queue, &outbox);
    fill(&outbox);
    publish(&queue, 1);
    for _ in 0..3 {
        queue.resume(consumer.id);
    }
    assert_eq!(drain(&outbox), [1]);
    fill(&outbox);
    queue.resume(consumer.id);
    assert_eq!(drain(&outbox), [1], "it may wait again");
}

#[test]
fn who_is_gone_does_not_wait_for_room() {
    let (outbox, _) = outbox();
    let (one, two) = (queue(1), queue(2));
    let (cancelled, of_closed_channel) = (consume(&one, &outbox), consume(&two, &outbox));
    fill(&outbox);
    publish(&one, 1);
    publish(&two, 1);
    assert!(!one.cancel(cancelled.id));
    outbox.remove_subscription(cancelled.channel, "c").unwrap();
    let _ = outbox.close_channel(of_closed_channel.channel);
    two.resume(of_closed_channel.id);
    assert!(!of_closed_channel.reserve(1));
    assert_eq!(drain(&outbox), [0; 0]);
}

#[test]
fn room_that_a_vanished_delivery_leaves_wakes_who_waits_for_it() {
    let (outbox, flag) = outbox();
    let (one, two) = (queue(1), queue(2));
    let (reserving, _) = (consume(&one, &outbox), consume(&two, &outbox));
    assert!(reserving.reserve(OUTBOX_BYTES_MAX));
    publish(&two, 1);
    assert_eq!(two.counts().ready, 1, "no room");
    flag.take();
    outbox.release(OUTBOX_BYTES_MAX);
    assert!(flag.take(), "nothing was sent, so the connection's task must be told");
    for subscription in outbox.take_resumable() {
        subscription.queue.resume(subscription.id);
    }
    assert_eq!(two.counts().ready, 0);
}

#[test]
fn a_task_that_is_up_is_not_woken_until_it_has_found_nothing_to_send() {
    let (outbox, flag) = outbox();
    let write = || outbox.write(|bytes| bytes.push(0));
    write();
    assert!(flag.take());
    drain(&outbox);
    outbox.attend();
    write();
    drain(&outbox);
    write();
    assert!(!flag.take(), "it found something and will look again");
    outbox.wake();
    assert!(flag.take(), "other reasons wake");
    drain(&outbox);
    drain(&outbox);
    write();
    assert!(flag.take());
}

#[test]
fn bodies_of_replies_count_as_replies() {
    let (outbox, _) = outbox();
    outbox.write_content(ChannelNumber(1), &message(OUTBOX_BYTES_MAX + 1), |_| {});
    assert!(outbox.is_full_of_replies());
    drain(&outbox);
    assert_eq!((outbox.is_full_of_replies(), outbox.unsent_bytes()), (false, 0));
}

#[test]
fn a_deleted_queue_holds_no_message() {
    let (outbox, _) = outbox();
    let queue = queue(1);
    publish(&queue, 1);
    publish(&queue, 1);
    assert_eq!(queue.get(&outbox, ChannelNumber(1), false), Ok(Got::Message));
    let (ready_count, _) = queue.delete(false, false).unwrap();
    assert_eq!((ready_count, queue.counts()), (1, QueueCounts::default()));
}

/// Remembers how many changes it was given.
#[derive(Debug, Default)]
pub(super) struct CountingStore(AtomicUsize, AtomicU64);

impl MetadataStore for CountingStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    fn submit(&self, changes: Vec<Change>, done: Completion) {
        self.0.fetch_add(changes.len(), Relaxed);
        done.complete(Ok(()));
    }

    fn next_queue_id(&self) -> Result<u64, StoreError> {
        Ok(self.1.fetch_add(1, Relaxed))
    }

    fn close(&self) {}
}

fn vhost() -> (Vhost, Arc<CountingStore>) {
    vhost_with(Arc::new(MemoryLog))
}

fn vhost_with(log: Arc<dyn QueueLog>) -> (Vhost, Arc<CountingStore>) {
    let store = Arc::new(CountingStore::default());
    let definition = VhostDefinition::new(Name::literal("v"));
    let upkeep = Arc::new(Upkeep::new(Arc::new(TestClock::default())));
    (Vhost::new(definition, log, Arc::clone(&store) as _, upkeep), store)
}

fn exchange(name: &'static str) -> Exchange {
    Exchange {
        name: Name::literal(name),
        kind: ExchangeKind::Fanout,
        is_durable: true,
        is_auto_delete: false,
        is_internal: false,
        arguments: Arguments::default(),
    }
}

fn queue_definition(id: u64, name: &'static str) -> QueueDefinition {
    QueueDefinition {
        id,
        name: Name::literal(name),
        is_durable: true,
        is_exclusive: false,
        is_auto_delete: false,
        arguments: Arguments::default(),
    }
}

#[test]
fn what_is_done_to_a_vhost_that_ended_is_not_stored() {
    let (vhost, store) = vhost();
    vhost.declare_exchange(exchange("before")).unwrap();
    assert_eq!(store.0.load(Relaxed), 1);
    vhost.end();
    let _ = vhost.declare_exchange(exchange("after"));
    let _ = vhost.delete_exchange(&Name::literal("before"), false);
    assert_eq!(store.0.load(Relaxed), 1);
}

#[test]
fn only_changes_outdate_routes() {
    let (vhost, _) = vhost();
    let binding = |binding_key| Binding {
        source: Name::literal("x"),
        destination: Destination::Queue(Name::literal("q")),
        binding_key: Name::literal(binding_key),
        arguments: Arguments::default(),
    };
    let outdates = |change: &dyn Fn()| {
        let before = vhost.epoch();
        change();
        vhost.epoch() > before
    };
    let declare = || drop(vhost.declare_exchange(exchange("x")).unwrap());
    let bind = || drop(vhost.bind(binding("k")).unwrap());
    let unbind = || drop(vhost.unbind(&binding("k")).unwrap());
    let delete_queue = || drop(vhost.delete_queue("q", None, false, false).unwrap());
    let delete_exchange = || drop(vhost.delete_exchange(&Name::literal("x"), false).unwrap());
    assert!(outdates(&|| assert!(vhost.restore_queue(queue_definition(1, "q")))));
    for change in [&declare as &dyn Fn(), &bind, &unbind, &delete_queue, &delete_exchange] {
        assert!(outdates(change));
        assert!(!outdates(change), "nothing changed the second time");
    }
}

#[test]
fn a_restored_queue_takes_nobody_s_place() {
    let (vhost, _) = vhost();
    assert!(vhost.restore_queue(queue_definition(1, "q")));
    assert!(!vhost.restore_queue(queue_definition(2, "q")));
    assert!(!vhost.restore_queue(queue_definition(1, "other")));
    assert_eq!(vhost.queues().iter().map(|queue| queue.id).collect::<Vec<_>>(), [QueueId(1)]);
}

#[test]
fn headers_take_room_as_bodies_do() {
    let (outbox, _) = outbox();
    let queue = queue(1);
    consume(&queue, &outbox);
    let header = vec![0; 100_000];
    let head = MessageHead { route: b"\0\x01q", header: &header, is_persistent: false };
    queue.publish(&mut (0..20).map(|_| Arena::default().message(head, b"")).collect()).unwrap();
    let counts = queue.counts();
    assert_eq!((counts.ready, counts.unsettled), (10, 10));
    assert!((1_000_000..=OUTBOX_BYTES_MAX).contains(&outbox.unsent_bytes()));
    assert_eq!(drain(&outbox), [1]);
    assert_eq!(outbox.unsent_bytes(), 0);
}

/// Remembers what was recorded.
#[derive(Debug, Default)]
struct Records(Mutex<Vec<String>>);

impl QueueLog for Records {
    fn append(&self, targets: &mut [&mut dyn LogTarget], message: Message) -> Result<Option<Lsn>, LogError> {
        MemoryLog.append(targets, message)
    }

    fn append_transaction(
        &self,
        targets: &mut [&mut dyn LogTarget],
        transaction: LogTransaction<'_>,
    ) -> Result<Option<Lsn>, LogError> {
        MemoryLog.append_transaction(targets, transaction)
    }

    fn record(&self, _queue: QueueId, record: QueueRecord<'_>) -> Option<Lsn> {
        self.0.lock().unwrap().push(format!("{record:?}"));
        Some(self.synced_up_to())
    }

    fn synced_up_to(&self) -> Lsn {
        MemoryLog.synced_up_to()
    }

    fn when_synced(&self, lsn: Lsn, synced: Synced) {
        MemoryLog.when_synced(lsn, synced);
    }

    fn is_over_limit(&self) -> bool {
        false
    }

    fn failure(&self) -> Option<LogError> {
        None
    }
}

#[test]
fn only_what_was_unsettled_and_logged_is_recorded_as_settled() {
    let (log, (outbox, _)) = (Arc::new(Records::default()), outbox());
    let name = Name::literal("q1");
    let options = QueueOptions::parse(&name, true, false, false, Arguments::default()).unwrap();
    let queue =
        SharedQueue::new(QueueId(1), name, options, None, Surroundings::of_log(Arc::clone(&log) as _));
    consume(&queue, &outbox);
    let of = |is_persistent| {
        let head = MessageHead { route: b"\0\x01q", header: b"h", is_persistent };
        Arena::default().message(head, b"1")
    };
    queue.publish(&mut vec![of(true), of(true), of(false)]).unwrap();
    let settle = |outcome, positions: [u64; 2]| {
        let positions = positions.map(Position).to_vec();
        queue.settle(&mut SettleRun { origin: Origin::Get(Arc::clone(&queue)), outcome, positions });
    };
    settle(Outcome::Accept, [1, 7]);
    settle(Outcome::Accept, [1, 7]);
    settle(Outcome::Accept, [2, 2]);
    settle(Outcome::Requeue, [0, 1]);
    assert_eq!(
        *log.0.lock().unwrap(),
        [
            "Delivered { up_to: Position(1024) }",
            "Settle { positions: [Position(1)], bytes: 1 }",
            "Requeue([Position(0)])"
        ]
    );
}

#[test]
fn what_may_have_been_handed_out_when_records_are_lost_is_recorded_for_the_next_start() {
    let log = Arc::new(Records::default());
    let recovered = |delivered_up_to| RecoveredQueue {
        count: 1,
        bytes: 1,
        newest: Vec::new(),
        next_position: Position(7),
        delivered_up_to: Position(delivered_up_to),
        is_timed: false,
    };
    let restore = |recovered, has_loss| {
        let name = Name::literal("q1");
        let options = QueueOptions::parse(&name, true, false, false, Arguments::default()).unwrap();
        let queue =
            SharedQueue::new(QueueId(1), name, options, None, Surroundings::of_log(Arc::clone(&log) as _));
        queue.restore(recovered, has_loss);
        log.0.lock().unwrap().drain(..).collect::<Vec<_>>()
    };
    assert_eq!(restore(recovered(3), true), ["Delivered { up_to: Position(7) }"]);
    assert_eq!(restore(recovered(7), true), [""; 0]);
    assert_eq!(restore(recovered(3), false), [""; 0]);
    assert_eq!(restore(RecoveredQueue { count: 0, bytes: 0, ..recovered(3) }, true), [""; 0]);
}

#[test]
fn a_queue_is_marked_when_somebody_wants_its_messages() {
    let (log, (outbox, _)) = (Arc::new(Records::default()), outbox());
    let name = Name::literal("q1");
    let options = QueueOptions::parse(&name, true, false, false, Arguments::default()).unwrap();
    let queue =
        SharedQueue::new(QueueId(1), name, options, None, Surroundings::of_log(Arc::clone(&log) as _));
    let persistent = || {
        let head = MessageHead { route: b"\0\x01q", header: b"h", is_persistent: true };
        Arena::default().message(head, b"1")
    };
    queue.publish(&mut (0..2_000).map(|_| persistent()).collect()).unwrap();
    let is_mark = |line: &String| line.starts_with("Delivered");
    let marks = || log.0.lock().unwrap().drain(..).filter(is_mark).collect::<Vec<_>>();
    assert_eq!(marks(), [""; 0]);
    let get = || assert_eq!(queue.get(&outbox, ChannelNumber(1), false), Ok(Got::Message));
    get();
    assert_eq!(marks(), ["Delivered { up_to: Position(1024) }"]);
    (0..766).for_each(|_| get());
    assert_eq!(marks(), [""; 0]);
    get();
    assert_eq!(marks(), ["Delivered { up_to: Position(1792) }"]);
    // A stop takes back what was not needed, but not while somebody has something.
    queue.end_marks();
    assert_eq!(marks(), [""; 0]);
    let (origin, positions) = (Origin::Get(Arc::clone(&queue)), (0..768).map(Position).collect());
    queue.settle(&mut SettleRun { origin, outcome: Outcome::Requeue, positions });
    queue.end_marks();
    assert_eq!(marks(), ["Delivered { up_to: Position(0) }"]);
    // Nobody will have what is purged, nor what comes after it yet.
    queue.purge();
    queue.publish(&mut vec![persistent()]).unwrap();
    assert_eq!(marks(), [""; 0]);
}

/// With priorities any of them may be handed out first, before anything is synced.
#[test]
fn all_of_a_transaction_is_marked_in_a_priority_queue() {
    let log = Arc::new(Records::default());
    let (vhost, _) = vhost_with(Arc::clone(&log) as _);
    let mut table = FieldTable::default();
    table.insert("x-max-priority".into(), AMQPValue::LongInt(1));
    let options = QueueOptions::parse("q", true, false, false, table.into()).unwrap();
    vhost.declare_queue(Name::literal("q"), options, ConnectionId(1)).unwrap();
    let held = |_| {
        let head = MessageHead { route: b"\0\x01q", header: b"h", is_persistent: true };
        HeldMessage { message: Arena::default().message(head, b"1"), is_mandatory: false }
    };
    let route = vhost.route("", &[b"q"], None).unwrap();
    let run = HeldRun { route, messages: (0..1_500).map(held).collect() };
    vhost.commit(vec![run], &mut Vec::new()).unwrap();
    let marks = ["Delivered { up_to: Position(1024) }", "Delivered { up_to: Position(2048) }"];
    assert_eq!(log.0.lock().unwrap().drain(..).collect::<Vec<_>>(), marks);
}

/// AMQP 0-9-1 section 4.7: a channel sees a queue's messages in order, whichever of its consumers gets them.
#[test]
fn consumers_of_one_channel_get_priorities_in_order() {
    let name = Name::literal("q1");
    let mut table = FieldTable::default();
    table.insert("x-max-priority".into(), AMQPValue::LongInt(9));
    let options = QueueOptions::parse(&name, false, false, false, table.into()).unwrap();
    let surroundings = Surroundings::of_log(Arc::new(MemoryLog));
    let queue = SharedQueue::new(QueueId(1), name, options, None, surroundings);
    let (outbox, _) = outbox();
    let _consumers = [consume_as(1, &queue, &outbox), consume_as(2, &queue, &outbox)];
    let of_priority = |priority: u8| {
        let mut header = Vec::new();
        encode_header(&mut header, 1, &Properties { priority: Some(priority), ..Properties::default() });
        let head = MessageHead { route: b"\x01x\x03key", header: &header, is_persistent: false };
        Arena::default().message(head, &[priority])
    };
    queue.publish(&mut [1, 3, 2, 3, 0, 9].map(of_priority).into()).unwrap();
    let order: Vec<u8> = read_all(&outbox).iter().map(|arrival| arrival.body[0]).collect();
    assert_eq!(order, [9, 3, 3, 2, 1, 0]);
}
