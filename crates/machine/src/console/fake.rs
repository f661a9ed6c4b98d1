//! The log of a test: what each thread has written of it.

extern crate std;

use alloc::format;
use alloc::string::String;
use core::cell::RefCell;
use log::{LevelFilter, Log, Metadata, Record};
use std::sync::Once;
use std::thread_local;

thread_local! {
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Lines of a thread, from when this is made.
#[derive(Debug)]
pub struct LogLines(());

impl LogLines {
    /// Those of this thread. The process must have no other logger.
    pub fn of_this_thread() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            log::set_logger(&Logger).expect("no other logger");
            log::set_max_level(LevelFilter::Info);
        });
        TEXT.take();
        Self(())
    }

    /// Those since this was last asked, each as `LEVEL message`.
    pub fn take(&mut self) -> String {
        TEXT.take()
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}\n", record.level(), record.args());
        TEXT.with(|text| text.borrow_mut().push_str(&line));
    }

    fn flush(&self) {}
}
