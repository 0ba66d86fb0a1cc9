//! Writes the first inputs of every target: `seeds FIXTURES CORPUS` makes `CORPUS/TARGET/NAME`.

use std::path::PathBuf;

// Everything here is compiled with coverage instrumentation, whose hooks this brings.
use libfuzzer_sys as _;

fn main() {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(fixtures), Some(corpus)) = (args.next(), args.next()) else { panic!("usage: seeds FIXTURES CORPUS") };
    for seed in cvbake_fuzz::seeds::seeds(&fixtures) {
        let folder = corpus.join(seed.target);
        std::fs::create_dir_all(&folder).expect("a corpus that can be written");
        std::fs::write(folder.join(seed.name), seed.bytes).expect("a corpus that can be written");
    }
}
