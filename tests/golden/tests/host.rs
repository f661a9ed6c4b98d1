//! The golden files on the host: whole, byte by byte, and in other pieces.

use serde_json::Value;
use std::path::{Path, PathBuf};

/// The shortest, some odd one, and all of it.
const PIECES: [usize; 3] = [usize::MAX, 1, 7];

fn file(core: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(format!("{core}.json"))
}

#[test]
fn every_case_gives_what_it_gave() {
    let writes = std::env::var_os("AQUEDUCT_WRITE_GOLDEN").is_some();
    for core in golden::CORES {
        let text = std::fs::read_to_string(file(core)).unwrap();
        let mut cases: Vec<Value> = serde_json::from_str(&text).unwrap();
        for case in &mut cases {
            if writes {
                case["gives"] = golden::run(core, case, usize::MAX).into();
            }
            for piece in PIECES {
                let gives = Value::from(golden::run(core, case, piece));
                assert_eq!(gives, case["gives"], "{core}, {}, pieces of {piece}", case["name"]);
            }
        }
        assert!(cases.len() >= 8, "{core} has {} cases", cases.len());
        if writes {
            std::fs::write(file(core), serde_json::to_string_pretty(&cases).unwrap() + "\n")
                .unwrap();
        }
    }
}

#[test]
fn another_input_gives_something_else() {
    if std::env::var_os("AQUEDUCT_WRITE_GOLDEN").is_some() {
        // They are being written.
        return;
    }
    for core in golden::CORES {
        let text = std::fs::read_to_string(file(core)).unwrap();
        let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
        let (first, last) = (&cases[0], &cases[cases.len() - 1]);
        assert_ne!(first["gives"], last["gives"], "{core}");
    }
    let script = "set timestamps on\nconnect\n> S 1:1(0)\n";
    assert_eq!(golden::run("tcp", &serde_json::json!({ "script": script }), 1).len(), 1);
}
