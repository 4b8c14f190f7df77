//! What clients say, as bytes: right in form, and wrong in all else if the choices are.

use liebre::wire::frame::{FRAME_END, PROTOCOL_HEADER};

use super::choices::Choices;

/// What the last peer publishes and gets, to show that it is served.
pub const PROOF: &[u8] = b"proof";

const QUEUES: [&str; 8] = ["q", "p", "e", "quorum", "", "amq.rabbitmq.reply-to", "none", "\u{fffd}"];
const EXCHANGES: [&str; 8] = ["", "amq.direct", "amq.topic", "amq.fanout", "amq.headers", "x", "y", "amq.no"];
const KEYS: [&str; 8] = ["q", "p", "e", "a.b.c", "a.*.c", "#", "", "amq.rabbitmq.reply-to"];
const KINDS: [&str; 6] = ["direct", "topic", "fanout", "headers", "x-unknown", ""];
const TAGS: [&str; 4] = ["", "c", "d", "amq.ctag-1"];
const BODY_SIZES: [usize; 8] = [0, 1, 5, 100, 4_088, 4_089, 17_000, 40_000];

/// How many kinds of things [`compose`] knows.
pub const COMPOSITIONS: u8 = 33;

/// Fields of arguments that mean something.
const ARGUMENTS: [&[u8]; 14] = [
    b"\x0ex-max-priorityb\x05",
    b"\x0cx-queue-typeS\0\0\0\x06quorum",
    b"\x0dx-message-ttlI\0\0\x03\xe8",
    b"\x09x-expiresI\0\0\x03\xe8",
    b"\x0cx-max-lengthI\0\0\0\x02",
    b"\x12x-max-length-bytesI\0\0\0\x64",
    b"\x0ax-overflowS\0\0\0\x0ereject-publish",
    b"\x16x-dead-letter-exchangeS\0\0\0\0",
    b"\x19x-dead-letter-routing-keyS\0\0\0\x01p",
    b"\x16x-single-active-consumert\x01",
    b"\x0ax-priorityI\0\0\0\x07",
    b"\x10x-delivery-limitI\0\0\0\x01",
    b"\x07x-matchS\0\0\0\x03any",
    b"\x12alternate-exchangeS\0\0\0\x01y",
];

/// From the first byte to two open channels.
pub fn opening(frame_max: u32, heartbeat_secs: u16) -> Vec<u8> {
    let capabilities = [
        &b"\x0ccapabilitiesF"[..],
        &long(
            b"\x1cauthentication_failure_closet\x01\x16consumer_cancel_notifyt\x01\x12connection.blockedt\x01",
        ),
    ];
    let start_ok =
        [long(&capabilities.concat()), short(b"PLAIN"), long(b"\0guest\0guest"), short(b"en_US")].concat();
    let tune_ok = [&2_047_u16.to_be_bytes()[..], &frame_max.to_be_bytes(), &heartbeat_secs.to_be_bytes()];
    [
        PROTOCOL_HEADER.to_vec(),
        method(0, (10, 11), &start_ok),
        method(0, (10, 31), &tune_ok.concat()),
        method(0, (10, 40), b"\x01/\0\0"),
        method(1, (20, 10), b"\0"),
        method(2, (20, 10), b"\0"),
    ]
    .concat()
}

/// A message to a new queue and back.
pub fn proof() -> Vec<u8> {
    let name = short(b"proven");
    let declare = [&[0, 0][..], &name, &[0], &long(b"")].concat();
    let get = [&[0, 0][..], &name, &[1]].concat();
    let publish = [&[0, 0, 0][..], &name, &[0]].concat();
    let content = content(1, PROOF.len() as u64, &[0, 0], PROOF, 4_096);
    [method(1, (50, 10), &declare), method(1, (60, 40), &publish), content, method(1, (60, 70), &get)]
        .concat()
}

/// What a peer says next on a channel.
pub fn compose(composition: u8, channel: u16, choices: &mut Choices<'_>) -> Vec<u8> {
    let on = |id, arguments: Vec<u8>| method(channel, id, &arguments);
    match composition % COMPOSITIONS {
        0..=6 => publish(channel, choices),
        7 => on((20, 10), vec![0]),
        8 => on((20, 40), [&[0, 200][..], &short(b"bye"), &[0; 4]].concat()),
        9 => on((20, 41), Vec::new()),
        10 => on((20, 20), vec![choices.octet()]),
        11 => on(
            (40, 10),
            [&[0, 0][..], &exchange(choices), &kind(choices), &[choices.octet()], &arguments(choices)]
                .concat(),
        ),
        12 => on((40, 20), [&[0, 0][..], &exchange(choices), &[choices.octet()]].concat()),
        13 => on((40, choices.pick(&[30, 40])), bind([exchange(choices), exchange(choices)], choices, true)),
        14 | 15 => {
            on((50, 10), [&[0, 0][..], &queue(choices), &[choices.octet()], &arguments(choices)].concat())
        }
        16 => on((50, 20), bind([queue(choices), exchange(choices)], choices, true)),
        17 => on((50, 50), bind([queue(choices), exchange(choices)], choices, false)),
        18 => on((50, 30), [&[0, 0][..], &queue(choices), &[choices.octet()]].concat()),
        19 => on((50, 40), [&[0, 0][..], &queue(choices), &[choices.octet()]].concat()),
        20 => on((60, 10), [&[0; 4][..], &choices.short().to_be_bytes(), &[choices.octet()]].concat()),
        21 | 22 => on(
            (60, 20),
            [&[0, 0][..], &queue(choices), &tag(choices), &[choices.octet()], &arguments(choices)].concat(),
        ),
        23 => on((60, 30), [&tag(choices)[..], &[choices.octet()]].concat()),
        24 => on((60, 70), [&[0, 0][..], &queue(choices), &[choices.octet()]].concat()),
        25 => on((60, 80), [&delivery_tag(choices)[..], &[choices.octet()]].concat()),
        26 => on((60, 120), [&delivery_tag(choices)[..], &[choices.octet()]].concat()),
        27 => on((60, 90), [&delivery_tag(choices)[..], &[choices.octet()]].concat()),
        28 => on((60, choices.pick(&[100, 110])), vec![choices.octet()]),
        29 => on((85, 10), vec![choices.octet()]),
        30 => on((90, choices.pick(&[10, 20, 30])), Vec::new()),
        31 => on((choices.pick(&[10, 20, 30, 40, 50, 60, 85, 90, 0]), choices.octet().into()), raw(choices)),
        _ => frame(choices.pick(&[1, 2, 3, 8, 4]), channel, &raw(choices)),
    }
}

/// How a connection ends in order, or does not.
pub fn ending(choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.octet() % 4 {
        0 => method(0, (10, 50), &[&[0, 200][..], &short(b"bye"), &[0; 4]].concat()),
        1 => method(0, (10, 51), &[]),
        2 => method(0, (10, 70), &long(b"secret").into_iter().chain(short(b"why")).collect::<Vec<u8>>()),
        _ => frame(8, 0, &[]),
    }
}

fn publish(channel: u16, choices: &mut Choices<'_>) -> Vec<u8> {
    let (exchange, key, bits) =
        (exchange(choices), short(choices.pick(&KEYS).as_bytes()), choices.octet() & 3);
    let properties = properties(choices);
    let size = choices.pick(&BODY_SIZES);
    let body: Vec<u8> = vec![size as u8; size];
    let method = method(channel, (60, 40), &[&[0, 0][..], &exchange, &key, &[bits & 1]].concat());
    [method, content(channel, size as u64, &properties, &body, 4_096)].concat()
}

/// Flags and values of a message's properties.
fn properties(choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.octet() % 10 {
        0..=2 => vec![0, 0],
        3 | 4 => vec![0x10, 0, 2],
        5 => [&[0x20, 0][..], &arguments(choices)].concat(),
        6 => vec![0x18, 0, 2, choices.octet()],
        7 => [&[0x01, 0][..], &short(choices.pick(&["0", "1000", "", "x"]).as_bytes())].concat(),
        8 => [&[0x02, 0][..], &short(choices.pick(&QUEUES).as_bytes())].concat(),
        _ => raw(choices),
    }
}

fn content(channel: u16, size: u64, properties: &[u8], body: &[u8], frame_max: usize) -> Vec<u8> {
    let header = [&[0, 60, 0, 0][..], &size.to_be_bytes(), properties].concat();
    let bodies = body.chunks(frame_max - 8).flat_map(|part| frame(3, channel, part));
    frame(2, channel, &header).into_iter().chain(bodies).collect()
}

/// What is bound, the key, `nowait` if the method has it, the arguments.
fn bind(ends: [Vec<u8>; 2], choices: &mut Choices<'_>, has_nowait: bool) -> Vec<u8> {
    let key = short(choices.pick(&KEYS).as_bytes());
    let nowait = if has_nowait { vec![choices.octet()] } else { Vec::new() };
    [&[0, 0][..], &ends.concat(), &key, &nowait, &arguments(choices)].concat()
}

/// A table: nothing, fields that mean something, or anything.
fn arguments(choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.octet() {
        0..=127 => long(b""),
        128..=239 => {
            let count = usize::from(choices.octet() % 4);
            let fields: Vec<&[u8]> = (0..count).map(|_| choices.pick(&ARGUMENTS)).collect();
            long(&fields.concat())
        }
        _ => long(&raw(choices)),
    }
}

fn delivery_tag(choices: &mut Choices<'_>) -> [u8; 8] {
    u64::from(choices.octet()).to_be_bytes()
}

fn queue(choices: &mut Choices<'_>) -> Vec<u8> {
    short(choices.pick(&QUEUES).as_bytes())
}

fn exchange(choices: &mut Choices<'_>) -> Vec<u8> {
    short(choices.pick(&EXCHANGES).as_bytes())
}

fn kind(choices: &mut Choices<'_>) -> Vec<u8> {
    short(choices.pick(&KINDS).as_bytes())
}

fn tag(choices: &mut Choices<'_>) -> Vec<u8> {
    short(choices.pick(&TAGS).as_bytes())
}

/// Up to 63 bytes as they are.
fn raw(choices: &mut Choices<'_>) -> Vec<u8> {
    let count = usize::from(choices.octet() % 64);
    choices.bytes(count).to_vec()
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8][..], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn method(channel: u16, (class, id): (u16, u16), arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes()[..], &id.to_be_bytes(), arguments].concat())
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = (payload.len() as u32).to_be_bytes();
    [&[kind][..], &channel.to_be_bytes(), &size, payload, &[FRAME_END]].concat()
}
