//! FAT32 as it is stored.

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{Immutable, IntoBytes, KnownLayout};

use super::time::Stamp;

/// Fewer, and it is FAT16 to a reader.
pub const MIN_CLUSTERS: u64 = 65525;
/// More have no number.
pub(super) const MAX_CLUSTERS: u64 = 0x0fff_fff5;

/// The end of a chain of clusters.
pub(super) const EOC: u32 = 0x0fff_ffff;

pub(super) const ATTR_VOLUME_ID: u8 = 0x08;
pub(super) const ATTR_DIRECTORY: u8 = 0x10;
pub(super) const ATTR_ARCHIVE: u8 = 0x20;
pub(super) const ATTR_LONG_NAME: u8 = 0x0f;

pub(super) const BACKUP_BOOT_SECTOR: u16 = 6;

#[derive(IntoBytes, Immutable, KnownLayout, Clone)]
#[repr(C)]
pub(super) struct BootSector {
    pub(super) bs_jmp_boot: [u8; 3],
    pub(super) bs_oem_name: [u8; 8],
    pub(super) bpb_byts_per_sec: U16,
    pub(super) bpb_sec_per_clus: u8,
    pub(super) bpb_rsvd_sec_cnt: U16,

    pub(super) bpb_num_fats: u8,
    pub(super) bpb_root_ent_cnt: U16,
    pub(super) bpb_tot_sec16: U16,
    pub(super) bpb_media: u8,
    pub(super) bpb_fat_sz16: U16,
    pub(super) bpb_sec_per_trk: U16,
    pub(super) bpb_num_heads: U16,
    pub(super) bpb_hidd_sec: U32,

    pub(super) bpb_tot_sec32: U32,
    pub(super) bpb_fat_sz32: U32,
    pub(super) bpb_ext_flags: U16,
    pub(super) bpb_fs_ver: U16,
    pub(super) bpb_root_clus: U32,

    pub(super) bpb_fs_info: U16,
    pub(super) bpb_bk_boot_sec: U16,
    pub(super) bpb_reserved: [u8; 12],

    pub(super) bs_drv_num: u8,
    pub(super) bs_reserved1: u8,
    pub(super) bs_boot_sig: u8,
    pub(super) bs_vol_id: U32,
    pub(super) bs_vol_lab: [u8; 11],
    pub(super) bs_fil_sys_type: [u8; 8],

    pub(super) boot_code: [u8; 420],
    pub(super) signature: U16,
}

const _: () = assert!(size_of::<BootSector>() == 512);

impl BootSector {
    /// One without what follows from the length of the filesystem.
    pub(super) fn new(volume_id: u32, label: [u8; 11]) -> BootSector {
        BootSector {
            // A jump over the fields, without which some readers take it for no filesystem.
            bs_jmp_boot: [0xeb, 0x58, 0x90],
            // What the specification recommends.
            bs_oem_name: *b"MSWIN4.1",
            bpb_byts_per_sec: U16::ZERO,
            bpb_sec_per_clus: 0,
            bpb_rsvd_sec_cnt: U16::ZERO,
            bpb_num_fats: 0,
            bpb_root_ent_cnt: U16::ZERO,
            bpb_tot_sec16: U16::ZERO,
            // A disk that is not removable.
            bpb_media: 0xf8,
            bpb_fat_sz16: U16::ZERO,
            // What programs expect of a disk of any size.
            bpb_sec_per_trk: U16::new(63),
            bpb_num_heads: U16::new(255),
            bpb_hidd_sec: U32::ZERO,
            bpb_tot_sec32: U32::ZERO,
            bpb_fat_sz32: U32::ZERO,
            bpb_ext_flags: U16::ZERO,
            bpb_fs_ver: U16::ZERO,
            bpb_root_clus: U32::ZERO,
            bpb_fs_info: U16::new(1),
            bpb_bk_boot_sec: U16::new(BACKUP_BOOT_SECTOR),
            bpb_reserved: [0; 12],
            bs_drv_num: 0x80,
            bs_reserved1: 0,
            // What follows is there.
            bs_boot_sig: 0x29,
            bs_vol_id: U32::new(volume_id),
            bs_vol_lab: label,
            bs_fil_sys_type: *b"FAT32   ",
            boot_code: [0; 420],
            signature: U16::new(0xaa55),
        }
    }
}

#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct FsInfo {
    fsi_lead_sig: U32,
    fsi_reserved1: [u8; 480],
    fsi_struc_sig: U32,
    fsi_free_count: U32,
    fsi_nxt_free: U32,
    fsi_reserved2: [u8; 12],
    fsi_trail_sig: U32,
}

const _: () = assert!(size_of::<FsInfo>() == 512);

impl FsInfo {
    pub(super) fn new(free: u32, next: u32) -> FsInfo {
        FsInfo {
            fsi_lead_sig: U32::new(0x4161_5252),
            fsi_reserved1: [0; 480],
            fsi_struc_sig: U32::new(0x6141_7272),
            fsi_free_count: U32::new(free),
            fsi_nxt_free: U32::new(next),
            fsi_reserved2: [0; 12],
            fsi_trail_sig: U32::new(0xaa55_0000),
        }
    }
}

#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct DirectoryEntry {
    dir_name: [u8; 11],
    dir_attr: u8,
    dir_nt_res: u8,
    dir_crt_time_tenth: u8,
    dir_crt_time: U16,

    dir_crt_date: U16,
    dir_lst_acc_date: U16,
    dir_fst_clus_hi: U16,
    dir_wrt_time: U16,
    dir_wrt_date: U16,
    dir_fst_clus_lo: U16,
    dir_file_size: U32,
}

const _: () = assert!(size_of::<DirectoryEntry>() == 32);

impl DirectoryEntry {
    pub(super) fn new(name: [u8; 11], attr: u8, cluster: u32, len: u32) -> DirectoryEntry {
        let half = |shift: u32| U16::new(u16::try_from(cluster >> shift & 0xffff).expect("16 bits"));
        DirectoryEntry {
            dir_name: name,
            dir_attr: attr,
            dir_nt_res: 0,
            dir_crt_time_tenth: 0,
            dir_crt_time: U16::ZERO,
            dir_crt_date: U16::ZERO,
            dir_lst_acc_date: U16::ZERO,
            dir_fst_clus_hi: half(16),
            dir_wrt_time: U16::ZERO,
            dir_wrt_date: U16::ZERO,
            dir_fst_clus_lo: half(0),
            dir_file_size: U32::new(len),
        }
    }

    pub(super) fn set_times(&mut self, Stamp { date, time }: Stamp) {
        let (date, time) = (U16::new(date), U16::new(time));
        (self.dir_crt_date, self.dir_crt_time) = (date, time);
        (self.dir_wrt_date, self.dir_wrt_time) = (date, time);
        self.dir_lst_acc_date = date;
    }
}

/// Thirteen units of a long name.
#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct LongNameEntry {
    pub(super) ldir_ord: u8,
    pub(super) ldir_name1: [U16; 5],
    pub(super) ldir_attr: u8,
    pub(super) ldir_type: u8,
    pub(super) ldir_chksum: u8,
    pub(super) ldir_name2: [U16; 6],
    pub(super) ldir_fst_clus_lo: U16,
    pub(super) ldir_name3: [U16; 2],
}

const _: () = assert!(size_of::<LongNameEntry>() == 32);
