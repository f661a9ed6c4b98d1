//! Reason: why something did not come to be, in words for the log.

use alloc::string::{String, ToString};
use core::fmt;

/// What an error says. Any error becomes one by `?`.
pub(crate) struct Reason(pub(crate) String);

impl<E: fmt::Display> From<E> for Reason {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
