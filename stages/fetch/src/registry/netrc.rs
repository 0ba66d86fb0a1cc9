//! `.netrc`: who we are to a host, as many programs share it.

/// Who a file says we are to a host: the name and the password. Words that mean nothing are passed
/// over.
pub(super) fn find(text: &str, host: &str) -> Option<(String, String)> {
    let mut words = Words { rest: text };
    let mut entry: Option<Entry> = None;
    let mut default = None;
    while let Some(word) = words.next() {
        match word.as_str() {
            "machine" | "default" => {
                if let Some(found) = entry.take().and_then(|entry| entry.finish(host, &mut default)) {
                    return Some(found);
                }
                let machine = if word == "machine" { Some(words.next()?) } else { None };
                entry = Some(Entry { machine, login: String::new(), password: String::new() });
            }
            // Commands for ftp, up to an empty line.
            "macdef" => words.skip_macro(),
            "login" | "password" | "account" => {
                let value = words.next()?;
                match (&mut entry, word.as_str()) {
                    (Some(entry), "login") => entry.login = value,
                    (Some(entry), "password") => entry.password = value,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    entry.and_then(|entry| entry.finish(host, &mut default)).or(default)
}

struct Entry {
    /// None: all machines.
    machine: Option<String>,
    login: String,
    password: String,
}

impl Entry {
    /// What it says about the host; what it says about all hosts waits until none says something
    /// about this one.
    fn finish(self, host: &str, default: &mut Option<(String, String)>) -> Option<(String, String)> {
        let Entry { machine, login, password } = self;
        match machine {
            Some(machine) => (machine.eq_ignore_ascii_case(host) && !login.is_empty()).then_some((login, password)),
            None => {
                // That of ftp is no login anywhere else.
                if default.is_none() && !matches!(login.as_str(), "" | "anonymous") {
                    *default = Some((login, password));
                }
                None
            }
        }
    }
}

/// The words of a file: between white space, or in quotes with backslashes.
struct Words<'t> {
    rest: &'t str,
}

impl Words<'_> {
    fn next(&mut self) -> Option<String> {
        loop {
            self.rest = self.rest.trim_start();
            // A comment, where a word could begin.
            if !self.rest.starts_with('#') {
                break;
            }
            self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
        }
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            return (!word.is_empty()).then(|| word.to_owned());
        };
        let mut word = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return Some(word);
                }
                '\\' => word.extend(chars.next().map(|(_, escaped)| escaped)),
                other => word.push(other),
            }
        }
        self.rest = "";
        Some(word)
    }

    fn skip_macro(&mut self) {
        let end = self.rest.find("\n\n").or_else(|| self.rest.find("\n\r\n"));
        self.rest = end.map_or("", |end| &self.rest[end..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let text = "# machine commented.example login x password y\n\
            machine a.example login me password secret\n\
            machine b.example\n\tlogin \"my name\"\n\taccount x\n\tpassword \"a \\\"quoted\\\" #1\"\n\
            macdef init\nmachine c.example login no password no\n\n\
            machine d.example password only\n\
            default login any password one\n\
            machine late.example login l password p#1\n";
        let table = [
            ("a.example", "me", "secret"),
            ("A.EXAMPLE", "me", "secret"),
            ("b.example", "my name", "a \"quoted\" #1"),
            ("c.example", "any", "one"),
            ("d.example", "any", "one"),
            ("late.example", "l", "p#1"),
            ("other.example", "any", "one"),
            ("commented.example", "any", "one"),
        ];
        for (host, login, password) in table {
            assert_eq!(find(text, host), Some((login.to_owned(), password.to_owned())), "{host}");
        }
        let anonymous = "machine a.example login x password y default login anonymous password me@here";
        assert_eq!(find(anonymous, "b.example"), None);
        for text in
            ["", "machine", "machine a.example login", "login x password y", "machine a.example login \"x", "macdef"]
        {
            assert!(find(text, "b.example").is_none(), "{text}");
        }
    }
}
