//! What the toolstack asks of a running guest (Xen, docs/misc/xenstore-paths.pandoc,
//! `~/control/shutdown`).

use super::Reason;
use super::store::{Error, Store};
use alloc::string::String;
use core::sync::atomic::{AtomicBool, Ordering};

/// Somebody asked the guest to stop since this was last asked.
static STOP: AtomicBool = AtomicBool::new(false);
/// The stop is to be followed by a start.
static REBOOT: AtomicBool = AtomicBool::new(false);

const REQUEST: &str = "control/shutdown";

/// Whether the toolstack asked for a stop since this was last asked.
pub(crate) fn stop_requested() -> bool {
    STOP.load(Ordering::Relaxed) && STOP.swap(false, Ordering::Relaxed)
}

/// Why the guest stops, when it stops of its own will.
pub(crate) fn reason() -> Reason {
    if REBOOT.load(Ordering::Relaxed) { Reason::Reboot } else { Reason::Off }
}

/// Takes the toolstack's requests: power off, halt and reboot lead to what the power button leads
/// to. To be run beside everything else; ends when xenstore fails for good.
pub async fn serve(store: Store) -> Error {
    loop {
        match watch(&store).await {
            Err(Error::Disconnected) | Ok(()) => {}
            Err(error) => return error,
        }
    }
}

async fn watch(store: &Store) -> Result<(), Error> {
    for feature in ["poweroff", "halt", "reboot"] {
        let path = alloc::format!("control/feature-{feature}");
        // The toolstack may not have made the node for us to write.
        let _ = store.write(&path, b"1").await;
    }
    let mut changes = store.watch(REQUEST).await?;
    loop {
        changes.changed().await?;
        let request = match store.read_text(REQUEST).await {
            Ok(request) => request,
            Err(Error::NotFound | Error::Malformed) => continue,
            Err(error) => return Err(error),
        };
        if !request.is_empty() {
            // An empty value says that the request was seen.
            store.write(REQUEST, b"").await?;
            obey(&request);
        }
    }
}

fn obey(request: &String) {
    match request.as_str() {
        "poweroff" | "halt" | "reboot" => {
            log::info!("the toolstack asks for: {request}");
            REBOOT.store(request == "reboot", Ordering::Relaxed);
            STOP.store(true, Ordering::Relaxed);
        }
        // Saving and migrating need every connection to the host made anew; the toolstack gives up
        // after a minute, and the guest goes on.
        "suspend" => log::warn!("the toolstack asks for suspend, which this guest cannot"),
        other => log::warn!("the toolstack asks for {other}, which is unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::fake;
    use super::*;
    use core::pin::pin;
    use core::task::{Context, Waker};

    #[test]
    fn requests_are_seen_acknowledged_and_obeyed() {
        let (store, mut daemon) = fake::connect();
        let mut server = pin!(serve(store.clone()));
        let mut run = |daemon: &mut fake::Daemon| {
            for _ in 0..100 {
                let _ = server.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                store.poll();
                daemon.step();
            }
        };
        run(&mut daemon);
        for (request, stops, reason) in [
            ("suspend", false, Reason::Off),
            ("dance", false, Reason::Off),
            ("poweroff", true, Reason::Off),
            ("reboot", true, Reason::Reboot),
            ("halt", true, Reason::Off),
        ] {
            daemon.set(REQUEST, request);
            run(&mut daemon);
            assert_eq!(daemon.get(REQUEST).unwrap(), "", "{request}");
            assert_eq!((stop_requested(), super::reason()), (stops, reason), "{request}");
            assert!(!stop_requested());
        }
    }
}
