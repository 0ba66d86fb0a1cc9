//! What the build must not lose.

use std::process::Command;

/// Without this feature zlib-rs, which compresses here, has no AVX2 and PCLMUL paths and is slower,
/// and nothing else tells.
#[test]
fn deflate_finds_the_processors_fast_paths() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal,features", "--package", "cvbake-archive"])
        .args(["--invert", "zlib-rs", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .expect("cargo runs the tests, so it runs");
    let (text, errors) = (String::from_utf8_lossy(&tree.stdout), String::from_utf8_lossy(&tree.stderr));
    assert!(tree.status.success(), "{errors}");
    assert!(text.contains(r#"zlib-rs feature "std""#), "zlib-rs without run-time detection:\n{text}");
}
