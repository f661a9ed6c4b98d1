//! What a bundle that is put at the admin port takes in memory. Alone in its process: the allocator counts all.

#[allow(dead_code, reason = "shared with the tests of keys")]
#[path = "keys/memory.rs"]
mod memory;

use config::{Config, cpio};
use memory::World;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// A bundle of so many files, each of so many bytes and with a path of so many, and with variants beside it.
fn archive(files: usize, path_bytes: usize) -> Vec<u8> {
    let mut writer = cpio::Writer::new();
    writer.file("site/index.html", b"x", 1).unwrap();
    for number in 0..files / 2 {
        let stem = format!("site/{number:0>path_bytes$}");
        writer.file(&format!("{stem}.html"), b"x", 1).unwrap();
        writer.file(&format!("{stem}.html.gz"), b"y", 1).unwrap();
    }
    writer.finish()
}

/// Tiny files are what weighs most for its bytes. What is taken is no more than what was said before it was, a quarter of the
/// memory, and what would be more is refused.
#[test]
fn a_bundle_takes_no_more_than_it_may() {
    let mut config = Config::default();
    config.admin.port = Some(9001);
    config.site.serving.clean_urls = config::CleanUrls::Answer;
    let world = World::new(&config);
    let quarter = world.memory_bytes() / 4;
    let mut was_taken = 0;
    for path_bytes in [6, 200, 1000] {
        for files in [2_000, 10_000, 18_000, 30_000, 60_000] {
            let archive = archive(files, path_bytes);
            // One that is longer itself is refused before it comes.
            if archive.len() > quarter {
                continue;
            }
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            let (status, said) = world.put_bundle(&archive);
            let taken = MEMORY.peak_usage() - before;
            match &*status {
                "200" => was_taken += 1,
                "413" => assert!(said.starts_with("a bundle "), "{said}"),
                other => panic!("{other}: {said}"),
            }
            // What the one before took is given back only after.
            assert!(
                taken <= quarter,
                "{files} files of {path_bytes}: {taken} of {quarter} bytes, {status}"
            );
            assert_eq!(world.put_bundle(&self::archive(2, 6)).0, "200");
        }
    }
    assert!((4..14).contains(&was_taken), "{was_taken}");
}
