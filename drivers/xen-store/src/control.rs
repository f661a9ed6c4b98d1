//! Shutdown requests: what the toolstack asks of a running guest (Xen, docs/misc/xenstore-paths.pandoc,
//! `~/control/shutdown`).

use crate::{Error, Store};
use alloc::string::String;
use machine::power::{self, Stop};

const REQUEST: &str = "control/shutdown";

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
            power::request_stop(if request == "reboot" { Stop::Reboot } else { Stop::Off });
        }
        // Saving and migrating need every connection to the host made anew; the toolstack gives up
        // after a minute, and the guest goes on.
        "suspend" => log::warn!("the toolstack asks for suspend, which this guest cannot"),
        other => log::warn!("the toolstack asks for {other}, which is unknown"),
    }
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
        let mut server = pin!(serve(store.clone()));
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
