use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::kernel::Kernel;

/// A tree in memory.
#[derive(Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Files for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(path).cloned())
    }

    fn names(&self, path: &str) -> Result<Vec<String>, Error> {
        let below = self.0.keys().filter_map(|name| name.strip_prefix(path)?.trim_start_matches('/').split('/').next());
        let mut names: Vec<String> = below.map(str::to_owned).collect();
        names.dedup();
        Ok(names)
    }
}

fn module(depends: &str, version: &str) -> Vec<u8> {
    format!("\x7fELF\0vermagic={version} SMP mod_unload\0depends={depends}\0softdep=pre: crc32c post: other\0\0")
        .into_bytes()
}

fn kernel() -> Kernel {
    let mut image = vec![0; 4096];
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
    image[0x236] = 1;
    image[0x20f] = 6;
    image[0x800..0x804].copy_from_slice(b"6.1 ");
    Kernel::parse("vmlinuz", image).unwrap()
}

const PLAIN: Drivers = Drivers { filesystem: "ext4", overlay: false, changes: None, verity: false };

fn tree() -> Memory {
    let mut tree = Memory::default();
    let root = "lib/modules/6.1";
    let mut put = |name: &str, content: Vec<u8>| tree.0.insert(format!("{root}/{name}"), content);
    put(
        "modules.order",
        b"kernel/a/virtio_blk.ko\nkernel/a/virtio.ko\nkernel/b/virtio-ring.ko\nkernel/c/crc32c.ko\n".to_vec(),
    );
    put("modules.builtin", b"kernel/fs/ext4/ext4.ko\n".to_vec());
    put("kernel/a/virtio_blk.ko", module("virtio,virtio-ring", "6.1"));
    put("kernel/a/virtio.ko", module("", "6.1"));
    put("kernel/b/virtio-ring.ko", module("virtio", "6.1"));
    put("kernel/c/crc32c.ko", module("", "6.1"));
    tree
}

fn chosen(tree: &Memory, drivers: Drivers) -> Result<Vec<String>, String> {
    initramfs(&kernel(), Some(tree), drivers).map(|made| made.modules).map_err(|error| error.to_string())
}

#[test]
fn in_the_order_of_what_they_depend_on() {
    assert_eq!(chosen(&tree(), PLAIN).unwrap(), ["crc32c", "virtio", "virtio-ring", "virtio_blk"]);
    let made = initramfs(&kernel(), Some(&tree()), PLAIN).unwrap();
    assert_eq!(made, initramfs(&kernel(), Some(&tree()), PLAIN).unwrap(), "the same again");
    let text = String::from_utf8_lossy(&made.archive).into_owned();
    let list =
        "/modules.d/crc32c.ko\n/modules.d/virtio.ko\n/modules.d/virtio-ring.ko 1\n/modules.d/virtio_blk.ko 1 2\n";
    assert!(text.contains(list));
    let bare = initramfs(&kernel(), None, PLAIN).unwrap();
    assert!(bare.modules.is_empty());
}

#[test]
fn compressed_ones() {
    let pack = |program: &str, package: &str, content: &[u8]| {
        let child = Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child =
            child.unwrap_or_else(|_| panic!("{program} is missing: scripts/setup installs it, in {package}"));
        child.stdin.take().unwrap().write_all(content).unwrap();
        child.wait_with_output().unwrap().stdout
    };
    let expected = initramfs(&kernel(), Some(&tree()), PLAIN).unwrap();
    for (program, package, ending) in [("gzip", "gzip", "gz"), ("xz", "xz-utils", "xz"), ("zstd", "zstd", "zst")] {
        let mut tree = tree();
        let path = "lib/modules/6.1/kernel/a/virtio_blk.ko";
        let content = tree.0.remove(path).unwrap();
        let mut packed = pack(program, package, &content);
        tree.0.insert(format!("{path}.{ending}"), packed.clone());
        assert_eq!(initramfs(&kernel(), Some(&tree), PLAIN).unwrap(), expected, "{program}");
        let middle = packed.len() / 2;
        packed.truncate(middle);
        tree.0.insert(format!("{path}.{ending}"), packed);
        let error = chosen(&tree, PLAIN).unwrap_err();
        assert!(error.starts_with(&format!("module {path}.{ending}: it cannot be decompressed")), "{error}");
    }
}

#[test]
fn what_is_missing_or_wrong() {
    type Files = BTreeMap<String, Vec<u8>>;
    let with = |change: &dyn Fn(&mut Files), drivers| {
        let mut tree = tree();
        change(&mut tree.0);
        chosen(&tree, drivers).unwrap_err()
    };
    let path = |name: &str| format!("lib/modules/6.1/{name}");
    let place = "neither in memory: lib/modules/6.1 nor built in";
    assert_eq!(with(&|_| {}, Drivers { overlay: true, ..PLAIN }), format!("the kernel 6.1 has no overlay: {place}"));
    assert_eq!(with(&|_| {}, Drivers { verity: true, ..PLAIN }), format!("the kernel 6.1 has no dm_verity: {place}"));
    let changes = Drivers { changes: Some("xfs"), ..PLAIN };
    assert_eq!(with(&|_| {}, changes), format!("the kernel 6.1 has no xfs: {place}"));
    let error = with(&|tree| drop(tree.remove(&path("kernel/a/virtio_blk.ko"))), PLAIN);
    assert!(error.starts_with("the kernel 6.1 has no driver of a disk (virtio_blk, "), "{error}");
    assert_eq!(
        with(&|tree| drop(tree.remove(&path("kernel/b/virtio-ring.ko"))), PLAIN),
        "module lib/modules/6.1/kernel/a/virtio_blk.ko: it depends on virtio_ring, which is neither there nor built in"
    );
    assert_eq!(
        with(&|tree| drop(tree.insert(path("kernel/a/virtio.ko"), module("", "6.2"))), PLAIN),
        "module lib/modules/6.1/kernel/a/virtio.ko is for the kernel 6.2, expected 6.1"
    );
    assert_eq!(
        with(&|tree| drop(tree.insert(path("kernel/a/virtio.ko"), b"text".to_vec())), PLAIN),
        "module lib/modules/6.1/kernel/a/virtio.ko: it is no ELF file"
    );
    assert_eq!(
        with(&|tree| drop(tree.remove(&path("modules.order"))), PLAIN),
        "memory has no modules: expected the file modules.dep or modules.order"
    );
    // A circle, and a chain without end.
    let mut circle = tree();
    circle.0.insert(path("kernel/a/virtio.ko"), module("virtio_blk", "6.1"));
    assert_eq!(chosen(&circle, PLAIN).unwrap(), ["crc32c", "virtio", "virtio-ring", "virtio_blk"]);
    let mut chain = tree();
    let names: Vec<String> = (0..1000).map(|number| format!("m{number}")).collect();
    let order: String = names.iter().map(|name| format!("kernel/{name}.ko\n")).collect();
    chain.0.get_mut(&path("modules.order")).unwrap().extend_from_slice(order.as_bytes());
    for (name, next) in names.iter().zip(&names[1..]) {
        chain.0.insert(path(&format!("kernel/{name}.ko")), module(next, "6.1"));
    }
    chain.0.insert(path("kernel/a/virtio_blk.ko"), module("m0", "6.1"));
    let error = chosen(&chain, PLAIN).unwrap_err();
    assert!(error.ends_with("it depends on more than 256 others"), "{error}");
}

/// One that can't be loaded is in nobody's way: neither where it is only wanted, nor where
/// something else needs it, too.
#[test]
fn what_is_not_whole_is_left_out() {
    let path = |name: &str| format!("lib/modules/6.1/kernel/{name}.ko");
    let mut tree = tree();
    let list = tree.0.get_mut("lib/modules/6.1/modules.order").unwrap();
    list.extend_from_slice(b"kernel/nvme.ko\nkernel/nvme_core.ko\nkernel/ahci.ko\n");
    tree.0.insert(path("nvme"), module("nvme-core", "6.1"));
    tree.0.insert(path("nvme_core"), module("none", "6.1"));
    tree.0.insert(path("ahci"), module("nvme_core", "6.1"));
    let expected = ["crc32c", "virtio", "virtio-ring", "virtio_blk"];
    assert_eq!(chosen(&tree, PLAIN).unwrap(), expected);
    tree.0.insert(path("c/crc32c"), module("none", "6.1"));
    assert_eq!(chosen(&tree, PLAIN).unwrap(), expected[1..]);
    // Without another, there is no disk.
    tree.0.insert(path("a/virtio_blk"), module("nvme", "6.1"));
    let error = chosen(&tree, PLAIN).unwrap_err();
    let nothing = "module lib/modules/6.1/kernel/nvme_core.ko: it depends on none, which is neither there nor built in";
    assert_eq!(error, nothing);
}

/// What modules cost is bounded, and so is where they are looked for.
#[test]
fn hostile_modules() {
    type Files = BTreeMap<String, Vec<u8>>;
    let with = |change: &dyn Fn(&mut Files)| {
        let mut tree = tree();
        change(&mut tree.0);
        chosen(&tree, PLAIN)
    };
    let blk = "lib/modules/6.1/kernel/a/virtio_blk.ko";
    let order = "lib/modules/6.1/modules.order";
    // Each is no longer than one may be.
    let bombs = with(&|tree| {
        for name in ["virtio_blk", "virtio", "b1", "b2", "b3"] {
            let needs = if name == "virtio_blk" { "virtio,b1,b2,b3" } else { "" };
            let mut content = module(needs, "6.1");
            content.resize(120 << 20, 0);
            tree.insert(format!("lib/modules/6.1/kernel/a/{name}.ko"), content);
        }
        tree.get_mut(order).unwrap().extend_from_slice(b"kernel/a/b1.ko\nkernel/a/b2.ko\nkernel/a/b3.ko\n");
    });
    assert!(bombs.unwrap_err().ends_with("with those before it, it has more than 536870912 bytes"));
    let long = with(&|tree| tree.get_mut(blk).unwrap().resize((128 << 20) + 1, 0));
    assert_eq!(long.unwrap_err(), format!("module {blk}: it has more than 134217728 bytes"));
    let list = with(&|tree| tree.get_mut(order).unwrap().resize((8 << 20) + 1, b'\n'));
    let expected = "memory: lib/modules/6.1/modules.dep or modules.order has 8388609 bytes, expected at most 8388608";
    assert_eq!(list.unwrap_err(), expected);
    let outside = with(&|tree| drop(tree.insert(order.to_owned(), b"../../../etc/virtio_blk.ko: \n".to_vec())));
    let expected = "its path in the list of modules leads out of their directory";
    assert!(outside.unwrap_err().ends_with(expected));
    // Names that are none of a module are as if they were not there.
    let named = with(&|tree| {
        tree.insert(blk.to_owned(), module("virtio blk,\x1b[2J", "6.1"));
        tree.get_mut(order).unwrap().extend_from_slice(b"kernel/virtio blk.ko:\nkernel/\x1b[2J.ko\n");
    });
    assert!(named.unwrap_err().contains("it depends on virtio blk"));
    // A dictionary of 4 GiB, in a file of some bytes: the header of a block says so, with its sum.
    let header = [2, 0, 0x21, 1, 40, 0, 0, 0];
    let mut sum = flate2::Crc::new();
    sum.update(&header);
    let stream = [b"\xfd7zXZ\0\0\x01\x69\x22\xde\x36".as_slice(), &header, &sum.sum().to_le_bytes(), &[0; 64]];
    let greedy = with(&|tree| {
        tree.remove(blk);
        tree.insert(format!("{blk}.xz"), stream.concat());
    });
    assert!(greedy.unwrap_err().contains("needed memory too big"));
}

/// What is no regular file is none: of a pipe, the opening would wait.
#[test]
fn only_regular_files_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("modules.dep")).unwrap();
    let files = crate::Directory(dir.path().to_owned());
    assert_eq!(files.read("modules.dep").unwrap(), None);
    assert!(matches!(initramfs(&kernel(), Some(&files), PLAIN), Err(Error::NoModules { .. })));
}

#[test]
fn kernels_of_a_tree() {
    let content = kernel().content.to_vec();
    let found = |paths: &[&str]| {
        let tree = Memory(paths.iter().map(|path| ((*path).to_owned(), content.clone())).collect());
        Kernel::find(&tree).map(|kernel| kernel.name).map_err(|error| error.to_string())
    };
    assert_eq!(found(&["kernel", "boot/vmlinuz-1"]).unwrap(), "memory: kernel");
    assert_eq!(found(&["boot/vmlinuz", "boot/vmlinuz-6.1"]).unwrap(), "memory: boot/vmlinuz-6.1");
    assert_eq!(found(&["usr/lib/modules/6.1/vmlinuz"]).unwrap(), "memory: usr/lib/modules/6.1/vmlinuz");
    assert!(found(&["boot/config"]).unwrap_err().starts_with("memory has no kernel: expected"));
    assert_eq!(
        found(&["boot/vmlinuz-1", "boot/vmlinuz-2"]).unwrap_err(),
        "memory has several kernels, boot/vmlinuz-1 and boot/vmlinuz-2, expected one"
    );
}
