//! libFuzzer's way to the target `handshake`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liebre_fuzz::handshake(data));
