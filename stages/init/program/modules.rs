//! Modules of the kernel: what `/modules` lists, in the order in which they are loaded.

use crate::console::{self, Failure, Number};
use crate::listed::Loading;
use crate::system::{self, Errno, File, path};

/// Several hundred modules; a boot needs thirty.
const LIST: usize = 64 << 10;

/// Loads them. One that can't be is said and passed over: whether the root filesystem needs it
/// shows when that is looked for.
pub(crate) fn load_all() -> Result<(), Failure<'static>> {
    let mut list = [0; LIST];
    let list = match system::read_file(c"/modules", &mut list) {
        Ok(list) => list,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(Failure::new("cannot read", c"/modules", error)),
    };
    let mut loading = Loading::new(list);
    while let Some(line) = loading.next() {
        let mut buffer = [0; 512];
        let Some(name) = path(&[line], &mut buffer) else {
            console::say(&[b"a path in /modules is too long"]);
            loading.failed();
            continue;
        };
        match File::open(name).map(|file| file.load_module()) {
            Ok(Ok(()) | Err(Errno::EXIST)) => {}
            // One for hardware that is not there says so, and nobody misses it.
            Ok(Err(Errno::NODEV)) => loading.failed(),
            Ok(Err(error)) | Err(error) => {
                console::say(&[b"cannot load ", line, b": error ", Number::of(error.0).text()]);
                loading.failed();
            }
        }
    }
    Ok(())
}
