//! What a shell completes: names in the store, and files behind what says of which kind they are.
//! Bash, zsh and fish are asked themselves.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use crate::image_store::{import, layout};
use crate::support::bake::{Bake, Place, binary, mode};
use crate::support::sample::small;
use crate::support::tools::{is_root, succeed, tool};

/// A place with some images in the store of its home, and some files.
fn place() -> Place {
    let place = Place::with(&small("x"));
    for name in ["alpine:3.20", "alpine:edge", "localhost:5000/team/app:v1", "ghcr.io/a/b:1"] {
        import(&place, &[&layout(&place), name]).ok();
    }
    fs::write(place.path().join("rootfs.tar"), "").unwrap();
    mode(&place.path().join("rootfs.tar"), 0o644);
    place
}

/// Shell commands in a bash that knows the completions, in the directory of a place.
fn bash(place: &Place, commands: &str) -> String {
    let script = place.path().join("completions.bash");
    fs::write(&script, Bake::of(&["completions", "bash"]).ok().stdout).unwrap();
    let dir = binary().parent().unwrap().display();
    let text = format!(
        "cd {place}; PATH={dir}:$PATH; export CVBAKE_STORE={store} HOME={place}/home; source {script}\n{commands}",
        place = place.path().display(),
        store = place.store().display(),
        script = script.display(),
    );
    let program = if is_root() { tool("setpriv", "util-linux") } else { tool("bash", "bash") };
    let mut command = program;
    if is_root() {
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "bash"]);
    }
    let output = command.args(["--norc", "-c", &text]).stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success() && stderr.is_empty(), "{commands}: {stdout}{stderr}");
    stdout
}

/// What bash puts in the place of its last word, as it takes a line apart itself.
fn completed(place: &Place, line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    // A run of characters of COMP_WORDBREAKS is a word of its own.
    for part in line.split(' ') {
        let mut rest = part;
        while let Some(at) = rest.find([':', '=', '@']) {
            let end =
                at + rest[at..].find(|character| ![':', '=', '@'].contains(&character)).unwrap_or(rest.len() - at);
            words.extend((at > 0).then(|| rest[..at].to_owned()));
            words.push(rest[at..end].to_owned());
            rest = &rest[end..];
        }
        if !rest.is_empty() || part.is_empty() {
            words.push(rest.to_owned());
        }
    }
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let commands = format!(
        "COMP_WORDS=({}) COMP_CWORD={} COMP_LINE='{line}' COMP_POINT={}; _cvbake; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1,
        line.len(),
    );
    bash(place, &commands).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn names_and_files_in_bash() {
    let place = place();
    let all = ["alpine:3.20", "alpine:edge", "ghcr.io/a/b:1", "localhost:5000/team/app:v1"];
    let transports = ["docker-archive:", "oci-archive:", "oci:", "tar:"];
    let table: [(&str, &[&str]); 22] = [
        ("cvbake image rm ", &all),
        ("cvbake image inspect al", &["alpine:3.20", "alpine:edge"]),
        // What bash takes for words of their own stays away.
        ("cvbake image inspect alpine:", &["3.20", "edge"]),
        ("cvbake image inspect alpine:e", &["edge"]),
        ("cvbake image history localhost:50", &["5000/team/app:v1"]),
        ("cvbake image history localhost:5000/team/app:", &["v1"]),
        ("cvbake image tag docker.io/", &["docker.io/library/alpine:3.20", "docker.io/library/alpine:edge"]),
        ("cvbake image tag library/alpine:3", &["3.20"]),
        ("cvbake push gh", &["ghcr.io/a/b:1"]),
        ("cvbake pull --all gh", &["ghcr.io/a/b:1"]),
        ("cvbake bake oci", &["oci-archive:", "oci:"]),
        ("cvbake bake oci:", &["home/", "image", "out/"]),
        ("cvbake bake oci:im", &["image"]),
        ("cvbake bake oci:./im", &["./image"]),
        ("cvbake bake oci:nothing", &[]),
        ("cvbake bake tar:root", &["rootfs.tar"]),
        ("cvbake bake tar:image/oci", &["image/oci-layout"]),
        ("cvbake image export ghcr.io/a/b:1 ", &transports),
        ("cvbake image export ghcr.io/a/b:1 oci-archive:r", &["rootfs.tar"]),
        ("cvbake image im", &["import"]),
        ("cvbake bake --keep-packs=al", &["always"]),
        ("cvbake bake --progress pl", &["plain"]),
    ];
    for (line, expected) in table {
        let mut found = completed(&place, line);
        // Options may be offered where there is nothing yet.
        found.retain(|found| !found.starts_with('-'));
        assert_eq!(found, expected, "{line:?}");
    }
    let sources = completed(&place, "cvbake bake ");
    assert!(all.iter().chain(&transports).all(|expected| sources.iter().any(|found| found == expected)), "{sources:?}");
    assert!(completed(&place, "cvbake image inspect --ra").contains(&"--raw".to_owned()));
    // Another store, and none.
    assert_eq!(completed(&place, "cvbake image rm --store /nowhere al"), [""; 0]);
    assert_eq!(completed(&place, "cvbake image rm --store=/nowhere al"), [""; 0]);
    assert_eq!(
        completed(&place, &format!("cvbake image rm --store {} gh", place.store().display())),
        ["ghcr.io/a/b:1"]
    );
}

/// A person types, and the key for completion does the rest.
#[test]
fn typed_in_bash() {
    let place = place();
    fs::write(place.path().join("c.bash"), Bake::of(&["completions", "bash"]).ok().stdout).unwrap();
    mode(&place.path().join("c.bash"), 0o644);
    let typed = "cvbake image ls --format '[{{.Name}}]' ghcr\t\nexit\n";
    let mut command = tool("script", "bsdutils");
    let rc = place.path().join("bashrc");
    let dir = binary().parent().unwrap().display();
    let lines = format!("PS1='$ '; PATH={dir}:$PATH; source {}\n", place.path().join("c.bash").display());
    fs::write(&rc, lines).unwrap();
    mode(&rc, 0o644);
    // The store belongs to the ordinary user.
    let user = if is_root() { "setpriv --reuid 65534 --regid 65534 --clear-groups" } else { "" };
    command.args(["-qec", &format!("{user} bash --noprofile --rcfile {} -i", rc.display()), "/dev/null"]);
    command.env("CVBAKE_STORE", place.store()).env("HOME", place.path().join("home")).env("TERM", "dumb");
    command.env("INPUTRC", "/dev/null").current_dir(place.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.lines().any(|line| line.trim_end() == "[ghcr.io/a/b:1]"), "{shown}");
}

/// Shell commands in a shell, in the directory of a place, with the completions for it in
/// `completions.SHELL`.
fn in_shell(place: &Place, shell: &str, flag: &str, commands: &str) -> String {
    let script = place.path().join(format!("completions.{shell}"));
    fs::write(&script, Bake::of(&["completions", shell]).ok().stdout).unwrap();
    mode(&script, 0o644);
    let mut command = if is_root() { tool("setpriv", "util-linux") } else { tool(shell, shell) };
    if is_root() {
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", shell]);
    }
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", binary().parent().unwrap().display()));
    command.env("CVBAKE_STORE", place.store()).env("HOME", place.path().join("home")).current_dir(place.path());
    succeed(command.args([flag, "-c", commands]))
}

/// What zsh is given to put in the place of the last word: with `+` where more is to follow, so
/// that there is no space behind it.
#[test]
fn names_and_files_in_zsh() {
    let place = place();
    let completed = |words: &[&str]| {
        let commands = format!(
            "compdef() {{ : }}\n\
             compadd() {{ local mark= list=${{@[-1]}}; [[ $* == *'-S '* ]] && mark=+; print -rl -- ${{^${{(P)list}}}}$mark }}\n\
             source ./completions.zsh\n\
             words=({}) CURRENT={}; _cvbake || true",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len(),
        );
        let found = in_shell(&place, "zsh", "-f", &commands);
        found.lines().filter(|line| !line.starts_with('-')).map(str::to_owned).collect::<Vec<_>>()
    };
    let table: [(&[&str], &[&str]); 7] = [
        (&["cvbake", "image", "inspect", "al"], &["alpine:3.20", "alpine:edge"]),
        (&["cvbake", "image", "history", "localhost:50"], &["localhost:5000/team/app:v1"]),
        (&["cvbake", "bake", "oci"], &["oci-archive:+", "oci:+"]),
        (&["cvbake", "bake", "oci:"], &["oci:home/+", "oci:out/+", "oci:image"]),
        (&["cvbake", "bake", "tar:root"], &["tar:rootfs.tar"]),
        (&["cvbake", "image", "im"], &["import"]),
        (&["cvbake", "bake", "oci:nothing"], &[]),
    ];
    for (words, expected) in table {
        assert_eq!(completed(words), expected, "{words:?}");
    }
    // One that zsh has to quote.
    fs::create_dir(place.path().join("my image")).unwrap();
    assert_eq!(completed(&["cvbake", "bake", "oci:my"]), ["oci:my image/+"]);
}

#[test]
fn names_and_files_in_fish() {
    let place = place();
    let completed = |line: &str| {
        let found = in_shell(&place, "fish", "--no-config", &format!("source completions.fish; complete -C '{line}'"));
        let words = found.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned());
        words.filter(|word| !word.starts_with('-')).collect::<Vec<_>>()
    };
    for (line, expected) in [
        ("cvbake image inspect al", &["alpine:3.20", "alpine:edge"][..]),
        ("cvbake bake oci", &["oci-archive:", "oci:"]),
        ("cvbake bake tar:root", &["tar:rootfs.tar"]),
        ("cvbake explain tar:root", &["tar:rootfs.tar"]),
        ("cvbake tree al", &["alpine:3.20", "alpine:edge"]),
        ("cvbake image im", &["import"]),
    ] {
        assert_eq!(completed(line), expected, "{line}");
    }
}

/// The other shells get scripts that ask in the same way.
#[test]
fn other_shells_ask_as_well() {
    let place = place();
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = Bake::of(&["completions", shell]).ok().stdout;
        assert!(script.contains("CVBAKE_COMPLETE"), "{shell}: {script}");
    }
    let ask = |shell: &str, words: &[&str]| {
        let bake = Bake::of(&["--"]).args(words).env("CVBAKE_COMPLETE", shell).env("CVBAKE_STORE", place.store());
        let bake = bake.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string()).env("_CLAP_IFS", "\n");
        let bake = bake.env("CVBAKE_COMPLETE_INDEX", (words.len() - 1).to_string());
        bake.env("HOME", place.path().join("home")).run()
    };
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let answer = ask(shell, &["cvbake", "image", "rm", "ghcr"]);
        assert!(answer.stdout.replace("\\:", ":").contains("ghcr.io/a/b:1"), "{shell}: {}", answer.describe());
    }
    for (shell, words) in [("nosuchshell", &["cvbake", ""][..]), ("zsh", &[])] {
        let answer = ask_any(&place, shell, words);
        assert_eq!((answer.code, answer.stdout.as_str(), answer.stderr.as_str()), (Some(1), "", ""));
    }
}

fn ask_any(place: &Place, shell: &str, words: &[&str]) -> crate::support::run::Outcome {
    Bake::of(&["--"]).args(words).env("CVBAKE_COMPLETE", shell).env("HOME", place.path().join("home")).run()
}
