//! Options of other programs that people know, and how the same is said here.

use std::ffi::OsString;

use clap::Command;

use crate::cli::advice::Options;

/// Options of docker, podman, skopeo, crane, buildah, umoci, oras, mke2fs and virt-make-fs; the
/// subcommands that the answer is for, or all; and the answer. It is given where the subcommand has
/// the options that the answer's first part, before a semicolon, speaks of; of the other parts,
/// those about options that it lacks are left out. The first row that fits counts.
type Row = (&'static str, &'static [&'static str], &'static str);

const BAKES: &[&str] = &["bake", "pull-and-build"];
/// The subcommands that may ask a registry for more than a list.
const TRANSFERS: &[&str] = &["bake", "pull-and-build", "pull", "push", "image export"];
/// The subcommands that take any source.
const READERS: &[&str] = &[
    "bake",
    "tree",
    "explain",
    "inspect",
    "push",
    "image import",
    "image export",
    "image inspect",
    "image history",
    "image df",
];
/// The subcommands that ask a registry for what needs a login.
const GUESTS: &[&str] = &[
    "bake",
    "pull-and-build",
    "pull",
    "push",
    "tags",
    "image export",
    "image inspect",
    "image history",
    "image df",
    "tree",
    "explain",
    "inspect",
];

/// The subcommands that ask a registry for anything.
const ASKERS: &[&str] = &[
    "bake",
    "pull-and-build",
    "pull",
    "push",
    "tags",
    "login",
    "image export",
    "image inspect",
    "image history",
    "image df",
    "tree",
    "explain",
    "inspect",
];

const INSECURE: &str = "--insecure allows plain HTTP, and certificates that cannot be verified";
const VERIFIED: &str = "leave it out: certificates are verified unless something says otherwise";

const ROWS: &[Row] = &[
    // Registries.
    ("--tls-verify --src-tls-verify --dest-tls-verify", ASKERS, VERIFIED),
    (
        "--insecure-skip-tls-verify --skip-tls-verify --plain-http --from-plain-http --to-plain-http \
         --insecure-registry --allow-insecure --http --no-check-certificate",
        &[],
        INSECURE,
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
        ASKERS,
        "the variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY set proxies",
    ),
    (
        "--mirror --registry-mirror --registries-config --registries-conf-dir",
        &[],
        "--registries-conf FILE names the file that lists mirrors",
    ),
    (
        "--registry --server --host",
        &[
            "bake",
            "pull-and-build",
            "pull",
            "push",
            "tags",
            "image inspect",
            "image history",
            "image df",
            "tree",
            "explain",
            "inspect",
        ],
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
    ("--out --outfile --output-file --dest --destination --disk", BAKES, "-o DISK writes the disk to that file"),
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
    (
        "--type --fs-type --fstype --filesystem -t",
        BAKES,
        "--fs erofs chooses EROFS; without it, the filesystem is ext4",
    ),
    ("--nojournal --without-journal --disable-journal", BAKES, "--no-journal makes no journal"),
    (
        "--partition --partition-table --gpt --bootloader --bootable --efi --esp",
        BAKES,
        "--boot uefi makes partitions, and a disk that firmware starts",
    ),
    (
        "--mbr --initrd --init --entrypoint --cmd",
        BAKES,
        "leave it out: the disk has the files of the image and nothing else",
    ),
    (
        "--rootless --uid-map --gid-map --uidmap --gidmap --keep-owner --numeric-owner --same-owner",
        BAKES,
        "leave it out: the disk has the owners that the image says, and cvbake needs no root for that",
    ),
    (
        "--disk-format --image-format --output-format",
        BAKES,
        "--format sets the format of the disk: raw, qcow2, vhd or vhdx",
    ),
    (
        "--format --manifest-type --image-format",
        &["image export"],
        "the transport in front of the destination says the format, such as oci-archive:alpine.tar; --json prints the result as JSON",
    ),
    (
        "--format --manifest-type -f",
        &["push"],
        "leave it out: manifests are sent as they are, and an image of `docker save` gets an OCI manifest; --json prints the result as JSON",
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
    ("--format --output -o --out", &["image inspect"], "leave it out: the result is always JSON"),
    (
        "--format --subformat --type --file-format --output-format -t",
        &["disk child"],
        "leave it out: a differencing disk is always a VHDX",
    ),
    ("--format --output -o --output-format --as-json", &[], "--json prints the result as JSON"),
    (
        "--debug --log-level --loglevel --trace -D -d -V",
        &[],
        "-v says what is done, -vv also what registries are asked",
    ),
    ("--quiet -q", &["image history"], "--json prints the digests of layers; the steps have no IDs"),
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

/// The answer to an option that the subcommand does not have; none if no other program is known to
/// have it, either.
pub(super) fn answer(option: &str, root: &Command, words: &[String], args: &[OsString]) -> Option<Answer> {
    let rows = || ROWS.iter().filter(|(foreign, ..)| foreign.split(' ').any(|known| known == option));
    rows().next()?;
    let (options, command) = (Options::of(root, words), words.join(" "));
    let is_denied = denies(option, args);
    let hint = rows().filter(|(_, on, _)| on.is_empty() || on.contains(&command.as_str())).find_map(|(_, _, hint)| {
        let hint = match *hint {
            VERIFIED if is_denied => INSECURE,
            // Only where a registry is asked at all.
            INSECURE if is_denied => fit(&options, INSECURE).map(|_| VERIFIED)?,
            hint => hint,
        };
        fit(&options, hint)
    });
    Some(hint.map_or(Answer::Nothing, Answer::Hint))
}

/// Whether the arguments give an option the value `false`, which turns its meaning around.
fn denies(option: &str, args: &[OsString]) -> bool {
    let joined = format!("{option}=false");
    args.iter().any(|arg| *arg == *joined) || args.windows(2).any(|pair| *pair[0] == *option && pair[1] == *"false")
}

/// The parts of a hint about what the subcommand has, if the first is one of them.
fn fit(options: &Options, hint: &str) -> Option<String> {
    let first = hint.split("; ").next().unwrap_or_default();
    options.fit(first)?;
    options.fit(hint)
}

#[cfg(test)]
mod tests;
