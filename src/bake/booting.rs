//! What a bake does for a disk that is to be booted.

use cvbake_store::Store;
use cvbake_verify::Image;
use cvbake_verity::RootHash;

use super::job::{Job, Output};
use crate::boot::{Beside, BootBy, Prepared, Trees, check_tree, prepare};
use crate::control::Control;
use crate::error::Error;
use crate::event::Observer;
use crate::protection::HashTree;
use crate::recipe::{Filesystem, Recipe};
use crate::report::Plan;
use crate::workplace::{Workplace, open_existing_store};

/// What a disk is booted by, if it is to be booted.
pub(super) struct Booting {
    prepared: Option<Prepared>,
    /// Where that goes if it is not on the disk.
    beside: Option<Beside>,
}

impl Booting {
    /// Reads it.
    pub(super) fn prepare(
        job: &Job,
        output: Option<&Output>,
        store: Option<&Store>,
        place: &Workplace,
        control: &Control,
        on: Observer<'_>,
    ) -> Result<Booting, Error> {
        check_tree(job.boot.as_ref().map(|boot| boot.by), job.verity)?;
        let Some(boot) = &job.boot else { return Ok(Booting { prepared: None, beside: None }) };
        let is_direct = boot.by == BootBy::Direct;
        let check = |output: &Output| Beside::check(&output.path, output.replace, output.sync);
        let beside = output.filter(|_| is_direct).map(check).transpose()?;
        let Job { source, registry, want, epoch, jobs, .. } = job;
        let trees = Trees { source, registry, want, epoch: *epoch, jobs: *jobs, store, place, control, on };
        let filesystem = match &job.filesystem {
            Filesystem::Ext4(_) => "ext4",
            Filesystem::Erofs(_) => "erofs",
        };
        let prepared = prepare(boot, filesystem, job.verity, job.format, &trees, on)?;
        Ok(Booting { prepared: Some(prepared), beside })
    }

    /// Reads it for a bake of which nothing is made.
    pub(super) fn planned(
        job: &Job,
        output: Option<&Output>,
        control: &Control,
        on: Observer<'_>,
    ) -> Result<Booting, Error> {
        if job.boot.is_none() {
            check_tree(None, job.verity)?;
            return Ok(Booting { prepared: None, beside: None });
        }
        let store = open_existing_store(job.store.as_deref(), on)?;
        let place = Workplace::open(store.as_ref(), None, &job.temporary, control)?;
        Booting::prepare(job, output, store.as_ref(), &place, control, on)
    }

    pub(super) fn prepared(&self) -> Option<&Prepared> {
        self.prepared.as_ref()
    }

    /// Whether it is for the processors that an image is for.
    pub(super) fn check(&self, image: &Image) -> Result<(), Error> {
        self.prepared.as_ref().map_or(Ok(()), |boot| boot.check(image))
    }

    /// Writes what goes beside a disk with this hash tree.
    pub(super) fn write(
        &self,
        recipe: &Recipe<'_>,
        tree: Option<&HashTree>,
        root_hash: Option<&RootHash>,
        control: &Control,
    ) -> Result<(), Error> {
        match self.beside.as_ref().zip(self.prepared.as_ref()) {
            Some((beside, boot)) => beside.write(boot, &recipe.command_line(boot, tree, root_hash), control),
            None => Ok(()),
        }
    }

    /// Says in a plan how the disk is booted, and that it is longer than its filesystem then.
    pub(super) fn tell(&self, plan: &mut Plan, recipe: &Recipe<'_>, root_hash: Option<&RootHash>) -> Result<(), Error> {
        let booted = recipe.booted(plan.disk_bytes, plan.hash_tree.as_ref(), root_hash)?;
        if let Some((mut report, disk_bytes)) = booted {
            report.directory = self.beside.as_ref().map(|beside| beside.path.clone());
            (plan.boot, plan.disk_bytes) = (Some(report), disk_bytes);
        }
        Ok(())
    }
}
