//! Mutants, as `cargo mutants --list --json` names them.

use command::failure::{Result, fail};
use std::collections::HashMap;
use tinyjson::JsonValue;

/// A line that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mutant {
    /// As `crates/http/src/date.rs:1:2: replace + with - in format`.
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) genre: Genre,
    /// Where what is replaced begins.
    pub(crate) place: Place,
    pub(crate) replacement: String,
}

/// What kind of thing is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
    /// Others, which no switch can express.
    Other,
}

/// Both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// # Errors
/// It is not what cargo-mutants writes.
pub(crate) fn list(json: &str) -> Result<Vec<Mutant>> {
    let Some(mutants) = parse(json) else { fail!("cargo-mutants lists its mutants otherwise") };
    Ok(mutants)
}

fn parse(json: &str) -> Option<Vec<Mutant>> {
    let json: JsonValue = json.parse().ok()?;
    json.get::<Vec<JsonValue>>()?.iter().map(mutant).collect()
}

fn mutant(json: &JsonValue) -> Option<Mutant> {
    let text = |name: &str| field(json, name)?.get::<String>().cloned();
    let start = field(field(json, "span")?, "start")?;
    let number = |name: &str| Some(*field(start, name)?.get::<f64>()? as usize);
    let genre = match text("genre")?.as_str() {
        "FnValue" => Genre::FnValue,
        "BinaryOperator" => Genre::BinaryOperator,
        "UnaryOperator" => Genre::UnaryOperator,
        "MatchArm" => Genre::MatchArm,
        "MatchArmGuard" => Genre::MatchArmGuard,
        "StructField" => Genre::StructField,
        _ => Genre::Other,
    };
    Some(Mutant {
        name: text("name")?,
        file: text("file")?,
        genre,
        place: Place { line: number("line")?, column: number("column")? },
        replacement: text("replacement")?,
    })
}

pub(crate) fn field<'a>(json: &'a JsonValue, name: &str) -> Option<&'a JsonValue> {
    json.get::<HashMap<String, JsonValue>>()?.get(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutants_are_read() {
        let json = r#"[{"name": "a.rs:1:2: delete ! in f", "file": "a.rs", "genre": "UnaryOperator", "replacement": "",
            "span": {"start": {"line": 1, "column": 2}, "end": {"line": 1, "column": 3}}}]"#;
        let mutant = Mutant {
            name: "a.rs:1:2: delete ! in f".into(),
            file: "a.rs".into(),
            genre: Genre::UnaryOperator,
            place: Place { line: 1, column: 2 },
            replacement: String::new(),
        };
        assert_eq!(parse(json), Some(vec![mutant]));
        assert_eq!(parse("[]"), Some(vec![]));
        for other in ["", "{}", "[{}]", &json.replace("genre", "kind")] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
