//! The appliance as a Linux process.
#![forbid(unsafe_code)]

mod sockets;

fn main() {
    let _ = (sockets::Reactor::new, sockets::KernelListener::bind, sockets::KernelConnector::new);
}
