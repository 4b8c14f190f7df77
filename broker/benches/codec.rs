//! What frames cost: a publish read, a delivery written, an acknowledgement both ways.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on must panic")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use liebre::wire::{
    content::parse_content_header,
    encode::{
        encode_content_header, encode_route, write_ack, write_body, write_deliver, write_header,
        write_publish,
    },
    frame::{ChannelNumber, parse_frame},
    method::parse_method,
};

const CHANNEL: ChannelNumber = ChannelNumber(1);
const FRAME_MAX: u32 = 131_072;
const BODY_SIZES: [usize; 2] = [16, 1_024];

fn codec(criterion: &mut Criterion) {
    read_publish(criterion);
    write_delivery(criterion);
    acknowledge(criterion);
}

/// Method, header and body of a publish, as a client sends them.
fn read_publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read basic.publish");
    for size in BODY_SIZES {
        let input = publish(size);
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{size} B"), |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(input.as_slice());
                let (method, taken) = parse_frame(rest, FRAME_MAX).unwrap().unwrap();
                black_box(parse_method(method.payload).unwrap());
                rest = &rest[taken..];
                let (header, taken) = parse_frame(rest, FRAME_MAX).unwrap().unwrap();
                black_box(parse_content_header(header.payload).unwrap());
                black_box(parse_frame(&rest[taken..], FRAME_MAX).unwrap());
            });
        });
    }
}

/// Method, header and body of a delivery into a buffer that is used again.
fn write_delivery(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write basic.deliver");
    let route = encode_route("", "queue");
    for size in BODY_SIZES {
        let header = encode_content_header(size as u64, &Default::default());
        let body = vec![b'x'; size];
        let mut out = Vec::with_capacity(size + 256);
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{size} B"), |bencher| {
            bencher.iter(|| {
                out.clear();
                write_deliver(&mut out, CHANNEL, "amq.ctag-1", black_box(7), false, &route);
                write_header(&mut out, CHANNEL, &header);
                write_body(&mut out, CHANNEL, &body, FRAME_MAX);
                black_box(&out);
            });
        });
    }
}

fn acknowledge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("basic.ack");
    let mut input = Vec::new();
    write_ack(&mut input, CHANNEL, 7, true);
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            let (frame, _) = parse_frame(black_box(&input), FRAME_MAX).unwrap().unwrap();
            black_box(parse_method(frame.payload).unwrap());
        });
    });
    let mut out = Vec::with_capacity(64);
    group.bench_function("write", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_ack(&mut out, CHANNEL, black_box(7), true);
            black_box(&out);
        });
    });
}

fn publish(size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_publish(&mut bytes, CHANNEL, "", "queue", false, false);
    write_header(&mut bytes, CHANNEL, &encode_content_header(size as u64, &Default::default()));
    write_body(&mut bytes, CHANNEL, &vec![b'x'; size], FRAME_MAX);
    bytes
}

criterion_group!(benches, codec);
criterion_main!(benches);
