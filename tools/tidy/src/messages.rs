//! Messages: what the page about troubles quotes is what programs print.

use command::{
    failure::{OrSay, Result},
    paths,
};

const PAGE: &str = "docs/troubleshooting.md";
/// Stands for what differs in a message.
const VARIES: char = '…';
/// Shorter pieces are in any text.
const PIECE_BYTES_MIN: usize = 4;
/// Where messages are that no user sees.
const NO_PROGRAMS: &[&str] = &["tests/", "tools/tidy/"];

/// Messages of the page that no source has.
pub(crate) fn check() -> Result<Vec<String>> {
    let page = std::fs::read_to_string(paths::root().join(PAGE))
        .or_say(|| format!("cannot read {PAGE}"))?;
    let sources = sources()?;
    let absent = messages(&page).filter(|message| !is_said(message, &sources));
    Ok(absent.map(|message| format!("{PAGE} quotes `{message}`, which no program says")).collect())
}

/// What stands in backquotes and is bold: a message, as it is printed.
fn messages(page: &str) -> impl Iterator<Item = &str> {
    page.split("**`").skip(1).filter_map(|rest| Some(rest.split_once("`**")?.0))
}

/// Whether all of its pieces are in a source.
fn is_said(message: &str, sources: &str) -> bool {
    let mut pieces = message.split(VARIES).map(str::trim);
    pieces.all(|piece| piece.len() < PIECE_BYTES_MIN || sources.contains(piece))
}

/// All sources of programs, without what a message has in a source and not where it is printed.
fn sources() -> Result<String> {
    let listed = crate::listed(&["*.rs", "*.s"])?;
    let mut all = String::new();
    for path in listed.lines().filter(|path| NO_PROGRAMS.iter().all(|no| !path.starts_with(no))) {
        // One that was deleted and not yet committed.
        let Ok(text) = std::fs::read_to_string(paths::root().join(path)) else { continue };
        all.push_str(&plain(&text));
    }
    Ok(all)
}

/// Strings that go on in another line are joined, quotes in them bare, and backquotes left out, as in the page.
fn plain(source: &str) -> String {
    let mut lines = source.lines();
    let mut plain = String::with_capacity(source.len());
    while let Some(mut line) = lines.next() {
        while let Some(start) = line.strip_suffix('\\') {
            plain.push_str(start);
            line = lines.next().unwrap_or("").trim_start();
        }
        plain.push_str(line);
        plain.push('\n');
    }
    plain.replace("\\\"", "\"").replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_however_its_source_is_written() {
        let source = plain(
            "    log::warn!(\n        \"no `index` of \\\"a\\\", and \\\n         none of {b}: end\"\n    );",
        );
        for (message, expected) in [
            ("no index of \"a\", and none of …: end", true),
            ("… of …: end", true),
            ("no index of \"a\", and some of …: end", false),
            ("none of b", false),
        ] {
            assert_eq!(is_said(message, &source), expected, "{message}");
        }
    }

    #[test]
    fn messages_are_bold_and_in_backquotes() {
        let page = "**`one … thing`**, **`two`** See `three`, and **four**.";
        assert_eq!(messages(page).collect::<Vec<_>>(), ["one … thing", "two"]);
    }

    #[test]
    fn the_page_of_troubles_quotes_what_is_said() {
        let page = std::fs::read_to_string(paths::root().join(PAGE)).unwrap();
        assert!(messages(&page).count() > 40);
        assert_eq!(check().unwrap(), Vec::<String>::new());
        assert!(!is_said("nothing says this sentence", &sources().unwrap()));
    }
}
