//! The packages of the workspace, as `cargo metadata` tells them.

use command::{
    cargo,
    failure::{OrSay, Result},
    paths, programs,
};
use std::path::Path;
use tinyjson::JsonValue;

/// A package of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// What its library is called in source; empty without one.
    pub(crate) library: String,
    /// Relative to the workspace's root.
    pub(crate) folder: String,
    /// The packages that it depends on, other than for its tests: ours and others'.
    pub(crate) depends: Vec<String>,
    /// The root files of its library and binaries.
    pub(crate) roots: Vec<String>,
    /// What crates.io shows of it; none of what is not published.
    pub(crate) published: Option<Published>,
}

/// What crates.io shows of a package.
pub(crate) struct Published {
    pub(crate) description: String,
    /// Fields that it has nothing in.
    pub(crate) lacks: Vec<&'static str>,
}

pub(crate) fn all() -> Result<Vec<Package>> {
    Ok(list(&metadata()?, "packages").iter().map(package).collect())
}

fn metadata() -> Result<JsonValue> {
    let mut command = cargo::command();
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    programs::output(&mut command)?.parse().or_say(|| "cargo metadata".into())
}

fn package(json: &JsonValue) -> Package {
    let is_kind = |target: &JsonValue, wanted: &[&str]| {
        list(target, "kind")
            .iter()
            .any(|kind| matches!(kind, JsonValue::String(kind) if wanted.contains(&kind.as_str())))
    };
    let library = list(json, "targets").iter().find(|target| is_kind(target, &["lib"]));
    let manifest = string(json, "manifest_path");
    let folder = Path::new(&manifest).parent().unwrap_or(Path::new(""));
    Package {
        name: string(json, "name"),
        library: library.map_or_else(String::new, |target| string(target, "name")),
        folder: folder.strip_prefix(paths::root()).unwrap_or(folder).display().to_string(),
        depends: list(json, "dependencies")
            .iter()
            .filter(|dependency| string(dependency, "kind") != "dev")
            .map(|dependency| string(dependency, "name"))
            .collect(),
        roots: list(json, "targets")
            .iter()
            .filter(|target| is_kind(target, &["lib", "bin"]))
            .map(|target| string(target, "src_path"))
            .collect(),
        published: published(json),
    }
}

/// `publish = false` is an empty list of registries.
fn published(json: &JsonValue) -> Option<Published> {
    let JsonValue::Object(object) = json else { return None };
    if matches!(object.get("publish"), Some(JsonValue::Array(_))) {
        return None;
    }
    let texts = ["description", "license", "repository", "readme", "rust_version"];
    let lists = ["keywords", "categories"];
    let lacks = texts.into_iter().filter(|key| string(json, key).is_empty());
    let lacks = lacks.chain(lists.into_iter().filter(|key| list(json, key).is_empty())).collect();
    Some(Published { description: string(json, "description"), lacks })
}

fn list<'a>(json: &'a JsonValue, key: &str) -> &'a [JsonValue] {
    match json {
        JsonValue::Object(object) => match object.get(key) {
            Some(JsonValue::Array(items)) => items,
            _ => &[],
        },
        _ => &[],
    }
}

/// The text of a key; empty where there is none.
fn string(json: &JsonValue, key: &str) -> String {
    match json {
        JsonValue::Object(object) => match object.get(key) {
            Some(JsonValue::String(text)) => text.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}
