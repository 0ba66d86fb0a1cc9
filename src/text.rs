//! Text from outside → text that a terminal shows, and does nothing else with.
//!
//! Names, documents and messages come from images, registries, files and command lines. They may
//! contain characters that move the cursor, change the direction of writing, or are invisible. All
//! text for a person goes through here:
//!
//! ```text
//! a name, an error    line, message     on one line, as \u{202e}
//! the name of a file  name              as \u{202e}, ends of lines as well, and bytes that are no text as \xff
//! a result            lines             its own ends of lines stay
//! JSON                json              as \u202e, which means the same
//! a document          document          of which nobody knows that it is JSON, or UTF-8
//! ```
//! What a program reads from a pipe as bytes (`--raw`, archives) is left as it is: it has a digest.

mod time;

use std::fmt::Write as _;
use std::io;

pub use time::rfc3339;

/// How much of a message is shown: a screen full. The beginning says what it is about, the end what
/// is wrong with it.
const HEAD_CHARS: usize = 2000;
const TAIL_CHARS: usize = 400;

/// What an error of the system says, without its number, which means nothing to most users.
#[must_use]
pub fn plain(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(code) = error.raw_os_error()
        && let Some(words) = text.strip_suffix(&format!(" (os error {code})"))
    {
        text.truncate(words.len());
    }
    text
}

/// A text that stays on its line.
#[must_use]
pub fn line(text: &str) -> String {
    escape(text.trim_end(), |character, line| match character {
        '\n' | '\r' | '\t' => line.push(' '),
        character => line.extend(character.escape_default()),
    })
}

/// The same, no longer than anybody reads.
#[must_use]
pub fn message(text: &str) -> String {
    let text = text.trim_end();
    let count = text.chars().count();
    let Some(more) = count.checked_sub(HEAD_CHARS + TAIL_CHARS).filter(|&more| more > 0) else { return line(text) };
    let at = |nth: usize| text.char_indices().nth(nth).map_or(text.len(), |(at, _)| at);
    let (head, tail) = (&text[..at(HEAD_CHARS)], &text[at(HEAD_CHARS + more)..]);
    format!("{}… ({more} characters) …{}", line(head), line(tail))
}

/// The name of a file, or a path: bytes that need not be text.
#[must_use]
pub fn name(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&escape(chunk.valid(), |character, name| name.extend(character.escape_default())));
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a string takes everything");
        }
    }
    text
}

/// Several lines.
#[must_use]
pub fn lines(text: &str) -> String {
    escape(text, |character, lines| match character {
        '\n' | '\t' => lines.push(character),
        character => lines.extend(character.escape_default()),
    })
}

/// JSON with the same meaning. Outside of strings it has none of these characters but white space.
#[must_use]
pub fn json(text: &str) -> String {
    escape(text, |character, json| match character {
        '\n' | '\t' => json.push(character),
        // White space as well, but it writes over what stands before it.
        '\r' => json.push(' '),
        character => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(json, "\\u{unit:04x}").expect("a string takes everything");
            }
        }
    })
}

/// A document for a person: as [`json`], and what is not UTF-8 byte by byte.
#[must_use]
pub fn document(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&json(chunk.valid()));
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a string takes everything");
        }
    }
    text
}

/// Copies a text; what does not merely show itself is left to `put`.
fn escape(text: &str, put: impl Fn(char, &mut String)) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match acts(character, shown.chars().next_back()) {
            true => put(character, &mut shown),
            false => shown.push(character),
        }
    }
    shown
}

/// Whether a character does something to a terminal, to the text around it, or to who reads it,
/// instead of being seen.
fn acts(character: char, before: Option<char>) -> bool {
    let is_joiner = |character: char| matches!(character, '\u{200c}' | '\u{200d}');
    let is_selector = |character: char| matches!(character, '\u{fe00}'..='\u{fe0f}');
    match character {
        // Persian, Indic scripts and emoji are not written without these, and there they are seen,
        // by the form that they give to the character before them. Behind one of ASCII they only
        // hide, and so do two of a kind.
        '\u{200c}' | '\u{200d}' => before.is_none_or(|before| before.is_ascii() || is_joiner(before)),
        '\u{fe00}'..='\u{fe0f}' => {
            before.is_none_or(|before| before.is_ascii() || is_joiner(before) || is_selector(before))
        }
        // Direction: marks, embeddings, overrides, isolates. The separators end a line for some
        // programs.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Nothing to be seen: hyphens and joiners for line breaks, operators, fillers, byte order
        // marks, annotations, tags. All that Unicode has as `Default_Ignorable_Code_Point` is here
        // or above.
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' => true,
        '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' => true,
        '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' => true,
        '\u{e0000}'..='\u{e0fff}' => true,
        // C0, DEL and C1.
        character => character.is_control(),
    }
}

/// A UUID in its usual form.
#[must_use]
pub fn uuid(uuid: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(uuid));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Bytes in hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One or two of every kind that is not merely seen, with the two forms that it gets.
    const ACTING: [(char, &str, &str); 21] = [
        ('\0', "\\u{0}", "\\u0000"),
        ('\u{1b}', "\\u{1b}", "\\u001b"),
        ('\u{7f}', "\\u{7f}", "\\u007f"),
        ('\u{85}', "\\u{85}", "\\u0085"),
        ('\u{9b}', "\\u{9b}", "\\u009b"),
        ('\u{ad}', "\\u{ad}", "\\u00ad"),
        ('\u{61c}', "\\u{61c}", "\\u061c"),
        ('\u{200b}', "\\u{200b}", "\\u200b"),
        ('\u{200e}', "\\u{200e}", "\\u200e"),
        ('\u{200f}', "\\u{200f}", "\\u200f"),
        ('\u{2028}', "\\u{2028}", "\\u2028"),
        ('\u{2029}', "\\u{2029}", "\\u2029"),
        ('\u{202a}', "\\u{202a}", "\\u202a"),
        ('\u{202e}', "\\u{202e}", "\\u202e"),
        ('\u{2060}', "\\u{2060}", "\\u2060"),
        ('\u{2066}', "\\u{2066}", "\\u2066"),
        ('\u{2069}', "\\u{2069}", "\\u2069"),
        ('\u{feff}', "\\u{feff}", "\\ufeff"),
        ('\u{fff9}', "\\u{fff9}", "\\ufff9"),
        ('\u{e0001}', "\\u{e0001}", "\\udb40\\udc01"),
        ('\u{e007f}', "\\u{e007f}", "\\udb40\\udc7f"),
    ];

    #[test]
    fn what_acts_is_escaped() {
        for (character, escaped, in_json) in ACTING {
            let text = format!("a{character}é{character}z");
            let expected = |escape: &str| format!("a{escape}é{escape}z");
            assert_eq!(line(&text), expected(escaped));
            assert_eq!(message(&text), expected(escaped));
            assert_eq!(lines(&text), expected(escaped));
            assert_eq!(name(text.as_bytes()), expected(escaped));
            assert_eq!(json(&text), expected(in_json));
            assert_eq!(document(text.as_bytes()), expected(in_json));
        }
    }

    #[test]
    fn what_is_seen_stays() {
        for text in [
            "plain \\u{41} \"quoted\"",
            "größe",
            "日本語",
            "עברית",
            "می\u{200c}خواهم",
            "👩\u{200d}💻",
            "❤\u{fe0f}\u{200d}🔥",
        ] {
            assert_eq!([line(text), message(text), lines(text), json(text), document(text.as_bytes())], [text; 5]);
        }
    }

    #[test]
    fn joiners_that_join_nothing() {
        let table = [
            ("al\u{200d}pine", "al\\u{200d}pine"),
            ("\u{200c}a", "\\u{200c}a"),
            ("é\u{200d}\u{200d}", "é\u{200d}\\u{200d}"),
            ("é\u{200d}\u{200c}\u{200d}", "é\u{200d}\\u{200c}\\u{200d}"),
            ("\u{202e}\u{200d}", "\\u{202e}\\u{200d}"),
            ("a\u{fe0f}", "a\\u{fe0f}"),
            ("é\u{fe0f}\u{fe0e}", "é\u{fe0f}\\u{fe0e}"),
        ];
        for (text, expected) in table {
            assert_eq!(line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn ends_of_lines() {
        assert_eq!(line("a\nb\r\n\tc\n"), "a b  \u{20}c");
        assert_eq!(lines("a\n\tb\r\n"), "a\n\tb\\r\n");
        assert_eq!(json("{\r\n\t\"a\":1}\n"), "{ \n\t\"a\":1}\n");
    }

    #[test]
    fn json_means_the_same() {
        let all: String = ACTING.iter().map(|(character, ..)| *character).chain("\r\n\té😀".chars()).collect();
        let value = serde_json::json!({ &all: [&all, 1, null] });
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            for escaped in [json(&text), document(text.as_bytes())] {
                assert!(escaped.chars().all(|character| character == '\n' || !acts(character, Some('é'))), "{escaped}");
                assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text() {
        assert_eq!(name(b"a b\xff\n\t\\x2d\xe2\x80\xae"), "a b\\xff\\n\\t\\x2d\\u{202e}");
        assert_eq!(document(b"{\"a\":\"\x9b2J\xff\xe2\x80\xae\"}\n"), "{\"a\":\"\\x9b2J\\xff\\u202e\"}\n");
        assert_eq!(document(b"\xe2\x80"), "\\xe2\\x80");
    }

    #[test]
    fn long_messages_lose_their_middle() {
        let text = format!("{} is wrong", "é".repeat(10_777));
        let shown = message(&text);
        assert!(
            shown.starts_with("éé") && shown.ends_with("éé is wrong") && shown.contains("… (8386 characters) …"),
            "{shown}"
        );
        assert_eq!(shown.chars().count(), HEAD_CHARS + TAIL_CHARS + "… (8386 characters) …".chars().count());
        let whole = "x".repeat(HEAD_CHARS + TAIL_CHARS);
        assert_eq!(message(&whole), whole);
        assert_eq!(line(&text), text, "a name is not cut");
    }
}
