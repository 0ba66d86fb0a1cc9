//! What can be wrong with an image.

/// Why nothing can be predicted of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an EFI program.
    #[error("not a PE image: expected {expected} at offset {offset}")]
    NotPe {
        /// What there should be.
        expected: &'static str,
        /// Where.
        offset: u64,
    },
    /// Something that is said to be in the image is not.
    #[error("{what} ends at offset {end} of the PE image, which has {len} bytes")]
    CutOff {
        /// What.
        what: String,
        /// Where it would end.
        end: u64,
        /// How long the image is.
        len: u64,
    },
    /// More sections than there may be.
    #[error("the PE image has {found} sections, expected at most {max}")]
    TooManySections {
        /// How many.
        found: u16,
        /// How many there may be.
        max: u16,
    },
    /// A section with more bytes in memory than in the file: what is measured of it is unknown.
    #[error("section {name} has {virtual_size} bytes in memory and {raw_size} in the file, expected no more in memory")]
    NotInFile {
        /// Its name.
        name: String,
        /// Its length in memory.
        virtual_size: u32,
        /// Its length in the file.
        raw_size: u32,
    },
    /// Two sections of a name of which only one is measured.
    #[error("there are two sections {name}, expected one")]
    Twice {
        /// The name.
        name: &'static str,
    },
    /// No kernel.
    #[error("there is no section {name}, expected a unified kernel image")]
    Missing {
        /// The section.
        name: &'static str,
    },
    /// No stub of systemd, or none that says its version.
    #[error("section .sdmagic does not name a version of systemd-stub")]
    NoStub,
}
