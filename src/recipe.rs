//! What a bake makes, in one value: the content and everything else that the bytes of the disk are
//! a function of. What names a bake, what is derived and what is planned comes from it.

mod partitions;

use std::ops::Range;

use cvbake_disk::Container;
use cvbake_ext4::{Inodes, Options, Size};
use cvbake_verify::{Algorithm, Digest};
use cvbake_verity::{Identity as TreeIdentity, RootHash};
use serde::Serialize;

use crate::boot::prepared::Prepared;
use crate::container::container;
use crate::demands::Demands;
use crate::error::Error;
use crate::format::Format;
use crate::identity::uuid;
use crate::protection::{Protection, Verity};

/// Changes whenever the same layers and options give other bytes than they did.
const GENERATION: u32 = 3;

/// Which filesystem, and what it is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filesystem {
    /// The one of Linux.
    Ext4(Ext4),
    /// The one of Linux that is only read, and as small as its files.
    Erofs(Erofs),
}

impl Filesystem {
    /// What it is called: the ending of its disks, too.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Filesystem::Ext4(_) => "ext4",
            Filesystem::Erofs(_) => "erofs",
        }
    }

    /// What writes it.
    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Filesystem::Ext4(ext4) => &ext4.engine,
            Filesystem::Erofs(_) => &Engine::Native,
        }
    }
}

impl Default for Filesystem {
    fn default() -> Filesystem {
        Filesystem::Ext4(Ext4::default())
    }
}

/// What an ext4 filesystem is to be like. There will be more fields: end it with
/// `..Ext4::default()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext4 {
    /// What writes it.
    pub engine: Engine,
    /// How large it is to be.
    pub size: Size,
    /// How many inodes it is to have.
    pub inodes: Inodes,
    /// Its name, at most 16 bytes.
    pub label: Vec<u8>,
    /// Its identity; derived from what the image's layers unpack to where none is given.
    pub uuid: Option<[u8; 16]>,
    /// What the hashes of names in large directories start from; derived like the identity where
    /// none is given.
    pub hash_seed: Option<[u8; 16]>,
    /// Whether it has a journal.
    pub journal: bool,
}

impl Default for Ext4 {
    fn default() -> Ext4 {
        Ext4 {
            engine: Engine::Native,
            size: Size::default(),
            inodes: Inodes::default(),
            label: Vec::new(),
            uuid: None,
            hash_seed: None,
            journal: true,
        }
    }
}

/// What an EROFS filesystem is to be like. There may be more fields: end it with
/// `..Erofs::default()`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erofs {
    /// Its name, at most 15 bytes.
    pub label: Vec<u8>,
    /// Its identity; derived from what the image's layers unpack to where none is given.
    pub uuid: Option<[u8; 16]>,
}

/// What writes the filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Engine {
    /// This program.
    #[default]
    Native,
    /// The programs of e2fsprogs.
    #[cfg(feature = "mkfs")]
    Mkfs(cvbake_ext4::mkfs::Programs),
}

/// What a bake makes.
#[derive(Debug, Clone)]
pub(crate) struct Recipe<'j> {
    /// What the layers unpack to, all together: the ChainID of the image specification.
    ///
    /// Not the manifest: that of an archive without one would be known only when all its layers
    /// were compressed, and an image that is imported, pushed or compressed in another way stays
    /// the same files.
    pub(crate) content: Digest,
    /// The filesystem itself, where it is no function of the content.
    pub(crate) made: Option<Digest>,
    pub(crate) filesystem: &'j Filesystem,
    pub(crate) format: Format,
    pub(crate) boot: Option<&'j Prepared>,
    /// Where its hash tree goes, if it is to have one.
    pub(crate) verity: Option<Verity>,
    /// What the place demands that it is for, if that is known.
    pub(crate) demands: Option<&'j Demands>,
    /// The time of what the image gives no time, in seconds since 1970.
    pub(crate) epoch: i64,
}

/// A recipe as it is written to name a bake. It is made by taking everything apart: a field that is
/// added somewhere and is neither put in here nor left out by its name does not compile.
#[derive(Serialize)]
struct Written<'a> {
    version: &'static str,
    generation: u32,
    content: String,
    epoch: i64,
    format: String,
    /// Left out where there is none, so that other disks are called what they always were.
    #[serde(skip_serializing_if = "Option::is_none")]
    verity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    demands: Option<String>,
    filesystem: &'static str,
    #[serde(flatten)]
    options: WrittenOptions<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenOptions<'a> {
    Ext4(WrittenExt4<'a>),
    Erofs { label: &'a [u8], uuid: &'a Option<[u8; 16]> },
}

#[derive(Serialize)]
struct WrittenExt4<'a> {
    engine: &'static str,
    size: String,
    inodes: String,
    label: &'a [u8],
    uuid: &'a Option<[u8; 16]>,
    hash_seed: &'a Option<[u8; 16]>,
    journal: bool,
}

impl Ext4 {
    fn written(&self) -> WrittenExt4<'_> {
        let Ext4 { engine, size, inodes, label, uuid, hash_seed, journal } = self;
        WrittenExt4 {
            engine: match engine {
                Engine::Native => "native",
                // The bytes are another program's, of whichever version.
                #[cfg(feature = "mkfs")]
                Engine::Mkfs(_) => "mkfs",
            },
            size: format!("{size:?}"),
            inodes: format!("{inodes:?}"),
            label,
            uuid,
            hash_seed,
            journal: *journal,
        }
    }
}

impl<'j> Recipe<'j> {
    /// What names the bake.
    pub(crate) fn key(&self) -> Digest {
        self.written(env!("CARGO_PKG_VERSION"))
    }

    /// The digest of all of it, as a version of the program writes it.
    fn written(&self, version: &'static str) -> Digest {
        let Recipe { content, made, filesystem, format, boot, verity, demands, epoch } = self;
        let written = Written {
            version,
            generation: GENERATION,
            content: made.unwrap_or(*content).to_string(),
            epoch: *epoch,
            format: format!("{format:?}"),
            verity: verity.map(|verity| format!("{verity:?}")),
            demands: demands.map(|demands| format!("{demands:?}")),
            filesystem: filesystem.name(),
            options: match filesystem {
                Filesystem::Ext4(ext4) => WrittenOptions::Ext4(ext4.written()),
                Filesystem::Erofs(Erofs { label, uuid }) => WrittenOptions::Erofs { label, uuid },
            },
            boot: boot.map(|boot| boot.key.to_string()),
        };
        let text = serde_json::to_vec(&written).expect("texts and numbers");
        Digest::sha256(&text)
    }

    /// A UUID that is a function of the content, and of what it is for.
    pub(crate) fn derived(&self, purpose: &str) -> [u8; 16] {
        uuid(purpose, self.content.to_string().as_bytes())
    }

    /// A UUID that is a function of everything that the bytes of the disk are a function of: where
    /// two disks have the same, nobody can tell them apart. Those of a reading writer are named by
    /// what it has made.
    pub(crate) fn named(&self, purpose: &str) -> [u8; 16] {
        uuid(purpose, self.written("any").to_string().as_bytes())
    }

    /// The filesystem's identity.
    pub(crate) fn uuid(&self) -> [u8; 16] {
        match self.filesystem {
            Filesystem::Ext4(ext4) => ext4.uuid.unwrap_or_else(|| filesystem_uuid(&self.content)),
            // Not that of an ext4 disk of the same image: both may be in one machine.
            Filesystem::Erofs(erofs) => erofs.uuid.unwrap_or_else(|| erofs_uuid(&self.content)),
        }
    }

    /// The hash tree of a filesystem of so many blocks, if there is to be one. Salt and UUID are
    /// the content's, so that the same filesystem has the same root hash wherever its tree is.
    pub(crate) fn protection(&self, blocks: u64) -> Result<Option<Protection>, Error> {
        let plan = |place| {
            let salt = Digest::for_bytes(Algorithm::Sha256, format!("cvbake salt {}", self.content).as_bytes());
            let salt = salt.bytes().try_into().expect("SHA-256 has 32 bytes");
            Protection::plan(place, blocks, TreeIdentity { uuid: self.derived(TREE_PURPOSE), salt })
        };
        self.verity.map(plan).transpose()
    }

    /// How long a disk is that is to have at least this length, which may be more than that of the
    /// filesystem.
    pub(crate) fn disk_bytes(&self, least_bytes: u64, protection: Option<&Protection>) -> Result<u64, Error> {
        let len_bytes = protection.map_or(least_bytes, |protection| protection.end().max(least_bytes));
        self.demands.map_or(Ok(len_bytes), |demands| demands.disk_bytes(len_bytes))
    }

    /// The file for a disk of at least this length, of which the filesystem has written these
    /// ranges, and with what comes behind it; `base_pack` is where a layer may stand already. Of
    /// the file, only the content of what is not the filesystem follows from the root hash, which
    /// is not known before that stands.
    pub(crate) fn container(
        &self,
        least_bytes: u64,
        protection: Option<&Protection>,
        root_hash: Option<&RootHash>,
        used: impl Iterator<Item = Range<u64>>,
        base_pack: Option<Range<u64>>,
    ) -> Result<Container, Error> {
        let len_bytes = self.disk_bytes(least_bytes, protection)?;
        let used = used.chain(protection.map(Protection::area).filter(|area| !area.is_empty()));
        let tree_bytes = protection.and_then(Protection::partition_bytes);
        let Some((boot, table)) = self.table(len_bytes, tree_bytes, root_hash)? else {
            return self.file(len_bytes, used, base_pack);
        };
        let disk = self.partitioned(boot, &table, protection, root_hash)?;
        let root = Recipe::root_of(&table).start;
        let base_pack = base_pack.map(|range| root + range.start..root + range.end);
        Ok(self.file(disk.len_bytes(), disk.used(used).into_iter(), base_pack)?.around(disk))
    }

    /// The file for a disk of this length, of which these ranges are written.
    fn file(
        &self,
        len_bytes: u64,
        used: impl Iterator<Item = Range<u64>>,
        first: Option<Range<u64>>,
    ) -> Result<Container, Error> {
        container(self.format, len_bytes, used, first, &|purpose| self.named(purpose))
    }

    /// What an ext4 filesystem is planned by; `base_pack` is the one that is left as it is.
    pub(crate) fn ext4_options(&self, ext4: &Ext4, base_pack: Option<u32>) -> Options {
        Options {
            size: ext4.size,
            inodes: ext4.inodes,
            label: ext4.label.clone(),
            uuid: self.uuid(),
            hash_seed: ext4.hash_seed.unwrap_or_else(|| self.derived("directory hash seed")),
            journal: ext4.journal,
            epoch: self.epoch,
            base_pack,
        }
    }

    /// The same of EROFS.
    pub(crate) fn erofs_options(&self, erofs: &Erofs, base_pack: Option<u32>) -> cvbake_erofs::Options {
        cvbake_erofs::Options { label: erofs.label.clone(), uuid: self.uuid(), epoch: self.epoch, base_pack }
    }
}

/// What the identity of a hash tree is derived for.
const TREE_PURPOSE: &str = "hash tree";

/// The identity that a filesystem has where none is given: by what the layers unpack to.
pub(crate) fn filesystem_uuid(content: &Digest) -> [u8; 16] {
    uuid("filesystem", content.to_string().as_bytes())
}

/// The same of EROFS.
pub(crate) fn erofs_uuid(content: &Digest) -> [u8; 16] {
    uuid("EROFS filesystem", content.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cvbake_disk::qcow2::Compression;

    use super::*;

    fn plain_recipe(content: Digest, filesystem: &Filesystem) -> Recipe<'_> {
        Recipe {
            content,
            made: None,
            filesystem,
            format: Format::Raw,
            boot: None,
            verity: None,
            demands: None,
            epoch: 0,
        }
    }

    /// Whatever differs in what is asked for is another bake.
    #[test]
    fn every_field_counts() {
        let content = Digest::sha256(b"content");
        let plain = Ext4::default();
        let variants = [
            plain.clone(),
            Ext4 { size: Size::Min, ..plain.clone() },
            Ext4 { size: Size::Extra(1), ..plain.clone() },
            Ext4 { size: Size::Exact(1), ..plain.clone() },
            Ext4 { inodes: Inodes::Count(11), ..plain.clone() },
            Ext4 { label: b"x".to_vec(), ..plain.clone() },
            Ext4 { uuid: Some([1; 16]), ..plain.clone() },
            Ext4 { hash_seed: Some([1; 16]), ..plain.clone() },
            Ext4 { journal: false, ..plain.clone() },
        ];
        let variants = variants.into_iter().map(Filesystem::Ext4);
        let read_only = Erofs::default();
        let others = [
            read_only.clone(),
            Erofs { label: b"x".to_vec(), ..read_only.clone() },
            Erofs { uuid: Some([1; 16]), ..read_only },
        ];
        let mut keys: Vec<Digest> = variants
            .chain(others.map(Filesystem::Erofs))
            .map(|filesystem| plain_recipe(content, &filesystem).key())
            .collect();
        let filesystem = Filesystem::default();
        let same = plain_recipe(content, &filesystem);
        keys.push(Recipe { epoch: 1, ..same.clone() }.key());
        keys.push(Recipe { format: Format::Qcow2(None), ..same.clone() }.key());
        for compression in [Compression::Zlib, Compression::Zstd] {
            keys.push(Recipe { format: Format::Qcow2(Some(compression)), ..same.clone() }.key());
        }
        for verity in [Verity::Append, Verity::Beside, Verity::Partition] {
            keys.push(Recipe { verity: Some(verity), ..same.clone() }.key());
        }
        for multiple_bytes in [512, 1 << 20] {
            let demands = &Demands { multiple_bytes, ..Demands::none("here") };
            keys.push(Recipe { demands: Some(demands), ..same.clone() }.key());
        }
        keys.push(Recipe { content: Digest::sha256(b"other"), ..same.clone() }.key());
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
        assert_eq!(same.key(), keys[0]);
        assert_ne!(same.uuid(), same.ext4_options(&plain, None).hash_seed);
        let erofs = Filesystem::Erofs(Erofs::default());
        assert_ne!(same.uuid(), Recipe { filesystem: &erofs, ..same.clone() }.uuid());
    }
}
