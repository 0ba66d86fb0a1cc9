//! Which registries stand for a name, and in which order they are asked:
//! containers-registries.conf(5), version 2.
//!
//! ```text
//! alpine ─resolve→ docker.io/library/alpine ─plan→ mirror.example/hub/library/alpine, docker.io/library/alpine
//! ```
//!
//! Both steps are pure. A short name is one without a registry; nobody is asked which one is meant,
//! so `short-name-mode` decides between several: `enforcing` refuses to choose, `permissive` and
//! `disabled` take the first that has the image. Without `unqualified-search-registries` a short
//! name is one of Docker Hub.

mod files;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::problem::Problem;
use crate::{Error, Name, Reference, reference};

/// Where the configuration is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegistriesFiles {
    /// The file that must be there.
    pub given: Option<PathBuf>,
    /// The files of which the first that is there is read, if none is given.
    pub usual: Vec<PathBuf>,
    /// Directories whose `*.conf` override it, each in the order of the names.
    pub drop_ins: Vec<PathBuf>,
    /// A file with aliases only, which override all others.
    pub aliases: Option<PathBuf>,
}

impl RegistriesFiles {
    /// The files that matter to a name with a registry. It is no alias, so a list of aliases that
    /// can't be read is no reason to refuse it; all other files may block or move its registry.
    pub(super) fn for_full_names(&self) -> RegistriesFiles {
        RegistriesFiles { aliases: None, ..self.clone() }
    }
}

/// What is configured about registries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registries {
    /// Where short names are looked for, if anything says it.
    search: Option<Vec<String>>,
    mode: Option<ShortNameMode>,
    /// From short names to full ones without tag; an empty one takes an alias of an earlier file
    /// away.
    aliases: BTreeMap<String, String>,
    rules: Vec<Rule>,
}

/// What to do with a short name that several registries may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ShortNameMode {
    Enforcing,
    Permissive,
    Disabled,
}

/// A `[[registry]]`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Rule {
    /// What names begin with that it is about; `*.` before a domain stands for all below.
    prefix: String,
    /// What takes the prefix's place; empty if nothing does.
    location: String,
    insecure: bool,
    blocked: bool,
    digest_only: bool,
    mirrors: Vec<Mirror>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Mirror {
    location: String,
    insecure: bool,
    serves: Serves,
}

/// What kind of names a mirror is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Serves {
    All,
    Digests,
    Tags,
}

/// Somewhere to ask for an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The host, and the port if it is said.
    pub registry: String,
    /// The path in it.
    pub repository: String,
    /// The tag of the image there, if it is asked for by tag.
    pub tag: Option<String>,
    /// Whether it may be without TLS, or have a certificate that nobody vouches for.
    pub insecure: bool,
}

impl Registries {
    /// The full names that a name may stand for, the first before the others.
    ///
    /// # Errors
    /// When a short name stands for none, or the configuration wants no choice to be made.
    pub fn resolve(&self, name: &Name) -> Result<Vec<Reference>, Error> {
        let Some(short) = name.short() else { return Ok(vec![(**name).clone()]) };
        let wrong = |problem: String| Error::ShortName { name: short.to_owned(), problem };
        let full = |repository: &str| {
            let text = format!("{repository}{}", name.suffix());
            reference::parse(&text).map_err(|problem| wrong(format!("{text:?} is not the name of an image: {problem}")))
        };
        if let Some(alias) = self.aliases.get(short).filter(|alias| !alias.is_empty()) {
            return Ok(vec![full(alias)?]);
        }
        let Some(search) = &self.search else { return Ok(vec![(**name).clone()]) };
        match (&search[..], self.mode) {
            ([], _) => Err(wrong("it is no alias, and unqualified-search-registries is empty".to_owned())),
            ([_, _, ..], Some(ShortNameMode::Enforcing)) => {
                Err(wrong(format!("it may be in any of {}, and short-name-mode is \"enforcing\"", search.join(", "))))
            }
            _ => search.iter().map(|registry| full(&format!("{registry}/{short}"))).collect(),
        }
    }

    /// Whether a name is an alias.
    pub(super) fn has_alias(&self, name: &Name) -> bool {
        name.short().and_then(|short| self.aliases.get(short)).is_some_and(|full| !full.is_empty())
    }

    /// Where to ask for an image, in this order.
    ///
    /// # Errors
    /// When the registry is blocked, or the configuration leads to no name.
    pub fn plan(&self, reference: &Reference) -> Result<Vec<Endpoint>, Problem> {
        let digest = reference.digest();
        let name = format!("{}/{}", reference.registry(), reference.repository());
        let suffix = match (digest, reference.tag()) {
            // A digest decides, even if there is a tag, too.
            (Some(digest), _) => format!("@{digest}"),
            (None, tag) => format!(":{}", tag.unwrap_or("latest")),
        };
        let whole = format!("{name}{suffix}");
        let matching = self.rules.iter().filter_map(|rule| Some((rule, covered(&rule.prefix, &whole)?)));
        let Some((rule, covered)) = matching.min_by_key(|(rule, _)| std::cmp::Reverse(rule.prefix.len())) else {
            return Ok(vec![Endpoint::parse(&whole, false)?]);
        };
        if rule.blocked {
            return Err(Problem::Blocked { prefix: rule.prefix.clone() });
        }
        let moved = |location: &str| match location {
            "" => whole.clone(),
            location => format!("{location}{}", &whole[covered..]),
        };
        let wanted = |mirror: &&Mirror| match (mirror.serves, digest.is_some()) {
            (Serves::All, by_digest) => by_digest || !rule.digest_only,
            (Serves::Digests, by_digest) => by_digest,
            (Serves::Tags, by_digest) => !by_digest && !rule.digest_only,
        };
        let mirrors = rule.mirrors.iter().filter(wanted).map(|mirror| (&mirror.location, mirror.insecure));
        let all = mirrors.chain([(&rule.location, rule.insecure)]);
        all.map(|(location, insecure)| Endpoint::parse(&moved(location), insecure)).collect()
    }

    /// Adds what a later file says.
    fn override_by(&mut self, later: Registries) {
        self.search = later.search.or_else(|| self.search.take());
        self.mode = later.mode.or(self.mode);
        self.aliases.extend(later.aliases);
        for rule in later.rules {
            match self.rules.iter_mut().find(|earlier| earlier.prefix == rule.prefix) {
                Some(earlier) => *earlier = rule,
                None => self.rules.push(rule),
            }
        }
    }
}

impl Endpoint {
    /// The endpoint of a whole name: `host[:port]/repository` with a tag or a digest.
    fn parse(whole: &str, insecure: bool) -> Result<Endpoint, Problem> {
        let wrong = |reason| Problem::Configured { name: whole.to_owned(), reason };
        let (registry, rest) = whole.split_once('/').ok_or_else(|| wrong("has no path"))?;
        let (repository, tag) = match rest.split_once('@') {
            Some((repository, _)) => (repository, None),
            None => match rest.split_once(':') {
                Some((repository, tag)) => (repository, Some(tag.to_owned())),
                None => return Err(wrong("has no tag")),
            },
        };
        if repository.is_empty() || repository.contains(':') {
            return Err(wrong("has no repository"));
        }
        Ok(Endpoint { registry: registry.to_owned(), repository: repository.to_owned(), tag, insecure })
    }
}

/// How many bytes of a whole name a prefix stands for, if it is one.
fn covered(prefix: &str, whole: &str) -> Option<usize> {
    let host = whole.find('/')?;
    if let Some(domain) = prefix.strip_prefix('*') {
        // `*.example.com` is not example.com itself.
        return (whole[..host].len() > domain.len() && whole[..host].ends_with(domain)).then_some(host);
    }
    let rest = whole.strip_prefix(prefix)?;
    // A host's prefix ends with the host: the port is part of its name.
    let ends =
        if prefix.contains('/') { rest.is_empty() || rest.starts_with(['/', ':', '@']) } else { rest.starts_with('/') };
    ends.then_some(prefix.len())
}
