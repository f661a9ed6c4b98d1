//! `[rpc]`: the vat and its connections.

use config::Rpc;
use endpoints::rpc::Limits;

/// What `[rpc]` comes to.
#[derive(Clone, Copy, Debug)]
pub struct RpcSettings {
    /// The TCP port; none is off.
    pub port: Option<u16>,
    /// What one peer may make the vat hold.
    pub limits: Limits,
}

impl RpcSettings {
    /// From the section.
    pub fn new(section: &Rpc) -> Self {
        let Rpc {
            port,
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
        } = *section;
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
        Self { port, limits }
    }
}
