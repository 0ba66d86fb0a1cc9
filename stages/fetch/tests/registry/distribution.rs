//! A registry that we did not write: Debian's `docker-registry`, filled by `skopeo`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

pub(crate) struct Registry {
    child: Child,
    pub(crate) address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    /// Starts one on a port of its choice, with these users if there are any.
    fn start(dir: &Path, htpasswd: Option<&str>) -> Registry {
        Registry::start_with(dir, htpasswd, "")
    }

    /// Also with TLS, as `http` says it in the configuration.
    pub(crate) fn start_with(dir: &Path, htpasswd: Option<&str>, tls: &str) -> Registry {
        let auth = htpasswd.map_or_else(String::new, |users| {
            let path = dir.join("htpasswd");
            fs::write(&path, users).unwrap();
            format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path.display())
        });
        let config = dir.join("config.yml");
        let storage = dir.join("blobs");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'{tls}}}\n{auth}",
            storage.display()
        );
        fs::write(&config, text).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry is installed: scripts/setup does it");
        // It says where it listens.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, after) = line.split_once("listening on ")?;
            Some(after.split(['"', ',', ' ']).next()?.to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        Registry { child, address: address.expect("it says where it listens") }
    }

    pub(crate) fn push(&self, layout: &Path, options: &[&str]) {
        let mut command = Command::new("skopeo");
        command.args(["copy", "-q", "--preserve-digests", "--dest-tls-verify=false"]).args(options);
        command.arg(format!("oci:{}", layout.display())).arg(format!("docker://{}/a/b:v1", self.address));
        let output = command.output().expect("skopeo is installed: scripts/setup does it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn pull(&self, options: &Options) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        pull_reference(&format!("{}/a/b:v1", self.address).parse()?, options, None)
    }
}

/// The sample as a directory in the image layout.
pub(crate) fn layout(sample: &Sample, dir: &Path) {
    fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
    for blob in [&sample.layer, &sample.config, &sample.manifest] {
        fs::write(dir.join("blobs/sha256").join(Digest::sha256(blob).hex()), blob).unwrap();
    }
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(MANIFEST, &sample.manifest));
    fs::write(dir.join("index.json"), index).unwrap();
}

#[test]
fn plain() {
    let (sample, dir) = (Sample::new(1_000_000), tempfile::tempdir().unwrap());
    layout(&sample, &dir.path().join("layout"));
    let registry = Registry::start(dir.path(), None);
    registry.push(&dir.path().join("layout"), &[]);
    assert_eq!(registry.pull(&quick()).unwrap(), sample.layer);
    let unknown = format!("{}/a/c:v1", registry.address).parse().unwrap();
    refused(
        pull_reference(&unknown, &quick(), None),
        &["manifest v1 of a/c", "there is no such repository (status 404, \"NAME_UNKNOWN"],
    );
    let unknown = format!("{}/a/b:v2", registry.address).parse().unwrap();
    refused(
        pull_reference(&unknown, &quick(), None),
        &["manifest v2 of a/b", "not found (status 404, \"MANIFEST_UNKNOWN", "; the tags there are v1"],
    );
}

#[test]
fn with_users() {
    let (sample, dir) = (Sample::new(1_000_000), tempfile::tempdir().unwrap());
    layout(&sample, &dir.path().join("layout"));
    // `me` with the password `secret`, at bcrypt's lowest cost.
    let registry =
        Registry::start(dir.path(), Some("me:$2b$04$CU3.QLclSvTwYoskVVT66eOLZbFuY48N3RbXzd4witmy4Qdu0085y\n"));
    registry.push(&dir.path().join("layout"), &["--dest-creds=me:secret"]);
    let user = |password: &str| {
        let credentials = cvbake_fetch::Credentials::User { name: "me".to_owned(), password: password.to_owned() };
        Options { credentials: Some(credentials), ..quick() }
    };
    assert_eq!(registry.pull(&user("secret")).unwrap(), sample.layer);
    refused(registry.pull(&user("wrong")), &["access denied (status 401", "the credentials of user \"me\""]);
    refused(registry.pull(&quick()), &["access denied (status 401", "no credentials"]);
    // What `skopeo login` writes.
    let file = dir.path().join("auth.json");
    let login = Command::new("skopeo")
        .args(["login", "--tls-verify=false", "-u", "me", "-p", "secret", "--authfile"])
        .arg(&file)
        .arg(&registry.address)
        .output()
        .unwrap();
    assert!(login.status.success(), "{}", String::from_utf8_lossy(&login.stderr));
    let options = Options { credential_files: vec![file], ..quick() };
    assert_eq!(registry.pull(&options).unwrap(), sample.layer);
}
