//! A new bundle by the admin port.

use super::{PORT, World, receive};
use config::cpio;
use flow::FlowExt;
use flow::memory::MemoryFlow;
use flow::task::block_on;
use std::time::Duration;

fn archive(files: &[(&str, &str)]) -> String {
    let mut writer = cpio::Writer::new();
    for (path, text) in files {
        writer.file(path, text.as_bytes(), 1_700_000_000).unwrap();
    }
    String::from_utf8(writer.finish()).unwrap()
}

fn put(world: &World, files: &[(&str, &str)]) -> (u16, String) {
    world.admin_with("PUT", "/api/v1/bundle", "", &archive(files))
}

#[test]
fn a_new_bundle_is_served_at_once() {
    let world = World::new();
    let before = world.get("/new.html");
    assert!(before.starts_with("HTTP/1.1 404"), "{before}");
    let files = [
        ("site/index.html", "<p>another"),
        ("site/new.html", "<p>new"),
        ("site/model.glb", "x"),
        ("site/_redirects", "/old /new.html\n"),
        ("media-types", "glb model/gltf-binary\n"),
    ];
    assert_eq!(put(&world, &files), (200, "3 files are served now\n".into()));
    assert!(world.get("/").ends_with("<p>another"));
    let new = world.get("/new.html");
    assert!(new.starts_with("HTTP/1.1 200") && new.ends_with("<p>new"), "{new}");
    assert!(new.contains("Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT"), "{new}");
    assert!(world.get("/old").contains("Location: /new.html"));
    assert!(world.get("/model.glb").contains("Content-Type: model/gltf-binary"));
    // The next one takes away what it has not.
    assert_eq!(put(&world, &[("site/index.html", "<p>third")]).0, 200);
    assert!(world.get("/new.html").starts_with("HTTP/1.1 404"));
    assert!(world.get("/old").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_bad_bundle_changes_nothing_and_is_told_why() {
    let world = World::new();
    let before = world.get("/");
    let (status, said) = world.admin_with("PUT", "/api/v1/bundle", "", "no archive");
    assert_eq!(status, 400, "{said}");
    assert!(said.starts_with("bundle, byte 0:"), "{said}");
    let index = ("site/index.html", "<p>another");
    for (files, reason) in [
        (
            &[index, ("site/_redirects", "/a /b\n/c\n")][..],
            "site/_redirects:2: found `/c`; allowed: two paths",
        ),
        (&[index, ("appliance.toml", "[http]\nport = 0\n")], "appliance.toml:2:8: found `0`"),
        (&[index, ("media-types", "x\n")], "media-types: line 1"),
        (&[("other/index.html", "x")], "there is no site/ in it"),
    ] {
        let (status, said) = put(&world, files);
        assert_eq!(status, 422, "{said}");
        assert!(said.contains(reason), "{said}");
        assert_eq!(world.get("/"), before);
    }
    let (_, said) = put(&world, &[index, ("site/_redirects", "/a /b\n/c\n/d /e 999\n")]);
    let places: Vec<_> = said.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["site/_redirects:2", "site/_redirects:3"], "{said}");
    assert_eq!(put(&world, &[index]).0, 200);
    assert_ne!(world.get("/"), before);
}

/// What is no bundle is refused with what is wrong with it, and what was served stays.
#[test]
fn odd_archives_are_refused_with_the_reason() {
    let world = World::new();
    let before = world.get("/");
    let good = archive(&[("site/index.html", "<p>another"), ("site/other.htm", "x")]);
    let renamed = |name: &str| good.replacen("site/other.htm", name, 1);
    let at = good.find("TRAILER!!!").unwrap() - 110;
    for (odd, reason) in [
        (renamed("site/../aa.htm"), "a path with a part `.` or `..`"),
        (renamed("/ite/other.htm"), "an absolute path"),
        (renamed("site//ther.htm"), "with an empty part"),
        (renamed("site/othe\n.htm"), "a path with a control character"),
        (good.clone() + &good, "something behind the end of the archive"),
        (good.clone() + "\0\0 ", "something behind the end of the archive"),
        (good[..at].to_owned(), "ends before its trailer"),
        (good[..at].to_owned() + &good, "the same path twice"),
    ] {
        let (status, said) = world.admin_with("PUT", "/api/v1/bundle", "", &odd);
        assert_eq!(status, 400, "{said}");
        assert!(said.starts_with("bundle, byte ") && said.contains(reason), "{reason}: {said}");
        assert_eq!(world.get("/"), before);
    }
    // A name as `find .` gives it is the same as without its beginning, folders are no files, and neither hides what is twice.
    let odd = |files: &[(&str, &str)]| {
        let trailer = archive(&[]);
        let members = files.iter().map(|(mode, name)| {
            let numbers = [0, u32::from_str_radix(mode, 8).unwrap(), 0, 0, 1, 0, 0, 0, 0, 0, 0];
            let numbers: String = numbers.iter().map(|number| format!("{number:08x}")).collect();
            let head = format!("070701{numbers}{:08x}00000000{name}\0", name.len() + 1);
            let padding = head.len().next_multiple_of(4) - head.len();
            head + &"\0".repeat(padding)
        });
        members.collect::<String>() + &trailer
    };
    const FILE: &str = "100644";
    const FOLDER: &str = "40755";
    let put = |archive: &str| world.admin_with("PUT", "/api/v1/bundle", "", archive);
    let named =
        odd(&[(FOLDER, "."), (FOLDER, "./site/"), (FOLDER, "site/a/"), (FILE, "./site/a/x")]);
    assert_eq!(put(&named).0, 200);
    assert!(world.get("/a/x").starts_with("HTTP/1.1 200"));
    for (files, reason) in [
        (&[(FILE, "site/a/")][..], "a path without a name"),
        (&[(FILE, "./site/./x")], "a path with a part `.` or `..`"),
        (&[(FILE, "././site/x")], "a path with a part `.` or `..`"),
        (&[(FOLDER, "site/../tls/")], "a path with a part `.` or `..`"),
        (&[(FILE, "./site/x"), (FILE, "site/x")], "the same path twice"),
    ] {
        let (status, said) = put(&odd(files));
        assert!(status == 400 && said.contains(reason), "{files:?}: {said}");
    }
    let padded = good + &"\0".repeat(512);
    assert_eq!(world.admin_with("PUT", "/api/v1/bundle", "", &padded).0, 200);
}

#[test]
fn what_a_boot_would_warn_of_is_in_the_answer() {
    let world = World::new();
    let files = [("site/a.html", "a"), ("site/_redirects", "/x/* /a.html\n/x/y /a.html\n")];
    let (status, said) = put(&world, &files);
    assert_eq!(status, 200);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "1 files are served now");
    assert!(lines[1].starts_with("warning: site/_redirects:2: it never counts"), "{said}");
    assert!(lines[2].starts_with("warning: [http] index: no file under site/"), "{said}");
    assert_eq!(lines.len(), 3);
}

/// A site of so many files.
fn site_of(count: usize) -> String {
    let mut writer = cpio::Writer::new();
    writer.file("site/index.html", b"index", 1).unwrap();
    for number in 0..count {
        writer.file(&format!("site/{number}"), b"x", 1).unwrap();
    }
    String::from_utf8(writer.finish()).unwrap()
}

/// Sends all of a bundle but its end, which is given back, as a connection to be written to.
fn begin_put(world: &World, archive: &str) -> (MemoryFlow, String) {
    let mut flow = world.connect(PORT);
    let head = format!(
        "PUT /api/v1/bundle HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        archive.len()
    );
    let (most, end) = archive.split_at(archive.len() - 10);
    for piece in [head.as_bytes()].into_iter().chain(most.as_bytes().chunks(32 << 10)) {
        block_on(flow.write_all(piece)).unwrap();
        world.run();
    }
    (flow, end.to_owned())
}

/// Tens of thousands of files, in the order of an archive of ours and as other tools write it, without hashes: no turn of the
/// loop does more than a slice of the work, and others are answered between two.
#[test]
fn others_are_answered_while_a_site_of_many_files_is_prepared_and_dropped() {
    const FILES: usize = 15_000;
    let world = World::new();
    let ours = site_of(FILES);
    let others = ours.replace("464E5631", "00000000").replace("464e5631", "00000000");
    assert_ne!(ours, others);
    for archive in [&ours, &others, &ours] {
        let (mut flow, end) = begin_put(&world, archive);
        block_on(flow.write_all(end.as_bytes())).unwrap();
        let mut other = world.connect(80);
        let get = "GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        block_on(other.write_all(get.as_bytes())).unwrap();
        let (mut turns, mut answer, mut said) = (0, Vec::new(), Vec::new());
        while world.executor.turn(100_000) {
            turns += 1;
            assert!(turns < 100_000, "it never ends");
            receive(&mut other, &mut answer);
            receive(&mut flow, &mut said);
            assert!(turns != 5 || !answer.is_empty() && said.is_empty());
        }
        world.run();
        receive(&mut flow, &mut said);
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200") && said.contains("15001 files"), "{said}");
        // What each is counted, indexed and given fields by, and with the others dropped.
        assert!(turns > 4 * FILES / 256, "{turns}");
    }
}

/// One file of many bytes whose tag is made of them.
#[test]
fn others_are_answered_while_content_is_hashed() {
    let world = World::new();
    let mut writer = cpio::Writer::new();
    writer.file("site/index.html", &vec![b'x'; 4 << 20], 1).unwrap();
    let archive = String::from_utf8(writer.finish()).unwrap().replace("464e5631", "00000000");
    let (mut flow, end) = begin_put(&world, &archive);
    block_on(flow.write_all(end.as_bytes())).unwrap();
    let mut turns = 0;
    while world.executor.turn(100_000) {
        turns += 1;
        assert!(turns < 100_000, "it never ends");
    }
    assert!(turns >= (4 << 20) / (512 << 10), "{turns}");
    let mut said = Vec::new();
    receive(&mut flow, &mut said);
    assert!(said.starts_with(b"HTTP/1.1 200"));
}

/// Who drips is told so, and others can put theirs: for the whole there is a time, not only for each byte.
#[test]
fn a_bundle_that_drips_is_ended_and_the_next_is_taken() {
    let world = World::new();
    let mut flow = world.connect(PORT);
    let head = format!(
        "PUT /api/v1/bundle HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nContent-Length: 100000\r\n\r\n"
    );
    block_on(flow.write_all(head.as_bytes())).unwrap();
    world.run();
    let mut answer = Vec::new();
    for second in 1..=40 {
        world.pass(Duration::from_secs(1));
        world.run();
        receive(&mut flow, &mut answer);
        if !answer.is_empty() {
            assert!(second > 29, "{second}");
            break;
        }
        // More than the least rate of any connection, and less than that of a bundle.
        block_on(flow.write_all(&[b'0'; 2000])).unwrap();
        world.run();
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("a bundle within 30 seconds"), "{answer}");
    assert!(world.get("/").starts_with("HTTP/1.1 404"));
    assert_eq!(put(&world, &[("site/index.html", "<p>next")]).0, 200);
}

/// Nothing of a bundle that would take too much is kept: 413 says what it would take.
#[test]
fn a_bundle_of_too_many_files_is_refused() {
    let world = World::new();
    let archive = site_of(40_000);
    assert!(archive.len() < 8 << 20);
    let (mut flow, end) = begin_put(&world, &archive);
    block_on(flow.write_all(end.as_bytes())).unwrap();
    world.run();
    let mut answer = Vec::new();
    receive(&mut flow, &mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("a quarter of the memory; this one takes "), "{answer}");
}
