//! First inputs for what is read of and about registries: one of each kind of thing that the
//! parsers know.

/// Targets, names of seeds, and texts.
pub(crate) const SEEDS: &[(&str, &str, &str)] = &[
    ("challenge", "basic", r#"Basic realm="x""#),
    ("challenge", "bearer", r#"Bearer realm="https://a.example/token",service="a b",scope="repository:x:pull,push""#),
    ("challenge", "bare", "BEARER realm=https://a/t , error=\"x\\\"y\\\\z\""),
    ("challenge", "several", r#"Negotiate, Basic realm="r", Bearer realm="z", Digest a="b""#),
    (
        "netrc",
        "entries",
        "# comment\nmachine a.example login me password \"a \\\"b\\\"\"\nmachine b.example\n\taccount x\n\tlogin y\n\
         macdef init\nmachine c.example login no\n\ndefault login any password one\n",
    ),
    ("netrc", "anonymous", "default login anonymous password me@here machine A.EXAMPLE login l"),
    (
        "auth_file",
        "auths",
        r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTpi"},"a.example":{"username":"u","password":"p"},
"b.example:5000/a":{"identitytoken":"t"},"b.example:5000":{"registrytoken":"r"},"c":null},"HttpHeaders":{"x":"y"}}"#,
    ),
    (
        "auth_file",
        "helpers",
        r#"{"credHelpers":{"a.example":"secretservice","b.example:5000":"../x"},"credsStore":"pass"}"#,
    ),
    (
        "registries",
        "rules",
        "unqualified-search-registries = [\"docker.io\", \"a.b.example:5000\"]\nshort-name-mode = \"permissive\"\n\
         [aliases]\n\"alpine\" = \"docker.io/library/alpine\"\n\
         [[registry]]\nprefix = \"*.b.example\"\nlocation = \"c.example/d\"\nmirror-by-digest-only = true\n\
         [[registry.mirror]]\nlocation = \"mirror.example:5000/e\"\ninsecure = true\n\
         [[registry]]\nlocation = \"localhost:5000\"\nblocked = true\n",
    ),
    (
        "registries",
        "mirrors",
        "short-name-mode = \"enforcing\"\n[[registry]]\nprefix = \"docker.io/library\"\nlocation = \"[::1]:5000/l\"\n\
         [[registry.mirror]]\nlocation = \"m.example\"\npull-from-mirror = \"tag-only\"\nunknown = 1\n\
         [[registry.mirror]]\nlocation = \"n.example\"\npull-from-mirror = \"digest-only\"\n",
    ),
    ("registries", "old", "[registries.search]\nregistries = ['docker.io']\n"),
    ("source", "name", "ghcr.io/a/b:tag"),
    (
        "source",
        "docker",
        "docker://localhost:5000/x:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    ("source", "oci", "oci:/a/b:latest"),
    ("source", "oci-digest", "oci:d@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("source", "oci-archive", "oci-archive:x.tar:docker.io/library/x:1"),
    ("source", "docker-archive", "docker-archive:x.tar:a:1"),
    ("source", "docker-index", "docker-archive:x.tar:@3"),
    ("source", "tar", "tar:-"),
    ("source", "other", "containers-storage:x"),
    ("source", "capitals", "https://A.example/B"),
    ("source", "account", "https://quay.io/team/a"),
    ("source", "platform", "linux/arm64/v8"),
    ("text", "controls", "a\u{1b}[2J\u{7f}\u{9b}\u{2028}\u{202e}b\u{2066}\u{feff}\u{e0041}\r\n\té"),
    ("text", "joiners", "می\u{200c}خواهم 👩\u{200d}💻 ❤\u{fe0f}\u{200d}🔥 a\u{200d}b"),
    ("text", "json", "{\"a\u{202e}\": [\"\u{9b}\", 1.5, null],\r\n\t\"b\": {}}"),
    (
        "archives",
        "docker",
        r#"[{"Config":"config.json","RepoTags":["a:1","docker.io/library/b:latest"],"Layers":["layer.tar"]}]"#,
    ),
    (
        "archives",
        "docker-several",
        r#"[{"Config":"blobs/sha256/x","Layers":["../layer.tar"]},{"Config":"config.json","RepoTags":null,"Layers":null}]"#,
    ),
    (
        "archives",
        "oci",
        r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",
"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,
"annotations":{"org.opencontainers.image.ref.name":"docker.io/library/a:1"},"platform":{"os":"linux","architecture":"amd64"}}]}"#,
    ),
];
