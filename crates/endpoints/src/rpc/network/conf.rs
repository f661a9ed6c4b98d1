//! Configuration service: a table of keys and values that may change while it is used.

use super::Rpc;
use crate::network_capnp::{conf as schema, setting, watch};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use capnp::Error;
use core::cell::RefCell;
use flow::sync::Notify;

/// A table of settings, here or elsewhere. Errors are those of the calls that reach it; a table
/// that is full says `overloaded`.
pub trait Conf: 'static {
    /// What [`watch`](Self::watch) gives.
    type Watch: Watch;

    /// The value of `key`, if it has one.
    fn read(&self, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, Error>>;

    /// Gives `key` a value.
    fn write(&self, key: &str, value: &[u8]) -> impl Future<Output = Result<(), Error>>;

    /// Takes the value of `key` away; whether it had one.
    fn delete(&self, key: &str) -> impl Future<Output = Result<bool, Error>>;

    /// Watches `key`.
    fn watch(&self, key: &str) -> impl Future<Output = Result<Self::Watch, Error>>;
}

/// A watch on one setting; it ends when dropped.
pub trait Watch: 'static {
    /// At first the value as it is; from then on waits until it changed. Several changes may be
    /// seen as one.
    fn next(&self) -> impl Future<Output = Result<Option<Vec<u8>>, Error>>;
}

/// What a table of settings may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfLimits {
    /// Settings. Default 1,024.
    pub settings_max: usize,
    /// Bytes of one key. Default 256.
    pub key_bytes_max: usize,
    /// Bytes of one value. Default 64 KiB.
    pub value_bytes_max: usize,
    /// Watches at a time. Default 1,024.
    pub watches_max: usize,
}

impl Default for ConfLimits {
    fn default() -> Self {
        Self {
            settings_max: 1024,
            key_bytes_max: 256,
            value_bytes_max: 64 << 10,
            watches_max: 1024,
        }
    }
}

/// A table in this vat's memory. Clones are the same table.
#[derive(Clone)]
pub struct LocalConf(Rc<RefCell<Table>>);

struct Table {
    limits: ConfLimits,
    settings: BTreeMap<String, Vec<u8>>,
    watches: Vec<Weak<Watched>>,
}

/// What a watch of the table knows.
struct Watched {
    key: String,
    /// There is something new.
    news: Notify,
}

impl LocalConf {
    /// An empty table.
    pub fn new(limits: ConfLimits) -> Self {
        let table = Table { limits, settings: BTreeMap::new(), watches: Vec::new() };
        Self(Rc::new(RefCell::new(table)))
    }
}

impl Table {
    fn write(&mut self, key: &str, value: &[u8]) -> Result<(), Error> {
        let limits = self.limits;
        if key.len() > limits.key_bytes_max {
            return Err(too_many("key_bytes_max", limits.key_bytes_max));
        }
        if value.len() > limits.value_bytes_max {
            return Err(too_many("value_bytes_max", limits.value_bytes_max));
        }
        if self.settings.len() >= limits.settings_max && !self.settings.contains_key(key) {
            return Err(too_many("settings_max", limits.settings_max));
        }
        self.settings.insert(key.into(), value.into());
        self.tell(key);
        Ok(())
    }

    fn watch(&mut self, key: &str) -> Result<Rc<Watched>, Error> {
        self.watches.retain(|watch| watch.strong_count() > 0);
        if key.len() > self.limits.key_bytes_max {
            return Err(too_many("key_bytes_max", self.limits.key_bytes_max));
        }
        if self.watches.len() >= self.limits.watches_max {
            return Err(too_many("watches_max", self.limits.watches_max));
        }
        let watch = Rc::new(Watched { key: key.into(), news: Notify::default() });
        // The value that is there is the first news.
        watch.news.notify();
        self.watches.push(Rc::downgrade(&watch));
        Ok(watch)
    }

    fn tell(&self, key: &str) {
        for watch in self.watches.iter().filter_map(Weak::upgrade).filter(|w| w.key == key) {
            watch.news.notify();
        }
    }
}

fn too_many(limit: &str, value: usize) -> Error {
    Error::overloaded(format!("{limit} is {value}"))
}

impl Conf for LocalConf {
    type Watch = LocalWatch;

    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.borrow().settings.get(key).cloned())
    }

    async fn write(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.0.borrow_mut().write(key, value)
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        let existed = self.0.borrow_mut().settings.remove(key).is_some();
        if existed {
            self.0.borrow().tell(key);
        }
        Ok(existed)
    }

    async fn watch(&self, key: &str) -> Result<LocalWatch, Error> {
        let watched = self.0.borrow_mut().watch(key)?;
        Ok(LocalWatch { table: self.clone(), watched })
    }
}

/// A watch on a table here.
pub struct LocalWatch {
    table: LocalConf,
    watched: Rc<Watched>,
}

impl Watch for LocalWatch {
    async fn next(&self) -> Result<Option<Vec<u8>>, Error> {
        self.watched.news.notified().await;
        self.table.read(&self.watched.key).await
    }
}

/// A table behind an object.
#[derive(Clone)]
pub struct RemoteConf(schema::Client);

impl RemoteConf {
    /// The table behind `client`.
    pub fn new(client: schema::Client) -> Self {
        Self(client)
    }
}

impl Conf for RemoteConf {
    type Watch = RemoteWatch;

    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut request = self.0.read_request();
        request.get().set_key(key);
        read_setting(request.send().promise.await?.get()?.get_setting()?)
    }

    async fn write(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let mut request = self.0.write_request();
        request.get().set_key(key);
        request.get().set_value(value);
        request.send().promise.await.map(drop)
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        let mut request = self.0.delete_request();
        request.get().set_key(key);
        Ok(request.send().promise.await?.get()?.get_existed())
    }

    async fn watch(&self, key: &str) -> Result<RemoteWatch, Error> {
        let mut request = self.0.watch_request();
        request.get().set_key(key);
        Ok(RemoteWatch(request.send().promise.await?.get()?.get_watch()?))
    }
}

/// A watch behind an object.
pub struct RemoteWatch(watch::Client);

impl Watch for RemoteWatch {
    async fn next(&self) -> Result<Option<Vec<u8>>, Error> {
        read_setting(self.0.next_request().send().promise.await?.get()?.get_setting()?)
    }
}

fn read_setting(from: setting::Reader<'_>) -> Result<Option<Vec<u8>>, Error> {
    Ok(match from.which()? {
        setting::Absent(()) => None,
        setting::Value(value) => Some(value?.into()),
    })
}

fn write_setting(mut to: setting::Builder<'_>, value: Option<Vec<u8>>) {
    match value {
        None => to.set_absent(()),
        Some(value) => to.set_value(&value),
    }
}

/// A table as an object.
pub(super) struct ExportedConf<C> {
    rpc: Rpc,
    conf: C,
}

impl<C: Conf> ExportedConf<C> {
    pub(super) fn new(rpc: &Rpc, conf: C) -> Self {
        Self { rpc: rpc.clone(), conf }
    }
}

impl<C: Conf> schema::Server for ExportedConf<C> {
    async fn read(
        self: Rc<Self>,
        params: schema::ReadParams,
        mut results: schema::ReadResults,
    ) -> Result<(), Error> {
        let value = self.conf.read(params.get()?.get_key()?.to_str()?).await?;
        write_setting(results.get().init_setting(), value);
        Ok(())
    }

    async fn write(
        self: Rc<Self>,
        params: schema::WriteParams,
        _: schema::WriteResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        self.conf.write(params.get_key()?.to_str()?, params.get_value()?).await
    }

    async fn delete(
        self: Rc<Self>,
        params: schema::DeleteParams,
        mut results: schema::DeleteResults,
    ) -> Result<(), Error> {
        let existed = self.conf.delete(params.get()?.get_key()?.to_str()?).await?;
        results.get().set_existed(existed);
        Ok(())
    }

    async fn watch(
        self: Rc<Self>,
        params: schema::WatchParams,
        mut results: schema::WatchResults,
    ) -> Result<(), Error> {
        let watch = self.conf.watch(params.get()?.get_key()?.to_str()?).await?;
        results.get().set_watch(self.rpc.client(ExportedWatch(watch)));
        Ok(())
    }
}

struct ExportedWatch<W>(W);

impl<W: Watch> watch::Server for ExportedWatch<W> {
    async fn next(
        self: Rc<Self>,
        _: watch::NextParams,
        mut results: watch::NextResults,
    ) -> Result<(), Error> {
        let value = self.0.next().await?;
        write_setting(results.get().init_setting(), value);
        Ok(())
    }
}
