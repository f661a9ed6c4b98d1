//! What the RPC port serves: a directory of services, whose schema is `schema/appliance.capnp`.
//!
//! A service of your own is a file beside [`admin`](self) and a line in [`services`].

mod admin;
mod calculator;

use crate::Platform;
use crate::appliance_capnp::{admin as admin_schema, calculator as calculator_schema, directory};
use crate::context::Context;
use admin::Admin;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use calculator::Calculator;
use capnp::Error;
use capnp::capability::{FromClientHook, Promise};
use capnp::private::capability::ClientHook;
use endpoints::rpc::Rpc;

/// The directory of the appliance's services, which also are restored by name.
pub fn directory<P: Platform>(context: &Context<P>, vat: &Rpc) -> directory::Client {
    let services: Rc<[Service]> = services(context, vat).into();
    let restored = services.clone();
    vat.set_restorer(move |name: &[u8]| match find(&restored, name) {
        Ok(service) => Promise::ok(service),
        Err(error) => Promise::err(error),
    });
    vat.client(Directory { services })
}

/// The table: a name, what it is for, and the service.
fn services<P: Platform>(context: &Context<P>, vat: &Rpc) -> Vec<Service> {
    let admin: admin_schema::Client = vat.client(Admin::new(context));
    let calculator: calculator_schema::Client = vat.client(Calculator::new(vat));
    alloc::vec![
        Service::new("admin", "what the appliance is doing", admin),
        Service::new("calculator", "a sample: values and functions are objects", calculator),
    ]
}

struct Service {
    name: &'static str,
    about: &'static str,
    hook: Box<dyn ClientHook>,
}

impl Service {
    fn new(name: &'static str, about: &'static str, client: impl FromClientHook) -> Self {
        Self { name, about, hook: client.into_client_hook() }
    }
}

fn find(services: &[Service], name: &[u8]) -> Result<Box<dyn ClientHook>, Error> {
    match services.iter().find(|service| service.name.as_bytes() == name) {
        Some(service) => Ok(service.hook.add_ref()),
        None => {
            Err(Error::failed(format!("no service of this name; `list` has {}", services.len())))
        }
    }
}

struct Directory {
    services: Rc<[Service]>,
}

impl directory::Server for Directory {
    async fn list(
        self: Rc<Self>,
        _: directory::ListParams,
        mut results: directory::ListResults,
    ) -> Result<(), Error> {
        let mut entries = results.get().init_services(self.services.len() as u32);
        for (index, service) in (0..).zip(self.services.iter()) {
            let mut entry = entries.reborrow().get(index);
            entry.set_name(service.name);
            entry.set_about(service.about);
        }
        Ok(())
    }

    async fn get(
        self: Rc<Self>,
        params: directory::GetParams,
        mut results: directory::GetResults,
    ) -> Result<(), Error> {
        let name = params.get()?.get_name()?.to_str()?;
        let service = find(&self.services, name.as_bytes())?;
        results.get().get_service().set_as_capability(service);
        Ok(())
    }
}
