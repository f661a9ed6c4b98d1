//! Renewals: when a holder registers with one server, and again.

use core::time::Duration;

/// When a holder has to register with one server.
///
/// A third of the lease is a renewal's time: two may fail before a service is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewals {
    /// None while there is no connection.
    due: Option<Duration>,
}

impl Renewals {
    /// There is no connection.
    pub fn new() -> Self {
        Self { due: None }
    }

    /// There is one now, or what the holder offers has changed: it registers at once.
    pub fn begin(&mut self, now: Duration) {
        self.due = Some(now);
    }

    /// The server keeps what was registered for so long: the shortest lease of all that were given.
    pub fn granted(&mut self, now: Duration, lease: Duration) {
        self.due = Some(now + lease / 3);
    }

    /// There is no connection any more.
    pub fn disconnected(&mut self) {
        self.due = None;
    }

    /// When it has to register.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.due
    }

    /// Whether it has to register now.
    pub fn is_due(&self, now: Duration) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

impl Default for Renewals {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_registers_at_once_and_again_before_two_thirds_of_the_lease_are_over() {
        let at = Duration::from_secs;
        let mut renewals = Renewals::new();
        assert!(!renewals.is_due(at(0)));
        renewals.begin(at(5));
        assert!(renewals.is_due(at(5)));
        renewals.granted(at(5), at(9));
        assert_eq!((renewals.next_deadline(), renewals.is_due(at(7))), (Some(at(8)), false));
        assert!(renewals.is_due(at(8)));
        renewals.disconnected();
        assert_eq!(renewals.next_deadline(), None);
    }
}
