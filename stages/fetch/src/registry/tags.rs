//! The tags of a repository, page by page.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use reqwest::Url;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Repository;
use super::config::Registries;
use super::endpoints::Endpoints;
use super::http::Reply;
use super::nearby::is_tag;
use super::options::Options;
use super::problem::Problem;
use super::retry::Attempts;
use super::session::Session;
use crate::{Error, Event, Name, Observer};

/// How many tags are asked for at once: as many as most registries give.
const PAGE: &str = "tags/list?n=1000";

/// The most that is read of a page. Some registries give all at once, whatever they are asked for.
const MAX_PAGE_BYTES: u64 = 16 << 20;

/// More than any repository is known to have.
const MAX_TAGS: usize = 1_000_000;

/// More pages than that have: a registry that gives one tag at a time would be asked for days.
const MAX_PAGES: usize = 10_000;

/// How many pages in a row may have nothing new: some registries leave out what one may not see,
/// and others never come to an end.
const MAX_BARREN: usize = 16;

/// The tags of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tags {
    /// The repository in full, with its registry.
    pub repository: String,
    /// Its tags, each once, in the order of their bytes: the specification wants that of
    /// registries, and not all do it.
    pub tags: Vec<String>,
}

/// The tags of a repository; those of its first mirror that answers. The tag or the digest of the
/// name means nothing. A short name stands for the first repository that is there, as it does for
/// an image.
///
/// # Errors
/// When there is no such repository, or its tags can't be had.
pub fn tags(name: &Name, options: &Options, on: Observer<'_>) -> Result<Tags, Error> {
    // As for an image: an alias can't change what is named in full.
    let registries = match name.short() {
        Some(_) => Registries::load(&options.registries, on)?,
        None => Registries::load(&options.registries.for_full_names(), on)?,
    };
    let names = registries.resolve(name)?;
    let mut names = names.iter().peekable();
    while let Some(reference) = names.next() {
        let repository = Repository::new(reference);
        let wrong = |problem| repository.error("the tags", problem);
        let all = registries.plan(reference).map_err(wrong)?;
        let endpoints = Endpoints::new(repository.clone(), all, options, on);
        match (all_tags(&endpoints), names.peek()) {
            (Ok(tags), _) => {
                return Ok(Tags { repository: repository.to_string(), tags });
            }
            (Err(problem), Some(next)) if problem.is_absence() => {
                let (host, next) = (repository.registry, next.registry().to_owned());
                on(Event::Elsewhere { host, next, problem: problem.line(), missing: true });
            }
            (Err(problem), _) => return Err(wrong(problem)),
        }
    }
    unreachable!("a name stands for one at least")
}

/// The tags that the first registry has which answers: not a few of one and a few of another.
fn all_tags(endpoints: &Endpoints<'_>) -> Result<Vec<String>, Problem> {
    let mut order = endpoints.order(None);
    loop {
        match tags_of(endpoints.session(&order), order.attempts()) {
            Ok(tags) => return Ok(tags),
            Err(problem) => endpoints.next(&mut order, problem)?,
        }
    }
}

fn tags_of(session: &Session<'_>, mut attempts: Attempts) -> Result<Vec<String>, Problem> {
    let mut list = List::default();
    let mut next = None;
    loop {
        let url = match next.take() {
            Some(url) => url,
            None => match session.url(PAGE) {
                Ok(url) => url,
                Err(problem) => {
                    session.failed(&mut attempts, problem.into())?;
                    continue;
                }
            },
        };
        let mut reply = session.get_at(&url, "application/json", "200", &mut attempts)?;
        match page(&mut reply) {
            Ok(tags) => {
                if list.add(tags)? {
                    attempts.progress();
                }
            }
            Err(problem) => {
                session.failed(&mut attempts, problem.into())?;
                next = Some(url);
                continue;
            }
        }
        match reply.headers("Link").find_map(next_link) {
            Some(link) => next = Some(follow(&url, link)?),
            None => return Ok(list.finish()),
        }
    }
}

/// The tags of a page, each once. What is none by the grammar of the specification is dropped as it
/// comes: nobody can ask for it, and it may be of any length.
#[derive(Default)]
struct Page(BTreeSet<String>);

impl<'de> Deserialize<'de> for Page {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Page, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Page;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tags")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Page, A::Error> {
                let mut page = Page::default();
                while let Some(tag) = list.next_element::<Cow<'_, str>>()? {
                    if is_tag(&tag) {
                        page.0.insert(tag.into_owned());
                    }
                }
                Ok(page)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

fn page(reply: &mut Reply) -> Result<Page, Problem> {
    #[derive(Deserialize)]
    struct Document {
        #[serde(deserialize_with = "list_or_null")]
        tags: Option<Page>,
    }
    // Programs in Go write `null` for what is empty. What is not there at all is something else.
    fn list_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Page>, D::Error> {
        Option::deserialize(deserializer)
    }
    if let Some(found) = reply.content_type().filter(|found| found == "text/html") {
        return Err(Problem::ContentType { host: reply.host.clone(), found, expected: "a list of tags" });
    }
    let body = reply.body(MAX_PAGE_BYTES)?;
    let document: Document = serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        malformed(format!("it is not of the expected JSON form, line {line}, column {column}"))
    })?;
    Ok(document.tags.unwrap_or_default())
}

fn malformed(reason: String) -> Problem {
    Problem::Malformed { what: "the list of tags", reason }
}

/// The target of a header `Link`, if it leads to the next page:
/// `</v2/a/tags/list?last=b&n=1000>; rel="next"`.
fn next_link(header: &str) -> Option<&str> {
    header.split('<').skip(1).find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let value = value.trim().trim_end_matches(',').trim_end().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("next"))
        };
        parameters.split(';').any(is_next).then_some(target)
    })
}

/// Where the next page is: at the registry that was asked, whatever is said of that. Many know
/// neither their own name nor that there is TLS before them.
fn follow(from: &Url, link: &str) -> Result<Url, Problem> {
    let to = from.join(link).map_err(|error| malformed(format!("the link to its next page is not a URL: {error}")))?;
    if to.cannot_be_a_base() {
        return Err(malformed("the link to its next page is not a URL of a registry".to_owned()));
    }
    let mut next = from.clone();
    next.set_path(to.path());
    next.set_query(to.query());
    Ok(next)
}

/// What has come so far.
#[derive(Default)]
struct List {
    tags: BTreeSet<String>,
    pages: usize,
    barren: usize,
}

impl List {
    fn finish(self) -> Vec<String> {
        self.tags.into_iter().collect()
    }

    /// Adds a page; whether there was anything new.
    fn add(&mut self, page: Page) -> Result<bool, Problem> {
        let before = self.tags.len();
        self.tags.extend(page.0);
        self.pages += 1;
        if self.pages > MAX_PAGES {
            return Err(malformed(format!("it has more than {MAX_PAGES} pages")));
        }
        if self.tags.len() > MAX_TAGS {
            return Err(malformed(format!("it has more than {MAX_TAGS} tags")));
        }
        let is_new = self.tags.len() > before;
        self.barren = if is_new { 0 } else { self.barren + 1 };
        match self.barren {
            0..=MAX_BARREN => Ok(is_new),
            barren => Err(malformed(format!("it does not end: {barren} pages in a row have no new tag"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let table = [
            (r#"</v2/a/tags/list?last=b&n=1000>; rel="next""#, Some("/v2/a/tags/list?last=b&n=1000")),
            (r#"<https://h/x?last=b;c>;rel=next"#, Some("https://h/x?last=b;c")),
            (r#"</first>; rel="first", </second>; title="a"; REL="prev NEXT""#, Some("/second")),
            (r#"</first>; rel=next, </second>; rel=last"#, Some("/first")),
            (r#"</first>; rel="previous""#, None),
            ("/no/brackets; rel=next", None),
            ("<>; rel=next", Some("")),
            ("<unclosed; rel=next", None),
            ("", None),
        ];
        for (header, target) in table {
            assert_eq!(next_link(header), target, "{header}");
        }
    }

    #[test]
    fn the_next_page_is_at_the_same_registry() {
        let from = Url::parse("https://a.example:5000/v2/x/tags/list?n=1000").unwrap();
        for (link, expected) in [
            ("/v2/x/tags/list?last=b", "https://a.example:5000/v2/x/tags/list?last=b"),
            ("?last=b", "https://a.example:5000/v2/x/tags/list?last=b"),
            ("http://internal/y?last=b", "https://a.example:5000/y?last=b"),
            ("//evil.example/y", "https://a.example:5000/y"),
            ("https://u:p@evil.example", "https://a.example:5000/"),
        ] {
            assert_eq!(follow(&from, link).unwrap().as_str(), expected, "{link}");
        }
        for link in ["mailto:a@b", "http://[/"] {
            assert!(matches!(follow(&from, link), Err(Problem::Malformed { .. })), "{link}");
        }
    }

    #[test]
    fn lists_end() {
        let mut list = List::default();
        let page = |text: &str| serde_json::from_str::<Page>(text).unwrap();
        assert!(list.add(page(r#"["b", "a", "b"]"#)).unwrap());
        for _ in 0..MAX_BARREN {
            assert!(!list.add(page(r#"["a"]"#)).unwrap());
        }
        assert!(list.add(page("[]")).is_err());
        assert_eq!(list.finish(), ["a", "b"]);
        let mut list = List::default();
        for at in 0..MAX_PAGES {
            assert!(list.add(page(&format!("[\"{at}\"]"))).unwrap());
        }
        assert!(list.add(page(r#"["one-more"]"#)).is_err());
    }

    #[test]
    fn what_is_no_tag_is_dropped() {
        let long = format!(r#"["", "a", "\u001b[2J", "{}", "-", "b/c", "ü", "v1.0_x-y"]"#, "x".repeat(129));
        let page: Page = serde_json::from_str(&long).unwrap();
        assert_eq!(Vec::from_iter(page.0), ["-", "a", "v1.0_x-y"]);
        assert!(serde_json::from_str::<Page>(r#"[1]"#).is_err());
    }
}
