//! Options of other programs that people know, and how the same is said here.

use std::ffi::OsString;

use clap::Command;

use crate::cli::advice::Options;

/// Options of docker, podman, skopeo, crane, buildah, umoci, oras, mke2fs and virt-make-fs; the subcommands that the answer is for, or all;
/// and the answer. It is given where the subcommand has the options that the answer's first part, before a semicolon, speaks of; of the
/// other parts, those about options that it lacks are left out. The first row that fits counts.
type Row = (&'static str, &'static [&'static str], &'static str);

const BAKES: &[&str] = &["bake", "pull-and-build"];
/// The subcommands that may ask a registry for more than a list.
const TRANSFERS: &[&str] = &["bake", "pull-and-build", "pull", "push", "image export"];
/// The subcommands that take any source.
const READERS: &[&str] = &["bake", "push", "image import", "image export", "image inspect", "image history"];
/// The subcommands that ask a registry for what needs a login.
const GUESTS: &[&str] =
    &["bake", "pull-and-build", "pull", "push", "tags", "image export", "image inspect", "image history"];

const ROWS: &[Row] = &[
    // Registries.
    (
        "--tls-verify --src-tls-verify --dest-tls-verify --insecure-skip-tls-verify --skip-tls-verify --plain-http \
         --from-plain-http --to-plain-http --insecure-registry --allow-insecure --http --no-check-certificate",
        &[],
        "--insecure allows plain HTTP, and certificates that cannot be verified",
    ),
    (
        "--username --password --password-stdin --user --src-creds --dest-creds --credentials --src-username \
         --src-password --dest-username --dest-password --registry-token --src-registry-token \
         --dest-registry-token --token --auth --login -u -p",
        GUESTS,
        "`cvbake login REGISTRY` logs in for all commands; --creds USER:PASSWORD is for one",
    ),
    (
        "--creds --token --auth --identity-token",
        &["login"],
        "--username NAME says who logs in; --password-stdin reads the password or the token",
    ),
    (
        "--src-authfile --dest-authfile --registry-config --docker-config --auth-file --compat-auth-file",
        &[],
        "--authfile FILE names the file with credentials",
    ),
    (
        "--src-cert-dir --dest-cert-dir --tlscacert --tlscert --tlskey --cacert --ca-file --ca-cert --certs-dir",
        &[],
        "--cert-dir DIR names the directory with certificates",
    ),
    (
        "--retry-times --retry-delay --retry --retries --max-retries",
        GUESTS,
        "leave it out: failed requests are repeated as long as that makes sense",
    ),
    ("--command-timeout --timeout", &[], "`timeout 10m cvbake …` ends cvbake after that time"),
    (
        "--proxy --http-proxy --https-proxy",
        &["bake", "pull-and-build", "pull", "push", "tags", "login", "image export", "image inspect", "image history"],
        "the variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY set proxies",
    ),
    (
        "--mirror --registry-mirror --registries-config --registries-conf-dir",
        &[],
        "--registries-conf FILE names the file that lists mirrors",
    ),
    (
        "--registry --server --host",
        &["bake", "pull-and-build", "pull", "push", "tags", "image inspect", "image history"],
        "write the registry in front of the name, such as ghcr.io/team/app",
    ),
    (
        "--signature-policy --policy --insecure-policy --sign-by --disable-content-trust --remove-signatures \
         --verify",
        TRANSFERS,
        "leave it out: cvbake verifies digests, and neither verifies nor makes signatures",
    ),
    (
        "--pull-policy --always-pull --no-pull --pull-always --pull-never --offline --refresh --no-network",
        &[],
        "--pull always asks the registry, --pull never uses only the store",
    ),
    (
        "--max-concurrent-downloads --max-concurrent-uploads --max-parallel-downloads --parallel-downloads \
         --image-parallel-copies",
        &[],
        "--connections N sets how many blobs are fetched or sent at once",
    ),
    // Which image.
    (
        "--arch --os --variant --override-arch --override-os --override-variant --architecture --image-arch \
         --image-os",
        &[],
        "--platform os/arch[/variant], such as --platform linux/arm64, chooses the platform",
    ),
    (
        "--multi-arch --all-platforms --all-archs --all-arches",
        &["pull", "push", "image export"],
        "--all takes the images for all platforms",
    ),
    (
        "--multi-arch --all-platforms --all-archs --all-arches --all -a",
        BAKES,
        "--platform chooses the image: a disk has the files of one",
    ),
    ("--all-tags --list-tags --tags", GUESTS, "`cvbake tags REPOSITORY` lists the tags, so that each can be named"),
    ("--tag -t", &["pull-and-build", "pull", "push"], "write the tag behind the name, such as alpine:3.20"),
    (
        "--tag -t --name",
        &["image import"],
        "the name stands behind the source, such as `cvbake image import tar:root.tar team/app:v1`",
    ),
    (
        "--image --file --input -i --from --src --source --archive",
        READERS,
        "the source needs no option: name it as NAME, oci:DIR, oci-archive:FILE or docker-archive:FILE",
    ),
    // What is written.
    (
        "--out --outfile --output-file --dest --destination --disk --target",
        BAKES,
        "-o DISK writes the disk to that file",
    ),
    (
        "--to --dest --destination --target",
        &["push"],
        "the name to push to stands behind the source, without an option",
    ),
    (
        "--output -o --out --outfile --dest --destination --to --target",
        &["image export"],
        "the destination stands behind the name, such as `cvbake image export alpine oci-archive:alpine.tar`",
    ),
    (
        "--overwrite --replace --clobber --force-overwrite -F",
        &["bake", "pull-and-build", "image export"],
        "--force replaces what exists",
    ),
    (
        "--yes -y --assume-yes --noconfirm --no-confirm --non-interactive --batch --force -f",
        &["image tag", "image rm", "store gc", "store prune", "store check", "logout"],
        "leave it out: cvbake asks for no confirmation",
    ),
    (
        "--yes -y --assume-yes --noconfirm",
        BAKES,
        "leave it out: cvbake asks for no confirmation; --force replaces an existing disk",
    ),
    (
        "--compression-format --compression --compress-format --dest-compress --dest-compress-format --gzip --zstd \
         -z",
        &[],
        "--compress gzip and --compress zstd choose the compression",
    ),
    (
        "--digestfile --digest-file --iidfile --image-refs --digest",
        &["pull", "push", "image import"],
        "--json prints the result, with the digest",
    ),
    ("--checksum --sha256 --hash", BAKES, "--digest reports the SHA-256 of the disk"),
    ("--no-sync --no-fsync --nosync --fsync", BAKES, "--sync never returns before the data is on stable storage"),
    // The filesystem.
    (
        "--fs-size --disk-size --image-size --filesystem-size --rootfs-size -s",
        BAKES,
        "--size 20G sets the size of the disk",
    ),
    (
        "--volume-label --fs-label --volume-name --volname --name -L",
        BAKES,
        "--label TEXT sets the label of the filesystem",
    ),
    ("--fs-uuid --volume-id -U", BAKES, "--uuid UUID sets the UUID of the filesystem"),
    ("--number-of-inodes --inode-count -N", BAKES, "--inodes 100000 sets the number of inodes"),
    ("--bytes-per-inode --inode-ratio", BAKES, "--inodes 1/16K makes one inode for every 16 KiB"),
    ("--block-size --blocksize -b", BAKES, "leave it out: blocks are always of 4 KiB"),
    ("--type --fs-type --fstype --filesystem --fs -t", BAKES, "leave it out: the filesystem is always ext4"),
    ("--nojournal --without-journal --disable-journal", BAKES, "--no-journal makes no journal"),
    (
        "--partition --partition-table --mbr --gpt --bootloader --kernel --initrd --init --entrypoint --cmd",
        BAKES,
        "leave it out: the disk has the files of the image and nothing else",
    ),
    (
        "--rootless --uid-map --gid-map --uidmap --gidmap --keep-owner --numeric-owner --same-owner",
        BAKES,
        "leave it out: the disk has the owners that the image says, and cvbake needs no root for that",
    ),
    (
        "--disk-format --image-format --output-format --format",
        BAKES,
        "the disk is one raw ext4 filesystem: `qemu-img convert -f raw -O qcow2` makes other formats of it; --json prints the result as JSON",
    ),
    // How it works.
    (
        "--threads --parallel --parallelism --concurrency --workers --num-threads --max-threads --cpus -T",
        &[],
        "--jobs N sets the number of threads; --connections N sets how many blobs are fetched or sent at once",
    ),
    (
        "--threads --parallel --parallelism --concurrency --workers",
        &[],
        "--connections N sets how many blobs are fetched or sent at once",
    ),
    (
        "--cache-dir --cache --storage-dir --storage --data-dir --data-root --root --store-dir --shared-blob-dir \
         --src-shared-blob-dir",
        &[],
        "--store DIR names the directory with images and layers",
    ),
    ("--no-store --nocache --disable-cache --no-caching", &[], "--no-cache neither reads nor writes the store"),
    ("--dryrun --simulate --just-print --what-if --plan", &[], "--dry-run shows what would be done, and does nothing"),
    // What is said.
    ("--format --output -o --out --json", &["image inspect"], "leave it out: the result is always JSON"),
    ("--format --output -o --output-format --as-json", &[], "--json prints the result as JSON"),
    (
        "--debug --log-level --loglevel --trace -D -d -V",
        &[],
        "-v says what is done, -vv also what registries are asked",
    ),
    ("--silent --no-progress --suppress-output -s", &[], "--quiet prints only warnings and errors"),
    ("--quiet --silent --no-progress -q -s", &[], "leave it out: only the result is printed, and what went wrong"),
    ("--no-trunc --digest --full --no-truncate --notruncate", &["image ls"], "--digests shows whole digests"),
    ("--all -a", &["image ls"], "leave it out: all images are listed"),
    (
        "--filter -f --name --reference",
        &["image ls"],
        "a pattern lists only some images, such as `cvbake image ls 'alpine*'`",
    ),
    ("--filter --until --older --age", &["store prune"], "--older-than 7d removes what was not used for so long"),
    (
        "--max-size --size --keep-storage --reserved-space --max-used-space",
        &["store prune"],
        "--keep-size 20G makes the store that small",
    ),
    ("--fix --force-repair", &["store check"], "--repair removes what is damaged"),
    ("--full --fulltruncate --no-truncate", &["image history"], "--no-trunc shows whole commands"),
    ("--manifest", &["image inspect"], "--raw prints the manifest as it is"),
];

/// What is said to an option of another program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// This is what is meant here.
    Hint(String),
    /// The subcommand has nothing like it: whatever looks alike is not meant.
    Nothing,
}

/// The answer to an option that the subcommand does not have; none if no other program is known to have it, either.
pub(super) fn answer(option: &str, root: &Command, words: &[String], args: &[OsString]) -> Option<Answer> {
    let rows = || ROWS.iter().filter(|(foreign, ..)| foreign.split(' ').any(|known| known == option));
    rows().next()?;
    if option.ends_with("tls-verify") && args.iter().any(|arg| *arg == *format!("{option}=true")) {
        return Some(Answer::Hint(
            "leave it out: certificates are verified unless something says otherwise".to_owned(),
        ));
    }
    let (options, command) = (Options::of(root, words), words.join(" "));
    let hint = rows()
        .find_map(|(_, on, hint)| (on.is_empty() || on.contains(&command.as_str())).then(|| fit(&options, hint))?);
    Some(hint.map_or(Answer::Nothing, Answer::Hint))
}

/// The parts of a hint about what the subcommand has, if the first is one of them.
fn fit(options: &Options, hint: &str) -> Option<String> {
    let first = hint.split("; ").next().unwrap_or_default();
    options.fit(first)?;
    options.fit(hint)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    /// The words of every subcommand that does something, and itself.
    fn leaves(command: &Command, words: &[String], found: &mut Vec<(Vec<String>, Command)>) {
        if !command.has_subcommands() {
            found.push((words.to_vec(), command.clone()));
        }
        for below in command.get_subcommands() {
            leaves(below, &[words, &[below.get_name().to_owned()]].concat(), found);
        }
    }

    fn all() -> Vec<(Vec<String>, Command)> {
        let mut found = Vec::new();
        leaves(&Cli::command(), &[], &mut found);
        found
    }

    /// Whether the subcommand itself knows an option.
    fn has(command: &Command, option: &str) -> bool {
        let mut args = command.get_arguments();
        args.any(|arg| {
            let long = arg.get_long().is_some_and(|name| option == format!("--{name}"));
            long || arg.get_short().is_some_and(|letter| option == format!("-{letter}"))
        })
    }

    #[test]
    fn what_is_recommended_exists() {
        let (root, all) = (Cli::command(), all());
        for (foreign, on, hint) in ROWS {
            for name in *on {
                assert!(all.iter().any(|(words, _)| words.join(" ") == *name), "there is no {name}");
            }
            for option in foreign.split(' ') {
                // Each row is for somebody, and no row before it takes that away.
                let is_given = |words: &Vec<String>, command: &Command| {
                    let options = Options::of(&root, words);
                    let given = answer(option, &root, words, &[]);
                    !has(command, option) && fit(&options, hint).is_some_and(|hint| given == Some(Answer::Hint(hint)))
                };
                assert!(
                    all.iter().any(|(words, command)| is_given(words, command)),
                    "{option} is never answered {hint:?}"
                );
            }
            // What stands in backticks is a command that the parser takes, but for its placeholders.
            for command in hint.split('`').skip(1).step_by(2).filter(|command| command.starts_with("cvbake ")) {
                let args = command.split(' ').map(|word| word.trim_matches('\''));
                root.clone().try_get_matches_from(args).unwrap_or_else(|error| panic!("{command}: {error}"));
            }
        }
    }

    /// For every subcommand and every row: the options in the answer are the subcommand's.
    #[test]
    fn answers_are_about_the_command() {
        let root = Cli::command();
        let globals = ["-v", "-vv"];
        for (words, command) in all() {
            for option in ROWS.iter().flat_map(|(foreign, ..)| foreign.split(' ')) {
                let Some(Answer::Hint(hint)) = answer(option, &root, &words, &[]) else { continue };
                let own: String = hint.split('`').step_by(2).collect();
                let named = own.split([' ', ',', ':']).filter(|word| word.starts_with('-') && !globals.contains(word));
                for named in named {
                    assert!(has(&command, named), "{words:?} {option}: {hint}");
                }
            }
        }
    }

    #[test]
    fn answers() {
        let root = Cli::command();
        let insecure = "--insecure allows plain HTTP, and certificates that cannot be verified";
        let platform = "--platform os/arch[/variant], such as --platform linux/arm64, chooses the platform";
        for (command, option, expected) in [
            ("pull", "--tls-verify", insecure),
            ("push", "--dest-tls-verify", insecure),
            ("bake", "--arch", platform),
            ("image inspect", "--override-arch", platform),
            (
                "bake",
                "--threads",
                "--jobs N sets the number of threads; --connections N sets how many blobs are fetched or sent at once",
            ),
            ("store check", "--threads", "--jobs N sets the number of threads"),
            ("pull", "--threads", "--connections N sets how many blobs are fetched or sent at once"),
            (
                "pull",
                "--username",
                "`cvbake login REGISTRY` logs in for all commands; --creds USER:PASSWORD is for one",
            ),
            ("pull", "--format", "--json prints the result as JSON"),
            ("image inspect", "--format", "leave it out: the result is always JSON"),
            ("store stats", "--format", "--json prints the result as JSON"),
            ("bake", "--overwrite", "--force replaces what exists"),
            ("store prune", "--force", "leave it out: cvbake asks for no confirmation"),
            ("tags", "--debug", "-v says what is done, -vv also what registries are asked"),
            ("tags", "--quiet", "leave it out: only the result is printed, and what went wrong"),
            ("pull", "--silent", "--quiet prints only warnings and errors"),
            ("bake", "-s", "--size 20G sets the size of the disk"),
            ("bake", "-t", "leave it out: the filesystem is always ext4"),
            ("image ls", "--no-trunc", "--digests shows whole digests"),
        ] {
            let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(
                answer(option, &root, &words, &[]),
                Some(Answer::Hint(expected.to_owned())),
                "{command} {option}"
            );
        }
        let words = ["pull".to_owned()];
        let args: Vec<OsString> = ["cvbake", "pull", "x", "--tls-verify=true"].map(OsString::from).into();
        let Some(Answer::Hint(hint)) = answer("--tls-verify", &root, &words, &args) else { panic!("an answer") };
        assert!(hint.starts_with("leave it out"), "{hint}");
        assert_eq!(answer("--arch", &root, &["store".to_owned(), "gc".to_owned()], &[]), Some(Answer::Nothing));
        assert_eq!(answer("--forc", &root, &["bake".to_owned()], &[]), None);
    }
}
