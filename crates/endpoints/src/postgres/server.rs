//! Servers: how one is reached, in the clear or under TLS.

use ::flow::{ConnectError, Connector, Flow, Target};
use ::postgres::{ChannelBinding, Settings};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::pin::Pin;

/// A server, and how it is reached. Clones share what is below.
#[derive(Clone)]
pub struct Server {
    reach: Rc<dyn Reach>,
    target: Target,
    /// It refused 3.2 rather than declining it.
    is_of_3_0: Rc<Cell<bool>>,
}

impl Server {
    /// Over flows of `connector` as they are: TCP in the clear (`sslmode=disable`), a Unix-domain socket, a service of this host.
    pub fn plain(connector: impl Connector, target: Target) -> Self {
        Self::new(Rc::new(Plain(connector)), target)
    }

    /// Under TLS, with whom `context` trusts: `sslmode=verify-full`; `verify-ca` with
    /// [`Trust::without_names`](::tls::Trust::without_names), and `require` with
    /// [`Trust::any_server`](::tls::Trust::any_server). The certificate is to be for `name`. Authentication is bound to it
    /// where the server can.
    #[cfg(feature = "tls")]
    pub fn tls(connector: impl Connector, tls: ServerTls, name: &str, target: Target) -> Self {
        Self::new(Rc::new(secure::Secure::new(connector, tls, name, false)), target)
    }

    /// The same where the server has TLS and it comes to be, and else in the clear (`sslmode=prefer`): who stands between can
    /// see to that, so that it is for networks that are trusted.
    #[cfg(feature = "tls")]
    pub fn tls_or_plain(
        connector: impl Connector,
        tls: ServerTls,
        name: &str,
        target: Target,
    ) -> Self {
        let secure = secure::Secure::new(connector.clone(), tls, name, true);
        Self::new(Rc::new(secure::Preferred(secure, Plain(connector))), target)
    }

    fn new(reach: Rc<dyn Reach>, target: Target) -> Self {
        Self { reach, target, is_of_3_0: Rc::default() }
    }

    /// Whether it is asked for protocol 3.0 at once.
    pub(super) fn is_of_3_0(&self) -> bool {
        self.is_of_3_0.get()
    }

    pub(super) fn note_3_0(&self) {
        self.is_of_3_0.set(true);
    }

    /// Where it is.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) async fn open(&self) -> Result<Opened, ConnectError> {
        self.reach.open(&self.target).await
    }
}

/// What TLS to servers takes.
#[cfg(feature = "tls")]
#[derive(Clone)]
pub struct ServerTls {
    /// Whom to trust.
    pub context: ::tls::ClientContext,
    /// Bounds of handshakes.
    pub config: crate::tls::TlsConfig,
    /// Time.
    pub timers: ::flow::time::Timers,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.target)
    }
}

/// A flow to a server, and what authentication can be bound to.
pub(super) struct Opened {
    pub(super) flow: Box<dyn Flow>,
    end_point: Option<Vec<u8>>,
}

impl Opened {
    /// Settings that bind authentication to this flow, if it has anything to bind to.
    pub(super) fn bind(&self, settings: Settings) -> Settings {
        match &self.end_point {
            Some(hash) => settings.channel_binding(ChannelBinding::Preferred(hash.clone())),
            None => settings,
        }
    }
}

type Opening<'a> = Pin<Box<dyn Future<Output = Result<Opened, ConnectError>> + 'a>>;

/// A connector as an object.
trait Reach {
    fn open<'a>(&'a self, target: &'a Target) -> Opening<'a>;
}

struct Plain<C>(C);

impl<C: Connector> Reach for Plain<C> {
    fn open<'a>(&'a self, target: &'a Target) -> Opening<'a> {
        Box::pin(async move {
            let flow = self.0.connect(target).await?;
            Ok(Opened { flow: Box::new(flow), end_point: None })
        })
    }
}

#[cfg(feature = "tls")]
mod secure {
    use super::{Opened, Opening, Plain, Reach, ServerTls};
    use crate::tls::TlsConnector;
    use ::flow::{ConnectError, Connector, FlowExt, Target};
    use ::postgres::SSL_REQUEST;
    use alloc::boxed::Box;
    use alloc::string::String;

    /// Flows on which the server said that TLS may begin.
    #[derive(Clone)]
    struct AskForTls<C> {
        connector: C,
        is_quiet: bool,
    }

    impl<C: Connector> Connector for AskForTls<C> {
        type Flow = C::Flow;

        async fn connect(&self, target: &Target) -> Result<C::Flow, ConnectError> {
            let mut flow = self.connector.connect(target).await?;
            let lost = |_| ConnectError::Refused;
            flow.write_all(&SSL_REQUEST).await.map_err(lost)?;
            let answer = flow.read_with(|bytes| {
                // CVE-2021-23222: what is there before the handshake began is somebody else's.
                (bytes.len(), if bytes.len() == 1 { bytes.first().copied() } else { None })
            });
            match answer.await.map_err(lost)? {
                Some(b'S') => Ok(flow),
                Some(b'N') => {
                    if !self.is_quiet {
                        log::warn!("postgres: {target} has no TLS");
                    }
                    Err(ConnectError::Untrusted)
                }
                _ => Err(ConnectError::Untrusted),
            }
        }
    }

    pub(super) struct Secure<C> {
        connector: TlsConnector<AskForTls<C>>,
        name: String,
    }

    impl<C: Connector> Secure<C> {
        /// `is_quiet` if it is no matter for the log that a server has no TLS.
        pub(super) fn new(connector: C, tls: ServerTls, name: &str, is_quiet: bool) -> Self {
            let ServerTls { context, config, timers } = tls;
            let connector = AskForTls { connector, is_quiet };
            let connector = TlsConnector::new(connector, context, config, &timers);
            Self { connector, name: name.into() }
        }
    }

    impl<C: Connector> Reach for Secure<C> {
        fn open<'a>(&'a self, target: &'a Target) -> Opening<'a> {
            Box::pin(async move {
                let flow = self.connector.connect_to(target, &self.name).await?;
                let end_point = flow.info().peer_end_point.clone();
                Ok(Opened { flow: Box::new(flow), end_point })
            })
        }
    }

    /// TLS if it comes to be, and else a new flow in the clear.
    pub(super) struct Preferred<C>(pub(super) Secure<C>, pub(super) Plain<C>);

    impl<C: Connector> Reach for Preferred<C> {
        fn open<'a>(&'a self, target: &'a Target) -> Opening<'a> {
            Box::pin(async move {
                match self.0.open(target).await {
                    Err(ConnectError::Untrusted) => self.1.open(target).await,
                    opened => opened,
                }
            })
        }
    }
}
