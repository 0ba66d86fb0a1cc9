//! Configuration files and variables, and who wins.

use std::fs;
use std::path::PathBuf;

use crate::support::bake::{Bake, Place, mode};
use crate::support::ext4::Ext4;
use crate::support::sample::small;

const MIB: u64 = 1 << 20;

/// A bake of nothing but what the configuration says.
fn bake(place: &Place) -> Bake {
    let image = format!("oci:{}:latest", place.path().join("image").display());
    Bake::of(&["bake", &image, "--force", "-o"]).arg(place.disk()).env("HOME", place.path().join("home"))
}

fn write(place: &Place, name: &str, text: &str) -> PathBuf {
    let path = place.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    mode(&path, 0o644);
    path
}

fn len(place: &Place) -> u64 {
    fs::metadata(place.disk()).unwrap().len()
}

#[test]
fn arguments_before_variables_before_files() {
    let place = Place::with(&small("x"));
    let store = place.writable("store");
    let text =
        format!("size = \"64M\"\nno-journal = true\nplatform = \"linux/amd64\"\nstore = \"{}\"\n", store.display());
    write(&place, "home/.config/cvbake/config.toml", &text);
    bake(&place).ok();
    assert_eq!(len(&place), 64 * MIB);
    assert!(!Ext4::open(&place.disk()).has_journal(), "the file says that there is no journal");
    assert!(store.join("indexes-v1").is_dir(), "the file says where the store is");
    bake(&place).env("CVBAKE_SIZE", "65M").env("CVBAKE_NO_JOURNAL", "false").ok();
    assert_eq!(len(&place), 65 * MIB);
    assert!(Ext4::open(&place.disk()).has_journal(), "a variable overrides the file");
    bake(&place).env("CVBAKE_SIZE", "65M").args(["--size", "66M", "--journal"]).ok();
    assert_eq!(len(&place), 66 * MIB);
    assert!(Ext4::open(&place.disk()).has_journal(), "an argument overrides the file");
    let other = write(&place, "other.toml", "size = \"67M\"\nno-cache = true\n");
    bake(&place).arg("--platform=linux/amd64").arg("--config").arg(&other).ok();
    assert_eq!(len(&place), 67 * MIB);
    bake(&place).arg("--platform=linux/amd64").env("CVBAKE_CONFIG", &other).ok();
    assert_eq!(len(&place), 67 * MIB);
}

/// What is configured is weaker than any argument, also one that could not stand beside it.
#[test]
fn what_is_set_conflicts_with_nothing() {
    let place = Place::with(&small("x"));
    let set = |bake: Bake| bake.env("CVBAKE_PLATFORM", "linux/amd64").env("HOME", place.path().join("home"));
    let image = format!("oci:{}:latest", place.path().join("image").display());
    set(Bake::of(&["image", "export", "--all", &image]))
        .arg(format!("oci:{}", place.path().join("out/x").display()))
        .ok();
    set(Bake::of(&["image", "export", "--help"]))
        .ok()
        .stdout
        .find("[env: CVBAKE_PLATFORM]")
        .expect("help names variables");
}

#[test]
fn what_is_wrong_is_said_to_be_in_the_file() {
    let place = Place::with(&small("x"));
    for (text, expected) in [
        ("size = \"huge\"", "(set by {file}, line 1)"),
        ("jobs = 0", "(set by {file}, line 1)"),
        ("\nno-journal = 1", "the configuration {file}, line 2: "),
        ("sise = 1", "the configuration {file}, line 1: there is no key \"sise\""),
        ("size", "the configuration {file}, line 1: not TOML"),
    ] {
        let file = write(&place, "home/.config/cvbake/config.toml", text);
        let outcome = bake(&place).run();
        let line = outcome.error(&[2]);
        assert!(line.contains(&expected.replace("{file}", &file.display().to_string())), "{line}");
    }
    Bake::of(&["bake", "--help"]).env("HOME", place.path().join("home")).ok();
    fs::remove_dir_all(place.path().join("home/.config")).unwrap();
    let outcome = bake(&place).env("CVBAKE_SIZE", "huge").run();
    assert!(outcome.error(&[2]).contains("(set by the variable CVBAKE_SIZE)"), "{}", outcome.describe());
    let outcome = bake(&place).args(["--config", "/nowhere.toml"]).run();
    assert!(outcome.error(&[2]).contains("/nowhere.toml: there is no such file"), "{}", outcome.describe());
}

#[test]
fn shown() {
    let place = Place::new();
    let file = write(&place, "home/.config/cvbake/config.toml", "size = \"64M\"\n\ninsecure = [\"a:1\", \"b\"]\n");
    let show = |args: &[&str]| {
        let bake = Bake::of(&["config", "show"]).args(args).env("HOME", place.path().join("home"));
        bake.env("CVBAKE_INODES", "1/16K").ok().stdout
    };
    let rows: serde_json::Value = serde_json::from_str(&show(&["--json"])).unwrap();
    let row = |key: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
        (row["value"].as_str().map(str::to_owned), row["from"].as_str().unwrap().to_owned())
    };
    assert_eq!(row("size"), (Some("64M".to_owned()), format!("{}, line 1", file.display())));
    assert_eq!(row("insecure"), (Some("a:1,b".to_owned()), format!("{}, line 3", file.display())));
    assert_eq!(row("inodes"), (Some("1/16K".to_owned()), "$CVBAKE_INODES".to_owned()));
    assert_eq!(row("engine"), (Some("native".to_owned()), "default".to_owned()));
    assert_eq!(row("store").1, "default");
    assert_eq!(row("authfile"), (None, "default".to_owned()));
    let text = show(&[]);
    assert!(text.contains(&format!("file  {}\n", file.display())), "{text}");
}

/// No shell expands what is in a file or comes from a service manager.
#[test]
fn paths_are_expanded() {
    let place = Place::with(&small("x"));
    let home = place.writable("home");
    let is_store = |path: &str| place.path().join(path).join("indexes-v1").is_dir();
    write(&place, "home/.config/cvbake/config.toml", "store = \"~/stores/a\"\n");
    bake(&place).ok();
    assert!(is_store("home/stores/a"), "~ in a file");
    bake(&place).env("CVBAKE_STORE", "~/b").ok();
    assert!(is_store("home/b"), "~ in a variable");
    write(&place, "home/.config/cvbake/config.toml", "store = \"../../c\"\n");
    bake(&place).ok();
    assert!(is_store("home/c"), "relative to the file");
    write(&place, "home/.config/cvbake/config.toml", "authfile = \"~/auth.json\"\n");
    let outcome = bake(&place).run();
    let line = outcome.error(&[2]);
    assert!(line.contains(&home.join("auth.json").display().to_string()), "{line}");
    write(&place, "home/.config/cvbake/config.toml", "\nstore = \"~other/x\"\n");
    let outcome = bake(&place).run();
    let line = outcome.error(&[2]);
    assert!(line.contains("config.toml, line 2: store: ~other/x begins with the home directory of another"), "{line}");
    assert!(outcome.stderr.contains("hint: a path starts with /"), "{}", outcome.describe());
}

/// What is never a registry is not waited for to be one.
#[test]
fn registries_that_are_none() {
    let place = Place::with(&small("x"));
    for (value, origin) in
        [("true", "variable"), ("https://a.example", "argument"), ("a.example/b", "argument"), ("", "argument")]
    {
        let outcome = match origin {
            "variable" => bake(&place).env("CVBAKE_INSECURE", value).run(),
            _ => bake(&place).arg(format!("--insecure={value}")).run(),
        };
        let line = outcome.error(&[2]);
        assert!(line.contains("expected a registry without scheme and path"), "{value}: {line}");
        assert_eq!(line.contains("(set by the variable CVBAKE_INSECURE)"), origin == "variable", "{line}");
    }
    bake(&place).arg("--insecure").ok();
    bake(&place).env("CVBAKE_INSECURE", "a.example,localhost:5000").ok();
}

/// What needs no configuration works with a broken one.
#[test]
fn manual_pages_and_completions_need_no_file() {
    let place = Place::new();
    write(&place, "home/.config/cvbake/config.toml", "sise = 1\n");
    let home = place.path().join("home");
    for args in [&["man", "bake"][..], &["completions", "bash"]] {
        let outcome = Bake::of(args).env("HOME", &home).ok();
        assert!(!outcome.stdout.is_empty(), "{}", outcome.describe());
    }
    Bake::of(&["config", "show"]).env("HOME", &home).run().error(&[2]);
}

/// A value that the parser takes may still be a wrong one.
#[test]
fn hints_say_where_a_value_is_from() {
    let place = Place::with(&small("x"));
    let file = write(&place, "home/.config/cvbake/config.toml", "size = 20\n");
    let outcome = bake(&place).arg("--quiet").run();
    outcome.error(&[5]);
    let said = format!("; size = 20 is set by {}, line 1\n", file.display());
    assert!(outcome.stderr.contains(&said), "{}", outcome.describe());
    let outcome = bake(&place).arg("--quiet").env("CVBAKE_SIZE", "21").run();
    assert!(outcome.stderr.contains("; size = 21 is set by the variable CVBAKE_SIZE\n"), "{}", outcome.describe());
    let outcome = bake(&place).args(["--quiet", "--size", "22"]).run();
    outcome.error(&[5]);
    assert!(!outcome.stderr.contains("is set by"), "{}", outcome.describe());
}

/// Whoever looks for what is wrong finds all of it, and scripts find the status that a bake would
/// have.
#[test]
fn wrong_values_are_shown() {
    let place = Place::new();
    let text = "size = \"huge\"\nengine = \"mkf\"\njobs = 2\n";
    let file = write(&place, "home/.config/cvbake/config.toml", text);
    let show = |args: &[&str]| Bake::of(&["config", "show"]).args(args).env("HOME", place.path().join("home"));
    let outcome = show(&["--json"]).env("CVBAKE_SYNC", "perhaps").run();
    let line = outcome.error(&[2]);
    assert!(line.contains("--size") && line.contains(&format!("(set by {}, line 1)", file.display())), "{line}");
    let rows: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let wrong = rows.as_array().unwrap().iter().filter(|row| !row["problem"].is_null());
    assert_eq!(wrong.clone().map(|row| row["key"].as_str().unwrap()).collect::<Vec<_>>(), ["size", "engine", "sync"]);
    let problems: Vec<&str> = wrong.map(|row| row["problem"].as_str().unwrap()).collect();
    assert!(problems[2].ends_with("(set by the variable CVBAKE_SYNC)"), "{problems:?}");
    assert!(show(&[]).run().stdout.contains(", line 2 (wrong)\n"), "{}", outcome.describe());
    write(&place, "home/.config/cvbake/config.toml", "sise = \"1G\"\n");
    assert!(show(&[]).run().error(&[2]).contains("there is no key \"sise\""));
}

/// The help is the same for everybody.
#[test]
fn help_has_the_defaults_that_are_built_in() {
    let place = Place::new();
    write(&place, "home/.config/cvbake/config.toml", "size = \"64M\"\nstore = \"/nowhere\"\n");
    let help = Bake::of(&["bake", "--help"]).env("HOME", place.path().join("home"));
    let help = help.env("CVBAKE_ENGINE", "mkfs").ok().stdout;
    assert!(!help.contains("64M") && !help.contains("/nowhere") && !help.contains("[default: mkfs]"), "{help}");
    assert!(help.contains("[default: native]") && help.contains("[env: CVBAKE_SIZE]"), "{help}");
}
