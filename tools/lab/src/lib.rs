//! The lab: where the appliance runs beside real peers. QEMU and Xen, TAPs and network namespaces, a lossy wire, the
//! programs of others, a relay between TAPs, and the harness of the tests that use them.
#![forbid(unsafe_code)]

pub mod accel;
mod debian;
pub mod disk;
pub mod firmware;
pub mod group;
pub mod guest;
pub mod harness;
pub mod hermit;
pub mod http_client;
mod initramfs;
pub mod libvirt;
pub mod link;
pub mod load;
pub mod lossy_wire;
pub mod namespace;
pub mod newcomer;
pub mod peers;
pub mod postgres;
pub mod process;
pub mod qemu;
pub mod qmp;
mod random;
pub mod relay;
pub mod run;
pub mod vsock;
pub mod xen;
