//! `systemd-measure` and `osslsigncode` judge; what they don't know is held to this file.

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;

const MAGIC: &[u8] = b"#### LoaderInfo: systemd-stub 252.39-1~deb12u2 ####\0";

/// An EFI program with these sections, in this order in the file.
fn program(sections: &[(&str, &[u8])]) -> Vec<u8> {
    const HEADERS: usize = 1024;
    const OPTIONAL: usize = 112 + 16 * 8;
    let align = |len: usize| len.next_multiple_of(512);
    let mut bytes = vec![0; HEADERS];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x80;
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
    let number = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    put(0x84, &0x8664_u16.to_le_bytes());
    put(0x86, &u16::try_from(sections.len()).unwrap().to_le_bytes());
    put(0x94, &u16::try_from(OPTIONAL).unwrap().to_le_bytes());
    put(0x96, &0x0206_u16.to_le_bytes());
    let optional = 0x98;
    put(optional, &0x20b_u16.to_le_bytes());
    put(optional + 32, &number(4096));
    put(optional + 36, &number(512));
    put(optional + 60, &number(HEADERS));
    // An EFI application.
    put(optional + 68, &10_u16.to_le_bytes());
    put(optional + 108, &number(16));
    let (mut address, mut pointer) = (4096, HEADERS);
    for (at, (name, content)) in sections.iter().enumerate() {
        let header = optional + OPTIONAL + at * 40;
        put(header, name.as_bytes());
        put(header + 8, &number(content.len()));
        put(header + 12, &number(address));
        put(header + 16, &number(align(content.len())));
        put(header + 20, &number(pointer));
        address += content.len().next_multiple_of(4096);
        pointer += align(content.len());
    }
    put(optional + 56, &number(address));
    for (_, content) in sections {
        bytes.extend_from_slice(content);
        bytes.resize(align(bytes.len()), 0);
    }
    bytes
}

fn said(name: &str, args: &[&str]) -> (bool, String) {
    let path = "/usr/lib/systemd:/usr/sbin:/sbin:/usr/bin:/bin";
    let output = Command::new(name).env("PATH", path).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}: see scripts/setup"));
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn kernel() -> Vec<u8> {
    program(&[(".text", &[0x90; 3000])])
}

/// What `systemd-measure` says of the same sections, for each phase.
#[test]
fn pcr_11_is_that_of_systemd() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = kernel();
    let all: [(&str, &[u8]); 7] = [
        // In an order that is not that of measuring.
        (".pcrpkey", b"-----BEGIN PUBLIC KEY-----"),
        (".osrel", b"ID=test\n"),
        (".splash", b"BM"),
        (".cmdline", b"root=/dev/vda roothash=00"),
        (".dtb", &[0xd0; 700]),
        (".linux", &kernel),
        (".initrd", &[7; 100_000]),
    ];
    for left_out in [&[][..], &[".splash", ".dtb", ".pcrpkey"], &[".osrel", ".initrd"]] {
        let kept: Vec<_> = all.iter().copied().filter(|(name, _)| !left_out.contains(name)).collect();
        let args = kept.iter().map(|(name, content)| {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            format!("--{}={}", name.trim_start_matches('.'), path.display())
        });
        let args: Vec<String> = ["calculate".to_owned(), "--bank=sha256".to_owned()].into_iter().chain(args).collect();
        let (done, text) = said("systemd-measure", &args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(done, "{text}");
        let uki = program(&[&[(".sdmagic", MAGIC), (".pcrsig", b"{}")], &kept[..]].concat());
        let prediction = predict(&uki).unwrap();
        let mut found = prediction.pcr11_phases.iter().map(|pcr| format!("11:sha256={pcr}"));
        assert!(found.all(|line| text.contains(&line)), "{prediction:?} {text}");
        assert_eq!(text.matches("11:sha256=").count(), PHASES.len(), "{text}");
        assert_eq!(prediction.stub, 252);
    }
}

/// What a signature is made of, and firmware measures.
#[test]
fn hashes_are_those_of_signatures() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (path("key"), path("certificate"));
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2"];
    let (made, text) = said("openssl", &[&request[..], &["-keyout", &key, "-out", &certificate]].concat());
    assert!(made, "{text}");
    let behind = [&program(&[(".text", &[1; 700])])[..], &[3; 64]].concat();
    for bytes in [kernel(), program(&[(".a", &[1; 5]), (".empty", &[]), (".b", &[2; 1024])]), behind] {
        std::fs::write(path("plain"), &bytes).unwrap();
        let _ = std::fs::remove_file(path("signed"));
        let sign = ["sign", "-h", "sha256", "-certs", &certificate, "-key", &key];
        let (made, text) =
            said("osslsigncode", &[&sign[..], &["-in", &path("plain"), "-out", &path("signed")]].concat());
        assert!(made, "{text}");
        // The certificate is nobody's, so only what is calculated counts.
        let (_, text) = said("osslsigncode", &["verify", "-in", &path("signed")]);
        let signed = std::fs::read(path("signed")).unwrap();
        assert!(signed.len() > bytes.len());
        for image in [&bytes, &signed] {
            let hash = Image::parse(image).unwrap().authenticode();
            let hex: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
            assert!(text.contains(&format!("Calculated message digest : {hex}")), "{hex} {text}");
        }
    }
}

/// Which sections count depends on the stub, and so does whether the firmware loads the kernel.
#[test]
fn later_stubs_measure_more() {
    let kernel = kernel();
    let uki = |version: &str, sections: &[(&str, &[u8])]| {
        let magic = format!("#### LoaderInfo: systemd-stub {version} ####");
        predict(&program(&[&[(".sdmagic", magic.as_bytes()), (".linux", &kernel)], sections].concat())).unwrap()
    };
    let plain = uki("252", &[]);
    let named: [(&str, &[u8]); 2] = [(".uname", b"6.1.0"), (".sbat", b"sbat,1")];
    assert_eq!(uki("252.39-1~deb12u2", &named).pcr11, plain.pcr11);
    assert_eq!(uki("253", &named).pcr11, uki("253", &named[..1]).pcr11);
    assert_ne!(uki("253", &named).pcr11, plain.pcr11);
    assert_ne!(uki("254", &named).pcr11, uki("253", &named).pcr11);
    assert!(plain.pcr4.is_some() && uki("254", &[]).pcr4.is_none());
    // Everything in the file counts for PCR 4, and only what is measured for PCR 11.
    let other = uki("252", &[(".other", b"x")]);
    assert!(other.pcr4 != plain.pcr4 && other.pcr11 == plain.pcr11);
}

#[test]
fn images_that_lie() {
    let kernel = kernel();
    let good = program(&[(".sdmagic", MAGIC), (".linux", &kernel)]);
    assert!(predict(&good).is_ok());
    let changed = |offset: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[offset..offset + bytes.len()].copy_from_slice(bytes);
        predict(&bad).unwrap_err().to_string()
    };
    let first = 0x98 + 112 + 16 * 8;
    let len = good.len();
    assert_eq!(changed(0, b"ZM"), "not a PE image: expected \"MZ\" at offset 0");
    assert_eq!(changed(0x80, b"PX"), "not a PE image: expected \"PE\\0\\0\" at offset 128");
    assert_eq!(
        changed(0x3c, &[255; 4]),
        format!("the PE signature ends at offset 4294967299 of the PE image, which has {len} bytes")
    );
    assert_eq!(changed(0x86, &[255; 2]), "the PE image has 65535 sections, expected at most 96");
    assert_eq!(changed(0x98, &[0; 2]), "not a PE image: expected the magic of an optional header at offset 152");
    for (offset, bytes) in
        [(0x98 + 60, &[255; 4]), (0x98 + 60, &[8, 0, 0, 0]), (first + 20, &[255; 4]), (first + 16, &[255; 4])]
    {
        assert!(changed(offset, bytes).ends_with(&format!("of the PE image, which has {len} bytes")), "{offset}");
    }
    assert_eq!(
        changed(first + 8, &[255; 4]),
        "section .sdmagic has 4294967295 bytes in memory and 512 in the file, expected no more in memory"
    );
    assert_eq!(changed(first, b".other\0\0"), "section .sdmagic does not name a version of systemd-stub");
    assert_eq!(changed(1024 + 28, b"x"), "section .sdmagic does not name a version of systemd-stub");
    assert_eq!(changed(first + 40, b".winux"), "there is no section .linux, expected a unified kernel image");
    let twice = program(&[(".sdmagic", MAGIC), (".linux", &kernel), (".linux", &kernel)]);
    assert_eq!(predict(&twice).unwrap_err(), Error::Twice { name: ".linux" });
    assert!(predict(&program(&[(".sdmagic", MAGIC), (".linux", b"no kernel")])).is_err());
    for len in (0..1100).chain(good.len() - 600..good.len()) {
        assert!(predict(&good[..len]).is_err(), "{len} bytes");
    }
}

/// The stub that Debian has, whose version and sections are read.
#[test]
fn the_stub_of_systemd() {
    let path = Path::new("/usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    let stub = std::fs::read(path).expect("systemd-boot-efi: see scripts/setup");
    assert!(Image::parse(&stub).unwrap().section(".sdmagic").unwrap().is_some());
    assert_eq!(predict(&stub).unwrap_err(), Error::Missing { name: ".linux" });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is changed in the headers, nothing is read that is not there.
    #[test]
    fn any_headers(changes in proptest::collection::vec((0_usize..600, any::<u8>()), 1..6)) {
        let mut image = program(&[(".sdmagic", MAGIC), (".linux", &kernel())]);
        changes.into_iter().for_each(|(at, byte)| image[at] = byte);
        if let Ok(image) = Image::parse(&image) {
            let _ = image.authenticode();
        }
        let _ = predict(&image);
    }
}
