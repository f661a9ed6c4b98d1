//! The peers of the RPC, ZeroMQ and WebSocket tests and benchmarks: our own, built, and what those of others need.

pub mod linux_guest;
mod vchan;

pub use command::programs::CAPNP;
pub use vchan::{vchan, vchan_in_dom0};

use crate::debian::{self, Package};
use command::{
    cargo,
    failure::{Result, fail},
    files, paths,
    programs::{self, Install, Program},
};
use image_builder::page;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Runs the peers in Python.
pub const PYTHON: Program = Program { name: "python3", package: "python3" };
/// Installs their packages.
pub const PIP: Program = Program { name: "pip3", package: "python3-pip" };
/// Cap'n Proto's C++ library.
pub const CAPNP_HEADERS: Program =
    Program { name: "/usr/include/capnp/rpc.h", package: "libcapnp-dev" };
/// The C++ compiler.
pub const CXX: Program = Program { name: "g++", package: "g++" };
/// ZeroMQ's C library.
pub const ZMQ_HEADERS: Program = Program { name: "/usr/include/zmq.h", package: "libzmq3-dev" };

/// Installs packages for Node.
const NPM: Program = Program { name: "npm", package: "npm" };

/// Of npm: ZeroMQ over WebSockets in JavaScript.
const JSZMQ: &str = "jszmq@0.1.2";

/// The binary of our ZeroMQ peer.
const ZMQ_PEER: &str = "zmq-peer";

/// Of PyPI: a module by which one is found, and what is installed when it is not.
const PYTHON_PACKAGES: &[(&str, &str)] = &[
    ("capnp", "pycapnp==2.2.4"),
    ("zmq", "pyzmq"),
    ("cbor2", "cbor2"),
    ("websockets", "websockets"),
    ("tlslite", "tlslite-ng==0.8.2"),
    ("kubernetes_validate", "kubernetes-validate"),
    ("hcl2", "python-hcl2"),
];
const CXX_WORDS: &[&str] =
    &["-O2", "-std=c++17", "-lcapnp-rpc", "-lcapnp", "-lkj-async", "-lkj", "-lpthread"];

/// nginx and what a system without it may lack.
const NGINX_PACKAGES: &[&[&str]] = &[&["nginx"], &["libpcre2-8-0"], &["libssl3", "libssl3t64"]];

/// The same for lighttpd.
const LIGHTTPD_PACKAGES: &[&[&str]] =
    &[&["lighttpd"], &["libpcre2-8-0"], &["libnettle8", "libnettle8t64"], &["libxxhash0"]];

const PROMETHEUS_PACKAGES: &[&[&str]] = &[&["prometheus"]];

/// Makes what the cases of these names need beyond programs: the cases themselves have no network.
pub fn prepare(names: &[&str], install: Install) -> Result {
    let any = |kind: &str| names.iter().any(|name| name.starts_with(kind));
    let unpack = |packages: &[&[&str]], folder: PathBuf| {
        let packages: Vec<_> = packages.iter().map(|names| Package::new(names)).collect();
        debian::unpack(&packages, &folder)
    };
    if any("http/") || any("gateways/") || any("tls/nginx") || any("unix/nginx") {
        unpack(NGINX_PACKAGES, nginx_folder()?)?;
    }
    if any("gateways/") {
        unpack(LIGHTTPD_PACKAGES, lighttpd_folder()?)?;
    }
    if any("http/prometheus") {
        unpack(PROMETHEUS_PACKAGES, prometheus_folder()?)?;
    }
    if ["rpc/", "zmq/", "unix/", "http/websocket_python", "tls/tlslite", "interop/definitions"]
        .into_iter()
        .any(any)
    {
        python_packages(install)?;
    }
    if any("rpc/") {
        build_rpc()?;
        build_rpc_cpp()?;
        build_cpp(&[appliance_schema()], "tests/interop/rpc/appliance.cpp", &appliance_cpp()?)?;
    }
    if any("http/rpc_page") {
        page::build(install)?;
    }
    if any("http/golden") {
        page::build_golden(install)?;
    }
    if any("zmq/") {
        build_zmq()?;
    }
    if any("vsock/") || any("unix/") {
        build_cpp(&[appliance_schema()], "tests/interop/rpc/appliance.cpp", &appliance_cpp()?)?;
    }
    if any("vsock/") {
        build_vsock_device()?;
    }
    if any("shared_memory/") {
        vchan::build()?;
    }
    // A case has no network to get the library by.
    if any("xen/shares_memory") {
        vchan_in_dom0()?;
    }
    if any("zws/") {
        node_packages(install)?;
    }
    if any("interop/definitions_kubevirt") {
        kubevirt_types(install)?;
    }
    if any("postgres/") || any("zws/") {
        let words = ["build", "--release", "--package", "flow-peer"];
        cargo::build(cargo::command().args(words), "our peer for databases and WebSockets")?;
    }
    Ok(())
}

/// Python, with the packages in reach.
pub fn python() -> Result<Command> {
    let mut command = programs::command(&PYTHON)?;
    command.env("PYTHONPATH", python_folder()?);
    Ok(command)
}

/// nginx, not as a service but as a program.
pub fn nginx() -> Result<Command> {
    let folder = nginx_folder()?;
    let mut command = Command::new(folder.join("usr/sbin/nginx"));
    command.env("LD_LIBRARY_PATH", folder.join("usr/lib/x86_64-linux-gnu"));
    Ok(command)
}

fn nginx_folder() -> Result<PathBuf> {
    Ok(paths::made("peers")?.join("nginx"))
}

/// Prometheus, in the same way.
pub fn prometheus() -> Result<Command> {
    Ok(Command::new(prometheus_folder()?.join("usr/bin/prometheus")))
}

/// What checks its files.
pub fn promtool() -> Result<Command> {
    Ok(Command::new(prometheus_folder()?.join("usr/bin/promtool")))
}

fn prometheus_folder() -> Result<PathBuf> {
    Ok(paths::made("peers")?.join("prometheus"))
}

/// lighttpd, in the same way.
pub fn lighttpd() -> Result<Command> {
    let folder = lighttpd_folder()?;
    let mut command = Command::new(folder.join("usr/sbin/lighttpd"));
    command.env("LD_LIBRARY_PATH", folder.join("usr/lib/x86_64-linux-gnu"));
    command.arg("-m").arg(folder.join("usr/lib/lighttpd"));
    Ok(command)
}

fn lighttpd_folder() -> Result<PathBuf> {
    Ok(paths::made("peers")?.join("lighttpd"))
}

/// A file of the tests.
pub fn source(path: &str) -> PathBuf {
    paths::root().join(path)
}

/// The schema of the demo that all RPC peers serve and call.
pub fn demo_schema() -> PathBuf {
    source("tests/rpc-demo/demo.capnp")
}

/// Our RPC engine on plain sockets.
pub fn rpc() -> PathBuf {
    paths::target().join("release/rpc-peer")
}

/// The schema of the appliance's services.
pub fn appliance_schema() -> PathBuf {
    source("kernel-app/schema/appliance.capnp")
}

/// The C++ library's peer.
pub fn rpc_cpp() -> Result<PathBuf> {
    Ok(paths::made("peers")?.join("rpc-cpp"))
}

/// The appliance's services in C++.
pub fn appliance_cpp() -> Result<PathBuf> {
    Ok(paths::made("peers")?.join("rpc-cpp-appliance"))
}

/// Our ZeroMQ sockets on the kernel's.
pub fn zmq() -> PathBuf {
    beside_target(ZMQ_PEER).join("release").join(ZMQ_PEER)
}

/// Our flows on the kernel's sockets.
pub fn flow() -> PathBuf {
    paths::target().join("release/flow-peer")
}

/// Builds our RPC peer.
///
/// # Errors
///
/// It does not build.
pub fn build_rpc() -> Result {
    let words = ["build", "--release", "--package", "rpc-peer"];
    cargo::build(cargo::command().args(words), "our RPC peer")
}

/// Builds our ZeroMQ peer.
///
/// # Errors
///
/// It does not build.
pub fn build_zmq() -> Result {
    build_beside("tests/interop/zmq", ZMQ_PEER).map(drop)
}

/// Builds a workspace of its own; gives its binary.
///
/// # Errors
///
/// It does not build.
pub fn build_beside(folder: &str, binary: &str) -> Result<PathBuf> {
    let target = beside_target(binary);
    let mut build = cargo::command();
    build.args(["build", "--release", "--manifest-path"]).arg(source(folder).join("Cargo.toml"));
    cargo::build(build.arg("--target-dir").arg(&target), binary)?;
    Ok(target.join("release").join(binary))
}

/// rust-vmm's device of sockets, for QEMU.
pub fn vsock_device() -> Result<PathBuf> {
    Ok(vsock_folder()?.join("bin/vhost-device-vsock"))
}

fn vsock_folder() -> Result<PathBuf> {
    Ok(paths::made("peers")?.join("vsock"))
}

/// Builds it in a folder of ours, from the registry's sources, as the crates of our own peers are.
fn build_vsock_device() -> Result {
    if vsock_device()?.exists() {
        return Ok(());
    }
    let mut build = cargo::command();
    build.args(["install", "--locked", "--version", "0.3.0", "vhost-device-vsock", "--root"]);
    build.arg(vsock_folder()?).arg("--target-dir").arg(beside_target("vhost-device-vsock"));
    cargo::build(&mut build, "vhost-device-vsock")
}

/// Builds the C++ library's peer.
///
/// # Errors
///
/// It does not build.
pub fn build_rpc_cpp() -> Result {
    let schemas = [demo_schema(), appliance_schema()];
    build_cpp(&schemas, "tests/interop/rpc/peer.cpp", &rpc_cpp()?)
}

/// Builds a program in C++ and what its schemas make, if they are newer.
fn build_cpp(schemas: &[PathBuf], program: &str, made: &Path) -> Result {
    let program = source(program);
    let mut sources = vec![program.as_path()];
    sources.extend(schemas.iter().map(PathBuf::as_path));
    if is_newer(made, &sources) {
        return Ok(());
    }
    eprintln!("xtask: compiling {}", program.display());
    let folder = paths::made("peers")?;
    let mut compile = programs::command(&CXX)?;
    compile.arg("-I").arg(&folder).arg(&program);
    for schema in schemas {
        let prefix = schema.parent().unwrap_or(Path::new("/"));
        programs::output(
            programs::command(&CAPNP)?
                .arg("compile")
                .arg(format!("-oc++:{}", folder.display()))
                .arg(format!("--src-prefix={}", prefix.display()))
                .arg(schema),
        )?;
        let generated = schema.file_name().map_or(schema.as_path(), Path::new);
        compile.arg(folder.join(generated).with_extension("capnp.c++"));
    }
    programs::output(compile.args(CXX_WORDS).arg("-o").arg(made))?;
    Ok(())
}

/// Whether `made` is there and newer than what it was made of.
pub fn is_newer(made: &Path, sources: &[&Path]) -> bool {
    let time = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    time(made).is_some_and(|made| sources.iter().all(|source| time(source) < Some(made)))
}

/// Installs what Python lacks, in a folder of ours.
fn python_packages(install: Install) -> Result {
    let lacks = |module: &str| -> Result<bool> {
        Ok(programs::output(python()?.args(["-c", &format!("import {module}")])).is_err())
    };
    let mut missing = Vec::new();
    for (module, package) in PYTHON_PACKAGES {
        if lacks(module)? {
            missing.push(*package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let folder = python_folder()?;
    let words = format!("pip3 install --target {} {}", folder.display(), missing.join(" "));
    if install == Install::OnlyTell {
        fail!("Python lacks {}: `{words}`, or leave out --no-install", missing.join(", "));
    }
    eprintln!("xtask: installing {} ({words})", missing.join(" "));
    let mut pip = programs::command(&PIP)?;
    programs::output(pip.args(["install", "--quiet", "--target"]).arg(folder).args(&missing))?;
    Ok(())
}

/// Packages of npm, for Node.
fn node_packages(install: Install) -> Result {
    let folder = node_folder()?;
    if folder.join("node_modules/jszmq").exists() {
        return Ok(());
    }
    let words = format!("npm install --prefix {} {JSZMQ}", folder.display());
    if install == Install::OnlyTell {
        fail!("Node lacks {JSZMQ}: `{words}`, or leave out --no-install");
    }
    programs::need(&[&NPM], install)?;
    eprintln!("xtask: installing {JSZMQ} ({words})");
    let mut npm = programs::command(&NPM)?;
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]);
    programs::output(npm.arg(folder).arg(JSZMQ)).map(drop)
}

/// KubeVirt's kinds, as made of its own OpenAPI description for TypeScript, and the compiler, both by the checksums of a lock file.
fn kubevirt_types(install: Install) -> Result {
    let (folder, sources) = (kubevirt_folder()?, source("tests/interop/kubevirt"));
    let lock = "package-lock.json";
    // What npm writes last.
    if is_newer(&folder.join("node_modules/.package-lock.json"), &[sources.join(lock).as_path()]) {
        return Ok(());
    }
    if install == Install::OnlyTell {
        fail!("Node lacks KubeVirt's types: leave out --no-install");
    }
    programs::need(&[&NPM], install)?;
    eprintln!("xtask: installing KubeVirt's types (npm ci)");
    for name in ["package.json", lock] {
        files::write(&folder.join(name), files::read(&sources.join(name))?)?;
    }
    let mut npm = programs::command(&NPM)?;
    npm.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    programs::output(&mut npm).map(drop)
}

/// Where they are, and TypeScript's compiler.
pub fn kubevirt_folder() -> Result<PathBuf> {
    paths::made("kubevirt")
}

/// Where Node finds them.
pub fn node_folder() -> Result<PathBuf> {
    paths::made("node")
}

fn python_folder() -> Result<PathBuf> {
    paths::made("python")
}

fn beside_target(binary: &str) -> PathBuf {
    paths::target().join(binary)
}
