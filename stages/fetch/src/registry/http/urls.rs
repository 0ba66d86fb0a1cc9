//! Where URLs lead, and as much of them as may be shown.

use reqwest::Url;

use crate::registry::problem::{Problem, shorten};

/// Where a redirect leads, if it may be followed.
pub(super) fn follow(from: &Url, location: &str) -> Result<Url, Problem> {
    let refused = |to: String, reason: &str| Problem::Redirect { host: place(from), to, reason: reason.to_owned() };
    let to = from.join(location).map_err(|error| refused(shown_text(location), &error.to_string()))?;
    if !matches!(to.scheme(), "http" | "https") {
        return Err(refused(shown(&to), "expected http or https"));
    }
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(refused(shown(&to), "it leads from https to http"));
    }
    if has_user(&to) {
        return Err(refused(shown(&to), "it contains a user name"));
    }
    Ok(to)
}

/// Whether a URL says who somebody is, as nobody should to whom we say that ourselves.
pub(in crate::registry) fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// The host and port of a URL, to be shown.
pub(in crate::registry) fn place(url: &Url) -> String {
    let host = shorten(url.host_str().unwrap_or_default());
    url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

/// A URL without what may be secret or long.
pub(in crate::registry) fn shown(url: &Url) -> String {
    shorten(&format!("{}://{}{}", url.scheme(), place(url), url.path()))
}

/// The same of a text that should be a URL and is none.
pub(in crate::registry) fn shown_text(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = text.find("//").map_or(("", text), |slashes| text.split_at(slashes + 2));
    shorten(&format!("{scheme}{}", rest.rsplit('@').next().unwrap_or_default()))
}

/// Where an upload goes on, if it may go there.
pub(in crate::registry) fn upload_location(from: &Url, location: &str) -> Result<Url, Problem> {
    follow(from, location).map_err(|problem| match problem {
        Problem::Redirect { host, to, reason } => Problem::Location { host, to, reason },
        problem => problem,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Wherever a redirect leads, TLS stays, no password comes along, and what is refused is
        /// told in short.
        #[test]
        fn wherever_redirects_lead(any in "\\PC{0,400}", url in "(https?|ftp|file)?:?/{0,2}[a-z0-9@:.%?#/\\[\\]]{0,300}") {
            let from = Url::parse("https://a.example/v2/x").unwrap();
            for location in [any, url] {
                match follow(&from, &location) {
                    Ok(to) => {
                        prop_assert!(to.scheme() == "https" && to.host_str().is_some(), "{:?}: {}", location, to);
                        prop_assert!(to.username().is_empty() && to.password().is_none(), "{:?}: {}", location, to);
                    }
                    Err(problem) => prop_assert!(problem.line().len() < 4000, "{:?}", location),
                }
            }
        }
    }

    #[test]
    fn redirects() {
        let https = Url::parse("https://a.example/v2/x").unwrap();
        let http = Url::parse("http://localhost:5000/v2/x").unwrap();
        assert_eq!(follow(&https, "/b?c").unwrap().as_str(), "https://a.example/b?c");
        assert_eq!(follow(&http, "https://b.example/").unwrap().as_str(), "https://b.example/");
        for (from, to) in [
            (&https, "http://a.example/v2/x"),
            (&https, "file:///etc/passwd"),
            (&http, "ftp://a.example/"),
            (&https, "https://user:pw@a.example/"),
            (&https, "https://[/"),
        ] {
            assert!(matches!(follow(from, to), Err(Problem::Redirect { .. })), "{to}");
        }
    }

    #[test]
    fn what_is_secret_of_a_url_is_not_shown() {
        let from = Url::parse("https://a.example/v2/x").unwrap();
        for (location, expected) in [
            ("https://[/x?sig=SECRET", "https://[/x"),
            ("https://a b/x#SECRET", "https://a b/x"),
            ("https://me:SECRET@[/", "https://[/"),
            ("//me:SEC/RET@[/?x", "//[/"),
            ("http://b.example/?SECRET", "http://b.example/"),
        ] {
            let Err(Problem::Redirect { to, reason, .. }) = follow(&from, location) else { panic!("{location}") };
            assert_eq!(to, expected);
            assert!(!reason.contains("SECRET"), "{reason}");
        }
    }

    #[test]
    fn locations() {
        let base = Url::parse("https://a.example/v2/x/blobs/uploads/").unwrap();
        for (location, expected) in [
            ("/v2/x/blobs/uploads/1?_state=a%2Fb%3D&n=", "https://a.example/v2/x/blobs/uploads/1?_state=a%2Fb%3D&n="),
            ("2?s", "https://a.example/v2/x/blobs/uploads/2?s"),
            ("https://b.example/u", "https://b.example/u"),
        ] {
            assert_eq!(upload_location(&base, location).unwrap().as_str(), expected);
        }
        for location in ["http://a.example/v2/x", "ftp://a.example/", "https://u:p@a.example/", "//"] {
            assert!(matches!(upload_location(&base, location), Err(Problem::Location { .. })), "{location}");
        }
    }
}
