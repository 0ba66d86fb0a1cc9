//! The result: a JSON object, or a few lines for people.

mod boot;

use std::fmt::Write as _;
use std::time::Duration;

use cvbake::disk::Subformat;
use cvbake::disk::qcow2::Compression;
use cvbake::event::Found;
use cvbake::text::{hex, line};
use cvbake::{Baked, BootBy, Format, HashTree, Job, LayerReport, Plan, Verity};
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use super::bake::target::{Target, Told};
use super::store::Pruned;
use super::values::uuid_text;
use crate::ui::rounded_up;

/// What is told of a bake, in the form of the JSON object.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    image: String,
    config: Option<String>,
    reference: String,
    platform: Option<String>,
    disk: Disk,
    files: usize,
    layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verity: Option<Tree>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reused: Option<String>,
    /// Whether that is the disk itself, which stays as it was.
    unchanged: bool,
    /// What went from the store so that it is small enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pruned: Option<Pruned>,
    times_ms: serde_json::Map<String, serde_json::Value>,
    engine: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<boot::Boot>,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Disk {
    path: Option<String>,
    filesystem: &'static str,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subformat: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<&'static str>,
    bytes: u64,
    used_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_bytes: Option<u64>,
    uuid: String,
    inodes: u64,
    free_inodes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// The hash tree of a disk.
#[derive(Debug, Serialize)]
struct Tree {
    place: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    data_bytes: u64,
    hash_offset: u64,
    hash_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_hash: Option<String>,
}

#[derive(Debug, Serialize)]
struct Layer {
    digest: Option<String>,
    diff_id: String,
    bytes: Option<u64>,
    entries: usize,
    cached: &'static str,
}

/// What a disk is.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskKind {
    filesystem: &'static str,
    format: Format,
    target: Option<Target>,
    engine: &'static str,
}

impl DiskKind {
    pub(super) fn of(job: &Job, target: Option<Target>, engine: &'static str) -> DiskKind {
        DiskKind { filesystem: job.filesystem.name(), format: job.format, target, engine }
    }
}

impl Report {
    /// What would be baked.
    pub(super) fn planned(plan: &Plan, path: Option<String>, kind: DiskKind) -> Report {
        let DiskKind { filesystem, format, target, engine } = kind;
        let (file_format, subformat) = words(format);
        Report {
            image: plan.image.to_string(),
            config: plan.config.map(|config| config.to_string()),
            reference: plan.reference.clone(),
            platform: plan.platform.clone(),
            disk: Disk {
                path,
                filesystem,
                format: file_format,
                subformat,
                compression: format.compression().map(compression_word),
                bytes: plan.disk_bytes,
                used_bytes: plan.used_bytes,
                allocated_bytes: None,
                uuid: uuid_text(plan.uuid),
                inodes: plan.inodes,
                free_inodes: plan.free_inodes,
                sha256: None,
            },
            files: plan.files,
            layers: plan.layers.iter().map(Layer::new).collect(),
            target: target.map(|target| target.told(plan.boot.as_ref().is_some_and(|boot| boot.by == BootBy::Uefi))),
            verity: plan.hash_tree.as_ref().map(Tree::new),
            reused: None,
            unchanged: false,
            pruned: None,
            times_ms: serde_json::Map::new(),
            engine,
            boot: plan.boot.as_ref().map(boot::Boot::new),
            dry_run: true,
        }
    }

    /// What was baked.
    pub(super) fn baked(baked: &Baked, kind: DiskKind) -> Report {
        let mut report = Report::planned(&baked.plan, Some(baked.path.display().to_string()), kind);
        report.disk.allocated_bytes = Some(baked.allocated_bytes);
        report.disk.sha256 = baked.digest.map(|digest| digest.hex());
        report.reused = baked.reused.as_ref().map(|path| path.display().to_string());
        report.unchanged = baked.unchanged;
        if let Some(tree) = &mut report.verity {
            tree.path = baked.hashes.as_ref().map(|path| path.display().to_string());
            tree.root_hash = baked.root_hash.as_ref().map(|hash| hex(hash));
        }
        report.times_ms =
            baked.times.iter().map(|(stage, time)| (stage.name().to_owned(), milliseconds(*time))).collect();
        report.dry_run = false;
        report
    }

    /// The JSON object on a line.
    pub(super) fn json(&self) -> String {
        let object = serde_json::to_string(self).expect("numbers, texts and lists of them");
        format!("{object}\n")
    }

    /// A few lines for people.
    pub(super) fn text(&self) -> String {
        let Disk { path, bytes, used_bytes, .. } = &self.disk;
        let (bytes, used) = (rounded_up(*bytes), BinaryBytes(*used_bytes));
        let (reference, path) = (line(&self.reference), path.as_deref().map(line));
        let mut text = match (self.dry_run, path) {
            (true, Some(path)) => format!("Would bake {reference} → {path}\n"),
            (true, None) => format!("Would bake {reference}\n"),
            (false, path) => {
                let unchanged = if self.unchanged { " (unchanged)" } else { "" };
                format!("Baked {reference} → {}{unchanged}\n", path.unwrap_or_default())
            }
        };
        let mut put =
            |name: &str, value: &str| writeln!(text, "  {name:<8}{}", line(value)).expect("a string takes everything");
        let platform = self.platform.as_ref().map(|platform| format!(" ({platform})")).unwrap_or_default();
        put(self.image_kind(), &format!("{}{platform}", self.image));
        put("layers", &self.layers_text());
        put("files", &HumanCount(self.files as u64).to_string());
        let filesystem = self.disk.filesystem;
        let (all, free) = (HumanCount(self.disk.inodes), HumanCount(self.disk.free_inodes));
        let file = match (self.disk.format, self.disk.subformat) {
            ("raw", _) => String::new(),
            (file_format, Some(subformat)) => format!(" in a {subformat} {file_format}"),
            (file_format, None) => format!(" in a {file_format}"),
        };
        let packed = self.disk.compression.map(|method| format!(" compressed with {method}")).unwrap_or_default();
        let free = if filesystem == "ext4" { format!(", {free} free") } else { String::new() };
        let partitions = self.boot.as_ref().map(boot::Boot::partitions_text).unwrap_or_default();
        let (what, on_root) = match partitions.is_empty() {
            true => (format!("{bytes} {filesystem}{file}{packed}"), String::new()),
            false => (format!("{bytes} with partitions{file}{packed}: {partitions}"), format!("{filesystem}: ")),
        };
        put("disk", &format!("{what}, {on_root}{used} used; {all} inodes{free}"));
        if let Some(reused) = self.reused.as_ref().filter(|_| !self.unchanged) {
            put("copied", &format!("from {reused}"));
        }
        put("uuid", &self.disk.uuid);
        self.boot.iter().for_each(|boot| boot.text(&mut put));
        if let Some(sha256) = &self.disk.sha256 {
            put("sha256", sha256);
        }
        if let Some(Tree { path, hash_offset, hash_bytes, root_hash, .. }) = &self.verity {
            root_hash.iter().for_each(|root_hash| put("verity", root_hash));
            let place = match (self.verity.as_ref().map(|tree| tree.place), path) {
                (Some("append"), _) => format!("at offset {hash_offset}"),
                (Some("partition"), _) => format!("in a partition at offset {hash_offset}"),
                (_, Some(path)) => format!("in {path}"),
                (_, None) => "beside the disk".to_owned(),
            };
            put("hashes", &format!("{} {place}", BinaryBytes(*hash_bytes)));
        }
        if let Some(target) = &self.target {
            put("target", &target.text());
        }
        if let Some(removed) = self.pruned.as_ref().and_then(Pruned::words) {
            put("removed", &removed);
        }
        if !self.dry_run {
            let total: f64 = self.times_ms.values().filter_map(serde_json::Value::as_f64).sum();
            put("time", &format!("{:.2} s", total / 1000.0));
        }
        text
    }

    /// What the image's digest is one of: people are told of one image by one digest only, and the
    /// manifest that an archive lacks gives it another once it has one.
    fn image_kind(&self) -> &'static str {
        match &self.config {
            Some(config) if *config == self.image => "config",
            Some(_) => "image",
            None => "layer",
        }
    }

    fn layers_text(&self) -> String {
        let kept = |name: &str| self.layers.iter().filter(|layer| layer.cached == name).count();
        let cached = kept(Found::Content.name()) + kept(Found::Index.name());
        // A disk that is copied as a whole is told of by itself.
        let from_disk = if self.reused.is_none() { kept(Found::Disk.name()) } else { 0 };
        let counts = [(cached, "cached"), (from_disk, "from an earlier disk")].into_iter();
        let told: Vec<String> =
            counts.filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
        let count = HumanCount(self.layers.len() as u64);
        if told.is_empty() { count.to_string() } else { format!("{count} ({})", told.join(", ")) }
    }
}

impl Tree {
    fn new(tree: &HashTree) -> Tree {
        Tree {
            place: match tree.place {
                Verity::Beside => "beside",
                Verity::Partition => "partition",
                _ => "append",
            },
            path: None,
            data_bytes: tree.data_bytes,
            hash_offset: tree.offset,
            hash_bytes: tree.bytes,
            root_hash: None,
        }
    }
}

impl Layer {
    fn new(layer: &LayerReport) -> Layer {
        Layer {
            digest: layer.digest.map(|digest| digest.to_string()),
            diff_id: layer.diff_id.to_string(),
            bytes: layer.bytes,
            entries: layer.entries,
            cached: layer.found.name(),
        }
    }
}

/// The words for a format and its subformat.
fn words(format: Format) -> (&'static str, Option<&'static str>) {
    let subformat = format.subformat().map(|subformat| match subformat {
        Subformat::Dynamic => "dynamic",
        Subformat::Fixed => "fixed",
    });
    (format.name(), subformat)
}

/// The word for how a disk is compressed.
pub(super) fn compression_word(compression: Compression) -> &'static str {
    match compression {
        Compression::Zlib => "zlib",
        Compression::Zstd => "zstd",
    }
}

/// Milliseconds to three places.
fn milliseconds(time: Duration) -> serde_json::Value {
    let microseconds = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    (f64::from(microseconds) / 1000.0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(dry_run: bool) -> Report {
        let layer = Layer { digest: None, diff_id: "sha256:d".to_owned(), bytes: Some(7), entries: 3, cached: "index" };
        let disk = Disk {
            path: Some("disk.ext4".to_owned()),
            filesystem: "ext4",
            format: "raw",
            subformat: None,
            compression: None,
            bytes: 1 << 20,
            used_bytes: 1 << 19,
            allocated_bytes: (!dry_run).then_some(1 << 18),
            uuid: uuid_text([0x11; 16]),
            inodes: 1024,
            free_inodes: 1000,
            sha256: (!dry_run).then(|| "ab".to_owned()),
        };
        Report {
            image: "sha256:i".to_owned(),
            config: Some("sha256:c".to_owned()),
            reference: "oci:d:t".to_owned(),
            platform: Some("linux/amd64".to_owned()),
            disk,
            files: 24,
            layers: vec![layer],
            target: None,
            verity: None,
            reused: None,
            unchanged: false,
            pruned: None,
            times_ms: [("unpack".to_owned(), milliseconds(Duration::from_micros(1500)))].into_iter().collect(),
            engine: "native",
            boot: None,
            dry_run,
        }
    }

    #[test]
    fn the_object() {
        let expected = concat!(
            r#"{"image":"sha256:i","config":"sha256:c","reference":"oci:d:t","platform":"linux/amd64","disk":{"path":"disk.ext4","#,
            r#""filesystem":"ext4","format":"raw","bytes":1048576,"used_bytes":524288,"allocated_bytes":262144,"#,
            r#""uuid":"11111111-1111-1111-1111-111111111111","inodes":1024,"free_inodes":1000,"sha256":"ab"},"#,
            r#""files":24,"layers":[{"digest":null,"diff_id":"sha256:d","bytes":7,"entries":3,"cached":"index"}],"#,
            r#""unchanged":false,"times_ms":{"unpack":1.5},"engine":"native","dry_run":false}"#,
            "\n"
        );
        assert_eq!(report(false).json(), expected);
        let planned = report(true).json();
        assert!(!planned.contains("allocated_bytes") && !planned.contains("sha256\":"), "{planned}");
    }

    /// A disk is not copied from itself.
    #[test]
    fn a_disk_that_stays() {
        let mut report = report(false);
        report.reused = Some("disk.ext4".to_owned());
        assert!(report.text().contains("\n  copied  from disk.ext4\n"), "{}", report.text());
        report.unchanged = true;
        let text = report.text();
        assert!(text.starts_with("Baked oci:d:t → disk.ext4 (unchanged)\n") && !text.contains("copied"), "{text}");
    }

    #[test]
    fn the_text() {
        let expected = "\
Baked oci:d:t → disk.ext4
  image   sha256:i (linux/amd64)
  layers  1 (1 cached)
  files   24
  disk    1.00 MiB ext4, 512.00 KiB used; 1,024 inodes, 1,000 free
  uuid    11111111-1111-1111-1111-111111111111
  sha256  ab
  time    0.00 s
";
        assert_eq!(report(false).text(), expected);
        let mut stored = report(false);
        (stored.disk.format, stored.disk.subformat) = words(Format::Vhd(Subformat::Fixed));
        assert!(stored.text().contains("disk    1.00 MiB ext4 in a fixed vhd, 512.00 KiB used;"), "{}", stored.text());
        let mut read_only = report(false);
        (read_only.disk.filesystem, read_only.disk.free_inodes) = ("erofs", 0);
        let expected = "disk    1.00 MiB erofs, 512.00 KiB used; 1,024 inodes\n";
        assert!(read_only.text().contains(expected), "{}", read_only.text());
        assert!(report(true).text().starts_with("Would bake oci:d:t → disk.ext4\n"));
        for (config, row) in [(Some("sha256:i"), "\n  config  sha256:i ("), (None, "\n  layer   sha256:i (")] {
            let text = Report { config: config.map(str::to_owned), ..report(false) }.text();
            assert!(text.contains(row), "{text}");
        }
    }
}
