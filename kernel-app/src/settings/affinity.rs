//! `[affinity]`: the group of appliances that sessions are spread over, if there is one.

use config::{Affinity, GroupKey};
use core::time::Duration;
use web::session::{self, OwnerLost};

/// How this appliance belongs to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AffinitySettings {
    /// What all of the group have.
    pub key: session::GroupKey,
    /// What becomes of requests whose session's owner cannot be reached.
    pub owner_lost: OwnerLost,
    /// How long an owner may take to be reached.
    pub connect_timeout: Duration,
}

impl AffinitySettings {
    /// None if the appliance is alone.
    pub fn new(section: &Affinity) -> Option<Self> {
        let Affinity { key, begins_when_lost, connect_timeout } = *section;
        let GroupKey(key) = key?;
        let owner_lost = if begins_when_lost { OwnerLost::Begin } else { OwnerLost::Refuse };
        Some(Self { key, owner_lost, connect_timeout })
    }
}
