//! Paths that are set in files and variables, where no shell has expanded them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The path that a text stands for: `~/` is the home directory, and what is relative starts at
/// `base`. A file means the same wherever cvbake is started, so its `base` is the directory that
/// the file is in.
///
/// # Errors
/// When it begins with `~` and there is no such home directory; with what is wrong.
pub(super) fn resolve(text: &OsStr, base: &Path, home: Option<&Path>) -> Result<OsString, String> {
    let bytes = text.as_bytes();
    let rest = match bytes {
        [] => return Ok(OsString::new()),
        [b'~'] => Some(&b""[..]),
        [b'~', b'/', rest @ ..] => Some(rest),
        [b'~', ..] => {
            return Err(format!(
                "{} begins with the home directory of another user, expected ~/… or a whole path; a file whose name \
                 begins with ~ is ./{0}",
                text.display()
            ));
        }
        _ => None,
    };
    let path = match rest {
        // `~//x` is no path from the root.
        Some(rest) => {
            let start = rest.iter().position(|&byte| byte != b'/').unwrap_or(rest.len());
            let home = home.ok_or_else(|| format!("{}: there is no home directory", text.display()))?;
            home.join(OsStr::from_bytes(&rest[start..]))
        }
        None => base.join(text),
    };
    Ok(path.into_os_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let home = Some(Path::new("/home/u"));
        for (text, expected) in [
            ("~", "/home/u/"),
            ("~/x/y", "/home/u/x/y"),
            ("~//x", "/home/u/x"),
            ("/x", "/x"),
            ("x/y", "/etc/cvbake/x/y"),
            ("./~x", "/etc/cvbake/./~x"),
            ("a~", "/etc/cvbake/a~"),
            ("", ""),
        ] {
            assert_eq!(resolve(text.as_ref(), "/etc/cvbake".as_ref(), home), Ok(expected.into()), "{text}");
        }
        assert_eq!(resolve("x".as_ref(), "".as_ref(), home), Ok("x".into()));
        assert!(resolve("~other/x".as_ref(), "".as_ref(), home).unwrap_err().contains("./~other/x"));
        assert!(resolve("~/x".as_ref(), "".as_ref(), None).unwrap_err().contains("no home directory"));
    }
}
