//! Sources, names, platforms, and registries to log in to: what command lines say.
//!
//! For any bytes: an error is a short line. For accepted input: what is read can be written, and is
//! the same when it is read again; a registry is a host that anybody could have, and nothing behind
//! it becomes a part of it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use cvbake_fetch::{Account, Name, Source};
use cvbake_verify::Platform;

use crate::line;

/// Reads a source, and a name.
pub fn check(input: &[u8]) {
    match Source::parse(OsStr::from_bytes(input)) {
        Ok(source) => {
            let text = source.to_string();
            // Paths need not be text; what is not, is not shown as it is.
            if !text.contains('\u{fffd}') {
                let again = text.parse::<Source>().expect("it was one");
                assert_eq!(again.to_string(), text);
                match (again, source) {
                    // A name in full gets the tag that it means.
                    (Source::Registry(again), Source::Registry(name)) => assert_eq!(*again, *name),
                    (again, source) => assert_eq!(again, source),
                }
            }
        }
        Err(error) => {
            short(&error);
        }
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    account(text);
    match text.parse::<Platform>() {
        Ok(platform) => assert_eq!(platform.to_string().parse().as_ref(), Ok(&platform), "{platform}"),
        Err(error) => short(&error),
    }
    let Some(name) = Name::new(text) else { return };
    let whole = Name::new(&name.whole()).expect("a whole name is one");
    assert_eq!((whole.registry(), whole.repository()), (name.registry(), name.repository()));
    assert_eq!((whole.tag(), whole.digest()), (name.tag(), name.digest()));
    assert_eq!(whole.short(), None);
    match name.short() {
        Some(short) => assert_eq!(format!("{short}{}", name.suffix()), text),
        None => assert!(text.ends_with(name.suffix())),
    }
}

/// A password goes to this registry and to nobody else.
fn account(text: &str) {
    let account = match Account::parse(text) {
        Ok(account) => account,
        Err(error) => return short(&error),
    };
    let (registry, name) = (account.registry(), account.name());
    assert!(registry == "localhost" || registry.contains(['.', ':']), "{registry}");
    assert!(
        !registry.contains(['/', '@', '?', '#', '\\']) && registry.is_ascii() && !registry.ends_with(':'),
        "{registry}"
    );
    assert!(name == registry || name[registry.len()..].starts_with('/'), "{name}");
    let again = Account::parse(&name).expect("a name of one");
    assert_eq!((again.registry(), again.name()), (registry, name.clone()));
}

/// These errors quote one thing, and list nothing.
fn short(error: &dyn std::error::Error) {
    let said = line(error);
    assert!(said.chars().count() < 2000, "{said}");
}
