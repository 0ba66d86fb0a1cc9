use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use super::*;

const MIB: u64 = 1 << 20;

fn options(len_bytes: u64, sector_size: u32) -> Options {
    Options { len_bytes, sector_size, offset: MIB, volume_id: 0x1234_5678, label: "ESP", epoch: 1_700_000_000 }
}

fn file(path: &str, content: Vec<u8>) -> File {
    File { path: path.to_owned(), content: content.into() }
}

fn files() -> Vec<File> {
    let varied = |len: usize| (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect::<Vec<u8>>();
    vec![
        file("EFI/BOOT/BOOTX64.EFI", varied(1 << 20)),
        file("EFI/Linux/a-name-of-exactly-26-chars", varied(4097)),
        file("EFI/Linux/a-name-of-exactly.longer", varied(1)),
        file("EFI/Linux/cvbake.efi", varied(3)),
        file("loader/entries/cvbake.conf", b"title cvbake\n".to_vec()),
        file("loader/empty", Vec::new()),
        file("CVBAKE~1.CON", b"taken".to_vec()),
        file("cvbake one.conf", b"one".to_vec()),
        file("cvbake two.conf", b"two".to_vec()),
    ]
}

fn run(program: &str, package: &str, args: &[&str], image: &Path) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command.env("PATH", path).env("MTOOLS_SKIP_CHECK", "1").env("TZ", "UTC");
    let args = args.iter().map(|arg| if *arg == "IMAGE" { image.as_os_str() } else { arg.as_ref() });
    let done = command.args(args).output();
    let done = done.unwrap_or_else(|_| panic!("{program} is missing: scripts/setup installs it, in {package}"));
    let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{program}: {text}");
    text
}

fn image(files: &[File], options: &Options) -> tempfile::NamedTempFile {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(options.len_bytes).unwrap();
    let pieces = plan(files, options).unwrap();
    pieces.iter().for_each(|piece| image.as_file().write_all_at(&piece.bytes, piece.offset).unwrap());
    assert_eq!(plan(files, options).unwrap(), pieces, "the same again");
    image
}

/// dosfstools find nothing wrong, and mtools read what is in it.
#[test]
fn others_read_it() {
    for (len, sector) in [(34 * MIB, 512), (256 * MIB, 512), (512 * MIB, 4096), (3 << 30, 512)] {
        let files = files();
        let image = image(&files, &options(len, sector));
        let checked = run("fsck.fat", "dosfstools", &["-n", "-v", "IMAGE"], image.path());
        assert!(checked.contains("15 files") && checked.contains("32 bit entries"), "{checked}");
        for File { path, content } in &files {
            let out = tempfile::tempdir().unwrap();
            let target = out.path().join("file");
            run("mcopy", "mtools", &["-i", "IMAGE", &format!("::{path}"), target.to_str().unwrap()], image.path());
            assert!(std::fs::read(&target).unwrap() == **content, "{path}");
        }
        let listed = run("mdir", "mtools", &["-i", "IMAGE", "-a", "::"], image.path());
        for expected in ["Volume in drive : is ESP", "1234-5678", "2023-11-14  22:13", "cvbake two.conf"] {
            assert!(listed.contains(expected), "{listed}, expected {expected}");
        }
    }
}

#[test]
fn what_can_not_be() {
    let says = |files: &[File], len, sector| plan(files, &options(len, sector)).unwrap_err().to_string();
    assert_eq!(
        says(&[], 32 * MIB, 512),
        "a FAT32 filesystem of 33554432 bytes with sectors of 512: it would have 64480 clusters, expected 65525 to 268435445"
    );
    assert!(says(&[], 256 * MIB, 4096).contains("expected 65525"));
    assert!(says(&[], u64::MAX, 512).contains("expected 65525"));
    let large = file("large", vec![0; 40 << 20]);
    assert_eq!(says(&[large], 34 * MIB, 512), "the files take 41 MiB, and the partition has room for 33 MiB");
    for (paths, problem) in [
        (&["a//b"][..], "a name is empty"),
        (&["a/../b"], "a name is . or .."),
        (&["a/b "], "ends in a full stop or a space"),
        (&["a:b"], "a character"),
        (&["ä"], "a character"),
        (&["a", "a"], "there twice"),
        (&["a/b", "a"], "there twice"),
        (&["a", "a/b"], "there twice"),
        (&["a/b", "A/c"], "differs by case alone"),
    ] {
        let files: Vec<File> = paths.iter().map(|path| file(path, vec![1])).collect();
        let error = says(&files, 34 * MIB, 512);
        assert!(error.contains(problem), "{error}, expected {problem}");
    }
    assert_eq!(says(&vec![file("a", vec![]); 1001], 34 * MIB, 512), "1001 files, expected at most 1000");
}
