//! A disk → the SHA-256 of what is on it, as a crate that others wrote reads it.
//!
//! `cvbake-disk-readers CRATE FORMAT FILE [PARENT]...` prints the digest of the disk; `wxtla gpt
//! FILE` prints a line for each partition: where it begins, how long it is, and the digest of what
//! is in it.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wxtla::{
    ByteSourceHandle, FileDataSource, RelatedSourceRequest, RelatedSourceResolver, SourceHints, SourceIdentity,
};

type Wrong = Box<dyn Error>;

const PIECE: usize = 1 << 20;

fn main() -> Result<(), Wrong> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match &args[..] {
        ["--version"] => println!("cvbake-disk-readers {}", env!("CARGO_PKG_VERSION")),
        ["vhdx-core", "vhdx", files @ ..] => println!("{}", by_vhdx_core(files)?),
        ["imago", "qcow2", file] => println!("{}", by_imago(file)?),
        ["wxtla", "gpt", file] => print!("{}", partitions(file)?),
        ["wxtla", format, file, parents @ ..] => println!("{}", hash(&*wxtla_disk(format, file, parents)?)?),
        _ => return Err("usage: cvbake-disk-readers vhdx-core|imago|wxtla FORMAT FILE [PARENT]...".into()),
    }
    Ok(())
}

/// The digest of so many bytes, which `read` gives in pieces.
fn digest(len: u64, mut read: impl FnMut(u64, &mut [u8]) -> Result<(), Wrong>) -> Result<String, Wrong> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < len {
        let piece = usize::try_from(len - at).unwrap_or(PIECE).min(PIECE);
        read(at, &mut buffer[..piece])?;
        hasher.update(&buffer[..piece]);
        at += piece as u64;
    }
    let mut text = String::new();
    hasher.finalize().iter().try_for_each(|byte| write!(text, "{byte:02x}"))?;
    Ok(text)
}

fn by_vhdx_core(files: &[&str]) -> Result<String, Wrong> {
    use vhdx::{Backing, VhdxReader};
    let mut disk: Option<VhdxReader> = None;
    for file in files.iter().rev() {
        let backing = Backing::File(std::fs::File::open(file)?);
        disk = Some(match disk.take() {
            Some(parent) => VhdxReader::from_backing_with_parent(backing, parent)?,
            None => VhdxReader::from_backing(backing, None)?,
        });
    }
    let mut disk = disk.ok_or("no file")?;
    digest(disk.virtual_disk_size(), |_, bytes| Ok(disk.read_exact(bytes)?))
}

fn by_imago(file: &str) -> Result<String, Wrong> {
    use imago::qcow2::Qcow2;
    use imago::{FormatAccess, FormatDriverBuilder as _, PermissiveImplicitOpenGate};
    let disk = Qcow2::<imago::file::File>::builder_path(file).open(PermissiveImplicitOpenGate::default())?;
    let disk = FormatAccess::new(disk);
    digest(disk.size(), |at, bytes| Ok(disk.read(bytes, at)?))
}

/// Gives the parents that were named, whatever path the child has of them.
struct Parents(Vec<String>);

impl RelatedSourceResolver for Parents {
    fn resolve(&self, request: &RelatedSourceRequest) -> wxtla::Result<Option<ByteSourceHandle>> {
        let name = request.path.file_name().unwrap_or_default().to_owned();
        let found = self.0.iter().find(|path| Path::new(path).file_name().is_some_and(|found| *found == *name));
        found.map(|path| Ok(Arc::new(FileDataSource::open(path)?) as ByteSourceHandle)).transpose()
    }
}

fn wxtla_disk(format: &str, file: &str, parents: &[&str]) -> Result<ByteSourceHandle, Wrong> {
    use wxtla::images::{qcow, vhd, vhdx};
    let source: ByteSourceHandle = Arc::new(FileDataSource::open(file)?);
    let parents = Parents(parents.iter().map(|parent| (*parent).to_owned()).collect());
    let name = Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let identity = SourceIdentity::from_relative_path(name)?;
    let hints = SourceHints::new().with_resolver(&parents).with_source_identity(&identity);
    Ok(match format {
        "vhdx" => Arc::new(vhdx::VhdxDriver::open_with_hints(source, hints)?),
        "vhd" => Arc::new(vhd::VhdDriver::open(source)?),
        "qcow2" => Arc::new(qcow::QcowImage::open_with_hints(source, hints)?),
        "raw" => source,
        _ => return Err(format!("unknown format {format}").into()),
    })
}

fn hash(disk: &dyn wxtla::ByteSource) -> Result<String, Wrong> {
    digest(disk.size()?, |at, bytes| Ok(disk.read_exact_at(at, bytes)?))
}

fn partitions(file: &str) -> Result<String, Wrong> {
    let source: ByteSourceHandle = Arc::new(FileDataSource::open(file)?);
    let table = wxtla::volumes::gpt::GptDriver::open(source)?;
    let mut text = String::new();
    for (index, volume) in table.volumes().iter().enumerate() {
        let disk = table.open_volume(index)?;
        writeln!(text, "{} {} {}", volume.span.byte_offset, volume.span.byte_size, hash(&*disk)?)?;
    }
    Ok(text)
}
