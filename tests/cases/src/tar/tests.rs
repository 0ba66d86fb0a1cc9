//! GNU tar reads what the writer writes: the fixtures would prove nothing with a writer that is
//! wrong.

use super::*;
use crate::text::lines;

fn archive(text: &str) -> Vec<u8> {
    let mut tar = Tar::default();
    lines(text).iter().for_each(|line| tar.line(line));
    tar.finish()
}

/// The listing of `tar -tv` (times in UTC, owners as numbers) and the content of one file.
fn listed(archive: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.tar");
    std::fs::write(&file, archive).unwrap();
    let output = std::process::Command::new("tar")
        .args(["--numeric-owner", "--full-time", "--xattrs", "-tvvf"])
        .arg(&file)
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .output()
        .expect("tar runs (Debian package tar)");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Extracted to a file: to a pipe, GNU tar does not expand holes.
fn extracted(archive: &[u8], path: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.tar");
    std::fs::write(&file, archive).unwrap();
    let output = std::process::Command::new("tar").arg("-xf").arg(&file).arg("-C").arg(dir.path()).arg(path).output();
    let output = output.unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(dir.path().join(path)).unwrap()
}

#[test]
fn ordinary_entries() {
    let list = listed(&archive(
        "dir d mode=1755\nfile d/f \"hello\" own=1000:3000000000 mtime=1700000000.5\nlink l -> d/f\nhard h -> d/f\n\
         char c 1:3 mode=0666\nblock b 8:1\nfifo p\nfile v7 \"x\" format=v7\nfile g \"y\" format=gnu b256:mtime=-1",
    ));
    for wanted in [
        "drwxr-xr-t 0/0               0 1970-01-01 00:00:01 d",
        "-rw-r--r-- 1000/3000000000   5 2023-11-14 22:13:20.5 d/f",
        "lrwxrwxrwx 0/0               0 1970-01-01 00:00:01 l -> d/f",
        "hrw-r--r-- 0/0               0 1970-01-01 00:00:01 h link to d/f",
        "crw-rw-rw- 0/0             1,3 1970-01-01 00:00:01 c",
        "brw-r--r-- 0/0             8,1 1970-01-01 00:00:01 b",
        "prw-r--r-- 0/0               0 1970-01-01 00:00:01 p",
        "-rw-r--r-- 0/0               1 1970-01-01 00:00:01 v7",
        "-rw-r--r-- 0/0               1 1969-12-31 23:59:59 g",
    ] {
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(list.lines().any(|line| squeeze(line) == squeeze(wanted)), "{wanted}\n{list}");
    }
}

#[test]
fn long_names() {
    let name = format!("{}/{}", "p".repeat(90), "n".repeat(90));
    for form in ["pax", "gnu", "prefix"] {
        let bytes = archive(&format!("file {name} \"x\" long={form}\nlink l -> {} long=gnu", "t".repeat(300)));
        assert!(listed(&bytes).contains(&name), "{form}");
        assert_eq!(extracted(&bytes, &name), b"x", "{form}");
        assert!(listed(&bytes).contains(&"t".repeat(300)));
    }
}

#[test]
fn sparse_files() {
    let expected = [vec![0; 4096], vec![b'a'; 512], vec![0; 5000], vec![b'b'; 100], vec![0; 292]].concat();
    for form in ["old", "0.0", "0.1", "1.0"] {
        let line = format!(
            "file s rep:512:\"a\"+rep:100:\"b\" sparse={form} map=4096:512,9608:100,10000:0 real=10000\nfile after \"x\""
        );
        assert!(extracted(&archive(&line), "s") == expected, "{form}");
        assert_eq!(extracted(&archive(&line), "after"), b"x", "{form}");
    }
    // More runs than a header, and than one extension block, has room for.
    let runs: Vec<String> = (0..30).map(|at| format!("{}:512", at * 1024)).chain(["30720:0".to_owned()]).collect();
    let line = format!("file s rep:15360:\"a\" sparse=old map={} real=30720", runs.join(","));
    assert!(extracted(&archive(&line), "s") == [vec![b'a'; 512], vec![0; 512]].concat().repeat(30));
}

#[test]
fn records_count_their_own_digits() {
    assert_eq!(record(b"a", b""), b"5 a=\n");
    assert_eq!(record(b"path", &[b'x'; 100]).len(), 110);
    for len in 0..1200 {
        let bytes = record(b"k", &vec![b'v'; len]);
        let digits = bytes.iter().position(|&byte| byte == b' ').unwrap();
        assert_eq!(std::str::from_utf8(&bytes[..digits]).unwrap().parse::<usize>().unwrap(), bytes.len());
    }
}
