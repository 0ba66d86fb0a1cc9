//! debugfs: names, kinds, modes, owners, sizes, times, devices, and the names and sizes of extended
//! attributes.

use std::collections::BTreeMap;
use std::path::Path;

use cvbake_tree::{Time, escape};

use super::super::tools::{run, tool};

/// One line per name, sorted.
pub(crate) fn summary(disk: &Path) -> String {
    // Level by level: debugfs lists what it is told by number, because no path of ours could be
    // quoted for it.
    let mut names: Vec<(Vec<u8>, u64)> = vec![(b"/".to_vec(), 2)];
    let mut level = vec![0];
    while !level.is_empty() {
        let script: String = level.iter().map(|&at| format!("ls -p <{}>\n", names[at].1)).collect();
        let output = debugfs(disk, &script);
        let mut next = Vec::new();
        let sections = sections(&output, b"debugfs: ls -p <");
        assert_eq!(sections.len(), level.len(), "debugfs answers everything");
        for (&at, (_, text)) in level.iter().zip(&sections) {
            // `/inode/mode/uid/gid/name/size/` and a newline; a name can hold a newline, but no
            // slash.
            for record in text.split(|&byte| byte == b'/').collect::<Vec<_>>()[1..].chunks(7) {
                let &[number, mode, _, _, name, ..] = record else { break };
                // Inode 0: a node of the directory's index, which looks like an empty entry.
                if name == b"." || name == b".." || number == b"0" {
                    continue;
                }
                let slash = if at == 0 { &b""[..] } else { b"/" };
                names.push(([&names[at].0, slash, name].concat(), parse(number)));
                if mode.starts_with(b"04") {
                    next.push(names.len() - 1);
                }
            }
        }
        level = next;
    }
    let numbers: std::collections::BTreeSet<u64> = names.iter().map(|name| name.1).collect();
    let script: String = numbers.iter().map(|number| format!("stat <{number}>\n")).collect();
    let output = debugfs(disk, &script);
    let inodes: BTreeMap<u64, String> = sections(&output, b"debugfs: stat <")
        .iter()
        .map(|(number, text)| (*number, inode(&String::from_utf8_lossy(text))))
        .collect();
    finish(names.iter().map(|(path, number)| format!("{} {}\n", escape(path), inodes[number])).collect())
}

fn debugfs(disk: &Path, script: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("script");
    std::fs::write(&file, script).unwrap();
    // -c: the bitmaps of the groups say nothing here, and reading them takes the most time.
    let output = run(tool("debugfs", "e2fsprogs").args(["-c", "-f"]).arg(&file).arg(disk));
    assert!(output.status.success(), "debugfs: {}", output.status);
    output.stdout
}

/// The answers to the commands of a script, which debugfs repeats in front of each; with the number
/// in each command.
fn sections<'o>(output: &'o [u8], command: &[u8]) -> Vec<(u64, &'o [u8])> {
    let starts: Vec<usize> = (0..output.len()).filter(|&at| output[at..].starts_with(command)).collect();
    let ends = starts.iter().skip(1).copied().chain([output.len()]);
    let section = |(&start, end): (&usize, usize)| {
        let text = &output[start + command.len()..end];
        let close = text.iter().position(|&byte| byte == b'>').expect("the end of the command");
        (parse(&text[..close]), &text[close + 2..])
    };
    starts.iter().zip(ends).map(section).collect()
}

fn parse(digits: &[u8]) -> u64 {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).expect("a number")
}

fn inode(text: &str) -> String {
    let after = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start());
    let word = |key: &str| after(key).and_then(|rest| rest.split_whitespace().next()).unwrap_or("");
    let kind = match after("Type:").unwrap_or_else(|| panic!("no type in {text:?}")) {
        rest if rest.starts_with("regular") => "file",
        rest if rest.starts_with("directory") => "dir",
        rest if rest.starts_with("symlink") => "link",
        rest if rest.starts_with("character") => "char",
        rest if rest.starts_with("block") => "block",
        rest if rest.starts_with("FIFO") => "fifo",
        _ => "socket",
    };
    let time = |key: &str| {
        let (secs, extra) = word(key).split_once(':').expect("SECONDS:EXTRA");
        let hex = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).expect("hexadecimal digits");
        let (secs, extra) = (i64::from(hex(secs).cast_signed()), hex(extra));
        Time { secs: secs + (i64::from(extra & 3) << 32), nanos: extra >> 2 }
    };
    let rest = match kind {
        "file" => format!(" size={}", word("Size:")),
        "char" | "block" => {
            let numbers = word("Device major/minor number:");
            let (major, minor) = numbers.split_once(':').expect("MAJOR:MINOR");
            let number = |text: &str| text.parse::<u32>().expect("a number");
            format!(" device={}:{}", number(major), number(minor))
        }
        _ => String::new(),
    };
    let mut xattrs: Vec<String> = Vec::new();
    if let Some(list) = after("Extended attributes:") {
        // `  name (size) = value`, one line each; only plain names are printed so that they can be
        // told from values.
        for line in list.split("\nInode checksum").next().unwrap_or("").lines() {
            if let Some((name, size)) = line.trim_start().split_once(" (").filter(|(name, _)| plain(name)) {
                xattrs.push(xattr(name, size.split(')').next().unwrap_or("").parse().expect("a size")));
            }
        }
    }
    xattrs.sort();
    let mode = u16::from_str_radix(word("Mode:"), 8).expect("an octal mode");
    // debugfs prints ids from 2^31 on as negative numbers.
    let id = |key: &str| word(key).parse::<i64>().expect("a number").rem_euclid(1 << 32);
    let (user, group) = (id("User:"), id("Group:"));
    let (mtime, atime, ctime) = (time("mtime:"), time("atime:"), time(" ctime:"));
    format!("{kind} {mode:04o} {user}:{group} {mtime} {atime} {ctime}{rest}{}", xattrs.concat())
}

fn plain(name: &str) -> bool {
    let known = ["user.", "trusted.", "security.", "system."].iter().any(|namespace| name.starts_with(namespace));
    known && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The size of an ACL is ext4's own.
fn xattr(name: &str, size: usize) -> String {
    if name.starts_with("system.posix_acl") { format!(" {name}") } else { format!(" {name}({size})") }
}

/// The same lines from a listing.
pub(crate) fn summarised(listing: &str) -> String {
    let mut lines = Vec::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let key = |key: &str| fields.iter().find_map(|field| field.strip_prefix(key));
        let mtime = key("mtime=").expect("every line has it");
        let (atime, ctime) = (key("atime=").unwrap_or(mtime), key("ctime=").unwrap_or(mtime));
        let kept = |field: &&&str| field.starts_with("size=") || field.starts_with("device=");
        let rest: String = fields.iter().filter(kept).map(|field| format!(" {field}")).collect();
        let mut xattrs: Vec<String> = fields
            .iter()
            .filter_map(|field| field.strip_prefix("xattr:")?.split_once('='))
            .filter(|(name, _)| plain(name))
            .map(|(name, value)| xattr(name, value.len() / 2))
            .collect();
        xattrs.sort();
        for path in fields.iter().filter_map(|field| field.strip_prefix("link:")).chain([fields[0]]) {
            let (kind, mode, owner) = (fields[1], fields[2], fields[3]);
            lines.push(format!("{path} {kind} {mode} {owner} {mtime} {atime} {ctime}{rest}{}\n", xattrs.concat()));
        }
    }
    finish(lines)
}

fn finish(mut lines: Vec<String>) -> String {
    lines.sort();
    let used = lines.iter().any(|line| line.starts_with("/lost+found/"));
    lines.retain(|line| used || !line.starts_with("/lost+found dir 0700 0:0 "));
    lines.concat()
}
