//! A root filesystem that looks like an archive of an image, or like nothing: perhaps something
//! else was meant.

use cvbake_unpack::Index;
use cvbake_verify::Image;

use crate::event::{Archive, Event, Finding, Observer};

/// What is odd about an archive, should it be meant as a root filesystem.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Oddity {
    /// It looks like an archive of an image.
    Image(Archive),
    /// Nothing is in it.
    Empty,
}

/// Warns about a bare root filesystem that is an odd one.
pub(crate) fn warn(image: &Image, oddity: Option<Oddity>, on: Observer<'_>) {
    // What has a configuration was read as an image, of which layers may be anything.
    let (Some(oddity), None) = (oddity, image.config()) else { return };
    let source = image.reference().to_owned();
    on(match oddity {
        Oddity::Image(archive) => Event::Finding(Finding::ImageArchive { source, archive }),
        Oddity::Empty => Event::Warning(format!("{source} is an empty archive: the root filesystem has no files")),
    });
}

/// What is odd about a layer, if something is.
pub(crate) fn oddity(index: &Index) -> Option<Oddity> {
    match index.entry_count() {
        0 => Some(Oddity::Empty),
        _ => by_names(index.top_names()).map(Oddity::Image),
    }
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
            // The configuration has a name of the former kind where docker and podman write it, of
            // the latter elsewhere.
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
