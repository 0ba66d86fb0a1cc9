//! The crate ext4-view: names, kinds, owners and contents (it knows neither times nor extended
//! attributes).

use std::path::Path;

use cvbake_tree::escape;
use ext4_view::{Ext4, Path as ViewPath};

use super::super::image::hex;
use sha2::Digest as _;

/// Whether ext4-view 1.0 can read a disk with this listing: it refuses seconds whose lowest 32 bits
/// are a negative number (before 1970, 2038 to 2106, and so on), and parts of a link's target that
/// are longer than a name can be.
pub(crate) fn can_read(listing: &str) -> bool {
    let old_time = |field: &str| {
        let secs = ["mtime=", "atime=", "ctime="].iter().find_map(|key| field.strip_prefix(key)?.split('.').next());
        secs.is_none_or(|secs| secs.parse::<i64>().expect("a number of seconds") & 0x8000_0000 == 0)
    };
    let short = |field: &str| {
        let target = field.strip_prefix("target=").and_then(cvbake_tree::unescape).unwrap_or_default();
        target.split(|&byte| byte == b'/').all(|part| part.len() <= 255)
    };
    listing.split_whitespace().all(|field| old_time(field) && short(field))
}

/// One line per name: path, kind, mode, owner, size and hash of a file, target of a link. Sorted.
pub(crate) fn summary(disk: &Path) -> String {
    let filesystem = Ext4::load_from_path(disk).unwrap_or_else(|error| panic!("ext4-view: {error}"));
    let mut lines = Vec::new();
    let mut stack = vec![b"/".to_vec()];
    while let Some(path) = stack.pop() {
        let view = ViewPath::try_from(path.as_slice()).expect("an absolute path");
        let meta = filesystem.symlink_metadata(view).unwrap();
        let kind = meta.file_type();
        let (kind, rest) = if kind.is_dir() {
            for entry in filesystem.read_dir(view).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name();
                if name.as_ref() != b"." && name.as_ref() != b".." {
                    let slash = if path == b"/" { &b""[..] } else { b"/" };
                    stack.push([&path, slash, name.as_ref()].concat());
                }
            }
            ("dir", String::new())
        } else if kind.is_symlink() {
            let target = filesystem.read_link(view).unwrap();
            ("link", format!(" target={}", escape(target.as_ref())))
        } else if kind.is_regular_file() && meta.len() <= MAX_READ {
            let content = filesystem.read(view).unwrap();
            ("file", format!(" size={} sha256={}", meta.len(), hex(&sha2::Sha256::digest(&content))))
        } else if kind.is_regular_file() {
            ("file", format!(" size={}", meta.len()))
        } else {
            ("other", String::new())
        };
        let mode = meta.mode() & 0o7777;
        lines.push(format!("{} {kind} {mode:04o} {}:{}{rest}\n", escape(&path), meta.uid(), meta.gid()));
    }
    finish(lines)
}

/// ext4-view reads a file into memory whole.
const MAX_READ: u64 = 64 << 20;

/// The same lines from a listing.
pub(crate) fn summarised(listing: &str) -> String {
    let mut lines = Vec::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let kind = if matches!(fields[1], "dir" | "file" | "link") { fields[1] } else { "other" };
        let size = fields.iter().find_map(|field| field.strip_prefix("size=")).map_or(0, |size| size.parse().unwrap());
        let wanted = |field: &&&str| {
            ["size=", "target="].iter().any(|key| field.starts_with(key))
                || field.starts_with("sha256=") && size <= MAX_READ
        };
        let rest: String = fields.iter().filter(wanted).map(|field| format!(" {field}")).collect();
        let links = fields.iter().filter_map(|field| field.strip_prefix("link:"));
        for path in links.chain([fields[0]]) {
            lines.push(format!("{path} {kind} {} {}{rest}\n", fields[2], fields[3]));
        }
    }
    finish(lines)
}

fn finish(mut lines: Vec<String>) -> String {
    lines.sort();
    let used = lines.iter().any(|line| line.starts_with("/lost+found/"));
    lines.retain(|line| used || line != "/lost+found dir 0700 0:0\n");
    lines.concat()
}
