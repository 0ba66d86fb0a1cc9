//! The map of a disk: what its blocks are for, drawn with characters.
//!
//! A character tells everything; colours only help. So the map is the same in a file, in black and
//! white, and for those who do not see colours.

use std::fmt::Write as _;

use cvbake::ext4::{Region, Use};
use cvbake::inside::map::{Piece, Purpose};
use cvbake::survey::{Drawn, Survey, SurveyedLayer};
use indicatif::BinaryBytes;

use crate::cli::ask::{command, short};

/// What a cell can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// Superblocks and tables.
    Metadata,
    Journal,
    /// Directories and the like.
    Structure,
    /// What is on a disk beside partitions.
    Between,
    /// A partition that is not drawn in detail.
    Partition,
    HashTree,
    /// Content of the layer or the directory of this position.
    Content(u32),
    /// Free, and not zeros: what was there before.
    Stale,
    /// Belongs to the filesystem itself, and is not written: a hole in the file.
    Reserved,
    Free,
}

/// A disk, as far as it is drawn.
#[derive(Debug)]
pub(super) struct Map {
    /// Each run of units with what it shows, without a gap.
    pub(super) runs: Vec<(u64, Mark)>,
    /// The bytes of a unit.
    pub(super) unit: u64,
    /// What content belongs to.
    pub(super) groups: Vec<String>,
    pub(super) disk_bytes: u64,
}

const BLOCK: u64 = cvbake::tree::BLOCK_SIZE as u64;

/// Where partitions begin.
const SECTOR: u64 = 512;

/// Lines of cells: as many as leave room for the legend on a usual terminal.
const LINES: u64 = 16;

/// Columns for where a line begins.
const MARGIN: usize = 12;

/// Narrower than this, a line says nothing.
const NARROWEST: usize = 16;

/// Wider than this, nobody looks at a line.
const WIDEST: usize = 512;

/// The characters of layers; there may be more layers than these, which have the last one.
const LETTERS: &[u8] = b"123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*";

impl Mark {
    pub(super) fn of(region: &Region) -> Mark {
        Mark::of_use(region.used_for, region.is_written)
    }

    fn of_use(used_for: Use, is_written: bool) -> Mark {
        match used_for {
            Use::Content { pack } => Mark::Content(pack),
            Use::Free if is_written => Mark::Stale,
            Use::Free => Mark::Free,
            _ if !is_written => Mark::Reserved,
            Use::Superblocks | Use::Tables => Mark::Metadata,
            Use::Journal => Mark::Journal,
            _ => Mark::Structure,
        }
    }

    fn of_piece(piece: &Piece) -> Mark {
        match piece.purpose {
            Purpose::Filesystem(used_for) => Mark::of_use(used_for, piece.is_written),
            Purpose::Partition(_) => Mark::Partition,
            Purpose::HashTree => Mark::HashTree,
            _ if piece.is_written => Mark::Between,
            _ => Mark::Free,
        }
    }

    pub(super) fn letter(self) -> char {
        match self {
            Mark::Metadata => '#',
            Mark::Journal => '=',
            Mark::Structure => '%',
            Mark::Between => '+',
            Mark::Partition => '@',
            Mark::HashTree => '&',
            Mark::Stale => ',',
            Mark::Content(at) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX).min(LETTERS.len() - 1);
                char::from(LETTERS[at])
            }
            Mark::Reserved => '-',
            Mark::Free => '.',
        }
    }

    /// The SGR parameters of a colour: of layers six take turns.
    fn colour(self) -> &'static str {
        const LAYERS: [&str; 6] = ["32", "36", "34", "35", "31", "92"];
        match self {
            Mark::Metadata | Mark::Journal | Mark::Structure | Mark::Between => "33",
            Mark::Partition | Mark::HashTree => "95",
            Mark::Content(at) => LAYERS[usize::try_from(at).unwrap_or(0) % LAYERS.len()],
            Mark::Stale | Mark::Reserved | Mark::Free => "2",
        }
    }

    pub(super) fn meaning(self, groups: &[String]) -> String {
        match self {
            Mark::Metadata => "superblocks, bitmaps and inode tables".to_owned(),
            Mark::Journal => "journal".to_owned(),
            Mark::Structure => "directories, links, attributes and lists of blocks".to_owned(),
            Mark::Between => "partition tables, and what no partition has".to_owned(),
            Mark::Partition => "other partitions".to_owned(),
            Mark::HashTree => "hash tree for dm-verity".to_owned(),
            Mark::Content(at) => {
                let group = usize::try_from(at).ok().and_then(|at| groups.get(at));
                group.map_or_else(|| format!("layer {}", at + 1), Clone::clone)
            }
            Mark::Stale => "free, with what was there before".to_owned(),
            Mark::Reserved => "reserved, and a hole in the file: journal and inode tables without content".to_owned(),
            Mark::Free => "free, and a hole in the file".to_owned(),
        }
    }

    /// Whether a cell shows it only if there is hardly anything else.
    pub(super) fn is_empty(self) -> bool {
        matches!(self, Mark::Reserved | Mark::Free)
    }
}

impl Map {
    /// The map of a disk that is planned.
    pub(super) fn of(drawn: &Drawn) -> Map {
        let runs = drawn.regions.iter().map(|region| (region.blocks.end - region.blocks.start, Mark::of(region)));
        Map { runs: runs.collect(), unit: BLOCK, groups: layers(&drawn.survey), disk_bytes: drawn.disk_bytes }
    }

    /// The map of a disk that is there.
    pub(super) fn of_pieces(pieces: &[Piece], block_bytes: u64, groups: Vec<String>) -> Map {
        let disk_bytes = pieces.last().map_or(0, |piece| piece.bytes.end);
        let is_whole = |piece: &Piece| piece.bytes.start.is_multiple_of(block_bytes);
        let unit = if pieces.iter().all(is_whole) { block_bytes } else { SECTOR };
        // What is no whole unit, at the end of a disk, is drawn as one.
        let units = |piece: &Piece| piece.bytes.end.div_ceil(unit) - piece.bytes.start / unit;
        Map {
            runs: pieces.iter().map(|piece| (units(piece), Mark::of_piece(piece))).collect(),
            unit,
            groups,
            disk_bytes,
        }
    }

    /// How many units there are of each kind, in the order of the legend.
    pub(super) fn sums(&self) -> Vec<(Mark, u64)> {
        let mut sums = std::collections::BTreeMap::new();
        for &(blocks, mark) in &self.runs {
            *sums.entry(mark).or_insert(0) += blocks;
        }
        sums.into_iter().collect()
    }

    /// What each cell shows, and how many units a cell stands for: no more cells than these.
    pub(super) fn cells(&self, most: u64) -> (Vec<Mark>, u64) {
        let all: u64 = self.runs.iter().map(|(blocks, _)| blocks).sum();
        // Whole blocks, where a unit is less.
        let each = all.div_ceil(most.max(1)).max(1).next_multiple_of((BLOCK / self.unit).max(1));
        let mut cells = Vec::new();
        let mut cell = Cell::default();
        for &(blocks, mark) in &self.runs {
            let mut left = blocks;
            while left > 0 {
                let part = left.min(each - cell.blocks);
                cell.add(mark, part);
                left -= part;
                if cell.blocks == each {
                    cells.push(std::mem::take(&mut cell).mark());
                }
            }
        }
        if cell.blocks > 0 {
            cells.push(cell.mark());
        }
        (cells, each)
    }

    /// The map and its legend, for so many columns.
    pub(super) fn text(&self, columns: usize, colours: bool) -> String {
        let width = columns.clamp(NARROWEST + MARGIN, WIDEST) - MARGIN;
        let (cells, each) = self.cells(LINES * width as u64);
        let mut text = String::new();
        let put = |text: &mut String, mark: Mark, shown: &str| match colours {
            true => write!(text, "\u{1b}[{}m{shown}\u{1b}[0m", mark.colour()),
            false => write!(text, "{shown}"),
        };
        for (line, cells) in cells.chunks(width).enumerate() {
            let begin = BinaryBytes(line as u64 * width as u64 * each * self.unit).to_string();
            write!(text, "{begin:>0$}  ", MARGIN - 2).expect("a string takes everything");
            for run in cells.chunk_by(|one, next| one == next) {
                let shown: String = run.iter().map(|mark| mark.letter()).collect();
                put(&mut text, run[0], &shown).expect("a string takes everything");
            }
            text.push('\n');
        }
        write!(text, "\n{} disk, ", BinaryBytes(self.disk_bytes)).expect("a string takes everything");
        writeln!(text, "each character {}\n", BinaryBytes(each * self.unit)).expect("a string takes everything");
        for (mark, blocks) in self.sums() {
            text.push_str("  ");
            put(&mut text, mark, &mark.letter().to_string()).expect("a string takes everything");
            let meaning = mark.meaning(&self.groups);
            writeln!(text, "  {:>10}  {meaning}", BinaryBytes(blocks * self.unit).to_string())
                .expect("a string takes everything");
        }
        text
    }
}

/// What the legend says of the layers of an image.
pub(super) fn layers(survey: &Survey) -> Vec<String> {
    const COMMAND: usize = 60;
    let layer = |(at, layer): (usize, &SurveyedLayer)| {
        format!("layer {}  {}  {}", at + 1, short(layer.name()), command(layer, COMMAND)).trim_end().to_owned()
    };
    survey.layers.iter().enumerate().map(layer).collect()
}

/// A cell that is being filled.
#[derive(Default)]
struct Cell {
    blocks: u64,
    parts: Vec<(Mark, u64)>,
}

impl Cell {
    fn add(&mut self, mark: Mark, blocks: u64) {
        self.blocks += blocks;
        match self.parts.iter_mut().find(|(known, _)| *known == mark) {
            Some((_, sum)) => *sum += blocks,
            None => self.parts.push((mark, blocks)),
        }
    }

    /// What most of its blocks in use are for: on a large disk, little content would be nowhere
    /// otherwise.
    fn mark(self) -> Mark {
        let shows_taken = self.parts.iter().any(|(mark, _)| !mark.is_empty());
        let parts = self.parts.into_iter().filter(|(mark, _)| mark.is_empty() != shows_taken);
        // Of equal ones the first, as they stand on the disk.
        let most = parts.rev().max_by_key(|(_, blocks)| *blocks);
        most.map_or(Mark::Free, |(mark, _)| mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> Map {
        let runs = vec![
            (2, Mark::Metadata),
            (14, Mark::Reserved),
            (1, Mark::Journal),
            (15, Mark::Reserved),
            (16, Mark::Structure),
            (100, Mark::Content(0)),
            (60, Mark::Content(1)),
            (16, Mark::Free),
            (8, Mark::Content(70)),
            (280, Mark::Free),
        ];
        let groups = vec!["layer 1  0123  ADD x".to_owned(), "layer 2".to_owned()];
        Map { runs, unit: 4096, groups, disk_bytes: 512 * 4096 }
    }

    #[test]
    fn a_map_in_black_and_white() {
        let text = map().text(28, false);
        assert_eq!(text, SNAPSHOT, "{text}");
    }

    const SNAPSHOT: &str = "       0 B  #-------=-------
128.00 KiB  %%%%%%%%11111111
256.00 KiB  1111111111111111
384.00 KiB  1111111111111111
512.00 KiB  1111111111222222
640.00 KiB  2222222222222222
768.00 KiB  22222222........
896.00 KiB  ****............
  1.00 MiB  ................
  1.12 MiB  ................
  1.25 MiB  ................
  1.38 MiB  ................
  1.50 MiB  ................
  1.62 MiB  ................
  1.75 MiB  ................
  1.88 MiB  ................

2.00 MiB disk, each character 8.00 KiB

  #    8.00 KiB  superblocks, bitmaps and inode tables
  =    4.00 KiB  journal
  %   64.00 KiB  directories, links, attributes and lists of blocks
  1  400.00 KiB  layer 1  0123  ADD x
  2  240.00 KiB  layer 2
  *   32.00 KiB  layer 71
  -  116.00 KiB  reserved, and a hole in the file: journal and inode tables without content
  .    1.16 MiB  free, and a hole in the file
";

    #[test]
    fn colours_change_nothing_else() {
        let map = map();
        let coloured = map.text(80, true);
        assert!(coloured.contains("\u{1b}["), "{coloured}");
        let mut plain = String::new();
        let mut parts = coloured.split('\u{1b}');
        plain.push_str(parts.next().unwrap());
        parts.for_each(|part| plain.push_str(part.split_once('m').unwrap().1));
        assert_eq!(plain, map.text(80, false));
    }

    #[test]
    fn cells_hold_each_block_once() {
        for most in [1, 2, 7, 100, 511, 512, 513, 10_000] {
            let (cells, each) = map().cells(most);
            assert!(cells.len() as u64 <= most && cells.len() as u64 == 512u64.div_ceil(each), "{most}");
        }
        let none = Map { runs: Vec::new(), unit: 4096, groups: Vec::new(), disk_bytes: 0 };
        assert_eq!(none.cells(10).0, []);
    }

    #[test]
    fn every_kind_has_its_own_character() {
        let marks = [
            Mark::Metadata,
            Mark::Journal,
            Mark::Structure,
            Mark::Between,
            Mark::Partition,
            Mark::HashTree,
            Mark::Stale,
            Mark::Reserved,
            Mark::Free,
        ];
        let layers = (0..61).map(Mark::Content);
        let letters: std::collections::BTreeSet<char> = marks.into_iter().chain(layers).map(Mark::letter).collect();
        assert_eq!(letters.len(), 70);
        assert_eq!(Mark::Content(u32::MAX).letter(), '*');
    }
}
