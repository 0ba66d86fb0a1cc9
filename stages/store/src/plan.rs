//! What may go: a function of what is there, what is used, and the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use cvbake_verify::Digest;

use crate::links::Need;

/// What of a kind of things may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unused {
    /// Nothing.
    #[default]
    Stays,
    /// What was used last before this.
    Since(SystemTime),
    /// All.
    Goes,
}

impl Unused {
    fn takes(self, used: SystemTime) -> bool {
        match self {
            Unused::Stays => false,
            Unused::Since(time) => used < time,
            Unused::Goes => true,
        }
    }
}

/// What to remove of a store, beside blobs that nothing needs. What running processes use always
/// stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// What was made of layers that no image in the store has: layers of archives and other
    /// layouts.
    pub layers: Unused,
    /// Beginnings of blobs, which nobody adds to.
    pub partials: Unused,
    /// Images.
    pub images: Unused,
    /// Images that have no name, and that no registry gives back: what a registry gives back goes
    /// without that.
    pub anonymous: Unused,
    /// How much there may be in the end: what was used least recently goes until it is no more than
    /// that, and what no registry gives back goes last.
    pub keep_bytes: Option<u64>,
    /// Whether blobs may also go when all names are lost, so that nothing is known to need them.
    pub even_if_lost: bool,
}

/// What becomes of images that were imported when room is made: no registry gives them back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// They go when nothing else is left.
    Last,
    /// They stay.
    Stay,
}

/// What is in a store.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) images: Vec<Image>,
    pub(crate) blobs: BTreeMap<Digest, u64>,
    /// By diff_id.
    pub(crate) layers: BTreeMap<Digest, Unpacked>,
    pub(crate) partials: Vec<Beginning>,
    pub(crate) pinned: BTreeSet<Need>,
}

#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
    /// Whether no registry is known to give it back.
    pub(crate) imported: bool,
    /// Whether it has no name.
    pub(crate) anonymous: bool,
    pub(crate) used: SystemTime,
    pub(crate) needs: BTreeSet<Need>,
}

/// Index and pack of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unpacked {
    pub(crate) index_bytes: Option<u64>,
    pub(crate) pack_bytes: Option<u64>,
    pub(crate) used: SystemTime,
}

impl Unpacked {
    fn bytes(self) -> u64 {
        self.index_bytes.unwrap_or(0) + self.pack_bytes.unwrap_or(0)
    }
}

/// The beginning of a blob.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    pub(crate) name: String,
    /// Whether a running process adds to it, or is going to.
    pub(crate) pinned: bool,
    pub(crate) bytes: u64,
    pub(crate) used: SystemTime,
}

/// What is to go, or went.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removal {
    /// Names of images, in order.
    pub images: Vec<String>,
    /// Those of them that no registry is known to give back.
    pub imported: Vec<String>,
    /// Those that would go as well, and make more room, were they not to be spared; in order.
    pub spared: Vec<String>,
    /// Blobs.
    pub blobs: BTreeSet<Digest>,
    /// What was made of layers, by diff_id.
    pub layers: BTreeSet<Digest>,
    /// Beginnings of blobs, by the names of their files.
    pub partials: Vec<String>,
    /// How many bytes all of it has.
    pub bytes: u64,
    /// How many bytes stay.
    pub left_bytes: u64,
}

/// Something that may go to make room.
enum Candidate {
    Image(usize),
    Layer(Digest),
    Partial(usize),
}

struct Planner<'i> {
    inventory: &'i Inventory,
    /// How many need it: images, and running processes as one.
    users: BTreeMap<Need, usize>,
    gone: Vec<bool>,
    removal: Removal,
}

/// Decides what is to go.
pub(crate) fn plan(inventory: &Inventory, rules: &Rules, imported: Imported) -> Removal {
    let mut planner = Planner::new(inventory);
    planner.unneeded_blobs();
    let mut candidates = planner.candidates();
    let is_imported = |candidate: &Candidate| match candidate {
        Candidate::Image(at) => inventory.images[*at].imported,
        Candidate::Layer(_) | Candidate::Partial(_) => false,
    };
    let mut spared = Vec::new();
    if imported == Imported::Stay {
        spared = candidates.extract_if(.., |(_, candidate)| is_imported(candidate)).collect();
    }
    candidates.retain(|(used, candidate)| {
        let rule = match candidate {
            Candidate::Image(at) if inventory.images[*at].anonymous && rules.anonymous.takes(*used) => Unused::Goes,
            Candidate::Image(_) => rules.images,
            Candidate::Layer(_) => rules.layers,
            Candidate::Partial(_) => rules.partials,
        };
        let goes = rule.takes(*used);
        if goes {
            planner.remove(candidate);
        }
        !goes
    });
    if let Some(keep) = rules.keep_bytes {
        // The others, and each of both still in the order of their last use.
        candidates.sort_by_key(|(_, candidate)| is_imported(candidate));
        for (_, candidate) in &candidates {
            if planner.removal.left_bytes <= keep {
                break;
            }
            planner.remove(candidate);
        }
        if planner.removal.left_bytes > keep {
            let names = spared.iter().filter_map(|(_, candidate)| match candidate {
                Candidate::Image(at) => Some(inventory.images[*at].name.clone()),
                Candidate::Layer(_) | Candidate::Partial(_) => None,
            });
            planner.removal.spared = names.collect();
        }
    }
    let Removal { images, imported, spared, .. } = &mut planner.removal;
    [images, imported, spared].into_iter().for_each(|names| names.sort());
    planner.removal
}

impl<'i> Planner<'i> {
    fn new(inventory: &'i Inventory) -> Planner<'i> {
        let mut users = BTreeMap::new();
        let needs = inventory.images.iter().flat_map(|image| &image.needs).chain(&inventory.pinned);
        needs.for_each(|need| *users.entry(*need).or_insert(0) += 1);
        let layers = inventory.layers.values().map(|layer| layer.bytes());
        let partials = inventory.partials.iter().map(|partial| partial.bytes);
        let left_bytes = inventory.blobs.values().copied().chain(layers).chain(partials).sum();
        let removal = Removal { left_bytes, ..Removal::default() };
        Planner { inventory, users, gone: vec![false; inventory.partials.len()], removal }
    }

    fn is_needed(&self, need: Need) -> bool {
        self.users.get(&need).is_some_and(|users| *users > 0)
    }

    fn is_blob_needed(&self, digest: Digest) -> bool {
        self.is_needed(Need::Document(digest)) || self.is_needed(Need::Layer(digest))
    }

    fn unneeded_blobs(&mut self) {
        let unneeded: Vec<Digest> =
            self.inventory.blobs.keys().copied().filter(|digest| !self.is_blob_needed(*digest)).collect();
        unneeded.into_iter().for_each(|digest| self.remove_blob(digest));
    }

    fn unneeded_layers(&self) -> Vec<(SystemTime, Digest)> {
        let layers = self.inventory.layers.iter();
        let unneeded = layers.filter(|(digest, _)| !self.is_needed(Need::Unpacked(**digest)));
        unneeded.map(|(digest, layer)| (layer.used, *digest)).collect()
    }

    /// All that may go at all, what was used least recently first.
    fn candidates(&self) -> Vec<(SystemTime, Candidate)> {
        let Inventory { images, partials, pinned, .. } = self.inventory;
        let in_use =
            |image: &Image| image.needs.iter().any(|need| matches!(need, Need::Document(_)) && pinned.contains(need));
        let images = images.iter().enumerate().filter(|(_, image)| !in_use(image));
        let images = images.map(|(at, image)| (image.used, Candidate::Image(at)));
        let partials = partials.iter().enumerate().filter(|(_, partial)| !partial.pinned);
        let partials = partials.map(|(at, partial)| (partial.used, Candidate::Partial(at)));
        let layers = self.unneeded_layers().into_iter().map(|(used, layer)| (used, Candidate::Layer(layer)));
        let mut candidates: Vec<_> = images.chain(partials).chain(layers).collect();
        candidates.sort_by_key(|(used, _)| *used);
        candidates
    }

    fn remove(&mut self, candidate: &Candidate) {
        let inventory = self.inventory;
        match candidate {
            Candidate::Image(at) => {
                let image = &inventory.images[*at];
                self.removal.images.push(image.name.clone());
                if image.imported {
                    self.removal.imported.push(image.name.clone());
                }
                for need in &image.needs {
                    *self.users.entry(*need).or_insert(1) -= 1;
                    match need {
                        Need::Document(digest) | Need::Layer(digest) if !self.is_blob_needed(*digest) => {
                            self.remove_blob(*digest);
                        }
                        Need::Unpacked(digest) if !self.is_needed(*need) => self.remove_layer(*digest),
                        _ => {}
                    }
                }
            }
            Candidate::Layer(digest) => self.remove_layer(*digest),
            Candidate::Partial(at) => {
                if !std::mem::replace(&mut self.gone[*at], true) {
                    self.removal.partials.push(inventory.partials[*at].name.clone());
                    self.count(inventory.partials[*at].bytes);
                }
            }
        }
    }

    fn remove_blob(&mut self, digest: Digest) {
        if let Some(bytes) = self.inventory.blobs.get(&digest)
            && self.removal.blobs.insert(digest)
        {
            self.count(*bytes);
        }
    }

    fn remove_layer(&mut self, digest: Digest) {
        if let Some(layer) = self.inventory.layers.get(&digest)
            && self.removal.layers.insert(digest)
        {
            self.count(layer.bytes());
        }
    }

    fn count(&mut self, bytes: u64) {
        self.removal.bytes += bytes;
        self.removal.left_bytes -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::sha256(name.as_bytes())
    }

    fn at(day: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86400)
    }

    /// Three images that were used on days 10, 20 and 30, of a manifest (1 byte), a layer of their
    /// own (100) and one that the first two have in common (1000), which are also there unpacked
    /// (10 each); a layer of no image from day 15, a blob that nothing needs, and a beginning from
    /// day 25.
    fn inventory() -> Inventory {
        let mut inventory = Inventory::default();
        for (number, day) in [(1, 10), (2, 20), (3, 30)] {
            let common = if number < 3 { "common" } else { "other" };
            let own = format!("own{number}");
            let manifest = digest(&format!("manifest{number}"));
            let mut needs = BTreeSet::from([Need::Document(manifest)]);
            inventory.blobs.insert(manifest, 1);
            for (layer, bytes) in [(own.as_str(), 100), (common, 1000)] {
                needs.extend([Need::Layer(digest(layer)), Need::Unpacked(digest(layer))]);
                inventory.blobs.insert(digest(layer), bytes);
                let unpacked = Unpacked { index_bytes: Some(4), pack_bytes: Some(6), used: at(day) };
                inventory.layers.insert(digest(layer), unpacked);
            }
            let name = format!("image{number}");
            inventory.images.push(Image { name, imported: false, anonymous: false, used: at(day), needs });
        }
        let orphan = Unpacked { index_bytes: Some(5), pack_bytes: None, used: at(15) };
        inventory.layers.insert(digest("orphan"), orphan);
        inventory.blobs.insert(digest("unneeded"), 7);
        inventory.partials.push(Beginning { name: "partial".to_owned(), pinned: false, bytes: 50, used: at(25) });
        inventory
    }

    const ALL: u64 = 3 + 300 + 2000 + 50 + 5 + 7 + 50;

    fn summary(removal: &Removal) -> String {
        let Removal { images, blobs, layers, partials, bytes, left_bytes, .. } = removal;
        assert_eq!(bytes + left_bytes, ALL);
        format!(
            "{} blobs {} layers {} partials {} bytes {bytes}",
            images.join(" "),
            blobs.len(),
            layers.len(),
            partials.len()
        )
    }

    #[test]
    fn rules_and_what_goes() {
        let rules = Rules::default();
        let table = [
            (rules, " blobs 1 layers 0 partials 0 bytes 7"),
            (Rules { layers: Unused::Goes, partials: Unused::Goes, ..rules }, " blobs 1 layers 1 partials 1 bytes 62"),
            (Rules { layers: Unused::Since(at(15)), ..rules }, " blobs 1 layers 0 partials 0 bytes 7"),
            (Rules { layers: Unused::Since(at(16)), ..rules }, " blobs 1 layers 1 partials 0 bytes 12"),
            // What the second needs, too, stays.
            (Rules { images: Unused::Since(at(20)), ..rules }, "image1 blobs 3 layers 1 partials 0 bytes 118"),
            (Rules { images: Unused::Since(at(21)), ..rules }, "image1 image2 blobs 6 layers 3 partials 0 bytes 1239"),
            (Rules { images: Unused::Goes, ..rules }, "image1 image2 image3 blobs 9 layers 5 partials 0 bytes 2360"),
            // The least recently used first, whatever it is, and no more than is asked for.
            (Rules { keep_bytes: Some(ALL), ..rules }, " blobs 1 layers 0 partials 0 bytes 7"),
            (Rules { keep_bytes: Some(ALL - 8), ..rules }, "image1 blobs 3 layers 1 partials 0 bytes 118"),
            (Rules { keep_bytes: Some(ALL - 119), ..rules }, "image1 blobs 3 layers 2 partials 0 bytes 123"),
            (Rules { keep_bytes: Some(ALL - 124), ..rules }, "image1 image2 blobs 6 layers 4 partials 0 bytes 1244"),
            (Rules { keep_bytes: Some(ALL - 1245), ..rules }, "image1 image2 blobs 6 layers 4 partials 1 bytes 1294"),
            (Rules { keep_bytes: Some(0), ..rules }, "image1 image2 image3 blobs 9 layers 6 partials 1 bytes 2415"),
        ];
        for (rules, expected) in table {
            let removal = plan(&inventory(), &rules, Imported::Last);
            assert_eq!(summary(&removal), expected, "{rules:?}");
            assert_eq!(plan(&inventory(), &rules, Imported::Stay), removal, "none was imported");
        }
    }

    /// As above, and the first, which was used least recently, and the last were imported.
    #[test]
    fn what_no_registry_gives_back_goes_last() {
        let mut inventory = inventory();
        inventory.images[0].imported = true;
        inventory.images[2].imported = true;
        let rules = |keep| Rules { keep_bytes: Some(keep), ..Rules::default() };
        let (last, stay) = (Imported::Last, Imported::Stay);
        // How much is to go; what goes: the names, those of them that were imported, and those that
        // were spared.
        let table = [
            (7, last, "[] [] []"),
            (7, stay, "[] [] []"),
            (8, last, "[] [] []"),
            (13, last, r#"["image2"] [] []"#),
            (13, stay, r#"["image2"] [] []"#),
            (200, last, r#"["image1", "image2"] ["image1"] []"#),
            (200, stay, r#"["image2"] [] ["image1", "image3"]"#),
            (ALL, last, r#"["image1", "image2", "image3"] ["image1", "image3"] []"#),
            (ALL, stay, r#"["image2"] [] ["image1", "image3"]"#),
        ];
        for (goes, imported, expected) in table {
            let Removal { images, imported, spared, .. } = plan(&inventory, &rules(ALL - goes), imported);
            assert_eq!(format!("{images:?} {imported:?} {spared:?}"), expected, "{goes}");
        }
        // Who says what goes, and not how much, means it.
        let old = Rules { images: Unused::Since(at(20)), ..Rules::default() };
        assert_eq!(plan(&inventory, &old, last).imported, ["image1"]);
        // One that is in use is not spared: it stays anyway.
        inventory.pinned.insert(Need::Document(digest("manifest1")));
        assert_eq!(plan(&inventory, &rules(0), stay).spared, ["image3"]);
    }

    /// As the first one is, which was used least recently, and the last.
    #[test]
    fn images_without_a_name_have_a_rule_of_their_own() {
        let mut inventory = inventory();
        for at in [0, 2] {
            (inventory.images[at].imported, inventory.images[at].anonymous) = (true, true);
        }
        let rules = |anonymous| Rules { anonymous, ..Rules::default() };
        let table = [
            (Unused::Stays, ""),
            (Unused::Since(at(10)), ""),
            (Unused::Since(at(11)), "image1"),
            (Unused::Goes, "image1 image3"),
        ];
        for (rule, expected) in table {
            assert_eq!(plan(&inventory, &rules(rule), Imported::Last).images.join(" "), expected, "{rule:?}");
        }
        // Nobody asked when a bake makes room.
        let room = Rules { keep_bytes: Some(0), ..Rules::default() };
        assert_eq!(plan(&inventory, &room, Imported::Stay).images, ["image2"]);
        inventory.pinned.insert(Need::Document(digest("manifest1")));
        assert_eq!(plan(&inventory, &rules(Unused::Goes), Imported::Last).images, ["image3"]);
    }

    #[test]
    fn what_is_in_use_stays() {
        let rules = Rules { images: Unused::Goes, layers: Unused::Goes, keep_bytes: Some(0), ..Rules::default() };
        let mut inventory = inventory();
        inventory.pinned.extend([Need::Document(digest("manifest1")), Need::Unpacked(digest("orphan"))]);
        inventory.pinned.insert(Need::Layer(digest("own1")));
        inventory.partials[0].pinned = true;
        let removal = plan(&inventory, &rules, Imported::Last);
        assert_eq!(summary(&removal), "image2 image3 blobs 6 layers 3 partials 0 bytes 1239");
        // An image whose layer another process uses goes, but not the layer.
        inventory.pinned = BTreeSet::from([Need::Layer(digest("own2"))]);
        let removal = plan(&inventory, &rules, Imported::Last);
        assert_eq!(removal.images.len(), 3);
        assert!(!removal.blobs.contains(&digest("own2")) && removal.layers.contains(&digest("own2")));
    }
}
