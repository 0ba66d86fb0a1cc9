//! The schemas in `docs/schemas`: that they are sound, that they refuse what they should, and that
//! `docs/json.md` says the same.

use serde_json::{Value, json};

use crate::support::schema::{all, allows};

/// How to write the tables of the page anew.
const BLESS: &str = "CVBAKE_BLESS=1 cargo test --test cvbake schemas";

/// What separates the words of the page from its tables.
const MARK: &str = "<!-- From here on written by the tests";

/// Calls a function with every part of a schema that is a schema, and where it is.
fn visit(value: &Value, at: &str, on: &mut dyn FnMut(&Value, &str)) {
    on(value, at);
    for group in ["properties", "$defs"] {
        for (name, part) in value.get(group).and_then(Value::as_object).into_iter().flatten() {
            visit(part, &format!("{at}/{group}/{name}"), on);
        }
    }
    for part in value.get("items").into_iter().chain(value.get("oneOf").and_then(Value::as_array).into_iter().flatten())
    {
        visit(part, &format!("{at}/items"), on);
    }
}

#[test]
fn every_schema_is_sound() {
    for (name, schema) in all() {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert!(schema["title"].is_string(), "{name}");
        visit(schema, name, &mut |part, at| {
            if let Some(properties) = part.get("properties").and_then(Value::as_object) {
                assert_eq!(part["additionalProperties"], false, "{at}: an object says all of its keys");
                let required = part["required"].as_array().unwrap_or_else(|| panic!("{at}: required"));
                assert!(required.iter().all(|key| properties.contains_key(key.as_str().unwrap())), "{at}: required");
            }
            if let Some(reference) = part.get("$ref").and_then(Value::as_str) {
                let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
                assert!(all().get(file).and_then(|schema| schema.pointer(pointer)).is_some(), "{at}: {reference}");
            }
        });
    }
}

/// A schema that allows everything would pass every other test.
#[test]
fn what_is_not_as_promised_is_refused() {
    let good = json!({ "digest": format!("sha256:{}", "0".repeat(64)), "bytes": 1 });
    let pull =
        |layer: Value| json!({ "image": null, "reference": "a", "platform": null, "platforms": [], "layers": [layer] });
    assert_eq!(allows("pull.json", &pull(good.clone())), Ok(()));
    for (key, value, problem) in [
        ("bytes", json!("1"), "type"),
        ("bytes", json!(-1), "at least 0"),
        ("bytes", json!(1.5), "type"),
        ("digest", json!("sha256:0"), "pattern"),
        ("digest", json!(null), "type"),
        ("size", json!(1), "no key"),
    ] {
        let mut layer = good.clone();
        layer[key] = value;
        let refused = allows("pull.json", &pull(layer)).unwrap_err();
        assert!(refused.contains(".layers[0]") && refused.contains(problem), "{key}: {refused}");
    }
    assert!(allows("pull.json", &pull(json!({ "bytes": 1 }))).unwrap_err().contains("\"digest\""));
    assert!(allows("progress.json", &json!({ "event": "stage", "stage": "unpack" })).is_ok());
    for wrong in [json!({ "event": "stage", "stage": "x" }), json!({ "event": "x" }), json!([]), json!({})] {
        assert!(allows("progress.json", &wrong).is_err(), "{wrong}");
    }
}

/// A row for each key, those of inner objects behind a dot.
fn rows(schema: &Value, prefix: &str, text: &mut String) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let (other, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let found = all()[other].pointer(pointer).unwrap();
        return rows(found, prefix, text);
    }
    if let Some(items) = schema.get("items") {
        return rows(items, &format!("{prefix}[]"), text);
    }
    let required = |key: &str| schema["required"].as_array().is_some_and(|keys| keys.iter().any(|name| name == key));
    for (key, part) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let optional = if required(key) { "" } else { ", optional" };
        let meaning = part.get("description").and_then(Value::as_str);
        // What says nothing of itself is said by the object that it is in.
        let Some(meaning) = meaning.or(part.get("const").map(|_| "")) else { continue };
        text.push_str(&format!("| `{path}` | {}{optional} | {meaning} |\n", kind(part)));
        rows(part, &path, text);
    }
}

/// What a value is, in a word or two.
fn kind(schema: &Value) -> String {
    let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return match reference.rsplit('/').next().unwrap_or_default() {
            "digest_or_null" => "digest or null".to_owned(),
            "digest" => "digest".to_owned(),
            "count" => "object".to_owned(),
            _ => "string".to_owned(),
        };
    }
    let values = schema.get("enum").and_then(Value::as_array).map(Vec::as_slice);
    if let Some(values) = values.or(schema.get("const").map(std::slice::from_ref)) {
        return values.iter().map(|value| format!("`{}`", name(value))).collect::<Vec<_>>().join(" or ");
    }
    match schema.get("type") {
        Some(Value::Array(names)) => names.iter().map(name).collect::<Vec<_>>().join(" or "),
        Some(one) => name(one),
        None => "string".to_owned(),
    }
}

fn tables() -> String {
    let mut text = format!("{MARK} (`{BLESS}`): edit the schemas. -->\n");
    for (file, schema) in all().iter().filter(|(file, _)| *file != "common.json") {
        let title = schema["title"].as_str().unwrap();
        text.push_str(&format!("\n## {title}\n\nSchema: [{file}](schemas/{file})."));
        if let Some(other) = schema.get("$ref").and_then(Value::as_str) {
            let same = all()[other]["title"].as_str().unwrap();
            text.push_str(&format!(" The same as `{same}`.\n"));
            continue;
        }
        let parts = schema.get("oneOf").and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            let what = part["description"].as_str().unwrap();
            text.push_str(&format!("\n\n{what}:\n\n| key | type | meaning |\n|---|---|---|\n"));
            rows(part, "", &mut text);
            text.truncate(text.trim_end().len());
        }
        if parts.is_none() {
            text.push_str("\n\n| key | type | meaning |\n|---|---|---|\n");
            rows(schema, "", &mut text);
        } else {
            text.push('\n');
        }
    }
    text
}

#[test]
fn the_page_says_what_the_schemas_say() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let kept = std::fs::read_to_string(&path).unwrap();
    let (words, _) = kept.split_once(MARK).expect("the mark in docs/json.md");
    let page = words.to_owned() + &tables();
    if std::env::var_os("CVBAKE_BLESS").is_some() {
        std::fs::write(&path, page).unwrap();
    } else {
        assert!(page == kept, "docs/json.md differs from docs/schemas; to write it anew: {BLESS}");
    }
}
