//! libFuzzer's way to the target `table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liebre_fuzz::table(data));
