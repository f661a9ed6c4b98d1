//! Settings of cargo's that a new workspace has as this one: cargo reads profiles of the workspace that it builds only.

/// Where the template says `FEATURES`: those of the image, each handed on to `aqueduct-bare`.
const FEATURES: &str = "FEATURES";
const OWN_WORKSPACE: &str = include_str!("../../../Cargo.toml");
const OWN_IMAGE: &str = include_str!("../../../kernel-app/bare/Cargo.toml");
/// Packages of this workspace's profiles that no other workspace has.
const NOT_THERE: [&str; 3] = ["load-guest", "trial", "trial-bare"];
/// What begins with one of these is taken over.
const PROFILES: [&str; 4] = [
    "[profile.dev]",
    "[profile.dev.package.aqueduct-image-builder]",
    "[profile.image]",
    "[profile.image-dev]",
];
const SIZES: &str = "[profile.image.package]";

/// A file of the template, with what of these settings belongs into it.
pub(crate) fn put_into(path: &str, text: String) -> String {
    match path {
        "Cargo.toml" => text + &profiles(),
        "bare/Cargo.toml" => text.replace(FEATURES, &features()),
        _ => text,
    }
}

fn profiles() -> String {
    let mut profiles = String::new();
    for (head, lines) in sections(OWN_WORKSPACE) {
        if PROFILES.contains(&head) {
            profiles += &format!("{head}\n{}\n\n", lines.join("\n"));
        } else if head == SIZES {
            let is_there = |line: &&&str| {
                line.split_once(" = ").is_some_and(|(package, _)| !NOT_THERE.contains(&package))
            };
            let lines: Vec<_> = lines.iter().filter(is_there).copied().collect();
            profiles += &format!(
                "# What runs once, or when something is wrong, is compiled for size.\n{head}\n{}\n",
                lines.join("\n")
            );
        }
    }
    profiles
}

fn features() -> String {
    let all = sections(OWN_IMAGE).find(|(head, _)| *head == "[features]");
    let lines = all.map(|(_, lines)| lines).unwrap_or_default();
    let handed_on =
        lines.iter().filter_map(|line| line.split_once(" = ")).map(|(name, value)| match name {
            "default" => format!("{name} = {value}"),
            _ => format!("{name} = [\"aqueduct-bare/{name}\"]"),
        });
    handed_on.collect::<Vec<_>>().join("\n")
}

/// The tables of a manifest, with their lines but for comments and empty ones.
fn sections(manifest: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let mut lines = manifest.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut head = lines.find(|line| line.starts_with('['));
    std::iter::from_fn(move || {
        let this = head.take()?;
        let mut inside = Vec::new();
        for line in lines.by_ref() {
            if line.starts_with('[') {
                head = Some(line);
                break;
            }
            inside.push(line);
        }
        Some((this, inside))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_over_is_there() {
        let profiles = profiles();
        for head in PROFILES.into_iter().chain([SIZES]) {
            assert!(profiles.contains(&format!("{head}\n")), "no {head} in {profiles}");
        }
        assert!(profiles.contains("\nunwinding = { opt-level = 2 }\n"), "{profiles}");
        assert!(!profiles.contains("trial"), "{profiles}");
        let features = features();
        assert!(features.starts_with("default = [\"http\", "), "{features}");
        assert!(features.contains("\ndatabase = [\"aqueduct-bare/database\"]\n"), "{features}");
    }
}
