//! `[[database]]`: databases that handlers ask.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use config::{Database, PasswordMethod, SslMode, TargetSessionAttributes};
use endpoints::postgres::{Methods, Options, PoolConfig, Settings, TargetSession};
use flow::Target;

/// What one `[[database]]` comes to. Files are named by their paths in the bundle.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// What handlers ask for it by.
    pub name: String,
    /// Servers in the order in which they are tried; a fault if the flows know no such target.
    pub servers: Result<Vec<Target>, String>,
    /// The role that it is asked as.
    pub user: String,
    /// The password, unless a file has it.
    pub password: Option<String>,
    /// The file that has it.
    pub password_file: Option<String>,
    /// The database of the server, if it is not of the role's name.
    pub database: Option<String>,
    /// Whether there is TLS below, and what it proves.
    pub ssl_mode: SslMode,
    /// The file of the authorities by which servers are known, if it is not that of `[tls]`.
    pub authorities: Option<String>,
    /// The name that certificates are for, if it is not the server's host.
    pub server_name: Option<String>,
    /// What a server may ask for beside SCRAM.
    pub methods: Methods,
    /// How each connection behaves.
    pub options: Options,
    /// How they are kept.
    pub pool: PoolConfig,
}

impl DatabaseSettings {
    /// From the section.
    pub fn new(section: &Database) -> Self {
        let Database {
            name,
            servers,
            user,
            password,
            password_file,
            database,
            ssl_mode,
            authorities,
            server_name,
            target,
            methods,
            connections_max,
            waiting_max,
            wait_timeout,
            connect_timeout,
            query_timeout,
            idle_timeout,
            connection_age_max,
            check_after,
            statements_max,
            result_bytes_max,
        } = section.clone();
        Self {
            name,
            servers: servers.iter().map(|text| parsed(text)).collect(),
            user,
            password: given(password),
            password_file: given(password_file),
            database: given(database),
            ssl_mode,
            authorities: given(authorities),
            server_name: given(server_name),
            methods: allowed(&methods),
            options: Options {
                connect_timeout,
                query_timeout,
                statements_max,
                result_bytes_max,
                target: target_session(target),
                ..Options::default()
            },
            pool: PoolConfig {
                connections_max,
                wait_timeout,
                waiting_max,
                idle_timeout,
                lifetime_max: connection_age_max,
                check_after,
            },
        }
    }

    /// With what each connection begins; `application` is what the server shows to its operators.
    pub fn start(&self, password: Option<&str>, application: &str) -> Settings {
        let mut settings = Settings::new(&self.user)
            .methods(self.methods)
            .parameter("application_name", application);
        if let Some(database) = &self.database {
            settings = settings.database(database);
        }
        match password {
            Some(password) => settings.password(password),
            None => settings,
        }
    }
}

fn parsed(text: &str) -> Result<Target, String> {
    text.parse().map_err(|error: flow::ParseTargetError| error.to_string())
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn allowed(methods: &[PasswordMethod]) -> Methods {
    Methods {
        md5: methods.contains(&PasswordMethod::Md5),
        cleartext: methods.contains(&PasswordMethod::Password),
        none: methods.contains(&PasswordMethod::None),
    }
}

fn target_session(target: TargetSessionAttributes) -> TargetSession {
    match target {
        TargetSessionAttributes::Any => TargetSession::Any,
        TargetSessionAttributes::ReadWrite => TargetSession::ReadWrite,
        TargetSessionAttributes::ReadOnly => TargetSession::ReadOnly,
        TargetSessionAttributes::Primary => TargetSession::Primary,
        TargetSessionAttributes::Standby => TargetSession::Standby,
    }
}
