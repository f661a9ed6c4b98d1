//! The commands of the pages, as a newcomer runs them: from a clean clone, on a small Debian that has a toolchain and nothing else.
//!
//! The fence of a block says what is done with it, in the order of the page:
//!
//! - `sh run`: its commands are run; one that fails fails the page.
//! - `sh serve`: the same, but for the last command, which stays: it is waited for until it says that it is there, and gets Ctrl-C
//!   before the next such block, or at the end. It must end with success then.
//! - `LANGUAGE file=PATH`: the block is written to that file, `LANGUAGE add=PATH`: behind what is in it.
//!
//! All other blocks are only shown. The folder and the variables of one block are those of the next.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files, paths,
    shell::quoted,
};
use lab::{
    harness::{Case, Harness},
    newcomer,
};
use std::{fmt::Write, process::Stdio, time::Duration};

/// A page: its case, and where it is.
macro_rules! page {
    ($name:literal, $path:literal) => {
        Case::new($name, &[], LIMIT.as_secs(), |harness| follow(harness, $path))
            .on_its_own()
            .only_in_long_form()
    };
}

pub(crate) const CASES: &[Case] = &[
    page!("newcomer/readme", "README.md"),
    page!("newcomer/tutorial", "docs/tutorial.md"),
    page!("newcomer/own_appliance", "docs/own-appliance.md"),
    page!("newcomer/debugging", "docs/debugging.md"),
    page!("newcomer/site", "docs/site.md"),
    page!("newcomer/operating", "docs/operating.md"),
    page!("newcomer/vats", "docs/vats.md"),
    page!("newcomer/disk", "docs/disk.md"),
    page!("newcomer/disk_image", "docs/deploy/disk-image.md"),
];

/// A page with all that it compiles for the first time.
const LIMIT: Duration = Duration::from_secs(3600);

/// Before the blocks of a page. `serve` waits for what `cargo xtask run`, QEMU's guest and the process say when they are there.
const PRELUDE: &str = r#"set -euo pipefail
at=start server=
trap 'code=$?; [ $code = 0 ] || { tail -n 60 /tmp/said 2>/dev/null || :; echo "$at fails with status $code"; }' EXIT
links() {
    for folder in /root/*/; do
        if [ -e "$folder/Cargo.toml" ] && ! [ -e "$folder/target" ]; then ln -s "$CARGO_TARGET_DIR" "$folder/target"; fi
    done
}
end_server() {
    if [ -n "$server" ]; then
        kill -INT -- "-$server"
        wait "$server"
        server=
    fi
}
serve() {
    case $1 in
    cargo*) local there=' answers$|the guest waits' ;;
    *) local there='http on port' ;;
    esac
    : >/tmp/said
    set -m
    bash -c "$1" >/tmp/said 2>&1 &
    server=$!
    set +m
    until grep -qE "$there" /tmp/said; do
        if ! kill -0 "$server" 2>/dev/null; then wait "$server" || return; return 1; fi
        sleep 0.2
    done
}
ip link set lo up 2>/dev/null || :
cd /root/aqueduct
"#;

fn follow(harness: &mut Harness, path: &str) -> Result {
    let page = files::read_text(&paths::root().join(path))?;
    let script = script(path, &page)?;
    let command = newcomer::command(harness, &script)?;
    let log = harness.scratch.path("said");
    let output = std::fs::File::create(&log).or_say(|| "cannot write a log".into())?;
    let errors = output.try_clone().or_say(|| "cannot write a log".into())?;
    let mut child = Child::start(&command, |command| {
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
    })?;
    match child.wait(LIMIT) {
        Some(status) if status.success() => Ok(()),
        Some(_) => fail!("{path}: {}", files::read_text(&log)?),
        None => fail!("{path}: not done within {LIMIT:?}: {}", files::read_text(&log)?),
    }
}

/// The blocks of a page that do something, as a script of `bash`.
fn script(path: &str, page: &str) -> Result<String> {
    let mut script = PRELUDE.to_owned();
    for Block { line, head, text } in blocks(page) {
        let words: Vec<&str> = head.split_whitespace().skip(1).collect();
        let what = match words.as_slice() {
            [] => continue,
            ["run"] => text,
            ["serve"] => {
                let (before, last) = last_command(&text);
                format!("{before}end_server\nserve {}\n", quoted(last))
            }
            [word] => match word.split_once('=') {
                Some(("file", file)) => written(&text, ">", file),
                Some(("add", file)) => written(&text, ">>", file),
                _ => fail!(
                    "{path}:{line}: `{word}` is no word for a block; allowed: run, serve, file=PATH, add=PATH"
                ),
            },
            _ => fail!("{path}:{line}: one word behind the language, not `{}`", words.join(" ")),
        };
        let _ = write!(script, "links\nat={path}:{line}\necho \"== $at\"\n{what}");
    }
    script += "end_server\n";
    Ok(script)
}

/// A fenced block.
struct Block {
    /// Where its text begins.
    line: usize,
    /// What is said of it: the language, and words behind it.
    head: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    const FENCE: &str = "```";
    let mut blocks = Vec::new();
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some((indent, head)) = line.split_once(FENCE).filter(|(it, _)| it.trim().is_empty())
        else {
            continue;
        };
        let inside = lines.by_ref().map(|(line, _)| line).take_while(|it| it.trim() != FENCE);
        let text = inside.map(|it| format!("{}\n", it.strip_prefix(indent).unwrap_or(it)));
        blocks.push(Block { line: number + 1, head: head.to_owned(), text: text.collect() });
    }
    blocks
}

/// A block's last command, which may have several lines, and what is before it.
fn last_command(text: &str) -> (&str, &str) {
    let mut start = 0;
    let mut at = 0;
    let mut is_continued = false;
    for line in text.split_inclusive('\n') {
        if !is_continued {
            start = at;
        }
        is_continued = line.trim_end().ends_with('\\');
        at += line.len();
    }
    text.split_at(start)
}

fn written(text: &str, how: &str, file: &str) -> String {
    format!("mkdir -p \"$(dirname {file})\"\nprintf %s {} {how}{file}\n", quoted(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{path::Path, process::Command};

    /// What `bash` says of a page's script that only names what it would serve.
    fn said(page: &str) -> String {
        let script = script("page.md", page).unwrap().replace("cd /root/aqueduct\n", "");
        let script = script.replace("links\n", "").replace("serve '", "echo 'serves ");
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn blocks_are_done_in_their_order() {
        let scratch = paths::Scratch::new().unwrap();
        let file = scratch.path("in/it's");
        let page = format!(
            "# A page\n\n```sh run\na=1\n```\n\n```\nfalse\n```\n\n1. In a list:\n   ```sh run\n   echo $a \\\n     two\n   ```\n\n\
             ```text file={0}\nit's $a\n```\n```text add={0}\nmore\n```\n```sh serve\necho before\none \\\n  two\n```\n",
            file.display().to_string().replace('\'', r"\'")
        );
        let said = said(&page);
        assert_eq!(
            said,
            "== page.md:4\n== page.md:13\n1 two\n== page.md:18\n== page.md:21\n== page.md:24\nbefore\nserves one \\\n  two\n\n"
        );
        assert_eq!(files::read_text(&file).unwrap(), "it's $a\nmore\n");
    }

    #[test]
    fn what_fails_is_named() {
        let said = said("```sh run\ntrue\nfalse\ntrue\n```\n```sh run\ntrue\n```\n");
        assert_eq!(said, "== page.md:2\npage.md:2 fails with status 1\n");
    }

    #[test]
    fn words_that_nobody_knows_are_refused() {
        for head in ["sh runs", "sh run serve", "rust files=x"] {
            let refusal = script("page.md", &format!("\n```{head}\nx\n```\n")).err().unwrap();
            assert!(refusal.to_string().starts_with("page.md:3: "), "{refusal}");
        }
    }

    /// A page with commands to run that no case follows, and a case whose page has none, would be proof of nothing.
    #[test]
    fn every_page_that_has_commands_to_run_has_a_case() {
        let mut with_commands = Vec::new();
        let mut folders = vec![paths::root().join("docs")];
        let mut pages = vec![paths::root().join("README.md")];
        while let Some(folder) = folders.pop() {
            for path in files::list(&folder).unwrap() {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|it| it == "md") {
                    pages.push(path);
                }
            }
        }
        for page in pages {
            let text = files::read_text(&page).unwrap();
            let path = page.strip_prefix(paths::root()).unwrap_or(Path::new("")).to_owned();
            let path = path.display().to_string();
            if script(&path, &text).unwrap().contains(&format!("\nat={path}:")) {
                with_commands.push(path);
            }
        }
        let own = include_str!("newcomer.rs");
        let followed = own.lines().filter_map(|line| {
            line.trim().strip_prefix("page!(\"")?.split('"').nth(2).map(String::from)
        });
        let mut followed: Vec<_> = followed.collect();
        followed.sort();
        with_commands.sort();
        assert_eq!(followed, with_commands);
    }
}
