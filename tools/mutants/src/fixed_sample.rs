//! The fixed sample: mutants by name, so that a change of other lines does not exchange them for others.

use crate::{mutant::Mutant, outcomes};
use command::{
    failure::{Result, fail},
    files, paths,
};

/// Where they are written down, a line each: `FILE: MUTATION`.
pub(crate) const FILE: &str = "tools/mutants/sample.txt";

/// Whose they are: crates whose tests are quick to compile and to run.
pub(crate) const PACKAGES: &[&str] =
    &["aqueduct-config", "aqueduct-pipe", "aqueduct-virtio-net", "aqueduct-zmq"];

/// # Errors
/// The file cannot be read.
pub(crate) fn read() -> Result<Vec<String>> {
    Ok(parse(&files::read_text(&paths::root().join(FILE))?))
}

fn parse(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(Into::into).collect()
}

/// Those of a crate's mutants that the sample names, without their places. A function may have several of one name.
///
/// # Errors
/// A name of the crate's folder has none.
pub(crate) fn of(wanted: &[String], all: Vec<Mutant>) -> Result<Vec<Mutant>> {
    let names: Vec<String> = all.iter().map(|one| outcomes::without_place(&one.name)).collect();
    let folder = all.first().and_then(|one| Some(one.file.split_once("/src/")?.0.to_owned()));
    let of_crate = |name: &&String| {
        folder.as_ref().is_some_and(|folder| name.starts_with(&format!("{folder}/src/")))
    };
    if let Some(gone) = wanted.iter().filter(of_crate).find(|name| !names.contains(name)) {
        fail!("{FILE}: there is no mutant `{gone}` any more; name another");
    }
    let chosen = all.into_iter().zip(names).filter(|(_, name)| wanted.contains(name));
    Ok(chosen.map(|(mutant, _)| mutant).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutant::{Genre, Place};

    #[test]
    fn mutants_are_found_wherever_their_lines_have_gone() {
        let mutant = |name: &str| Mutant {
            name: name.into(),
            file: "crates/a/src/b.rs".into(),
            genre: Genre::BinaryOperator,
            place: Place { line: 7, column: 8 },
            replacement: "<=".into(),
        };
        let all = [
            "crates/a/src/b.rs:7:8: replace < with <= in i",
            "crates/a/src/b.rs:7:18: replace < with <= in i",
            "crates/a/src/b.rs:9:8: replace < with <= in j",
        ]
        .map(mutant)
        .to_vec();
        let text =
            "# quick ones\n\ncrates/a/src/b.rs: replace < with <= in i\ncrates/c/src/d.rs: other\n";
        assert_eq!(of(&parse(text), all.clone()).unwrap(), all[..2]);
        let gone = parse("crates/a/src/b.rs: replace < with > in i");
        let failure = of(&gone, all).unwrap_err().to_string();
        assert!(failure.contains("`crates/a/src/b.rs: replace < with > in i`"), "{failure}");
    }
}
