//! The library, as `docs/library.md` shows it.

use crate::support::bake::Place;
use crate::support::sample;

#[path = "../../examples/bake.rs"]
#[expect(dead_code, reason = "the program around the example; here the function is called")]
mod example;

#[test]
fn the_example_bakes() {
    let place = Place::with(&sample::small("content"));
    let source = format!("oci:{}:latest", place.path().join("image").display());
    let disk = place.path().join("example.ext4");
    let baked = example::bake(source.parse().unwrap(), &disk).unwrap();
    assert_eq!(baked.plan.disk_bytes, disk.metadata().unwrap().len());
    let by_program = place.bake().args(["--digest", "--json", "--label", "root"]).ok();
    let by_program: serde_json::Value = serde_json::from_str(&by_program.stdout).unwrap();
    assert_eq!(baked.digest.unwrap().hex(), by_program["disk"]["sha256"], "the same disk as the program's");
}

#[test]
fn the_page_quotes_the_example() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let example = read("examples/bake.rs").replace("pub(crate) ", "");
    let (_, rest) =
        example.split_once("// docs/library.md quotes from here\n").expect("the beginning of the quotation");
    let (quoted, _) = rest.split_once("// to here\n").expect("its end");
    assert!(
        read("docs/library.md").contains(quoted),
        "docs/library.md shows another example than examples/bake.rs has"
    );
}
