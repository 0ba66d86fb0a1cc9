//! The library, as `docs/library.md` shows it.

use crate::support::bake::Place;
use crate::support::oracle;
use crate::support::sample;
use crate::support::server::{Answer, Server};

#[path = "../../examples/bake.rs"]
#[expect(dead_code, reason = "the program around the example; here the function is called")]
mod bake;

#[path = "../../examples/filesystem.rs"]
#[expect(dead_code, reason = "the program around the example; here the functions are called")]
mod filesystem;

#[path = "../../examples/inspect.rs"]
#[expect(dead_code, reason = "the program around the example; here the functions are called")]
mod inspect;

#[test]
fn the_example_bakes() {
    let place = Place::with(&sample::small("content"));
    let source = format!("oci:{}:latest", place.path().join("image").display());
    let disk = place.path().join("example.ext4");
    let baked = bake::bake(source.parse().unwrap(), &disk).unwrap();
    assert_eq!(baked.plan.disk_bytes, disk.metadata().unwrap().len());
    let by_program = place.bake().args(["--digest", "--json", "--label", "root"]).ok();
    let by_program: serde_json::Value = serde_json::from_str(&by_program.stdout).unwrap();
    assert_eq!(baked.digest.unwrap().hex(), by_program["disk"]["sha256"], "the same disk as the program's");
}

#[test]
fn the_example_writes_a_filesystem() {
    let place = Place::new();
    let (tree, pack) = filesystem::tree(b"example\n").unwrap();
    filesystem::write(&tree, &pack, &place.disk()).unwrap();
    let listing = oracle::agreed_listing(&place.disk());
    for line in
        ["/dev/console char", "/etc/hostname file 0644 0:0 mtime=1700000000.000000000 size=8", "link:/etc/hostname.old"]
    {
        assert!(listing.contains(line), "{line} is not in {listing}");
    }
}

/// Wherever a bake is when it is cancelled, it ends, and nothing of it is left; the next one with
/// another control is whole.
#[test]
fn a_bake_is_cancelled() {
    use cvbake::control::Control;
    use cvbake::error::Error;
    use cvbake::event::{Event, Stage};
    use cvbake::fetch::Source;
    let place = Place::with(&sample::varied());
    let source = format!("oci:{}:latest", place.path().join("image").display());
    let mut job = cvbake::Job::new(source.parse::<Source>().unwrap());
    job.store = Some(place.path().join("cancelled-store"));
    let out = place.path().join("cancelled");
    std::fs::create_dir(&out).unwrap();
    let output = cvbake::Output { path: out.join("disk.ext4"), replace: false, digest: false, sync: false };
    let is_begun = |event: &Event, stage: Stage| matches!(event, Event::Stage(begun) if *begun == stage);
    for stage in [Stage::Unpack, Stage::Write, Stage::Commit] {
        let control = Control::new();
        let baked = cvbake::bake(&job, &output, &control, &|event| {
            if is_begun(&event, stage) {
                control.cancel();
            }
        });
        assert!(matches!(baked, Err(Error::Cancelled)), "{stage:?}: {baked:?}");
        assert_eq!(crate::support::bake::names(&out), [""; 0], "{stage:?}");
    }
    cvbake::bake(&job, &output, &Control::new(), &|_| {}).unwrap();
    assert_eq!(crate::support::bake::names(&out), ["disk.ext4"]);
}

#[test]
fn the_example_inspects() {
    let images = sample::small("content");
    let place = Place::with(&images);
    let server = Server::start(&place, |asked| match asked.path.contains("/tags/list") {
        true => Answer::Other(200, String::new(), br#"{"tags":["v1","v2"]}"#.to_vec()),
        false => Answer::Right,
    });
    let layout = format!("oci:{}:latest", place.path().join("image").display());
    for (source, tags) in [(layout, &[][..]), (server.name(), &["v1", "v2"])] {
        let source = source.parse().unwrap();
        let looked = inspect::look(&source).unwrap();
        let digests: Vec<String> =
            looked.layers.iter().map(|layer| layer.digest.expect("each has one").to_string()).collect();
        let expected: Vec<&String> = images.images[0].layers.iter().map(|layer| &layer.digest).collect();
        assert_eq!(digests.iter().collect::<Vec<_>>(), expected);
        assert_eq!(inspect::tags(&source).unwrap(), tags);
    }
    for layer in &images.images[0].layers {
        assert!(server.asked(&layer.digest).is_empty(), "only documents are read");
    }
}

#[test]
fn the_page_quotes_the_examples() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    for path in ["examples/bake.rs", "examples/inspect.rs", "examples/filesystem.rs"] {
        let example = read(path).replace("pub(crate) ", "");
        let (_, rest) =
            example.split_once("// docs/library.md quotes from here\n").expect("the beginning of the quotation");
        let (quoted, _) = rest.split_once("// to here\n").expect("its end");
        assert!(read("docs/library.md").contains(quoted), "docs/library.md shows another example than {path} has");
    }
}
