//! Entropy device (virtio 1.2, 5.4): random bytes for a seed.

use super::control::Control;
use super::discovery::devices;
use super::error::{Error, Fault};
use super::queue::{Queue, Writer};
use super::transport::Kind;
use crate::memory::dma::Arena;

/// How many bytes a seed has.
pub const SEED_BYTES: usize = 32;

/// A seed from the first entropy device that gives one; `None` when there is no such device. Waits
/// for the device, since nothing useful can happen before.
pub fn seed() -> Option<[u8; SEED_BYTES]> {
    devices(Kind::Entropy).into_iter().find_map(|device| read(device).ok())
}

fn read(mut device: Control) -> Result<[u8; SEED_BYTES], Error> {
    device.negotiate(0, |features, _| features)?;
    let (mut queue, doorbell) = device.only_queue(1)?;
    let mut memory = Arena::allocate(SEED_BYTES).ok_or(Error::OutOfMemory)?;
    device.start();
    let mut seed = [0; SEED_BYTES];
    let mut filled = 0;
    // A device may give less than was asked for, but something each time (5.4.6.2).
    while filled < SEED_BYTES {
        let missing = SEED_BYTES - filled;
        queue.add(memory.physical(0), missing as u32, Writer::Device);
        queue.publish();
        if queue.wants_doorbell() {
            doorbell.ring();
        }
        let given = wait(&mut queue)?;
        if given == 0 || given > missing {
            return Err(Error::Broken(Fault::UsedLength));
        }
        queue.take_back(1);
        // SAFETY: the only buffer has just been returned.
        let bytes = unsafe { memory.slice_mut(0, given) };
        seed[filled..filled + given].copy_from_slice(bytes);
        filled += given;
    }
    Ok(seed)
}

/// How many bytes the device put into the buffer in flight.
fn wait(queue: &mut Queue) -> Result<usize, Error> {
    /// Some seconds: the host may have to gather entropy itself.
    const POLLS_MAX: u32 = 1 << 28;
    for _ in 0..POLLS_MAX {
        if queue.used(1).map_err(Error::Broken)? > 0 {
            return Ok(queue.used_length(0).map_err(Error::Broken)? as usize);
        }
        core::hint::spin_loop();
    }
    Err(Error::Broken(Fault::NeedsReset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::fake::{self, Offer};
    use crate::virtio::feature::VERSION_1;
    use std::vec::Vec;

    /// What comes of a device that fills each buffer with the next of these, and says that it wrote so many bytes of it.
    fn read_from(answers: &'static [(&[u8], u32)]) -> Result<[u8; SEED_BYTES], Error> {
        let (kind, queue_sizes) = (Kind::Entropy, Vec::from([8]));
        let offer = Offer { kind, features: VERSION_1, configuration: Vec::new(), queue_sizes };
        let (control, side) = fake::device(offer);
        let device = std::thread::spawn(move || {
            for &(bytes, length) in answers {
                let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
                // The doorbell rings for each buffer; before that there may be no ring.
                while side.size(0) == 0 || side.waiting(0) == 0 {
                    assert!(std::time::Instant::now() < deadline, "nothing was asked for");
                    std::thread::yield_now();
                }
                let chain = side.take(0).expect("a buffer");
                side.write(&chain, bytes);
                side.put(0, chain.id.into(), length);
            }
        });
        let result = read(control);
        device.join().expect("a device that was asked");
        result
    }

    #[test]
    fn a_seed_is_gathered_from_what_the_device_gives_each_time() {
        let seed = read_from(&[(b"12345", 5), (b"6", 1), (b"abcdefghijklmnopqrstuvwxyz", 26)]);
        assert_eq!(seed, Ok(*b"123456abcdefghijklmnopqrstuvwxyz"));
        assert_eq!(read_from(&[(&[7; 32], 32)]), Ok([7; 32]));
    }

    /// virtio 1.2, 5.4.6.2: something each time, and no more than fits.
    #[test]
    fn a_device_that_lies_gives_no_seed() {
        let broken = Err(Error::Broken(Fault::UsedLength));
        assert_eq!(read_from(&[(b"", 0)]), broken);
        assert_eq!(read_from(&[(&[7; 32], 33)]), broken);
        assert_eq!(read_from(&[(&[7; 31], 31), (b"1", 2)]), broken);
    }
}
