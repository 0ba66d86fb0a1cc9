//! Who may depend on whom (design: the stages know only what stands between them). Development dependencies count too:
//! a test that needs another stage belongs to the program's tests.

use std::collections::{BTreeMap, BTreeSet};

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
    ("cvbake-unpack", &["cvbake-archive", "cvbake-tree", "cvbake-verify"]),
    ("cvbake-rootfs", &["cvbake-tree"]),
    ("cvbake-ext4", &["cvbake-disk", "cvbake-durable", "cvbake-tree"]),
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
        ],
    ),
    // Beside the house: what finds faults in it, and what measures it from outside.
    (
        "cvbake-fuzz",
        &["cvbake-archive", "cvbake-fetch", "cvbake-inflate", "cvbake-tree", "cvbake-unpack", "cvbake-verify"],
    ),
    ("cvbake-compare", &[]),
];

/// Crates that only some of ours may use: only the program talks to the user, only the engine mkfs starts programs.
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
    }
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
