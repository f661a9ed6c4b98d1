//! Panics that were caught.

use crate::Platform;
use crate::context::Context;

pub(super) fn add<P: Platform>(context: &Context<P>) {
    context.inspector.add_table(&crate::panics::TABLE, |visit| {
        crate::panics::all().iter().for_each(visit);
    });
}
