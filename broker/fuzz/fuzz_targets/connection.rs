//! libFuzzer's way to the target `connection`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liebre_fuzz::connection(data));
