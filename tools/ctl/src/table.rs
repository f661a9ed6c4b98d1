//! Tables for people: aligned columns of what the admin port gives.

use crate::admin::Row;
use serde_json::Value;
use std::cmp::Ordering;
use std::fmt::Write;

/// Widest column but the last, in characters.
const WIDTH_MAX: usize = 60;

/// Rows that have all pairs of column and text; the text may be a part.
pub(crate) fn chosen(rows: Vec<Row>, wanted: &[(String, String)]) -> Vec<Row> {
    let has = |row: &Row| {
        wanted.iter().all(|(column, part)| {
            row.get(column).is_some_and(|value| {
                shown(column, value).to_lowercase().contains(&part.to_lowercase())
            })
        })
    };
    rows.into_iter().filter(has).collect()
}

/// The largest first; numbers as numbers.
pub(crate) fn sorted(mut rows: Vec<Row>, column: &str) -> Vec<Row> {
    rows.sort_by(|one, other| compare(other.get(column), one.get(column)));
    rows
}

fn compare(one: Option<&Value>, other: Option<&Value>) -> Ordering {
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        (one @ (Some(_) | None), other) if one.is_some() || other.is_some() => {
            one.is_some().cmp(&other.is_some())
        }
        _ => {
            let text = |value: Option<&Value>| value.map(ToString::to_string);
            text(one).cmp(&text(other))
        }
    }
}

/// The rows under their columns' names; of all columns, or of these. Without a row there are the names, or, if nobody knows them,
/// "none".
pub(crate) fn text(rows: &[Row], columns: Option<&[&str]>) -> String {
    let names: Vec<&str> = match (columns, rows.first()) {
        (Some(columns), Some(first)) => {
            columns.iter().copied().filter(|name| first.contains_key(*name)).collect()
        }
        (Some(columns), None) => columns.to_vec(),
        (None, Some(first)) => first.keys().map(String::as_str).collect(),
        (None, None) => return "none\n".into(),
    };
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| names.iter().map(|name| cell(name, row.get(*name))).collect())
        .collect();
    let widths: Vec<usize> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let longest = cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            longest.max(heading(name).len()).min(WIDTH_MAX)
        })
        .collect();
    let is_number: Vec<bool> = names
        .iter()
        .map(|name| rows.iter().any(|row| row.get(*name).is_some_and(Value::is_number)))
        .collect();
    let mut out = String::new();
    let heads: Vec<String> = names.iter().map(|name| heading(name)).collect();
    for row in std::iter::once(&heads).chain(&cells) {
        line(&mut out, row, &widths, &is_number);
    }
    out
}

fn line(out: &mut String, cells: &[String], widths: &[usize], is_number: &[bool]) {
    let mut line = String::new();
    for ((cell, width), is_number) in cells.iter().zip(widths).zip(is_number) {
        // A string takes all there is.
        let _ = match is_number {
            true => write!(line, "{cell:>width$}  "),
            false => write!(line, "{cell:<width$}  "),
        };
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

/// Units stand behind the values, not in the name.
fn heading(name: &str) -> String {
    let stem = ["_us", "_ms", "_bytes_per_second", "_bytes"]
        .iter()
        .find_map(|unit| name.strip_suffix(unit))
        .unwrap_or(name);
    printable(&stem.to_uppercase().replace('_', "-"))
}

fn cell(name: &str, value: Option<&Value>) -> String {
    value.map_or_else(|| "-".into(), |value| shown(name, value))
}

/// A value as people read it, by the unit that its column's name has.
pub(crate) fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => printable(text),
        Value::Number(number) => match (number.as_f64(), name) {
            (Some(number), name) if name.ends_with("_us") => duration(number / 1e6),
            (Some(number), name) if name.ends_with("_ms") => duration(number / 1e3),
            (Some(number), name) if name.ends_with("_bytes_per_second") => {
                format!("{}/s", bytes(number))
            }
            (Some(number), name) if name.ends_with("_bytes") => bytes(number),
            _ => number.to_string(),
        },
        Value::Array(_) | Value::Object(_) => printable(&value.to_string()),
    }
}

/// Peers chose some of it, and a terminal obeys control characters, and those that turn the direction of text.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|it| if is_obeyed(it) { '?' } else { it }).collect()
}

/// The same of several lines.
pub(crate) fn printable_lines(text: &str) -> String {
    text.chars().map(|it| if is_obeyed(it) && it != '\n' { '?' } else { it }).collect()
}

/// The same JSON (RFC 8259 section 7), in which such characters stand in strings only.
pub(crate) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_obeyed(letter) && letter != '\n' {
            text.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            text.push(letter);
        }
    }
    text
}

/// Control characters of ASCII and of Latin 1 (C1), and the bidirectional ones of Unicode (UAX 9, section 2).
fn is_obeyed(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn duration(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.0}us", seconds * 1e6),
        ..1.0 => format!("{:.1}ms", seconds * 1e3),
        ..100.0 => format!("{seconds:.1}s"),
        ..7200.0 => format!("{:.0}min", seconds / 60.0),
        ..172_800.0 => format!("{:.1}h", seconds / 3600.0),
        _ => format!("{:.1}d", seconds / 86_400.0),
    }
}

fn bytes(bytes: f64) -> String {
    match bytes {
        ..10_240.0 => format!("{bytes:.0}"),
        ..10_485_760.0 => format!("{:.1}Ki", bytes / 1024.0),
        ..10_737_418_240.0 => format!("{:.1}Mi", bytes / 1_048_576.0),
        _ => format!("{:.1}Gi", bytes / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Row> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_a_terminal_obeys_is_not_shown() {
        let text = "a\u{9b}2J\u{202e}b\u{2069}\u{61c}é\u{1b}\n";
        assert_eq!(printable(text), "a?2J?b??é??");
        assert_eq!(printable_lines(text), "a?2J?b??é?\n");
        let json = serde_json::to_string(&serde_json::json!({ "a": text })).unwrap();
        let escaped = escaped(&json);
        assert!(escaped.contains("a\\u009b2J\\u202eb") && !escaped.chars().any(is_obeyed));
        let read: Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read["a"], text);
    }

    #[test]
    fn columns_are_aligned_and_units_are_shown() {
        let rows = rows(
            r#"[{"id":"0.1","rtt_us":1500,"tx_bytes":20480,"state":"established","task":null},
                {"id":"0.17","rtt_us":null,"tx_bytes":7,"state":"listen","task":"3.1"}]"#,
        );
        assert_eq!(
            text(&rows, None),
            "ID      RTT      TX  STATE        TASK\n\
             0.1   1.5ms  20.0Ki  established  -\n\
             0.17      -       7  listen       3.1\n"
        );
        assert_eq!(text(&rows, Some(&["state", "nothing"])), "STATE\nestablished\nlisten\n");
        assert_eq!(text(&[], None), "none\n");
        assert_eq!(text(&[], Some(&["id", "rtt_us"])), "ID  RTT\n");
    }

    #[test]
    fn rows_are_chosen_and_sorted() {
        let all = rows(r#"[{"a":"x","n":9},{"a":"y","n":10},{"a":"X","n":null}]"#);
        let wanted = [("a".to_owned(), "x".to_owned())];
        assert_eq!(chosen(all.clone(), &wanted).len(), 2);
        assert!(chosen(all.clone(), &[("b".to_owned(), String::new())]).is_empty());
        let sorted = sorted(all, "n");
        let numbers: Vec<_> = sorted.iter().map(|row| row["n"].as_u64()).collect();
        assert_eq!(numbers, [Some(10), Some(9), None]);
    }

    #[test]
    fn what_a_peer_chose_does_not_reach_the_terminal() {
        let name = "\u{1b}]0;x\u{7}\u{202e}\u{9b}31m\n_us";
        assert_eq!(heading(name), "?]0;X???31M?");
        assert_eq!(shown("name", &Value::String("a\u{1b}[2Jb\n".into())), "a?[2Jb?");
    }

    #[test]
    fn lengths_of_time_and_of_memory_are_short() {
        for (seconds, text) in [
            (0.000_02, "20us"),
            (0.0305, "30.5ms"),
            (59.96, "60.0s"),
            (3600.0, "60min"),
            (90_000.0, "25.0h"),
            (1e6, "11.6d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(
            (bytes(1e4), bytes(2e7), bytes(2e10)),
            ("9999".replace("9999", "10000"), "19.1Mi".into(), "18.6Gi".into())
        );
    }
}
