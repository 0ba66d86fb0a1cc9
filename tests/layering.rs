//! Who may depend on whom (design: the stages know only what stands between them). Development
//! dependencies count too: a test that needs another stage belongs to the program's tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every crate of ours, and ours that it may use.
const EDGES: &[(&str, &[&str])] = &[
    ("cvbake-durable", &[]),
    ("cvbake-inflate", &[]),
    ("cvbake-tree", &[]),
    ("cvbake-verify", &[]),
    ("cvbake-archive", &["cvbake-inflate"]),
    ("cvbake-disk", &["cvbake-durable"]),
    ("cvbake-hash", &["cvbake-verify"]),
    ("cvbake-store", &["cvbake-durable", "cvbake-verify"]),
    ("cvbake-fetch", &["cvbake-archive", "cvbake-durable", "cvbake-hash", "cvbake-store", "cvbake-verify"]),
    ("cvbake-unpack", &["cvbake-archive", "cvbake-tree"]),
    ("cvbake-rootfs", &["cvbake-tree"]),
    ("cvbake-ext4", &["cvbake-disk", "cvbake-durable", "cvbake-tree"]),
    ("cvbake-vhdx", &["cvbake-disk"]),
    (
        "cvbake",
        &[
            "cvbake-archive",
            "cvbake-disk",
            "cvbake-durable",
            "cvbake-ext4",
            "cvbake-fetch",
            "cvbake-hash",
            "cvbake-rootfs",
            "cvbake-store",
            "cvbake-tree",
            "cvbake-unpack",
            "cvbake-verify",
            "cvbake-vhdx",
        ],
    ),
    // Beside the house: what finds faults in it, and what measures it from outside.
    (
        "cvbake-fuzz",
        &["cvbake-archive", "cvbake-fetch", "cvbake-inflate", "cvbake-tree", "cvbake-unpack", "cvbake-verify"],
    ),
    ("cvbake-compare", &[]),
];

/// The drawing has a line for each edge between the stages, and no other; the program above them
/// uses all.
#[test]
fn the_drawing_has_the_edges() {
    let drawing = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.svg")).unwrap();
    let drawn: BTreeSet<&str> =
        drawing.split("class=\"edge\" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let stages = EDGES.iter().filter(|(name, _)| !["cvbake", "cvbake-fuzz", "cvbake-compare"].contains(name));
    let short = |name: &'static str| name.strip_prefix("cvbake-").unwrap();
    let edges = stages.flat_map(|(from, to)| to.iter().map(move |to| format!("{}-{}", short(from), short(to))));
    let edges: BTreeSet<String> = edges.collect();
    assert_eq!(drawn.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), edges);
}

/// Crates that only some of ours may use: only the program talks to the user, only the engine mkfs
/// starts programs.
const RESERVED: &[(&str, &[&str])] = &[
    ("clap", &["cvbake", "cvbake-compare"]),
    ("clap_complete", &["cvbake"]),
    ("clap_mangen", &["cvbake"]),
    ("duct", &["cvbake-ext4"]),
    ("etcetera", &["cvbake"]),
    ("indicatif", &["cvbake"]),
    ("reqwest", &["cvbake-fetch"]),
    ("signal-hook", &["cvbake", "cvbake-compare"]),
    ("tokio", &["cvbake-fetch"]),
];

fn packages() -> BTreeMap<String, Vec<cargo_metadata::Dependency>> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().other_options(["--offline".to_owned()]).exec();
    let metadata = metadata.expect("cargo describes its own workspace");
    metadata.packages.into_iter().map(|package| (package.name.to_string(), package.dependencies)).collect()
}

#[test]
fn only_the_listed_edges() {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let packages = packages();
    let ours: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    let listed: BTreeSet<&str> = allowed.keys().copied().collect();
    assert_eq!(ours, listed, "every crate of the workspace is in the list, and no other");
    for (name, dependencies) in &packages {
        for dependency in dependencies.iter().filter(|dependency| ours.contains(dependency.name.as_str())) {
            let edge = &dependency.name;
            assert!(allowed[name.as_str()].contains(&edge.as_str()), "{name} must not depend on {edge}");
        }
        let used: BTreeSet<&str> = dependencies.iter().map(|dependency| dependency.name.as_str()).collect();
        for edge in allowed[name.as_str()] {
            assert!(used.contains(edge), "{name} may depend on {edge}, and does not: take it off the list");
        }
    }
}

/// The files of the library, by the names of their modules, without their tests.
fn modules() -> BTreeMap<String, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).expect("the library");
    let top = lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let mut found = BTreeMap::new();
    let mut todo: Vec<(String, PathBuf)> =
        top.map(|name| (name.to_owned(), src.join(name).with_extension("rs"))).collect();
    while let Some((name, path)) = todo.pop() {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let below = fs::read_dir(path.with_extension("")).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in below.filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
            let last = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            todo.push((format!("{name}::{last}"), path));
        }
        let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        if !name.ends_with("::tests") {
            found.insert(name, text);
        }
    }
    found
}

/// The modules that a module names: by `crate::` or by `super::`, alone or in braces.
fn named(module: &str, text: &str, all: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            let path = rest[..end].trim_end_matches(':');
            let base = match root {
                "crate::" => String::new(),
                _ => module.rsplit_once("::").map(|(parent, _)| format!("{parent}::")).unwrap_or_default(),
            };
            let ends: Vec<&str> = match rest[end..].strip_prefix('{') {
                Some(list) => list[..list.find('}').unwrap_or(list.len())].split(',').map(str::trim).collect(),
                None => vec![""],
            };
            for last in ends {
                let whole = format!("{base}{path}::{last}");
                let mut parts: Vec<&str> = whole.split("::").filter(|part| !part.is_empty()).collect();
                while !parts.is_empty() && !all.contains_key(&parts.join("::")) {
                    parts.pop();
                }
                let name = parts.join("::");
                if !name.is_empty() && name != module {
                    found.insert(name);
                }
            }
        }
    }
    found
}

/// No file of the library needs, by whatever way, one that needs it: each can be read after those
/// that it names.
#[test]
fn files_of_the_library_have_an_order() {
    let modules = modules();
    assert!(modules.len() > 40 && modules.contains_key("layers::content"), "{:?}", modules.keys());
    let mut left: BTreeMap<String, BTreeSet<String>> =
        modules.iter().map(|(name, text)| (name.clone(), named(name, text, &modules))).collect();
    assert!(left["bake"].contains("layers") && left["layers::unpack"].contains("layers::content"));
    while !left.is_empty() {
        let ready: Vec<String> =
            left.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| name.clone()).collect();
        assert!(!ready.is_empty(), "these name one another in a circle, or something that does: {left:#?}");
        for name in ready {
            left.remove(&name);
            left.values_mut().for_each(|needs| needs.retain(|need| *need != name));
        }
    }
}

/// The library is to be had without what only the program needs.
#[test]
fn the_library_needs_nothing_of_the_program() {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().other_options(["--offline".to_owned()]).exec();
    let packages = metadata.expect("cargo describes its own workspace").packages;
    let package = packages.iter().find(|package| package.name.as_str() == "cvbake").expect("the program");
    let program: Vec<String> = package.features["program"]
        .iter()
        .filter_map(|part| Some(part.strip_prefix("dep:")?.replace('-', "_")))
        .collect();
    assert!(program.iter().any(|name| name == "clap") && program.len() > 5, "{program:?}");
    for (module, text) in modules() {
        for name in &program {
            assert!(!text.contains(&format!("{name}::")), "{module} of the library must not use {name}");
        }
    }
}

/// What is to be trusted is decided in one place.
#[test]
fn images_are_proven_in_one_file() {
    let proving: Vec<String> =
        modules().into_iter().filter(|(_, text)| text.contains("Image::verify")).map(|(name, _)| name).collect();
    assert_eq!(proving, ["proof"]);
}

#[test]
fn only_those_who_may() {
    for (name, dependencies) in packages() {
        for dependency in dependencies {
            if let Some((_, users)) = RESERVED.iter().find(|(reserved, _)| *reserved == dependency.name) {
                assert!(users.contains(&name.as_str()), "{name} must not depend on {}", dependency.name);
            }
        }
    }
}

/// `docs/dependencies.md` says of each crate what it is for, and of none that is not there.
#[test]
fn every_dependency_is_explained() {
    let page = include_str!("../docs/dependencies.md");
    let (used, _) = page.split_once("## Considered and not used").expect("the last section");
    let rows = used.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
    let explained: BTreeSet<&str> = rows
        .flat_map(|names| names.split(['`', ',', ' ']))
        .filter(|name| !name.is_empty() && *name != "with")
        .collect();
    let packages = packages();
    let all = packages.values().flatten().map(|dependency| dependency.name.as_str());
    let foreign: BTreeSet<&str> = all.filter(|name| !packages.contains_key(*name)).collect();
    let missing: Vec<_> = foreign.difference(&explained).collect();
    // Said beside the crate that has it as a feature or a part.
    let parts = ["zlib-rs", "rustls"];
    let gone: Vec<_> = explained.difference(&foreign).filter(|name| !parts.contains(name)).collect();
    assert!(missing.is_empty() && gone.is_empty(), "docs/dependencies.md lacks {missing:?}, and has {gone:?} too many");
}
