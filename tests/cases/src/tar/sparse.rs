//! GNU's four ways of writing a file with holes. Maps and sizes are taken as they are, so that they
//! can lie.

use super::{Header, Member};
use crate::text::Line;

type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// Changes an entry to what `sparse=… map=… real=…` asks for, and returns the bytes behind its
/// header.
pub(crate) fn apply(line: &Line, member: &mut Member, records: &mut Records, header: &mut Header) -> Vec<u8> {
    let map = line.key_text("map").expect("sparse has a map");
    let real = line.key_text("real").expect("sparse has a real size");
    let map: Vec<(&str, &str)> =
        map.split(',').filter(|run| !run.is_empty()).map(|run| run.split_once(':').expect("OFFSET:LENGTH")).collect();
    let count = line.key_text("numblocks").unwrap_or_else(|| map.len().to_string());
    let mut put = |key: &str, value: &str| records.push((key.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let stored = member.content.clone();
    match line.key_text("sparse").expect("the caller saw it").as_str() {
        "old" => return old(&map, &real, member, header),
        "0.0" => {
            put("GNU.sparse.size", &real);
            put("GNU.sparse.numblocks", &count);
            for (offset, len) in &map {
                put("GNU.sparse.offset", offset);
                put("GNU.sparse.numbytes", len);
            }
        }
        "0.1" => {
            put("GNU.sparse.size", &real);
            put("GNU.sparse.numblocks", &count);
            put("GNU.sparse.name", std::str::from_utf8(&member.path).unwrap());
            let runs: Vec<String> = map.iter().map(|(offset, len)| format!("{offset},{len}")).collect();
            put("GNU.sparse.map", &runs.join(","));
            hide_name(member);
        }
        "1.0" => {
            put("GNU.sparse.major", "1");
            put("GNU.sparse.minor", "0");
            put("GNU.sparse.name", std::str::from_utf8(&member.path).unwrap());
            put("GNU.sparse.realsize", &real);
            hide_name(member);
            let mut text = format!("{count}\n");
            map.iter().for_each(|(offset, len)| text.push_str(&format!("{offset}\n{len}\n")));
            let mut bytes = text.into_bytes();
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            return [bytes, stored].concat();
        }
        other => panic!("line {}: no sparse form is called {other}", line.number),
    }
    stored
}

/// GNU tar's own name for a sparse file, which a reader that knows nothing of them would show.
fn hide_name(member: &mut Member) {
    member.path = b"GNUSparseFile.1/x".to_vec();
}

fn old(map: &[(&str, &str)], real: &str, member: &mut Member, header: &mut Header) -> Vec<u8> {
    let octal = |number: &str| format!("{:011o}\0", number.parse::<u64>().expect("a number")).into_bytes();
    let runs = |runs: &[(&str, &str)]| runs.iter().flat_map(|(at, len)| [octal(at), octal(len)].concat()).collect();
    let runs: Vec<Vec<u8>> =
        [&map[..map.len().min(4)]].into_iter().chain(map[map.len().min(4)..].chunks(21)).map(runs).collect();
    member.flag = b'S';
    header.raw("magic", b"ustar  \0");
    header.raw("sparse", &runs[0]);
    header.raw("isextended", &[u8::from(runs.len() > 1)]);
    header.raw("realsize", &octal(real)[..11]);
    header.octal("size", member.content.len() as u64);
    let mut bytes = Vec::new();
    for (at, run) in runs.iter().enumerate().skip(1) {
        let mut block = run.clone();
        block.resize(504, 0);
        block.push(u8::from(at + 1 < runs.len()));
        block.resize(512, 0);
        bytes.extend(block);
    }
    bytes.extend_from_slice(&member.content);
    bytes
}
