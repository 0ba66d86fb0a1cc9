//! The parser and the writers of the fixtures, as the tests use them.

#[path = "../../../tests/cvbake/support/case.rs"]
pub(crate) mod case;
#[path = "../../../tests/cvbake/support/image/mod.rs"]
pub(crate) mod image;
#[path = "../../../tests/cvbake/support/tar/mod.rs"]
pub(crate) mod tar;
#[path = "../../../tests/cvbake/support/text.rs"]
pub(crate) mod text;
