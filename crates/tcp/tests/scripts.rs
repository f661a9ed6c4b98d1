//! Packet scripts, in the manner of packetdrill: each file in `scripts/` is a case, and its name has the clause.
//! `tcp_script` has what a line may be, and plays them; `golden` has the same ones played in WebAssembly.
//!
//! `# Linux: the same.` marks the scripts that `linux.rs` plays to a socket of the kernel; `# Linux: ...` says what Linux does
//! instead, and why either is right.

use std::fmt::Write as _;

#[test]
fn scripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");
    let only = std::env::var("SCRIPT").unwrap_or_default();
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("scripts")
        .map(|entry| entry.expect("a file").path())
        .collect();
    paths.sort();
    let mut failures = String::new();
    let mut count = 0;
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if !name.contains(&only) {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&path).expect("text");
        if let Err(problem) = tcp_script::run(&text) {
            let _ = writeln!(failures, "{name}: {problem}");
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(!only.is_empty() || count >= 60, "{count} scripts");
}
