//! Features of a package: for an image, its services.

use command::{
    cargo,
    failure::{Failure, OrSay, Result},
    programs,
};
use std::path::Path;
use tinyjson::JsonValue;

/// The features of a package of a workspace, other than `default`, in alphabetical order.
///
/// # Errors
///
/// Cargo knows no such package.
pub(crate) fn of(workspace: &Path, package: &str) -> Result<Vec<String>> {
    let mut metadata = cargo::command();
    metadata.current_dir(workspace).args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata = programs::output(&mut metadata)?;
    let metadata: JsonValue = metadata.parse().or_say(|| "cargo metadata".into())?;
    listed(&metadata, package)
        .ok_or_else(|| Failure::new(format!("{} has no package {package}", workspace.display())))
}

fn listed(metadata: &JsonValue, package: &str) -> Option<Vec<String>> {
    let packages: &Vec<JsonValue> = object(metadata)?.get("packages")?.get()?;
    let is_it = |it: &&JsonValue| {
        let name = object(it).and_then(|it| it.get("name")?.get::<String>());
        name.is_some_and(|name| name == package)
    };
    let features = object(object(packages.iter().find(is_it)?)?.get("features")?)?;
    let mut names: Vec<_> = features.keys().filter(|name| *name != "default").cloned().collect();
    names.sort_unstable();
    Some(names)
}

fn object(json: &JsonValue) -> Option<&std::collections::HashMap<String, JsonValue>> {
    json.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_no_service() {
        let text = r#"{"packages":[{"name":"a","features":{}},
            {"name":"b","features":{"zmq":[],"default":["http"],"http":[]}}]}"#;
        let metadata: JsonValue = text.parse().unwrap();
        assert_eq!(listed(&metadata, "b").unwrap(), ["http", "zmq"]);
        assert_eq!(listed(&metadata, "c"), None);
    }
}
