//! What a hypervisor is given with a disk, in files beside it: `disk.boot/kernel`, `initrd` and
//! `cmdline`.

use std::path::{Path, PathBuf};

use cvbake_disk::{Draft, Sink as _};

use super::prepared::Prepared;
use crate::control::Control;
use crate::error::Error;

const NAMES: [&str; 3] = ["kernel", "initrd", "cmdline"];

/// The directory beside a disk.
pub(crate) struct Beside {
    pub(crate) path: PathBuf,
    replace: bool,
    sync: bool,
}

impl Beside {
    /// That of a disk.
    ///
    /// # Errors
    /// When it has files that may not be replaced.
    pub(crate) fn check(disk: &Path, replace: bool, sync: bool) -> Result<Beside, Error> {
        let beside = Beside { path: path(disk), replace, sync };
        if beside.is_there() {
            NAMES.iter().try_for_each(|name| cvbake_disk::check(&beside.path.join(name), replace))?;
        } else if beside.path.symlink_metadata().is_ok() {
            let source = std::io::ErrorKind::NotADirectory.into();
            return Err(cvbake_disk::Error::Create { path: beside.path, source }.into());
        }
        Ok(beside)
    }

    /// Whether there is such a directory. A link to one is none: in a directory where others can
    /// write, it would lead to any.
    fn is_there(&self) -> bool {
        self.path.symlink_metadata().is_ok_and(|found| found.is_dir())
    }

    /// Writes the files: each is whole, or not there. The disk gets its name afterwards, so whoever
    /// finds the disk finds them.
    pub(crate) fn write(&self, boot: &Prepared, command_line: &str, control: &Control) -> Result<(), Error> {
        let is_new = !self.is_there();
        let written = self.try_write(boot, command_line, control, is_new);
        if written.is_err() && is_new {
            // What was not there is not there: none of the files has a name that stays.
            NAMES.iter().for_each(|name| drop(std::fs::remove_file(self.path.join(name))));
            let _ = std::fs::remove_dir(&self.path);
        }
        written
    }

    fn try_write(&self, boot: &Prepared, command_line: &str, control: &Control, is_new: bool) -> Result<(), Error> {
        let create = |source| Error::Disk(cvbake_disk::Error::Create { path: self.path.clone(), source });
        if is_new {
            std::fs::create_dir(&self.path).map_err(create)?;
        }
        let line = format!("{command_line}\n");
        let contents: [&[u8]; 3] = [&boot.kernel.content, &boot.initramfs.archive, line.as_bytes()];
        let mut drafts = Vec::new();
        for (name, content) in NAMES.into_iter().zip(contents) {
            let path = self.path.join(name);
            let mut draft = control.during(|| Draft::create(&path, self.replace), |draft| Some(draft.temporary()))?;
            draft.set_durable(self.sync);
            draft.raw().write_at(0, content)?;
            draft.sync()?;
            drafts.push(draft);
        }
        drafts.into_iter().try_for_each(|draft| draft.commit())?;
        Ok(())
    }
}

/// `disk.boot`, beside `disk.ext4`.
fn path(disk: &Path) -> PathBuf {
    disk.with_extension("boot")
}
