//! What became of mutants: `mutants.out/outcomes.json` of cargo-mutants.

use crate::{equivalents::Equivalents, mutant::field};
use command::{
    failure::{Result, fail},
    files,
};
use std::path::Path;
use tinyjson::JsonValue;

/// What became of each mutant that compiled.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes(Vec<Outcome>);

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// As `crates/http/src/date.rs:1:2: replace + with - in format`.
    name: String,
    /// A test failed, or never ended.
    is_noticed: bool,
}

/// Outcomes, counted.
pub(crate) struct Tally {
    pub(crate) caught: usize,
    /// Not noticed, since they do the same.
    pub(crate) equivalent: usize,
    /// The others that were not.
    pub(crate) missed: Vec<String>,
}

impl Outcomes {
    /// # Errors
    /// The file cannot be read, or is not what cargo-mutants writes.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = files::read_text(file)?;
        let Some(outcomes) = Self::parse(&text) else {
            fail!("{} is not what this reads", file.display());
        };
        Ok(outcomes)
    }

    fn parse(text: &str) -> Option<Self> {
        let json: JsonValue = text.parse().ok()?;
        let all: &Vec<JsonValue> = field(&json, "outcomes")?.get()?;
        let mut outcomes = Vec::new();
        for outcome in all {
            // The other scenario is the baseline, without a mutant.
            let Some(mutant) = field(field(outcome, "scenario")?, "Mutant") else { continue };
            let name: &String = field(mutant, "name")?.get()?;
            let summary: &String = field(outcome, "summary")?.get()?;
            let is_noticed = match summary.as_str() {
                "CaughtMutant" | "Timeout" => true,
                "MissedMutant" => false,
                "Unviable" => continue,
                _ => return None,
            };
            outcomes.push(Outcome { name: name.clone(), is_noticed });
        }
        Some(Self(outcomes))
    }

    pub(crate) fn push(&mut self, name: &str, is_noticed: bool) {
        self.0.push(Outcome { name: name.into(), is_noticed });
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Those with these names.
    pub(crate) fn only(mut self, names: &[&str]) -> Self {
        self.0.retain(|outcome| names.contains(&outcome.name.as_str()));
        self
    }

    /// The names, with their places, of those that were not noticed.
    pub(crate) fn missed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|outcome| !outcome.is_noticed).map(|outcome| outcome.name.as_str())
    }

    /// The same, where what others noticed is noticed, too.
    pub(crate) fn or_noticed_by(mut self, others: &Self) -> Self {
        for outcome in &mut self.0 {
            outcome.is_noticed |=
                others.0.iter().any(|other| other.is_noticed && other.name == outcome.name);
        }
        self
    }
}

/// A regular expression that matches this name and no other.
pub(crate) fn pattern(name: &str) -> String {
    let mut pattern = String::from("^");
    for character in name.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('$');
    pattern
}

impl Tally {
    pub(crate) fn of(outcomes: &Outcomes, equivalents: &Equivalents) -> Self {
        let mut tally = Self { caught: 0, equivalent: 0, missed: Vec::new() };
        for Outcome { name, is_noticed } in &outcomes.0 {
            let name = without_place(name);
            match is_noticed {
                true => tally.caught += 1,
                false if equivalents.has(&name) => tally.equivalent += 1,
                false => tally.missed.push(name),
            }
        }
        tally
    }

    /// How many of a hundred mutants that do something else were noticed.
    pub(crate) fn score(&self) -> f64 {
        let tried = self.caught + self.missed.len();
        if tried == 0 { 100.0 } else { 100.0 * self.caught as f64 / tried as f64 }
    }
}

/// A mutant's name without its line and column, which other changes move.
pub(crate) fn without_place(name: &str) -> String {
    let Some((file, rest)) = name.split_once(".rs:") else { return name.into() };
    let what = rest.split_once(": ").map_or(rest, |(_, what)| what);
    format!("{file}.rs: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_and_counted() {
        let json = r#"{"outcomes": [
            {"scenario": "Baseline", "summary": "Success"},
            {"scenario": {"Mutant": {"name": "crates/a/src/b.rs:1:2: replace + with - in f"}}, "summary": "CaughtMutant"},
            {"scenario": {"Mutant": {"name": "crates/a/src/b.rs:3:4: replace g with ()"}}, "summary": "MissedMutant"},
            {"scenario": {"Mutant": {"name": "crates/a/src/b.rs:5:6: replace h -> T with x"}}, "summary": "Unviable"},
            {"scenario": {"Mutant": {"name": "crates/a/src/b.rs:7:8: replace < with <= in i"}}, "summary": "MissedMutant"},
            {"scenario": {"Mutant": {"name": "crates/a/src/b.rs:9:9: delete ! in j"}}, "summary": "Timeout"}
        ]}"#;
        let outcomes = Outcomes::parse(json).unwrap();
        let same = "# b's\ncrates/a/src/b.rs: replace < with <= in i = both are the end\n";
        let tally = Tally::of(&outcomes, &Equivalents::parse(same).unwrap());
        assert_eq!((tally.caught, tally.equivalent), (2, 1));
        assert_eq!(tally.missed, ["crates/a/src/b.rs: replace g with ()"]);
        assert!((tally.score() - 66.7).abs() < 0.1);
        let later = r#"{"outcomes": [
            {"scenario": {"Mutant": {"name": "crates/a/src/b.rs:3:4: replace g with ()"}}, "summary": "CaughtMutant"},
            {"scenario": {"Mutant": {"name": "crates/a/src/b.rs:7:9: replace < with <= in i"}}, "summary": "CaughtMutant"}
        ]}"#;
        assert_eq!(outcomes.missed().count(), 2);
        let one = "crates/a/src/b.rs:3:4: replace g with ()";
        assert_eq!(Outcomes::parse(json).unwrap().only(&[one, "other"]).0.len(), 1);
        let both = outcomes.or_noticed_by(&Outcomes::parse(later).unwrap());
        let place = "crates/a/src/b.rs:7:8: replace < with <= in i";
        assert_eq!(both.missed().collect::<Vec<_>>(), [place]);
        assert_eq!(pattern("a_b.rs:1: -> x"), r"^a_b\.rs:1: \-> x$");
        for other in ["", "{}", r#"{"outcomes": [{}]}"#, &json.replace("Timeout", "Other")] {
            assert_eq!(Outcomes::parse(other), None, "{other}");
        }
    }
}
