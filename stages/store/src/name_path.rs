//! Where the file of a name stands, whatever the name is.

/// The directories and the file of a name, none of which leads anywhere else.
pub(crate) fn locate(name: &str) -> (Vec<String>, String) {
    let (path, digest) = name.split_at(name.find('@').unwrap_or(name.len()));
    let last = path.rfind('/').map_or(0, |slash| slash + 1);
    let tag = path[last..].find(':').filter(|_| last > 0).map_or(path.len(), |colon| last + colon);
    let (repository, tag) = path.split_at(tag);
    let file = format!("{tag}{digest}");
    let file = if file.is_empty() { ":" } else { &file };
    (repository.split('/').map(escape).collect(), escape(file))
}

/// Makes a file name of any text: what no reference has in it becomes `%` and two digits.
fn escape(part: &str) -> String {
    match part {
        "" => return "%".to_owned(),
        "." | ".." => return part.replace('.', "%2E"),
        _ => {}
    }
    let mut name = String::new();
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-:@+".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

/// The text that became this file name; nothing if it is none of ours.
pub(crate) fn unescape(name: &str) -> Option<String> {
    if name == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.split_off(..2).and_then(|digits| std::str::from_utf8(digits).ok())?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    (escape(&text) == name).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_that_stay_inside() {
        let table = [
            ("docker.io/library/alpine:3.20", "docker.io/library/alpine", ":3.20"),
            ("localhost:5000/x:latest", "localhost:5000/x", ":latest"),
            ("localhost:5000/x@sha256:12", "localhost:5000/x", "@sha256:12"),
            ("r/a/b:t@sha256:12", "r/a/b", ":t@sha256:12"),
            ("r/a", "r/a", ":"),
            ("../../etc/passwd:x", "%2E%2E/%2E%2E/etc/passwd", ":x"),
            ("/abs//./x:\u{0}y/../z", "%/abs/%/%2E/x:%00y/%2E%2E/z", ":"),
            ("", "%", ":"),
            ("@sha256:12", "%", "@sha256:12"),
        ];
        for (name, repository, file) in table {
            let (parts, found) = locate(name);
            assert_eq!((parts.join("/").as_str(), found.as_str()), (repository, file), "{name:?}");
            let parts: Option<Vec<_>> = parts.iter().map(|part| unescape(part)).collect();
            let file = unescape(&found).filter(|file| file != ":").unwrap_or_default();
            assert_eq!(parts.map(|parts| parts.join("/") + &file).as_deref(), Some(name), "{name:?}");
        }
        for name in ["%2", "%2e", "%41", "%zz", "a%", "%FF", "%+1"] {
            assert_eq!(unescape(name), None, "{name}");
        }
    }
}
