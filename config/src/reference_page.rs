//! The page of all keys: what each may hold is the schema's, the rest is `appliance.toml`'s, whose every line is a default.

use crate::keys::{find, find_named, heading, is_repeated};
use alloc::{format, string::String, vec::Vec};

const FILE: &str = include_str!("../appliance.toml");
const HEAD: &str = "\
# Configuration: all keys of appliance.toml

Made by `cargo xtask docs` from the schema (`config/src/keys/`) and [`config/appliance.toml`](../../config/appliance.toml), where
the same keys are with their defaults, to be changed. Each key below has its default and what is allowed. Lengths of time are in
seconds and amounts of memory in bytes, as the names say. What is misspelt or not allowed stops the start, or the making of a
bundle, with its line and what is allowed.

Words of the kernel command line, and of a process with `--tap`, win over the file: `ip=ADDRESS/PREFIX` or `ip=dhcp`,
`gw=ADDRESS` and `dns=ADDRESS`, each once or more; `http_port=`, `https_port=`, `rpc_port=`, `rpc_secure_port=`, `zmq_port=`,
`fastcgi_port=`, `gopher_port=` and `admin_port=PORT`; `log_references=true`; `log=LEVEL`. The same as options of a process:
[aqueduct.md](aqueduct.md).
";

#[test]
fn the_page_of_the_keys_is_current() {
    reference::keep_current("configuration.md", &page()).unwrap();
}

fn page() -> String {
    let (mut page, mut keys) = (String::from(HEAD), 0);
    let (mut section, mut text) = ("", Vec::new());
    // What is in front of the first section is for who changes the file.
    let first = FILE.find("\n[").expect("there are sections");
    for line in FILE[first..].lines() {
        if let Some(name) = section_of(line) {
            section = name;
            page += &format!("\n## {}\n", heading(section));
            if is_repeated(section) {
                // What it is stands in front of it.
                push_text(&mut page, &mut text);
            }
        } else if let Some(words) = line.strip_prefix("# ") {
            text.push(words);
        } else if let Some((name, default)) =
            line.strip_prefix('#').and_then(|it| it.split_once(" = "))
        {
            push_text(&mut page, &mut text);
            let (_, key) = find(section, name).expect(line);
            page += &format!("- `{name} = {default}`: {}\n", key.rule.allowed());
            keys += 1;
        } else {
            assert!(line.is_empty(), "{line}");
            push_named(&mut page, section, &mut text);
        }
    }
    let named = crate::keys().filter(|(section, _)| find_named(section).is_some()).count();
    assert_eq!(keys + named, crate::keys().len(), "a key is not in the file");
    page
}

/// The section that a line begins.
fn section_of(line: &str) -> Option<&str> {
    let line = line.strip_prefix('#').unwrap_or(line);
    let name = line.strip_prefix('[')?.strip_suffix(']')?;
    Some(name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name))
}

/// A paragraph, and a line of code for each that is indented.
fn push_text(page: &mut String, text: &mut Vec<&str>) {
    if text.is_empty() {
        return;
    }
    page.push('\n');
    let mut is_code = false;
    for line in text.drain(..) {
        let code = line.strip_prefix("  ");
        if is_code != code.is_some() {
            page.push_str(if is_code { "```\n\n" } else { "\n```\n" });
            is_code = code.is_some();
        }
        page.push_str(code.unwrap_or(line));
        page.push('\n');
    }
    page.push_str(if is_code { "```\n\n" } else { "\n" });
}

/// The end of a section whose keys have names of the operator's own.
fn push_named(page: &mut String, section: &str, text: &mut Vec<&str>) {
    if let Some((_, key)) = find_named(section) {
        push_text(page, text);
        *page += &format!("- `NAME = \"...\"`: {}\n", key.rule.allowed());
    }
}
