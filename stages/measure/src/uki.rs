//! What firmware and systemd's stub measure of a unified kernel image, in their order.

use std::ops::RangeInclusive;

use crate::error::Error;
use crate::pcr::{Pcr, sha256};
use crate::pe::Image;

/// The sections that are measured, in the order in which they are, whatever their order in the
/// file; and the first version of systemd-stub that does.
///
/// `.pcrsig` is never measured: it signs the result.
const MEASURED: &[(&str, u32)] = &[
    (".linux", 252),
    (".osrel", 252),
    (".cmdline", 252),
    (".initrd", 252),
    (".splash", 252),
    (".dtb", 252),
    (".uname", 253),
    (".sbat", 254),
    (".pcrpkey", 252),
];

/// The versions that let the firmware load the kernel, which measures it, as was tried.
pub const STUBS_THAT_MEASURE_THE_KERNEL: RangeInclusive<u32> = 252..=252;

/// The words that systemd puts into PCR 11 as a boot goes on, one after the other.
pub const PHASES: [&str; 4] = ["enter-initrd", "leave-initrd", "sysinit", "ready"];

/// What firmware says in PCR 4 when it tries the first boot entry (`EV_EFI_ACTION`).
const CALLING: &[u8] = b"Calling EFI Application from Boot Option";

/// What ends the time before (`EV_SEPARATOR`).
const SEPARATOR: &[u8] = &[0; 4];

/// What registers have after a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// The version of the stub.
    pub stub: u32,
    /// PCR 4, of firmware that does as EDK II does; none for a stub of which it is not known
    /// whether the kernel is measured.
    pub pcr4: Option<Pcr>,
    /// PCR 11 when the kernel starts.
    pub pcr11: Pcr,
    /// PCR 11 after each of the [`PHASES`].
    pub pcr11_phases: [Pcr; 4],
}

/// Predicts what booting an image leaves.
///
/// # Errors
/// When it is no unified kernel image with systemd's stub.
pub fn predict(uki: &[u8]) -> Result<Prediction, Error> {
    let image = Image::parse(uki)?;
    let stub = version(&image)?;
    let kernel = image.section(".linux")?.ok_or(Error::Missing { name: ".linux" })?.content()?;
    let mut pcr11 = Pcr::default();
    for &(name, _) in MEASURED.iter().filter(|(_, since)| *since <= stub) {
        if let Some(section) = image.section(name)? {
            pcr11.extend(&sha256(&[name.as_bytes(), b"\0"].concat()));
            pcr11.extend(&sha256(section.content()?));
        }
    }
    let mut after = pcr11;
    let pcr11_phases = PHASES.map(|phase| {
        after.extend(&sha256(phase.as_bytes()));
        after
    });
    let pcr4 = if STUBS_THAT_MEASURE_THE_KERNEL.contains(&stub) {
        let mut pcr4 = Pcr::default();
        let images = [image.authenticode(), Image::parse(kernel)?.authenticode()];
        [sha256(CALLING), sha256(SEPARATOR)].iter().chain(&images).for_each(|digest| pcr4.extend(digest));
        Some(pcr4)
    } else {
        None
    };
    Ok(Prediction { stub, pcr4, pcr11, pcr11_phases })
}

/// The version of systemd's stub, from `#### LoaderInfo: systemd-stub 252.39-1 ####`.
fn version(image: &Image<'_>) -> Result<u32, Error> {
    let magic = image.section(".sdmagic")?.ok_or(Error::NoStub)?.content()?;
    let text = std::str::from_utf8(magic).ok().and_then(|text| text.split_once("LoaderInfo: systemd-stub "));
    let digits = text.and_then(|(_, rest)| rest.split(|next: char| !next.is_ascii_digit()).next());
    digits.and_then(|digits| digits.parse().ok()).ok_or(Error::NoStub)
}
