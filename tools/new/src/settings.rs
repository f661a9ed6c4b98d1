//! Settings of cargo's that a new workspace has as this one: cargo reads profiles of the workspace that it builds only.

/// Where the template says `FEATURES`: those of the image, each handed on to `aqueduct-bare`.
const FEATURES: &str = "FEATURES";
const OWN_WORKSPACE: &str = include_str!("../../../Cargo.toml");
const OWN_IMAGE: &str = include_str!("../../../kernel-app/bare/Cargo.toml");
/// Packages of this workspace's profiles that no other workspace has.
const NOT_THERE: [&str; 3] = ["load-guest", "trial", "trial-bare"];
/// Profiles that are for this workspace alone: of its own tests, and of what pages load. All others are taken over, so that none
/// is forgotten.
const OURS_ALONE: [&str; 2] = ["[profile.sweep]", "[profile.wasm]"];
const PROFILES: &str = "[profile.";
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
    let all = sections(OWN_WORKSPACE).filter(|(head, _)| head.starts_with(PROFILES));
    for (head, lines) in all.filter(|(head, _)| !OURS_ALONE.contains(head)) {
        if head != SIZES {
            profiles += &format!("{head}\n{}\n\n", lines.join("\n"));
        } else {
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

    const OWN_LOCK: &str = include_str!("../../../Cargo.lock");

    /// Cargo's own reading of both: a profile or a setting of one that this workspace gains is in the other, too, but for
    /// what is said to be left out.
    #[test]
    fn every_profile_is_taken_over_or_left_out_by_name() {
        let profiles = profiles();
        let theirs: Vec<_> = sections(&profiles).collect();
        let mut left_out = Vec::new();
        for (head, lines) in sections(OWN_WORKSPACE).filter(|it| it.0.starts_with(PROFILES)) {
            match theirs.iter().find(|(other, _)| *other == head) {
                None => left_out.push(head),
                Some((_, others)) => {
                    let missing = lines.iter().filter(|line| !others.contains(line));
                    for line in missing.filter_map(|line| line.split_once(" = ")) {
                        assert!(head == SIZES && NOT_THERE.contains(&line.0), "{head} {line:?}");
                    }
                }
            }
        }
        assert_eq!(left_out, OURS_ALONE);
        assert!(theirs.len() >= 4, "{profiles}");
    }

    /// Cargo warns of a package in a profile that the workspace does not have.
    #[test]
    fn sizes_are_of_packages_that_an_image_has() {
        let packages = || OWN_LOCK.split("[[package]]\n").skip(1);
        let mut known = vec!["aqueduct-bare"];
        let mut next = 0;
        while let Some(name) = known.get(next).copied() {
            next += 1;
            let head = format!("name = \"{name}\"\n");
            for package in packages().filter(|package| package.starts_with(&head)) {
                let needed = package.split_once("dependencies = [\n").map_or("", |(_, list)| list);
                let needed = needed.lines().take_while(|line| *line != "]");
                for name in
                    needed.filter_map(|line| line.trim_matches([' ', '"', ',']).split(' ').next())
                {
                    if !known.contains(&name) {
                        known.push(name);
                    }
                }
            }
        }
        let profiles = profiles();
        let (_, sizes) = sections(&profiles).find(|(head, _)| *head == SIZES).unwrap();
        assert!(sizes.contains(&"unwinding = { opt-level = 2 }"), "{profiles}");
        for (package, _) in sizes.iter().filter_map(|line| line.split_once(" = ")) {
            assert!(known.contains(&package), "{package} is none that an image has");
        }
    }

    #[test]
    fn features_are_handed_on() {
        let features = features();
        assert!(features.starts_with("default = [\"http\", "), "{features}");
        assert!(features.contains("\ndatabase = [\"aqueduct-bare/database\"]\n"), "{features}");
    }
}
