//! Lines of text → words and bytes: the grammar of everything under `fixtures/`.
//!
//! A line is a verb, words, and `key=value` pairs, separated by spaces; a line that starts with `#`
//! is a comment. A word is bytes: bare text and `"quoted text"` side by side are one word, `\xNN`,
//! `\n`, `\t`, `\"` and `\\` stand for bytes in both. What is too long or too odd to be written out
//! comes from a generator, and `+` joins:
//!
//! ```text
//! hex:00ff10          these bytes
//! zeros:4096          so many NULs
//! rep:255:"n"         the text, over and over, cut to so many bytes
//! rand:70000:3        so many bytes that don't compress, from seed 3
//! "d/"+rep:255:"n"    joined ('+' before anything else is an ordinary byte)
//! ```
//!
//! `repeat N LINE` and `repeat A..B LINE` stand for many lines, in which `{i}` is the number (from
//! 0, or from A to B-1).

/// One line: `verb word word key=value`. The arrow in `link a -> b` is decoration and left out.
#[derive(Debug, Clone)]
pub struct Line {
    pub number: usize,
    pub verb: String,
    pub words: Vec<Vec<u8>>,
    pub keys: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Line {
    /// The word at a position.
    pub fn word(&self, at: usize) -> &[u8] {
        self.words.get(at).unwrap_or_else(|| panic!("line {}: {} needs {} words", self.number, self.verb, at + 1))
    }

    /// The word at a position, which must be text.
    pub fn text(&self, at: usize) -> String {
        String::from_utf8(self.word(at).to_vec()).expect("a word that is text")
    }

    /// The last value of a key.
    pub fn key(&self, key: &str) -> Option<&[u8]> {
        self.keys.iter().rev().find(|(name, _)| name == key.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// The last value of a key, which must be text.
    pub fn key_text(&self, key: &str) -> Option<String> {
        self.key(key).map(|value| String::from_utf8(value.to_vec()).expect("a value that is text"))
    }

    /// The value of a key as a number.
    pub fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        let text = self.key_text(key)?;
        Some(text.parse().unwrap_or_else(|_| panic!("line {}: {key}={text} is no number", self.number)))
    }

    /// All pairs whose key starts with `prefix`, without it.
    pub fn prefixed<'l>(&'l self, prefix: &'l str) -> impl Iterator<Item = (&'l [u8], &'l [u8])> {
        let pairs = self.keys.iter();
        pairs.filter_map(move |(key, value)| Some((key.strip_prefix(prefix.as_bytes())?, value.as_slice())))
    }

    /// Fails on a key that is not among the known ones: a typing error in a fixture must not pass
    /// for a test.
    pub fn only_keys(&self, exact: &[&str], prefixes: &[&str]) {
        for (key, _) in &self.keys {
            let known = exact.iter().any(|name| name.as_bytes() == key)
                || prefixes.iter().any(|prefix| key.starts_with(prefix.as_bytes()));
            assert!(known, "line {}: {} knows no key {:?}", self.number, self.verb, String::from_utf8_lossy(key));
        }
    }
}

/// All lines of a text.
pub fn lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(rest) = line.strip_prefix("repeat ") {
            let (range, rest) = rest.split_once(' ').expect("repeat has a range and a line");
            let (from, to) = range.split_once("..").unwrap_or(("0", range));
            let bound = |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("line {}: {text}", at + 1));
            lines.extend((bound(from)..bound(to)).map(|i| parse(at + 1, &rest.replace("{i}", &i.to_string()))));
        } else {
            lines.push(parse(at + 1, line));
        }
    }
    lines
}

fn parse(number: usize, line: &str) -> Line {
    let mut tokens = split(line).into_iter().filter(|token| token != "->");
    let verb = tokens.next().expect("a line that is not empty");
    let (mut words, mut keys) = (Vec::new(), Vec::new());
    for token in tokens {
        match position(&token, b'=') {
            Some(at) => keys.push((bytes(&token[..at]), bytes(&token[at + 1..]))),
            None => words.push(bytes(&token)),
        }
    }
    Line { number, verb, words, keys }
}

/// Splits at spaces outside quotes.
fn split(line: &str) -> Vec<String> {
    let mut tokens = vec![];
    let (mut quoted, mut escaped) = (false, false);
    let mut token = String::new();
    for c in line.chars() {
        if !quoted && c == ' ' {
            if !token.is_empty() {
                tokens.push(std::mem::take(&mut token));
            }
            continue;
        }
        token.push(c);
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    assert!(!quoted, "a quote that is not closed: {line}");
    tokens.extend((!token.is_empty()).then_some(token));
    tokens
}

/// Where a byte stands outside quotes.
fn position(token: &str, wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in token.bytes().enumerate() {
        if byte == wanted && !quoted && !escaped {
            return Some(at);
        }
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
    }
    None
}

const GENERATORS: [&str; 4] = ["hex:", "zeros:", "rep:", "rand:"];

/// The bytes that a word stands for.
pub fn bytes(token: &str) -> Vec<u8> {
    let joins = |rest: &str| rest.starts_with('"') || GENERATORS.iter().any(|name| rest.starts_with(name));
    let mut from = 0;
    while let Some(at) = position(&token[from..], b'+').map(|at| from + at) {
        if joins(&token[at + 1..]) {
            return [part(&token[..at]), bytes(&token[at + 1..])].concat();
        }
        from = at + 1;
    }
    part(token)
}

fn part(token: &str) -> Vec<u8> {
    let Some(name) = GENERATORS.iter().find(|name| token.starts_with(**name)) else { return literal(token) };
    let argument = &token[name.len()..];
    let size = |text: &str| text.parse::<usize>().unwrap_or_else(|_| panic!("{token}: not a size"));
    match *name {
        "hex:" => {
            let digits: Vec<u8> = argument.chars().map(nibble).collect();
            digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
        }
        "zeros:" => vec![0; size(argument)],
        "rep:" => {
            let (len, text) = argument.split_once(':').expect("rep:LENGTH:TEXT");
            let quoted = text.len() > 2 && text.starts_with('"') && text.ends_with('"');
            assert!(quoted, "{token}: the text stands in quotes, alone");
            literal(text).into_iter().cycle().take(size(len)).collect()
        }
        _ => {
            let (len, seed) = argument.split_once(':').expect("rand:LENGTH:SEED");
            noise(size(len), seed.parse().expect("a seed is a number"))
        }
    }
}

fn nibble(c: char) -> u8 {
    u8::try_from(c.to_digit(16).unwrap_or_else(|| panic!("{c:?} is no hexadecimal digit"))).expect("below 16")
}

fn literal(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {}
            '\\' => match chars.next().expect("something behind a backslash") {
                'x' => {
                    let mut digit = || nibble(chars.next().expect("two digits behind \\x"));
                    bytes.push(digit() << 4 | digit());
                }
                'n' => bytes.push(b'\n'),
                't' => bytes.push(b'\t'),
                other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
            },
            c => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}

/// Bytes that don't compress, the same for the same seed (a 64-bit linear congruential generator,
/// upper bits used).
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut bytes = Vec::with_capacity(len + 4);
    while bytes.len() < len {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        bytes.extend_from_slice(&state.to_be_bytes()[..4]);
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn words_are_bytes() {
    for (text, expected) in [
        ("plain", &b"plain"[..]),
        ("\"a b\\\"\\x00\"", b"a b\"\0"),
        ("d/\"x y\"/z", b"d/x y/z"),
        ("tar+gzip", b"tar+gzip"),
        ("\"a\"+zeros:2+hex:ff00+rep:3:\"xy\"", b"a\0\0\xff\0xyx"),
        ("\"a+\"", b"a+"),
    ] {
        assert_eq!(bytes(text), expected, "{text}");
    }
    assert_eq!(noise(9, 1)[..8], noise(8, 1)[..]);
    assert_ne!(noise(8, 1), noise(8, 2));
}

#[test]
fn lines_have_words_and_keys() {
    let text = "# nothing\n\n  link \"a b\" -> c mode=0777 x:\"user.=\"=\"1=2\"\nrepeat 2..4 file f{i} \"{i}\"\n";
    let found = lines(text);
    assert_eq!(found.len(), 3);
    assert_eq!((found[0].number, found[0].verb.as_str()), (3, "link"));
    assert_eq!(found[0].words, [b"a b".to_vec(), b"c".to_vec()]);
    assert_eq!(found[0].key("mode"), Some(&b"0777"[..]));
    assert_eq!(found[0].prefixed("x:").collect::<Vec<_>>(), [(&b"user.="[..], &b"1=2"[..])]);
    assert_eq!(found[2].words, [b"f3".to_vec(), b"3".to_vec()]);
}
