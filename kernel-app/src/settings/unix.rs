//! `[unix]`: services for programs on the same machine.

use alloc::vec::Vec;
use config::Unix;
use flow::UnixPath;

/// What `[unix]` comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSettings {
    sockets: Vec<(&'static str, &'static str, UnixPath)>,
    /// Permissions of the files, as chmod(2) has them.
    pub mode: u32,
}

impl UnixSettings {
    /// From the section.
    pub fn new(section: &Unix) -> Self {
        let sockets = section.sockets().filter_map(|(service, key, path)| {
            // What the configuration takes as a path is one.
            Some((service, key, path.parse().ok()?))
        });
        Self { sockets: sockets.collect(), mode: section.mode }
    }

    /// The socket of a service, and its key.
    pub fn socket_of(&self, service: &str) -> Option<(UnixPath, &'static str)> {
        let found = self.sockets.iter().find(|(other, ..)| *other == service);
        found.map(|(_, key, path)| (path.clone(), *key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Config;

    /// The configuration has its own rule, since it knows no flows.
    #[test]
    fn every_path_that_the_configuration_takes_is_one() {
        let longest = alloc::format!("/{}", "a".repeat(106));
        for path in ["/a", "/run/aqueduct-1/a_b.sock", "@a", "/a/b~c+d,e=f:g@h", &longest] {
            let file = alloc::format!("[unix]\nhttp = \"{path}\"\n");
            let config = Config::parse("appliance.toml", &file).unwrap();
            let (found, key) = UnixSettings::new(&config.unix).socket_of("http").unwrap();
            assert_eq!((found.as_str(), key), (path, "http"));
        }
    }
}
