//! Module access: crates of which another may use one module only.

use crate::cycles::{read, tokens};
use command::{failure::Result, paths};
use std::collections::BTreeMap;

/// In the files of a folder, this crate's module, and no other of it. Tests may use any.
const OPEN_MODULES: &[(&str, &str, &str)] =
    &[("drivers/virtio-net/src", "net", "device"), ("drivers/xen-netfront/src", "net", "device")];

/// Every use of another module.
///
/// # Errors
///
/// A file cannot be read.
pub(crate) fn problems() -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (folder, crate_name, module) in OPEN_MODULES {
        let mut files = BTreeMap::new();
        read(&paths::root().join(folder), "", &mut files)?;
        for (file, text) in files.iter().filter(|(file, _)| !file.starts_with("tests/")) {
            if uses_more(text, crate_name, module) {
                problems.push(format!(
                    "{folder}/{file} may use of {crate_name} only {crate_name}::{module}"
                ));
            }
        }
    }
    Ok(problems)
}

fn uses_more(text: &str, crate_name: &str, module: &str) -> bool {
    let tokens = tokens(text);
    let mut places = (0..tokens.len()).filter(|at| tokens[*at] == crate_name);
    places.any(|at| {
        let begins = at == 0 || tokens[at - 1] != "::";
        let goes_on = tokens.get(at + 1).is_some_and(|token| token == "::");
        begins && goes_on && tokens.get(at + 2).is_some_and(|token| token != module)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_module_may_be_used_and_no_other() {
        for (text, more) in [
            ("use net::device::{NetDevice, Transmit};", false),
            ("use machine::xen::net::Fault;", false),
            ("use net::Stack;", true),
            ("use net::{device, Stack};", true),
            ("fn f() { net::device::g(); net::tcp::h() }", true),
            ("let net = 1; // net::Stack", false),
        ] {
            assert_eq!(uses_more(text, "net", "device"), more, "{text}");
        }
    }

    #[test]
    fn the_drivers_use_what_they_may() {
        assert_eq!(problems().unwrap(), Vec::<String>::new());
    }
}
