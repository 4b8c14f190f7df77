//! libFuzzer's way to the target `method`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liebre_fuzz::method(data));
