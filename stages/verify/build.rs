//! Tells the crate which target it is compiled for: the version of a 32-bit ARM stands in its name,
//! and nowhere else.

fn main() {
    let target = std::env::var("TARGET").expect("cargo says it");
    println!("cargo::rustc-env=CVBAKE_TARGET={target}");
    println!("cargo::rerun-if-changed=build.rs");
}
