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
    ("cvbake-erofs", &["cvbake-disk", "cvbake-tree"]),
    ("cvbake-ext4", &["cvbake-disk", "cvbake-durable", "cvbake-tree"]),
    ("cvbake-vhdx", &["cvbake-disk"]),
    ("cvbake-init", &[]),
    ("cvbake-boot", &["cvbake-disk", "cvbake-init"]),
    ("cvbake-verity", &["cvbake-disk"]),
    ("cvbake-measure", &[]),
    (
        "cvbake",
        &[
            "cvbake-archive",
            "cvbake-boot",
            "cvbake-cases",
            "cvbake-disk",
            "cvbake-durable",
            "cvbake-erofs",
            "cvbake-ext4",
            "cvbake-fetch",
            "cvbake-hash",
            "cvbake-measure",
            "cvbake-rootfs",
            "cvbake-store",
            "cvbake-tree",
            "cvbake-unpack",
            "cvbake-verify",
            "cvbake-verity",
            "cvbake-vhdx",
        ],
    ),
    // Beside the house: what finds faults in it, and what measures it from outside.
    (
        "cvbake-fuzz",
        &[
            "cvbake",
            "cvbake-archive",
            "cvbake-cases",
            "cvbake-disk",
            "cvbake-erofs",
            "cvbake-ext4",
            "cvbake-fetch",
            "cvbake-inflate",
            "cvbake-tree",
            "cvbake-unpack",
            "cvbake-verify",
            "cvbake-vhdx",
        ],
    ),
    ("cvbake-compare", &[]),
    // What the fixtures say: a judge, so it uses nothing of ours.
    ("cvbake-cases", &[]),
];

/// The drawing has a line for each edge between the stages, and no other; the program above them
/// uses all.
#[test]
fn the_drawing_has_the_edges() {
    let drawing = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.svg")).unwrap();
    let drawn: BTreeSet<&str> =
        drawing.split("class=\"edge\" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let stages =
        EDGES.iter().filter(|(name, _)| !["cvbake", "cvbake-fuzz", "cvbake-compare", "cvbake-cases"].contains(name));
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

/// The files of a crate, by the names of their modules, without their tests; `lib` is the roof.
fn modules_of(root: &Path) -> BTreeMap<String, String> {
    let src = root.join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).expect("the library");
    let is_module = |line: &&str| !line.starts_with(' ');
    let top = lib.lines().filter(is_module).filter_map(|line| {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    let top = top.filter(|name| *name != "tests");
    let mut todo: Vec<(String, PathBuf)> =
        top.map(|name| (name.to_owned(), src.join(name).with_extension("rs"))).collect();
    let mut found = BTreeMap::from([("lib".to_owned(), without_tests(&lib))]);
    while let Some((name, path)) = todo.pop() {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let below = fs::read_dir(path.with_extension("")).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in below.filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
            let last = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            todo.push((format!("{name}::{last}"), path));
        }
        if !name.ends_with("::tests") {
            found.insert(name, without_tests(&text));
        }
    }
    found
}

fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

/// The files of the library.
fn modules() -> BTreeMap<String, String> {
    let mut modules = modules_of(Path::new(env!("CARGO_MANIFEST_DIR")));
    modules.remove("lib");
    modules
}

/// Names that a file takes from others and gives on, and the modules that they are from.
fn given_on(module: &str, text: &str, all: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
    for statement in code.split(';') {
        let Some(at) = statement.rfind("use ") else { continue };
        if !statement[..at].trim_end().rsplit([' ', '}', ']']).next().is_some_and(|word| word.starts_with("pub")) {
            continue;
        }
        let path = statement[at + 4..].trim();
        let path = path.strip_prefix("crate::").or(path.strip_prefix("self::")).unwrap_or(path);
        let (base, names) = match path.split_once('{') {
            Some((base, list)) => (base.trim_end_matches("::"), list.trim_end_matches('}').split(',').collect()),
            None => path.rsplit_once("::").map_or((path, Vec::new()), |(base, name)| (base, vec![name])),
        };
        let inside = if module == "lib" { base.to_owned() } else { format!("{module}::{base}") };
        let from = [inside, base.to_owned()].into_iter().find(|name| all.contains_key(name));
        for name in names.into_iter().map(str::trim).filter(|name| !name.is_empty()) {
            let name = name.rsplit(" as ").next().unwrap_or(name);
            found.extend(from.clone().map(|from| (name.to_owned(), from)));
        }
    }
    found
}

/// The modules that a module names: by `crate::` or by `super::`, alone or in braces. What the roof
/// gives on counts as what it is given on from.
fn named(module: &str, text: &str, all: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let roof = all.get("lib").map(|lib| given_on("lib", lib, all)).unwrap_or_default();
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
                let first = parts.first().copied().unwrap_or_default().to_owned();
                while !parts.is_empty() && !all.contains_key(&parts.join("::")) {
                    parts.pop();
                }
                let name = match parts.is_empty() {
                    true => roof.get(&first).cloned().unwrap_or_else(|| "lib".to_owned()),
                    false => parts.join("::"),
                };
                if all.contains_key(&name) && name != module {
                    found.insert(name);
                }
            }
        }
    }
    found
}

/// No file of the crate needs, by whatever way, one that needs it: each can be read after those
/// that it names.
fn circle(modules: &BTreeMap<String, String>, pairs: &[(&str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
    let mut left: BTreeMap<String, BTreeSet<String>> =
        modules.iter().map(|(name, text)| (name.clone(), named(name, text, modules))).collect();
    for (from, to) in pairs {
        let needs = left.get_mut(*from).unwrap_or_else(|| panic!("there is no {from}"));
        assert!(needs.remove(*to), "{from} does not name {to}: take it off the list");
    }
    loop {
        let ready: Vec<String> =
            left.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| name.clone()).collect();
        if ready.is_empty() {
            break;
        }
        for name in ready {
            left.remove(&name);
            left.values_mut().for_each(|needs| needs.retain(|need| *need != name));
        }
    }
    // What only needs the circle is not in it.
    loop {
        let needed: BTreeSet<String> = left.values().flatten().cloned().collect();
        let count = left.len();
        left.retain(|name, _| needed.contains(name));
        if left.len() == count {
            return left;
        }
    }
}

#[test]
fn files_of_the_library_have_an_order() {
    let modules = modules();
    assert!(modules.len() > 40 && modules.contains_key("layers::content"), "{:?}", modules.keys());
    let needs = |name: &str| named(name, &modules[name], &modules);
    assert!(needs("bake").contains("layers") && needs("layers::unpack").contains("layers::content"));
    let circle = circle(&modules, &[]);
    assert!(circle.is_empty(), "these name one another: {circle:#?}");
}

/// Files of a stage that name one another, and why: the stage, who names whom, and what for.
const PAIRS: &[(&str, &str, &str, &str)] = &[
    ("archive", "error", "compression", "an error of a stream says which compression it has"),
    ("archive", "tar::data", "tar::reader", "the content of an entry fails as its reader does"),
    ("ext4", "layout::base_pack", "layout::content", "the base pack is one of the files' packs, and part of them"),
    ("ext4", "layout::numbers", "layout::directory", "whether there is a lost+found decides about a number"),
    ("fetch", "error", "registry", "an error of a registry holds what the registry's part says of it"),
    ("fetch", "registry::helper", "registry::credentials", "credentials ask helpers, which give credentials"),
    ("fetch", "registry::manifest", "registry::image", "both need the media types of manifests"),
    (
        "fetch",
        "registry::options",
        "registry::credentials",
        "credentials are an option, and options say where more are",
    ),
    ("hash", "lane", "team", "what a lane has to do is weighed as the team weighs it"),
];

#[test]
fn files_of_the_stages_have_an_order() {
    let stages = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages");
    let mut bad = Vec::new();
    for entry in fs::read_dir(stages).expect("the stages") {
        let path = entry.expect("a stage").path();
        let modules = modules_of(&path);
        let stage = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let pairs = PAIRS.iter().filter(|(of, ..)| *of == stage).map(|(_, from, to, _)| (*from, *to));
        let circle = circle(&modules, &pairs.collect::<Vec<_>>());
        if !circle.is_empty() {
            bad.push(format!("{}: {circle:#?}", path.display()));
        }
    }
    assert!(bad.is_empty(), "these name one another: {}", bad.join("\n"));
}

/// What only Linux has, by the names under which crates have it.
const LINUX_ONLY: &[&str] = &[
    "OFlags::PATH",
    "O_PATH",
    "NOATIME",
    "RenameFlags",
    "ioctl_ficlone",
    "fallocate",
    "FallocateFlags",
    "copy_file_range",
    "fadvise",
    "Advice::",
    "sync_file_range",
    "syncfs",
    "SeekFrom::Hole",
    ".f_type",
    "RealtimeCoarse",
    "getrandom(",
    "/proc/",
    "std::os::linux",
];

/// Whoever brings cvbake to another system has to look at the files `system.rs` only.
#[test]
fn only_the_seam_knows_the_system() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut todo = vec![root.join("src"), root.join("stages")];
    let (mut files, mut seams, mut bad) = (0, BTreeSet::new(), Vec::new());
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory of ours").flatten().map(|entry| entry.path());
            todo.extend(entries.filter(|path| path.file_name().is_some_and(|name| name != "tests")));
            continue;
        }
        let is_test = path.file_stem().is_some_and(|name| name == "tests");
        // PID 1 of a Linux machine runs there and nowhere else.
        if is_test
            || path.starts_with(root.join("stages/init/program"))
            || path.extension().is_none_or(|ending| ending != "rs")
        {
            continue;
        }
        let text = without_tests(&fs::read_to_string(&path).expect("a file of ours"));
        let code = || text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let found: BTreeSet<&str> =
            LINUX_ONLY.iter().copied().filter(|name| code().any(|line| line.contains(name))).collect();
        files += 1;
        if path.ends_with("system.rs") {
            seams.extend(found);
        } else if !found.is_empty() {
            bad.push(format!("{}: {found:?}", path.display()));
        }
    }
    assert!(files > 200 && seams.contains("/proc/") && seams.contains("ioctl_ficlone"), "{files} {seams:?}");
    assert!(bad.is_empty(), "what only Linux has stands outside of the files system.rs: {}", bad.join("\n"));
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

/// Only the program knows its command line: neither the library nor a stage names an option or a
/// command of it.
#[test]
fn only_the_program_names_its_options() {
    let stages = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages");
    let mut todo: Vec<PathBuf> =
        fs::read_dir(stages).expect("the stages").flatten().map(|entry| entry.path()).collect();
    let mut files: Vec<(String, String)> = modules().into_iter().collect();
    while let Some(path) = todo.pop() {
        if path.is_dir() && !path.ends_with("tests") && !path.ends_with("benches") {
            todo.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        // What compiles a program names options of the compiler.
        } else if path.ends_with("build.rs") {
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            files.push((path.display().to_string(), text));
        }
    }
    assert!(files.len() > 200, "{}", files.len());
    let names_one = |line: &str| {
        let option = line.match_indices("--").any(|(at, dashes)| {
            let before = line[..at].chars().next_back();
            let after = line[at + dashes.len()..].chars().next();
            before.is_none_or(|before| " \"`'(".contains(before))
                && after.is_some_and(|after| after.is_ascii_lowercase())
        });
        option || line.contains("`cvbake ")
    };
    assert!(names_one(r#""x; --size 4M is enough""#) && names_one(r#""`cvbake pull` fetches it""#));
    assert!(!names_one(r#""-1 -- xn--a""#));
    for (name, text) in files {
        for line in text.lines().map(|line| line.split("// ").next().unwrap_or_default().trim_start()) {
            let is_comment = line.starts_with("//");
            assert!(is_comment || !names_one(line), "{name} knows the command line: {line}");
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

/// The Rust files below a directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let below = dirs.iter().filter(|dir| !dir.ends_with("target")).flat_map(|dir| sources(dir));
    below.chain(files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs")).cloned()).collect()
}

/// Prose is read more easily in narrow columns than code; drawings, tables and examples may be
/// wider.
#[test]
fn comments_have_at_most_100_columns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wide = Vec::new();
    for dir in ["src", "stages", "tests", "examples", "benches", "fuzz"] {
        for file in sources(&root.join(dir)) {
            let text = fs::read_to_string(&file).expect("a source");
            let mut is_drawing = false;
            for (number, line) in (1..).zip(text.lines()) {
                let Some(comment) = line.trim_start().strip_prefix("//") else {
                    is_drawing = false;
                    continue;
                };
                let comment = comment.trim_start_matches(['/', '!']).trim_start();
                is_drawing ^= comment.starts_with("```");
                if line.chars().count() > 100 && !is_drawing && !comment.starts_with('|') {
                    wide.push(format!("{}:{number}: {line}", file.display()));
                }
            }
        }
    }
    assert_eq!(wide, [""; 0]);
}
