//! `.netrc`: who we are to hosts.
//!
//! For any bytes: what is no text is an error, which is a line and says nothing that is in the
//! file. For accepted input: a host gets what the file says about it, or about everybody, nothing
//! that it says about others, and the same again.

use cvbake_fetch::{Credentials, Options};

use crate::{credentials, file};

/// Looks for hosts in a file.
pub fn check(input: &[u8]) {
    let file = file(input);
    let options = Options { netrc: Some(file.path().to_owned()), ..Options::default() };
    let known = credentials(&options, "a.example");
    assert_eq!(known.is_err(), std::str::from_utf8(input).is_err());
    let Ok(text) = std::str::from_utf8(input) else { return };
    assert_eq!(credentials(&options, "A.Example:5000"), known, "case and port are no part of the name");
    // Hosts that the file cannot mean.
    let hosts = ["nobody.example", "nobody-else.example"];
    if hosts.iter().all(|host| !text.to_ascii_lowercase().contains(host)) && !text.contains('\\') {
        let [one, other] = hosts.map(|host| credentials(&options, host));
        assert_eq!(one, other);
        assert!(text.contains("default") || one == Ok(None), "only `default` is for everybody");
        assert!(text.contains("machine") || known == one, "only `machine` is for somebody");
    }
    if let Ok(Some(Credentials::User { name, password })) = known {
        assert!(!name.is_empty());
        let inside = |value: &str| text.contains('\\') || text.contains(value);
        assert!(inside(&name) && inside(&password));
    }
}
