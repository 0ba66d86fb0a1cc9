//! JSON that means one thing only.
//!
//! Two parsers that disagree about a document see two images in it, and one of them was never
//! checked. What they are known to disagree about is refused here: duplicate keys anywhere, fields
//! in another spelling ([`Object`]), bytes after the document, text that is not UTF-8, and depth
//! and size that some parser gives up on.

mod bounded;
mod object;

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

pub use self::bounded::{Bounded, Size};
pub use self::object::Object;
use crate::{Error, shorten};

/// The largest document, in bytes: what the distribution specification tells registries to accept
/// for a manifest.
pub const MAX_BYTES: usize = 4 << 20;

/// The deepest nesting of arrays and objects. Real documents need about 6; the stack of a thread
/// carries hundreds.
pub const MAX_DEPTH: usize = 64;

/// Reads a document to its end.
///
/// # Errors
/// When reading fails, or when it is larger than [`MAX_BYTES`].
pub fn read(object: &str, reader: impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = reader.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::from_read(object, source))?;
    if bytes.len() > MAX_BYTES {
        return Err(Error::JsonTooLarge { object: object.to_owned(), limit: MAX_BYTES });
    }
    Ok(bytes)
}

/// A document of a known shape; fields that the shape does not have are ignored, though not what is
/// wrong with them.
///
/// # Errors
/// When it is not JSON that means one thing only, or has another shape.
pub fn parse<T: DeserializeOwned>(object: &str, bytes: &[u8]) -> Result<T, Error> {
    let invalid = |problem: String| Error::Json { object: object.to_owned(), problem };
    if bytes.len() > MAX_BYTES {
        return Err(Error::JsonTooLarge { object: object.to_owned(), limit: MAX_BYTES });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
    let problem = |error: serde_json::Error| invalid(shorten(&error.to_string()));
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Strict { depth: MAX_DEPTH }.deserialize(&mut deserializer).map_err(problem)?;
    deserializer.end().map_err(problem)?;
    serde_json::from_str(text).map_err(problem)
}

impl Error {
    /// The error behind a failed read: a checked reader's own, or one of whatever gave the bytes.
    pub(crate) fn from_read(object: &str, source: std::io::Error) -> Error {
        match source.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Error::Document { object: object.to_owned(), source: Box::new(error.clone()) },
            None => Error::Read { object: object.to_owned(), source: Arc::new(source) },
        }
    }
}

/// Walks over a value and keeps nothing of it.
struct Strict {
    /// How many more arrays and objects may be opened.
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        let depth = self.depth.checked_sub(1);
        depth.ok_or_else(|| E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A key, borrowed from the document where it has no escapes.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub(crate) struct Key<'doc>(#[serde(borrow)] pub(crate) Cow<'doc, str>);

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        while items.next_element_seed(Strict { depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        // Sorted afterwards instead of hashed on the way: a document of nothing but keys costs a
        // third of the memory.
        let mut keys: Vec<Key<'de>> = Vec::new();
        while let Some(key) = entries.next_key()? {
            entries.next_value_seed(Strict { depth })?;
            keys.push(key);
        }
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(A::Error::custom(format_args!("duplicate key {:?}", shorten(&pair[0].0)))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    struct Shape {
        a: Option<u64>,
    }

    fn shape(bytes: impl AsRef<[u8]>) -> Result<Shape, Error> {
        parse::<Object<Shape>>("thing", bytes.as_ref()).map(|object| object.0)
    }

    #[test]
    fn documents_have_one_meaning() {
        let deep = |levels: usize| format!(r#"{{"b":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        for text in [r#"{"a":1}"#, " {} \n", r#"{"b":[1,-1,1.5,"\u0061",true,null,{}]}"#, &deep(MAX_DEPTH - 1)] {
            shape(text).unwrap();
        }
        assert_eq!(shape(r#"{"\u0061":7}"#).unwrap().a, Some(7));
        let bad: [(&[u8], &str); 14] = [
            (br#"{"a":1,"a":1}"#, "duplicate key \"a\""),
            (br#"{"a":1,"\u0061":2}"#, "duplicate key \"a\""),
            (br#"{"x":[{"y":{"z":1,"q":2,"z":1}}]}"#, "duplicate key \"z\""),
            (b"{} {}", "trailing characters"),
            (b"{}x", "trailing characters"),
            (b"{}\0", "trailing characters"),
            (b"", "EOF"),
            (b"{", "EOF"),
            (b"{\"b\":\"\xff\"}", "invalid utf-8"),
            (b"\xef\xbb\xbf{}", "expected value"),
            (b"{'a':1}", "key must be a string"),
            (b"{\"a\":1,}", "trailing comma"),
            (br#"{"b":"\ud800"}"#, "hex escape"),
            (b"[1]", "expected an object"),
        ];
        for (bytes, problem) in bad {
            let error = shape(bytes).unwrap_err().to_string();
            assert!(error.starts_with("thing: ") && error.contains(problem), "{error}");
        }
        let error = shape(deep(MAX_DEPTH)).unwrap_err().to_string();
        assert!(error.contains("nested deeper than 64 levels"), "{error}");
        shape(deep(1 << 20)).unwrap_err();
        shape("{\"b\":".repeat(1 << 18)).unwrap_err();
    }

    #[test]
    fn documents_have_a_largest_size() {
        let padded = |len: usize| format!("{{}}{}", " ".repeat(len - 2)).into_bytes();
        parse::<Shape>("thing", &padded(MAX_BYTES)).unwrap();
        assert!(matches!(parse::<Shape>("thing", &padded(MAX_BYTES + 1)), Err(Error::JsonTooLarge { .. })));
        assert_eq!(read("thing", &padded(MAX_BYTES)[..]).unwrap().len(), MAX_BYTES);
        assert!(matches!(read("thing", std::io::repeat(b' ')), Err(Error::JsonTooLarge { .. })));
    }

    #[test]
    fn many_keys_are_no_trouble() {
        let keys: Vec<String> = (0..300_000).map(|key| format!("\"{key:x}\":0")).collect();
        shape(format!("{{{}}}", keys.join(","))).unwrap();
        let error = shape(format!("{{{},\"7\":1}}", keys.join(","))).unwrap_err().to_string();
        assert!(error.contains("duplicate key \"7\""), "{error}");
    }
}
