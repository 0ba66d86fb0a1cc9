//! What the caller decides about a filesystem.

/// Everything about a filesystem that its tree does not say.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Options {
    /// Its name, at most 15 bytes.
    pub label: Vec<u8>,
    /// Its identity.
    pub uuid: [u8; 16],
    /// When it was made, in seconds since 1970. A file that was modified in this second, and has
    /// nothing large about it, takes half the room.
    pub epoch: i64,
    /// The pack whose content stands together, in the pack's own order and from
    /// [`BASE_PACK_BLOCK`](crate::BASE_PACK_BLOCK) on, so that a file which begins as that pack can
    /// become the disk. Where some of it is dead, it is placed like the others.
    pub base_pack: Option<u32>,
}
