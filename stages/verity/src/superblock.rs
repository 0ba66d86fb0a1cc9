//! The superblock of a hash area, as `veritysetup` writes it.
//!
//! Nothing in it is covered by a hash: who changes it can make a disk fail to verify, and no more.
//!
//! Specification: "Cryptsetup wiki: DMVerity", and `struct verity_sb` in cryptsetup's
//! `lib/verity/verity.c`. Left zero: the rest of the salt, and the padding.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout};

use crate::Error;
use crate::hasher::Salt;
use crate::layout::{BLOCK, Layout};

/// What tells one tree from another of the same data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// What the hash area is called.
    pub uuid: [u8; 16],
    /// What is hashed in front of each block, so that nobody can prepare blocks with equal hashes
    /// for all trees at once.
    pub salt: [u8; 32],
}

const SIGNATURE: [u8; 8] = *b"verity\0\0";
const VERSION: u32 = 1;
/// The salt is hashed in front of a block; in type 0, of Chrome OS, behind it.
const HASH_TYPE: u32 = 1;
const ALGORITHM: &[u8] = b"sha256";

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct VeritySb {
    signature: [u8; 8],
    version: U32,
    hash_type: U32,

    uuid: [u8; 16],

    algorithm: [u8; 32],

    data_block_size: U32,
    hash_block_size: U32,
    data_blocks: U64,

    salt_size: U16,
    _pad1: [u8; 6],
    salt: [u8; 256],
    _pad2: [u8; 168],
}

pub(crate) const LEN: usize = size_of::<VeritySb>();

const _: () = assert!(LEN == 512);

impl VeritySb {
    pub(crate) fn new(identity: &Identity, layout: &Layout) -> VeritySb {
        let block = U32::new(u32::try_from(BLOCK).expect("4096"));
        let mut raw = VeritySb::new_zeroed();
        raw.signature = SIGNATURE;
        raw.version = U32::new(VERSION);
        raw.hash_type = U32::new(HASH_TYPE);
        raw.uuid = identity.uuid;
        raw.algorithm[..ALGORITHM.len()].copy_from_slice(ALGORITHM);
        raw.data_block_size = block;
        raw.hash_block_size = block;
        raw.data_blocks = U64::new(layout.data_blocks());
        raw.salt_size = U16::new(u16::try_from(identity.salt.len()).expect("32"));
        raw.salt[..identity.salt.len()].copy_from_slice(&identity.salt);
        raw
    }

    /// What it says, if that is something that can be checked: its UUID, the salt, and the tree.
    pub(crate) fn describe(&self) -> Result<([u8; 16], Salt, Layout), Error> {
        if self.signature != SIGNATURE {
            return Err(Error::NoSuperblock);
        }
        let block = BLOCK;
        let fields = [
            ("version", u64::from(self.version.get()), u64::from(VERSION)),
            ("hash_type", u64::from(self.hash_type.get()), u64::from(HASH_TYPE)),
            ("data_block_size", u64::from(self.data_block_size.get()), block),
            ("hash_block_size", u64::from(self.hash_block_size.get()), block),
        ];
        if let Some((field, found, expected)) = fields.into_iter().find(|(_, found, expected)| found != expected) {
            return Err(Error::Field { field, expected, found });
        }
        let (name, rest) = self.algorithm.split_at(ALGORITHM.len());
        if name != ALGORITHM || rest[0] != 0 {
            let end = self.algorithm.iter().position(|&byte| byte == 0).unwrap_or(self.algorithm.len());
            return Err(Error::Algorithm { found: self.algorithm[..end].escape_ascii().to_string() });
        }
        let size = usize::from(self.salt_size.get());
        let salt = self.salt.get(..size).ok_or(Error::SaltSize { found: size, max: self.salt.len() })?;
        let layout = Layout::of_blocks(self.data_blocks.get())?;
        Ok((self.uuid, Salt::new(salt), layout))
    }
}
