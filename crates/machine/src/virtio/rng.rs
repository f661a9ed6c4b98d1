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
