//! Equivalent mutants: those that do the same as the original, each with the reason.

use command::{
    failure::{Result, fail},
    files, paths,
};

/// Where they are written down, a line each: `FILE: MUTATION = REASON`.
pub(crate) const FILE: &str = "tools/mutants/equivalents.txt";

/// Names of mutants, as `crates/http/src/date.rs: replace < with <= in format`.
#[derive(Debug)]
pub(crate) struct Equivalents(Vec<String>);

impl Equivalents {
    /// # Errors
    /// The file cannot be read, or a line has no reason.
    pub(crate) fn read() -> Result<Self> {
        match Self::parse(&files::read_text(&paths::root().join(FILE))?) {
            Ok(equivalents) => Ok(equivalents),
            Err(line) => fail!("{FILE}:{line}: expected `FILE: MUTATION = REASON`, each once"),
        }
    }

    /// The number of a line that is none is the error.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, usize> {
        let mut names = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.rsplit_once(" = ") {
                Some((name, reason))
                    if name.contains(".rs: ")
                        && !reason.trim().is_empty()
                        && !names.iter().any(|other| other == name) =>
                {
                    names.push(String::from(name));
                }
                _ => return Err(index + 1),
            }
        }
        Ok(Self(names))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|own| own == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_its_reason_is_told_by_its_number() {
        assert!(Equivalents::parse("# none\n\n").is_ok_and(|all| !all.has("")));
        for line in
            ["crates/a/src/b.rs: delete ! in f", "crates/a/src/b.rs: delete ! in f = ", "f = same"]
        {
            assert_eq!(Equivalents::parse(&format!("# one\n{line}\n")).err(), Some(2), "{line}");
        }
        let one = "a.rs: delete ! in f = same\n";
        assert_eq!(Equivalents::parse(&one.repeat(2)).err(), Some(2));
    }
}
