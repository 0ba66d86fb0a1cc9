//! Lists and numbers of a size that something can be done with.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Unexpected, Visitor};

use crate::{Error, shorten};

/// A list of which `N` items are kept, and whether there are more. A document of nothing but empty
/// objects has millions of them, which would cost a hundred times its length before anybody
/// counted.
#[derive(Debug)]
pub struct Bounded<T, const N: usize> {
    items: Vec<T>,
    more: bool,
}

impl<T, const N: usize> Bounded<T, N> {
    /// All items. `what` they are, and which document has them, is for the error.
    ///
    /// # Errors
    /// When there are more than `N`.
    pub fn all(self, object: &str, what: &'static str) -> Result<Vec<T>, Error> {
        match self.more {
            false => Ok(self.items),
            true => Err(Error::TooMany { object: object.to_owned(), what, limit: N }),
        }
    }

    /// The items that are kept, where it is no harm if there are more.
    #[must_use]
    pub fn first(self) -> Vec<T> {
        self.items
    }
}

impl<T, const N: usize> Default for Bounded<T, N> {
    fn default() -> Bounded<T, N> {
        Bounded { items: Vec::new(), more: false }
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bounded<T, N>, D::Error> {
        struct Items<T, const N: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Items<T, N> {
            type Value = Bounded<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rest: A) -> Result<Bounded<T, N>, A::Error> {
                let mut items = Vec::new();
                while items.len() < N {
                    match rest.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(Bounded { items, more: false }),
                    }
                }
                let mut more = false;
                while rest.next_element::<IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(Bounded { items, more })
            }
        }
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// A count of bytes: an integer that is not negative and that other implementations' signed 64 bits
/// hold.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size in bytes")
            }

            fn visit_u64<E: serde::de::Error>(self, size: u64) -> Result<Size, E> {
                if i64::try_from(size).is_err() {
                    return Err(E::invalid_value(Unexpected::Unsigned(size), &self));
                }
                Ok(Size(size))
            }

            fn visit_i64<E: serde::de::Error>(self, size: i64) -> Result<Size, E> {
                Err(E::invalid_value(Unexpected::Signed(size), &self))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
                Err(E::invalid_type(Unexpected::Str(&shorten(text)), &self))
            }
        }
        deserializer.deserialize_any(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::parse;
    use super::*;

    thread_local! {
        static MADE: Cell<usize> = const { Cell::new(0) };
    }

    /// An item that counts how many there have been.
    #[derive(Debug)]
    struct Item;

    impl<'de> Deserialize<'de> for Item {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
            MADE.set(MADE.get() + 1);
            IgnoredAny::deserialize(deserializer).map(|_| Item)
        }
    }

    #[test]
    fn no_more_is_made_than_the_limit() {
        for (count, limited) in [(0, false), (2, false), (3, false), (4, true), (100_000, true)] {
            MADE.set(0);
            let text = format!("[{}]", vec!["{}"; count].join(","));
            let list: Bounded<Item, 3> = parse("thing", text.as_bytes()).unwrap();
            assert_eq!(MADE.get(), count.min(3));
            match list.all("thing", "items") {
                Ok(items) => assert!(!limited && items.len() == count, "{count}"),
                Err(error) => assert!(limited && error.to_string() == "thing: more than 3 items", "{count}: {error}"),
            }
        }
        assert!(parse::<Bounded<Item, 3>>("thing", b"{}").unwrap_err().to_string().contains("expected a list"));
    }
}
