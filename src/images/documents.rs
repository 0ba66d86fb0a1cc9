//! The documents of an image that has none: functions of what is in it, and of nothing else.

use cvbake_verify::{Descriptor, Digest, Platform};
use serde::Serialize;

/// How a root filesystem is run, as an image's configuration says it. There will be more fields:
/// end it with `..RunConfig::default()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunConfig {
    /// The program, and what always stands behind it.
    pub entrypoint: Vec<String>,
    /// What stands behind the entrypoint unless something else is asked for.
    pub cmd: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// The directory that it starts in.
    pub workdir: Option<String>,
    /// The user, and perhaps the group after a colon, that it runs as.
    pub user: Option<String>,
    /// Names and values, each name once.
    pub labels: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Config<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    architecture: &'a str,
    os: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    variant: &'a str,
    config: Run<'a>,
    rootfs: RootFs,
    history: [History<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Run<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    env: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    entrypoint: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cmd: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<&'a str>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    labels: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: [String; 1],
}

#[derive(Serialize)]
struct History<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    created_by: &'static str,
}

/// The configuration of an image of one layer; `created` is in seconds since 1970.
pub(super) fn config(run: &RunConfig, platform: &Platform, diff_id: &Digest, created: Option<i64>) -> Vec<u8> {
    let created = created.map(crate::text::rfc3339);
    let created = created.as_deref();
    let labels = run.labels.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let config = Config {
        created,
        architecture: platform.architecture(),
        os: platform.os(),
        variant: platform.variant(),
        config: Run {
            user: run.user.as_deref(),
            env: &run.env,
            entrypoint: &run.entrypoint,
            cmd: &run.cmd,
            working_dir: run.workdir.as_deref(),
            labels,
        },
        rootfs: RootFs { kind: "layers", diff_ids: [diff_id.to_string()] },
        history: [History { created, created_by: "cvbake image import" }],
    };
    serde_json::to_vec(&config).expect("texts and lists of them")
}

/// The media types that we give.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u8,
    media_type: &'static str,
    config: Pointer,
    layers: Vec<Pointer>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pointer {
    media_type: String,
    digest: String,
    size: u64,
}

impl Pointer {
    fn of(Descriptor { media_type, digest, size }: &Descriptor) -> Pointer {
        Pointer { media_type: media_type.clone(), digest: digest.to_string(), size: *size }
    }
}

/// The manifest of an image.
pub(super) fn manifest(config: &Digest, config_len: usize, layers: &[Descriptor]) -> Vec<u8> {
    let config = Descriptor { media_type: CONFIG.to_owned(), digest: *config, size: config_len as u64 };
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: Pointer::of(&config),
        layers: layers.iter().map(Pointer::of).collect(),
    };
    serde_json::to_vec(&manifest).expect("texts, numbers and lists of them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents() {
        let diff_id = Digest::sha256(b"");
        let platform = Platform::new("linux", "arm64", "v8");
        let text = |run: &RunConfig, created| String::from_utf8(config(run, &platform, &diff_id, created)).unwrap();
        assert_eq!(
            text(&RunConfig::default(), None),
            format!(
                r#"{{"architecture":"arm64","os":"linux",{}"config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}},"history":[{{"created_by":"cvbake image import"}}]}}"#,
                if platform.variant().is_empty() { "" } else { r#""variant":"v8","# }
            )
        );
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let run = RunConfig {
            entrypoint: list(&["/init"]),
            cmd: list(&["a", "b c"]),
            env: list(&["A=1"]),
            workdir: Some("/srv".to_owned()),
            user: Some("1:2".to_owned()),
            labels: vec![("z".to_owned(), "1".to_owned()), ("a".to_owned(), "\u{1b}[2J".to_owned())],
        };
        let text = text(&run, Some(1_700_000_000));
        let expected = r#""config":{"User":"1:2","Env":["A=1"],"Entrypoint":["/init"],"Cmd":["a","b c"],"WorkingDir":"/srv","Labels":{"z":"1","a":"\u001b[2J"}}"#;
        assert!(text.contains(expected), "{text}");
        assert_eq!(text.matches(r#""created":"2023-11-14T22:13:20Z""#).count(), 2, "{text}");
    }
}
