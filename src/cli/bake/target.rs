//! Where a disk is to be used: what that place demands is set, and what it would refuse is refused.

mod rules;

use clap::ValueEnum;
use cvbake::ext4::Size;
use cvbake::{Demands, Filesystem};
use serde::Serialize;

use self::rules::{Demand, RULES, Rule};
use super::format::{Name, SubformatName};
use crate::failure::Failure;

/// A place that disks are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Target {
    /// Windows Subsystem for Linux, `wsl --import-in-place`
    Wsl,
    /// Microsoft Azure, an uploaded disk
    Azure,
    /// Hyper-V, a machine of generation 2
    #[value(name = "hyperv")]
    HyperV,
    /// KubeVirt, a containerDisk
    #[value(name = "kubevirt")]
    KubeVirt,
    /// Firecracker, the root disk of a machine
    Firecracker,
    /// Cloud Hypervisor, the disk of a machine
    CloudHypervisor,
    /// QEMU, the disk of a machine
    Qemu,
}

/// What a target has decided, for the result.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Told {
    name: String,
    rules: Vec<ToldRule>,
}

#[derive(Debug, Serialize)]
struct ToldRule {
    rule: &'static str,
    value: String,
}

impl Target {
    /// What it is called on the command line.
    pub(super) fn word(self) -> String {
        self.to_possible_value().expect("no target is hidden").get_name().to_owned()
    }

    /// What people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Target::Wsl => "WSL",
            Target::Azure => "Azure",
            Target::HyperV => "Hyper-V",
            Target::KubeVirt => "KubeVirt",
            Target::Firecracker => "Firecracker",
            Target::CloudHypervisor => "Cloud Hypervisor",
            Target::Qemu => "QEMU",
        }
    }

    fn rules(self) -> impl Iterator<Item = &'static Rule> {
        RULES.iter().filter(move |rule| rule.target == self)
    }

    /// The format that it gets unless another one is asked for.
    pub(super) fn format(self) -> Name {
        let first = self.rules().find_map(|rule| match rule.demand {
            Demand::Format(names) => names.first().copied(),
            _ => None,
        });
        first.expect("every target has formats")
    }

    /// The only subformat that it takes.
    pub(super) fn subformat(self) -> Option<SubformatName> {
        self.rules().find_map(|rule| match rule.demand {
            Demand::Subformat(subformat) => Some(subformat),
            _ => None,
        })
    }

    /// Refuses what is asked for of a format, and not taken there.
    pub(super) fn check_format(
        self,
        format: Option<Name>,
        subformat: Option<SubformatName>,
        sector_bytes: Option<u32>,
    ) -> Result<(), Failure> {
        for rule in self.rules() {
            let found = match rule.demand {
                Demand::Format(names) => format.filter(|name| !names.contains(name)).map(|name| name.word().to_owned()),
                Demand::Subformat(only) => {
                    subformat.filter(|other| *other != only).map(|other| other.word().to_owned())
                }
                Demand::SectorBytes(only) => sector_bytes.filter(|other| *other != only).map(|other| other.to_string()),
                _ => None,
            };
            found.map_or(Ok(()), |found| self.refuse(rule, &found))?;
        }
        Ok(())
    }

    /// Refuses a size or a hash tree that is asked for, and not taken there.
    pub(super) fn check_disk(self, size: Size, has_verity: bool) -> Result<(), Failure> {
        for rule in self.rules() {
            let found = match (rule.demand, size) {
                (Demand::MultipleBytes(unit), Size::Exact(bytes)) if !bytes.is_multiple_of(unit) => {
                    Some(format!("{bytes} bytes"))
                }
                (Demand::MaxBytes(max), Size::Exact(bytes)) if bytes > max => Some(format!("{bytes} bytes")),
                (Demand::NoVerity, _) if has_verity => Some("dm-verity".to_owned()),
                _ => None,
            };
            found.map_or(Ok(()), |found| self.refuse(rule, &found))?;
        }
        Ok(())
    }

    /// Refuses another filesystem than the one that it takes.
    pub(super) fn check_filesystem(self, filesystem: &Filesystem) -> Result<(), Failure> {
        for rule in self.rules() {
            if let Demand::Filesystem(name) = rule.demand
                && name != filesystem.name()
            {
                return self.refuse(rule, filesystem.name());
            }
        }
        Ok(())
    }

    fn refuse(self, rule: &Rule, found: &str) -> Result<(), Failure> {
        Err(Failure::Usage {
            problem: format!(
                "{} for --target {}: expected {}, found {found}",
                rule.subject,
                self.word(),
                rule.demand.words()
            ),
            hint: Some(format!("{}; {}, or bake without --target", rule.reason, self.remedy(rule))),
        })
    }

    /// What to do about what it refuses.
    fn remedy(self, rule: &Rule) -> String {
        match rule.demand {
            Demand::Format(_) => {
                let format = self.format().word();
                let ending = if format == "raw" { "ext4" } else { format };
                format!("name the disk disk.{ending}, or leave out --format")
            }
            _ => "leave out the option".to_owned(),
        }
    }

    /// What it demands of the disk itself.
    pub(super) fn demands(self) -> Demands {
        let mut demands = Demands::none(self.title());
        for rule in self.rules() {
            match rule.demand {
                Demand::MultipleBytes(unit) => demands.multiple_bytes = unit,
                Demand::MaxBytes(max) => demands.max_bytes = max,
                Demand::OneOf(paths) => demands.one_of = paths,
                _ => {}
            }
        }
        demands
    }

    /// Why it wants a disk that firmware boots, if it does.
    pub(super) fn bootable(self) -> Option<&'static str> {
        self.rules().find(|rule| matches!(rule.demand, Demand::Bootable)).map(|rule| rule.reason)
    }

    /// What is told of it.
    /// `is_uefi` is whether firmware boots the disk, which not every demand keeps from being made.
    pub(in crate::cli) fn told(self, is_uefi: bool) -> Told {
        let value = |rule: &Rule| match rule.demand {
            Demand::Bootable if !is_uefi => "none".to_owned(),
            demand => demand.words(),
        };
        let rules = self.rules().map(|rule| ToldRule { rule: rule.subject, value: value(rule) });
        Told { name: self.word(), rules: rules.collect() }
    }
}

impl Told {
    /// On a line.
    pub(in crate::cli) fn text(&self) -> String {
        let rules: Vec<String> = self.rules.iter().map(|rule| format!("{} {}", rule.rule, rule.value)).collect();
        format!("{}: {}", self.name, rules.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_format() {
        for &target in Target::value_variants() {
            target.check_format(Some(target.format()), target.subformat(), None).unwrap();
            assert!(!target.told(true).text().is_empty());
            assert!(!target.told(false).text().contains("--boot uefi"));
        }
    }

    #[test]
    fn what_is_set_and_what_is_refused() {
        let says = |failure: Result<(), Failure>| failure.unwrap_err().line();
        let azure = Target::Azure;
        assert_eq!((azure.format(), azure.subformat()), (Name::Vhd, Some(SubformatName::Fixed)));
        assert_eq!(
            says(azure.check_format(Some(Name::Vhdx), None, None)),
            "format for --target azure: expected vhd, found vhdx"
        );
        assert_eq!(
            says(azure.check_format(None, Some(SubformatName::Dynamic), None)),
            "subformat for --target azure: expected fixed, found dynamic"
        );
        assert_eq!(
            says(azure.check_disk(Size::Exact(1_000_000), false)),
            "length for --target azure: expected a multiple of 1 MiB, found 1000000 bytes"
        );
        assert_eq!(
            says(azure.check_disk(Size::Exact(1 << 40), false)),
            "largest length for --target azure: expected at most 1023 GiB, found 1099511627776 bytes"
        );
        assert!(azure.check_disk(Size::Exact(1 << 30), true).is_ok());
        assert_eq!(
            says(Target::Wsl.check_disk(Size::Auto, true)),
            "dm-verity for --target wsl: expected none, found dm-verity"
        );
        let erofs = Filesystem::Erofs(cvbake::Erofs::default());
        assert_eq!(
            says(Target::Wsl.check_filesystem(&erofs)),
            "filesystem for --target wsl: expected ext4, found erofs"
        );
        assert!(azure.check_filesystem(&erofs).is_ok());
        assert_eq!(
            says(Target::CloudHypervisor.check_format(Some(Name::Vhdx), None, Some(4096))),
            "sector size for --target cloud-hypervisor: expected 512 bytes, found 4096"
        );
        assert_eq!(Target::Firecracker.demands().multiple_bytes, 512);
        assert_eq!(Target::Qemu.bootable(), None);
        assert!(Target::HyperV.bootable().is_some());
    }
}
