//! Objects of the RPC port, and their directory. The schema is `schema/appliance.capnp`.
//!
//! An object of your own is a file beside [`admin`](self) and a line in [`objects`].

mod admin;
mod calculator;
mod counters;
#[cfg_attr(not(feature = "vats"), allow(dead_code, reason = "who follows a site has a key"))]
pub(crate) mod site_conf;

use crate::Platform;
use crate::appliance_capnp::{
    admin as admin_schema, calculator as calculator_schema, counters as counters_schema, directory,
};
use crate::context::Context;
use admin::Admin;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use calculator::Calculator;
use capnp::Error;
use capnp::capability::FromClientHook;
use capnp::private::capability::ClientHook;
use counters::Counters;
use endpoints::rpc::Rpc;
use site_conf::SiteConf;

/// What the objects are called.
pub(crate) const NAMES: [&str; 6] =
    ["admin", "calculator", "site", "site-editor", "counters", "names"];

/// A name, what it is for, and the object.
pub(crate) fn objects<P: Platform>(context: &Context<P>, vat: &Rpc) -> Vec<Object> {
    let [admin_name, calculator_name, site_name, editor_name, counters_name, _] = NAMES;
    let site = context.live_site();
    let config::Conf { site_bytes_max, .. } = context.config.conf;
    let settings = &context.live_settings;
    let reading = vat.export_conf(SiteConf::read_only(&site, settings));
    let editing = vat.export_conf(SiteConf::writable(&site, settings, site_bytes_max));
    let admin: admin_schema::Client = vat.client(Admin::new(context));
    let calculator: calculator_schema::Client = vat.client(Calculator::new(vat));
    let counters: counters_schema::Client = vat.client(Counters::new(context));
    alloc::vec![
        Object::new(admin_name, "what the appliance is doing", admin),
        Object::new(calculator_name, "a sample: values and functions are objects", calculator),
        Object::new(site_name, "the files of the site, settings, and when they change", reading),
        Object::new(editor_name, "the same, to be changed", editing),
        Object::new(counters_name, "the metrics, told to an object of yours", counters),
    ]
}

/// An object of the appliance.
pub(crate) struct Object {
    pub(crate) name: &'static str,
    about: &'static str,
    pub(crate) hook: Box<dyn ClientHook>,
}

impl Object {
    pub(crate) fn new(
        name: &'static str,
        about: &'static str,
        client: impl FromClientHook,
    ) -> Self {
        Self { name, about, hook: client.into_client_hook() }
    }

    /// The same, behind what `wrap` makes of it.
    pub(crate) fn map(self, wrap: impl FnOnce(&dyn ClientHook) -> Box<dyn ClientHook>) -> Self {
        Self { hook: wrap(&*self.hook), ..self }
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        Self { name: self.name, about: self.about, hook: self.hook.add_ref() }
    }
}

/// The object of a name.
pub(crate) fn find(objects: &[Object], name: &[u8]) -> Result<Box<dyn ClientHook>, Error> {
    match objects.iter().find(|object| object.name.as_bytes() == name) {
        Some(object) => Ok(object.hook.add_ref()),
        None => {
            Err(Error::failed(format!("no service of this name; `list` has {}", objects.len())))
        }
    }
}

/// A directory of these objects.
pub(crate) fn directory(vat: &Rpc, objects: Vec<Object>) -> directory::Client {
    vat.client(Directory { objects })
}

struct Directory {
    objects: Vec<Object>,
}

impl directory::Server for Directory {
    async fn list(
        self: Rc<Self>,
        _: directory::ListParams,
        mut results: directory::ListResults,
    ) -> Result<(), Error> {
        let mut entries = results.get().init_services(self.objects.len() as u32);
        for (index, object) in (0..).zip(self.objects.iter()) {
            let mut entry = entries.reborrow().get(index);
            entry.set_name(object.name);
            entry.set_about(object.about);
        }
        Ok(())
    }

    async fn get(
        self: Rc<Self>,
        params: directory::GetParams,
        mut results: directory::GetResults,
    ) -> Result<(), Error> {
        let name = params.get()?.get_name()?.to_str()?;
        let object = find(&self.objects, name.as_bytes())?;
        results.get().get_service().set_as_capability(object);
        Ok(())
    }
}
