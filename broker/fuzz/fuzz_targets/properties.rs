//! libFuzzer's way to the target `properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liebre_fuzz::properties(data));
