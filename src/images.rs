//! The images that a store holds: brought in from files, told about, given names, taken away, and
//! written where other programs look for them.

mod details;
mod directory;
mod documents;
mod export;
pub(crate) mod find;
mod import;
mod lack;
mod layer;
mod list;
mod look;
mod names;
mod stream;

pub(crate) use details::commands;
pub use details::{Details, ImageDetails, LayerDetails, Step};
pub use directory::NotKept;
pub use documents::RunConfig;
pub use export::{ExportJob, Exported, Target, export};
pub use find::{begins, calls};
pub use import::{ImportJob, Imported, import};
pub(crate) use lack::incomplete;
pub use lack::{Incomplete, Lack};
pub(crate) use list::without_name;
pub use list::{Inspected, Listed, inspect, list};
pub use look::{Document, Look, Looked, LookedLayer};
pub use names::{Removed, remove, tag};
