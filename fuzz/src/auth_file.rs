//! Docker's `config.json`, podman's `auth.json`: who we are to registries.
//!
//! For any bytes: an error is a line that names the file, and says no password. For accepted input:
//! a registry gets what the file says about it, nothing that it says about others, and the same
//! again; what marks tokens is nobody's name.

use std::path::PathBuf;

use cvbake_fetch::{Credentials, Options};

use crate::{credentials, file};

/// Looks for registries in a file.
pub fn check(input: &[u8]) {
    let file = file(input);
    let options = Options {
        credential_files: vec![file.path().to_owned()],
        // Helpers are looked for where there are none.
        helper_path: Some(PathBuf::from("/nowhere")),
        ..Options::default()
    };
    let text = String::from_utf8_lossy(input);
    for registry in ["a.example", "b.example:5000", "docker.io", "nobody.example"] {
        match credentials(&options, registry) {
            Ok(Some(found)) => {
                // A name may be hidden in escapes.
                assert!(text.contains('\\') || text.contains(registry), "for {registry} out of nowhere: {found:?}");
                if let Credentials::User { name, .. } = &found {
                    assert!(name != "<token>", "which marks tokens");
                }
            }
            Ok(None) => {}
            Err(line) => assert!(line.contains(&*file.path().to_string_lossy()), "{line}"),
        }
    }
}
