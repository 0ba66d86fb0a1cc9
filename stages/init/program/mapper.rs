//! The device mapper: a device whose content is checked by dm-verity.
//!
//! Each request is a `struct dm_ioctl` and what belongs to it, in one buffer (`linux/dm-ioctl.h`).

use crate::console::{Failure, Number};
use crate::devices;
use crate::system::{Errno, File};
use crate::verity::Superblock;

/// The length of a `struct dm_ioctl`.
const HEADER: usize = 312;
/// The length of a `struct dm_target_spec`.
const TARGET: usize = 40;
/// Room for the parameters of a target: a digest and a salt of 256 bytes take 640.
const BUFFER: usize = 2048;

const DM_DEV_CREATE: usize = 3;
const DM_DEV_SUSPEND: usize = 6;
const DM_TABLE_LOAD: usize = 9;
const DM_READONLY_FLAG: u32 = 1;

/// What the device is called.
const NAME: &[u8] = b"root";

struct Request {
    bytes: [u8; BUFFER],
    len: usize,
}

impl Request {
    fn new() -> Request {
        let mut request = Request { bytes: [0; BUFFER], len: HEADER };
        // The version of the interface, what is asked for at least; the length; where data begins.
        let length = u32::try_from(BUFFER).unwrap_or(0);
        for (at, value) in [(0, 4), (12, length), (16, 312), (28, DM_READONLY_FLAG)] {
            request.put(at, &u32::to_le_bytes(value));
        }
        request.put(48, NAME);
        request
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Adds to the parameters of the target; says whether there was room.
    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        self.bytes.get_mut(self.len..self.len + bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }

    fn push_hex(&mut self, bytes: &[u8]) -> Option<()> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        bytes.iter().try_for_each(|byte| self.push(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]))
    }

    fn make(&mut self, control: &File, number: usize) -> Result<(), Errno> {
        control.request(3 << 30 | HEADER << 16 | 0xfd << 8 | number, &mut self.bytes)
    }
}

/// The devices of dm-verity.
pub(crate) struct Devices<'n> {
    pub(crate) data: &'n [u8],
    pub(crate) hash: &'n [u8],
    /// Where on the latter the superblock is, in bytes.
    pub(crate) offset: u64,
}

/// Makes the device; its name is `dm-` and this number.
pub(crate) fn open_verity(devices: &Devices<'_>, root_hash: &[u8]) -> Result<u32, Failure<'static>> {
    let control = c"/dev/mapper/control";
    let control = File::open_writable(control).map_err(|error| {
        Failure::new("cannot set up dm-verity (is the module dm-verity there?): no", control, error)
    })?;
    let mut superblock = [0; 512];
    let hash = devices::open(devices.hash);
    let read = hash.and_then(|device| device.read_exact(&mut superblock, devices.offset).ok());
    read.ok_or(Failure::text("the hash tree of dm-verity cannot be read"))?;
    let superblock = Superblock::parse(&superblock)
        .ok_or(Failure::text("there is no superblock of dm-verity where the hash tree is expected"))?;

    let failed = |error| Failure::code("dm-verity refuses the root filesystem", error);
    let mut create = Request::new();
    create.make(&control, DM_DEV_CREATE).map_err(failed)?;
    let dev = &create.bytes[40..44];
    let dev = u32::from_le_bytes([dev[0], dev[1], dev[2], dev[3]]);
    let minor = dev & 0xff | dev >> 12 & 0xf_ff00;

    let mut load = Request::new();
    load.put(20, &1_u32.to_le_bytes());
    load.put(HEADER + 8, &superblock.sectors().unwrap_or(0).to_le_bytes());
    load.put(HEADER + 24, b"verity");
    load.len = HEADER + TARGET;
    parameters(&mut load, &superblock, devices, root_hash)
        .ok_or(Failure::text("the root hash is too long for dm-verity, or the hash tree too far away"))?;
    load.make(&control, DM_TABLE_LOAD).map_err(failed)?;
    // Without the flag to suspend it, this resumes it.
    Request::new().make(&control, DM_DEV_SUSPEND).map_err(failed)?;
    Ok(minor)
}

fn parameters(
    load: &mut Request,
    superblock: &Superblock<'_>,
    devices: &Devices<'_>,
    root_hash: &[u8],
) -> Option<()> {
    load.push(Number::of(superblock.hash_type).text())?;
    for device in [devices.data, devices.hash] {
        load.push(b" /dev/")?;
        load.push(device)?;
    }
    let numbers = [
        superblock.data_block_size.into(),
        superblock.hash_block_size.into(),
        superblock.data_blocks,
        superblock.first_block(devices.offset)?,
    ];
    for number in numbers {
        load.push(b" ")?;
        load.push(Number::of(number).text())?;
    }
    load.push(b" ")?;
    load.push(superblock.algorithm)?;
    load.push(b" ")?;
    load.push(root_hash)?;
    load.push(b" ")?;
    if superblock.salt.is_empty() {
        load.push(b"-")?
    } else {
        load.push_hex(superblock.salt)?
    };
    // A zero ends it.
    load.push(&[0])
}
