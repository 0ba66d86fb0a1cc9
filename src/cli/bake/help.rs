//! The parts of the help that are made from what is defined elsewhere, or are lists.

use cvbake::ext4::{Inodes, Size};

use crate::failure::{KINDS, exit_status};

/// How wide the lists are: on a narrow terminal, in the help of an option, which is indented, and
/// in all other help.
const OPTION: usize = 64;
const PAGE: usize = 78;

pub(in crate::cli) fn source() -> String {
    let kinds = [
        ("NAME, docker://NAME", "an image in a registry, such as alpine:3.20 or localhost:5000/a/b"),
        ("oci:DIR[:TAG|@DIGEST]", "an OCI image layout"),
        ("oci-archive:FILE[:TAG]", "an OCI image layout in a tar archive"),
        ("docker-archive:FILE[:NAME]", "an archive that docker save or podman save wrote"),
        ("tar:FILE", "the files of a root filesystem; tar:- reads standard input"),
    ];
    format!(
        "Image to bake:\n{}\nArchives may be compressed with gzip or zstd. TAG or NAME is needed only if there are \
         several images. NAME may also be the end of a name in the store, or a digest there. A name without registry, tag or docker:// that is also a file or directory is refused.",
        list(&kinds, OPTION)
    )
}

pub(super) fn size() -> String {
    let sizes = [
        ("auto", Size::AUTO_POLICY),
        ("min", "the smallest size that holds all files"),
        ("+512M", "this much more than min"),
        ("20G", "exactly this size"),
    ];
    format!(
        "Set the size of the disk:\n{}\nUnits are K M G T or KiB MiB GiB TiB, powers of 1024, and KB MB GB TB, powers of \
         1000; a number without a unit is in bytes. resize2fs can enlarge the filesystem later.",
        list(&sizes, OPTION)
    )
}

pub(super) fn filesystem() -> String {
    let filesystems = [
        ("ext4", "with room to work in; every Linux reads and writes it"),
        (
            "erofs",
            "read-only, without room or compression; for Linux 5.15 and later. It keeps only the modification time of a file",
        ),
    ];
    let list = list(&filesystems, OPTION);
    format!(
        "Choose the filesystem; without it, the ending of DISK decides, and ext4 where that says nothing:\n{}",
        list.trim_end()
    )
}

pub(super) fn boot() -> String {
    let ways = [
        ("none", "not at all: the disk is a filesystem, for a machine that has a kernel"),
        (
            "uefi",
            "by the firmware of a machine: the disk has a GPT with a boot partition and the root filesystem, found by their types",
        ),
        (
            "direct",
            "by a hypervisor that is given the kernel: the disk is a filesystem, and kernel, initrd and cmdline are beside it, in DISK with the ending .boot",
        ),
    ];
    format!(
        "Make the disk bootable:\n{}\nThe initramfs is cvbake's own: a small program that finds the root filesystem by its identity, mounts it and starts /sbin/init or what init= says.",
        list(&ways, OPTION)
    )
}

pub(super) fn format() -> String {
    let formats = [
        ("raw", "the filesystem and nothing else; every hypervisor reads it"),
        ("qcow2", "for QEMU, version 3: only the clusters of 64 KiB that are written"),
        ("vhd", "for Azure (with --subformat fixed) and Virtual PC"),
        ("vhdx", "for Hyper-V, WSL and Cloud Hypervisor"),
    ];
    let list = list(&formats, OPTION);
    format!(
        "Set the format of the disk; without it, the ending of DISK decides, and raw where that says nothing:\n{}",
        list.trim_end()
    )
}

pub(super) fn inodes() -> String {
    let counts = [
        ("auto", Inodes::AUTO_POLICY),
        ("100000", "at least this many"),
        ("1/16K", "one for every 16 KiB of the disk"),
    ];
    let list = list(&counts, OPTION);
    format!("Set the number of inodes; every file and directory needs one:\n{}", list.trim_end())
}

/// A list of terms and what they mean, and an empty line. What is long is broken for narrow
/// terminals, because a paragraph that the terminal breaks is not indented.
fn list(terms: &[(&str, &str)], width: usize) -> String {
    let indent = terms.iter().map(|(term, _)| term.len()).max().unwrap_or(0) + 4;
    let mut text = String::new();
    for (term, meaning) in terms {
        let mut line = format!("  {term:0$}", indent - 2);
        for (at, word) in meaning.split(' ').enumerate() {
            if at > 0 && line.len() + 1 + word.len() > width {
                text.push_str(&line);
                text.push('\n');
                line = " ".repeat(indent);
            } else if at > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

pub(super) fn after() -> String {
    format!(
        "Examples:
  cvbake pull-and-build alpine:3.20 -o alpine.ext4
  cvbake bake oci:alpine:latest -o alpine.ext4
  docker save alpine > alpine.tar
  cvbake bake docker-archive:alpine.tar -o alpine.ext4 --size 20G
  zcat rootfs.tar.gz | cvbake bake tar:- -o disk.ext4 --label root
  cvbake bake oci:alpine -o alpine.erofs
  cvbake bake oci:alpine -o rootfs.tar
  cvbake bake oci:alpine -o dir:rootfs

{}",
        common()
    )
}

/// What all commands have in common: the environment and the exit status.
fn common() -> String {
    common_of(&|_| true)
}

/// What a command has in common with others that has these options.
pub(in crate::cli) fn common_of(has: &dyn Fn(&str) -> bool) -> String {
    // The variables, with the options of which a command has one that reads them; `help` is one of
    // all.
    let environment: [(&[&str], &str, &str); 8] = [
        (
            &["size", "compress"],
            "SOURCE_DATE_EPOCH",
            "the time of files to which the image gives none, in seconds since 1970 (default: 0)",
        ),
        (&["store"], "XDG_DATA_HOME", "the directory that holds the default store, cvbake (default: ~/.local/share)"),
        (
            &["authfile"],
            "REGISTRY_AUTH_FILE",
            "the file with credentials for registries (default: containers/auth.json in XDG_RUNTIME_DIR or ~/.config, and \
             config.json in DOCKER_CONFIG or ~/.docker)",
        ),
        (
            &["registries-conf"],
            "CONTAINERS_REGISTRIES_CONF",
            "the configuration of registries (default: containers/registries.conf in ~/.config or /etc); the files in \
             CONTAINERS_REGISTRIES_CONF_DIR, or in registries.conf.d beside these, are always read as well",
        ),
        (&["creds"], "NETRC", "the file with credentials that is searched last (default: ~/.netrc)"),
        (&["cert-dir"], "SSL_CERT_FILE, SSL_CERT_DIR", "the certificate authorities to trust instead of the system's"),
        (
            &["cert-dir"],
            "HTTPS_PROXY, HTTP_PROXY",
            "the proxy for registries, as http://host:port (default: ALL_PROXY); NO_PROXY lists hosts to reach without it, \
             and this machine is never reached through it; all of these may be in lower case",
        ),
        (&["help"], "NO_COLOR", "if set, print without colours"),
    ];
    let read = environment.iter().filter(|(options, ..)| options.iter().any(|option| has(option)));
    let environment: Vec<(&str, &str)> = read.map(|(_, name, meaning)| (*name, *meaning)).collect();
    let codes = KINDS.map(|(kind, words)| (exit_status(kind).to_string(), words));
    let mut statuses = vec![("0", "success")];
    statuses.extend(codes.iter().map(|(code, words)| (code.as_str(), *words)));
    statuses.push((
        "129, 130, 143",
        "ended by SIGHUP, SIGINT or SIGTERM: no half-made disk is left, and what was downloaded is kept for the next run",
    ));
    format!(
        "Environment:
{}
Exit status:
{}",
        list(&environment, PAGE),
        list(&statuses, PAGE).trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_broken_and_indented() {
        let terms = [("a", "short"), ("bcd", "a long meaning with a word that must go to the second line, and more")];
        let expected =
            "  a    short\n  bcd  a long meaning with a word that must go to the second\n       line, and more\n";
        assert_eq!(list(&terms, 64), expected);
    }

    #[test]
    fn every_kind_is_in_the_help() {
        let help = after();
        for (kind, words) in KINDS {
            let start: String = words.chars().take(20).collect();
            assert!(help.contains(&format!("\n  {:<15}{start}", exit_status(kind))), "{kind:?} in {help}");
        }
    }
}
