//! Disks whose root filesystem dm-verity checks from the first block on, started in machines of
//! QEMU, one of which has a TPM.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use cvbake::control::Control;
use cvbake::disk::gpt::{flag, kind};
use cvbake::text::hex;
use cvbake::{Baked, BootBy, BootReport, Format, Job, Output, Verity};

use crate::boot::{MARKER, assert_booted, bake, drive, image, job, machine, part, start_by_uefi_with};
use crate::support::bake::{Bake, Place, names};
use crate::support::ext4;
use crate::support::tar::Member;
use crate::support::tools::{run, succeed, tool};

/// Says what the TPM has, and keeps a file; what was kept is said the next time.
const INIT: &[u8] = b"#!/bin/sh
echo \"$(cat /etc/marker), pid $$\"
grep ' / ' /proc/mounts
cat /kept
for pcr in 4 11; do
  echo \"pcr $pcr $(cat /sys/class/tpm/tpm0/pcr-sha256/$pcr)\"
done
echo 'kept from before' > /kept
touch /changed && ls /changed
sync
poweroff -f
";

fn place() -> Place {
    let mut init = Member::file(b"sbin/init", INIT);
    init.mode = 0o755;
    // What is read-only has places for the kernel's filesystems, or none.
    let dirs = [&b"dev"[..], b"proc", b"sys"].map(Member::dir);
    Place::with(&image(&[&[init][..], &dirs].concat()))
}

fn checked(place: &Place, by: BootBy, verity: Verity, append: &str) -> Job {
    let mut job = job(place, by, append);
    job.verity = Some(verity);
    job
}

/// A TPM of software, which ends when it is dropped.
struct Tpm(Child, PathBuf);

impl Tpm {
    fn start(place: &Place) -> Tpm {
        let state = place.path().join("tpm");
        fs::create_dir(&state).unwrap();
        let socket = state.join("socket");
        let mut swtpm = tool("swtpm", "swtpm");
        swtpm.args(["socket", "--tpm2", "--tpmstate", &format!("dir={}", state.display())]);
        swtpm.args(["--ctrl", &format!("type=unixio,path={}", socket.display())]).stdout(Stdio::null());
        let tpm = Tpm(swtpm.spawn().unwrap(), socket);
        // It is ready when it listens.
        while !tpm.1.exists() {
            std::thread::yield_now();
        }
        tpm
    }

    fn args(&self) -> Vec<String> {
        let socket = format!("socket,id=tpm,path={}", self.1.display());
        ["-chardev", &socket, "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0"]
            .map(str::to_owned)
            .to_vec()
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Changes a byte of the file with the marker.
fn flip(disk: &Path) {
    let bytes = fs::read(disk).unwrap();
    let found: Vec<usize> =
        (0..bytes.len()).step_by(4096).filter(|&at| bytes[at..].starts_with(MARKER.as_bytes())).collect();
    let [at] = found[..] else { panic!("one file has it: {found:?}") };
    let disk = File::options().write(true).open(disk).unwrap();
    disk.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
}

#[track_caller]
fn assert_refused(console: &str) {
    assert!(console.contains("data block") && console.contains("is corrupted"), "{console}");
    assert!(!console.contains(&MARKER[1..]), "{console}");
}

/// Whether `veritysetup` finds that the data is what the root hash says.
fn verified(data: &Path, hashes: &Path, baked: &Baked, offset: u64) -> bool {
    let mut command = tool("veritysetup", "cryptsetup-bin");
    command.arg("verify").args([data, hashes]).arg(hex(&baked.root_hash.unwrap()));
    run(command.arg(format!("--hash-offset={offset}"))).status.success()
}

/// What `systemd-measure` says of what is on a boot partition.
fn by_systemd(place: &Place, esp: &Path, boot: &BootReport) -> String {
    let path = |name: &str| place.path().join(name).display().to_string();
    let copied = |from: &str, name: &str| {
        let mut copy = tool("mcopy", "mtools");
        succeed(copy.args(["-o", "-i"]).arg(esp).arg(format!("::{from}")).arg(path(name)));
        path(name)
    };
    let uki = copied("EFI/BOOT/BOOTX64.EFI", "uki");
    let section = path("section");
    succeed(tool("objcopy", "binutils").args(["-O", "binary", "--only-section", ".osrel", &uki, &section]));
    let name = fs::read_to_string(&section).unwrap();
    fs::write(&section, name.trim_end_matches('\0')).unwrap();
    fs::write(path("line"), &boot.command_line).unwrap();
    let mut measure = tool("/usr/lib/systemd/systemd-measure", "systemd");
    measure.args(["calculate", "--bank=sha256"]).arg(format!("--osrel={section}"));
    measure.arg(format!("--linux={}", copied("cvbake/linux", "linux")));
    measure.arg(format!("--initrd={}", copied("cvbake/initrd", "initrd")));
    succeed(measure.arg(format!("--cmdline={}", path("line"))))
}

/// UEFI boots a disk with a partition for the tree, a TPM has what was predicted, and a changed
/// byte is refused.
#[test]
fn firmware_boots_what_the_root_hash_says() {
    let place = place();
    let disk = place.path().join("disk.raw");
    let baked = bake(&checked(&place, BootBy::Uefi, Verity::Partition, ""), &disk);
    let boot = baked.plan.boot.as_ref().unwrap();
    let root = hex(&baked.root_hash.unwrap());
    assert!(boot.command_line.starts_with(&format!("roothash={root} rootfstype=ext4 ro ")), "{}", boot.command_line);
    assert!(boot.modules.contains(&"dm-verity".to_owned()), "{:?}", boot.modules);

    assert!(succeed(tool("sgdisk", "gdisk").arg("-v").arg(&disk)).contains("No problems found"));
    let [esp, data, hashes] = &boot.partitions[..] else { panic!("{:?}", boot.partitions) };
    assert_eq!((data.kind, hashes.kind), (kind::ROOT_X86_64, kind::ROOT_VERITY_X86_64));
    assert_eq!(hex(&[data.guid, hashes.guid].concat()), root);
    let info = succeed(tool("sgdisk", "gdisk").arg("-i3").arg(&disk)).to_lowercase();
    assert!(info.contains("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"), "{info}");
    assert!(info.contains(&format!("attribute flags: {:016x}", flag::READ_ONLY)), "{info}");
    let esp = part(&place, &disk, "esp", esp.offset, esp.bytes);
    succeed(tool("fsck.fat", "dosfstools").arg("-n").arg(&esp));
    let entry = succeed(tool("mtype", "mtools").arg("-i").arg(&esp).arg("::loader/entries/cvbake.conf"));
    assert!(entry.contains(&format!("\noptions {}\n", boot.command_line)), "{entry}");
    let data = part(&place, &disk, "data", data.offset, data.bytes);
    let hashes = part(&place, &disk, "hashes", hashes.offset, hashes.bytes);
    assert!(verified(&data, &hashes, &baked, 0));
    succeed(tool("e2fsck", "e2fsprogs").arg("-fn").arg(&data));

    let found = Bake::of(&["inspect", "--json"]).arg(&disk).ok().stdout;
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!((&found["verity"]["partition"], &found["verity"]["root_hash"]), (&3.into(), &root.into()));

    let measured = boot.measured.as_ref().expect("the stub is systemd's");
    let calculated = by_systemd(&place, &esp, boot);
    for pcr in &measured.pcr11_phases {
        assert!(calculated.contains(&format!("11:sha256={pcr}")), "expected {pcr}: {calculated}");
    }
    let tpm = Tpm::start(&place);
    let console = start_by_uefi_with(&place, &disk, "raw", &tpm.args());
    drop(tpm);
    assert_booted(&console, "overlay / overlay rw,");
    let lines = console.to_lowercase();
    let pcr4 = measured.pcr4.as_ref().expect("of systemd 252");
    for (number, pcr) in [(4, pcr4), (11, &measured.pcr11)] {
        assert!(lines.contains(&format!("pcr {number} {pcr}")), "expected {number} to be {pcr}: {console}");
    }

    flip(&disk);
    let data = part(&place, &disk, "flipped", boot.partitions[1].offset, boot.partitions[1].bytes);
    assert!(!verified(&data, &hashes, &baked, 0));
    assert_refused(&start_by_uefi_with(&place, &disk, "raw", &[]));
}

/// A hypervisor is told where the tree is: behind the filesystem, or on a disk of its own.
#[test]
fn a_hypervisor_boots_what_the_root_hash_says() {
    let place = place();
    let disk = place.path().join("disk.ext4");
    let beside = place.path().join("disk.boot");
    let file = |name: &str| beside.join(name).display().to_string();
    let start = |more: &[String]| {
        let line = fs::read_to_string(beside.join("cmdline")).unwrap();
        let args = ["-kernel", &file("kernel"), "-initrd", &file("initrd"), "-append", line.trim_end()];
        let args = args.map(str::to_owned).to_vec();
        machine(&[args, drive(&disk, "raw", "virtio-blk-pci"), more.to_vec()].concat())
    };
    let baked = bake(&checked(&place, BootBy::Direct, Verity::Append, ""), &disk);
    assert!(verified(&disk, &disk, &baked, baked.plan.hash_tree.as_ref().unwrap().offset));
    assert_booted(&start(&[]), "overlay / overlay rw,");
    flip(&disk);
    assert_refused(&start(&[]));

    // Without an overlay, the root filesystem is the device of dm-verity itself.
    let baked = bake(&checked(&place, BootBy::Direct, Verity::Beside, "cvbake.overlay=none"), &disk);
    let tree = place.path().join("disk.ext4.verity");
    assert!(verified(&disk, &tree, &baked, 0));
    let second = format!("if=none,id=d1,file={},format=raw", tree.display());
    let more = ["-drive", &second, "-device", "virtio-blk-pci,drive=d1"].map(str::to_owned);
    let console = start(&more);
    assert!(console.contains(&format!("{MARKER}, pid 1")), "{console}");
    assert!(console.contains("/dev/dm-0 / ext4 ro,") && !console.contains("\n/changed"), "{console}");
}

/// Changes are kept on a second disk, from one start to the next.
#[test]
fn changes_on_a_second_disk() {
    let place = place();
    let disk = place.path().join("disk.raw");
    bake(&checked(&place, BootBy::Uefi, Verity::Partition, "cvbake.overlay=LABEL=changes"), &disk);
    let changes = place.path().join("changes");
    File::create(&changes).unwrap().set_len(16 << 20).unwrap();
    succeed(tool("mke2fs", "e2fsprogs").args(["-q", "-t", "ext4", "-L", "changes"]).arg(&changes));
    // What is written to this disk stays, unlike what is written to others.
    let second = format!("if=none,id=d1,file={},format=raw,snapshot=off", changes.display());
    let more = ["-drive", &second, "-device", "virtio-blk-pci,drive=d1"].map(str::to_owned);
    for is_kept in [false, true] {
        let console = start_by_uefi_with(&place, &disk, "raw", &more);
        assert_booted(&console, "overlay / overlay rw,");
        assert_eq!(console.contains("kept from before"), is_kept, "{console}");
    }
}

/// The same disk with any number of threads, in any format, by a plan, and copied from an earlier
/// one.
#[test]
fn the_same_disk_again() {
    let place = place();
    let path = |name: &str| place.path().join(name);
    let with = |format: Format, jobs: usize| {
        let mut job = checked(&place, BootBy::Uefi, Verity::Partition, "");
        job.store = Some(path("store"));
        (job.format, job.jobs) = (format, jobs.try_into().unwrap());
        job
    };
    let made = |job: &Job, name: &str| cvbake::bake(job, &Output::new(path(name)), &Control::new(), &|_| {}).unwrap();
    let one = with(Format::Raw, 1);
    let planned = cvbake::plan(&one, None, &Control::new(), &|_| {}).unwrap();
    let first = made(&one, "first");
    let bytes = ext4::bytes_of(&path("first"));
    let (told, seen) = (planned.boot.unwrap(), first.plan.boot.as_ref().unwrap());
    assert_eq!((planned.disk_bytes, &planned.hash_tree), (first.plan.disk_bytes, &first.plan.hash_tree));
    assert_eq!(told.command_line.len(), seen.command_line.len());
    assert!(told.measured.is_none() && told.command_line.contains(&format!("roothash={}", "0".repeat(64))));
    let mut many = with(Format::Raw, 8);
    many.reuse = false;
    made(&many, "many");
    assert!(ext4::bytes_of(&path("many")) == bytes);
    let copied = made(&one, "copied");
    assert!(copied.reused.is_some() && ext4::bytes_of(&path("copied")) == bytes);
    assert_eq!((copied.root_hash, &copied.plan.hash_tree), (first.root_hash, &first.plan.hash_tree));
    assert_eq!(copied.plan.boot.as_ref(), Some(seen));
    for (format, name, qemu) in [
        (Format::Qcow2(None), "disk.qcow2", "qcow2"),
        (Format::Vhdx(cvbake::vhdx::Options::default()), "disk.vhdx", "vhdx"),
    ] {
        made(&with(format, 2), name);
        let raw = path("raw");
        succeed(
            tool("qemu-img", "qemu-utils").args(["convert", "-f", qemu, "-O", "raw"]).args([path(name), raw.clone()]),
        );
        assert!(ext4::bytes_of(&raw) == bytes, "{name}");
    }
    assert!(!names(place.path()).iter().any(|name| name.ends_with(".verity")));
}

/// What the other engine writes, and EROFS, are checked as well; what does not go together is an
/// error of the library, too.
#[test]
fn other_filesystems_and_places() {
    let place = place();
    let disk = place.path().join("disk.raw");
    for filesystem in [cvbake::Filesystem::Erofs(cvbake::Erofs::default()), mkfs()] {
        let mut job = checked(&place, BootBy::Uefi, Verity::Partition, "");
        job.filesystem = filesystem;
        let baked = bake(&job, &disk);
        let [_, data, hashes] = &baked.plan.boot.as_ref().unwrap().partitions[..] else { panic!() };
        let data = part(&place, &disk, "data", data.offset, data.bytes);
        let hashes = part(&place, &disk, "hashes", hashes.offset, hashes.bytes);
        assert!(verified(&data, &hashes, &baked, 0));
    }
    for (boot, verity, expected) in [
        (
            Some(BootBy::Uefi),
            Verity::Append,
            "the hash tree is behind the filesystem, expected in a partition of its own",
        ),
        (Some(BootBy::Uefi), Verity::Beside, "the hash tree is in another file, expected in a partition of its own"),
        (
            None,
            Verity::Partition,
            "the hash tree is in a partition of a disk that has none, expected behind the filesystem or in another file",
        ),
    ] {
        let mut job = checked(&place, boot.unwrap_or(BootBy::Direct), verity, "");
        if boot.is_none() {
            job.boot = None;
        }
        let mut output = Output::new(place.path().join("refused"));
        output.sync = false;
        let error = cvbake::bake(&job, &output, &Control::new(), &|_| {}).unwrap_err();
        let planned = cvbake::plan(&job, None, &Control::new(), &|_| {}).unwrap_err();
        for error in [error, planned] {
            assert!(error.line().ends_with(expected), "{}", error.line());
        }
    }
    assert!(!names(place.path()).iter().any(|name| name.starts_with("refused")));
}

fn mkfs() -> cvbake::Filesystem {
    let programs = cvbake::ext4::mkfs::Programs::find(&std::env::var_os("PATH").unwrap_or_default());
    let programs = programs.expect("e2fsprogs is missing: scripts/setup installs it");
    cvbake::Filesystem::Ext4(cvbake::Ext4 { engine: cvbake::Engine::Mkfs(programs), ..cvbake::Ext4::default() })
}
