#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| cvbake_fuzz::disk::check_erofs(input));
