//! Settings: who connects to what, and what proofs of a server are enough.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use zeroize::Zeroizing;

/// What a connection begins with.
#[derive(Clone)]
pub struct Settings {
    pub(crate) user: String,
    pub(crate) database: Option<String>,
    pub(crate) password: Option<Zeroizing<Vec<u8>>>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) methods: Methods,
    pub(crate) channel_binding: ChannelBinding,
    pub(crate) minor_version: u16,
}

/// Which methods of authentication are answered beside SCRAM-SHA-256. All are off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods {
    /// MD5 (deprecated by PostgreSQL): who listens can try passwords, and the server's proof of who it is is none.
    pub md5: bool,
    /// The password itself goes to the server: for a flow under TLS only.
    pub cleartext: bool,
    /// A server that asks for no password though there is one. Without a password none is asked for anyway.
    pub none: bool,
}

/// Binding of SCRAM to the TLS connection below (RFC 5929 section 4, `tls-server-end-point`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// There is no TLS below, or its certificate is not known.
    #[default]
    None,
    /// The hash of the server's certificate; used if the server has SCRAM-SHA-256-PLUS.
    Preferred(Vec<u8>),
    /// The same, and another method is refused.
    Required(Vec<u8>),
}

impl Settings {
    /// For a user of that name, without a password, and the database of the same name.
    pub fn new(user: &str) -> Self {
        Self {
            user: user.into(),
            database: None,
            password: None,
            parameters: Vec::new(),
            methods: Methods::default(),
            channel_binding: ChannelBinding::None,
            minor_version: 2,
        }
    }

    /// Another database than that of the user's name.
    #[must_use]
    pub fn database(mut self, name: &str) -> Self {
        self.database = Some(name.into());
        self
    }

    /// Proves to know a password, prepared by SASLprep (RFC 4013) where SCRAM asks for that. One that is no UTF-8, or that SASLprep
    /// refuses, is taken as it is, as libpq and the server do.
    #[must_use]
    pub fn password(mut self, password: impl AsRef<[u8]>) -> Self {
        self.password = Some(Zeroizing::new(password.as_ref().to_vec()));
        self
    }

    /// Sets a parameter of the server for this connection, such as `application_name`.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Answers these methods, too.
    #[must_use]
    pub fn methods(mut self, methods: Methods) -> Self {
        self.methods = methods;
        self
    }

    /// Binds authentication to the TLS connection below.
    #[must_use]
    pub fn channel_binding(mut self, binding: ChannelBinding) -> Self {
        self.channel_binding = binding;
        self
    }

    /// Asks for protocol 3.0 at once. For what stands between and does not know how to decline 3.2, as PgBouncer before 1.20.
    #[must_use]
    pub fn protocol_3_0(mut self) -> Self {
        self.minor_version = 0;
        self
    }
}

impl fmt::Debug for Settings {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings(user {:?}, database {:?})", self.user, self.database)
    }
}
