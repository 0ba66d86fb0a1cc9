//! What is told of how a disk is booted.

use cvbake::disk::gpt::kind;
use cvbake::measure::{PHASES, Prediction};
use cvbake::text::uuid;
use cvbake::{BootBy, BootReport, PartitionReport};
use serde::Serialize;

use crate::ui::rounded_up;

/// How a disk is booted.
#[derive(Debug, Serialize)]
pub(super) struct Boot {
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    loader: Option<String>,
    kernel: Option<String>,
    modules: Vec<String>,
    command_line: String,
    partitions: Vec<Partition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Measured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
}

/// What booting leaves in registers of a TPM.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Measured {
    stub: u32,
    pcr4: Option<String>,
    pcr11: String,
    pcr11_phases: Vec<Phase>,
}

#[derive(Debug, Serialize)]
struct Phase {
    phase: &'static str,
    pcr11: String,
}

#[derive(Debug, Serialize)]
struct Partition {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    uuid: String,
    offset: u64,
    bytes: u64,
}

impl Boot {
    pub(super) fn new(report: &BootReport) -> Boot {
        let partition = |partition: &PartitionReport| Partition {
            name: partition.name.clone(),
            kind: kind::name(&partition.kind).map_or_else(|| uuid(partition.kind), str::to_owned),
            uuid: uuid(partition.guid),
            offset: partition.offset,
            bytes: partition.bytes,
        };
        Boot {
            by: match report.by {
                BootBy::Direct => "direct",
                _ => "uefi",
            },
            loader: report.loader.clone(),
            kernel: report.kernel.clone(),
            modules: report.modules.clone(),
            command_line: report.command_line.clone(),
            partitions: report.partitions.iter().map(partition).collect(),
            measured: report.measured.as_ref().map(Measured::new),
            directory: report.directory.as_ref().map(|path| path.display().to_string()),
        }
    }

    /// The partitions, if there are some.
    pub(super) fn partitions_text(&self) -> String {
        let text = |partition: &Partition| format!("{} {}", partition.name, rounded_up(partition.bytes));
        self.partitions.iter().map(text).collect::<Vec<_>>().join(", ")
    }

    /// Adds lines for people.
    pub(super) fn text(&self, put: &mut dyn FnMut(&str, &str)) {
        let version = self.kernel.as_ref().map(|version| format!(", kernel {version}")).unwrap_or_default();
        let modules = match self.modules.len() {
            0 => "no modules".to_owned(),
            1 => "1 module".to_owned(),
            count => format!("{count} modules"),
        };
        put("boot", &format!("{}{version}, {modules}", self.by));
        if let Some(loader) = &self.loader {
            put("loader", loader);
        }
        if let Some(directory) = &self.directory {
            put("beside", &format!("{directory}: kernel, initrd, cmdline"));
        }
        put("cmdline", &self.command_line);
        self.measured.iter().for_each(|measured| measured.text(put));
    }
}

impl Measured {
    pub(in crate::cli) fn new(prediction: &Prediction) -> Measured {
        let phases = PHASES.iter().zip(&prediction.pcr11_phases);
        Measured {
            stub: prediction.stub,
            pcr4: prediction.pcr4.as_ref().map(ToString::to_string),
            pcr11: prediction.pcr11.to_string(),
            pcr11_phases: phases.map(|(phase, pcr)| Phase { phase, pcr11: pcr.to_string() }).collect(),
        }
    }

    /// Adds lines for people.
    pub(in crate::cli) fn text(&self, put: &mut dyn FnMut(&str, &str)) {
        self.pcr4.iter().for_each(|pcr| put("pcr 4", pcr));
        put("pcr 11", &self.pcr11);
    }
}
