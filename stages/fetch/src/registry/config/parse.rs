//! The text of one file.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Mirror, Registries, Rule, Serves, ShortNameMode};

/// Something in a file that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) problem: String,
}

/// The longest text that is shown of a file.
const SHOWN_CHARS: usize = 60;

type Value<'t> = Spanned<DeValue<'t>>;

/// Reads a file; second is what was ignored.
pub(super) fn parse(text: &str) -> Result<(Registries, Vec<Fault>), Fault> {
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        Fault { line: line(text, start), problem: format!("not TOML: {}", error.message()) }
    })?;
    let mut reader = Reader { text, ignored: Vec::new() };
    let found = reader.file(table.get_ref())?;
    Ok((found, reader.ignored))
}

/// The line that a byte is on.
fn line(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() + 1
}

struct Reader<'t> {
    text: &'t str,
    ignored: Vec<Fault>,
}

impl<'t> Reader<'t> {
    fn fault(&self, span: Range<usize>, problem: String) -> Fault {
        Fault { line: line(self.text, span.start), problem }
    }

    fn expected<T>(&self, key: &str, value: &Value<'t>, expected: &str) -> Result<T, Fault> {
        let found = match value.get_ref() {
            DeValue::String(text) => format!("{:?}", text.chars().take(SHOWN_CHARS).collect::<String>()),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Integer(_) | DeValue::Float(_) => "a number".to_owned(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        Err(self.fault(value.span(), format!("{key} is {found}, expected {expected}")))
    }

    fn ignore(&mut self, span: Range<usize>, problem: String) {
        let fault = self.fault(span, problem);
        self.ignored.push(fault);
    }

    fn unknown(&mut self, table: &str, key: &Spanned<std::borrow::Cow<'t, str>>) {
        let shown: String = key.get_ref().chars().take(SHOWN_CHARS).collect();
        self.ignore(key.span(), format!("{table}{shown} is not known"));
    }

    fn file(&mut self, table: &DeTable<'t>) -> Result<Registries, Fault> {
        let mut all = Registries::default();
        // In the order of the file, for what is said about it.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            match &**key.get_ref() {
                "unqualified-search-registries" => all.search = Some(self.search(value)?),
                "short-name-mode" => {
                    all.mode = match self.string("short-name-mode", value)? {
                        "" => None,
                        "enforcing" => Some(ShortNameMode::Enforcing),
                        "permissive" => Some(ShortNameMode::Permissive),
                        "disabled" => Some(ShortNameMode::Disabled),
                        _ => self.expected("short-name-mode", value, "enforcing, permissive or disabled")?,
                    }
                }
                "aliases" => self.aliases(&mut all, value)?,
                "registry" => {
                    for rule in self.tables("registry", value)? {
                        let rule = self.rule(rule)?;
                        match all.rules.iter().any(|other| other.prefix == rule.prefix) {
                            true => self.ignore(value.span(), format!("a second [[registry]] for {:?}", rule.prefix)),
                            false => all.rules.push(rule),
                        }
                    }
                }
                "registries" => {
                    let problem = "[registries.…] is version 1 of the format, expected version 2: \
                                   unqualified-search-registries, [[registry]]";
                    return Err(self.fault(key.span(), problem.to_owned()));
                }
                _ => self.unknown("", key),
            }
        }
        Ok(all)
    }

    fn string<'v>(&self, key: &str, value: &'v Value<'t>) -> Result<&'v str, Fault> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => self.expected(key, value, "a string"),
        }
    }

    fn boolean(&self, key: &str, value: &Value<'t>) -> Result<bool, Fault> {
        match value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            _ => self.expected(key, value, "true or false"),
        }
    }

    /// What `[[key]]` has.
    fn tables<'v>(&self, key: &str, value: &'v Value<'t>) -> Result<Vec<&'v Value<'t>>, Fault> {
        match value.get_ref() {
            DeValue::Array(all) => Ok(all.iter().collect()),
            _ => self.expected(key, value, &format!("tables that begin with [[{key}]]")),
        }
    }

    fn table<'v>(&self, key: &str, value: &'v Value<'t>) -> Result<&'v DeTable<'t>, Fault> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => self.expected(key, value, "a table"),
        }
    }

    fn search(&self, value: &Value<'t>) -> Result<Vec<String>, Fault> {
        const KEY: &str = "unqualified-search-registries";
        let DeValue::Array(all) = value.get_ref() else { return self.expected(KEY, value, "an array of strings") };
        let host = |value: &Value<'t>| {
            let text = self.string(KEY, value)?;
            // As in a name, `host` alone would be a namespace of Docker Hub.
            let named = crate::Name::new(&format!("{text}/x")).is_some_and(|name| name.short().is_none());
            if named && is_host(text) { Ok(text.to_owned()) } else { self.expected(KEY, value, "a.host or host:port") }
        };
        all.iter().map(host).collect()
    }

    fn aliases(&self, all: &mut Registries, value: &Value<'t>) -> Result<(), Fault> {
        for (key, value) in self.table("aliases", value)? {
            let (short, full) = (&**key.get_ref(), self.string(key.get_ref(), value)?);
            if crate::Name::new(short).is_none_or(|name| name.short() != Some(short)) {
                let problem = format!("{short:?} is no alias, expected a name without registry, tag and digest");
                return Err(self.fault(key.span(), problem));
            }
            // An empty one takes an alias away.
            let is_full = crate::Name::new(full).is_some_and(|name| name.short().is_none() && name.suffix().is_empty());
            if !full.is_empty() && !is_full {
                return self.expected(short, value, "a name with a registry, and without tag and digest");
            }
            all.aliases.insert(short.to_owned(), full.to_owned());
        }
        Ok(())
    }

    fn rule(&mut self, value: &Value<'t>) -> Result<Rule, Fault> {
        let mut rule = Rule::default();
        for (key, value) in self.table("registry", value)? {
            match &**key.get_ref() {
                "prefix" => rule.prefix = self.location("prefix", value)?,
                "location" => rule.location = self.location("location", value)?,
                "insecure" => rule.insecure = self.boolean("insecure", value)?,
                "blocked" => rule.blocked = self.boolean("blocked", value)?,
                "mirror-by-digest-only" => rule.digest_only = self.boolean("mirror-by-digest-only", value)?,
                "mirror" => {
                    let mirrors = self.tables("registry.mirror", value)?;
                    rule.mirrors = mirrors.into_iter().map(|mirror| self.mirror(mirror)).collect::<Result<_, _>>()?;
                }
                _ => self.unknown("registry.", key),
            }
        }
        if rule.location.starts_with('*') {
            return Err(self.fault(value.span(), "location begins with *, which only a prefix can".to_owned()));
        }
        if rule.prefix.is_empty() {
            rule.prefix.clone_from(&rule.location);
        }
        if rule.prefix.is_empty() {
            return Err(self.fault(value.span(), "[[registry]] has neither prefix nor location".to_owned()));
        }
        if rule.digest_only && rule.mirrors.iter().any(|mirror| mirror.serves != Serves::All) {
            let problem = "mirror-by-digest-only together with pull-from-mirror, expected one of them";
            return Err(self.fault(value.span(), problem.to_owned()));
        }
        Ok(rule)
    }

    fn mirror(&mut self, value: &Value<'t>) -> Result<Mirror, Fault> {
        let mut mirror = Mirror { location: String::new(), insecure: false, serves: Serves::All };
        for (key, value) in self.table("registry.mirror", value)? {
            match &**key.get_ref() {
                "location" => mirror.location = self.location("location", value)?,
                "insecure" => mirror.insecure = self.boolean("insecure", value)?,
                "pull-from-mirror" => {
                    mirror.serves = match self.string("pull-from-mirror", value)? {
                        "" | "all" => Serves::All,
                        "digest-only" => Serves::Digests,
                        "tag-only" => Serves::Tags,
                        _ => self.expected("pull-from-mirror", value, "all, digest-only or tag-only")?,
                    }
                }
                _ => self.unknown("registry.mirror.", key),
            }
        }
        if mirror.location.is_empty() || mirror.location.starts_with('*') {
            return Err(self.fault(value.span(), "[[registry.mirror]] has no location".to_owned()));
        }
        Ok(mirror)
    }

    /// A host, perhaps with a path; a prefix may also have a tag or a digest, or begin with `*.`.
    fn location(&self, key: &str, value: &Value<'t>) -> Result<String, Fault> {
        let text = self.string(key, value)?.trim_end_matches('/');
        let (host, path) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/' | b':' | b'@');
        let is_path =
            |path: &str| path.bytes().all(plain) && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let good = match host.strip_prefix("*.") {
            Some(domain) => is_host(domain) && path.is_none(),
            None => is_host(host) && path.is_none_or(is_path),
        };
        match good {
            true => Ok(text.to_owned()),
            false => self.expected(key, value, "host[:port][/path] without a scheme, or in a prefix *.domain"),
        }
    }
}

/// Whether a text is a host, perhaps with a port.
fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let v6 = |host: &str| host.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    let known = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => !host.is_empty() && v6(host),
        None => !host.is_empty() && host.bytes().all(plain),
    };
    known && port.is_none_or(|port| port.parse::<u16>().is_ok())
}
