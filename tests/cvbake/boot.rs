//! Disks that boot: machines of QEMU, without KVM, start them by all ways that there are.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cvbake::control::Control;
use cvbake::disk::Subformat;
use cvbake::fetch::Source;
use cvbake::vhdx::Options;
use cvbake::{Baked, Boot, BootBy, Format, ImageSource, Job, KernelSource, LoaderSource, Output};

use crate::support::bake::{Place, names};
use crate::support::ext4;
use crate::support::image::{Compression, Images, Layer};
use crate::support::tar::{Member, Tar};
use crate::support::tools::{succeed, tool};

/// A kernel of Debian with its modules, unpacked and not installed; fetched once per build
/// directory.
static KERNEL: LazyLock<PathBuf> = LazyLock::new(|| {
    let whole = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel");
    if !whole.exists() {
        let partial = whole.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir(&partial).unwrap();
        let depends = succeed(tool("apt-cache", "apt").args(["depends", "linux-image-cloud-amd64"]));
        let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
        let package = format!("linux-image-{}", package.expect("Debian has a kernel for virtual machines"));
        succeed(tool("apt-get", "apt").args(["download", &package]).current_dir(&partial));
        let file = names(&partial).pop().expect("the package");
        succeed(tool("dpkg", "dpkg").args(["-x", &file, "."]).current_dir(&partial));
        fs::remove_file(partial.join(&file)).unwrap();
        fs::rename(&partial, &whole).unwrap();
    }
    whole
});

/// The kernel's file.
fn kernel() -> PathBuf {
    let boot = KERNEL.join("boot");
    let name = names(&boot).into_iter().find(|name| name.starts_with("vmlinuz")).expect("a kernel");
    boot.join(name)
}

pub(crate) const MARKER: &str = "the image says hello";

/// An image whose init says what it sees, and powers off.
pub(crate) fn image(more: &[Member]) -> Images {
    let busybox = fs::read("/bin/busybox").expect("busybox is missing: apt-get install busybox-static");
    let program = |path: &[u8], content: &[u8]| {
        let mut member = Member::file(path, content);
        member.mode = 0o755;
        member
    };
    let init = b"#!/bin/sh
echo \"$(cat /etc/marker), pid $$\"
grep ' / ' /proc/mounts
cat /proc/cmdline
touch /changed && ls /changed
sync
poweroff -f
";
    let mut members = vec![
        Member::file(b"etc/marker", MARKER.as_bytes()),
        program(b"bin/busybox", &busybox),
        program(b"sbin/init", init),
    ];
    for name in ["sh", "cat", "grep", "touch", "ls", "sync", "poweroff"] {
        members.push(Member::link(b'2', format!("bin/{name}").as_bytes(), b"busybox"));
    }
    members.extend(more.iter().cloned());
    Images::of(vec![Layer::new(Tar::of(&members), Compression::Gzip)])
}

pub(crate) fn job(place: &Place, by: BootBy, append: &str) -> Job {
    let source = format!("oci:{}:latest", place.path().join("image").display());
    let mut job = Job::new(source.parse::<Source>().unwrap());
    let mut boot = Boot::new(by);
    boot.kernel = KernelSource::File(kernel());
    // A machine that is emulated on a busy host misses the ticks that Linux waits for at first.
    boot.append = format!("console=ttyS0 quiet panic=-1 no_timer_check {append}");
    job.boot = Some(boot);
    job
}

pub(crate) fn bake(job: &Job, path: &Path) -> Baked {
    let mut output = Output::new(path);
    (output.replace, output.sync) = (true, false);
    cvbake::bake(job, &output, &Control::new(), &|_| {}).unwrap_or_else(|error| panic!("{}", error.line()))
}

/// What a machine with these options says on its console.
pub(crate) fn machine(args: &[String]) -> String {
    let mut qemu = tool("timeout", "coreutils");
    qemu.arg("600").arg(tool("qemu-system-x86_64", "qemu-system-x86").get_program());
    qemu.args(["-M", "q35", "-accel", "tcg", "-m", "512", "-nodefaults", "-no-user-config", "-display", "none"]);
    qemu.args(["-no-reboot", "-serial", "stdio", "-snapshot"]).args(args);
    succeed(&mut qemu)
}

pub(crate) fn drive(disk: &Path, format: &str, device: &str) -> Vec<String> {
    let drive = format!("if=none,id=d0,file={},format={format}", disk.display());
    ["-drive", &drive, "-device", &format!("{device},drive=d0")].map(str::to_owned).to_vec()
}

/// Starts a disk as firmware does.
fn start_by_uefi(place: &Place, disk: &Path, format: &str) -> String {
    start_by_uefi_with(place, disk, format, &[])
}

/// The same of a machine with more in it.
pub(crate) fn start_by_uefi_with(place: &Place, disk: &Path, format: &str, more: &[String]) -> String {
    let variables = place.path().join("variables");
    let firmware = "/usr/share/OVMF/OVMF_VARS_4M.fd";
    fs::copy(firmware, &variables).expect("OVMF is missing: apt-get install ovmf");
    let flash =
        |unit: u8, more: &str, file: &Path| format!("if=pflash,format=raw,unit={unit},{more}file={}", file.display());
    let code = flash(0, "readonly=on,", Path::new("/usr/share/OVMF/OVMF_CODE_4M.fd"));
    let mut args = ["-drive", &code, "-drive", &flash(1, "", &variables)].map(str::to_owned).to_vec();
    args.extend(drive(disk, format, "virtio-blk-pci,bootindex=0"));
    args.extend_from_slice(more);
    machine(&args)
}

/// A part of a disk, as a file of its own.
pub(crate) fn part(place: &Place, disk: &Path, name: &str, offset: u64, bytes: u64) -> PathBuf {
    let path = place.path().join(name);
    let mut dd = tool("dd", "coreutils");
    dd.args([format!("if={}", disk.display()), format!("of={}", path.display())]);
    dd.args(["iflag=skip_bytes,count_bytes", "conv=sparse", "bs=1M", "status=none"].map(str::to_owned));
    succeed(dd.args([format!("skip={offset}"), format!("count={bytes}")]));
    path
}

#[track_caller]
pub(crate) fn assert_booted(console: &str, root: &str) {
    assert!(console.contains(&format!("{MARKER}, pid 1")), "{console}");
    assert!(console.contains(root), "expected {root}: {console}");
    assert!(console.contains("\n/changed"), "it can be written to: {console}");
    assert!(console.contains("Power down"), "{console}");
}

#[test]
fn by_a_hypervisor() {
    let place = Place::with(&image(&[]));
    let disk = place.path().join("disk.ext4");
    let baked = bake(&job(&place, BootBy::Direct, ""), &disk);
    succeed(tool("e2fsck", "e2fsprogs").arg("-fn").arg(&disk));
    let beside = place.path().join("disk.boot");
    assert_eq!(baked.plan.boot.unwrap().directory.as_ref(), Some(&beside));
    assert_eq!(names(&beside), ["cmdline", "initrd", "kernel"]);
    let line = fs::read_to_string(beside.join("cmdline")).unwrap();
    let file = |name: &str| beside.join(name).display().to_string();
    let (kernel, initrd) = (file("kernel"), file("initrd"));
    let start = |line: &str, device: &str| {
        let mut args = ["-kernel", &kernel, "-initrd", &initrd, "-append", line].map(str::to_owned).to_vec();
        args.extend(drive(&disk, "raw", device));
        machine(&args)
    };
    assert_booted(&start(line.trim_end(), "virtio-blk-pci"), "/dev/vda / ext4 rw,");
    // Another controller, and what there is not.
    assert_booted(&start(line.trim_end(), "nvme,serial=x"), "/dev/nvme0n1 / ext4 rw,");
    let absent = start("console=ttyS0 no_timer_check root=LABEL=absent rootwait=1", "virtio-blk-pci");
    for said in ["there is no root filesystem LABEL=absent", "there is /dev/vda", "did not appear", "powering off"] {
        assert!(absent.contains(&format!("cvbake init: {said}")) || absent.contains(said), "{said}: {absent}");
    }
    // Modules for other machines, and what depends on those, are passed over in silence.
    assert!(!absent.contains("Unknown symbol") && !absent.contains("cannot load"), "{absent}");
}

#[test]
fn by_firmware_in_any_format() {
    let place = Place::with(&image(&[]));
    let fixed = Options { subformat: Subformat::Fixed, ..Options::default() };
    let vhdx = Options::default();
    let mut disks = Vec::new();
    for (name, format, qemu) in [
        ("disk.raw", Format::Raw, "raw"),
        ("disk.qcow2", Format::Qcow2(None), "qcow2"),
        ("disk.vhdx", Format::Vhdx(vhdx), "vhdx"),
        ("fixed.vhdx", Format::Vhdx(fixed), "vhdx"),
        ("disk.vhd", Format::Vhd(Subformat::Fixed), "vpc"),
    ] {
        let disk = place.path().join(name);
        let mut job = job(&place, BootBy::Uefi, "");
        job.format = format;
        bake(&job, &disk);
        disks.push((disk, qemu));
    }
    let raw = ext4::bytes_of(&disks[0].0);
    for (disk, qemu) in &disks[1..] {
        let converted = place.path().join("converted");
        succeed(tool("qemu-img", "qemu-utils").args(["convert", "-f", qemu, "-O", "raw"]).args([disk, &converted]));
        assert_eq!(ext4::bytes_of(&converted), raw, "{}", disk.display());
    }
    // A boot takes a quarter of a minute: those that differ in how they are mapped.
    for (disk, qemu) in [&disks[0], &disks[1], &disks[2], &disks[3]] {
        assert_booted(&start_by_uefi(&place, disk, qemu), "/dev/vda2 / ext4 rw,");
    }
}

/// systemd-boot is in front of the kernel, and starts it by the entry: it says so on the command
/// line, where nobody else names the initramfs.
#[test]
fn a_boot_loader() {
    let file = Path::new("/usr/lib/systemd/boot/efi/systemd-bootx64.efi");
    let loader = fs::read(file).expect("systemd-boot is missing: apt-get install systemd-boot-efi");
    let place = Place::with(&image(&[]));
    let disk = place.path().join("disk.raw");
    let mut job = job(&place, BootBy::Uefi, "");
    job.boot.as_mut().unwrap().loader = Some(LoaderSource::SystemdBoot);
    let boot = bake(&job, &disk).plan.boot.unwrap();
    assert!(boot.loader.unwrap().ends_with("/systemd-bootx64.efi"));
    let esp = format!("{}@@{}", disk.display(), boot.partitions[0].offset);
    let read = |path: &str| {
        let out = place.path().join("one-file");
        succeed(tool("mcopy", "mtools").args(["-n", "-o", "-i", &esp, path]).arg(&out));
        fs::read(out).unwrap()
    };
    assert!(read("::EFI/BOOT/BOOTX64.EFI") == loader && read("::EFI/systemd/systemd-bootx64.efi") == loader);
    let console = start_by_uefi(&place, &disk, "raw");
    assert_booted(&console, "/dev/vda2 / ext4 rw,");
    assert!(console.contains("initrd=\\cvbake\\initrd root=PARTUUID="), "{console}");
    // Without the entry, it starts the unified kernel image.
    for path in ["::loader/entries/cvbake.conf", "::cvbake/linux"] {
        succeed(tool("mdel", "mtools").args(["-i", &esp, path]));
    }
    let console = start_by_uefi(&place, &disk, "raw");
    assert_booted(&console, "/dev/vda2 / ext4 rw,");
    assert!(!console.contains("initrd="), "{console}");
    // The same file, given: the same disk.
    let given = place.path().join("given.raw");
    job.boot.as_mut().unwrap().loader = Some(LoaderSource::File(file.to_owned()));
    bake(&job, &given);
    job.boot.as_mut().unwrap().loader = Some(LoaderSource::SystemdBoot);
    bake(&job, &disk);
    assert!(ext4::bytes_of(&given) == ext4::bytes_of(&disk));
}

#[test]
fn an_overlay_in_memory() {
    let place = Place::with(&image(&[]));
    let disk = place.path().join("disk.raw");
    let job = job(&place, BootBy::Uefi, "cvbake.overlay=tmpfs");
    let baked = bake(&job, &disk);
    assert!(baked.plan.boot.unwrap().modules.contains(&"overlay".to_owned()));
    let before = ext4::bytes_of(&disk);
    assert_booted(&start_by_uefi(&place, &disk, "raw"), "overlay / overlay rw,");
    assert_eq!(ext4::bytes_of(&disk), before);
}

/// What is around the root filesystem is as it should be, for those who look at it from outside.
#[test]
fn partitions_that_others_read() {
    let place = Place::with(&image(&[]));
    let disk = place.path().join("disk.raw");
    let plain = place.path().join("plain.ext4");
    let mut job = job(&place, BootBy::Uefi, "");
    let baked = bake(&job, &disk);
    let boot = baked.plan.boot.unwrap();
    assert!(succeed(tool("sgdisk", "gdisk").arg("-v").arg(&disk)).contains("No problems found"));
    let [esp, root] = &boot.partitions[..] else { panic!("{:?}", boot.partitions) };
    assert_eq!((esp.name.as_str(), root.name.as_str()), ("esp", "root"));
    let part = |name: &str, offset: u64, bytes: u64| part(&place, &disk, name, offset, bytes);
    let esp = part("esp", esp.offset, esp.bytes);
    succeed(tool("fsck.fat", "dosfstools").arg("-n").arg(&esp));
    let mut show = tool("mtype", "mtools");
    let entry = succeed(show.arg("-i").arg(&esp).arg("::loader/entries/cvbake.conf"));
    assert!(entry.contains(&format!("\noptions {}\n", boot.command_line)), "{entry}");
    assert!(entry.contains("\nlinux /cvbake/linux\ninitrd /cvbake/initrd\n"), "{entry}");
    // The root filesystem is the one that there would be without partitions.
    job.boot = None;
    bake(&job, &plain);
    let root = part("root", root.offset, root.bytes);
    assert_eq!(ext4::bytes_of(&root), ext4::bytes_of(&plain));
    succeed(tool("e2fsck", "e2fsprogs").arg("-fn").arg(&root));
}

/// The same bytes again, and others with anything that differs; what a plan says is what is made.
#[test]
fn identities_follow() {
    let place = Place::with(&image(&[]));
    let with = |by, append: &str, change: &dyn Fn(&mut Boot)| {
        let mut job = job(&place, by, append);
        job.store = Some(place.path().join("store"));
        job.boot.iter_mut().for_each(change);
        job
    };
    let digest = |job: &Job, name: &str| {
        let path = place.path().join(name);
        let planned = cvbake::plan(job, None, &Control::new(), &|_| {}).unwrap();
        // Only what is on stable storage is used again.
        let baked = cvbake::bake(job, &Output::new(&path), &Control::new(), &|_| {}).unwrap();
        let boot = |plan: &cvbake::Plan| {
            let boot = plan.boot.clone().unwrap();
            (boot.partitions, boot.command_line, boot.modules, plan.disk_bytes)
        };
        assert_eq!(boot(&planned), boot(&baked.plan));
        assert_eq!(baked.plan.disk_bytes, path.metadata().unwrap().len());
        (ext4::bytes_of(&path), baked.reused.is_some())
    };
    let plain = with(BootBy::Uefi, "", &|_| {});
    let (first, reused) = digest(&plain, "first");
    assert!(!reused);
    // Copied from the first.
    assert_eq!(digest(&plain, "second"), (first.clone(), true));
    let mut anew = plain.clone();
    anew.reuse = false;
    assert_eq!(digest(&anew, "third"), (first.clone(), false));
    let others = [with(BootBy::Uefi, "x", &|_| {}), with(BootBy::Uefi, "", &|boot| boot.esp_bytes = Some(64 << 20))];
    for (number, other) in others.iter().enumerate() {
        let (bytes, reused) = digest(other, &format!("other-{number}"));
        assert!(bytes != first && !reused);
    }
}

/// The kernel, its modules and the stub are those of the image itself, or of another.
#[test]
fn a_kernel_from_an_image() {
    let version = names(&KERNEL.join("lib/modules")).pop().expect("modules");
    let modules = KERNEL.join("lib/modules").join(&version);
    let order = fs::read_to_string(modules.join("modules.order")).unwrap();
    let is_needed = |line: &&str| {
        ["/virtio", "/nvme", "/hv", "/pci-hyperv", "/crc", "/scsi", "/t10-pi"].iter().any(|part| line.contains(part))
    };
    let listed: Vec<&str> = order.lines().filter(is_needed).collect();
    let at = |name: &str| format!("usr/lib/modules/{version}/{name}").into_bytes();
    let mut members = vec![
        Member::file(&at("vmlinuz"), &fs::read(kernel()).unwrap()),
        Member::file(&at("modules.order"), listed.join("\n").as_bytes()),
        Member::file(&at("modules.builtin"), &fs::read(modules.join("modules.builtin")).unwrap()),
        // As in images with one /usr.
        Member::link(b'2', b"lib", b"usr/lib"),
    ];
    members.extend(listed.iter().map(|path| Member::file(&at(path), &fs::read(modules.join(path)).unwrap())));
    let place = Place::with(&image(&members));
    let disk = place.path().join("disk.ext4");
    let mut own = job(&place, BootBy::Direct, "");
    own.boot.as_mut().unwrap().kernel = KernelSource::Own;
    let baked = bake(&own, &disk);
    let boot = baked.plan.boot.unwrap();
    assert_eq!(boot.kernel.as_deref(), Some(version.as_str()));
    assert!(boot.modules.contains(&"virtio_blk".to_owned()), "{:?}", boot.modules);
    let beside = place.path().join("disk.boot");
    assert!(fs::read(beside.join("kernel")).unwrap() == fs::read(kernel()).unwrap());
    let initrd = fs::read(beside.join("initrd")).unwrap();
    let mut other = own.clone();
    other.boot.as_mut().unwrap().kernel = KernelSource::Image(own.source.clone());
    bake(&other, &disk);
    assert!(fs::read(beside.join("initrd")).unwrap() == initrd);
}

/// Somebody else may have put a link where the files beside a disk go.
#[test]
fn a_link_beside_the_disk_leads_nowhere() {
    let place = Place::with(&image(&[]));
    let (disk, outside) = (place.path().join("disk.ext4"), place.writable("outside"));
    std::os::unix::fs::symlink(&outside, place.path().join("disk.boot")).unwrap();
    let mut output = Output::new(&disk);
    (output.replace, output.sync) = (true, false);
    let error = cvbake::bake(&job(&place, BootBy::Direct, ""), &output, &Control::new(), &|_| {}).unwrap_err();
    assert!(error.line().ends_with("disk.boot: not a directory"), "{}", error.line());
    assert!(names(&outside).is_empty() && !disk.exists());
}

/// Images of linuxkit have `/kernel`, and its modules in an archive beside it.
#[test]
fn a_kernel_with_its_modules_in_an_archive() {
    let version = names(&KERNEL.join("lib/modules")).pop().expect("modules");
    let modules = KERNEL.join("lib/modules").join(&version);
    let order = fs::read_to_string(modules.join("modules.order")).unwrap();
    let is_needed = |line: &&str| {
        ["/virtio", "/nvme", "/hv", "/pci-hyperv", "/crc", "/scsi", "/t10-pi"].iter().any(|part| line.contains(part))
    };
    let listed: Vec<&str> = order.lines().filter(is_needed).collect();
    let at = |name: &str| format!("lib/modules/{version}/{name}").into_bytes();
    let mut members = vec![
        Member::file(&at("modules.order"), listed.join("\n").as_bytes()),
        Member::file(&at("modules.builtin"), &fs::read(modules.join("modules.builtin")).unwrap()),
    ];
    members.extend(listed.iter().map(|path| Member::file(&at(path), &fs::read(modules.join(path)).unwrap())));
    let archive = Tar::of(&members).finish();
    let place = Place::with(&image(&[]));
    let disk = place.path().join("disk.ext4");
    let with = |archive: &[u8]| {
        let content = fs::read(kernel()).unwrap();
        let members = [Member::file(b"kernel", &content), Member::file(b"kernel.tar", archive)];
        let images = Images::of(vec![Layer::new(Tar::of(&members), Compression::Gzip)]);
        let other = Place::with(&images);
        let mut job = job(&place, BootBy::Direct, "");
        let source = format!("oci:{}:latest", other.path().join("image").display()).parse::<Source>().unwrap();
        job.boot.as_mut().unwrap().kernel = KernelSource::Image(ImageSource::At(source));
        let mut output = Output::new(&disk);
        (output.replace, output.sync) = (true, false);
        cvbake::bake(&job, &output, &Control::new(), &|_| {}).map_err(|error| error.line())
    };
    let boot = with(&archive).unwrap().plan.boot.unwrap();
    assert!(boot.modules.contains(&"virtio_blk".to_owned()), "{:?}", boot.modules);
    let beside = place.path().join("disk.boot");
    let file = |name: &str| beside.join(name).display().to_string();
    let line = fs::read_to_string(beside.join("cmdline")).unwrap();
    let mut args = ["-kernel", &file("kernel"), "-initrd", &file("initrd"), "-append", line.trim_end()]
        .map(str::to_owned)
        .to_vec();
    args.extend(drive(&disk, "raw", "virtio-blk-pci"));
    assert_booted(&machine(&args), "/dev/vda / ext4 rw,");
    // Compressed, too, as distributions of the archive may have it.
    let gzip = {
        let path = place.path().join("archive");
        fs::write(&path, &archive).unwrap();
        succeed(tool("gzip", "gzip").arg(&path));
        fs::read(path.with_extension("gz")).unwrap()
    };
    assert_eq!(with(&gzip).unwrap().plan.boot.unwrap().modules, boot.modules);
    for (archive, problem) in [(&archive[..archive.len() / 2], "kernel.tar: "), (&b"x"[..], "kernel.tar: ")] {
        let error = with(archive).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_left() {
    let place = Place::with(&image(&[]));
    let file = |name: &str, content: &[u8]| {
        let path = place.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let text = file("text", b"no kernel at all");
    let large = file("bzImage", &{
        let mut image = vec![0; 4096];
        image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
        image[0x236] = 1;
        image
    });
    let arm = file("Image", &{
        let mut image = vec![0; 4096];
        image[56..60].copy_from_slice(b"ARM\x64");
        image
    });
    let nowhere = place.path().join("nowhere").display().to_string();
    // Where the ordinary user can read it.
    let kernel = file("vmlinuz", &fs::read(kernel()).unwrap());
    let empty = place.writable("empty").display().to_string();
    for (args, code, problem, hint) in [
        (&["--kernel", "x"][..], 2, "--kernel is for disks that boot", "add --boot uefi"),
        (&["--boot", "direct", "--stub", "x"], 2, "--stub is for disks that UEFI boots", "choose --boot uefi"),
        (
            &["--boot", "direct", "--loader", "systemd-boot"],
            2,
            "--loader is for disks that UEFI boots",
            "choose --boot",
        ),
        (&["--boot", "uefi", "--verity=append"], 2, "looks for the hash tree in a partition", "choose --verity"),
        (&["--boot", "uefi", "--verity=beside"], 2, "looks for the hash tree in a partition", "choose --verity"),
        (&["--boot", "direct", "--verity=partition"], 2, "is for disks that UEFI boots", "add --boot uefi"),
        (&["--verity=partition"], 2, "is for disks that UEFI boots", "add --boot uefi"),
        (&["--boot", "uefi", "--target", "wsl"], 2, "WSL takes a disk without partitions", "leave out --boot"),
        (&["--boot", "direct"], 3, "has no kernel: expected kernel, boot/vmlinuz*", "--kernel FILE"),
        (&["--boot", "direct", "--kernel", &text], 3, "is no kernel: it has no signature of one", "--kernel FILE"),
        (&["--boot", "direct", "--kernel", &nowhere], 3, "cannot read", ""),
        (
            &["--boot", "direct", "--kernel", &kernel, "--modules", &empty],
            3,
            "has no modules: expected",
            "--modules DIR",
        ),
        (&["--boot", "uefi", "--kernel", &large], 3, "has no entry for UEFI", "--boot direct"),
        (&["--boot", "uefi", "--kernel", &kernel, "--stub", &text], 3, "is no stub for UEFI", "--stub FILE"),
        (
            &["--boot", "uefi", "--kernel", &kernel, "--loader", &text],
            3,
            "is no boot loader for UEFI: it is no program for UEFI",
            "--loader FILE",
        ),
        (&["--boot", "uefi", "--kernel", &kernel, "--esp-size", "34M"], 5, "the files take", "larger --esp-size"),
        (&["--boot", "uefi", "--kernel", &kernel, "--esp-size", "20M"], 2, "expected at least 34M", "--help explains"),
        (&["--boot", "direct", "--kernel", &arm], 8, "this cvbake has no init for arm64", "run a cvbake"),
        (
            &["--boot", "direct", "--kernel", &kernel, "--append", &"x".repeat(3000)],
            2,
            "the command line has",
            "--append",
        ),
    ] {
        let outcome = place.bake().args(args).run();
        assert!(outcome.error(&[code]).contains(problem), "{args:?}: {}", outcome.describe());
        assert!(outcome.stderr.contains(hint), "{args:?}: {}", outcome.describe());
        place.assert_no_leftovers(&[]);
    }
}
