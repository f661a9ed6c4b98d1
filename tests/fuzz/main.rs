//! Fuzz targets: any bytes, and what must hold all the same. `cargo xtask fuzz` looks for new inputs with libFuzzer; `cargo test`
//! gives each target the inputs of its corpus again, which crashed once or lead to far corners.
#![cfg_attr(fuzzing, no_main)]

/// Makes modules of targets, and a list with their names.
macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        $(mod $name;)+
        const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $name::target)),+];
    };
}

targets![
    disk_volume,
    dns_answer,
    fastcgi_server,
    gopher_server,
    http_client,
    http_server,
    multipart,
    net_ingress,
    pipe_read,
    pipe_there_and_back,
    postgres_connection,
    rpc_connection,
    shared_region,
    shared_ring,
    tcp_connection,
    tls_records,
    virtio_disk,
    virtio_rings,
    virtio_sockets,
    vsock_network,
    websocket_connection,
    websocket_handshake,
    xen_disk,
    xen_rings,
    xen_store,
    zmq_connection,
    zmq_socket,
];

/// The variable by which libFuzzer's run is told which target it is for.
#[cfg(fuzzing)]
const CHOICE: &str = "FUZZ_TARGET";

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: std::sync::LazyLock<fn(&[u8])> = std::sync::LazyLock::new(|| {
        let name = std::env::var(CHOICE).unwrap_or_default();
        let target = TARGETS.iter().find(|(own, _)| *own == name);
        target.unwrap_or_else(|| panic!("{CHOICE}: there is no target `{name}`")).1
    });
    TARGET(data);
});

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    replay::main()
}

#[cfg(not(fuzzing))]
mod replay {
    use super::TARGETS;
    use std::path::{Path, PathBuf};
    use std::process::ExitCode;

    /// Gives each target whose name has the words' first in it the inputs of its corpus; says so as libtest does.
    pub(crate) fn main() -> ExitCode {
        let filter =
            std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
        let chosen = TARGETS.iter().filter(|(name, _)| name.contains(&filter));
        let mut has_failed = false;
        for (name, target) in chosen {
            let failed = replay(name, *target);
            println!("test corpus::{name} ... {}", if failed.is_empty() { "ok" } else { "FAILED" });
            failed.iter().for_each(|input| println!("    by {}", input.display()));
            has_failed |= !failed.is_empty();
        }
        for name in strangers() {
            println!("test corpus::{name} ... FAILED\n    it belongs to no target");
            has_failed = true;
        }
        if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn corpus() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
    }

    /// The inputs at which the target panics: those of its corpus, and some that every target must stand.
    fn replay(name: &str, target: fn(&[u8])) -> Vec<PathBuf> {
        let simple: [(&str, &[u8]); 3] =
            [("nothing", b""), ("zeros", &[0; 64]), ("ones", &[0xff; 64])];
        let simple = simple.map(|(name, input)| (PathBuf::from(name), input.to_vec()));
        let kept = files(&corpus().join(name)).into_iter().map(|file| {
            let input = std::fs::read(&file).expect("a file that was listed");
            (file, input)
        });
        let panics = |input: &[u8]| std::panic::catch_unwind(|| target(input)).is_err();
        simple
            .into_iter()
            .chain(kept)
            .filter(|(_, input)| panics(input))
            .map(|(file, _)| file)
            .collect()
    }

    /// Corpora whose target has another name, or is gone: they guard nothing.
    fn strangers() -> Vec<String> {
        let names = files(&corpus())
            .into_iter()
            .filter_map(|folder| folder.file_name()?.to_str().map(String::from));
        names.filter(|name| TARGETS.iter().all(|(own, _)| own != name)).collect()
    }

    /// What is in a folder, in order; nothing if it is not there.
    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        files
    }
}
