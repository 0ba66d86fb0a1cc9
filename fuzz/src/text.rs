//! What is shown: text from anywhere, and what a terminal gets of it.
//!
//! For any bytes: nothing of what is shown is a control character or turns the direction of
//! writing, a name is one line, a message is short, and what is shown is shown as it is. For JSON:
//! it means the same. For text that a terminal only shows: it stays as it is.

use cvbake::text;
use serde_json::Value;

/// A message as the program shows it.
pub(crate) fn shown(text: &str) -> String {
    text::message(text)
}

/// Shows the bytes in every form.
pub fn check(input: &[u8]) {
    let document = text::document(input);
    assert_calm(&document);
    // What one parser takes for JSON, it takes for the same afterwards.
    if let Ok(value) = serde_json::from_slice::<Value>(input) {
        assert_eq!(serde_json::from_str::<Value>(&document).expect("still JSON"), value);
    }
    let given = String::from_utf8_lossy(input);
    let line = text::line(&given);
    assert_calm(&line);
    assert!(!line.contains(['\n', '\t']), "{line:?}");
    assert_eq!(text::line(&line), line, "once is enough");
    let lines = text::lines(&given);
    assert_calm(&lines);
    assert_eq!(text::lines(&lines), lines);
    assert_eq!(lines.matches('\n').count(), given.matches('\n').count(), "lines stay lines");
    let message = text::message(&given);
    assert_calm(&message);
    assert!(message.len() <= 2500 * "\\u{e0001}".len(), "{} bytes", message.len());
    let json = Value::from(&*given).to_string();
    let escaped = text::json(&json);
    assert_calm(&escaped);
    assert_eq!(serde_json::from_str::<Value>(&escaped).expect("still JSON"), *given);
    if given.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        assert_eq!((&*lines, &*escaped), (&*given, &*json), "plain text stays as it is");
    }
}

/// The characters that matter most, told in another way than by the program.
fn assert_calm(shown: &str) {
    for character in shown.chars() {
        let is_end = matches!(character, '\n' | '\t');
        assert!(is_end || !character.is_control(), "{character:?} in {shown:?}");
        // Debug escapes all that Unicode has as control, format and separator characters, of which
        // joiners may stay.
        let escaped = character.escape_debug().count() > 1 && !"\\'\"".contains(character);
        let is_format =
            matches!(u32::from(character), 0x200b | 0x200e..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff);
        assert!(!(escaped && is_format), "{character:?} in {shown:?}");
    }
}
