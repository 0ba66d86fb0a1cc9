//! cvbake and its peers: the programs that each needs to get from an image in the registry to a
//! disk.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::args::tree;
use crate::images::Image;
use crate::run::{Step, tool};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// This project, with an empty store.
    Cvbake,
    /// The same, as its peers do it: without waiting for stable storage.
    CvbakeUnsynced,
    /// This project, with a store that has baked the image before.
    CvbakeWarm,
    /// skopeo, umoci and mkfs.ext4, as root.
    Classic,
    /// The same without root.
    ClassicRootless,
    /// skopeo and umoci, then the crate mkext4, as root.
    Mkext4,
    /// skopeo, then the crate arcbox-ext4.
    ArcboxExt4,
    /// The crate oci2rootfs.
    Oci2rootfs,
    /// The crate microsandbox-image.
    MicrosandboxImage,
}

/// What a run has to do, and with what.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// The image.
    pub(crate) image: &'a Image,
    /// Its name in the registry.
    pub(crate) reference: &'a str,
    /// The program.
    pub(crate) cvbake: &'a Path,
    /// Where the peers are that are built here.
    pub(crate) peers: &'a Path,
    /// An empty directory.
    pub(crate) directory: &'a Path,
    /// A store that has the image, for those who have one.
    pub(crate) warm_store: &'a Path,
}

impl Job<'_> {
    /// Where the disk is to be.
    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.join("disk.ext4")
    }
}

impl Contender {
    /// This project.
    pub(crate) const OURS: [Self; 3] = [Self::Cvbake, Self::CvbakeUnsynced, Self::CvbakeWarm];

    /// All but cvbake.
    pub(crate) const PEERS: [Self; 6] = [
        Self::Classic,
        Self::ClassicRootless,
        Self::Mkext4,
        Self::ArcboxExt4,
        Self::Oci2rootfs,
        Self::MicrosandboxImage,
    ];

    /// The name in results and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cvbake => "cvbake",
            Self::CvbakeUnsynced => "cvbake, not synced",
            Self::CvbakeWarm => "cvbake, warm",
            Self::Classic => "classic",
            Self::ClassicRootless => "classic-rootless",
            Self::Mkext4 => "mkext4",
            Self::ArcboxExt4 => "arcbox-ext4",
            Self::Oci2rootfs => "oci2rootfs",
            Self::MicrosandboxImage => "microsandbox-image",
        }
    }

    /// The package in `peers` that runs it, if it is a crate.
    pub(crate) fn package(self) -> Option<&'static str> {
        match self {
            Self::Mkext4 => Some("peer-mkext4"),
            Self::ArcboxExt4 => Some("peer-arcbox-ext4"),
            Self::Oci2rootfs => Some("peer-oci2rootfs"),
            Self::MicrosandboxImage => Some("peer-microsandbox-image"),
            Self::Cvbake | Self::CvbakeUnsynced | Self::CvbakeWarm | Self::Classic | Self::ClassicRootless => None,
        }
    }

    /// What it runs.
    pub(crate) fn steps(self, job: &Job<'_>) -> Result<Vec<Step>> {
        let path = |path: PathBuf| path.into_os_string().into_string().ok().context("the work folder is not UTF-8");
        let in_directory = |name: &str| path(job.directory.join(name));
        let disk = &path(job.disk())?;
        let size = &job.image.sizes.generous_disk_bytes().to_string();
        let kib = &format!("{}k", job.image.sizes.generous_disk_bytes() / 1024);
        let from = &format!("docker://{}", job.reference);
        let pulled = &in_directory("pulled")?;
        let tagged = &format!("{pulled}:latest");
        let to = &format!("oci:{tagged}");
        let pull = ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", from, to];
        let cvbake = &path(job.cvbake.to_owned())?;
        let bake = |store: &str, options: &[&str]| {
            let fixed = [cvbake, "pull-and-build", job.reference, "-o", disk, "--store", store, "--progress", "none"];
            Step::user(&[&fixed, options].concat())
        };
        let peer = self.package().map(|package| path(job.peers.join(package))).transpose()?.unwrap_or_default();
        let rootfs = &in_directory("rootfs")?;
        let bundle = &in_directory("bundle")?;
        let unpack = ["umoci", "raw", "unpack", "--image", tagged, rootfs];
        Ok(match self {
            Self::Cvbake => vec![bake(&in_directory("store")?, &[])],
            Self::CvbakeUnsynced => vec![bake(&in_directory("store")?, &["--sync", "never"])],
            Self::CvbakeWarm => vec![bake(&path(job.warm_store.to_owned())?, &[])],
            Self::Classic => {
                vec![
                    Step::root(&pull),
                    Step::root(&unpack),
                    Step::root(&["mkfs.ext4", "-q", "-F", "-d", rootfs, disk, kib]),
                ]
            }
            Self::ClassicRootless => vec![
                Step::user(&pull),
                Step::user(&["umoci", "unpack", "--rootless", "--image", tagged, bundle]),
                Step::user(&["mkfs.ext4", "-q", "-F", "-d", &format!("{bundle}/rootfs"), disk, kib]),
            ],
            Self::Mkext4 => vec![Step::root(&pull), Step::root(&unpack), Step::root(&[&peer, rootfs, disk, size])],
            Self::ArcboxExt4 => vec![Step::user(&pull), Step::user(&[&peer, pulled, disk, size])],
            Self::Oci2rootfs => vec![Step::user(&[&peer, job.reference, disk, size])],
            Self::MicrosandboxImage => vec![Step::user(&[&peer, job.reference, disk, &in_directory("cache")?])],
        })
    }
}

/// Builds cvbake for release, and returns the program.
pub(crate) fn build_cvbake(target: &Path) -> Result<PathBuf> {
    eprintln!("bench: building cvbake");
    cargo(&tree().join("Cargo.toml"), target)?;
    Ok(target.join("release/cvbake"))
}

/// Builds those of the contenders that are crates, and returns the programs.
pub(crate) fn build_peers(target: &Path, contenders: &[Contender]) -> Result<Vec<PathBuf>> {
    let packages: Vec<&str> = contenders.iter().filter_map(|contender| contender.package()).collect();
    if !packages.is_empty() {
        eprintln!("bench: building the peers");
        // All of them: with fewer, dependencies would have other features, and be compiled again.
        cargo(&tree().join("benches/compare/peers/Cargo.toml"), target)?;
    }
    Ok(packages.iter().map(|package| target.join("release").join(package)).collect())
}

fn cargo(manifest: &Path, target: &Path) -> Result<()> {
    let mut args = vec!["build".as_ref(), "--release".as_ref(), "--locked".as_ref(), "--manifest-path".as_ref()];
    args.extend([manifest.as_os_str(), "--target-dir".as_ref(), target.as_os_str()]);
    tool("cargo", args)?;
    Ok(())
}
