//! Lossy wire: loses, doubles and reorders frames both ways, by a seed.
//!
//! QEMU's redirector filters hand us every frame over Unix sockets and take it back the same way; so this works on any kernel,
//! with or without netem. Frames on these sockets follow their length, four bytes, the highest first.

use crate::random::Random;
use command::{
    failure::{OrSay, Result},
    paths::Scratch,
};
use std::{
    ffi::OsString,
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

/// Longest frame that is taken: Ethernet with a 64 KiB segment.
const FRAME_BYTES_MAX: usize = 70_000;
/// Most frames that one is held back by.
const HELD_MAX: u64 = 4;
/// A frame that nothing overtakes goes on after this time: late, not lost.
const HELD_FOR: Duration = Duration::from_millis(5);

/// What happens to frames, in per cent.
#[derive(Clone, Copy, Debug)]
pub struct Impairments {
    /// Never arrive.
    pub lost: u64,
    /// Arrive twice.
    pub doubled: u64,
    /// Are overtaken by a few others.
    pub reordered: u64,
    /// Of the random numbers: it repeats a run.
    pub seed: u64,
}

/// The two directions, as QEMU's netdev sees them.
const QUEUES: [&str; 2] = ["tx", "rx"];

/// Starts to listen for a guest's frames; gives the options for QEMU. The relays end with the guest.
pub fn start(scratch: &Scratch, impairments: Impairments) -> Result<Vec<OsString>> {
    let mut options = Vec::new();
    for (number, queue) in QUEUES.iter().enumerate() {
        let (taken, given) =
            (scratch.path(&format!("{queue}-taken")), scratch.path(&format!("{queue}-given")));
        let (from, to) = (listen(&taken)?, listen(&given)?);
        let seed = impairments.seed.wrapping_mul(2).wrapping_add(number as u64 + 1);
        std::thread::spawn(move || {
            if let (Ok((from, _)), Ok((to, _))) = (from.accept(), to.accept()) {
                // An error is the guest's end.
                let _ = relay(from, to, Impairments { seed, ..impairments });
            }
        });
        options.extend(chardev(&format!("{queue}-taken"), &taken));
        options.extend(chardev(&format!("{queue}-given"), &given));
        options.push("-object".into());
        options.push(format!("filter-redirector,id={queue},netdev=net,queue={queue},outdev={queue}-taken,indev={queue}-given").into());
    }
    Ok(options)
}

fn listen(path: &Path) -> Result<UnixListener> {
    UnixListener::bind(path).or_say(|| format!("cannot listen at {}", path.display()))
}

fn chardev(id: &str, path: &Path) -> [OsString; 2] {
    ["-chardev".into(), format!("socket,id={id},path={},server=off", path.display()).into()]
}

/// Hands frames on until a side closes.
fn relay(
    mut from: impl Read + Send + 'static,
    mut to: impl Write,
    impairments: Impairments,
) -> std::io::Result<()> {
    // Without a limit, which TCP's windows set: QEMU stands still while it writes to us, and would never read what we write.
    let (sender, frames) = mpsc::channel();
    std::thread::spawn(move || {
        while let Ok(frame) = frame(&mut from) {
            if sender.send(frame).is_err() {
                return;
            }
        }
    });
    let mut random = Random::new(impairments.seed);
    let mut late: Option<Late> = None;
    loop {
        let frame = match frames.recv_timeout(HELD_FOR) {
            Ok(frame) => frame,
            Err(RecvTimeoutError::Timeout) => {
                late.take().map_or(Ok(()), |late| put(&mut to, &late.frame))?;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => {
                return late.take().map_or(Ok(()), |late| put(&mut to, &late.frame));
            }
        };
        if random.per_cent(impairments.lost) {
            continue;
        }
        if late.is_none() && random.per_cent(impairments.reordered) {
            late = Some(Late { frame, behind: 1 + random.next() % HELD_MAX });
            continue;
        }
        for _ in 0..=usize::from(random.per_cent(impairments.doubled)) {
            put(&mut to, &frame)?;
        }
        late = match late {
            Some(Late { frame, behind: 1 }) => put(&mut to, &frame).map(|()| None)?,
            Some(Late { frame, behind }) => Some(Late { frame, behind: behind - 1 }),
            None => None,
        };
    }
}

/// A frame that others overtake.
struct Late {
    frame: Vec<u8>,
    /// How many still.
    behind: u64,
}

fn frame(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(std::io::Error::other("a frame longer than any"));
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn put(to: &mut impl Write, frame: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(std::io::Error::other)?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(count: u8, impairments: Impairments) -> Vec<u8> {
        let mut input = Vec::new();
        for number in 0..count {
            put(&mut input, &[number]).unwrap();
        }
        let mut output = Vec::new();
        relay(std::io::Cursor::new(input), &mut output, impairments).unwrap();
        output.chunks(5).map(|chunk| chunk[4]).collect()
    }

    const SOUND: Impairments = Impairments { lost: 0, doubled: 0, reordered: 0, seed: 1 };

    #[test]
    fn a_sound_wire_changes_nothing() {
        assert_eq!(through(200, SOUND), (0..200).collect::<Vec<u8>>());
    }

    #[test]
    fn each_fault_is_seen_and_the_seed_repeats_it() {
        assert!(through(200, Impairments { lost: 10, ..SOUND }).len() < 200);
        assert!(through(200, Impairments { doubled: 10, ..SOUND }).len() > 200);
        let reordered = through(200, Impairments { reordered: 20, ..SOUND });
        assert!(!reordered.is_sorted() && reordered.len() == 200);
        assert_eq!(reordered, through(200, Impairments { reordered: 20, ..SOUND }));
        assert_ne!(reordered, through(200, Impairments { reordered: 20, seed: 2, ..SOUND }));
    }
}
