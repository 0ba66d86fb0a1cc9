//! The file around a disk, by the format that was asked for.

use std::ops::Range;

use cvbake_disk::{Container, Subformat};
use cvbake_vhdx::Identity;

use crate::error::Error;
use crate::format::Format;

/// The file for a disk of this length, of which these ranges are written, and one part comes first
/// if the format maps blocks; `named` makes an identity for a purpose. Of a format that is
/// compressed it is the disk alone: that stands first, in a file of its own.
pub(crate) fn container(
    format: Format,
    len_bytes: u64,
    used: impl IntoIterator<Item = Range<u64>>,
    first: Option<Range<u64>>,
    named: &dyn Fn(&str) -> [u8; 16],
) -> Result<Container, Error> {
    Ok(match format {
        Format::Raw | Format::Qcow2(Some(_)) => Container::raw(len_bytes),
        Format::Qcow2(None) => Container::qcow2(len_bytes, used, first)?,
        Format::Vhd(Subformat::Fixed) => Container::fixed_vhd(len_bytes, named("VHD"))?,
        Format::Vhd(Subformat::Dynamic) => Container::dynamic_vhd(len_bytes, used, named("VHD"))?,
        Format::Vhdx(options) => {
            let identity = Identity {
                file_write: named("VHDX file"),
                data_write: named("VHDX content"),
                virtual_disk: named("VHDX disk"),
            };
            options.plan(len_bytes, used, first, &identity)?
        }
    })
}
