//! What servers say about manifests, and what manifests say about themselves.

use cvbake_verify::{Algorithm, Digest};

use super::image::MANIFESTS;
use super::problem::{Problem, shorten};

/// Holds a server to the digest that it gives itself.
pub(super) fn check_claim(claimed: Option<&str>, bytes: &[u8]) -> Result<(), Problem> {
    let Some(text) = claimed else { return Ok(()) };
    let algorithm = text.parse().map_or(Algorithm::Sha256, |claimed: Digest| claimed.algorithm());
    let found = Digest::for_bytes(algorithm, bytes);
    if text == found.to_string() {
        return Ok(());
    }
    Err(Problem::HeaderDigest { header: shorten(text), found: Box::new(found) })
}

/// What a manifest says it is, or looks like, for servers that don't say; nothing is believed that
/// `verify` does not check.
pub(super) fn own_media_type(bytes: &[u8]) -> Result<String, Problem> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
        layers: Option<serde::de::IgnoredAny>,
    }
    let typed: Typed = serde_json::from_slice(bytes).map_err(|error| Problem::Malformed {
        what: "the manifest",
        reason: format!("it is not of the expected JSON form, line {}, column {}", error.line(), error.column()),
    })?;
    Ok(match typed {
        Typed { media_type: Some(said), .. } => said,
        Typed { manifests: Some(_), .. } => MANIFESTS[0].to_owned(),
        Typed { layers: Some(_), .. } => MANIFESTS[1].to_owned(),
        _ => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_nobody_says() {
        let table = [
            (r#"{"mediaType":"a/b","layers":[]}"#, "a/b"),
            (r#"{"schemaVersion":2,"config":{},"layers":[]}"#, MANIFESTS[1]),
            (r#"{"schemaVersion":2,"manifests":[]}"#, MANIFESTS[0]),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, ""),
        ];
        for (text, expected) in table {
            assert_eq!(own_media_type(text.as_bytes()).unwrap(), expected, "{text}");
        }
        for text in ["", "{", "<html>", "[]", r#"{"mediaType":7}"#] {
            assert!(matches!(own_media_type(text.as_bytes()), Err(Problem::Malformed { .. })), "{text}");
        }
    }
}
