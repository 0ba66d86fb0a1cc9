//! A reference to an OCI image → an ext4 root disk, raw or in another format, in userspace and
//! without root.
//!
//! ```text
//! reference ─fetch→ blobs ─verify→ image ─unpack→ packs + indexes ─merge→ tree ─ext4→ blocks → disk
//! ```
//!
//! ```no_run
//! use cvbake::control::Control;
//! use cvbake::{Job, Output};
//!
//! let source: cvbake::fetch::Source = "docker://alpine:3.20".parse()?;
//! let job = Job::new(source);
//! let baked = cvbake::bake(&job, &Output::new("disk.ext4"), &Control::new(), &|_| {})?;
//! println!("{} files, {} bytes", baked.plan.files, baked.plan.disk_bytes);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Every stage is a crate of its own and does one thing: first a plan without side effects, then
//! what the plan says. What one stage hands to the next is a value that can be printed, compared
//! and tested. `docs/architecture.md` has a drawing; `docs/library.md` shows how to call the
//! library.
//!
//! # Ten words
//!
//! | word | meaning |
//! |---|---|
//! | index | the list of the files in a layer, with every attribute, without content |
//! | pack | the content of the files in a layer, in blocks of 4 KiB, without blocks of zeros |
//! | tree | all files of an image after merging its layers |
//! | layout | which block of the filesystem holds what |
//! | placement | a piece of a pack, and where in the filesystem it goes |
//! | base pack | the largest pack, which is unpacked onto the disk itself |
//! | draft | an output that has no name yet |
//! | container | what a format puts around a filesystem, and where in the file each part of it is |
//! | recipe | what the layers unpack to, and all else that the bytes of the disk follow from |
//! | pin | a note in the store that a running process uses something |
//!
//! # Crates
//!
//! | crate | what | may use |
//! |---|---|---|
//! | `inflate` | a gzip stream → its plain bytes | |
//! | [`archive`] | compressed bytes → tar entries | `inflate` |
//! | [`tree`] | the merged file tree | |
//! | `durable` | temporary names, private directories and safe removal where other users can write | |
//! | [`disk`] | the output under construction; where blocks go | `durable` |
//! | [`verify`] | digests, checked readers, the proof that an image is what it says | |
//! | `hash` | streams → their SHA-256, several at once | `verify` |
//! | [`store`] | what is kept between runs | `verify`, `durable` |
//! | [`fetch`] | where images come from and go to | `verify`, `hash`, `store`, `archive`, `durable` |
//! | [`unpack`] | a layer → index + pack; indexes → tree | `tree`, `archive` |
//! | [`rootfs`] | tree → a tar of all files | `tree` |
//! | [`erofs`] | tree → blocks, read-only; blocks → tree | `tree`, `disk` |
//! | [`ext4`] | tree → blocks, by its own writer or by e2fsprogs; blocks → tree | `tree`, `disk`, `durable` |
//! | [`vhdx`] | the length of a disk, and which of it is written → a VHDX file, planned | `disk` |
//! | `init` | the first program in a booted disk | |
//! | [`booting`] | a kernel and its modules → what firmware or a hypervisor starts | `disk`, `init` |
//! | [`verity`] | a disk → the hash tree that dm-verity checks it by, and its root hash | `disk` |
//! | [`measure`] | a unified kernel image → what booting it leaves in a TPM | |
//! | this one | wiring: the order ([`bake()`]), errors ([`error`]), events, and the program around it | all |
//!
//! # Decisions that hold everywhere
//!
//! * **No path of an image becomes a path of the host.** There is no extraction: attributes go from
//!   the archive into an index, from there into inodes. So owners, devices, capabilities and ACLs
//!   need no privilege.
//! * **The layout is planned before a data byte is placed**, and is a function of the tree and the
//!   options. Data that an upper layer deleted or replaced is nowhere on the disk.
//! * **The output is a function of the image and the options**: the same bytes on any machine, with
//!   any number of threads, whether a layer was unpacked now or found in the store. Identities
//!   derive from what the layers unpack to (the `ChainID` of the image specification), so the same
//!   files are the same disk, however they are compressed and whatever documents lead to them;
//!   times come from the image or from the caller.
//! * **Everything is hostile until checked.** No byte counts before its digest was checked; every
//!   length, count and depth has a named limit; memory follows what is kept, not what is claimed.
//! * **Nothing half-made is ever visible.** Outputs have temporary names until they are whole and
//!   on stable storage. A run that is killed leaves nothing that looks finished, and the next one
//!   cleans up. Store entries are named when they are whole, and on stable storage when the run
//!   says that it is done: a crash of the machine may damage some before that, but none is used
//!   unchecked.
//! * **Stages don't talk.** They return typed errors and report events; so does this library. The
//!   program alone renders them, and only it knows flags, hints and exit statuses.
#![forbid(unsafe_code)]

mod bake;
mod boot;
mod check;
mod clock;
pub mod compare;
mod compressing;
mod container;
pub mod control;
mod demands;
pub mod disks;
pub mod error;
pub mod event;
mod everything;
mod format;
mod identity;
pub mod images;
pub mod inside;
mod known;
mod layers;
mod parallel;
mod proof;
mod protection;
mod pull;
mod push;
mod readahead;
mod recipe;
mod report;
mod reuse;
mod seats;
mod source;
pub mod survey;
pub mod text;
mod whole;
mod workplace;

pub use bake::{Baked, Job, Output, bake, plan};
pub use boot::{Boot, BootBy, KernelSource, LoaderSource};
pub use check::{Checked, check};
pub use cvbake_archive as archive;
pub use cvbake_boot as booting;
pub use cvbake_disk as disk;
pub use cvbake_erofs as erofs;
pub use cvbake_ext4 as ext4;
pub use cvbake_fetch as fetch;
pub use cvbake_measure as measure;
pub use cvbake_rootfs as rootfs;
pub use cvbake_store as store;
pub use cvbake_tree as tree;
pub use cvbake_unpack as unpack;
pub use cvbake_verify as verify;
pub use cvbake_verity as verity;
pub use cvbake_vhdx as vhdx;
pub use demands::Demands;
pub use format::Format;
pub use layers::KeepPacks;
pub use protection::{HashTree, Verity};
pub use pull::{PullJob, Pulled, pull};
pub use push::{PushJob, PushSelect, Pushed, push};
pub use recipe::{Engine, Erofs, Ext4, Filesystem};
pub use report::{BootReport, LayerReport, PartitionReport, Plan};
pub use source::ImageSource;
pub use whole::write_whole;
