//! From a hint about an error to one for the command that failed: hints speak of the program's
//! options, and do not know which of them the command has.

use std::path::PathBuf;

use clap::Command;
use cvbake::text;

/// The options that a command has and tells of, with their dashes, and the store that it was given.
#[derive(Debug, Clone)]
pub(super) struct Options {
    names: Vec<String>,
    /// Of the program and all of its subcommands.
    root: Command,
    store: Option<PathBuf>,
}

impl Options {
    /// Those of the subcommand that these words lead to.
    pub(super) fn of(root: &Command, words: &[String]) -> Options {
        let command = words.iter().fold(root, |command, word| command.find_subcommand(word).unwrap_or(command));
        let global = root.get_arguments().filter(|argument| argument.is_global_set());
        let arguments = command.get_arguments().chain(global).filter(|argument| !argument.is_hide_set());
        let names = arguments.flat_map(|argument| {
            let short = argument.get_short().map(|letter| format!("-{letter}"));
            [short, argument.get_long().map(|name| format!("--{name}"))]
        });
        Options { names: names.flatten().collect(), root: root.clone(), store: None }
    }

    /// With what stands behind `--store` on the command line, if anything does.
    pub(super) fn with_store(self, store: Option<PathBuf>) -> Options {
        Options { store, ..self }
    }

    /// A hint without its parts about options that the command does not have, for the store that it
    /// was given; nothing if that is all of it.
    pub(super) fn fit(&self, hint: &str) -> Option<String> {
        let parts: Vec<&str> = hint.split("; ").filter(|part| self.has_all_of(part)).collect();
        (!parts.is_empty()).then(|| self.in_store(&parts.join("; ")))
    }

    /// The commands in a hint with the same store: what they find in another one is no help.
    fn in_store(&self, hint: &str) -> String {
        let Some(store) = &self.store else { return hint.to_owned() };
        let store = quoted(&text::line(&store.to_string_lossy()));
        let part = |(at, part): (usize, &str)| match at % 2 == 1 && self.takes_store(part) {
            true => format!("{part} --store {store}"),
            false => part.to_owned(),
        };
        hint.split('`').enumerate().map(part).collect::<Vec<_>>().join("`")
    }

    /// Whether a text is a command of this program that works in a store, and does not say in
    /// which.
    fn takes_store(&self, text: &str) -> bool {
        let mut words = text.split(' ');
        if words.next() != Some("cvbake") || text.contains("--store") {
            return false;
        }
        let mut command = &self.root;
        while let Some(below) = words.next().and_then(|word| command.find_subcommand(word)) {
            command = below;
        }
        command.get_arguments().any(|argument| argument.get_long() == Some("store"))
    }

    /// The same, and where the options it speaks of have their values from, if not from the command
    /// line.
    pub(super) fn fit_all(&self, hint: &str, origins: &[(String, String)]) -> Option<String> {
        let hint = self.fit(hint)?;
        let spoken = |option: &str| words(&hint).any(|word| word == option);
        let said = origins.iter().filter(|(option, _)| spoken(option)).map(|(_, said)| said.as_str());
        Some([hint.as_str()].into_iter().chain(said).collect::<Vec<_>>().join("; "))
    }

    /// Whether the command has an option.
    pub(super) fn has(&self, option: &str) -> bool {
        self.names.iter().any(|known| known == option)
    }

    fn has_all_of(&self, part: &str) -> bool {
        // What stands in backticks is a command by itself.
        let own: String = part.split('`').step_by(2).collect();
        let option = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
        words(&own).all(|word| !is_option(word) || self.has(&option(word)))
    }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+=:@%,".contains(character);
    if word.chars().all(is_plain) && !word.is_empty() {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| character.is_whitespace() || matches!(character, ',' | ':' | '(' | ')' | '`'))
}

/// Whether a word is one of the options that hints speak of: a long one, or `-o`.
fn is_option(word: &str) -> bool {
    word == "-o"
        || word.strip_prefix("--").is_some_and(|name| name.starts_with(|first: char| first.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn options(words: &[&str]) -> Options {
        Options::of(&Cli::command(), &words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn commands_for_the_store_that_is_meant() {
        let fit = |store: &str, hint: &str| options(&["bake"]).with_store(Some(store.into())).fit(hint).unwrap();
        let hint = "free some space: `cvbake store gc` removes what nothing needs, `cvbake store prune` also images; `xz -dk x`";
        let expected = "free some space: `cvbake store gc --store /s` removes what nothing needs, `cvbake store prune --store /s` also \
                        images; `xz -dk x`";
        assert_eq!(fit("/s", hint), expected);
        for (hint, expected) in [
            ("`cvbake pull` fetches it", "`cvbake pull --store '/a b'` fetches it"),
            ("`cvbake image tag DIGEST NAME`", "`cvbake image tag DIGEST NAME --store '/a b'`"),
            ("`cvbake login r.example` does", "`cvbake login r.example` does"),
            ("cvbake pull; --store DIR", "cvbake pull; --store DIR"),
            ("`dmesg`", "`dmesg`"),
        ] {
            assert_eq!(fit("/a b", hint), expected);
        }
        assert_eq!(fit("it's", "`cvbake pull`"), r"`cvbake pull --store 'it'\''s'`");
    }

    #[test]
    fn only_what_the_command_has() {
        let hint = "--store DIR uses another directory; --no-cache bakes without a store";
        assert_eq!(options(&["bake"]).fit(hint).as_deref(), Some(hint));
        for words in [&["pull"][..], &["image", "import"], &["store", "stats"]] {
            assert_eq!(options(words).fit(hint).as_deref(), Some("--store DIR uses another directory"), "{words:?}");
        }
        assert_eq!(options(&["login"]).fit(hint), None);
        assert_eq!(options(&["pull"]).fit("--jobs 2 is accepted there, and not shown"), None);
        let hint = "free some space there; -o writes the disk elsewhere; `cvbake store check --repair` removes it";
        assert_eq!(options(&["bake"]).fit(hint).as_deref(), Some(hint));
        let left = "free some space there; `cvbake store check --repair` removes it";
        assert_eq!(options(&["image", "export"]).fit(hint).as_deref(), Some(left));
        // With its value, an option is the same one.
        let hint = "choose --verity=partition; --no-such=x does it, too";
        assert_eq!(options(&["bake"]).fit(hint).as_deref(), Some("choose --verity=partition"));
        assert_eq!(
            options(&["pull"]).fit("such as --config, or --pull: x").as_deref(),
            Some("such as --config, or --pull: x")
        );
    }
    #[test]
    fn where_a_value_is_from_is_said() {
        let origins = [("--size", "size = 20 is set by c.toml, line 1"), ("--store", "store = /s is set by it")];
        let origins = origins.map(|(option, said)| (option.to_owned(), said.to_owned()));
        let said = |hint: &str| options(&["bake"]).fit_all(hint, &origins);
        assert_eq!(
            said("--size 4M is enough; --size auto leaves room").as_deref(),
            Some("--size 4M is enough; --size auto leaves room; size = 20 is set by c.toml, line 1")
        );
        assert_eq!(said("--sizes").as_deref(), None);
        assert_eq!(said("--force replaces it").as_deref(), Some("--force replaces it"));
        assert_eq!(options(&["login"]).fit_all("--size 4M is enough", &origins), None);
    }
}
