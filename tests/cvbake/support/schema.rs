//! `docs/schemas`: what is promised of every JSON output, and whether an output keeps it.
//!
//! Every run of the program in these tests is checked ([`check`]), so a promise is tried with every
//! output that any of them produces. Of JSON Schema this knows what our schemas use; anything else
//! in one is a failed test, never ignored.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Map, Value};

/// All schemas by the names of their files.
pub(crate) fn all() -> &'static BTreeMap<String, Value> {
    static ALL: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    ALL.get_or_init(|| {
        let read = |path: PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let schema = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, schema)
        };
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
        std::fs::read_dir(dir).unwrap().map(|file| read(file.unwrap().path())).collect()
    })
}

/// Fails if a run of the program has printed JSON that its schema does not allow.
pub(crate) fn check(args: &[String], code: Option<i32>, stdout: &str, stderr: &str) {
    let progress = args.windows(2).any(|pair| pair == ["--progress", "json"]);
    // Command lines that make no sense are refused in words, before anybody knows how to tell.
    for line in stderr.lines().filter(|line| progress && line.starts_with('{')) {
        assert_allowed("progress.json", line);
    }
    // A damaged store and disks that differ are told of in JSON, too, and with statuses of their
    // own.
    if let (Some(name), Some(0 | 7 | 10)) = (schema_of(args), code)
        && !stdout.is_empty()
    {
        assert_allowed(&name, stdout);
    }
}

/// The schema of what a command line prints on standard output, if that is JSON.
fn schema_of(args: &[String]) -> Option<String> {
    let has = |option: &str| args.iter().any(|arg| arg == option);
    let known = |words: &[String]| Some(format!("{}.json", words.join("-"))).filter(|name| all().contains_key(name));
    let name = (1..=2).rev().find_map(|count| known(args.get(..count)?))?;
    // A bake into an archive is an export.
    let is_tar = |path: &str| [".tar", ".tar.gz", ".tgz", ".tar.zst"].iter().any(|ending| path.ends_with(ending));
    let is_export = |path: &str| is_tar(path) || path.starts_with("dir:");
    let into_tar = args.windows(2).any(|pair| pair[0] == "-o" && is_export(&pair[1]));
    let name = if name == "bake.json" && into_tar { "image-export.json".to_owned() } else { name };
    let is_json = has("--json") || name == "image-inspect.json" && !has("--raw") && !has("--raw-config");
    (is_json && !has("--help")).then_some(name)
}

fn assert_allowed(name: &str, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON: {error}: {text}"));
    if let Err(problem) = allows(name, &value) {
        panic!("docs/schemas/{name} does not allow {text}: {problem}");
    }
}

/// Whether a schema allows a value; if not, what is wrong with it, and where.
pub(crate) fn allows(name: &str, value: &Value) -> Result<(), String> {
    let schema = all().get(name).ok_or_else(|| format!("there is no schema {name}"))?;
    Schema { file: name, keywords: keywords(schema)? }.check(value, "")
}

/// A schema or a part of one.
struct Schema<'a> {
    file: &'a str,
    keywords: &'a Map<String, Value>,
}

fn keywords(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("a schema that is no object: {value}"))
}

/// What `pattern` may be: a pattern more is a function more.
fn pattern(pattern: &str) -> Option<fn(&str) -> bool> {
    fn hex(text: &str, count: usize) -> bool {
        text.len() == count && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
    fn digest(text: &str) -> bool {
        let (algorithm, digits) = text.split_once(':').unwrap_or_default();
        algorithm == "sha256" && hex(digits, 64) || algorithm == "sha512" && hex(digits, 128)
    }
    fn uuid(text: &str) -> bool {
        let parts: Vec<&str> = text.split('-').collect();
        parts.len() == 5 && parts.iter().zip([8, 4, 4, 4, 12]).all(|(part, count)| hex(part, count))
    }
    match pattern {
        "^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$" => Some(digest),
        "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" => Some(uuid),
        "^[0-9a-f]{64}$" => Some(|text| hex(text, 64)),
        "^0x[0-9a-f]{16}$" => Some(|text| text.strip_prefix("0x").is_some_and(|digits| hex(digits, 16))),
        _ => None,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl<'a> Schema<'a> {
    fn part(&self, value: &'a Value) -> Result<Schema<'a>, String> {
        Ok(Schema { file: self.file, keywords: keywords(value)? })
    }

    /// What `$ref` leads to: a file beside this one, or a definition in it.
    fn other(&self, reference: &'a str) -> Result<Schema<'a>, String> {
        let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let file = if file.is_empty() { self.file } else { file };
        let found = all().get(file).and_then(|schema| schema.pointer(pointer));
        let found = found.ok_or_else(|| format!("{}: {reference} leads nowhere", self.file))?;
        Ok(Schema { file, keywords: keywords(found)? })
    }

    fn check(&self, value: &Value, at: &str) -> Result<(), String> {
        for (keyword, says) in self.keywords {
            self.check_keyword(keyword, says, value, at)?;
        }
        Ok(())
    }

    fn check_keyword(&self, keyword: &str, says: &'a Value, value: &Value, at: &str) -> Result<(), String> {
        let wrong = |expected: String| Err(format!("{at}: {value}, expected {expected}"));
        let texts = || says.as_array().into_iter().flatten().chain(says.is_string().then_some(says));
        match (keyword, value) {
            ("$schema" | "$defs" | "title" | "description", _) => Ok(()),
            ("$ref", _) => self.other(says.as_str().unwrap_or_default())?.check(value, at),
            ("type", _) => {
                let found = type_of(value);
                let is_found = |text: &Value| text == found || (text == "number" && found == "integer");
                if texts().any(is_found) { Ok(()) } else { wrong(format!("the type {says}")) }
            }
            ("const", _) if says == value => Ok(()),
            ("enum", _) if texts().any(|text| text == value) => Ok(()),
            ("const" | "enum", _) => wrong(format!("{says}")),
            ("minimum", Value::Number(number)) if number.as_f64() < says.as_f64() => wrong(format!("at least {says}")),
            ("pattern", _) => {
                let text = says.as_str().unwrap_or_default();
                let matches = pattern(text).ok_or_else(|| format!("{}: an unknown pattern {text}", self.file))?;
                if value.as_str().is_none_or(matches) { Ok(()) } else { wrong(format!("the pattern {text}")) }
            }
            ("items", Value::Array(items)) => {
                let schema = self.part(says)?;
                items.iter().enumerate().try_for_each(|(index, item)| schema.check(item, &format!("{at}[{index}]")))
            }
            ("required", Value::Object(object)) => {
                match texts().find(|key| !object.contains_key(key.as_str().unwrap_or_default())) {
                    None => Ok(()),
                    Some(key) => wrong(format!("the key {key}")),
                }
            }
            ("properties", Value::Object(object)) => object.iter().try_for_each(|(key, value)| match says.get(key) {
                Some(schema) => self.part(schema)?.check(value, &format!("{at}.{key}")),
                None => Ok(()),
            }),
            ("additionalProperties", Value::Object(object)) => {
                let known = self.keywords.get("properties").and_then(Value::as_object);
                let is_known = |key: &&String| known.is_some_and(|known| known.contains_key(*key));
                match object.keys().find(|key| !is_known(key)) {
                    Some(key) if says != true => wrong(format!("no key {key:?}")),
                    _ => Ok(()),
                }
            }
            ("oneOf", _) => {
                let parts = says.as_array().into_iter().flatten();
                let outcomes = parts.map(|part| self.part(part)?.check(value, at)).collect::<Vec<_>>();
                match outcomes.iter().filter(|outcome| outcome.is_ok()).count() {
                    1 => Ok(()),
                    count => wrong(format!("one of {}, not {count}: {outcomes:?}", outcomes.len())),
                }
            }
            ("minimum" | "items" | "required" | "properties" | "additionalProperties", _) => Ok(()),
            _ => Err(format!("{}: an unknown keyword {keyword}", self.file)),
        }
    }
}
