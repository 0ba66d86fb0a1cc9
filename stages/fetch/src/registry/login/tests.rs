//! What becomes of files of credentials.

use std::process::{Command, Stdio};

use super::*;

fn account(text: &str) -> Account {
    Account::parse(text).unwrap()
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("containers/auth.json");
    if !text.is_empty() {
        fs::create_dir(dir.path().join("containers")).unwrap();
        fs::write(&path, text).unwrap();
    }
    (dir, path)
}

fn store(path: &Path, name: &str) {
    Logins::open(path).unwrap().store(&account(name), "u", "p", &Options::default()).unwrap();
}

fn erase(path: &Path, name: &str) -> Result<(), Error> {
    Logins::open(path).unwrap().erase(&account(name), &Options::default())
}

fn parsed(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn accounts() {
    let table = [
        ("quay.io", "quay.io"),
        ("https://quay.io/", "quay.io"),
        ("http://localhost:5000", "localhost:5000"),
        ("quay.io/team", "quay.io/team"),
        ("localhost", "localhost"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("[::1]:5000", "[::1]:5000"),
    ];
    for (text, name) in table {
        assert_eq!(account(text).name(), name, "{text}");
    }
    for text in [
        "",
        "/",
        "a b",
        "-x",
        ":5000",
        "a.io/x y",
        "a.io//x",
        "user@a.io",
        "a.io?x",
        "a.io/x:tag",
        "quay",
        "library/x",
        "https://",
        "docker://quay.io",
        "docker://v2/",
        "a.example:",
        "a.example:x",
        "a:b:1",
        "[::1",
        "[::1]:",
        "a.example//v2/",
        "a.example/v1/v2",
        "https://https://a.example",
    ] {
        assert!(matches!(Account::parse(text), Err(Error::Registrar { .. })), "{text:?}");
    }
}

#[test]
fn a_new_file_is_private() {
    let (_dir, path) = file("");
    store(&path, "quay.io");
    assert_eq!(parsed(&path), json!({ "auths": { "quay.io": { "auth": "dTpw" } } }));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left there");
    erase(&path, "quay.io").unwrap();
    assert_eq!(parsed(&path), json!({ "auths": {} }));
    let error = erase(&path, "quay.io").unwrap_err();
    assert!(matches!(error, Error::NotLoggedIn { .. }), "{error}");
}

#[test]
fn what_else_is_there_stays() {
    let text = r#"{"HttpHeaders":{"x":"y"},"auths":{"a.io":{"auth":"YTpi","more":1},"https://quay.io/v1/":{"auth":"eDp5","identitytoken":"t"},"quay.io/team":{"auth":"eDp6"}},"unknown":[1,2.5]}"#;
    let (_dir, path) = file(text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    store(&path, "quay.io");
    let expected = json!({
        "HttpHeaders": { "x": "y" },
        "auths": { "a.io": { "auth": "YTpi", "more": 1 }, "quay.io/team": { "auth": "eDp6" }, "quay.io": { "auth": "dTpw" } },
        "unknown": [1, 2.5],
    });
    assert_eq!(parsed(&path), expected);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    erase(&path, "quay.io").unwrap();
    assert!(parsed(&path)["auths"].get("quay.io/team").is_some(), "a part of it is something else");
    assert_eq!(Logins::open(&path).unwrap().erase_all(&Options::default()).unwrap(), 2);
    assert_eq!(parsed(&path), json!({ "HttpHeaders": { "x": "y" }, "auths": {}, "unknown": [1, 2.5] }));
}

#[test]
fn docker_hub_has_many_names() {
    let (dir, path) = file(r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTpi"},"docker.io":{"auth":"YTpi"}}}"#);
    store(&path, "docker.io");
    assert_eq!(parsed(&path), json!({ "auths": { "docker.io": { "auth": "dTpw" } } }));
    let path = dir.path().join("config.json");
    store(&path, "docker.io");
    assert_eq!(parsed(&path), json!({ "auths": { "https://index.docker.io/v1/": { "auth": "dTpw" } } }));
}

#[test]
fn a_link_is_followed() {
    let (dir, path) = file(r#"{"auths":{}}"#);
    let link = dir.path().join("link.json");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    store(&link, "a.io");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(parsed(&path)["auths"]["a.io"]["auth"], "dTpw");
    fs::remove_file(&path).unwrap();
    assert!(matches!(Logins::open(&link), Err(Error::Logins { .. })), "it leads nowhere");
}

#[test]
fn files_of_another_form_are_not_touched() {
    for text in ["{", "[]", "hidden", r#"{"auths":[]}"#, r#"{"auths":{},"credHelpers":"x"}"#] {
        let (_dir, path) = file(text);
        let error = Logins::open(&path).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(!cause.contains("hidden") && cause.contains("is not"), "{cause}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let (dir, _) = file(r#"{"auths":{}}"#);
    assert!(Logins::open(dir.path()).is_err(), "a directory");
}

/// Makes a program. Another process writes it: a child that another thread forks meanwhile would
/// have it open for writing, so that nobody could run it.
fn program(path: &Path, script: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// A helper that writes down what it is asked.
fn helper(dir: &Path, name: &str) -> Options {
    let path = dir.join(format!("docker-credential-{name}"));
    let script = format!(
        "#!/bin/sh\n{{ printf '%s %s ' {name} $1; cat; echo; }} >> {}/log\n[ $1 != get ] || echo '{{\"Username\":\"u\",\"Secret\":\"p\"}}'\n",
        dir.display()
    );
    program(&path, &script);
    Options { helper_path: Some(dir.to_owned()), ..Options::default() }
}

#[test]
fn helpers_keep_secrets() {
    let text = r#"{"auths":{"old.io":{}},"credsStore":"all","credHelpers":{"one.io":"one"}}"#;
    let (dir, path) = file(text);
    helper(dir.path(), "one");
    let options = helper(dir.path(), "all");
    let open = || Logins::open(&path).unwrap();
    open().store(&account("one.io"), "u", "p", &options).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "the file says already who has them");
    open().store(&account("docker.io"), "u", "p", &options).unwrap();
    assert_eq!(parsed(&path)["auths"], json!({ "old.io": {}, "docker.io": {} }), "no secret in the file");
    open().erase(&account("docker.io"), &options).unwrap();
    assert_eq!(open().erase_all(&options).unwrap(), 2);
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    let expected = [
        r#"one store {"ServerURL":"one.io","Username":"u","Secret":"p"}"#,
        r#"all store {"ServerURL":"https://index.docker.io/v1/","Username":"u","Secret":"p"}"#,
        "all get https://index.docker.io/v1/",
        "all erase https://index.docker.io/v1/",
        "all erase old.io",
        "one erase one.io",
    ];
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);

    let (_dir, path) = file(r#"{"credsStore":"../evil"}"#);
    let error = Logins::open(&path).unwrap().store(&account("a.io"), "u", "p", &options).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("not the name of a credential helper"));
}
