//! Serial port: a 16550 whose transmitter is fed by interrupts (National Semiconductor PC16550D data
//! sheet).

use super::port;
use crate::hypervisor::Transmitter;
use crate::interrupt::Line;
use core::sync::atomic::{AtomicBool, Ordering};
use hermit_sync::OneShotMutex;

/// Its first port.
pub(crate) const BASE: u16 = 0x3f8;
const PIN: u32 = 4;
/// What the transmitter takes at once when it is empty.
const FIFO_BYTES: usize = 16;

/// The first of a PC.
pub(crate) static FIRST: Serial =
    Serial { is_present: AtomicBool::new(false), line: OneShotMutex::new(None) };

/// A serial port. What is sent where there is none goes nowhere.
pub(crate) struct Serial {
    is_present: AtomicBool,
    /// Its interrupts, once there are any. Only tried to lock: who reports a fault does not wait.
    line: OneShotMutex<Option<Line>>,
}

impl Transmitter for Serial {
    fn start(&self) {
        // SAFETY: the scratch register keeps what is written to it, if there is a serial port.
        unsafe { port::write8(BASE + 7, 0x5a) }
        // SAFETY: as above.
        let is_present = unsafe { port::read8(BASE + 7) } == 0x5a;
        self.is_present.store(is_present, Ordering::Relaxed);
        // No interrupts; 115,200 baud, 8 bits, no parity; FIFO on and cleared; OUT2 and ready.
        for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 0xb)] {
            // SAFETY: the registers of the serial port, which only this module drives.
            unsafe { port::write8(BASE + register, value) }
        }
    }

    fn start_interrupt(&self) {
        let line = Line::allocate().filter(|line| line.route(PIN));
        *self.line.lock() = line.filter(|_| self.is_present.load(Ordering::Relaxed));
    }

    fn send(&self, bytes: &mut dyn Iterator<Item = u8>) -> usize {
        if !self.is_present.load(Ordering::Relaxed) {
            return bytes.count();
        }
        if !self.is_empty() {
            return 0;
        }
        let mut count = 0;
        for byte in bytes.take(FIFO_BYTES) {
            // SAFETY: the transmit register of the serial port, which only this module drives.
            unsafe { port::write8(BASE, byte) }
            count += 1;
        }
        count
    }

    fn acknowledge(&self) {
        if let Some(line) = self.line.try_lock().as_deref().and_then(Option::as_ref) {
            line.take();
        }
    }

    fn want_interrupt(&self, wanted: bool) {
        if self.line.try_lock().is_some_and(|line| line.is_some()) {
            // SAFETY: the interrupt enable register of the serial port.
            unsafe { port::write8(BASE + 1, if wanted { 2 } else { 0 }) }
        }
    }
}

impl Serial {
    fn is_empty(&self) -> bool {
        // SAFETY: reads the line status of the serial port.
        unsafe { port::read8(BASE + 5) & 0x20 != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::tests::free_lines;

    const LINE_STATUS: u16 = 0x3fd;
    const SCRATCH: u16 = 0x3ff;

    fn serial() -> Serial {
        Serial { is_present: AtomicBool::new(false), line: OneShotMutex::new(None) }
    }

    /// PC16550D data sheet: 115,200 baud are a divisor of 1, and an empty transmitter (bit 5 of the line status) takes 16 bytes.
    #[test]
    fn an_empty_transmitter_is_given_what_its_fifo_takes() {
        let serial = serial();
        port::set(SCRATCH, 0x5a);
        serial.start();
        let setting = [(0x3f9, 0), (0x3fb, 0x80), (0x3f8, 1), (0x3f9, 0), (0x3fb, 3)];
        let fifo_and_modem = [(SCRATCH, 0x5a), (0x3fa, 7), (0x3fc, 0xb)];
        let written = port::take_written();
        assert_eq!(written[..1], fifo_and_modem[..1]);
        assert_eq!(written[1..6], setting);
        assert_eq!(written[6..], fifo_and_modem[1..]);
        for (status, taken) in [(0xdf, 0), (0x20, 16), (0x60, 16)] {
            port::set(LINE_STATUS, status);
            assert_eq!(serial.send(&mut (0..20)), taken, "{status:#x}");
            let bytes: std::vec::Vec<_> = (0..taken as u32).map(|byte| (0x3f8, byte)).collect();
            assert_eq!(port::take_written(), bytes);
        }
        assert_eq!(serial.send(&mut (0..3)), 3);
    }

    #[test]
    fn what_is_sent_where_no_port_is_goes_nowhere() {
        let serial = serial();
        serial.start();
        port::take_written();
        assert_eq!((serial.send(&mut (0..20)), port::take_written().len()), (20, 0));
    }

    #[test]
    fn interrupts_are_asked_for_where_there_are_any() {
        let _alone = free_lines();
        let serial = serial();
        serial.want_interrupt(true);
        serial.acknowledge();
        serial.start_interrupt();
        assert!(serial.line.lock().is_none(), "a host has no pins");
        assert_eq!(port::take_written(), []);
        *serial.line.lock() = Line::allocate();
        serial.want_interrupt(true);
        serial.want_interrupt(false);
        assert_eq!(port::take_written(), [(0x3f9, 2), (0x3f9, 0)]);
        serial.line.lock().as_ref().unwrap().raise();
        serial.acknowledge();
        assert!(!serial.line.lock().as_ref().unwrap().take());
        // Who reports a fault does not wait for who was interrupted.
        let _held = serial.line.lock();
        serial.want_interrupt(true);
        serial.acknowledge();
        assert_eq!(port::take_written(), []);
    }
}
