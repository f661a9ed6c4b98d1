//! Disks: a bundle and a site on one, one that is larger than memory, slow, or bad.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    programs::{self, MKFS_EROFS},
};
use lab::{
    disk::{self, Disk},
    harness::{GUEST_ADDRESS, Harness, Setup, contains, curl, equal, noise, same_bytes},
    http_client,
    qemu::Machine,
};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

const ASK_LIMIT: Duration = Duration::from_secs(10);

/// A guest with these disks, and without a boot module.
fn with_disks(machine: Machine, memory_mib: u32, disks: &[Disk]) -> Setup {
    Setup { machine, memory_mib, more: disk::options(machine, disks), ..Setup::default() }
}

pub(super) fn bundle_microvm(harness: &mut Harness) -> Result {
    bundle_is_on_the_disk(harness, Machine::Microvm)
}

pub(super) fn bundle_q35(harness: &mut Harness) -> Result {
    bundle_is_on_the_disk(harness, Machine::Q35)
}

/// Configuration and site: the second disk is left alone.
fn bundle_is_on_the_disk(harness: &mut Harness, machine: Machine) -> Result {
    let page = noise(200_000);
    let config = "[http]\nsite_root = \"www\"\nindex = \"start\"\n";
    let files: [(&str, &[u8]); 3] =
        [("www/start", b"from the disk"), ("www/page", &page), ("www/a.txt", b"a")];
    let disk = Disk::new(&harness.bundle(config, &files)?);
    let other = harness.scratch.path("other.img");
    std::fs::write(&other, [0; 8192]).or_say(|| "cannot write a disk".into())?;
    let mut guest = harness.boot(&with_disks(machine, 16, &[disk, Disk::new(&other)]))?;
    let root = curl(&[&format!("http://{GUEST_ADDRESS}/")])?;
    equal("the page for the root", &&*root, &"from the disk")?;
    let out = harness.scratch.path("page");
    fetch("/page", &out, &[])?;
    same_bytes("a page of several of the disk's", &out, &page)?;
    fetch("/page", &out, &["--range", "65000-66000"])?;
    same_bytes("a range", &out, &page[65_000..=66_000])?;
    let head = curl(&["--head", &format!("http://{GUEST_ADDRESS}/page")])?;
    contains("the head", &head, "Content-Length: 200000\r\n")?;
    let tag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap_or_default();
    let same = format!("If-None-Match: {tag}");
    let again = curl(&["-i", "-H", &same, &format!("http://{GUEST_ADDRESS}/page")])?;
    contains("the answer to who has it", &again, "304 Not Modified")?;
    guest.wait_for("site: 3 files under www/", ASK_LIMIT)
}

/// Twice, since what was read is not kept: every byte comes from the disk each time.
pub(super) fn larger_than_memory(harness: &mut Harness) -> Result {
    let large = noise(48 << 20);
    let disk = harness.bundle("", &[("site/large", &large)])?;
    let _guest = harness.boot(&with_disks(Machine::Microvm, 16, &[Disk::new(&disk)]))?;
    let out = harness.scratch.path("large");
    for _ in 0..2 {
        fetch("/large", &out, &[])?;
        same_bytes("the download", &out, &large)?;
    }
    Ok(())
}

/// The file system that Linux's tools make, beside a boot module that says so.
pub(super) fn file_system(harness: &mut Harness) -> Result {
    let folder = harness.scratch.path("content");
    let (small, large) = (noise(100), noise(1_000_003));
    for (path, bytes) in
        [("index.html", &b"front"[..]), ("a/b/small", &small), ("a/b/large", &large)]
    {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent).or_say(|| "cannot make a folder".into())?;
        std::fs::write(&path, bytes).or_say(|| "cannot write a file".into())?;
    }
    let disk = harness.scratch.path("erofs.img");
    programs::output(programs::command(&MKFS_EROFS)?.arg("--quiet").arg(&disk).arg(&folder))?;
    let bundle = harness.pack(&[("appliance.toml", b"[storage]\nsite_disk = 1\n")])?;
    let setup = with_disks(Machine::Microvm, 64, &[Disk::new(&disk)]);
    let _guest = harness.boot(&Setup { bundle: Some(bundle), ..setup })?;
    let out = harness.scratch.path("out");
    for (path, bytes) in [("/", &b"front"[..]), ("/a/b/small", &small), ("/a/b/large", &large)] {
        fetch(path, &out, &[])?;
        same_bytes(path, &out, bytes)?;
    }
    Ok(())
}

/// While a download waits for the disk, what is in memory is answered; all of that is done before the download is.
pub(super) fn slow(harness: &mut Harness) -> Result {
    const REQUESTS: usize = 200;
    let large = noise(4 << 20);
    let file = harness.bundle("", &[("site/large", &large)])?;
    let disk = Disk { bytes_per_second: Some(512 << 10), ..Disk::new(&file) };
    let _guest = harness.boot(&with_disks(Machine::Microvm, 64, &[disk]))?;
    let out = harness.scratch.path("large");
    let mut download = begin("/large", &out)?;
    for nth in 0..REQUESTS {
        let status = http_client::get(GUEST_ADDRESS, "/", ASK_LIMIT).map(|answer| answer.status);
        equal("the status of a page", &status, &Some(200))?;
        if download.ended().is_some() {
            fail!("the download was done before {REQUESTS} requests were: after {nth}");
        }
    }
    match download.wait(Duration::from_secs(60)) {
        Some(status) if status.success() => same_bytes("the download", &out, &large),
        Some(status) => fail!("curl ended with {status}"),
        None => fail!("the download did not end"),
    }
}

/// What is on the bad sector is answered 500, or cut if it had begun, and nothing else.
pub(super) fn bad_sector(harness: &mut Harness) -> Result {
    let large = noise(2 << 20);
    let last = noise(300_000);
    let files: [(&str, &[u8]); 2] = [("site/large", &large), ("site/z", &last)];
    let file = harness.bundle("", &files)?;
    let bytes = std::fs::read(&file).or_say(|| "cannot read a bundle".into())?;
    let place = bytes.windows(64).position(|part| part == &large[1 << 20..][..64]);
    let Some(place) = place else { fail!("the bundle has no such bytes") };
    let sector = place as u64 / 512;
    let disk = Disk { bad_sector: Some(sector), ..Disk::new(&file) };
    let mut guest = harness.boot(&with_disks(Machine::Microvm, 64, &[disk]))?;
    let out = harness.scratch.path("out");
    fetch("/large", &out, &["--range", "0-99999"])?;
    same_bytes("what lies before it", &out, &large[..100_000])?;
    let range = format!("{}-{}", 1 << 20, (1 << 20) + 10);
    let url = format!("http://{GUEST_ADDRESS}/large");
    let answer = curl(&["-i", "--range", &range, &url])?;
    contains("what lies on it", &answer, "500 Internal Server Error")?;
    // Its length was told, and then the connection ends: by curl's codes, with a part of the file or a reset.
    match fetch("/large", &out, &[]) {
        Ok(()) => fail!("the whole was given, with a bad sector in it"),
        Err(failure)
            if ["curl: (18)", "curl: (56)"]
                .iter()
                .any(|code| failure.to_string().contains(code)) => {}
        Err(failure) => fail!("the whole was not cut: {failure}"),
    }
    let begun = std::fs::read(&out).or_say(|| "cannot read what was given".into())?;
    equal("whether what was given is the file's", &large.starts_with(&begun), &true)?;
    fetch("/z", &out, &[])?;
    same_bytes("another file", &out, &last)?;
    guest.wait_for("the disk reports an error", ASK_LIMIT)
}

/// Each with the whole of the answer, which is a success.
fn fetch(path: &str, out: &Path, options: &[&str]) -> Result {
    let url = format!("http://{GUEST_ADDRESS}{path}");
    let out = out.to_string_lossy().into_owned();
    let all: Vec<&str> =
        ["--fail", "--output", &*out, &*url].into_iter().chain(options.iter().copied()).collect();
    curl(&all).map(drop)
}

fn begin(path: &str, out: &PathBuf) -> Result<Child> {
    let mut command = programs::command(&programs::CURL)?;
    command.args(["--silent", "--fail", "--output"]).arg(out);
    command.arg(format!("http://{GUEST_ADDRESS}{path}"));
    Child::start(&command, |command| {
        command.stdin(Stdio::null());
    })
}
