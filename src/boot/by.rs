//! What starts a disk, in a word.

/// What starts a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootBy {
    /// UEFI: the disk has partitions, of which one is a boot partition.
    Uefi,
    /// A hypervisor that is given the kernel: the disk is the filesystem, and what boots it is in
    /// files beside.
    Direct,
}
