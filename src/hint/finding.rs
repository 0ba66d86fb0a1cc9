//! What the user can do about what is told, but is no error.

use super::{FETCH_MISSING, REPAIR};
use cvbake::event::{Archive, Finding};
use cvbake::text;

/// Advice about a finding.
pub(crate) fn of(finding: &Finding) -> Option<String> {
    Some(match finding {
        Finding::Damaged { .. } => REPAIR.to_owned(),
        Finding::NamesLost { known: 0, .. } => {
            "`cvbake store check --repair` finds the images again, under their digests; `cvbake image tag DIGEST NAME` gives them names; \
             without one, `cvbake store gc` removes those that have not been used for 30 days"
                .to_owned()
        }
        Finding::ImageArchive { source, archive } => {
            let transport = match archive {
                Archive::Docker => "docker-archive",
                Archive::Oci => "oci-archive",
            };
            match source.strip_prefix("tar:").unwrap_or(source) {
                "-" => format!("to use the image in it, save it to a file and write {transport}:FILE"),
                file => format!("to use the image in it, write {transport}:{}", text::line(file)),
            }
        }
        Finding::Incomplete { .. } => FETCH_MISSING.to_owned(),
        Finding::Spared { .. } => {
            "--prune-imported removes them, too; `cvbake image export` keeps one elsewhere, `cvbake image rm` removes it".to_owned()
        }
        Finding::Unnamed { .. } => {
            "`cvbake image tag DIGEST NAME` gives it a name; `cvbake store gc` removes images without one, those that were imported \
             when they have not been used for 30 days"
                .to_owned()
        }
        Finding::LostName { digest, kept: false, .. } => format!(
            "`cvbake image tag {digest} NAME` keeps it; without a name, whatever removes something from the store removes it, too, and \
             the registry may have another image under that name by now"
        ),
        Finding::LostName { digest, kept: true, .. } => {
            format!(
                "`cvbake image tag {digest} NAME` keeps it; without a name, `cvbake store gc` removes it when it has not been used for \
                 30 days"
            )
        }
        Finding::NamesLost { .. } => "`cvbake store check --repair` restores the names".to_owned(),
        _ => return None,
    })
}
