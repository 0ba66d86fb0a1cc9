//! Parts of the store that were replaced by something else: refused, never followed, never waited
//! for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::image_store::{import, layout};
use crate::support::bake::{Place, names};
use crate::support::sample::small;

/// What it is, and how it is made.
type Harm<'a> = (&'a str, &'a dyn Fn(&Path));

fn fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn parts_of_the_store_that_are_something_else_are_refused() {
    let place = Place::with(&small("x"));
    let run = |name: &str| match name {
        "locks" | "packs-v1" | "packs-v1/sha256" => place.bake().args(["--force", "--keep-packs", "always"]),
        _ => import(&place, &[&layout(&place), "a:1"]),
    };
    for name in ["blobs", "locks"] {
        run(name).ok();
    }
    let elsewhere = place.writable("elsewhere");
    let parts = [
        "indexes-v1",
        "indexes-v1/sha256",
        "blobs",
        "blobs/sha256",
        "repositories",
        "partial",
        "pins",
        "scratch",
        "locks",
        "packs-v1",
        "packs-v1/sha256",
        "sweep.lock",
    ];
    let lock = ["sweep.lock"];
    for part in parts {
        let path = place.store().join(part);
        let aside = place.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        let regular: Harm<'_> = ("a regular file", &|path| fs::write(path, "").unwrap());
        let directory: Harm<'_> = ("a directory", &|path| fs::create_dir(path).unwrap());
        let link: Harm<'_> = ("a symbolic link", &|path| symlink(&elsewhere, path).unwrap());
        let pipe: Harm<'_> = ("a named pipe", &fifo);
        for (found, put) in [if lock.contains(&part) { directory } else { regular }, link, pipe] {
            put(&path);
            let outcome = run(part).run();
            let error = outcome.error(&[7]);
            assert!(error.contains(&format!("{} is {found}, expected", path.display())), "{}", outcome.describe());
            assert!(outcome.stderr.contains(&format!("move {} away", path.display())), "{}", outcome.describe());
            assert_eq!(names(&elsewhere), [""; 0], "{part}: nothing is written through {found}");
            if path.is_dir() && found == "a directory" { fs::remove_dir(&path) } else { fs::remove_file(&path) }
                .unwrap();
        }
        fs::rename(&aside, &path).unwrap();
        run(part).ok();
    }
}
