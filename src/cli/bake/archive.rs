//! `cvbake bake -o FILE.tar` and `-o dir:PATH`: the files of an image as an archive or as files,
//! which is an export under another name.

use std::io;
use std::path::Path;
use std::sync::Arc;

use cvbake::ImageSource;
use cvbake::fetch::Pull;
use cvbake::images::{ExportJob, Target};

use super::Args;
use crate::cli::environment;
use crate::cli::image::export;
use crate::cli::work::{allowed_jobs, nothing_written, want, watch};
use crate::failure::Failure;
use crate::ui::Ui;

/// Whether the name of an output says that it is an archive of files.
pub(super) fn is_archive(path: &Path) -> bool {
    path.file_name().is_some_and(export::is_tar)
}

/// What is no disk: an archive of files, by its name, or `dir:PATH`.
pub(super) fn target(output: &Path) -> Option<Target> {
    match export::directory(output.as_os_str()) {
        Some(path) => Some(Target::Dir { path }),
        None => is_archive(output).then(|| Target::Tar { path: Some(output.to_owned()) }),
    }
}

pub(super) fn write(
    source: ImageSource,
    target: Target,
    path: &Path,
    args: &Args,
    ui: &Arc<Ui>,
) -> Result<(), Failure> {
    let (format, what) = match &target {
        Target::Dir { .. } => ("dir", "a directory of files"),
        _ => ("tar", "an archive of files"),
    };
    let force = (format == "dir" && args.force).then_some("--force");
    if let Some(option) = args.for_disks_only().or(force) {
        return Err(Failure::Usage {
            problem: format!("{option} is for disks, and {} is {what}", path.display()),
            hint: Some("leave it out, or name a disk, such as -o disk.ext4".to_owned()),
        });
    }
    let compression = export::compression_by_name(&target);
    let mut job = ExportJob::new(source, target);
    job.registry = args.registry.options(Pull::Missing)?;
    job.want = want(args.platform.as_ref());
    job.compression = compression;
    job.replace = args.force;
    job.epoch = environment::epoch()?;
    job.store = args.store(&|event| ui.on(&event))?;
    job.temporary = environment::temporary();
    job.jobs = allowed_jobs(args.jobs);
    let control = watch(ui, Some(nothing_written(path)));
    let exported = cvbake::images::export(&job, &mut io::sink(), control, &|event| ui.on(&event))?;
    ui.finish();
    let shown = path.to_string_lossy();
    args.telling.print(|| export::json(&exported, &shown, format), || export::text(&exported, &shown, format))
}

impl Args {
    /// An option that was given and that an archive can't follow.
    fn for_disks_only(&self) -> Option<&'static str> {
        let others = [
            ("--dry-run", self.dry_run),
            ("--digest", self.digest),
            ("--target", self.target.is_some()),
            ("--verity", self.verity.is_some()),
            ("--verify", self.verify),
            ("--boot", self.boot.is_asked()),
            ("--max-store-size", self.max_store_size.is_some()),
        ];
        let other = others.iter().find(|(_, is_given)| *is_given).map(|(option, _)| *option);
        self.filesystem.given().or_else(|| self.format.given()).or(other)
    }
}
