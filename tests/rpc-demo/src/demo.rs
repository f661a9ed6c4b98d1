//! The demo service.

use crate::demo_capnp::demo;
use capnp::capability::FromClientHook;
use capnp::{Error, ErrorKind};
use rpc::System;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// One object; its children share its counters.
#[derive(Clone)]
pub struct Demo {
    system: System,
    name: String,
    cancelled: Arc<AtomicU32>,
    pushed: Rc<Cell<u64>>,
}

impl Demo {
    /// One with this name.
    pub fn new(system: &System, name: &str) -> Self {
        Self::counting(system, name, &Arc::default())
    }

    /// With a count of cancelled calls that it shares with demos of other systems.
    pub fn counting(system: &System, name: &str, cancelled: &Arc<AtomicU32>) -> Self {
        Self {
            system: system.clone(),
            name: name.into(),
            cancelled: cancelled.clone(),
            pushed: Rc::default(),
        }
    }

    fn child(&self, name: &str) -> demo::Client {
        self.system.client(Self { name: name.into(), ..self.clone() })
    }
}

/// Counts when it is dropped.
struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl demo::Server for Demo {
    async fn empty(
        self: Rc<Self>,
        _: demo::EmptyParams,
        _: demo::EmptyResults,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn echo(
        self: Rc<Self>,
        params: demo::EchoParams,
        mut results: demo::EchoResults,
    ) -> Result<(), Error> {
        results.get().set_data(params.get()?.get_data()?);
        Ok(())
    }

    async fn child(
        self: Rc<Self>,
        params: demo::ChildParams,
        mut results: demo::ChildResults,
    ) -> Result<(), Error> {
        let name = params.get()?.get_name()?.to_string()?;
        results.get().set_child(Demo::child(&self, &name));
        Ok(())
    }

    async fn name(
        self: Rc<Self>,
        _: demo::NameParams,
        mut results: demo::NameResults,
    ) -> Result<(), Error> {
        results.get().set_name(&*self.name);
        Ok(())
    }

    async fn call_back(
        self: Rc<Self>,
        params: demo::CallBackParams,
        mut results: demo::CallBackResults,
    ) -> Result<(), Error> {
        let (to, times) = (params.get()?.get_to()?, params.get()?.get_times());
        for _ in 0..times {
            let answer = to.name_request().send().promise.await?;
            results.get().set_name(answer.get()?.get_name()?);
        }
        Ok(())
    }

    async fn fail(
        self: Rc<Self>,
        params: demo::FailParams,
        _: demo::FailResults,
    ) -> Result<(), Error> {
        let kind = match params.get()?.get_kind() {
            0 => ErrorKind::Failed,
            1 => ErrorKind::Overloaded,
            2 => ErrorKind::Disconnected,
            _ => ErrorKind::Unimplemented,
        };
        Err(Error { kind, extra: "as asked".into() })
    }

    async fn never(
        self: Rc<Self>,
        _: demo::NeverParams,
        _: demo::NeverResults,
    ) -> Result<(), Error> {
        let _counted = Counted(self.cancelled.clone());
        std::future::pending().await
    }

    async fn cancelled(
        self: Rc<Self>,
        _: demo::CancelledParams,
        mut results: demo::CancelledResults,
    ) -> Result<(), Error> {
        results.get().set_count(self.cancelled.load(Ordering::Relaxed));
        Ok(())
    }

    async fn many(
        self: Rc<Self>,
        params: demo::ManyParams,
        mut results: demo::ManyResults,
    ) -> Result<(), Error> {
        let count = params.get()?.get_count();
        let mut caps = results.get().init_caps(count);
        for index in 0..count {
            caps.set(index, Demo::child(&self, &index.to_string()).into_client_hook());
        }
        Ok(())
    }

    async fn count(
        self: Rc<Self>,
        params: demo::CountParams,
        mut results: demo::CountResults,
    ) -> Result<(), Error> {
        let caps = params.get()?.get_caps()?;
        let mut named = Vec::new();
        for cap in caps.iter() {
            named.push(cap?.name_request().send().promise);
        }
        let mut count = 0;
        for name in named {
            name.await?;
            count += 1;
        }
        results.get().set_count(count);
        Ok(())
    }

    async fn push(self: Rc<Self>, params: demo::PushParams) -> Result<(), Error> {
        let bytes = params.get()?.get_data()?.len() as u64;
        self.pushed.set(self.pushed.get() + bytes);
        Ok(())
    }

    async fn pushed(
        self: Rc<Self>,
        _: demo::PushedParams,
        mut results: demo::PushedResults,
    ) -> Result<(), Error> {
        results.get().set_bytes(self.pushed.get());
        Ok(())
    }

    async fn tail(
        self: Rc<Self>,
        params: demo::TailParams,
        results: demo::TailResults,
    ) -> Result<(), Error> {
        let request = params.get()?.get_to()?.name_request();
        results.hook.tail_call(request.hook).await
    }

    async fn hang_up(
        self: Rc<Self>,
        _: demo::HangUpParams,
        _: demo::HangUpResults,
    ) -> Result<(), Error> {
        std::process::exit(0);
    }
}
