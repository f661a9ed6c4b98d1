//! `[[database]]`: databases that handlers ask, one section each.

use alloc::{string::String, vec, vec::Vec};
use core::{fmt, str::FromStr, time::Duration};

/// One `[[database]]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// What handlers ask for it by. Default "main".
    pub name: String,
    /// Servers in the order in which they are tried, as `HOST:PORT`, `unix:PATH` or `service://NAME`. One at least.
    pub servers: Vec<String>,
    /// The role that it is asked as. There is no default.
    pub user: String,
    /// The role's password. Default none.
    pub password: String,
    /// The file of the bundle that has the password, a line end behind it or not. Default none.
    pub password_file: String,
    /// The database of the server. Default none, which is the one of the role's name.
    pub database: String,
    /// Whether there is TLS below, and what it proves. Default [`SslMode::VerifyFull`]: whoever wants less has to say so.
    pub ssl_mode: SslMode,
    /// The file of the bundle with the authorities of servers' certificates. Default none, which is that of `[tls]`.
    pub authorities: String,
    /// The name that certificates are for. Default none, which is the server's host.
    pub server_name: String,
    /// Which of the servers will do. Default any.
    pub target: TargetSessionAttributes,
    /// What a server may ask for beside SCRAM. Default nothing.
    pub methods: Vec<PasswordMethod>,
    /// Connections at once. Default 8: some 10 MB each on the server, which takes 100 by default.
    pub connections_max: usize,
    /// Requests that wait for a connection; more are refused at once. Default 1000.
    pub waiting_max: usize,
    /// How long a request waits for a connection. Default 5 s: visitors do not wait longer.
    pub wait_timeout: Duration,
    /// From the wish for a connection to the connection, its TLS included. Default 10 s.
    pub connect_timeout: Duration,
    /// How long a server may leave an answer where it is, before the query fails and the connection ends; 0 is no limit. Default
    /// 30 s.
    pub query_timeout: Duration,
    /// How long a connection is kept that nobody uses. Default 10 min.
    pub idle_timeout: Duration,
    /// How old a connection becomes. Default 1 h, so that all servers behind one name have their share again.
    pub connection_age_max: Duration,
    /// A connection that was idle for longer is asked whether it is good. Default 30 s.
    pub check_after: Duration,
    /// Prepared statements that each connection keeps. Default 100.
    pub statements_max: usize,
    /// Bytes of rows that are collected for one query. Default 16 MiB.
    pub result_bytes_max: usize,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            name: "main".into(),
            servers: Vec::new(),
            user: String::new(),
            password: String::new(),
            password_file: String::new(),
            database: String::new(),
            ssl_mode: SslMode::VerifyFull,
            authorities: String::new(),
            server_name: String::new(),
            target: TargetSessionAttributes::Any,
            methods: vec![],
            connections_max: 8,
            waiting_max: 1000,
            wait_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            query_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(600),
            connection_age_max: Duration::from_secs(3600),
            check_after: Duration::from_secs(30),
            statements_max: 100,
            result_bytes_max: 16 << 20,
        }
    }
}

/// Without the password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, servers, user, database, ssl_mode, .. } = self;
        write!(f, "Database({name}: {user} to {database:?} at {servers:?}, {ssl_mode})")
    }
}

/// Whether there is TLS below, and what it proves; in the words of libpq's `sslmode` (PostgreSQL documentation, section
/// "SSL Support"). Its `allow` is not among them, which begins in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// There is none.
    Disable,
    /// If the server has it; with any certificate.
    Prefer,
    /// With any certificate.
    Require,
    /// With one that leads to an authority, for whatever name.
    VerifyCa,
    /// With one that leads to an authority and is for the server's name.
    VerifyFull,
}

impl SslMode {
    const ALL: [Self; 5] =
        [Self::Disable, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];

    fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    /// It takes an authority.
    pub fn is_verifying(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

/// Which of several servers will do, in the words of libpq's `target_session_attrs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSessionAttributes {
    /// The first that takes the connection.
    Any,
    /// One that takes changes.
    ReadWrite,
    /// One that takes none.
    ReadOnly,
    /// One that follows no other.
    Primary,
    /// One that follows another.
    Standby,
}

impl TargetSessionAttributes {
    const ALL: [Self; 5] =
        [Self::Any, Self::ReadWrite, Self::ReadOnly, Self::Primary, Self::Standby];

    fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
        }
    }
}

/// What a server may ask for beside SCRAM-SHA-256, in the words of libpq's `require_auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMethod {
    /// MD5, which is deprecated.
    Md5,
    /// The password itself.
    Password,
    /// Nothing, though there is a password.
    None,
}

impl PasswordMethod {
    pub(crate) const ALL: [Self; 3] = [Self::Md5, Self::Password, Self::None];

    fn word(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Password => "password",
            Self::None => "none",
        }
    }
}

/// As the configuration has them.
macro_rules! words {
    ($type:ty) => {
        impl FromStr for $type {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.into_iter().find(|it| it.word() == text).ok_or(())
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words!(SslMode);
words!(TargetSessionAttributes);
words!(PasswordMethod);
