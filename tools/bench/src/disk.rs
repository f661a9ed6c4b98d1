//! The row `disk`: files of 64 KiB on one and the same EROFS image, read for the first time and again.

use super::{
    measurements::{Field, Line, MEMORY_MIB, Reach, line, median},
    system_under_test::{CONNECT_LIMIT, Site, SystemUnderTest},
};
use command::{
    failure::{Failure, OrSay, Result, fail},
    files, paths,
    programs::{self, MKFS_EROFS},
};
use lab::{
    disk::{self, Disk},
    harness::noise,
    http_client,
};
use std::{
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::{Duration, Instant},
};

/// 16 MiB in all: less than either keeps of a disk with the usual memory.
const FILES: usize = 256;
const FILE_BYTES: usize = 64 << 10;
const CONNECTIONS: usize = 8;
const BOOT_LIMIT: Duration = Duration::from_secs(90);

/// Costs and rates of a disk's files, and what having a disk costs a start.
pub(crate) fn disk(field: &Field) -> Result<Vec<Line>> {
    let image = image()?;
    let (mut columns, mut rates) = (Vec::new(), Vec::new());
    for system in field.systems() {
        columns.push(instructions(field, system, &image)?);
        rates.push(cold_rate(field, system, &image)?);
    }
    let values = |index: usize| columns.iter().map(|costs| costs[index]).collect::<Vec<_>>();
    let module = boot_module(field)?;
    let [without, with] = starts(field, &image)?;
    Ok(vec![
        line("instructions per file, read for the first time", &values(0), Reach::Any),
        line("instructions per file, again", &values(1), Reach::Any),
        line("  the same from the boot module", &[module], Reach::Any),
        line("files/s, read for the first time", &rates, Reach::TimesPeer(1.0)),
        line("ms to first 200 for having a disk", &[with - without], Reach::AtMost(5.0)),
    ])
}

/// The image, made once for all.
fn image() -> Result<Disk> {
    let folder = paths::made("bench")?.join("disk");
    files::make_folder(&folder)?;
    files::write(&folder.join("index.html"), super::PAGE)?;
    let content = noise(FILES * FILE_BYTES);
    for (number, bytes) in content.chunks(FILE_BYTES).enumerate() {
        files::write(&folder.join(format!("f{number}")), bytes)?;
    }
    let image = paths::made("bench")?.join("disk.erofs");
    programs::output(programs::command(&MKFS_EROFS)?.arg("--quiet").arg(&image).arg(&folder))?;
    Ok(Disk::new(&image))
}

/// Guest instructions for a file, the first time and again.
fn instructions(field: &Field, system: &SystemUnderTest, image: &Disk) -> Result<[f64; 2]> {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..field.rounds {
        let counter = field.plugin.counter(system.name)?;
        let options = counter.options.iter().map(Into::into);
        let more = disk::options(system.machine, std::slice::from_ref(image));
        let mut guest =
            system.start_with_disk(MEMORY_MIB, more.into_iter().chain(options).collect())?;
        system.first_answer(&mut guest, BOOT_LIMIT, Duration::from_millis(400))?;
        for costs in [&mut cold, &mut warm] {
            let before = counter.now()?;
            fetch(system.server(), 0..FILES, "f")?;
            costs.push((counter.now()? - before) as f64 / FILES as f64);
        }
    }
    Ok([median(&mut cold), median(&mut warm)])
}

/// Files per second, several connections at a time, each file for the first time.
fn cold_rate(field: &Field, system: &SystemUnderTest, image: &Disk) -> Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..field.rounds {
        let more = disk::options(system.machine, std::slice::from_ref(image));
        let mut guest = system.start_with_disk(MEMORY_MIB, more)?;
        system.first_answer(&mut guest, BOOT_LIMIT, CONNECT_LIMIT)?;
        let started = Instant::now();
        std::thread::scope(|scope| {
            let share = FILES / CONNECTIONS;
            let workers: Vec<_> = (0..CONNECTIONS)
                .map(|nth| nth * share..(nth + 1) * share)
                .map(|files| scope.spawn(|| fetch(system.server(), files, "f")))
                .collect();
            let died = |_| Failure::new("a client died");
            workers.into_iter().try_for_each(|worker| worker.join().map_err(died)?)
        })?;
        rates.push(FILES as f64 / started.elapsed().as_secs_f64());
    }
    Ok(median(&mut rates))
}

/// Guest instructions for a file of the same length in the boot module.
fn boot_module(field: &Field) -> Result<f64> {
    let file = noise(FILE_BYTES);
    let mut ours = field.ours.small.clone();
    ours.set_file_name("file.cpio");
    let bundle = image_builder::bundle::of(&[
        (config::CONFIG_FILE, super::CONFIG.as_bytes()),
        ("site/index.html", super::PAGE),
        ("site/f0", &file),
    ])?;
    files::write(&ours, &bundle)?;
    let counter = field.plugin.counter("module")?;
    let options = counter.options.iter().map(Into::into).collect();
    let mut guest = field.ours.start_from(&ours, MEMORY_MIB, options)?;
    field.ours.first_answer(&mut guest, BOOT_LIMIT, Duration::from_millis(400))?;
    let mut costs = Vec::new();
    for _ in 0..field.rounds {
        let before = counter.now()?;
        fetch(field.ours.server(), std::iter::repeat_n(0, FILES), "f")?;
        costs.push((counter.now()? - before) as f64 / FILES as f64);
    }
    Ok(median(&mut costs))
}

/// How long ours takes to its first answer, in milliseconds: without a disk, and with one.
fn starts(field: &Field, image: &Disk) -> Result<[f64; 2]> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..field.rounds + 2 {
        let (guest, took) = field.ours.serve(MEMORY_MIB, Site::Small, None)?;
        without.push(took.as_secs_f64() * 1e3);
        drop(guest);
        let more = disk::options(field.ours.machine, std::slice::from_ref(image));
        let mut guest = field.ours.start_with_disk(MEMORY_MIB, more)?;
        let took = field.ours.first_answer(&mut guest, BOOT_LIMIT, CONNECT_LIMIT)?;
        with.push(took.as_secs_f64() * 1e3);
    }
    Ok([median(&mut without), median(&mut with)])
}

/// Asks for files one after the other on one connection.
fn fetch(server: SocketAddr, files: impl Iterator<Item = usize>, name: &str) -> Result {
    let mut stream = TcpStream::connect(server).or_say(|| format!("no connection to {server}"))?;
    for number in files {
        let path = format!("/{name}{number}");
        match http_client::get_again(&mut stream, server, &path) {
            Some(answer) if answer.status == 200 && answer.body_bytes == FILE_BYTES => {}
            Some(answer) => fail!("{path}: {} with {} bytes", answer.status, answer.body_bytes),
            None => fail!("{path}: no whole answer"),
        }
    }
    Ok(())
}

/// The bundle that says where the site is.
pub(crate) fn bundle() -> Result<PathBuf> {
    let config = format!("{}[storage]\nsite_disk = 1\n", super::CONFIG);
    let file = paths::made("bench")?.join("disk.cpio");
    files::write(&file, image_builder::bundle::of(&[(config::CONFIG_FILE, config.as_bytes())])?)?;
    Ok(file)
}
