//! Targets with state: connections on a broker in memory.

use std::time::Duration;

use liebre::storage::{LogError, StoreError};

use super::{
    choices::Choices,
    frames::{COMPOSITIONS, compose, ending, opening},
    world::{PEERS, World},
};

/// Steps of one program. More would find nothing that fewer do not.
const STEPS_MAX: usize = 300;

const PASSES_MS: [u64; 6] = [100, 500, 1_000, 5_000, 31_000, 120_000];
const FRAME_MAXES: [u32; 4] = [131_072, 4_096, 4_100, 100_000];
const HEARTBEATS_SECS: [u16; 4] = [0, 1, 10, 60];

/// Two bytes that say how the stream is cut, and what a peer says from its first byte on.
pub fn handshake(data: &[u8]) {
    let mut choices = Choices::new(data);
    let piece_size = usize::from(choices.short());
    let mut world = World::new();
    let piece_size = if piece_size == 0 { usize::MAX } else { piece_size };
    world.say_in_pieces(0, choices.rest(), piece_size);
    world.pass(Duration::from_secs(15));
    world.end();
}

/// Four bytes of settings, and steps: what happens, to whom, and how.
///
/// ```text
/// step  what (1)  who (1): bit 0 peer, bits 1 and 2 channel, bit 3 gathers, bit 4 spoils, bit 5 in pieces
/// ```
///
/// What a peer says while bit 3 is set arrives with what it says next, in one read.
pub fn connection(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut world = World::new();
    let mut gathered: [Vec<u8>; PEERS] = Default::default();
    for peer in 0..PEERS {
        open(&mut world, peer, &mut choices);
    }
    for _ in 0..STEPS_MAX {
        if choices.is_empty() {
            break;
        }
        let (what, who) = (choices.octet(), choices.octet());
        let (peer, channel) = (usize::from(who & 1), u16::from(who >> 1 & 3));
        if what >= 5 * COMPOSITIONS {
            happen(&mut world, what, peer, &mut choices);
            world.come_to_rest();
            continue;
        }
        let said = &mut gathered[peer];
        let begin = said.len();
        said.extend(compose(what, channel, &mut choices));
        if who & 16 != 0 {
            spoil(&mut said[begin..], &mut choices);
        }
        if who & 8 != 0 {
            continue;
        }
        let said = std::mem::take(said);
        if who & 32 != 0 {
            world.say_in_pieces(peer, &said, 1 + usize::from(choices.octet()) * 8);
        } else {
            world.say(peer, &said);
        }
        world.come_to_rest();
    }
    for (peer, said) in gathered.iter().enumerate() {
        world.say(peer, said);
    }
    world.come_to_rest();
    world.end();
}

fn open(world: &mut World, peer: usize, choices: &mut Choices<'_>) {
    let opening = opening(choices.pick(&FRAME_MAXES), choices.pick(&HEARTBEATS_SECS));
    world.say(peer, &opening);
    world.come_to_rest();
}

/// Some octets become others.
fn spoil(bytes: &mut [u8], choices: &mut Choices<'_>) {
    for _ in 0..=choices.octet() % 4 {
        let index = usize::from(choices.short()) % bytes.len().max(1);
        let octet = choices.octet();
        if let Some(spoiled) = bytes.get_mut(index) {
            *spoiled = octet;
        }
    }
}

/// What no frame leads to.
fn happen(world: &mut World, what: u8, peer: usize, choices: &mut Choices<'_>) {
    match what % 16 {
        0 => world.store.hold(),
        1 => world.store.catch_up(Ok(())),
        2 => world.store.catch_up(Err(StoreError::Closed)),
        3 => world.log.hold(),
        4 | 5 => world.log.catch_up(Ok(())),
        6 => world.log.catch_up(Err(LogError::Closed)),
        7 | 8 => world.pass(Duration::from_millis(choices.pick(&PASSES_MS))),
        9 => world.set_reading(peer, false),
        10 => world.set_reading(peer, true),
        11 => world.set_alarm(choices.octet() & 1 == 1),
        12 => world.force_close(peer),
        13 => {
            world.replace(peer);
            open(world, peer, choices);
        }
        14 => world.replace(peer),
        _ => world.say(peer, &ending(choices)),
    }
}
