//! System under test: one of the two that are compared, started under the same flags.

use super::counter::Counter;
use command::failure::{Result, fail};
use lab::{
    accel::Accel,
    guest::{Echo, Guest},
    http_client,
    link::{self, Tap},
    qemu::{MAC, Machine, Netdev, Spec},
};
use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Debian's kernel takes six seconds, the plugin makes it several times that.
const BOOT_LIMIT: Duration = Duration::from_secs(90);
/// A handshake with a guest that is up takes less; with one that is not, another attempt follows at once.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_millis(3);
/// Where the guest's instructions are counted: each attempt from before it was up waits for it on the wire, and is answered
/// and refused at the cost of a connection, so that the count would say how long the start took here.
const PATIENT_CONNECT_LIMIT: Duration = Duration::from_millis(400);
/// Answers may take as long as they like once the handshake is done.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Which files a guest is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// The small page alone: for the boot, the size and the least memory.
    Small,
    /// With the bulk file.
    Bulk,
}

/// One of the two, on a wire of its own.
pub(crate) struct SystemUnderTest {
    pub(crate) name: &'static str,
    pub(crate) machine: Machine,
    pub(crate) kernel: PathBuf,
    pub(crate) small: PathBuf,
    pub(crate) bulk: PathBuf,
    /// Where the site is on a disk.
    pub(crate) disk: PathBuf,
    /// The command line, but for the address.
    pub(crate) words: &'static str,
    /// More of it with the bulk site.
    pub(crate) bulk_words: &'static str,
    /// More of it with a disk.
    pub(crate) disk_words: &'static str,
    pub(crate) address: Ipv4Addr,
    pub(crate) tap: Tap,
}

impl SystemUnderTest {
    /// Makes the wire and prepares our end: a fixed neighbour, so that no boot waits for ARP, and a short queue, so that
    /// attempts from before the guest was up do not pile up.
    pub(crate) fn wire(tap: &str, ours: Ipv4Addr, address: Ipv4Addr) -> Result<Tap> {
        let tap = Tap::bare(tap, ours.into())?;
        link::ip(&["link", "set", tap.name(), "txqueuelen", "1000"])?;
        link::ip(&[
            "neigh",
            "replace",
            &address.to_string(),
            "lladdr",
            MAC,
            "nud",
            "permanent",
            "dev",
            tap.name(),
        ])?;
        Ok(tap)
    }

    pub(crate) fn server(&self) -> SocketAddr {
        SocketAddr::from((self.address, 80))
    }

    /// Where it is asked by FastCGI, with the bulk site.
    pub(crate) fn fastcgi(&self) -> SocketAddr {
        SocketAddr::from((self.address, 9000))
    }

    /// Bytes of a kernel and the initrd.
    pub(crate) fn size_bytes(&self, kernel: &Path) -> f64 {
        let bytes =
            |file: &Path| std::fs::metadata(file).map_or(f64::NAN, |file| file.len() as f64);
        bytes(kernel) + bytes(&self.small)
    }

    pub(crate) fn start(
        &self,
        memory_mib: u32,
        site: Site,
        counter: Option<&Counter>,
    ) -> Result<Guest> {
        self.start_by(&self.kernel, memory_mib, site, counter)
    }

    /// Starts another kernel in its place.
    fn start_by(
        &self,
        kernel: &Path,
        memory_mib: u32,
        site: Site,
        counter: Option<&Counter>,
    ) -> Result<Guest> {
        let (initrd, words) = match site {
            Site::Small => (&self.small, ""),
            Site::Bulk => (&self.bulk, self.bulk_words),
        };
        let more = counter
            .map_or_else(Vec::new, |counter| counter.options.iter().map(Into::into).collect());
        self.start_as(kernel, memory_mib, initrd, words, more)
    }

    /// Starts it with the site on a disk, which is among these options.
    pub(crate) fn start_with_disk(&self, memory_mib: u32, more: Vec<OsString>) -> Result<Guest> {
        self.start_as(&self.kernel, memory_mib, &self.disk, self.disk_words, more)
    }

    /// Starts it with another initrd.
    pub(crate) fn start_from(
        &self,
        initrd: &Path,
        memory_mib: u32,
        more: Vec<OsString>,
    ) -> Result<Guest> {
        self.start_as(&self.kernel, memory_mib, initrd, "", more)
    }

    fn start_as(
        &self,
        kernel: &Path,
        memory_mib: u32,
        initrd: &Path,
        words: &str,
        more: Vec<OsString>,
    ) -> Result<Guest> {
        let spec = Spec {
            machine: self.machine,
            accel: Accel::Tcg,
            memory_mib,
            kernel: kernel.to_owned(),
            initrd: Some(initrd.to_owned()),
            append: format!("{} {words} ip={}/24", self.words, self.address),
            netdev: Netdev::Tap { name: self.tap.name().to_owned(), offloads: true },
            without: &[],
            entropy: true,
            more,
        };
        Guest::start(&spec, &Echo::No)
    }

    /// Starts it and waits for the first 200: the time since the start.
    pub(crate) fn serve(
        &self,
        memory_mib: u32,
        site: Site,
        counter: Option<&Counter>,
    ) -> Result<(Guest, Duration)> {
        self.serve_by(&self.kernel, memory_mib, site, counter)
    }

    /// Starts it with another kernel and waits for the first 200: the time since the start.
    pub(crate) fn serve_by(
        &self,
        kernel: &Path,
        memory_mib: u32,
        site: Site,
        counter: Option<&Counter>,
    ) -> Result<(Guest, Duration)> {
        let mut guest = self.start_by(kernel, memory_mib, site, counter)?;
        let attempt = counter.map_or(CONNECT_LIMIT, |_| PATIENT_CONNECT_LIMIT);
        let took = self.first_answer(&mut guest, BOOT_LIMIT, attempt)?;
        Ok((guest, took))
    }

    /// Waits for the first 200, by attempts that each wait so long for a handshake: the time since the start.
    pub(crate) fn first_answer(
        &self,
        guest: &mut Guest,
        limit: Duration,
        attempt: Duration,
    ) -> Result<Duration> {
        while guest.started().elapsed() < limit {
            if http_client::get_patiently(self.server(), "/", attempt, ANSWER_LIMIT)
                .is_some_and(|answer| answer.status == 200)
            {
                return Ok(guest.started().elapsed());
            }
            if let Some(status) = guest.ended() {
                fail!("{} ended ({status}); its last lines:\n{}", self.name, guest.tail());
            }
        }
        fail!("{} did not answer within {limit:?}; its last lines:\n{}", self.name, guest.tail())
    }
}
