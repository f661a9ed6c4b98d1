//! Shutdown requests: what the toolstack asks of a running guest (Xen, docs/misc/xenstore-paths.pandoc,
//! `~/control/shutdown`).

use crate::{Error, Store};
use machine::power::{self, Stop};
use machine::xen::Resumed;

const REQUEST: &str = "control/shutdown";

/// Takes the toolstack's requests: power off, halt and reboot lead to what the power button leads to; suspend
/// suspends the domain, and connects to another xenstore where it is restored, of which `restored` is told. To be run
/// beside everything else; ends when xenstore fails for good.
pub async fn serve(store: Store, restored: impl Fn()) -> Error {
    loop {
        match watch(&store, &restored).await {
            Err(Error::Disconnected) | Ok(()) => {}
            Err(error) => return error,
        }
    }
}

/// Returns when what was told to xenstore is to be told again.
async fn watch(store: &Store, restored: &impl Fn()) -> Result<(), Error> {
    for feature in ["poweroff", "halt", "reboot", "suspend"] {
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
            log::info!("the toolstack asks for: {request}");
            if obey(store, &request) {
                restored();
                return Ok(());
            }
        }
    }
}

/// Does what is asked for; whether the domain has been restored, and has another xenstore.
fn obey(store: &Store, request: &str) -> bool {
    match request {
        "poweroff" | "halt" => power::request_stop(Stop::Off),
        "reboot" => power::request_stop(Stop::Reboot),
        "suspend" => return suspend(store),
        _ => log::warn!("the toolstack's request is unknown"),
    }
    false
}

/// Has the domain saved or moved. A task runs between taking frames in and sending, when nobody looks at what other
/// domains may write.
fn suspend(store: &Store) -> bool {
    match machine::xen::suspend() {
        Ok(Resumed::InPlace) => log::info!("resumed where it was"),
        Ok(Resumed::Restored) => {
            log::info!("restored; xenstore and networks are connected to anew");
            store.restored();
            return true;
        }
        Err(error) => log::warn!("not suspended: {error}"),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;
    use core::pin::pin;
    use core::task::{Context, Waker};

    #[test]
    fn requests_are_seen_acknowledged_and_obeyed() {
        let (store, mut daemon) = fake::connect();
        let mut server = pin!(serve(store.clone(), || {}));
        let mut run = |daemon: &mut fake::Daemon| {
            for _ in 0..100 {
                let _ = server.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                store.poll();
                daemon.step();
            }
        };
        run(&mut daemon);
        for (request, stops, stop) in [
            ("suspend", false, Stop::Off),
            ("dance", false, Stop::Off),
            ("poweroff", true, Stop::Off),
            ("reboot", true, Stop::Reboot),
            ("halt", true, Stop::Off),
        ] {
            daemon.set(REQUEST, request);
            run(&mut daemon);
            assert_eq!(daemon.get(REQUEST).unwrap(), "", "{request}");
            assert_eq!((power::stop_requested(), power::stop()), (stops, stop), "{request}");
            assert!(!power::stop_requested());
        }
    }
}
