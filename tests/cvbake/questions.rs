//! What is asked before a bake: `tree`, `explain`, `image df` and `inspect`. The answers are held
//! to the disk that the bake then makes.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value;

use crate::cases::{bake, files, group_of};
use crate::support::bake::{Bake, Place, binary, names};
use crate::support::case::Case;
use crate::support::image::{Compression, Edit, Image, Images, Layer};
use crate::support::run::Outcome;
use crate::support::tar::{Member, Tar};
use crate::support::tools::{is_root, succeed, tool};
use crate::support::{ext4, sample};

/// Three layers, each with a command, that add, replace and remove.
fn layered() -> Place {
    let texts = [
        "dir ./ mode=0755
         dir usr
         dir usr/lib
         link lib -> usr/lib
         dir etc
         file etc/a rand:5000:1 own=1:2
         hard etc/same -> etc/a
         file etc/gone rand:9000:2
         file opt/d/x \"old\"
         file opt/d/y \"old\"
         file opt/whole/deep/z \"old\"
         dir turned
         file turned/f \"old\"",
        "file etc/.wh.gone
         file etc/a rand:20000:3 mode=4755
         file lib/new \"new\"
         file opt/.wh.whole
         dir etc mode=0700",
        "dir opt/d
         file opt/d/.wh..wh..opq
         file opt/d/x rand:100:4
         file turned \"now a file\"
         hard usr/again -> etc/same
         link circle -> circle
         link to -> lib/new",
    ];
    let history = r#""history":[{"created_by":"ADD one"},{"created_by":"ENV x","empty_layer":true},{"created_by":"RUN two"},{"created_by":"RUN  <b>three</b>"}],"config":{}"#;
    let edit =
        Edit { document: "config".to_owned(), old: br#""config":{}"#.to_vec(), new: history.as_bytes().to_vec() };
    let layers = texts.iter().map(|text| sample::layer(text, Compression::Gzip)).collect();
    let image = Image { layers, edits: vec![edit], ..Image::default() };
    Place::with(&Images { images: vec![image], ..Images::default() })
}

fn source(place: &Place) -> String {
    format!("oci:{}:latest", place.path().join("image").display())
}

/// A question about the place's image.
fn ask(place: &Place, command: &[&str], more: &[&str]) -> Bake {
    let (command, before) = command.split_at(if command[0] == "image" { 2 } else { 1 });
    let bake = Bake::of(command).args(before).arg(source(place)).args(more).platform("linux/amd64");
    bake.store(&place.store()).env("HOME", place.path().join("home"))
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// A text without the digests in it.
fn without_digests(text: &str) -> String {
    let mut shown = String::new();
    for word in text.split_inclusive([' ', '\n']) {
        let is_digest = |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_digest(word.trim_end()) {
            true => shown.push_str(&word.replace(word.trim_end(), "DIGEST")),
            false => shown.push_str(word),
        }
    }
    shown
}

#[test]
fn a_tree_for_people() {
    let place = layered();
    let outcome = ask(&place, &["tree"], &[]).ok();
    assert_eq!(outcome.stderr, "");
    let expected = "\
MODE        OWNER       SIZE  LAYER           PATH
drwxr-xr-x  0:0    40.00 KiB  1 DIGEST  /
drwx------  0:0    28.00 KiB  2 DIGEST  ├── etc/
-rwsr-xr-x  0:0    20.00 KiB  2 DIGEST  │   ├── a
-rw-r--r--  1:2     8.00 KiB  1 DIGEST  │   └── same
drwxr-xr-x  0:0     4.00 KiB  -               ├── opt/
drwxr-xr-x  0:0     4.00 KiB  3 DIGEST  │   └── d/
-rw-r--r--  0:0     4.00 KiB  3 DIGEST  │       └── x
drwxr-xr-x  0:0     4.00 KiB  1 DIGEST  ├── usr/
drwxr-xr-x  0:0     4.00 KiB  1 DIGEST  │   ├── lib/
-rw-r--r--  0:0     4.00 KiB  2 DIGEST  │   │   └── new
-rw-r--r--  1:2     8.00 KiB  1 DIGEST  │   └── again = /etc/same
lrwxrwxrwx  0:0            -  3 DIGEST  ├── circle -> circle
lrwxrwxrwx  0:0            -  1 DIGEST  ├── lib -> usr/lib
lrwxrwxrwx  0:0            -  3 DIGEST  ├── to -> lib/new
-rw-r--r--  0:0     4.00 KiB  3 DIGEST  └── turned
6 directories, 9 files, 40.00 KiB
";
    assert_eq!(without_digests(&outcome.stdout), expected);
    let below = ask(&place, &["tree"], &["lib/", "--depth", "0"]).ok();
    assert_eq!(below.stdout.lines().nth(1).unwrap().split(' ').next_back(), Some("/usr/lib/"), "{}", below.describe());
    assert_eq!(below.stdout.lines().count(), 3, "{}", below.describe());
    let link = ask(&place, &["tree"], &["lib"]).ok();
    assert!(link.stdout.contains("  /lib -> usr/lib\n"), "{}", link.describe());
    let deeper = ask(&place, &["tree"], &["--depth", "1"]).ok();
    assert_eq!(deeper.stdout.lines().count(), 2 + 7 + 1, "{}", deeper.describe());
}

/// A path in an answer as listings write it.
fn listed(entry: &Value, key: &str) -> String {
    let hex = entry.get(format!("{key}_hex")).and_then(Value::as_str);
    let text = entry[key].as_str().unwrap();
    match hex {
        None => cvbake::tree::escape(text.as_bytes()),
        Some(hex) => {
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            cvbake::tree::escape(&(0..hex.len()).step_by(2).map(byte).collect::<Vec<_>>())
        }
    }
}

/// The lines of a listing, as far as a tree says the same.
fn briefly(listing: &str) -> BTreeSet<String> {
    let is_kept = |word: &&str| ["target=", "size=", "device="].iter().any(|start| word.starts_with(start));
    let brief = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        [&words[..4], &words[4..].iter().copied().filter(is_kept).collect::<Vec<_>>()].concat().join(" ")
    };
    listing.lines().map(brief).collect()
}

/// The same of a tree.
fn brief_tree(outcome: &Outcome) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in json(outcome)["entries"].as_array().unwrap() {
        if entry.get("same_as").is_some() {
            continue;
        }
        let number = |key: &str| entry[key].as_u64().unwrap();
        let mut line = format!(
            "{} {} {} {}:{}",
            listed(entry, "path"),
            entry["kind"].as_str().unwrap(),
            entry["mode"].as_str().unwrap(),
            number("uid"),
            number("gid")
        );
        for (key, name) in [("bytes", "size"), ("device", "device")] {
            if let Some(value) = entry.get(key) {
                line += &format!(" {name}={}", value.to_string().trim_matches('"'));
            }
        }
        if entry.get("target").is_some() {
            line += &format!(" target={}", listed(entry, "target"));
        }
        assert!(found.insert(line), "twice: {entry}");
    }
    found
}

#[test]
fn a_tree_says_what_the_disk_has() {
    for place in [Place::with(&sample::varied()), layered()] {
        let cold = ask(&place, &["tree"], &["--json"]).ok();
        assert!(!place.store().exists(), "a question keeps nothing");
        place.bake().ok();
        assert_eq!(brief_tree(&cold), briefly(&ext4::listing(&place.disk())));
        let warm = ask(&place, &["tree"], &["--json"]).ok();
        assert_eq!(warm.stdout, cold.stdout, "warm and cold");
        assert_eq!(ask(&place, &["tree"], &["--json", "--no-cache"]).ok().stdout, cold.stdout);
        place.assert_no_leftovers(&["disk.ext4"]);
    }
}

/// Every rule of the merge holds for what is told before: the fixtures that are about it.
#[test]
fn fixtures_are_told_as_they_are_baked() {
    const GROUPS: [&str; 7] = ["whiteouts", "hardlinks", "symlinks", "directories", "duplicates", "parents", "hostile"];
    let mut told = 0;
    for file in files().into_iter().filter(|file| GROUPS.contains(&group_of(file).as_str())) {
        let case = Case::read(&file);
        let place = Place::with(&case.images);
        let mut asked = ask(&place, &["tree"], &["--json", "--no-cache"]);
        if let Some(platform) = &case.platform {
            asked = asked.platform(platform);
        }
        for (name, value) in &case.env {
            asked = asked.env(name, value);
        }
        let (asked, baked) = (asked.run(), bake(&case, &place).run());
        match (asked.code, baked.code) {
            (Some(0), Some(0)) => {
                let on_disk = ext4::listing(&place.disk());
                assert_eq!(brief_tree(&asked), briefly(&on_disk), "{}", case.name);
                told += 1;
            }
            // What only a filesystem refuses is no fault of the image.
            (Some(0), Some(5)) => {}
            (asked_code, baked_code) => {
                assert_eq!(asked_code, baked_code, "{}: {}", case.name, asked.describe());
                assert_eq!(asked.error(&[4]), baked.error(&[4]), "{}", case.name);
            }
        }
    }
    assert!(told > 60, "{told} fixtures were told and baked");
}

/// What the argument is decides what is shown of it.
#[test]
fn disks_and_images() {
    let place = layered();
    place.bake().ok();
    let disk = place.disk().display().to_string();
    let shown = Bake::of(&["inspect", &disk]).ok();
    assert!(shown.stdout.contains("filesystem  ext4"), "{}", shown.describe());
    for (args, problem) in [
        (&["--size", "min"][..], "--size is about a disk that an image would make"),
        (&["--map", "--no-journal"], "--no-journal is about a disk that an image would make"),
        (&["--against", &source(&place)], "--against changes nothing without --map or --html"),
    ] {
        let refused = Bake::of(&["inspect", &disk]).args(args).run();
        assert!(refused.error(&[2]).contains(problem), "{}", refused.describe());
    }
    for args in [
        &["inspect", &source(&place)][..],
        &["verify", &source(&place), "--against", &disk],
        &["diff", &disk, &source(&place)],
    ] {
        let refused = Bake::of(args).run();
        assert!(refused.error(&[2]).contains("expected a disk, found the name of an image"), "{}", refused.describe());
    }
    let refused = Bake::of(&["inspect", &source(&place), "--map", "--against", &source(&place)]).run();
    assert!(refused.error(&[2]).contains("--against is about a disk"), "{}", refused.describe());
    Bake::of(&["inspect", &source(&place), "--map", "--json"]).run().error(&[2]);
}

/// The legend of a map: by character, how much there is of it.
fn legend(map: &str) -> Vec<(char, String)> {
    let lines = map.lines().skip_while(|line| !line.is_empty()).filter(|line| line.starts_with("  "));
    lines.map(|line| (line.chars().nth(2).unwrap(), line[3..].trim_start().to_owned())).collect()
}

/// The map of a disk is the one that was drawn before the disk was there, if the image is named.
#[test]
fn a_disk_is_drawn_as_it_was_planned() {
    let place = layered();
    place.bake().ok();
    let disk = place.disk().display().to_string();
    let planned = ask(&place, &["inspect"], &["--map"]).ok().stdout;
    let with = ["inspect", &disk, "--map", "--no-cache", "--platform", "linux/amd64"];
    let found = Bake::of(&with).arg("--against").arg(source(&place)).ok().stdout;
    assert_eq!(legend(&found), legend(&planned), "{planned}\n{found}");
    assert_eq!(found, planned);
    let alone = Bake::of(&["inspect", &disk, "--map"]).ok().stdout;
    let legend = legend(&alone);
    assert_eq!(legend.iter().find(|(character, _)| *character == '1').unwrap().1, "28.00 KiB  /etc", "{alone}");
    assert!(!alone.contains("layer"), "{alone}");
}

/// The page about a disk: by directory, and by layer with the image; whatever the names are.
#[test]
fn a_page_about_a_disk() {
    let place = layered();
    place.bake().ok();
    let disk = place.disk().display().to_string();
    let html = |name: &str| place.path().join("out").join(name);
    Bake::of(&["inspect", &disk, "--html"]).arg(html("disk.html")).ok();
    let read = read_page(&place, "disk.html");
    assert_eq!((&read["odd"], &read["data"]["layered"]), (&serde_json::json!([]), &false.into()));
    assert_eq!(read["data"]["nodes"][0], serde_json::json!([0, "/", 40 << 10, -2, 14]), "with /lost+found");
    let with = ["inspect", &disk, "--no-cache", "--platform", "linux/amd64", "--html"];
    Bake::of(&with).arg(html("layers.html")).arg("--against").arg(source(&place)).ok();
    let read = read_page(&place, "layers.html");
    assert_eq!((&read["odd"], &read["data"]["layered"]), (&serde_json::json!([]), &true.into()));
    assert!(read["text"].as_str().unwrap().contains("RUN <b>three</b>"));
    let nodes = read["data"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.iter().find(|node| node[1] == "a").unwrap()[3], 1);
}

/// Partitions, and what is between them.
#[test]
fn a_map_of_partitions() {
    let place = layered();
    place.bake().ok();
    let parts = place.path().join("parts.raw");
    let disk = place.disk();
    let sectors = std::fs::metadata(&disk).unwrap().len() / 512;
    std::fs::File::create(&parts).unwrap().set_len((sectors + 16384) * 512).unwrap();
    let root = format!("2:8192:{}", 8192 + sectors - 1);
    succeed(tool("sgdisk", "gdisk").args(["-n", "1:2048:6143", "-t", "1:ef00", "-n", &root]).arg(&parts));
    succeed(
        tool("dd", "coreutils").arg(format!("if={}", disk.display())).arg(format!("of={}", parts.display())).args([
            "bs=512",
            "seek=8192",
            "conv=notrunc,sparse",
            "status=none",
        ]),
    );
    let map = Bake::of(&["inspect", "--map"]).arg(&parts).ok().stdout;
    let legend = legend(&map);
    let of = |wanted: char| legend.iter().find(|(character, _)| *character == wanted).map(|(_, text)| text.as_str());
    assert_eq!(of('@'), Some("2.00 MiB  other partitions"), "{map}");
    assert!(of('+').is_some_and(|text| text.ends_with("partition tables, and what no partition has")), "{map}");
    assert_eq!(of('1'), Some("28.00 KiB  /etc"), "{map}");
}

#[test]
fn maps_on_a_terminal() {
    let place = layered();
    let shown = |setup: &str, columns: u32| {
        let (cvbake, user) = (binary().display(), "setpriv --reuid 65534 --regid 65534 --clear-groups");
        let user = if is_root() { user } else { "" };
        let line = format!(
            "stty cols {columns}; {setup} exec {user} {cvbake} inspect {} --map --no-cache --platform linux/amd64",
            source(&place)
        );
        let mut command = tool("script", "bsdutils");
        command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR").stdin(Stdio::null());
        succeed(command.env("HOME", place.path().join("home"))).replace('\r', "")
    };
    let map = |text: &str| -> Vec<String> {
        let start = text.find("       0 B  ").unwrap_or_else(|| panic!("{text}"));
        text[start..].lines().take_while(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    };
    let (coloured, plain) = (shown("", 60), shown("NO_COLOR=1", 60));
    assert!(coloured.contains("\u{1b}[32m1"), "{coloured:?}");
    let plain = map(&plain);
    assert!(!plain.concat().contains('\u{1b}'), "{plain:?}");
    assert_eq!(plain.iter().map(|line| line.len()).max(), Some(60), "{plain:?}");
    let wide = map(&shown("NO_COLOR=1", 120));
    assert_eq!(wide.iter().map(|line| line.len()).max(), Some(120), "{wide:?}");
}

#[test]
fn where_paths_come_from() {
    let place = layered();
    let table = [
        (
            "/etc/a",
            "/etc/a: regular file 4755 0:0, 19.53 KiB

layer 1  DIGEST  ADD one
  added: regular file 0644 1:2, 4.88 KiB

layer 2  DIGEST  RUN two
  replaced what was there: regular file 4755 0:0, 19.53 KiB
",
        ),
        (
            "etc/gone",
            "/etc/gone: not on the disk

layer 1  DIGEST  ADD one
  added: regular file 0644 0:0, 8.79 KiB

layer 2  DIGEST  RUN two
  removed by the whiteout etc/.wh.gone
",
        ),
        (
            "opt/whole/deep/z",
            "/opt/whole/deep/z: not on the disk

layer 1  DIGEST  ADD one
  added: regular file 0644 0:0, 3 B

layer 2  DIGEST  RUN two
  removed by the whiteout opt/.wh.whole
",
        ),
        (
            "opt/d/x",
            "/opt/d/x: regular file 0644 0:0, 100 B

layer 1  DIGEST  ADD one
  added: regular file 0644 0:0, 3 B

layer 3  DIGEST  RUN <b>three</b>
  removed by the opaque marker opt/d/.wh..wh..opq
  added: regular file 0644 0:0, 100 B
",
        ),
        (
            "/turned/f",
            "/turned/f: not on the disk

layer 1  DIGEST  ADD one
  added: regular file 0644 0:0, 3 B

layer 3  DIGEST  RUN <b>three</b>
  removed with /turned, which is a regular file now
",
        ),
        (
            "/lib/new",
            "/usr/lib/new: regular file 0644 0:0, 3 B
  by way of /lib -> usr/lib, by layer 1

layer 2  DIGEST  RUN two
  added: regular file 0644 0:0, 3 B
",
        ),
        (
            "usr/again",
            "/usr/again: regular file 0644 1:2, 4.88 KiB
  also called /etc/same

layer 3  DIGEST  RUN <b>three</b>
  added: regular file 0644 1:2, 4.88 KiB (hard link to a file of layer 1)
",
        ),
        (
            "to",
            "/to: symbolic link 0777 0:0 -> lib/new
  leads to /usr/lib/new

layer 3  DIGEST  RUN <b>three</b>
  added: symbolic link 0777 0:0 -> lib/new
",
        ),
        (
            "etc",
            "/etc: directory 0700 0:0

layer 1  DIGEST  ADD one
  added: directory 0755 0:0

layer 2  DIGEST  RUN two
  changed its attributes: directory 0700 0:0
",
        ),
        (
            "opt",
            "/opt: directory that only its content implies

layer 1  DIGEST  ADD one
  added: directory that only its content implies
",
        ),
    ];
    for (path, expected) in table {
        let outcome = ask(&place, &["explain"], &[path]).ok();
        assert_eq!(without_digests(&outcome.stdout), expected, "{path}");
    }
    let answer = json(&ask(&place, &["explain"], &["lib/new", "--json"]).ok());
    assert_eq!(answer["links"], serde_json::json!([{ "path": "/lib", "target": "usr/lib", "layer": 1 }]));
    assert_eq!((&answer["present"], &answer["layer"]), (&true.into(), &2.into()));
    let answer = json(&ask(&place, &["explain"], &["etc/gone", "--json"]).ok());
    assert_eq!((&answer["present"], &answer["layer"]), (&false.into(), &Value::Null));
    assert_eq!(answer["history"][1]["change"], "whiteout");
    assert_eq!(answer["history"][1]["marker"], "etc/.wh.gone");
}

/// Whatever a layer is said to describe has the attributes that the disk has.
#[test]
fn every_file_is_explained() {
    let place = layered();
    for entry in json(&ask(&place, &["tree"], &["--json"]).ok())["entries"].as_array().unwrap() {
        let path = entry["path"].as_str().unwrap();
        let answer = json(&ask(&place, &["explain"], &[path, "--json"]).ok());
        assert_eq!((&answer["present"], &answer["layer"]), (&true.into(), &entry["layer"]), "{path}");
        let history = answer["history"].as_array().unwrap();
        let last = history.iter().rev().find(|step| step.get("kind").is_some());
        let Some(last) = last else {
            assert_eq!(path, "/");
            continue;
        };
        if last.get("mode").is_some() {
            for key in ["mode", "uid", "gid", "mtime"] {
                assert_eq!(last[key], entry[key], "{path}: {key}");
            }
            assert_eq!(last["described_by"], entry["layer"], "{path}");
        }
    }
}

#[test]
fn what_is_not_there() {
    let place = layered();
    for (command, path, hint) in [
        ("tree", "/nothing", "`cvbake explain "),
        ("tree", "etc/gone", "`cvbake explain "),
        ("tree", "turned/f", "`cvbake explain "),
        ("explain", "nothing", "`cvbake tree "),
        ("explain", "etc/a/below", "`cvbake tree "),
        ("explain", "circle/x", ""),
    ] {
        let outcome = ask(&place, &[command], &[path]).run();
        let error = outcome.error(&[3]).to_owned();
        assert!(error.contains(path.trim_start_matches('/')), "{error}");
        assert!(outcome.stderr.contains(hint) && outcome.stdout.is_empty(), "{}", outcome.describe());
    }
    for args in [
        &["tree"][..],
        &["explain", "oci:x"],
        &["inspect"],
        &["image", "df"],
        &["inspect", "oci:x"],
        &["inspect", "oci:x", "--map", "--force"],
        &["tree", "oci:x", "--depth", "-1"],
        &["image", "df", "oci:x", "--top", "many"],
    ] {
        Bake::of(args).run().error(&[2]);
    }
    for command in [&["tree"][..], &["image", "df"], &["inspect", "--map"]] {
        let outcome = Bake::of(command).arg(format!("oci:{}", place.path().join("out").display())).run();
        outcome.error(&[3]);
    }
}

#[test]
fn what_takes_the_space() {
    let place = layered();
    let text = ask(&place, &["image", "df"], &["--top", "2"]).ok().stdout;
    let rows: Vec<Vec<&str>> =
        text.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(rows[0], ["LAYER", "DIGEST", "COMPRESSED", "UNPACKED", "ON DISK", "WASTED", "FILES", "CREATED BY"]);
    let cells = |at: usize| rows[at][3..].to_vec();
    assert_eq!(cells(1), ["36.00 KiB", "8.00 KiB", "28.00 KiB", "5", "ADD one"]);
    assert_eq!(cells(2), ["24.00 KiB", "24.00 KiB", "0 B", "3", "RUN two"]);
    assert_eq!(cells(3), ["8.00 KiB", "8.00 KiB", "0 B", "5", "RUN <b>three</b>"]);
    assert_eq!(rows[4][2..], ["68.00 KiB", "40.00 KiB", "28.00 KiB", "13"]);
    let large = |title: &str| -> Vec<String> {
        let rows = rows.iter().skip_while(|row| row.get(2).is_none_or(|cell| *cell != title)).skip(1);
        rows.take_while(|row| !row.is_empty()).map(|row| format!("{} {}", row[0], row[2])).collect()
    };
    assert_eq!(large("LARGEST FILES"), ["20.00 KiB /etc/a", "8.00 KiB /etc/same"]);
    assert_eq!(large("LARGEST DIRECTORIES"), ["28.00 KiB /etc", "4.00 KiB /opt"]);
    let answer = json(&ask(&place, &["image", "df"], &["--json"]).ok());
    assert_eq!(answer["wasted_bytes"], 28 << 10);
    let sum =
        |key: &str| answer["layers"].as_array().unwrap().iter().map(|layer| layer[key].as_u64().unwrap()).sum::<u64>();
    for key in ["bytes", "unpacked_bytes", "disk_bytes", "wasted_bytes"] {
        assert_eq!(answer[key], sum(key), "{key}");
    }
    let none = ask(&place, &["image", "df"], &["--top", "0"]).ok();
    assert_eq!(none.stdout.lines().count(), 5, "{}", none.describe());
}

#[test]
fn a_map_of_the_disk() {
    let place = layered();
    let map = ask(&place, &["inspect"], &["--map", "--size", "min", "--no-journal"]).ok();
    let drawn: Vec<&str> = map.stdout.lines().take_while(|line| !line.is_empty()).collect();
    assert!(drawn.iter().all(|line| line.chars().count() <= 80), "{}", map.describe());
    for character in ['#', '%', '1', '2', '3'] {
        assert!(drawn.concat()[10..].contains(character), "{character}: {}", map.describe());
    }
    for text in ["superblocks", "layer 2  ", "RUN two", "hole in the file"] {
        assert!(map.stdout.contains(text), "{text}: {}", map.describe());
    }
    assert!(map.stdout.is_ascii() && !map.stdout.contains('\u{1b}'), "no terminal, no colours");
    assert!(names(&place.path().join("out")).is_empty() && !place.store().exists(), "nothing is written");
    // The plan is that of the bake.
    let bytes = |args: &[&str]| {
        let plan = place.bake().args(["--dry-run", "--json"]).args(args).ok();
        json(&plan)["disk_bytes"].as_u64().unwrap()
    };
    for (args, text) in
        [(&["--size", "64M"][..], "64.00 MiB disk"), (&["--size", "1G", "--no-journal"], "1.00 GiB disk")]
    {
        let map = ask(&place, &["inspect", "--map"], args).ok();
        assert!(map.stdout.contains(text), "{} {}", bytes(args), map.describe());
    }
}

/// Reads a page as a browser would, without running it: prints its elements, what is wrong with
/// their attributes, its text, and its data.
const READ_PAGE: &str = r#"
import html.parser, json, sys
class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.odd, self.texts, self.data, self.at = {}, [], [], "", []
    def handle_starttag(self, tag, attributes):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        known = {"lang", "charset", "http-equiv", "content", "name", "type", "id", "class", "role"}
        self.odd += [f"{tag} {key}" for key, _ in attributes if key not in known and not key.startswith("aria-")]
        self.is_data = ("id", "data") in attributes
        self.at.append(tag)
    def handle_endtag(self, tag):
        while self.at and self.at.pop() != tag: pass
    def handle_data(self, data):
        if self.at and self.at[-1] == "script":
            if self.is_data: self.data += data
        else: self.texts.append(data)
page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
page.close()
print(json.dumps({"tags": page.tags, "odd": page.odd, "text": " ".join(page.texts), "data": json.loads(page.data)}))
"#;

fn read_page(place: &Place, name: &str) -> Value {
    let path = place.path().join("out").join(name);
    let text = succeed(tool("python3", "python3").args(["-c", READ_PAGE]).arg(path));
    serde_json::from_str(&text).unwrap()
}

fn page(place: &Place, name: &str, more: &[&str]) -> Bake {
    ask(place, &["inspect"], more).arg("--html").arg(place.path().join("out").join(name))
}

#[test]
fn a_page_for_a_browser() {
    let place = layered();
    let outcome = page(&place, "page.html", &[]).ok();
    assert!(outcome.stdout.starts_with("Drew ") && outcome.stderr.is_empty(), "{}", outcome.describe());
    let read = read_page(&place, "page.html");
    assert_eq!(read["odd"], serde_json::json!([]));
    let text = read["text"].as_str().unwrap();
    assert!(text.contains("RUN <b>three</b>") && text.contains("36.00 KiB"), "{text}");
    let nodes = read["data"]["nodes"].as_array().unwrap();
    assert_eq!(nodes[0], serde_json::json!([0, "/", 40 << 10, -2, 13]));
    let find = |name: &str| nodes.iter().find(|node| node[1] == name).unwrap();
    assert_eq!((&find("a")[2], &find("a")[3]), (&(20 << 10).into(), &1.into()));
    assert_eq!((&find("same")[2], &find("same")[3]), (&(8 << 10).into(), &0.into()));
    for node in &nodes[1..] {
        assert!(node[0].as_u64().unwrap() < nodes.len() as u64);
    }
    // Same question, same bytes.
    page(&place, "other.html", &[]).ok();
    let bytes = |name: &str| std::fs::read(place.path().join("out").join(name)).unwrap();
    assert!(bytes("page.html") == bytes("other.html"));
    let before = bytes("page.html");
    page(&place, "page.html", &["--no-journal"]).run().error(&[6]);
    assert!(bytes("page.html") == before);
    page(&place, "page.html", &["--no-journal", "--force"]).ok();
    assert!(bytes("page.html") != before);
    page(&place, "no/such/directory.html", &[]).run().error(&[6]);
    assert_eq!(names(&place.path().join("out")), ["other.html", "page.html"]);
}

#[test]
fn names_that_act() {
    let evil =
        "\u{1b}[2J\u{7f}\u{9b}\u{2028}\u{202e}\n\t</script><script>alert(1)</script><img src=x onerror=alert(1)>";
    let evil = evil.replace('/', "\u{2215}").into_bytes();
    let mut members = vec![];
    for (at, end) in [&b""[..], b"</title>", b"\" onload=\"x", b"\xff\xfe", b"-->"].iter().enumerate() {
        let name = [&evil[..], &end.iter().copied().filter(|&byte| byte != b'/').collect::<Vec<_>>()].concat();
        members.push(Member::file(&name, &vec![b'x'; 5000 + at]));
    }
    let place = Place::with(&Images::of(vec![Layer::new(Tar::of(&members), Compression::Gzip)]));
    let is_evil =
        |character: char| (character < ' ' && character != '\n') || "\u{7f}\u{9b}\u{2028}\u{202e}".contains(character);
    for command in
        [&["tree"][..], &["tree", "--json"], &["image", "df"], &["image", "df", "--json"], &["inspect", "--map"]]
    {
        let outcome = ask(&place, command, &[]).ok();
        assert!(!outcome.stdout.contains(is_evil), "{command:?}: {}", outcome.describe());
    }
    let text = ask(&place, &["tree"], &[]).ok().stdout;
    assert_eq!(text.lines().count(), 2 + 5 + 1, "each name stays on its line: {text}");
    assert!(text.contains("\\u{1b}[2J") && text.contains("\\xff\\xfe"), "{text}");
    page(&place, "page.html", &[]).ok();
    let read = read_page(&place, "page.html");
    assert_eq!((&read["odd"], &read["tags"]["script"]), (&serde_json::json!([]), &2.into()));
    assert_eq!((&read["tags"]["img"], &read["tags"]["title"]), (&Value::Null, &1.into()));
    let whole = std::fs::read_to_string(place.path().join("out/page.html")).unwrap();
    assert!(!whole.contains("onerror=alert(1)>") && !whole.contains(is_evil));
    let path = std::ffi::OsString::from(String::from_utf8(evil.clone()).unwrap());
    let told = ask(&place, &["explain"], &[]).arg(path).ok();
    assert!(!told.stdout.contains(is_evil), "{}", told.describe());
    let missing = ask(&place, &["explain"], &["x\u{1b}[2J\u{202e}"]).run();
    assert!(!missing.error(&[3]).contains(is_evil), "{}", missing.describe());
}

#[test]
fn a_hundred_thousand_files() {
    const COUNT: u64 = 100_000;
    let name = |at: u64| format!("dir{}/a-file-with-number-{at}", at % 500);
    let members: Vec<_> = (0..COUNT).map(|at| Member::file(name(at).as_bytes(), b"some bytes")).collect();
    let place = Place::with(&Images::of(vec![Layer::new(Tar::of(&members), Compression::Gzip)]));
    let limit = 64 * 1024 + COUNT * 200 / 1024;
    for (command, most) in [
        (&["tree"][..], 200 * COUNT),
        (&["tree", "--json"], 400 * COUNT),
        (&["image", "df"], 100_000),
        (&["inspect", "--map"], 10_000),
    ] {
        let outcome = ask(&place, command, &[]).ok();
        assert!(outcome.peak_kib <= limit, "{command:?}: {} KiB, {limit} allowed", outcome.peak_kib);
        assert!((outcome.stdout.len() as u64) < most, "{command:?}: {} bytes", outcome.stdout.len());
    }
    let told = ask(&place, &["explain"], &[&name(COUNT - 1)]).ok();
    assert!(told.stdout.contains("added: regular file") && told.peak_kib <= limit, "{}", told.peak_kib);
    let outcome = page(&place, "page.html", &[]).ok();
    assert!(outcome.peak_kib <= limit, "{} KiB, {limit} allowed", outcome.peak_kib);
    let len = std::fs::metadata(place.path().join("out/page.html")).unwrap().len();
    assert!(len < 3 << 20, "{len} bytes");
    let nodes = read_page(&place, "page.html")["data"]["nodes"].as_array().unwrap().clone();
    let below: u64 = nodes.iter().filter(|node| node[3] != -2).map(|node| node[4].as_u64().unwrap()).sum();
    assert_eq!(below, COUNT, "every file is somewhere");
    let bytes: u64 = nodes.iter().filter(|node| node[3] != -2).map(|node| node[2].as_u64().unwrap()).sum();
    assert_eq!((nodes[0][2].as_u64(), bytes), (Some(COUNT * 4096), COUNT * 4096));
}
