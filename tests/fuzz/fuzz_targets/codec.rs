#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nstr_fuzz::run("codec", data));
