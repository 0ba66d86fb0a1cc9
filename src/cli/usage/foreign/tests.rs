//! Whom each answer reaches, and that it is right there.

use clap::CommandFactory as _;

use super::*;
use crate::cli::Cli;

/// The words of every subcommand that does something, and itself.
fn leaves(command: &Command, words: &[String], found: &mut Vec<(Vec<String>, Command)>) {
    if !command.has_subcommands() {
        found.push((words.to_vec(), command.clone()));
    }
    for below in command.get_subcommands() {
        leaves(below, &[words, &[below.get_name().to_owned()]].concat(), found);
    }
}

fn all() -> Vec<(Vec<String>, Command)> {
    let mut found = Vec::new();
    leaves(&Cli::command(), &[], &mut found);
    found
}

/// Whether the subcommand itself knows an option.
fn has(command: &Command, option: &str) -> bool {
    let mut args = command.get_arguments();
    args.any(|arg| {
        let long = arg.get_long().is_some_and(|name| option == format!("--{name}"));
        long || arg.get_short().is_some_and(|letter| option == format!("-{letter}"))
    })
}

#[test]
fn what_is_recommended_exists() {
    let (root, all) = (Cli::command(), all());
    for (foreign, on, hint) in ROWS {
        for name in *on {
            assert!(all.iter().any(|(words, _)| words.join(" ") == *name), "there is no {name}");
        }
        for option in foreign.split(' ') {
            // Each row is for somebody, and no row before it takes that away.
            let is_given = |words: &Vec<String>, command: &Command| {
                let options = Options::of(&root, words);
                let given = answer(option, &root, words, &[]);
                !has(command, option) && fit(&options, hint).is_some_and(|hint| given == Some(Answer::Hint(hint)))
            };
            assert!(all.iter().any(|(words, command)| is_given(words, command)), "{option} is never answered {hint:?}");
        }
        // What stands in backticks is a command that the parser takes, but for its placeholders.
        for command in hint.split('`').skip(1).step_by(2).filter(|command| command.starts_with("cvbake ")) {
            let args = command.split(' ').map(|word| word.trim_matches('\''));
            root.clone().try_get_matches_from(args).unwrap_or_else(|error| panic!("{command}: {error}"));
        }
    }
}

/// For every subcommand and every row: the options in the answer are the subcommand's.
#[test]
fn answers_are_about_the_command() {
    let root = Cli::command();
    let globals = ["-v", "-vv"];
    for (words, command) in all() {
        for option in ROWS.iter().flat_map(|(foreign, ..)| foreign.split(' ')) {
            let Some(Answer::Hint(hint)) = answer(option, &root, &words, &[]) else { continue };
            let own: String = hint.split('`').step_by(2).collect();
            let named = own.split([' ', ',', ':']).filter(|word| word.starts_with('-') && !globals.contains(word));
            for named in named {
                assert!(has(&command, named), "{words:?} {option}: {hint}");
            }
        }
    }
}

#[test]
fn answers() {
    let root = Cli::command();
    let platform = "--platform os/arch[/variant], such as --platform linux/arm64, chooses the platform";
    for (command, option, expected) in [
        ("pull", "--tls-verify", VERIFIED),
        ("push", "--dest-tls-verify", VERIFIED),
        ("push", "--insecure-skip-tls-verify", INSECURE),
        ("pull", "--skip-tls-verify", INSECURE),
        ("bake", "--arch", platform),
        ("image inspect", "--override-arch", platform),
        (
            "bake",
            "--threads",
            "--jobs N sets the number of threads; --connections N sets how many blobs are fetched or sent at once",
        ),
        ("store check", "--threads", "--jobs N sets the number of threads"),
        ("pull", "--threads", "--connections N sets how many blobs are fetched or sent at once"),
        ("pull", "--username", "`cvbake login REGISTRY` logs in for all commands; --creds USER:PASSWORD is for one"),
        ("pull", "--format", "--json prints the result as JSON"),
        (
            "image export",
            "--format",
            "the transport in front of the destination says the format, such as oci-archive:alpine.tar; --json prints the \
             result as JSON",
        ),
        (
            "push",
            "--format",
            "leave it out: manifests are sent as they are, and an image of `docker save` gets an OCI manifest; --json prints \
             the result as JSON",
        ),
        ("image inspect", "--format", "leave it out: the result is always JSON"),
        ("store stats", "--format", "--json prints the result as JSON"),
        ("disk child", "--format", "leave it out: a differencing disk is always a VHDX"),
        ("bake", "--overwrite", "--force replaces what exists"),
        ("store prune", "--force", "leave it out: cvbake asks for no confirmation"),
        ("tags", "--debug", "-v says what is done, -vv also what registries are asked"),
        ("tags", "--quiet", "leave it out: only the result is printed, and what went wrong"),
        ("image history", "-q", "--json prints the digests of layers; the steps have no IDs"),
        ("image rm", "-q", "leave it out: only the result is printed, and what went wrong"),
        ("pull", "--silent", "--quiet prints only warnings and errors"),
        ("bake", "-s", "--size 20G sets the size of the disk"),
        ("bake", "-t", "--fs erofs chooses EROFS; without it, the filesystem is ext4"),
        ("image ls", "--no-trunc", "--digests shows whole digests"),
    ] {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        assert_eq!(answer(option, &root, &words, &[]), Some(Answer::Hint(expected.to_owned())), "{command} {option}");
    }
    assert_eq!(answer("--arch", &root, &["store".to_owned(), "gc".to_owned()], &[]), Some(Answer::Nothing));
    assert_eq!(answer("--forc", &root, &["bake".to_owned()], &[]), None);
}

/// What turns the verification off in one program turns it on in another.
#[test]
fn verifying_is_told_from_not_verifying() {
    let root = Cli::command();
    let said = |command: &str, args: &[&str]| {
        let option = args[0].split('=').next().unwrap();
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        answer(option, &root, &[command.to_owned()], &args)
    };
    for (args, hint) in [
        (&["--tls-verify"][..], VERIFIED),
        (&["--tls-verify=true"], VERIFIED),
        (&["--tls-verify", "true"], VERIFIED),
        (&["--tls-verify=false"], INSECURE),
        (&["--dest-tls-verify", "false"], INSECURE),
        (&["--src-tls-verify", "x", "false"], VERIFIED),
        (&["--insecure-skip-tls-verify"], INSECURE),
        (&["--insecure-skip-tls-verify=true"], INSECURE),
        (&["--skip-tls-verify=true"], INSECURE),
        (&["--skip-tls-verify=false"], VERIFIED),
        (&["--plain-http=false"], VERIFIED),
    ] {
        assert_eq!(said("pull", args), Some(Answer::Hint(hint.to_owned())), "{args:?}");
    }
    for option in ["--tls-verify=false", "--skip-tls-verify", "--skip-tls-verify=false"] {
        assert_eq!(said("logout", &[option]), Some(Answer::Nothing), "{option}");
    }
}
