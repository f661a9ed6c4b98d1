//! The appliance: the table of its services, and its routes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod greet;

use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::context::Context;
use aqueduct::service::{ServiceEntry, Table};
use aqueduct::standard::Standard;
use web::Routes;

/// What `linux/` runs as a process and `bare/` as an image.
#[derive(Clone, Copy, Debug)]
pub struct MyAppliance;

impl Table for MyAppliance {
    fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>> {
        // All services that Aqueduct has, with our routes. The configuration says which are on.
        Standard::new(routes).entries()
    }
}

/// Our routes. The first that matches answers; what none of them matches is the site's, which is config/site.
fn routes<P: Platform>(_context: &Context<P>) -> Routes {
    Routes::new().get("/greet/:name", greet::greet)
}
