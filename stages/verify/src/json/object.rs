//! Objects whose keys are the names of fields, and no other spelling of them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::Key;

/// A value that is written as an object and as nothing else: derived implementations also take an
/// array of a structure's fields.
///
/// For a structure, a key that is one of its fields in another spelling is refused, whether or not
/// the field is there as well: programs in Go ignore the case of fields and take the last one, so
/// that `"layers"` and `"Layers"` would be two images for two readers. For a map the keys are data,
/// and may differ in nothing but case.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        struct Whole<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Whole<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Object<T>, A::Error> {
                T::deserialize(Entries(entries)).map(Object)
            }
        }
        deserializer.deserialize_map(Whole(PhantomData))
    }
}

/// The entries of an object, for whatever is made of them: a structure says which fields it has.
struct Entries<A>(A);

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Entries<A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_map(self.0)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        visitor.visit_map(Spelled { entries: self.0, fields })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The entries of a structure with these fields.
struct Spelled<A> {
    entries: A,
    fields: &'static [&'static str],
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Spelled<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(Key(key)) = self.entries.next_key()? else { return Ok(None) };
        match self.fields.iter().find(|field| folded(field).eq(folded(&key))) {
            Some(field) if *field != key => {
                // Escaped, because some letters look like others.
                let found = key.escape_default();
                Err(A::Error::custom(format_args!("expected the key \"{field}\" in this spelling, found \"{found}\"")))
            }
            _ => seed.deserialize(key.into_deserializer()).map(Some),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.entries.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.entries.size_hint()
    }
}

/// A key without what Go's `encoding/json` ignores. Besides the case of ASCII letters that is two
/// letters outside ASCII that Unicode folds into it: the long s and the Kelvin sign.
fn folded(key: &str) -> impl Iterator<Item = char> {
    key.chars().map(|char| match char {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        char => char.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::de::IgnoredAny;

    use super::super::parse;
    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        task_id: Option<u64>,
        inner: Option<Object<Inner>>,
        _unread: Option<IgnoredAny>,
        labels: Option<BTreeMap<String, u64>>,
    }

    #[derive(Deserialize, Debug)]
    struct Inner {
        #[serde(rename = "a.b_c")]
        name: Option<u64>,
    }

    fn shape(text: &str) -> Result<Shape, String> {
        let parsed = parse::<Object<Shape>>("thing", text.as_bytes());
        parsed.map(|Object(shape)| shape).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_have_one_spelling() {
        let good = shape(r#"{"\u0074askId":1,"inner":{"a.b_c":2},"unread":[],"task_id":3,"tasKid":4,"ſ":5}"#);
        // The last but one is no other spelling of any field but of the first one.
        let error = good.unwrap_err();
        assert!(error.contains(r#"expected the key "taskId" in this spelling, found "tasKid""#), "{error}");
        let good = shape(r#"{"\u0074askId":1,"inner":{"a.b_c":2},"unread":[],"task_id":3,"taskıd":4,"ſ":5}"#).unwrap();
        assert_eq!((good.task_id, good.inner.unwrap().0.name), (Some(1), Some(2)));
        for (text, expected, found) in [
            (r#"{"taskId":1,"TaskId":2}"#, "taskId", "TaskId"),
            (r#"{"TASKID":2}"#, "taskId", "TASKID"),
            (r#"{"\u0054askId":2}"#, "taskId", "TaskId"),
            (r#"{"taſkId":2}"#, "taskId", r"ta\u{17f}kId"),
            (r#"{"tas\u212aId":2}"#, "taskId", r"tas\u{212a}Id"),
            (r#"{"Unread":2}"#, "unread", "Unread"),
            (r#"{"inner":{"A.B_C":1}}"#, "a.b_c", "A.B_C"),
        ] {
            let error = shape(text).unwrap_err();
            let expected = format!(r#"thing: expected the key "{expected}" in this spelling, found "{found}""#);
            assert!(error.starts_with(&expected), "{text}: {error}");
        }
    }

    #[test]
    fn keys_that_are_data_may_differ_in_case() {
        let shape =
            shape(r#"{"labels":{"a":1,"A":2,"labels":3,"Labels":4},"x":1,"X":{"taskId":1,"TaskId":2}}"#).unwrap();
        assert_eq!(shape.labels.unwrap().len(), 4);
        let Object(map): Object<BTreeMap<String, u64>> = parse("thing", br#"{"k":1,"K":2}"#).unwrap();
        assert_eq!(map.len(), 2);
    }
}
