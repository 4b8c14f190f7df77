//! Bytes that nobody expects.

use proptest::prelude::*;

use super::{
    bench::{A, B, Bench, Peer},
    frames::{bodies, declare, get, plainly, publish, publish_method},
};

/// A frame that is one, whatever is in it.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let ids = prop_oneof![
        (prop::sample::select(vec![10_u16, 20, 30, 40, 50, 60, 85, 90]), 0_u16..130)
            .prop_map(|(class, method)| [class.to_be_bytes(), method.to_be_bytes()].concat()),
        Just(Vec::new()),
    ];
    let payload =
        (ids, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(ids, rest)| [ids, rest].concat());
    (prop::sample::select(vec![1_u8, 1, 1, 2, 3, 8]), 0_u16..4, payload).prop_map(
        |(kind, channel, payload)| {
            let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
            [&[kind][..], &channel.to_be_bytes(), &size, &payload, &[0xCE]].concat()
        },
    )
}

/// Some of a real conversation, some frames with anything in them, some bytes.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => frame(),
        1 => prop::collection::vec(any::<u8>(), 0..64),
        1 => Just(declare(1, "q", plainly)),
        1 => Just(publish_method(1, "", "q", true)),
        1 => Just(publish(2, "", "q", 3)),
    ];
    prop::collection::vec(part, 1..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn garbage_ends_in_a_close_or_in_nothing(
        reads in prop::collection::vec(garbage(), 1..4),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bench = Bench::new();
        for mut bytes in reads {
            for (index, octet) in &flips {
                let index = index.index(bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(index) {
                    *byte = *octet;
                }
            }
            bench.exchange(A, &bytes);
        }
        prop_assert!(is_served(&mut bench, B));
        bench.drop_peer(A);
        prop_assert!(is_served(&mut bench, B));
    }
}

fn is_served(bench: &mut Bench, peer: Peer) -> bool {
    let frames =
        [declare(1, "served", plainly), publish(1, "", "served", 5), get(1, "served", true)].concat();
    let sent = bench.exchange(peer, &frames);
    sent.iter().any(|(to, bytes)| *to == peer && bodies(bytes) == b"xxxxx")
}
