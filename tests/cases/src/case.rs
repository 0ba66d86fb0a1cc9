//! A fixture: an image, and what becomes of it.
//!
//! ```text
//! layer [...]                  a layer (image/layer.rs), its entries below it (tar/mod.rs)
//! image [OS/ARCH[/VARIANT]]    one image of several: what stands below belongs to it; alg=sha512
//! docker                       Docker's media types
//! nested N                     so many indexes in front of the manifest
//! edit DOCUMENT OLD -> NEW     text of manifest, config, index or index.json, before it is named by its digest
//! set DOCUMENT TEXT            the whole text
//! tamper FILE append=|replace=CONTENT | cut=N | flip=N | delete=yes    a file that no longer is what its name says
//! platform OS/ARCH[/VARIANT]   what is asked for, instead of linux/amd64
//! args WORD…                   more of the command line;  env NAME VALUE
//! tree                         what is to stand on the disk:
//!   dir /path   file /path CONTENT | size=N   link /path -> target   hard /path -> /other/path
//!   char|block /path 1:3       fifo /path     (mode, own, mtime as in layers, where they are; atime=, ctime=, x:NAME=VALUE)
//! error                        that it fails, in one line with:
//!   in-layer N  entry "path"    says TEXT    says-any TEXT TEXT…    code N… (4 where nothing is said)
//! warns TEXT                   a warning with this text
//! ```
//! In a `tree`, parents that are not listed, and the root, are implied:
//! `dir mode=0755 own=0:0 mtime=0`.

use std::path::Path;

use crate::image::{Change, Edit, Image, Images, Layer, Tamper};
use crate::tar::Tar;
use crate::text::{Line, lines};

/// A fixture, parsed.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub images: Images,
    pub platform: Option<String>,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub expected: Expected,
    pub warnings: Vec<String>,
}

/// What is to become of an image.
#[derive(Debug)]
pub enum Expected {
    Tree(Vec<Line>),
    Error(Failure),
}

/// What an error has to say.
#[derive(Debug, Default)]
pub struct Failure {
    pub layer: Option<u32>,
    pub entry: Option<Vec<u8>>,
    pub says: Vec<Vec<String>>,
    pub codes: Vec<i32>,
}

impl Case {
    pub fn read(path: &Path) -> Case {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_stem().expect("a file name").to_string_lossy().into_owned();
        assert!(text.starts_with('#'), "{name}: a case says first which rule it is about");
        Case::parse(&name, &text)
    }

    /// Parses a case.
    ///
    /// # Panics
    /// When it is no case: whoever writes one sees which line is wrong.
    pub fn parse(name: &str, text: &str) -> Case {
        let mut case = Case {
            name: name.to_owned(),
            images: Images::default(),
            platform: None,
            args: Vec::new(),
            env: Vec::new(),
            expected: Expected::Tree(Vec::new()),
            warnings: Vec::new(),
        };
        let lines = lines(text);
        let mut at = 0;
        let mut says_what = false;
        while let Some(line) = lines.get(at) {
            let body: Vec<Line> = lines[at + 1..].iter().take_while(|line| !is_top(&line.verb)).cloned().collect();
            at += 1 + body.len();
            says_what |= matches!(line.verb.as_str(), "tree" | "error");
            case.section(line, body);
        }
        assert!(says_what, "{name}: neither a tree nor an error is expected");
        if case.images.images.is_empty() {
            case.image();
        }
        case
    }

    /// The image that a line belongs to.
    fn image(&mut self) -> &mut Image {
        if self.images.images.is_empty() {
            self.images.images.push(Image::default());
        }
        self.images.images.last_mut().expect("there is one now")
    }

    fn section(&mut self, line: &Line, body: Vec<Line>) {
        let empty = body.is_empty();
        match line.verb.as_str() {
            "layer" => {
                let mut tar = Tar::default();
                body.iter().for_each(|line| tar.line(line));
                self.image().layers.push(Layer::from_line(line, tar));
                return;
            }
            "tree" => {
                self.expected = Expected::Tree(body);
                return;
            }
            "error" => {
                self.expected = Expected::Error(failure(&body));
                return;
            }
            "image" => {
                let platform = line.words.first().map(|_| line.text(0));
                self.images.images.push(Image { platform, algorithm: line.key_text("alg"), ..Image::default() });
            }
            "docker" => self.images.docker = true,
            "nested" => self.images.nested = line.text(0).parse().expect("a number"),
            "edit" | "set" => {
                let document = line.text(0);
                let (old, new) =
                    if line.verb == "set" { (&b""[..], line.word(1)) } else { (line.word(1), line.word(2)) };
                let edit = Edit { document, old: old.to_vec(), new: new.to_vec() };
                let edits = match edit.document.as_str() {
                    "index" | "index.json" => &mut self.images.edits,
                    _ => &mut self.image().edits,
                };
                edits.push(edit);
            }
            "tamper" => self.images.tampers.push(Tamper { file: line.text(0), change: change(line) }),
            "platform" => self.platform = Some(line.text(0)),
            "args" => self.args.extend((0..line.words.len()).map(|at| line.text(at))),
            "env" => self.env.push((line.text(0), line.text(1))),
            "warns" => self.warnings.push(line.text(0)),
            other => panic!("line {}: {other} stands nowhere", line.number),
        }
        assert!(empty, "line {}: {} has nothing below it", line.number, line.verb);
    }
}

fn is_top(verb: &str) -> bool {
    let sections = ["layer", "tree", "error", "image", "docker", "nested", "edit", "set", "tamper", "platform", "args"];
    sections.contains(&verb) || matches!(verb, "env" | "warns")
}

fn change(line: &Line) -> Change {
    line.only_keys(&["append", "replace", "cut", "flip", "delete"], &[]);
    if let Some(more) = line.key("append") {
        Change::Append(more.to_vec())
    } else if let Some(new) = line.key("replace") {
        Change::Replace(new.to_vec())
    } else if let Some(len) = line.number("cut") {
        Change::Cut(len)
    } else if let Some(at) = line.number("flip") {
        Change::Flip(at)
    } else {
        assert!(line.key("delete").is_some(), "line {}: tamper changes something", line.number);
        Change::Delete
    }
}

fn failure(body: &[Line]) -> Failure {
    let mut failure = Failure::default();
    for line in body {
        let texts = || (0..line.words.len()).map(|at| line.text(at)).collect();
        match line.verb.as_str() {
            // `layer` opens a layer everywhere else, so the error's own word for it is another.
            "in-layer" => failure.layer = Some(line.text(0).parse().expect("a number")),
            "entry" => failure.entry = Some(line.word(0).to_vec()),
            "says" | "says-any" => failure.says.push(texts()),
            "code" => {
                failure.codes = (0..line.words.len()).map(|at| line.text(at).parse().expect("a number")).collect()
            }
            other => panic!("line {}: an error has no {other}", line.number),
        }
    }
    failure
}
