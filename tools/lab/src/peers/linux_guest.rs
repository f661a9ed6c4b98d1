//! Linux guest with nginx, the peer of `cargo xtask bench`: Debian's kernel and nginx in the smallest initramfs that runs them, made from Debian's
//! packages, which are downloaded and unpacked, not installed.

use crate::{
    debian::{self, Package},
    initramfs::{self, write},
};
use command::{
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Install},
};
use flate2::{Compression, write::GzEncoder};
use std::{
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// A kernel and an initramfs with a site.
pub struct Peer {
    /// Debian's.
    pub kernel: PathBuf,
    /// With nginx and the site.
    pub initrd: PathBuf,
}

/// Each line names one package by what it is called in Debian 12, and by what later ones call it.
const PACKAGES: &[&[&str]] = &[
    &["nginx"],
    &["libc6"],
    &["libcrypt1"],
    &["libpcre2-8-0"],
    &["libssl3", "libssl3t64"],
    &["zlib1g"],
    &["busybox-static"],
];

/// In the order of loading. What a kernel has built in is not there, which is fine.
const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_mmio",
    "failover",
    "net_failover",
    "virtio_net",
    "rng-core",
    "virtio-rng",
    "xen-netfront",
];

/// Those for a disk, which are loaded when there is one.
const DISK_MODULES: &[&str] =
    &["virtio_blk", "crc32c_generic", "libcrc32c", "netfs", "fscache", "erofs"];

const NGINX_CONF: &str = "\
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 100000;
pid /run/nginx.pid;
error_log stderr warn;
events { worker_connections 60000; multi_accept on; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  types { text/html html; }
  server {
    listen 80 backlog=4096;
    root /site;
    location /_test/sink {
      root /tmp;
      dav_methods PUT;
      create_full_put_path on;
      client_max_body_size 0;
      client_body_buffer_size 2m;
      client_body_temp_path /tmp/body;
    }
    location ~ ^/_test/relay/([0-9.:]+)(/.*)$ { proxy_pass http://$1$2; proxy_max_temp_file_size 0; }
  }
}
";

/// More of the server that has a certificate.
const TLS_CONF: &str = "
    listen 443 ssl backlog=4096;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate /cert.pem;
    ssl_certificate_key /key.pem;
    ssl_session_cache shared:a:10m;";

const INIT: &str = "\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
load() { for module; do [ -f /modules/$module.ko ] && /bin/busybox insmod /modules/$module.ko; done; }
load MODULES
for word in $(/bin/busybox cat /proc/cmdline); do
  case $word in
    ip=*) address=${word#ip=} ;;
    disk=*) load DISKS; /bin/busybox mount -t ${word#disk=} -o ro /dev/vda /site ;;
    bulk=*) /bin/busybox dd if=/dev/zero of=/site/big bs=1M count=${word#bulk=} ;;
  esac
done
n=0; until [ -e /sys/class/net/eth0 ] || [ $n = 100 ]; do /bin/busybox sleep 0.02; n=$((n+1)); done
/bin/busybox ip link set lo up
/bin/busybox ip link set eth0 up
/bin/busybox ip addr add $address dev eth0
echo 1024 65000 > /proc/sys/net/ipv4/ip_local_port_range
echo 4096 > /proc/sys/net/core/somaxconn
echo 8192 > /proc/sys/net/ipv4/tcp_max_syn_backlog
ulimit -n 100000
exec /usr/sbin/nginx -c /nginx.conf
";

/// Makes the peer with this index page. Packages are downloaded once. The word `bulk=MIB` on the command line makes it
/// fill `/big` at boot: an initramfs is in memory twice while it is unpacked, and the file would not fit. With
/// `disk=FORMAT`, the site is on its first disk.
pub fn make(page: &[u8], install: Install) -> Result<Peer> {
    make_as("initrd.cpio.gz", page, None, install)
}

/// The same, which serves by TLS, too, with a certificate and its key in PEM.
pub fn make_with_tls(
    page: &[u8],
    certificate: &[u8],
    key: &[u8],
    install: Install,
) -> Result<Peer> {
    make_as("initrd-tls.cpio.gz", page, Some((certificate, key)), install)
}

fn make_as(
    name: &str,
    page: &[u8],
    identity: Option<(&[u8], &[u8])>,
    install: Install,
) -> Result<Peer> {
    programs::need(&[&programs::DPKG, &programs::CPIO, &programs::XZ], install)?;
    let unpacked = unpacked()?;
    let kernel = newest(&unpacked.join("boot"), "vmlinuz-")?;
    let scratch = paths::Scratch::new()?;
    let root = scratch.path("root");
    fill(&unpacked, &root)?;
    write(&root.join("site/index.html"), page, 0o644)?;
    if let Some((certificate, key)) = identity {
        write(&root.join("cert.pem"), certificate, 0o644)?;
        write(&root.join("key.pem"), key, 0o600)?;
        let plain = "listen 80 backlog=4096;";
        write(
            &root.join("nginx.conf"),
            NGINX_CONF.replace(plain, &format!("{plain}{TLS_CONF}")),
            0o644,
        )?;
    }
    let initrd = paths::made("peer")?.join(name);
    pack(&root, &initrd)?;
    Ok(Peer { kernel, initrd })
}

/// Everything from the packages, below one folder.
fn unpacked() -> Result<PathBuf> {
    let folder = paths::made("peer")?.join("unpacked");
    let kernel = Package::kernel(&debian::kernel_release()?, &[]);
    let packages: Vec<_> =
        PACKAGES.iter().map(|names| Package::new(names)).chain([kernel]).collect();
    debian::unpack(&packages, &folder)?;
    Ok(folder)
}

/// The root file system without a site.
fn fill(unpacked: &Path, root: &Path) -> Result {
    for folder in [
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "site",
        "modules",
        "var/log/nginx",
        "var/lib/nginx",
        "etc",
    ] {
        files::make_folder(&root.join(folder))?;
    }
    for program in ["usr/sbin/nginx", "bin/busybox"] {
        let from = in_usr(unpacked, program)?;
        write(&root.join(program), files::read(&from)?, 0o755)?;
    }
    libraries(unpacked, root)?;
    for module in MODULES.iter().chain(DISK_MODULES) {
        if let Some(file) = find(&unpacked.join("lib/modules"), module)
            .or_else(|| find(&unpacked.join("usr/lib/modules"), module))
        {
            write(&root.join(format!("modules/{module}.ko")), plain(&file)?, 0o644)?;
        }
    }
    write(&root.join("nginx.conf"), NGINX_CONF, 0o644)?;
    write(&root.join("etc/passwd"), b"root:x:0:0::/:/bin/sh\n", 0o644)?;
    write(&root.join("etc/group"), b"root:x:0:\n", 0o644)?;
    let init = INIT.replace("MODULES", &MODULES.join(" "));
    write(&root.join("init"), init.replace("DISKS", &DISK_MODULES.join(" ")), 0o755)
}

/// The loader and the shared objects, flat in `/lib`.
fn libraries(unpacked: &Path, root: &Path) -> Result {
    const NEEDED: &[&str] = &[
        "ld-linux-x86-64.so.2",
        "libc.so.6",
        "libcrypt.so.1",
        "libpcre2-8.so.0",
        "libssl.so.3",
        "libcrypto.so.3",
        "libz.so.1",
    ];
    for name in NEEDED {
        let folders = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"]
            .map(|folder| unpacked.join(folder));
        let Some(file) = folders.iter().map(|folder| folder.join(name)).find(|file| file.exists())
        else {
            fail!("no {name} in Debian's packages");
        };
        write(&root.join("lib").join(name), files::read(&file)?, 0o755)?;
    }
    symlink("lib", root.join("lib64")).or_say(|| "cannot make a link".into())
}

/// The first file below a folder that is this module, compressed or not.
fn find(folder: &Path, module: &str) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let names = [format!("{module}.ko"), format!("{module}.ko.xz")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if names.iter().any(|name| entry.file_name() == name.as_str()) {
                return Some(path);
            }
        }
    }
    None
}

fn plain(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return files::read(file);
    }
    let output = programs::command(&programs::XZ)?
        .arg("-dc")
        .arg(file)
        .output()
        .or_say(|| "cannot start xz".into())?;
    Ok(output.stdout)
}

fn in_usr(unpacked: &Path, path: &str) -> Result<PathBuf> {
    let places = [unpacked.join(path), unpacked.join("usr").join(path)];
    match places.into_iter().find(|file| file.exists()) {
        Some(file) => Ok(file),
        None => fail!("no {path} in Debian's packages"),
    }
}

fn newest(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let named = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    match files::list(folder)?.into_iter().filter(named).max() {
        Some(file) => Ok(file),
        None => fail!("no {prefix}* in {}", folder.display()),
    }
}

/// Packed and compressed.
fn pack(root: &Path, out: &Path) -> Result {
    let plain = out.with_extension("plain");
    initramfs::pack(root, &plain)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    let packed = encoder
        .write_all(&files::read(&plain)?)
        .and_then(|()| encoder.finish())
        .or_say(|| "cannot compress".into())?;
    let _ = std::fs::remove_file(&plain);
    write(out, packed, 0o644)
}
