use std::fs;

use super::parse::{Fault, parse};
use super::*;
use crate::Event;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn read(text: &str) -> Registries {
    let (found, ignored) = parse(text).unwrap_or_else(|fault| panic!("{fault:?}"));
    assert_eq!(ignored, []);
    found
}

/// The plan as text: `host/path[:tag]`, with `!` where insecure.
fn plan(registries: &Registries, name: &str) -> Result<Vec<String>, String> {
    let endpoints = registries.plan(&name.parse().unwrap()).map_err(|problem| problem.to_string())?;
    let shown = |endpoint: Endpoint| {
        let Endpoint { registry, repository, tag, insecure } = endpoint;
        let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        format!("{registry}/{repository}{tag}{}", if insecure { "!" } else { "" })
    };
    Ok(endpoints.into_iter().map(shown).collect())
}

#[test]
fn plans() {
    let registries = read(
        r#"
        [[registry]]
        prefix = "example.com/foo"
        location = "internal.example.net/bar"
        [[registry.mirror]]
        location = "mirror-0.local/for-foo/"
        [[registry.mirror]]
        location = "mirror-1.local:5000"
        insecure = true

        [[registry]]
        location = "example.com"
        insecure = true

        [[registry]]
        prefix = "example.com/foo/pinned"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "mirror.local/pinned"

        [[registry]]
        prefix = "*.corp.example"
        [[registry.mirror]]
        location = "mirror.local/corp"

        [[registry]]
        prefix = "*.sub.corp.example"
        location = "sub.example:5000"

        [[registry]]
        prefix = "both.example"
        [[registry.mirror]]
        location = "digests.local"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "tags.local"
        pull-from-mirror = "tag-only"
        [[registry.mirror]]
        location = "all.local"
        pull-from-mirror = "all"

        [[registry]]
        prefix = "bad.example"
        blocked = true
        [[registry]]
        prefix = "bad.example/good"
        [[registry]]
        prefix = "one.example/a:old"
        location = "two.example/b:new"
        [[registry]]
        prefix = "docker.io/library"
        location = "hub.local/library"
        "#,
    );
    let digest = format!("@sha256:{HEX}");
    let blocked = |prefix: &str| Err(format!("blocked: the configuration forbids names that begin with {prefix:?}"));
    let table: [(&str, Result<&[&str], String>); 19] = [
        ("alpine", Ok(&["hub.local/library/alpine:latest"])),
        ("docker.io/user/x", Ok(&["docker.io/user/x:latest"])),
        ("example.com/x:1", Ok(&["example.com/x:1!"])),
        ("example.com:5000/x:1", Ok(&["example.com:5000/x:1"])),
        ("example.community/x:1", Ok(&["example.community/x:1"])),
        (
            "example.com/foo/image:1",
            Ok(&["mirror-0.local/for-foo/image:1", "mirror-1.local:5000/image:1!", "internal.example.net/bar/image:1"]),
        ),
        ("example.com/foobar:1", Ok(&["example.com/foobar:1!"])),
        ("example.com/foo/pinned:1", Ok(&["example.com/foo/pinned:1"])),
        ("example.com/foo/pinned@", Ok(&["mirror.local/pinned", "example.com/foo/pinned"])),
        ("a.corp.example/x:1", Ok(&["mirror.local/corp/x:1", "a.corp.example/x:1"])),
        ("a.b.corp.example/x:1", Ok(&["mirror.local/corp/x:1", "a.b.corp.example/x:1"])),
        ("corp.example/x:1", Ok(&["corp.example/x:1"])),
        ("a.sub.corp.example/y/x:1", Ok(&["sub.example:5000/y/x:1"])),
        ("both.example/x:1", Ok(&["tags.local/x:1", "all.local/x:1", "both.example/x:1"])),
        ("both.example/x@", Ok(&["digests.local/x", "all.local/x", "both.example/x"])),
        ("bad.example/x", blocked("bad.example")),
        ("bad.example/good/x:1", Ok(&["bad.example/good/x:1"])),
        ("one.example/a:old", Ok(&["two.example/b:new"])),
        ("one.example/a:newer", Ok(&["one.example/a:newer"])),
    ];
    for (name, expected) in table {
        let whole = name.strip_suffix('@').map_or_else(|| name.to_owned(), |name| format!("{name}:both{digest}"));
        let expected = expected.map(|all| all.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        assert_eq!(plan(&registries, &whole), expected, "{whole}");
    }
    assert_eq!(plan(&Registries::default(), "alpine").unwrap(), ["docker.io/library/alpine:latest"]);
}

fn resolved(registries: &Registries, name: &str) -> Result<Vec<String>, String> {
    let names = registries.resolve(&Name::new(name).unwrap()).map_err(|error| error.to_string())?;
    Ok(names.iter().map(Reference::whole).collect())
}

#[test]
fn short_names() {
    let hub = Registries::default();
    assert_eq!(resolved(&hub, "alpine").unwrap(), ["docker.io/library/alpine:latest"]);
    assert_eq!(resolved(&hub, "quay.io/a:1").unwrap(), ["quay.io/a:1"]);
    let text = r#"
        unqualified-search-registries = ["one.example", "docker.io"]
        [aliases]
        "fedora" = "registry.fedoraproject.org/fedora"
        "a/b" = "two.example/b"
        "gone" = ""
    "#;
    let search = read(text);
    for (name, expected) in [
        ("alpine:3", vec!["one.example/alpine:3", "docker.io/library/alpine:3"]),
        ("fedora", vec!["registry.fedoraproject.org/fedora:latest"]),
        ("fedora:41", vec!["registry.fedoraproject.org/fedora:41"]),
        ("a/b:1", vec!["two.example/b:1"]),
        ("a/c:1", vec!["one.example/a/c:1", "docker.io/a/c:1"]),
        ("gone:1", vec!["one.example/gone:1", "docker.io/library/gone:1"]),
        ("docker.io/fedora:1", vec!["docker.io/library/fedora:1"]),
    ] {
        assert_eq!(resolved(&search, name).unwrap(), expected, "{name}");
    }
    let pinned = resolved(&search, &format!("fedora@sha256:{HEX}")).unwrap();
    assert_eq!(pinned, [format!("registry.fedoraproject.org/fedora@sha256:{HEX}")]);
    for (mode, several) in [("permissive", true), ("disabled", true), ("", true), ("enforcing", false)] {
        let search = read(&format!("short-name-mode = {mode:?}\n{text}"));
        assert_eq!(resolved(&search, "alpine").is_ok(), several, "{mode}");
        assert!(resolved(&search, "fedora").is_ok());
        let one = read(&format!("short-name-mode = {mode:?}\nunqualified-search-registries = [\"one.example:1\"]"));
        assert_eq!(resolved(&one, "alpine").unwrap(), ["one.example:1/alpine:latest"]);
    }
    let error = resolved(&read(&format!("short-name-mode = 'enforcing'\n{text}")), "alpine").unwrap_err();
    assert_eq!(
        error,
        "\"alpine\" does not name a registry: it may be in any of one.example, docker.io, and short-name-mode is \"enforcing\""
    );
    let none = read("unqualified-search-registries = []");
    assert!(resolved(&none, "alpine").unwrap_err().contains("unqualified-search-registries is empty"));
}

#[test]
fn faults() {
    let table = [
        ("x = ", 1, "not TOML: "),
        ("\n\n[[registry]\n", 3, "not TOML: "),
        ("[registries.search]\nregistries = ['a']", 1, "version 1 of the format, expected version 2"),
        ("unqualified-search-registries = 'a'", 1, "is \"a\", expected an array of strings"),
        ("unqualified-search-registries = [\n'a.b', 3]", 2, "is a number, expected a string"),
        ("unqualified-search-registries = ['https://a.b']", 1, "expected a.host or host:port"),
        ("unqualified-search-registries = ['a']", 1, "expected a.host or host:port"),
        ("short-name-mode = 'ask'", 1, "is \"ask\", expected enforcing, permissive or disabled"),
        ("registry = 3", 1, "registry is a number, expected tables that begin with [[registry]]"),
        ("[registry]\nlocation = 'a'", 1, "is a table, expected tables"),
        ("[[registry]]\n", 1, "neither prefix nor location"),
        ("[[registry]]\nlocation = 'a.b'\ninsecure = 'yes'", 3, "insecure is \"yes\", expected true or false"),
        ("[[registry]]\nlocation = 'a.b'\nblocked = 1", 3, "blocked is a number, expected true or false"),
        ("[[registry]]\nlocation = 'https://a.b'", 2, "expected host[:port][/path] without a scheme"),
        ("[[registry]]\nprefix = '*.a.b/c'", 2, "expected host[:port][/path]"),
        ("[[registry]]\nlocation = '*.a.b'", 1, "location begins with *"),
        ("[[registry]]\nlocation = 'a.b/../c'", 2, "expected host[:port][/path]"),
        ("[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]\ninsecure = true", 3, "no location"),
        (
            "[[registry]]\nlocation='a.b'\n[[registry.mirror]]\nlocation='c'\npull-from-mirror='some'",
            5,
            "expected all, digest-only or tag-only",
        ),
        (
            "[[registry]]\nlocation='a.b'\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation='c'\npull-from-mirror='tag-only'",
            1,
            "expected one of them",
        ),
        ("aliases = 1", 1, "aliases is a number, expected a table"),
        ("[aliases]\n\"a.b/c\" = 'd.e/f'", 2, "\"a.b/c\" is no alias"),
        ("[aliases]\n\"c:1\" = 'd.e/f'", 2, "is no alias"),
        ("[aliases]\nc = 'd.e/f:1'", 2, "expected a name with a registry, and without tag and digest"),
        ("[aliases]\nc = 'd'", 2, "expected a name with a registry"),
    ];
    for (text, expected_line, expected) in table {
        let Fault { line, problem } = parse(text).expect_err(text);
        assert!(problem.contains(expected), "{text}: {problem}");
        assert_eq!(line, expected_line, "{text}: {problem}");
    }
}

#[test]
fn no_text_is_too_odd() {
    let text = "short-name-mode = 'x'\n[aliases]\n'é' = \"ü\\u00fc\"\n[[registry]]\nprefix = '*.é'\n[[registry.mirror]]\nlocation = '[::1]:5/é'\n";
    for (end, _) in text.char_indices() {
        for tail in ["", "'", "]", "\n[[registry]]\nlocation = '[::1]:5/a'", "= 1979-05-27"] {
            // An error or not: it says where, within the text.
            let text = format!("{}{tail}", &text[..end]);
            if let Err(fault) = parse(&text) {
                assert!(fault.line >= 1 && fault.line <= text.lines().count().max(1) + 1, "{text}: {fault:?}");
            }
        }
    }
    assert!(parse("[[registry]]\nlocation = '[::1]:5/a'\n[[registry.mirror]]\nlocation='[::1]'").is_ok());
}

#[test]
fn unknown_keys_are_ignored_and_said() {
    let text = "new = 1\n[[registry]]\nlocation = 'a.b'\nodd = 2\n[[registry.mirror]]\nlocation = 'c.d'\nodder = 3\n\
                [[registry]]\nlocation = 'a.b'";
    let (found, ignored) = parse(text).unwrap();
    assert_eq!(found.rules.len(), 1);
    let mut said: Vec<_> = ignored.into_iter().map(|fault| (fault.line, fault.problem)).collect();
    said.sort();
    let expected = [
        (1, "new is not known"),
        (2, "a second [[registry]] for \"a.b\""),
        (4, "registry.odd is not known"),
        (7, "registry.mirror.odder is not known"),
    ];
    assert_eq!(said, expected.map(|(line, text)| (line, text.to_owned())));
}

#[test]
fn files_override_one_another() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    let main = write(
        "registries.conf",
        "unqualified-search-registries = ['main.example']\n[aliases]\na = 'x.y/main'\nb = 'x.y/b'\n[[registry]]\nlocation = 'r.example'\ninsecure = true",
    );
    let second = write("user.conf", "unqualified-search-registries = ['user.example']");
    write("one.d/10.conf", "[aliases]\na = 'x.y/ten'\n[[registry]]\nlocation = 'r.example'");
    write("one.d/20.conf", "unknown = 1\n[aliases]\na = 'x.y/twenty'\nb = ''");
    write("one.d/30.txt", "not toml");
    write("two.d/05.conf", "unqualified-search-registries = ['drop.example']");
    let cache = write("short.conf", "[aliases]\nc = 'x.y/cached'\nunknown = 'x.y/z'");
    let files = RegistriesFiles {
        given: None,
        usual: vec![dir.path().join("missing.conf"), main.clone(), second],
        drop_ins: vec![dir.path().join("one.d"), dir.path().join("missing.d"), dir.path().join("two.d")],
        aliases: Some(cache),
    };
    let events = std::cell::RefCell::new(Vec::new());
    let found = Registries::load(&files, &|event: Event| events.borrow_mut().push(event.to_string())).unwrap();
    assert_eq!(resolved(&found, "a:1").unwrap(), ["x.y/twenty:1"]);
    assert_eq!(resolved(&found, "b:1").unwrap(), ["drop.example/b:1"]);
    assert_eq!(resolved(&found, "c:1").unwrap(), ["x.y/cached:1"]);
    assert_eq!(plan(&found, "r.example/x:1").unwrap(), ["r.example/x:1"]);
    let events = events.into_inner();
    assert_eq!(events.len(), 1);
    assert!(events[0].ends_with("one.d/20.conf, line 1: unknown is not known; ignored"), "{events:?}");

    let given = RegistriesFiles { given: Some(main), ..RegistriesFiles::default() };
    let found = Registries::load(&given, &|_| {}).unwrap();
    assert_eq!(resolved(&found, "b:1").unwrap(), ["x.y/b:1"]);
    assert_eq!(plan(&found, "r.example/x:1").unwrap(), ["r.example/x:1!"]);
    let nothing = RegistriesFiles { given: Some("/dev/null".into()), ..RegistriesFiles::default() };
    assert_eq!(Registries::load(&nothing, &|_| {}).unwrap(), Registries::default());
    let missing = RegistriesFiles { given: Some(dir.path().join("missing.conf")), ..RegistriesFiles::default() };
    assert!(matches!(Registries::load(&missing, &|_| {}), Err(Error::Open { .. })));
    let broken = write("broken.conf", "\n\nshort-name-mode = 1");
    let broken = RegistriesFiles { given: Some(broken), ..RegistriesFiles::default() };
    let error = Registries::load(&broken, &|_| {}).unwrap_err().to_string();
    assert!(error.ends_with("broken.conf, line 3: short-name-mode is a number, expected a string"), "{error}");
}
