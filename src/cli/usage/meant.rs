//! What somebody means who knows other programs: their words, and where the same is here.

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::foreign::{self, Answer};
use super::{HELP, subcommands};
use crate::cli::advice::Options;
use crate::cli::{Cli, values};

/// Words of docker, podman, skopeo, crane, umoci and ctr; the subcommand that is meant; and what
/// that does.
const WORDS: [(&[&str], &str, &str); 21] = [
    (&["ls", "list", "images"], "image ls", "lists the images in the store"),
    (&["rmi", "rm", "remove", "delete", "del", "untag"], "image rm", "removes images from the store"),
    (&["save", "export", "copy", "cp"], "image export", "writes an image to a file or a directory"),
    (&["load", "import"], "image import", "brings an image from a file into the store"),
    (&["show", "manifest", "digest"], "image inspect", "shows what is known of an image"),
    (&["history"], "image history", "shows how an image was built"),
    (&["tag"], "image tag", "gives an image in the store more names"),
    (&["list-tags", "tag-list", "ls-tags", "search"], "tags", "lists the tags of a repository in a registry"),
    (&["pull", "fetch", "get"], "pull", "fetches an image into the store"),
    (&["push", "send", "put"], "push", "sends an image to a registry"),
    (&["build", "create", "unpack", "mkfs", "make"], "bake", "bakes an image into a disk"),
    (&["convert"], "disk convert", "writes a disk to another file, in any format"),
    (&["resize", "grow", "shrink"], "disk resize", "makes a disk larger or smaller"),
    (&["cat"], "disk cat", "prints a file on a disk"),
    (&["verify"], "verify", "compares a disk with an image"),
    (&["diff", "compare"], "diff", "compares two disks"),
    (&["gc", "clean", "cleanup"], "store gc", "removes what nothing needs from the store"),
    (&["prune", "system"], "store prune", "removes images that have not been used for long"),
    (&["stats", "df", "du", "info", "status"], "store stats", "shows how much is in the store"),
    (&["check", "fsck", "scrub"], "store check", "verifies everything in the store"),
    (&["auth", "signin"], "login", "logs in to a registry"),
];

/// Words of programs that start containers and machines.
const RUN: [&str; 6] = ["run", "start", "exec", "ps", "boot", "up"];

/// A hint about what is meant; none if that is not known, or the parser knows it better.
pub(super) fn hint(error: &clap::Error, args: &[OsString]) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let said = text(ContextKind::InvalidSubcommand)?;
            let is_near = error.get(ContextKind::SuggestedSubcommand).is_some();
            word(said).or_else(|| slip(said).filter(|_| !is_near))
        }
        ErrorKind::UnknownArgument => argument(text(ContextKind::InvalidArg)?, args),
        ErrorKind::MissingRequiredArgument => missing(error, subcommands(args).first()?),
        _ => None,
    }
}

fn word(said: &str) -> Option<String> {
    if RUN.contains(&said) {
        return Some(
            "cvbake runs nothing: `cvbake pull-and-build IMAGE -o disk.ext4` makes a disk for a virtual machine"
                .to_owned(),
        );
    }
    if said == "version" {
        return Some("`cvbake --version` prints it".to_owned());
    }
    let (_, command, what) = WORDS.iter().find(|(words, ..)| words.contains(&said))?;
    Some(format!("`cvbake {command}` {what}"))
}

/// A word that is mistyped, where the parser, which knows only its own words of one level, finds
/// none that is like it.
fn slip(said: &str) -> Option<String> {
    /// In shorter ones, a letter more or less makes another word.
    const MIN_LEN: usize = 4;
    let (_, command, what) =
        WORDS.iter().find(|(words, ..)| words.iter().any(|word| word.len() >= MIN_LEN && is_slip(said, word)))?;
    Some(format!("did you mean `cvbake {command}`? It {what}"))
}

/// Whether one letter too many, too few or wrong, or two in the wrong order, make one of the other.
fn is_slip(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let start = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let (one, other) = (&one[start..], &other[start..]);
    let end = one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count();
    match (&one[..one.len() - end], &other[..other.len() - end]) {
        ([] | [_], [] | [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

const BAKES: [&str; 2] = ["bake", "pull-and-build"];

/// About an argument that is one too many, or an option of another subcommand or program.
fn argument(said: &str, args: &[OsString]) -> Option<String> {
    let words = subcommands(args);
    let subcommand = words.first()?.as_str();
    if let Some(option) = said.starts_with('-').then(|| said.split('=').next().unwrap_or_default())
        && is_before_subcommand(option, args, words.len())
        && Options::of(&Cli::command(), &words).has(option)
    {
        return Some(format!("put it behind the command, such as `cvbake {} {option}`", words.join(" ")));
    }
    // A word too many may be due to one that was to be the value of an option.
    if let Some(host) = detached_host(args).filter(|_| !said.starts_with('-')) {
        return Some(format!("did you mean --insecure={host}?"));
    }
    if let Some(option) = detached(said, &words, args) {
        return Some(format!("did you mean {option}={said}?"));
    }
    let is_output = |text: &str| text.starts_with("--output") || (text.starts_with("-o") && !text.starts_with("--"));
    let has_output = args.iter().filter_map(|arg| arg.to_str()).any(is_output);
    if BAKES.contains(&subcommand) && !said.starts_with('-') && !has_output {
        return Some(format!("did you mean -o {said}?"));
    }
    if subcommand == "pull" && is_output(said) {
        return Some(
            "`cvbake pull-and-build REF -o DISK` bakes a disk, `cvbake image export REF oci:DIR` writes the image"
                .to_owned(),
        );
    }
    match foreign::answer(said.split('=').next()?, &Cli::command(), &words, args)? {
        Answer::Hint(hint) => Some(hint),
        Answer::Nothing => Some(HELP.to_owned()),
    }
}

/// Whether an option stands before the last of the words that name the subcommand.
fn is_before_subcommand(option: &str, args: &[OsString], words: usize) -> bool {
    let is_it = |arg: &OsString| arg.to_str().is_some_and(|arg| arg.split('=').next() == Some(option));
    args.iter().position(is_it).is_some_and(|at| subcommands(&args[..at]).len() < words)
}

/// What stands behind `--insecure`, which takes a value only with a `=`, where that is a registry.
fn detached_host(args: &[OsString]) -> Option<&str> {
    let behind = args.windows(2).find(|pair| pair[0] == *"--insecure")?[1].to_str()?;
    (behind.contains(['.', ':']) || behind == "localhost").then(|| values::host(behind).is_ok().then_some(behind))?
}

/// The option in front of a word that is one of its values, where it takes values only with a `=`.
fn detached(said: &str, words: &[String], args: &[OsString]) -> Option<String> {
    let root = Cli::command();
    let command = words.iter().fold(&root, |command, word| command.find_subcommand(word).unwrap_or(command));
    let option = args.windows(2).find(|pair| pair[1] == *said)?[0].to_str()?;
    let argument = command.get_arguments().find(|argument| argument.get_long() == option.strip_prefix("--"))?;
    let values = argument.get_possible_values();
    let is_value = argument.is_require_equals_set() && values.iter().any(|value| value.matches(said, false));
    is_value.then(|| option.to_owned())
}

fn missing(error: &clap::Error, subcommand: &str) -> Option<String> {
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else { return None };
    let is_output = |argument: &String| argument.starts_with("--output");
    (BAKES.contains(&subcommand) && missing.iter().any(is_output))
        .then(|| "-o disk.ext4 writes the disk to that file".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_exists() {
        let command = Cli::command();
        for (words, meant, _) in WORDS {
            let found = meant.split(' ').try_fold(&command, |command, word| command.find_subcommand(word));
            assert!(found.is_some(), "{words:?}: {meant}");
        }
    }

    fn said(args: &[&str]) -> Option<String> {
        let args: Vec<OsString> = ["cvbake"].iter().chain(args).map(OsString::from).collect();
        hint(&Cli::command().try_get_matches_from(&args).unwrap_err(), &args)
    }

    #[test]
    fn words_of_other_programs() {
        for (args, expected) in [
            (&["ls"][..], "`cvbake image ls` lists the images in the store"),
            (&["images"], "`cvbake image ls` lists the images in the store"),
            (&["rmi", "alpine"], "`cvbake image rm` removes images from the store"),
            (&["save", "alpine"], "`cvbake image export` writes an image to a file or a directory"),
            (&["load"], "`cvbake image import` brings an image from a file into the store"),
            (&["show", "alpine"], "`cvbake image inspect` shows what is known of an image"),
            (&["--config", "x", "show"], "`cvbake image inspect` shows what is known of an image"),
            (&["image", "save", "x"], "`cvbake image export` writes an image to a file or a directory"),
            (&["image", "pull", "x"], "`cvbake pull` fetches an image into the store"),
            (&["store", "ls"], "`cvbake image ls` lists the images in the store"),
            (
                &["run", "alpine"],
                "cvbake runs nothing: `cvbake pull-and-build IMAGE -o disk.ext4` makes a disk for a virtual machine",
            ),
            (&["exprot"], "did you mean `cvbake image export`? It writes an image to a file or a directory"),
            (&["imprt"], "did you mean `cvbake image import`? It brings an image from a file into the store"),
            (&["version"], "`cvbake --version` prints it"),
            (&["bake", "alpine", "disk.ext4"], "did you mean -o disk.ext4?"),
            (&["pull-and-build", "--json", "alpine:3", "disk.ext4"], "did you mean -o disk.ext4?"),
            (&["-q", "bake", "alpine", "-o", "x"], "put it behind the command, such as `cvbake bake -q`"),
            (&["--store", "/s", "image", "ls"], "put it behind the command, such as `cvbake image ls --store`"),
            (&["image", "--store=/s", "ls"], "put it behind the command, such as `cvbake image ls --store`"),
            (&["--json", "pull", "x"], "put it behind the command, such as `cvbake pull --json`"),
            (&["-q", "image", "rm", "x"], "leave it out: only the result is printed, and what went wrong"),
            (&["pull", "--insecure", "localhost:5000", "app"], "did you mean --insecure=localhost:5000?"),
            (&["bake", "--insecure", "r.example", "app", "-o", "x"], "did you mean --insecure=r.example?"),
            (&["bake", "--insecure", "alpine", "disk.ext4"], "did you mean -o disk.ext4?"),
            (&["bake", "alpine"], "-o disk.ext4 writes the disk to that file"),
            (&["convert", "a", "b"], "`cvbake disk convert` writes a disk to another file, in any format"),
            (&["disk", "verify", "a"], "`cvbake verify` compares a disk with an image"),
            (&["image", "diff", "a", "b"], "`cvbake diff` compares two disks"),
            (&["bake", "a", "-o", "b", "--verity", "beside"], "did you mean --verity=beside?"),
        ] {
            assert_eq!(said(args).as_deref(), Some(expected), "{args:?}");
        }
        for args in [
            &["bake", "a", "b", "-o", "c"][..],
            &["bake", "a", "--forc"],
            &["bale"],
            &["sl"],
            &["inspectorate"],
            &["image", "tag", "x"],
            &["pull", "a", "b"],
        ] {
            assert_eq!(said(args), None, "{args:?}");
        }
        assert!(said(&["pull", "a", "-o", "b"]).unwrap().contains("pull-and-build"));
    }
}
