//! The virtio driver as the network stack wants it. Drivers know smoltcp's device trait and nothing
//! of ours; this adds the rest, and tries again with a device that broke the rules.

use bytes::Bytes;
use core::fmt::{self, Write};
use net::Card;
use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta};
use smoltcp::time::Instant;
use virtio_net::VirtioNet;

/// How often a card that had to be stopped is started anew. A hypervisor that was upgraded or moved
/// under us breaks a card once; a card that goes on like that is broken.
const RESTARTS_MAX: u32 = 3;

/// A virtio network card.
pub(crate) struct VirtioCard {
    driver: VirtioNet,
    restarts: u32,
    given_up: bool,
    link_up: bool,
}

impl VirtioCard {
    pub(crate) fn new(driver: VirtioNet) -> Self {
        let link_up = driver.link_up();
        let link = if link_up { "" } else { ", no link" };
        log::info!("card {}, packets of {} bytes{link}", Mac(driver.mac()), driver.mtu_bytes());
        Self { driver, restarts: 0, given_up: false, link_up }
    }

    /// Looks whether the card had to be stopped or lost its link since it was last asked.
    fn look(&mut self) {
        if self.driver.error().is_some() && !self.given_up {
            self.revive();
        }
        if self.link_up != self.driver.link_up() {
            self.link_up = !self.link_up;
            log::info!("the link is {}", if self.link_up { "up" } else { "down" });
        }
    }

    #[cold]
    fn revive(&mut self) {
        while let Some(error) = self.driver.error() {
            if self.restarts == RESTARTS_MAX {
                self.given_up = true;
                log::error!("the card was stopped: {error:?}; it is given up");
                return;
            }
            self.restarts += 1;
            log::warn!(
                "the card was stopped: {error:?}; start {} of {RESTARTS_MAX}",
                self.restarts
            );
            if let Err(error) = self.driver.restart() {
                log::error!("the card does not start: {error:?}");
            }
        }
    }
}

/// A hardware address as text. By hand, as the log's own numbers are: what formats any number is much
/// code to go through before a first answer.
struct Mac([u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
        for (at, byte) in self.0.into_iter().enumerate() {
            if at > 0 {
                f.write_char(':')?;
            }
            f.write_char(digit(byte >> 4))?;
            f.write_char(digit(byte))?;
        }
        Ok(())
    }
}

impl Device for VirtioCard {
    type RxToken<'a> = virtio_net::Received<'a>;
    type TxToken<'a> = virtio_net::Sending<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.driver.receive(now)
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        self.driver.transmit(now)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = self.driver.capabilities();
        // The stack tells its smoltcp interface of no MTU that would be in the way.
        capabilities.segmentation.tcpv6 = self.driver.ipv6_segmentation();
        capabilities
    }
}

impl Card for VirtioCard {
    fn send_lent(
        &mut self,
        _: Instant,
        head_len: usize,
        tail: Bytes,
        meta: PacketMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> bool {
        self.driver.send_lent(head_len, tail, meta.segmentation_offload_size, fill)
    }

    fn flush(&mut self) {
        self.driver.flush();
    }

    fn prepare_to_wait(&mut self) -> bool {
        let waits = self.driver.prepare_to_wait();
        self.look();
        waits
    }

    fn link_up(&self) -> bool {
        self.driver.link_up()
    }
}
