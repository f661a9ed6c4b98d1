//! Features of a package: for an image, its services.

use command::{
    cargo,
    failure::{Failure, OrSay, Result, fail},
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

/// Those of a package's services that `list` names, with a comma between two; `None` when these are all.
///
/// # Errors
///
/// The list is empty, or names what is no service.
pub(crate) fn chosen(workspace: &Path, package: &str, list: &str) -> Result<Option<Vec<String>>> {
    let all = of(workspace, package)?;
    let wanted: Vec<&str> = list.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    let allowed = all.join(", ");
    if let Some(unknown) = wanted.iter().find(|name| !all.iter().any(|it| it == *name)) {
        fail!("there is no service `{unknown}`; allowed: {allowed}");
    }
    if wanted.is_empty() {
        fail!("an image needs a service; allowed: {allowed}");
    }
    let chosen: Vec<_> = all.iter().filter(|it| wanted.contains(&it.as_str())).cloned().collect();
    Ok((chosen != all).then_some(chosen))
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
