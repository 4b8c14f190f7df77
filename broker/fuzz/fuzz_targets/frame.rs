//! libFuzzer's way to the target `frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liebre_fuzz::frame(data));
