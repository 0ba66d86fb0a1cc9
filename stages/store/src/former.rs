//! What a name pointed to before it goes to another image.

use std::collections::BTreeMap;

use cvbake_verify::Digest;

use crate::links::{Documents, Need};
use crate::reference::{REPOSITORIES, anonymous};
use crate::{Error, Event, Origin, Reference, Store};

impl Store {
    /// Images that no registry gives back, and that the last of their names is about to leave, are
    /// kept under their digests.
    pub(crate) fn keep_former(
        &self,
        names: &[&str],
        new: &Reference,
        on: &(dyn Fn(Event) + Sync),
    ) -> Result<(), Error> {
        let mut formers: BTreeMap<Digest, (&str, Reference)> = BTreeMap::new();
        for &name in names {
            if let Some((former, Origin::Import)) = self.former(name, on)?
                && former.digest != new.digest
                && self.blob_is_there(&former.digest)?
            {
                formers.entry(former.digest).or_insert((name, former));
            }
        }
        if formers.is_empty() {
            return Ok(());
        }
        let mut documents = Documents::new(self, &|_| {});
        let mut needed = documents.needs(new.digest, false)?;
        for (name, other) in self.references(on)? {
            if !names.contains(&name.as_str()) {
                needed.extend(documents.needs(other.digest, false)?);
            }
        }
        for (digest, (name, former)) in formers {
            if !needed.contains(&Need::Document(digest)) {
                let dir = self.root.subdir(REPOSITORIES)?;
                self.write_reference_below(dir, &anonymous(&digest), &former, Origin::Import)?;
                on(Event::Unnamed { name: name.to_owned(), digest });
            }
        }
        Ok(())
    }

    /// What a name points to, also where its file is lost or damaged and `index.json` has it:
    /// nobody can be asked who said so then.
    fn former(&self, name: &str, on: &(dyn Fn(Event) + Sync)) -> Result<Option<(Reference, Origin)>, Error> {
        if let Some(known) = self.named(name, on)? {
            return Ok(Some(known));
        }
        let listed = self.read_index_json(on)?.into_iter().find(|(listed, _)| listed == name);
        Ok(listed.map(|(_, reference)| (reference, Origin::Import)))
    }
}
