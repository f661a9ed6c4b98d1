//! Claims: sentences of documents that promise something, each with the test that would fail if it were not so. The page is for
//! contributors: `docs/claims.md`.

use command::{
    failure::{OrSay, Result},
    paths,
};

/// Where they are: lines of tables, `| PAGE | SENTENCE | TESTS |`.
const PAGE: &str = "docs/claims.md";

/// Claims whose page says something else now, or whose test is not there.
pub(crate) fn check() -> Result<Vec<String>> {
    let cases = cases()?;
    let text = read(PAGE)?;
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| is_row(line)) {
        let mut problem = |what: String| problems.push(format!("{PAGE}:{}: {what}", number + 1));
        let Some(claim) = Claim::parse(line) else {
            problem("expected `| PAGE | SENTENCE | TESTS |`".into());
            continue;
        };
        let Ok(page) = read(claim.page) else {
            problem(format!("there is no {}", claim.page));
            continue;
        };
        if !one_line(&page).contains(&one_line(claim.sentence)) {
            problem(format!("{} does not say `{}`", claim.page, claim.sentence));
        }
        let missing = claim.tests.iter().filter(|test| !is_there(test, &cases, &read));
        missing.for_each(|test| problem(format!("there is no test `{test}`")));
    }
    Ok(problems)
}

/// The sources that name the cases of `cargo xtask test`.
pub(crate) fn cases() -> Result<String> {
    let listed = crate::listed(&["tests/*.rs"])?;
    Ok(listed.lines().filter_map(|path| read(path).ok()).collect())
}

/// A file of the tree.
pub(crate) fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(paths::root().join(path)).or_say(|| format!("cannot read {path}"))
}

/// A sentence of a page, and what would notice.
#[derive(Debug, PartialEq, Eq)]
struct Claim<'a> {
    page: &'a str,
    sentence: &'a str,
    tests: Vec<&'a str>,
}

impl<'a> Claim<'a> {
    fn parse(row: &'a str) -> Option<Self> {
        let mut cells = row.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
        let (page, sentence) = (cells.next()?, cells.next()?);
        let tests: Vec<_> = cells.next()?.split('`').skip(1).step_by(2).collect();
        let is_whole = !sentence.is_empty() && !tests.is_empty() && cells.next().is_none();
        is_whole.then_some(Self { page, sentence, tests })
    }
}

/// A line of a table that is neither its head nor the rule below that.
fn is_row(line: &str) -> bool {
    line.starts_with('|') && !line.starts_with("| page |") && !line.starts_with("|--")
}

/// A case is named as the runner has it, a function as `FILE::NAME`.
pub(crate) fn is_there(test: &str, cases: &str, read: &impl Fn(&str) -> Result<String>) -> bool {
    match test.split_once(".rs::") {
        None => cases.contains(&format!("\"{test}\"")),
        Some((file, name)) => read(&format!("{file}.rs")).is_ok_and(|text| has_test(&text, name)),
    }
}

fn has_test(text: &str, name: &str) -> bool {
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            if is_test && line.starts_with(&format!("fn {name}(")) {
                return true;
            }
            is_test = false;
        }
    }
    false
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_page_a_sentence_and_tests() {
        assert_eq!(
            Claim::parse("| README.md | It boots. | `boot/a`, `x/b.rs::c` |"),
            Some(Claim {
                page: "README.md",
                sentence: "It boots.",
                tests: vec!["boot/a", "x/b.rs::c"]
            })
        );
        for other in
            ["| a | b |", "| a | b | c |", "| a | | `c` |", "a | b | `c` |", "| a | b | `c` | d |"]
        {
            assert_eq!(Claim::parse(other), None, "{other}");
        }
        assert!(is_row("| a |") && !is_row("|---|") && !is_row("| page | what |") && !is_row("a"));
    }

    #[test]
    fn a_test_is_a_case_or_a_function_that_is_one() {
        let cases = "Case::new(\"boot/a\", &[]";
        let read = |path: &str| {
            assert_eq!(path, "x/y.rs");
            Ok("    #[test]\n    #[ignore]\n    fn a() {\n fn b() {\n".into())
        };
        let is_there = |test: &str| is_there(test, cases, &read);
        assert!(is_there("boot/a") && !is_there("boot/b") && !is_there("oot/a"));
        assert!(is_there("x/y.rs::a") && !is_there("x/y.rs::b") && !is_there("x/y.rs::c"));
        assert_eq!(one_line(" a\n  b c\n"), "a b c");
    }

    #[test]
    fn every_claim_stands_where_it_is_said_to_and_its_tests_are_there() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
    }
}
