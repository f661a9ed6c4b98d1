//! A directory that also gives what another vat offers: the appliance then stands between two vats,
//! as a client of the one and a server of the other.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use aqueduct::Platform;
use aqueduct::appliance_capnp::directory;
use aqueduct::context::Context;
use capnp::Error;
use capnp::capability;
use capnp::private::capability::ClientHook;
use endpoints::rpc::Rpc;

/// Before the address of the other vat, in the name that is asked for.
const RELAY: &str = "relay ";

/// `inner`, and `relay ADDRESS:PORT` besides what it lists.
pub fn directory<P: Platform>(
    context: &Context<P>,
    vat: &Rpc,
    inner: directory::Client,
) -> directory::Client {
    vat.client(Directory { inner, context: context.clone(), vat: vat.clone() })
}

struct Directory<P: Platform> {
    inner: directory::Client,
    context: Context<P>,
    vat: Rpc,
}

impl<P: Platform> Directory<P> {
    async fn relayed(&self, address: &str) -> Result<Box<dyn ClientHook>, Error> {
        let Ok(target) = address.parse() else {
            return Err(Error::failed("the target is not ADDRESS:PORT or NAME:PORT".into()));
        };
        let connected = self.vat.connect(&self.context.platform.connector(), &target).await;
        let service: capability::Client =
            connected.map_err(|error| Error::failed(format!("{target}: {error}")))?;
        Ok(service.hook)
    }
}

impl<P: Platform> directory::Server for Directory<P> {
    async fn list(
        self: Rc<Self>,
        _: directory::ListParams,
        mut results: directory::ListResults,
    ) -> Result<(), Error> {
        let listed = self.inner.list_request().send().promise.await?;
        results.get().set_services(listed.get()?.get_services()?)
    }

    async fn get(
        self: Rc<Self>,
        params: directory::GetParams,
        mut results: directory::GetResults,
    ) -> Result<(), Error> {
        let name = params.get()?.get_name()?.to_str()?;
        let service = match name.strip_prefix(RELAY) {
            Some(address) => self.relayed(address).await?,
            None => {
                let mut inner = self.inner.get_request();
                inner.get().set_name(name);
                let found: capability::Client =
                    inner.send().promise.await?.get()?.get_service().get_as_capability()?;
                found.hook
            }
        };
        results.get().get_service().set_as_capability(service);
        Ok(())
    }
}
