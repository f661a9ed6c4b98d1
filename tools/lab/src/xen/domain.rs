//! Guests: `qemu/xen-pvh.cfg` with a few lines changed.

use super::host::Host;
use command::{
    failure::{Failure, Result, fail},
    files,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// The guest's usual configuration, as it ships.
const SHIPPED: &str = include_str!("../../qemu/xen-pvh.cfg");

/// How a guest differs from the usual one.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Xen's name for it.
    pub name: String,
    /// The image, a file in dom0.
    pub kernel: String,
    /// The bundle, a file in dom0.
    pub ramdisk: Option<String>,
    /// The kernel command line.
    pub words: String,
    /// The memory.
    pub memory_mib: u32,
    /// One line of xl's syntax for each interface.
    pub interfaces: Vec<String>,
    /// And for each disk: see [`put_disk`].
    pub disks: Vec<String>,
}

/// Where files for guests are in dom0.
const FOLDER: &str = "/guests";
const POLL: Duration = Duration::from_millis(50);

impl Domain {
    /// A guest with the image and a bundle that were put there, at an address of dom0's bridge.
    pub fn appliance(name: &str, address: &str) -> Self {
        Self {
            name: name.to_owned(),
            kernel: "image".to_owned(),
            ramdisk: Some("bundle".to_owned()),
            words: format!("ip={address}/24"),
            memory_mib: 64,
            // Always the same: dom0 remembers who has an address.
            interfaces: vec![format!("bridge=xenbr0,mac={}", mac_of(address))],
            disks: Vec::new(),
        }
    }

    /// Its configuration: the one that ships, with these values.
    fn config(&self) -> String {
        let quoted = |text: &str| format!("\"{text}\"");
        let list = |lines: &[String]| {
            let lines: Vec<String> = lines.iter().map(|line| quoted(line)).collect();
            format!("[ {} ]", lines.join(", "))
        };
        let mut config = String::new();
        for line in SHIPPED.lines().filter(|line| !line.starts_with('#')) {
            let key = line.split(' ').next().unwrap_or_default();
            let value = match key {
                "name" => quoted(&self.name),
                "kernel" => quoted(&format!("{FOLDER}/{}", self.kernel)),
                "ramdisk" => match &self.ramdisk {
                    Some(ramdisk) => quoted(&format!("{FOLDER}/{ramdisk}")),
                    None => continue,
                },
                "cmdline" => quoted(&self.words),
                "memory" => self.memory_mib.to_string(),
                "vif" => list(&self.interfaces),
                "on_reboot" | "on_crash" => quoted("destroy"),
                _ => {
                    config.push_str(&format!("{line}\n"));
                    continue;
                }
            };
            config.push_str(&format!("{key} = {value}\n"));
        }
        config.push_str(&format!("disk = {}\n", list(&self.disks)));
        // The emulated counter has no fixed rate in Xen's eyes, which would then emulate it again.
        config.push_str("tsc_mode = \"native\"\n");
        config
    }

    /// Writes its configuration in dom0, for `xl create`; the file's path there.
    pub fn put(&self, host: &Host) -> Result<String> {
        let path = format!("{FOLDER}/{}.cfg", self.name);
        host.put(&path, self.config().as_bytes())?;
        Ok(path)
    }

    /// Starts it.
    pub fn create(&self, host: &Host) -> Result {
        let path = self.put(host)?;
        host.must(&format!(
            "rm -f {log} /var/log/xen/xl-{name}.log; xl create -q {path}",
            log = self.log_path(),
            name = self.name
        ))
        .map(drop)
    }

    /// What it wrote on its console.
    pub fn console(&self, host: &Host) -> Result<String> {
        Ok(host.run(&format!("cat {}", self.log_path()))?.output)
    }

    /// Waits until a file of it is answered over HTTP to dom0.
    pub fn wait_answer(&self, host: &Host, url: &str, limit: Duration) -> Result {
        self.wait_until(host, &format!("an answer from {url}"), limit, |host| {
            Ok(host.run(&format!("timeout 20 wget -q -O /dev/null {url}"))?.code == 0)
        })
    }

    /// Waits until it has ended; the reason that it gave Xen.
    pub fn wait_end(&self, host: &Host, limit: Duration) -> Result<u32> {
        let mut reason = None;
        self.wait_until(host, "end", limit, |host| {
            reason = self.end_reason(host)?;
            Ok(reason.is_some())
        })?;
        reason.ok_or_else(|| Failure::new("unreachable: it has ended"))
    }

    /// The reason that it gave Xen for its end, once all of it is gone.
    pub fn end_reason(&self, host: &Host) -> Result<Option<u32>> {
        let name = &self.name;
        if host.run(&format!("xl list {name}"))?.code == 0 {
            return Ok(None);
        }
        let log = host.run(&format!("cat /var/log/xen/xl-{name}.log"))?.output;
        let reason = log.split_once("shut down, reason code ").map(|(_, rest)| rest);
        let code = reason.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        match code {
            Some(code) => Ok(Some(code)),
            None => fail!("guest {name} ended without telling Xen why:\n{log}"),
        }
    }

    fn wait_until(
        &self,
        host: &Host,
        what: &str,
        limit: Duration,
        mut holds: impl FnMut(&Host) -> Result<bool>,
    ) -> Result {
        let deadline = Instant::now() + limit;
        while !holds(host)? {
            if Instant::now() > deadline {
                let console = self.console(host)?;
                fail!("no {what} of guest {} within {limit:?}; its console:\n{console}", self.name);
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn log_path(&self) -> String {
        format!("/var/log/xen/console/guest-{}.log", self.name)
    }
}

/// A MAC of Xen's that goes with an IPv4 address.
fn mac_of(address: &str) -> String {
    let last = address.rsplit('.').next().and_then(|byte| byte.parse::<u8>().ok());
    format!("00:16:3e:00:00:{:02x}", last.unwrap_or_default())
}

/// Puts a file of this machine where guests' files are.
pub fn put_file(host: &Host, name: &str, file: &Path) -> Result {
    let bytes = files::read(file)?;
    host.put(&format!("{FOLDER}/{name}"), &bytes)
}

/// Puts a file of this machine where guests' files are, and makes a disk of it that guests read: xl's word for it, up to the
/// name that a guest knows it by.
pub fn put_disk(host: &Host, name: &str, file: &Path) -> Result<String> {
    let mut bytes = files::read(file)?;
    // A loop device leaves out what is no whole block.
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    host.put(&format!("{FOLDER}/{name}"), &bytes)?;
    // dom0 has as few modules as it needs.
    let device = host.must(&format!(
        "for module in loop xen-blkback; do lsmod | grep -q ^$(echo $module | tr - _) || \
         insmod /lib/modules/$module.ko || exit 1; done; \
         device=$(losetup -f) && losetup -r $device {FOLDER}/{name} && echo $device"
    ))?;
    Ok(format!("phy:{}", device.trim()))
}
