#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| cvbake_fuzz::hash_tree::check(input));
