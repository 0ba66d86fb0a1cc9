//! Unified kernel images.
//!
//! For any bytes: an error is a line. For a program: its hash does not depend on the checksum in
//! it, which signing changes. For accepted input: what is predicted is the same each time, and
//! another command line is another value of PCR 11.

use cvbake::measure::{Image, predict};

use crate::line;

/// Takes a program apart, and predicts what it leaves.
pub fn check(input: &[u8]) {
    let image = match Image::parse(input) {
        Ok(image) => image,
        Err(error) => return drop(line(&error)),
    };
    let pe = input.get(0x3c..0x40).and_then(|bytes| bytes.first_chunk()).copied().map(u32::from_le_bytes);
    let check_sum = usize::try_from(pe.expect("a header")).expect("within the input") + 24 + 64;
    let mut other = input.to_vec();
    other[check_sum] ^= 1;
    // The name of a section may lie there, if headers overlap, and then it is another program.
    if let Ok(other) = Image::parse(&other)
        && other.sections() == image.sections()
    {
        assert_eq!(other.authenticode(), image.authenticode(), "signed");
    }
    let prediction = match predict(input) {
        Ok(prediction) => prediction,
        Err(error) => return drop(line(&error)),
    };
    assert_eq!(predict(input).as_ref(), Ok(&prediction), "again");
    assert_ne!(prediction.pcr11, prediction.pcr11_phases[0]);
}

/// A small program, with a kernel in it that is one itself.
pub(crate) fn seed() -> Vec<u8> {
    let kernel = program(&[(".text", b"kernel")]);
    let magic = b"#### LoaderInfo: systemd-stub 252.1 ####";
    program(&[(".sdmagic", magic), (".linux", &kernel), (".cmdline", b"quiet"), (".initrd", b"files")])
}

fn program(sections: &[(&str, &[u8])]) -> Vec<u8> {
    const HEADERS: usize = 512;
    let mut bytes = vec![0; HEADERS];
    let narrow = |number: usize| u32::try_from(number).expect("a small program").to_le_bytes();
    let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
    put(0, b"MZ");
    put(0x3c, &narrow(0x40));
    put(0x40, b"PE\0\0");
    put(0x46, &narrow(sections.len())[..2]);
    // The optional header, with the five data directories that lead up to the certificates.
    put(0x54, &narrow(112 + 5 * 8)[..2]);
    put(0x58, &0x20b_u16.to_le_bytes());
    put(0x58 + 60, &narrow(HEADERS));
    put(0x58 + 108, &narrow(5));
    let mut pointer = HEADERS;
    for (number, (name, content)) in sections.iter().enumerate() {
        let header = 0x58 + 112 + 5 * 8 + number * 40;
        put(header, name.as_bytes());
        put(header + 8, &narrow(content.len()));
        put(header + 16, &narrow(content.len()));
        put(header + 20, &narrow(pointer));
        pointer += content.len();
    }
    sections.iter().for_each(|(_, content)| bytes.extend_from_slice(content));
    bytes
}
