//! What earlier runs have found out about blobs.

use cvbake_store::Store;
use cvbake_verify::Digest;

use crate::error::Error;
use crate::event::{Event, Observer};

/// Whether it was checked before, in this run or an earlier one, that a blob unpacks to what it
/// should.
pub(crate) fn is_known(store: &Store, blob: Digest, diff_id: Digest, on: Observer<'_>) -> bool {
    let (key, text) = knowledge(blob, diff_id);
    let note = store.memos().get(&key, &|event| on(event.into()));
    blob == diff_id || note.is_ok_and(|note| note.is_some_and(|note| note == text.as_bytes()))
}

/// Notes that it was.
pub(crate) fn learn(store: &Store, blob: Digest, diff_id: Digest, on: Observer<'_>) {
    let (key, text) = knowledge(blob, diff_id);
    if let Err(error) = store.memos().put(&key, text.as_bytes()) {
        // Losing the note costs the next bake one hash; this one is unaffected.
        on(Event::Note(Error::from(error).line()));
    }
}

/// What is noted of a blob that was right, and under which key.
fn knowledge(blob: Digest, diff_id: Digest) -> (Digest, String) {
    let text = format!("the blob {blob} unpacks to {diff_id}");
    (Digest::sha256(text.as_bytes()), text)
}
