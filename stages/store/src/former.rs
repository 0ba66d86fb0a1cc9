//! What a name pointed to before it goes to another image.

use std::collections::BTreeMap;

use cvbake_verify::Digest;

use crate::error::Error;
use crate::event::{Event, Observer};
use crate::files::{BLOBS, Files, REPOSITORIES};
use crate::links::{Documents, Need};
use crate::reference::{Origin, Reference, anonymous};
use crate::{index_json, repositories};

/// Images that no registry gives back, and that the last of their names is about to leave, are
/// kept under their digests.
pub(crate) fn keep(files: &Files, names: &[&str], new: &Reference, on: Observer<'_>) -> Result<(), Error> {
    let mut formers: BTreeMap<Digest, (&str, Reference)> = BTreeMap::new();
    for &name in names {
        if let Some((former, Origin::Import)) = former(files, name, on)?
            && former.digest != new.digest
            && files.has_entry(BLOBS, &former.digest)?
        {
            formers.entry(former.digest).or_insert((name, former));
        }
    }
    if formers.is_empty() {
        return Ok(());
    }
    let mut documents = Documents::new(files, &|_| {});
    let mut needed = documents.needs(new.digest, false)?;
    for other in repositories::list(files, on)? {
        if !names.contains(&other.name.as_str()) {
            needed.extend(documents.needs(other.reference.digest, false)?);
        }
    }
    for (digest, (name, former)) in formers {
        if !needed.contains(&Need::Document(digest)) {
            let dir = files.root.subdir(REPOSITORIES)?;
            repositories::write_below(files, dir, &anonymous(&digest), &former, Origin::Import)?;
            on(Event::Unnamed { name: name.to_owned(), digest });
        }
    }
    Ok(())
}

/// What a name points to, also where its file is lost or damaged and `index.json` has it:
/// nobody can be asked who said so then.
fn former(files: &Files, name: &str, on: Observer<'_>) -> Result<Option<(Reference, Origin)>, Error> {
    if let Some(known) = repositories::get(files, name, on)? {
        return Ok(Some(known));
    }
    let listed = index_json::read(files, on)?.into_iter().find(|(listed, _)| listed == name);
    Ok(listed.map(|(_, reference)| (reference, Origin::Import)))
}
