//! Drivers as the network stack wants them. The drivers know smoltcp's device trait and nothing of
//! ours; this adds the rest.

use net::Card;
use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::time::Instant;
use virtio_net::VirtioNet;

/// A virtio network card.
pub(crate) struct VirtioCard(pub(crate) VirtioNet);

impl Device for VirtioCard {
    type RxToken<'a> = virtio_net::Received<'a>;
    type TxToken<'a> = virtio_net::Sending<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.0.receive(now)
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        self.0.transmit(now)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.capabilities()
    }
}

impl Card for VirtioCard {
    fn flush(&mut self) {
        self.0.flush();
    }

    fn prepare_to_wait(&mut self) -> bool {
        self.0.prepare_to_wait()
    }

    fn link_up(&self) -> bool {
        self.0.link_up()
    }
}
