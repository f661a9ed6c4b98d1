//! `[admin]`: what operators look at.

use alloc::string::String;
use alloc::vec::Vec;
use config::{Admin, Token};

/// What `[admin]` comes to.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// The TCP port; none is off.
    pub port: Option<u16>,
    /// What requests have to show.
    pub token: Option<Token>,
    /// Names by which it may be asked, beside addresses, `localhost` and the host's name.
    pub hosts: Vec<String>,
    /// `/healthz` and `/readyz` are on the port of HTTP, too.
    pub health_on_http: bool,
}

impl AdminSettings {
    /// From the section.
    pub fn new(section: &Admin) -> Self {
        let Admin { port, token, hosts, health_on_http } = section.clone();
        Self { port, token, hosts, health_on_http }
    }
}
