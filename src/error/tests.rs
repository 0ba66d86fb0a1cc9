//! Errors that are made of others.

use rustix::io::Errno;

use super::*;

fn written(errno: Errno) -> Error {
    cvbake_disk::Error::Write { path: "/p".into(), offset: 0, len: 1, source: errno.into() }.into()
}

/// The disk of what the store works on is full; that of the output is another one.
#[test]
fn the_store_is_full() {
    let layer = |source| Error::Layer { number: 1, digest: None, source: Box::new(source) };
    let scratch = || Error::scratch("/p/x".as_ref(), Errno::NOSPC.into());
    let table = [
        ("/p", scratch(), Kind::Store, true),
        ("/p", layer(written(Errno::DQUOT)), Kind::Store, true),
        ("/elsewhere", written(Errno::NOSPC), Kind::Output, true),
        ("/p", written(Errno::ROFS), Kind::Output, false),
    ];
    for (store, error, kind, is_full) in table {
        let error = Error::image_in(Some(store.as_ref()), &"oci:d", error);
        assert_eq!(matches!(error, Error::FullStore { .. }), kind == Kind::Store, "{error:?}");
        assert_eq!((error.kind(), error.is_full()), (kind, is_full), "{error:?}");
    }
}

/// What would be wrong with a source is wrong with a target.
#[test]
fn targets_are_outputs() {
    let no_layout = cvbake_fetch::Error::NotALayout { place: "p".to_owned(), problem: "x".to_owned() };
    let error = Error::target("/p".as_ref(), no_layout);
    assert!(matches!(error, Error::Target { .. }) && error.kind() == Kind::Output, "{error:?}");
    assert!(matches!(Error::target("/p".as_ref(), Error::Cancelled), Error::Cancelled));
}
