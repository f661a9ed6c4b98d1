//! `[unix]`: services for programs on the same machine, by Unix-domain sockets, which a process has.

use alloc::string::String;

/// `[unix]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unix {
    /// Path of the socket of the web server, or `@NAME` in Linux' abstract namespace. Default none, which is off, as of the
    /// next five: a file that nobody expects is a surprise.
    pub http: String,
    /// Of FastCGI, as web servers in front have it usually.
    pub fastcgi: String,
    /// Of RPC in the clear, as `[rpc] port` has it.
    pub rpc: String,
    /// Of RPC with vats that have keys, as `[rpc] secure_port` has it.
    pub secure_rpc: String,
    /// Of the ZeroMQ service.
    pub zmq: String,
    /// Of what operators look at.
    pub admin: String,
    /// Permissions of the files, as chmod(2) has them; whoever may write may connect. Default 0600: the user who runs the
    /// process.
    pub mode: u32,
}

impl Default for Unix {
    fn default() -> Self {
        Self {
            http: String::new(),
            fastcgi: String::new(),
            rpc: String::new(),
            secure_rpc: String::new(),
            zmq: String::new(),
            admin: String::new(),
            mode: 0o600,
        }
    }
}

impl Unix {
    /// The services that are on, the keys of their sockets, and their paths.
    pub fn sockets(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let Self { http, fastcgi, rpc, secure_rpc, zmq, admin, mode: _ } = self;
        let sockets = [
            ("http", "http", http),
            ("fastcgi", "fastcgi", fastcgi),
            ("rpc", "rpc", rpc),
            ("vats", "secure_rpc", secure_rpc),
            ("zmq", "zmq", zmq),
            ("admin", "admin", admin),
        ];
        let sockets = sockets.map(|(service, key, path)| (service, key, path.as_str()));
        sockets.into_iter().filter(|(_, _, path)| !path.is_empty())
    }
}
