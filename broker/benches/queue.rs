//! What the core of a queue costs: a message in, its turn, out again and settled.
#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use liebre::model::{
    message::{Arena, Message, MessageHead},
    queue::{ConsumerId, Credit, Lanes, Member, Outcome, Queue},
    timestamp::Timestamp,
};

/// Messages in one go.
const BATCH: u64 = 100;

/// A consumer that always has credit.
#[derive(Clone, Copy)]
struct Taker(u64);

impl Credit for Taker {
    fn reserve(&self, _size: usize) -> bool {
        true
    }

    fn consumer_id(&self) -> ConsumerId {
        ConsumerId(self.0)
    }
}

fn queue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append, dispatch, settle");
    group.throughput(Throughput::Elements(BATCH));
    for consumers in [1, 2, 100] {
        for is_no_ack in [true, false] {
            let kind = if is_no_ack { "no-ack" } else { "acked" };
            group.bench_function(format!("{consumers} consumers, {kind}"), |bencher| {
                let mut queue = Queue::new();
                (0..consumers).for_each(|id| queue.add_consumer(Member::new(Taker(id), is_no_ack, false)));
                let (mut lanes, message) = (Lanes::default(), message());
                bencher.iter(|| pass(&mut queue, &mut lanes, &message));
            });
        }
    }
    group.finish();
    backlog(criterion);
}

/// Into a queue that holds a million messages, and from its head.
fn backlog(criterion: &mut Criterion) {
    let message = message();
    let mut queue: Queue<Taker> = Queue::new();
    for _ in 0..1_000_000 {
        let position = queue.next_position();
        queue.on_appended(position, message.clone());
    }
    criterion.bench_function("append and get, a million ready", |bencher| {
        bencher.iter(|| {
            let position = queue.next_position();
            queue.on_appended(position, message.clone());
            black_box(queue.get(true));
        });
    });
}

fn pass(queue: &mut Queue<Taker>, lanes: &mut Lanes<Taker>, message: &Message) {
    for _ in 0..BATCH {
        let position = queue.next_position();
        queue.on_appended(position, message.clone());
    }
    queue.dispatch(256, Timestamp(0), lanes);
    while let Some(lane) = lanes.pop_front() {
        for delivery in &lane.deliveries {
            black_box(queue.settle(delivery.position, Outcome::Accept));
        }
        lanes.keep(lane.deliveries);
    }
}

fn message() -> Message {
    let head = MessageHead {
        route: b"\0\x05queue",
        header: &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0],
        is_persistent: false,
    };
    Arena::default().message(head, b"0123456789abcdef")
}

criterion_group!(benches, queue);
criterion_main!(benches);
