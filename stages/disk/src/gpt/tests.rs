use std::io;
use std::process::Command;

use super::*;
use crate::ReadAt;

/// A disk in memory.
struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let from = self.0.get(start..start + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(from);
        Ok(())
    }
}

fn partition(kind: [u8; 16], number: u8, name: &str) -> Partition {
    Partition { kind, guid: [number; 16], flags: flag::GROW_FILE_SYSTEM, name: name.to_owned() }
}

fn table(sector_size: u32) -> Table {
    let partitions = vec![
        (partition(kind::ESP, 1, "esp"), 3 << 20),
        (partition(kind::ROOT_VERITY_X86_64, 2, "root-verity"), 4096),
        (partition(kind::ROOT_X86_64, 3, "wurzel-ä😀"), (5 << 20) + 4096),
    ];
    Table::plan([9; 16], sector_size, partitions).unwrap()
}

fn disk(table: &Table) -> Memory {
    let mut bytes = vec![0; usize::try_from(table.len_bytes).unwrap()];
    for piece in table.pieces() {
        let at = usize::try_from(piece.offset).unwrap();
        bytes[at..at + piece.bytes.len()].copy_from_slice(&piece.bytes);
    }
    Memory(bytes)
}

fn read(disk: &Memory) -> Result<Option<Found>, String> {
    Table::read(disk).map_err(|error| error.to_string())
}

#[test]
fn places() {
    let table = table(512);
    let ranges: Vec<Range<u64>> = table.partitions.iter().map(|placed| placed.range.clone()).collect();
    let mib = |number: u64| number << 20;
    assert_eq!(ranges, [mib(1)..mib(4), mib(4)..mib(4) + 4096, mib(5)..mib(10) + 4096]);
    assert_eq!(table.len_bytes, mib(12));
}

#[test]
fn what_is_written_is_read() {
    for sector_size in [512, 4096] {
        let table = table(sector_size);
        let mut disk = disk(&table);
        assert_eq!(read(&disk), Ok(Some(Found { table: table.clone(), damage: None })));
        // Any byte of the first copy: the second is used.
        for at in [sector_size + 60, 2 * sector_size + 40] {
            let at = usize::try_from(at).unwrap();
            disk.0[at] ^= 1;
            let found = read(&disk).unwrap().unwrap();
            assert_eq!(found.table, table);
            assert!(found.damage.is_some());
            disk.0[at] ^= 1;
        }
        let at = usize::try_from(sector_size).unwrap();
        let end = disk.0.len();
        disk.0[at] ^= 1;
        disk.0[end - 1000] ^= 1;
        disk.0[end - at + 20] ^= 1;
        let error = read(&disk).unwrap_err();
        assert!(error.contains("at the beginning of the disk, the signature is missing; at its end, the "), "{error}");
    }
    assert_eq!(read(&Memory(vec![0; 1 << 20])), Ok(None));
    assert_eq!(read(&Memory(vec![0; 100])), Ok(None));
}

/// Checksums are right, and what is said is wrong.
#[test]
fn hostile_tables() {
    type Change = fn(&mut Vec<u8>);
    fn set(bytes: &mut [u8], at: usize, value: u64) {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    let cases: &[(Change, &str)] = &[
        (|disk| set(disk, 512 + 24, 7), "the header says that it is in sector 7, expected 1"),
        (|disk| set(disk, 512 + 40, u64::MAX), "the usable sectors"),
        (|disk| set(disk, 512 + 72, u64::MAX), "the sectors of the entries 18446744073709551615 to"),
        (|disk| set(disk, 512 + 80, u64::MAX), "4294967295 entries of 4294967295 bytes"),
        (|disk| set(disk, 512 + 80, 128), "128 entries of 0 bytes"),
        (|disk| disk[512 + 12..512 + 16].copy_from_slice(&u32::MAX.to_le_bytes()), "the header has 4294967295 bytes"),
        (|disk| set(disk, 1024 + 32, u64::MAX), "partition 1 has the sectors 18446744073709551615 to 8191"),
        (|disk| set(disk, 1024 + 128 + 32, 8191), "partitions 1 and 2 overlap"),
    ];
    for (change, expected) in cases {
        let mut disk = disk(&table(512));
        change(&mut disk.0);
        let entries = crc32fast::hash(&disk.0[1024..1024 + 128 * 128]);
        disk.0[512 + 88..512 + 92].copy_from_slice(&entries.to_le_bytes());
        disk.0[512 + 16..512 + 20].fill(0);
        let header = crc32fast::hash(&disk.0[512..512 + 92]);
        disk.0[512 + 16..512 + 20].copy_from_slice(&header.to_le_bytes());
        let damage = read(&disk).unwrap().unwrap().damage.unwrap().to_string();
        assert!(damage.contains(expected), "{damage}, expected {expected}");
    }
}

#[test]
fn what_no_table_says() {
    let root = |len| vec![(partition(kind::ROOT_X86_64, 1, "root"), len)];
    let plan = |sector, partitions| Table::plan([0; 16], sector, partitions).unwrap_err();
    assert_eq!(plan(1024, root(1)), Error::SectorSize { sector_size: 1024 });
    assert_eq!(plan(512, root(0)), Error::Empty { number: 1 });
    assert_eq!(plan(512, root(u64::MAX)), Error::TooLarge);
    assert_eq!(plan(512, root(u64::MAX - (2 << 20))), Error::TooLarge);
    assert_eq!(plan(512, vec![root(1)[0].clone(); 129]), Error::TooMany { count: 129 });
    let long = vec![(partition(kind::ESP, 1, &"x".repeat(37)), 512)];
    assert_eq!(plan(512, long), Error::Name { number: 1, units: 37 });
}

/// GPT fdisk, which did not write it, finds nothing wrong and says the same.
#[test]
fn sgdisk_agrees() {
    let table = table(512);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), disk(&table).0).unwrap();
    let sgdisk = |args: &[&str]| {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let done = Command::new("sgdisk").args(args).arg(file.path()).env("PATH", path).output();
        let done = done.expect("sgdisk is missing: scripts/setup installs it, in the package gdisk");
        let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success(), "{text}");
        text
    };
    assert!(sgdisk(&["-v"]).contains("No problems found."), "{}", sgdisk(&["-v"]));
    let third = sgdisk(&["-i", "3"]);
    for expected in [
        "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
        "Partition unique GUID: 03030303-0303-0303-0303-030303030303",
        "First sector: 10240",
        "Attribute flags: 0800000000000000",
        // It does not say what is beyond the first plane of Unicode.
        "'wurzel-ä",
    ] {
        assert!(third.contains(expected), "{third}, expected {expected}");
    }
    assert!(sgdisk(&["-p"]).contains("Disk identifier (GUID): 09090909-0909-0909-0909-090909090909"));
}
