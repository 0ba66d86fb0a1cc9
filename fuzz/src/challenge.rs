//! Challenges: what a server writes into `WWW-Authenticate`.
//!
//! For any bytes: no more comes out than is in them, neither more challenges nor other texts. For
//! accepted input: written in full, a challenge is the same again.

use cvbake_fetch::Challenge;

/// Reads a header.
pub fn check(input: &[u8]) {
    let Ok(header) = std::str::from_utf8(input) else { return };
    let all = Challenge::all(header);
    assert_eq!(Challenge::all(header), all);
    assert!(all.len() <= header.len().div_ceil("basic,".len()), "a challenge has at least its scheme");
    for challenge in &all {
        let Challenge::Bearer { realm, service } = challenge else { continue };
        let values = [Some(realm), service.as_ref()];
        for value in values.into_iter().flatten() {
            assert!(header.contains('\\') || header.contains(value.as_str()), "{value:?} is not in the header");
        }
        // Written in full, it is the same again, and another one behind it, too.
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let mut text = format!("Bearer realm=\"{}\"", quoted(realm));
        if let Some(service) = service {
            text += &format!(",service=\"{}\"", quoted(service));
        }
        assert_eq!(Challenge::all(&format!("{text}, Basic realm=\"x\"")), [challenge.clone(), Challenge::Basic]);
    }
}
