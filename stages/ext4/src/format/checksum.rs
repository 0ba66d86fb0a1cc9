//! `metadata_csum`: CRC-32C over every block of metadata, seeded so that a block in the wrong place
//! does not verify.
//!
//! See the kernel's `Documentation/filesystems/ext4/checksums.rst`.

/// The checksum algorithm's number in `s_checksum_type`.
pub(crate) const EXT4_CRC32C_CHKSUM: u8 = 1;

/// A running checksum: what has gone in so far.
///
/// ext4 neither inverts the seed nor the result, which the usual definition of CRC-32C does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum(u32);

impl Checksum {
    /// Nothing has gone in yet.
    pub(crate) const START: Checksum = Checksum(!0);

    /// The seed of all checksums of a filesystem but the superblock's.
    pub(crate) fn of_filesystem(uuid: &[u8; 16]) -> Checksum {
        Checksum::START.with(uuid)
    }

    /// The seed for what belongs to one inode. Its generation is zero in all our inodes.
    pub(crate) fn of_inode(self, ino: u32) -> Checksum {
        self.with(&ino.to_le_bytes()).with(&[0; 4])
    }

    /// The same, where a number in the superblock is the seed (`metadata_csum_seed`).
    pub(crate) fn seeded(seed: u32) -> Checksum {
        Checksum(seed)
    }

    /// With more bytes.
    pub(crate) fn with(self, bytes: &[u8]) -> Checksum {
        Checksum(!crc32c::crc32c_append(!self.0, bytes))
    }

    /// The number to store.
    pub(crate) fn value(self) -> u32 {
        self.0
    }

    /// The lower half, for fields of 16 bits and the lower parts of split ones.
    pub(crate) fn low(self) -> u16 {
        let [a, b, _, _] = self.0.to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    /// The upper half.
    pub(crate) fn high(self) -> u16 {
        let [_, _, c, d] = self.0.to_le_bytes();
        u16::from_le_bytes([c, d])
    }
}

/// The checksum of group descriptors before there was `metadata_csum` (`uninit_bg`): CRC-16 with
/// the polynomial 0x8005, lowest bit first.
pub(crate) fn crc16(start: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(start, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xa001 })
    })
}
