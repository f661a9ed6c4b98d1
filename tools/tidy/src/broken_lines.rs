//! Lines that were broken by hand, and the tests that failed: the table of `docs/broken-lines.md`.

use crate::claims::{cases, is_there, read};
use command::failure::Result;

/// Where they are: lines of a table, `| RULE | FILE | LINE | BROKEN | TEST |`.
const PAGE: &str = "docs/broken-lines.md";
const HEAD: &str = "| rule | file | line | broken | test |";

/// Rows whose line is gone or stands more than once, so that none knows which was broken, and rows whose test is not there.
pub(crate) fn check() -> Result<Vec<String>> {
    Ok(problems(&read(PAGE)?, &cases()?, &read))
}

fn problems(page: &str, cases: &str, read: &impl Fn(&str) -> Result<String>) -> Vec<String> {
    let rows = page.lines().enumerate().skip_while(|(_, line)| *line != HEAD).skip(2);
    let mut problems = Vec::new();
    let mut count = 0;
    for (number, line) in rows.take_while(|(_, line)| line.starts_with('|')) {
        count += 1;
        problems
            .extend(problem(line, cases, read).map(|it| format!("{PAGE}:{}: {it}", number + 1)));
    }
    if count == 0 {
        problems.push(format!("{PAGE} has no table `{HEAD}`"));
    }
    problems
}

fn problem(row: &str, cases: &str, read: &impl Fn(&str) -> Result<String>) -> Option<String> {
    let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [_, file, line, broken, test] = cells[..] else {
        return Some("expected `| RULE | FILE | LINE | BROKEN | TEST |`".into());
    };
    let [line, broken, test] = [line, broken, test].map(|cell| cell.trim_matches('`'));
    let Ok(text) = read(file) else { return Some(format!("there is no {file}")) };
    match text.matches(line).count() {
        1 if line != broken && is_there(test, cases, read) => None,
        1 if line != broken => Some(format!("there is no test `{test}`")),
        1 => Some(format!("`{line}` is not broken")),
        count => Some(format!("{file} has `{line}` {count} times")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_line_that_stands_once_and_a_test() {
        let read = |path: &str| match path {
            "a.rs" => Ok("one();\ntwo();\ntwo();\n#[test]\nfn notices() {}\n".into()),
            _ => command::failure::fail!("none"),
        };
        let judge =
            |row: &str| problems(&format!("{HEAD}\n|--|\n{row}\n\n| other | table |\n"), "", &read);
        assert_eq!(judge("| it | a.rs | `one();` | `` | `a.rs::notices` |"), [] as [String; 0]);
        for (row, what) in [
            ("| it | a.rs | `one();` | `a.rs::notices` |", "expected"),
            ("| it | b.rs | `one();` | `` | `a.rs::notices` |", "there is no b.rs"),
            ("| it | a.rs | `two();` | `` | `a.rs::notices` |", "a.rs has `two();` 2 times"),
            ("| it | a.rs | `three();` | `` | `a.rs::notices` |", "a.rs has `three();` 0 times"),
            ("| it | a.rs | `one();` | `one();` | `a.rs::notices` |", "`one();` is not broken"),
            ("| it | a.rs | `one();` | `` | `a.rs::sleeps` |", "there is no test `a.rs::sleeps`"),
        ] {
            let problems = judge(row);
            assert!(problems.len() == 1 && problems[0].contains(what), "{problems:?}");
        }
        assert_eq!(problems("none", "", &read).len(), 1);
    }

    #[test]
    fn every_broken_line_is_there_and_so_is_its_test() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
    }
}
