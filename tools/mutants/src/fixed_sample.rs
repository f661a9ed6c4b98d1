//! The fixed sample: mutants by name, so that a change of other lines does not exchange them for others.

use crate::outcomes;
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

/// Those of all mutants, named with their places, that the sample names without. A function may have several of one name.
///
/// # Errors
/// A name has none.
pub(crate) fn of(wanted: &[String], all: &[String]) -> Result<Vec<String>> {
    let mut chosen = Vec::new();
    for wanted in wanted {
        let before = chosen.len();
        chosen.extend(all.iter().filter(|name| outcomes::without_place(name) == *wanted).cloned());
        if chosen.len() == before {
            fail!("{FILE}: there is no mutant `{wanted}` any more; name another");
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutants_are_found_wherever_their_lines_have_gone() {
        let names = |lines: &[&str]| lines.iter().map(|&line| line.into()).collect::<Vec<String>>();
        let all = names(&[
            "crates/a/src/b.rs:7:8: replace < with <= in i",
            "crates/a/src/b.rs:7:18: replace < with <= in i",
            "crates/a/src/b.rs:9:8: replace < with <= in j",
        ]);
        let wanted = parse("# quick ones\n\ncrates/a/src/b.rs: replace < with <= in i\n");
        assert_eq!(of(&wanted, &all).unwrap(), all[..2]);
        let gone = names(&["crates/a/src/b.rs: replace < with > in i"]);
        let failure = of(&gone, &all).unwrap_err().to_string();
        assert!(failure.contains("`crates/a/src/b.rs: replace < with > in i`"), "{failure}");
    }
}
