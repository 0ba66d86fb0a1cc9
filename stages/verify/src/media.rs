//! What media types say, and no more than that: the content is always looked at too.

use oci_spec::image::MediaType;

/// The compression of a layer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Compression {
    /// Not compressed.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// What a media type is used for in an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// A list of manifests.
    Index,
    /// The manifest of one image.
    Manifest,
    /// A manifest of the form that registries used before 2016.
    Schema1,
    /// The configuration of an image.
    Config,
    /// A layer.
    Layer(Compression),
    /// A layer that needs a key.
    EncryptedLayer,
    /// Nothing that belongs to an image.
    Other,
}

pub(crate) fn role(media_type: &str) -> Role {
    match MediaType::from(media_type) {
        MediaType::ImageIndex => Role::Index,
        MediaType::ImageManifest => Role::Manifest,
        MediaType::ImageConfig => Role::Config,
        MediaType::ImageLayer | MediaType::ImageLayerNonDistributable => Role::Layer(Compression::None),
        MediaType::ImageLayerGzip | MediaType::ImageLayerNonDistributableGzip => Role::Layer(Compression::Gzip),
        MediaType::ImageLayerZstd | MediaType::ImageLayerNonDistributableZstd => Role::Layer(Compression::Zstd),
        MediaType::Other(other) => docker_role(&other),
        _ => Role::Other,
    }
}

fn docker_role(media_type: &str) -> Role {
    match media_type {
        "application/vnd.docker.distribution.manifest.list.v2+json" => Role::Index,
        "application/vnd.docker.distribution.manifest.v2+json" => Role::Manifest,
        "application/vnd.docker.distribution.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Role::Schema1,
        "application/vnd.docker.container.image.v1+json" => Role::Config,
        "application/vnd.docker.image.rootfs.diff.tar" | "application/vnd.docker.image.rootfs.foreign.diff.tar" => {
            Role::Layer(Compression::None)
        }
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Role::Layer(Compression::Gzip),
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => Role::Layer(Compression::Zstd),
        // ocicrypt appends this to the type of the layer it encrypts.
        _ if media_type.strip_suffix("+encrypted").is_some_and(|plain| matches!(role(plain), Role::Layer(_))) => {
            Role::EncryptedLayer
        }
        _ => Role::Other,
    }
}

/// What something with this media type is, where a manifest or the configuration of an image should
/// be.
pub(crate) fn describe(media_type: &str) -> String {
    let what = match media_type {
        "application/vnd.in-toto+json" | "application/vnd.docker.attestation.manifest.v1+json" => "an attestation",
        "application/vnd.cncf.helm.config.v1+json" => "a Helm chart",
        "application/vnd.docker.plugin.v1+json" => "a Docker plugin",
        "application/vnd.docker.ai.model.config.v0.1+json" => "an AI model",
        "application/vnd.dev.cosign.artifact.sig.v1+json" | "application/vnd.dev.cosign.simplesigning.v1+json" => {
            "a signature"
        }
        "application/vnd.dev.sigstore.bundle.v0.3+json" => "a signature bundle",
        "application/spdx+json" | "application/vnd.cyclonedx+json" => "a bill of materials",
        _ if media_type.starts_with("application/vnd.wasm.") => "a WebAssembly module",
        _ => match role(media_type) {
            Role::Index => "an image index",
            Role::Manifest | Role::Schema1 => "an image manifest",
            Role::Config => "the configuration of an image",
            Role::Layer(_) | Role::EncryptedLayer => "a layer",
            Role::Other => "an artifact",
        },
    };
    format!("{what} ({:?})", crate::shorten(media_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles() {
        let plain = Role::Layer(Compression::None);
        let (gzip, zstd) = (Role::Layer(Compression::Gzip), Role::Layer(Compression::Zstd));
        let table = [
            ("application/vnd.oci.image.index.v1+json", Role::Index),
            ("application/vnd.docker.distribution.manifest.list.v2+json", Role::Index),
            ("application/vnd.oci.image.manifest.v1+json", Role::Manifest),
            ("application/vnd.docker.distribution.manifest.v2+json", Role::Manifest),
            ("application/vnd.docker.distribution.manifest.v1+json", Role::Schema1),
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", Role::Schema1),
            ("application/vnd.oci.image.config.v1+json", Role::Config),
            ("application/vnd.docker.container.image.v1+json", Role::Config),
            ("application/vnd.oci.image.layer.v1.tar", plain),
            ("application/vnd.oci.image.layer.v1.tar+gzip", gzip),
            ("application/vnd.oci.image.layer.v1.tar+zstd", zstd),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar", plain),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", gzip),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", zstd),
            ("application/vnd.docker.image.rootfs.diff.tar", plain),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", gzip),
            ("application/vnd.docker.image.rootfs.diff.tar.zstd", zstd),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar", plain),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", gzip),
            ("application/vnd.oci.image.layer.v1.tar+encrypted", Role::EncryptedLayer),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", Role::EncryptedLayer),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd+encrypted", Role::EncryptedLayer),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip+encrypted", Role::EncryptedLayer),
            ("text/plain+encrypted", Role::Other),
            ("application/vnd.oci.empty.v1+json", Role::Other),
            ("application/vnd.oci.image.layer.v1.tar+lz4", Role::Other),
            ("Application/vnd.oci.image.layer.v1.tar", Role::Other),
            ("", Role::Other),
        ];
        for (media_type, expected) in table {
            assert_eq!(role(media_type), expected, "{media_type}");
        }
    }
}
