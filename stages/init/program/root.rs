//! The root filesystem: waited for, mounted, and made the root.

use core::ffi::CStr;

use crate::console::{self, Failure, Number};
use crate::devices::{self, Name};
use crate::identify::Wanted;
use crate::mapper::{self, Devices};
use crate::options::{Options, Overlay};
use crate::system::{self, Errno, MS_MOVE, MS_RDONLY, path};
use crate::verity;

/// Where it is mounted before it is the root.
const ROOT: &CStr = c"/root";

/// How often devices are looked at, in milliseconds.
const PAUSE: u32 = 10;

/// Mounts it.
pub(crate) fn mount(options: &Options<'_>) -> Result<(), Failure<'static>> {
    let mut buffer = [0; 128];
    let device = match options.root_hash {
        Some(hash) => {
            let (data, tree) = verity::partitions(hash)
                .ok_or(Failure::text("roothash= is no root hash: expected 64 hexadecimal digits or more"))?;
            let data = wait_for(&named(options.verity_data, data)?, said(options), options)?;
            let tree = wait_for(&named(options.verity_hash, tree)?, said(options), options)?;
            let offset = options.hash_offset().ok_or(Failure::text(
                "systemd.verity_root_options= is not understood: expected hash-offset= and a number of bytes",
            ))?;
            let minor = mapper::open_verity(&Devices { data: data.bytes(), hash: tree.bytes(), offset }, hash)?;
            path(&[b"/dev/dm-", Number::of(minor).text()], &mut buffer)
        }
        None => {
            let wanted = options.wanted().ok_or(Failure::text(
                "the command line names no root filesystem: expected root=PARTUUID=…, PARTLABEL=…, UUID=…, LABEL=… or /dev/…",
            ))?;
            path(&[b"/dev/", wait_for(&wanted, said(options), options)?.bytes()], &mut buffer)
        }
    };
    let device = device.ok_or(Failure::text("the name of the root device is too long"))?;
    let Some(overlay) = options.overlay else {
        let writable = options.writable && options.root_hash.is_none();
        return mount_device(device, ROOT, writable, options);
    };
    for directory in [c"/lower", c"/changes"] {
        let _ = system::mkdir(directory);
    }
    mount_device(device, c"/lower", false, options)?;
    let failed = |error| Failure::code("cannot lay an overlay over the root filesystem", error);
    match overlay {
        Overlay::Memory => system::mount(c"tmpfs", c"/changes", c"tmpfs", 0, c"mode=0755").map_err(failed)?,
        Overlay::Device(name) => mount_changes(name, options)?,
    }
    for directory in [c"/changes/upper", c"/changes/work"] {
        match system::mkdir(directory) {
            // From the last boot: what it has changed stays.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let layers = c"lowerdir=/lower,upperdir=/changes/upper,workdir=/changes/work";
    system::mount(c"overlay", ROOT, c"overlay", 0, layers).map_err(failed)
}

/// Mounts the filesystem that keeps changes.
fn mount_changes(name: &[u8], options: &Options<'_>) -> Result<(), Failure<'static>> {
    let wanted = Wanted::parse(name).ok_or(Failure::text(
        "cvbake.overlay= names no device: expected tmpfs, none, PARTUUID=…, PARTLABEL=…, UUID=…, LABEL=… or /dev/…",
    ))?;
    let mut buffer = [0; 128];
    let device = path(&[b"/dev/", wait_for(&wanted, name, options)?.bytes()], &mut buffer)
        .ok_or(Failure::text("the name of the overlay's device is too long"))?;
    system::mount(device, c"/changes", c"ext4", 0, c"").map_err(|error| {
        console::say(&[b"cannot mount ", device.to_bytes()]);
        Failure::code("the filesystem for changes, an ext4, cannot be mounted", error)
    })
}

/// The device that an option names, or the one that is meant without it.
fn named<'l>(option: Option<&'l [u8]>, otherwise: Wanted<'l>) -> Result<Wanted<'l>, Failure<'static>> {
    option.map_or(Some(otherwise), Wanted::parse).ok_or(Failure::text(
        "systemd.verity_root_data= or systemd.verity_root_hash= names no device: expected UUID=…, PARTUUID=… or /dev/…",
    ))
}

/// The device that is wanted, as soon as it is there; `said` is what names it, for messages.
fn wait_for(wanted: &Wanted<'_>, said: &[u8], options: &Options<'_>) -> Result<Name, Failure<'static>> {
    const SECOND: u32 = 1000 / PAUSE;
    for pause in 0..options.wait.saturating_mul(SECOND).max(1) {
        if let Some(name) = devices::find(wanted) {
            return Ok(name);
        }
        if pause == 2 * SECOND {
            console::say(&[b"waiting for the root filesystem, ", said]);
        }
        system::sleep_milliseconds(PAUSE);
    }
    console::say(&[b"there is no root filesystem ", said]);
    devices::say_all();
    Err(Failure::text("the root filesystem did not appear"))
}

/// What the command line says.
fn said<'l>(options: &Options<'l>) -> &'l [u8] {
    options.root_hash.or(options.root).unwrap_or_default()
}

fn mount_device(device: &CStr, to: &CStr, writable: bool, options: &Options<'_>) -> Result<(), Failure<'static>> {
    let (mut kind, mut flags) = ([0; 32], [0; 1024]);
    let too_long = || Failure::text("rootfstype= or rootflags= is too long");
    let asked = options.root_type.map(|asked| path(&[asked], &mut kind).ok_or_else(too_long)).transpose()?;
    let flags = path(&[options.root_flags.unwrap_or_default()], &mut flags).ok_or_else(too_long)?;
    let mode = if writable { 0 } else { MS_RDONLY };
    let mut result = Err(Errno::NODEV);
    for kind in asked.map_or([Some(c"ext4"), Some(c"erofs"), Some(c"squashfs")], |asked| [Some(asked), None, None]) {
        let Some(kind) = kind else { break };
        match system::mount(device, to, kind, mode, flags) {
            Ok(()) => return Ok(()),
            // What the kernel knows says more than what it does not.
            Err(error) if result == Err(Errno::NODEV) => result = Err(error),
            Err(_) => {}
        }
    }
    result.map_err(|error| {
        console::say(&[b"cannot mount ", device.to_bytes()]);
        Failure::code("the root filesystem cannot be mounted", error)
    })
}

/// Makes it the root.
pub(crate) fn switch() -> Result<(), Failure<'static>> {
    let failed = |error| Failure::code("cannot make the root filesystem the root", error);
    system::chdir(ROOT).map_err(failed)?;
    for (from, to) in [(c"/dev", c"dev"), (c"/proc", c"proc"), (c"/sys", c"sys")] {
        // Images of containers may lack them.
        let _ = system::mkdir(to);
        if let Err(error) = system::mount(from, to, c"", MS_MOVE, c"") {
            console::say(&[b"the root filesystem has no ", from.to_bytes(), b": error ", Number::of(error.0).text()]);
        }
    }
    system::mount(c".", c"/", c"", MS_MOVE, c"").map_err(failed)?;
    system::chroot(c".").map_err(failed)?;
    system::chdir(c"/").map_err(failed)
}
