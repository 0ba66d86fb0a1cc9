//! A root filesystem that looks like an archive of an image: perhaps that was meant.

use cvbake_unpack::Index;
use cvbake_verify::Image;

use crate::event::{Archive, Event, Finding};

/// Warns about a bare root filesystem that looks like an archive of an image.
pub(crate) fn warn(image: &Image, archive: Option<Archive>, on: &(dyn Fn(Event) + Sync)) {
    // What has a configuration was read as an image.
    if let (Some(archive), None) = (archive, image.config()) {
        on(Event::Finding(Finding::ImageArchive { source: image.reference().to_owned(), archive }));
    }
}

/// What archive a layer is, if it looks like one.
pub(crate) fn looks_like(index: &Index) -> Option<Archive> {
    by_names(index.top_names())
}

fn by_names<'a>(names: impl Iterator<Item = &'a [u8]>) -> Option<Archive> {
    /// Directories of root filesystems, none of which is in an archive of an image.
    const ROOT: [&[u8]; 4] = [b"bin", b"etc", b"lib", b"usr"];
    let (mut manifest, mut index, mut layout, mut others) = (false, false, false, false);
    for name in names {
        match name {
            _ if ROOT.contains(&name) => return None,
            b"manifest.json" => manifest = true,
            b"index.json" => index = true,
            b"oci-layout" => layout = true,
            b"blobs" | b"repositories" => others = true,
            // The configuration has a name of the former kind where docker and podman write it, of the latter elsewhere.
            _ => others |= name.ends_with(b".json") || name.starts_with(b"sha256:"),
        }
    }
    match (manifest && (others || index), layout && index) {
        (true, _) => Some(Archive::Docker),
        (false, true) => Some(Archive::Oci),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_and_root_filesystems() {
        let table: [(&[&str], Option<Archive>); 11] = [
            (&["manifest.json", "0123.json", "4567"], Some(Archive::Docker)),
            (&["manifest.json", "blobs", "index.json", "oci-layout", "repositories"], Some(Archive::Docker)),
            (&["manifest.json", "blobs"], Some(Archive::Docker)),
            (&["manifest.json", "sha256:0123", "4567.tar.gz"], Some(Archive::Docker)),
            (&["index.json", "oci-layout", "blobs"], Some(Archive::Oci)),
            (&["manifest.json"], None),
            (&["manifest.json", "app"], None),
            (&["index.json", "blobs"], None),
            (&["oci-layout"], None),
            (&["manifest.json", "package.json", "usr"], None),
            (&[], None),
        ];
        for (names, expected) in table {
            assert_eq!(by_names(names.iter().map(|name| name.as_bytes())), expected, "{names:?}");
        }
    }
}
