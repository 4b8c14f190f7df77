//! What it costs to find the queues of a message, by exchange kind and number of bindings.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on must panic")]

use std::hint::black_box;

use amq_protocol::types::{AMQPValue, FieldTable};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use liebre::{
    model::{
        arguments::Arguments,
        binding::{Binding, Destination},
        name::Name,
        queue_id::QueueId,
        topology::Topology,
    },
    wire::table::{RawTable, encode_table},
};

const BINDING_COUNTS: [u64; 4] = [1, 100, 1_000, 10_000];

fn routing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("default exchange");
    for count in BINDING_COUNTS {
        let topology = queues(count);
        group.bench_with_input(BenchmarkId::new("queues", count), &count, |bencher, _| {
            let mut out = Vec::new();
            bencher.iter(|| {
                topology.route("", &[black_box(b"queue-0".as_slice())], None, &mut out).unwrap();
                black_box(&out);
            });
        });
    }
    group.finish();
    by_key(criterion, "amq.direct", |number| format!("key.{number}.end"), b"key.0.end");
    by_key(criterion, "amq.topic", |number| format!("key.{number}.*"), b"key.0.end");
    by_headers(criterion);
}

/// One binding of so many matches.
fn by_key(criterion: &mut Criterion, exchange: &'static str, binding_key: fn(u64) -> String, key: &[u8]) {
    let mut group = criterion.benchmark_group(exchange);
    for count in BINDING_COUNTS {
        let mut topology = queues(count);
        for number in 0..count {
            bind(&mut topology, exchange, number, &binding_key(number), Arguments::default());
        }
        group.bench_with_input(BenchmarkId::new("bindings", count), &count, |bencher, _| {
            let mut out = Vec::new();
            bencher.iter(|| {
                topology.route(exchange, &[black_box(key)], None, &mut out).unwrap();
                black_box(&out);
            });
        });
    }
}

fn by_headers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("amq.headers");
    let table = |number: u64| {
        let mut table = FieldTable::default();
        table.insert("region".into(), AMQPValue::LongString(format!("region-{number}").into()));
        table
    };
    let encoded = encode_table(&table(0));
    let (headers, _) = RawTable::parse(&encoded).unwrap();
    for count in BINDING_COUNTS {
        let mut topology = queues(count);
        for number in 0..count {
            bind(&mut topology, "amq.headers", number, "", Arguments::from(table(number)));
        }
        group.bench_with_input(BenchmarkId::new("bindings", count), &count, |bencher, _| {
            let mut out = Vec::new();
            bencher.iter(|| {
                topology.route("amq.headers", &[b""], Some(black_box(headers)), &mut out).unwrap();
                black_box(&out);
            });
        });
    }
}

fn queues(count: u64) -> Topology {
    let mut topology = Topology::new();
    for number in 0..count {
        topology.add_queue(name(&format!("queue-{number}")), QueueId(number), true);
    }
    topology
}

fn bind(topology: &mut Topology, source: &str, queue: u64, binding_key: &str, arguments: Arguments) {
    let binding = Binding {
        source: name(source),
        destination: Destination::Queue(name(&format!("queue-{queue}"))),
        binding_key: name(binding_key),
        arguments,
    };
    topology.bind(binding).unwrap();
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

criterion_group!(benches, routing);
criterion_main!(benches);
