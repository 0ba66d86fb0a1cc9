//! What is set besides the command line: configuration files and variables, and
//! `cvbake config show`, which says where each value comes from.
//!
//! ```text
//! command line, else $CVBAKE_KEY, else the user's config.toml, else the system's, else what is built in
//! ```
//! A key is the name of an option, so there is one list of names and one explanation of each. The
//! options are not read from here: a file's value becomes the default that the parser of the
//! command line uses, and is checked by it in the same way.

mod file;
mod key;
mod path;
mod show;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _};

use self::key::{KEYS, Key, Shape};
use super::{environment, usage, values};
use crate::failure::Failure;

pub(super) use show::{Args, run};

/// A value in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Setting {
    values: Vec<OsString>,
    path: PathBuf,
    /// Counted from 1.
    line: usize,
}

/// What the configuration files and the variables say.
#[derive(Default, Debug)]
pub(super) struct Settings {
    by_key: BTreeMap<&'static str, Setting>,
    /// The values of the variables that are set, by the key.
    variables: BTreeMap<&'static str, OsString>,
    /// The files that were looked for, and whether they are there.
    files: Vec<(PathBuf, bool)>,
}

/// Arguments that are right, of the subcommand that has an option for every key.
const PROBE: [&str; 5] = ["cvbake", "bake", "tar:-", "-o", "disk.ext4"];

/// The option that names the only configuration file.
const OPTION: &str = "--config";

impl Settings {
    /// Reads the variables, and the file that the arguments or the environment name, or else those
    /// at the usual places, if they are there.
    ///
    /// # Errors
    /// When a file can't be read or makes no sense, or one that is named is not there, or a path is
    /// none.
    pub(super) fn load(args: &[OsString]) -> Result<Settings, Failure> {
        let mut settings = Settings::default();
        for key in KEYS {
            if let Some(value) = environment::variable(&key.variable()) {
                let value = if key.shape == Shape::Path { from_variable(&key.variable(), &value)? } else { value };
                settings.variables.insert(key.name, value);
            }
        }
        let by_variable =
            || environment::config_file().map(|path| from_variable(environment::CONFIG, path.as_os_str()));
        if let Some(path) = named(args).map(OsString::from).map(Ok).or_else(by_variable).transpose()? {
            let path = PathBuf::from(path);
            let text = file::read(&path)?.ok_or_else(|| file::missing(&path))?;
            settings.add(&path, &text)?;
            return Ok(settings);
        }
        // The later ones count.
        for path in environment::usual_config_files() {
            match file::read_if_any(&path)? {
                Some(text) => settings.add(&path, &text)?,
                None => settings.files.push((path, false)),
            }
        }
        Ok(settings)
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        for (name, setting) in file::parse(path, text)? {
            self.by_key.insert(name, setting);
        }
        self.files.push((path.to_owned(), true));
        Ok(())
    }

    /// The store that is set.
    pub(super) fn store(&self) -> Option<PathBuf> {
        let set = || Some(self.by_key.get("store")?.values.first()?.into());
        self.variables.get("store").map(PathBuf::from).or_else(set)
    }

    /// Tells which files were read.
    pub(super) fn trace(&self) {
        for (path, _) in self.files.iter().filter(|(_, there)| *there) {
            tracing::debug!("read the configuration {}", path.display());
        }
    }

    /// Makes the values that are set the defaults of the options: what is set conflicts with no
    /// argument.
    pub(super) fn apply(&self, command: Command) -> Command {
        self.apply_some(command, &|_| true)
    }

    /// The same for some keys.
    fn apply_some(&self, command: Command, which: &dyn Fn(&Key) -> bool) -> Command {
        each_option(command, &|key, arg| {
            if !which(key) {
                return arg;
            }
            let arg = if key.shape == Shape::Flag { arg.value_parser(values::switch) } else { arg };
            let values = match self.variables.get(key.name) {
                Some(value) if key.shape == Shape::List => split(value),
                Some(value) => vec![value.clone()],
                None => self.by_key.get(key.name).map(|setting| setting.values.clone()).unwrap_or_default(),
            };
            if values.is_empty() { arg } else { arg.default_values(values) }
        })
    }

    /// What is wrong with the value of a key, as a bake would say it.
    fn problem(&self, key: &Key) -> Option<Failure> {
        // A command line that is right and has an option of every key.
        let args: Vec<OsString> = PROBE.map(OsString::from).into();
        let command = self.apply_some(super::Cli::command(), &|other| other.name == key.name);
        let error = command.try_get_matches_from(&args).err()?;
        Some(usage::wrong(&error, &args, self.origin(&error, &args)))
    }

    /// Where a value comes from that the parser of the command line does not accept, unless from
    /// the command line.
    pub(super) fn origin(&self, error: &clap::Error, args: &[OsString]) -> Option<String> {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.as_str()),
            _ => None,
        };
        // `--size <SIZE>`, `--insecure[=<HOST[:PORT]>]`
        let option = text(ContextKind::InvalidArg)?.split([' ', '[', '=']).next()?;
        let key = KEYS.iter().find(|key| option.strip_prefix("--") == Some(key.name))?;
        let given = |arg: &OsString| arg.to_string_lossy().split('=').next() == Some(option);
        let value = text(ContextKind::InvalidValue)?;
        if args.iter().any(given) {
            return None;
        }
        if let Some(set) = self.variables.get(key.name) {
            let is_it = split(set).iter().any(|part| part == value) || set == value;
            return is_it.then(|| self.place(key)).flatten();
        }
        let Setting { values, .. } = self.by_key.get(key.name)?;
        values.iter().any(|set| set == value).then(|| self.place(key)).flatten()
    }

    /// Where a key is set.
    fn place(&self, key: &Key) -> Option<String> {
        if self.variables.contains_key(key.name) {
            return Some(format!("the variable {}", key.variable()));
        }
        let Setting { path, line, .. } = self.by_key.get(key.name)?;
        Some(format!("{}, line {line}", path.display()))
    }

    /// What is set of a key, as a file may have it.
    fn value(&self, key: &Key) -> Option<String> {
        let values = || Some(self.by_key.get(key.name)?.values.join(OsStr::new(",")));
        let value = self.variables.get(key.name).cloned().or_else(values)?;
        Some(value.to_string_lossy().into_owned())
    }

    /// The options of a subcommand that have their values from here, each with words that say so:
    /// who is told to choose another value looks for the one that is there.
    pub(super) fn origins(&self, subcommand: &str, matches: &ArgMatches) -> Vec<(String, String)> {
        let counts = |key: &&Key| {
            key.not_for != subcommand
                && matches.ids().any(|id| id.as_str() == key.id())
                && matches.value_source(&key.id()) == Some(ValueSource::DefaultValue)
        };
        let origin = |key: &Key| {
            let said = format!("{} = {} is set by {}", key.name, self.value(key)?, self.place(key)?);
            Some((format!("--{}", key.name), said))
        };
        KEYS.iter().filter(counts).filter_map(origin).collect()
    }
}

/// The path in a variable. As in other programs, a relative one starts at the current directory.
fn from_variable(name: &str, value: &OsStr) -> Result<OsString, Failure> {
    path::resolve(value, Path::new(""), environment::home().as_deref())
        .map_err(|problem| Failure::Usage { problem: format!("the variable {name}: {problem}"), hint: None })
}

/// The parts of the value of a variable that stands for several.
fn split(value: &OsStr) -> Vec<OsString> {
    value.as_bytes().split(|&byte| byte == b',').map(|part| OsStr::from_bytes(part).to_owned()).collect()
}

/// Tells which variables set the options: for helps only.
pub(super) fn with_variables(command: Command) -> Command {
    each_option(command, &|key, arg| arg.env(key.variable()).hide_env_values(true))
}

/// Changes the options that have a key, of all subcommands.
fn each_option(command: Command, change: &dyn Fn(&Key, Arg) -> Arg) -> Command {
    let mut command = command;
    let name = command.get_name().to_owned();
    for key in KEYS.iter().filter(|key| key.not_for != name) {
        let has = |arg: &&Arg| arg.get_id().as_str() == key.id() && arg.get_long() == Some(key.name);
        if command.get_arguments().any(|arg| has(&arg)) {
            command = command.mut_arg(key.id(), |arg| change(key, arg));
        }
    }
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |below| each_option(below, change));
    }
    command
}

/// The option of every subcommand that names the configuration file.
pub(super) fn option() -> Arg {
    Arg::new("config")
        .long("config")
        .global(true)
        .value_name("FILE")
        .value_hint(clap::ValueHint::FilePath)
        .value_parser(clap::value_parser!(PathBuf))
        .env(environment::CONFIG)
        .hide_env_values(true)
        .action(ArgAction::Set)
        .help_heading("Configuration")
        .help(
            "Read only this configuration file, instead of those at the usual places, which `cvbake config show` lists",
        )
}

/// The file that the arguments name. It is needed before they can be parsed.
fn named(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter().take_while(|arg| *arg != "--");
    let mut found = None;
    while let Some(arg) = args.next() {
        if arg == OPTION {
            found = args.next().map(PathBuf::from);
        } else if let Some(path) =
            arg.as_bytes().strip_prefix(OPTION.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
        {
            found = Some(OsStr::from_bytes(path).into());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_key_is_an_option_of_a_bake() {
        let command = Cli::command();
        command.clone().try_get_matches_from(PROBE).expect("the probe is right");
        let probed = command.find_subcommand(PROBE[1]).expect("the subcommand of the probe");
        let options: Vec<String> = all_options(probed);
        for key in KEYS {
            assert!(options.iter().any(|option| option == key.name), "{} is no option", key.name);
        }
    }

    fn all_options(command: &Command) -> Vec<String> {
        let own = command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned));
        own.chain(command.get_subcommands().flat_map(all_options)).collect()
    }

    #[test]
    fn the_file_is_named() {
        let named = |args: &[&str]| named(&args.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(named(&["cvbake", "bake", "--config", "a"]), Some("a".into()));
        assert_eq!(named(&["cvbake", "--config=b", "bake"]), Some("b".into()));
        assert_eq!(named(&["cvbake", "--config=b", "--config", "c"]), Some("c".into()));
        assert_eq!(named(&["cvbake", "run", "--", "--config", "c"]), None);
        assert_eq!(named(&["cvbake", "--configure"]), None);
    }

    #[test]
    fn values_become_defaults_that_arguments_override() {
        let mut settings = Settings::default();
        let text = "size = \"min\"\njobs = 3\nno-journal = true\ninsecure = [\"a\", \"b\"]\n";
        settings.add(Path::new("c.toml"), text).unwrap();
        let parse = |args: &[&str]| {
            let command = settings.apply(Cli::command());
            command.try_get_matches_from([&["cvbake", "bake", "tar:x", "-o", "y"], args].concat())
        };
        let value = |args: &[&str], id: &str| {
            let matches = parse(args).unwrap();
            let (_, matches) = matches.subcommand().unwrap();
            let raw =
                matches.get_raw(id).map(|values| values.map(|text| text.to_string_lossy().into_owned()).collect());
            raw.unwrap_or_else(Vec::<String>::new)
        };
        assert_eq!(value(&[], "size"), ["min"]);
        assert_eq!(value(&["--size", "20G"], "size"), ["20G"]);
        assert_eq!(value(&[], "jobs"), ["3"]);
        assert_eq!(value(&[], "insecure"), ["a", "b"]);
        assert_eq!(value(&["--insecure=c"], "insecure"), ["c"]);
        assert_eq!(value(&[], "no_journal"), ["true"]);
        assert!(Cli::try_parse_from(["cvbake", "bake", "tar:x", "-o", "y"]).is_ok());
    }

    #[test]
    fn the_example_in_the_documents_is_understood() {
        let page = include_str!("../../docs/configuration.md");
        let (_, rest) = page.split_once("```toml\n").unwrap();
        let mut settings = Settings::default();
        settings.add(Path::new("example.toml"), rest.split_once("```").unwrap().0).unwrap();
        assert!(settings.by_key.len() > 3);
        let args = ["cvbake", "bake", "tar:x", "-o", "y"];
        settings.apply(Cli::command()).try_get_matches_from(args).unwrap();
    }

    #[test]
    fn a_wrong_value_is_said_to_be_the_files() {
        let mut settings = Settings::default();
        settings.add(Path::new("c.toml"), "jobs = 1\n\nsize = \"huge\"\n").unwrap();
        let args: Vec<OsString> = ["cvbake", "bake", "tar:x", "-o", "y"].map(OsString::from).into();
        let error = settings.apply(Cli::command()).try_get_matches_from(&args).unwrap_err();
        assert_eq!(settings.origin(&error, &args).as_deref(), Some("c.toml, line 3"));
        let args: Vec<OsString> = ["cvbake", "bake", "tar:x", "-o", "y", "--size=large"].map(OsString::from).into();
        let error = settings.apply(Cli::command()).try_get_matches_from(&args).unwrap_err();
        assert_eq!(settings.origin(&error, &args), None);
    }
}
