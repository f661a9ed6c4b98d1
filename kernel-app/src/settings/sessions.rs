//! `[sessions]`: how many web sessions there are, and how long.

use config::Sessions;
use web::session::Limits;

/// Memory of the machine for which there may be one session on a route, in bytes.
const BYTES_PER_SESSION: usize = 32 << 10;

/// The bounds of each route, on a machine with so much memory.
pub fn limits(section: &Sessions, machine_bytes: usize) -> Limits {
    let Sessions {
        sessions_max,
        newcomers_percent_max,
        queue_max,
        messages_max,
        idle_timeout,
        end_timeout,
    } = *section;
    let by_memory = (machine_bytes / BYTES_PER_SESSION).max(1);
    let sessions_max = if sessions_max == 0 { by_memory } else { sessions_max };
    let newcomers_max = (sessions_max * newcomers_percent_max / 100).max(1);
    Limits { sessions_max, newcomers_max, queue_max, messages_max, idle_timeout, end_timeout }
}
