//! `[rpc]`: the vat, who may have what of it, and its connections.

use alloc::string::String;
use alloc::vec::Vec;
use config::{Rpc, RpcEpoch, RpcPeer};
use endpoints::rpc::Limits;

/// What `[rpc]` comes to.
#[derive(Clone, Debug)]
pub struct RpcSettings {
    /// The TCP port in the clear; none is off.
    pub port: Option<u16>,
    /// The TCP port of vats with keys; none is off.
    pub secure_port: Option<u16>,
    /// The path of the web server for WebSockets; none is off.
    pub websocket_path: Option<String>,
    /// Origins whose pages may connect there beside this host's.
    pub websocket_origins: Vec<String>,
    /// The file of the bundle with the vat's key.
    pub key: String,
    /// What references name as the vat's host; none is its host name.
    pub host: Option<String>,
    /// The services that everybody may have; `*` is all.
    pub strangers: Vec<String>,
    /// Vats that may have more.
    pub peers: Vec<RpcPeer>,
    /// Services whose references were made anew.
    pub epochs: Vec<RpcEpoch>,
    /// The log gets all references.
    pub log_references: bool,
    /// What one peer may make the vat hold.
    pub limits: Limits,
}

impl RpcSettings {
    /// From the section.
    pub fn new(section: &Rpc) -> Self {
        let Rpc {
            port,
            secure_port,
            websocket_path,
            websocket_origins,
            key,
            host,
            strangers,
            peers,
            epochs,
            log_references,
            message_words_max,
            segments_max,
            traversal_words_max,
            nesting_max,
            message_caps_max,
            path_fields_max,
            parts_max,
            questions_max,
            answers_max,
            exports_max,
            imports_max,
            embargoes_max,
            call_bytes_max,
            unsent_bytes_high,
            unsent_bytes_max,
            reason_bytes_max,
            stall_timeout,
            bytes_per_second_min,
        } = section.clone();
        let limits = Limits {
            message_words_max,
            segments_max,
            traversal_words_max,
            nesting_max,
            message_caps_max,
            path_fields_max,
            parts_max,
            questions_max,
            answers_max,
            exports_max,
            imports_max,
            embargoes_max,
            call_bytes_max,
            unsent_bytes_high,
            unsent_bytes_max,
            reason_bytes_max,
            stall_timeout,
            bytes_per_second_min,
        };
        let host = (!host.is_empty()).then_some(host);
        let websocket_path = (!websocket_path.is_empty()).then_some(websocket_path);
        Self {
            port,
            secure_port,
            websocket_path,
            websocket_origins,
            key,
            host,
            strangers,
            peers,
            epochs,
            log_references,
            limits,
        }
    }
}
