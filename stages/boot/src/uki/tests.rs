use std::process::Command;

use super::*;

const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

fn content() -> Vec<u8> {
    std::fs::read(STUB).expect("systemd's stub is missing: scripts/setup installs it, in systemd-boot-efi")
}

fn stub() -> Stub {
    Stub::parse("stub", content(), Architecture::X86_64).unwrap()
}

/// objdump, which did not write it, finds all sections, and their content.
#[test]
fn others_read_it() {
    let (kernel, initramfs) = (vec![7; 100_001], vec![9; 5000]);
    let sections = Sections {
        os_release: "ID=test\n",
        command_line: "root=LABEL=x rw",
        version: Some("6.1"),
        initramfs: &initramfs,
        kernel: &kernel,
    };
    let image = stub().unified(&sections).unwrap();
    assert_eq!(stub().unified(&sections).unwrap(), image, "the same again");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("uki.efi");
    std::fs::write(&path, &image).unwrap();
    for (name, expected) in [
        (".osrel", sections.os_release.as_bytes()),
        (".cmdline", sections.command_line.as_bytes()),
        (".uname", b"6.1"),
        (".initrd", &initramfs),
        (".linux", &kernel),
    ] {
        let out = dir.path().join("section");
        let done = Command::new("objcopy").args(["-O", "binary", "--only-section", name]).args([&path, &out]).output();
        let done = done.expect("objcopy is missing: scripts/setup installs it, in binutils");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let found = std::fs::read(&out).unwrap();
        assert!(found.starts_with(expected) && found[expected.len()..].iter().all(|byte| *byte == 0), "{name}");
    }
    // The sum of one with its own checksum is another way to the same number.
    let mut zeroed = image.clone();
    let at = stub().optional + CHECK_SUM;
    zeroed[at..at + 4].fill(0);
    assert_eq!(u32_at(&image, at), check_sum(&zeroed));
}

#[test]
fn what_is_none() {
    let says = |content: Vec<u8>| Stub::parse("s", content, Architecture::X86_64).unwrap_err().to_string();
    let good = stub();
    let changed = |at: usize, bytes: &[u8]| {
        let mut content = content();
        content[at..at + bytes.len()].copy_from_slice(bytes);
        content
    };
    // A signature from there to the end, which is cut off.
    let signed = |offset: u32| {
        let len = u32::try_from(content().len()).unwrap() - offset;
        changed(good.optional + CERTIFICATE_TABLE, &[offset.to_le_bytes(), len.to_le_bytes()].concat())
    };
    let overlapping = || {
        let mut content = content();
        let len = u32::try_from(content.len()).unwrap() - 4096;
        for number in 0..usize::from(good.sections) {
            let at = good.table + number * SECTION_HEADER;
            content[at + 16..at + 20].copy_from_slice(&len.to_le_bytes());
            content[at + 20..at + 24].copy_from_slice(&4096_u32.to_le_bytes());
        }
        content
    };
    for (content, problem) in [
        (vec![], "no program for UEFI"),
        (vec![0; 4096], "no program for UEFI"),
        (b"MZ".to_vec(), "cut short"),
        (changed(0x3c, &[0xff; 4]), "no program for UEFI"),
        (changed(good.coff, &[0x64, 0xaa]), "another architecture"),
        (changed(good.coff + 2, &[0xff; 2]), "no application"),
        (changed(good.optional + SUBSYSTEM, &[1]), "no application"),
        (changed(good.optional + SECTION_ALIGNMENT, &[0; 4]), "no alignment"),
        (changed(good.optional + SIZE_OF_HEADERS, &[0; 4]), "no room"),
        (changed(good.table + 20, &[0xff; 4]), "cut short"),
        (changed(good.table + 12, &[0xff; 4]), "cut short"),
        (changed(good.table, b".linux\0\0"), "a kernel already"),
        (content()[..400].to_vec(), "cut short"),
        (signed(64), "signature is not behind"),
        (signed(u32::try_from(good.table).unwrap()), "signature is not behind"),
        (overlapping(), "its sections overlap"),
    ] {
        let error = says(content);
        assert!(error.contains(problem), "{error}, expected {problem}");
    }
    assert!(Stub::parse("s", content(), Architecture::Arm64).is_err());
    // Whatever is cut off, nothing panics.
    (0..2000).for_each(|len| drop(Stub::parse("s", content()[..len].to_vec(), Architecture::X86_64)));
}
