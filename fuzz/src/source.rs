//! Sources and names: what is read can be written, and is the same when it is read again.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use cvbake_fetch::{Name, Source};

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
            let text = line(&error);
            assert!(!text.contains('\n'), "{text:?}");
        }
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
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
