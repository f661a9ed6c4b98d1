//! Authentication: what the server asks for, and what it gets.

use crate::frontend::Output;
use crate::message::Message;
use crate::scram::{Scram, md5_password};
use crate::settings::{ChannelBinding, Settings};
use crate::{Error, Limits};
use alloc::boxed::Box;
use alloc::vec::Vec;
use zeroize::Zeroizing;

/// How far authentication has come.
pub(crate) enum Authentication {
    /// The server has asked for nothing yet.
    Begun,
    /// A password was sent.
    Answered,
    Scram(Box<Scram>),
    /// AuthenticationOk.
    Done,
}

/// Codes of the messages `Authentication...`.
mod code {
    pub(super) const OK: u32 = 0;
    pub(super) const CLEARTEXT_PASSWORD: u32 = 3;
    pub(super) const MD5_PASSWORD: u32 = 5;
    pub(super) const SASL: u32 = 10;
    pub(super) const SASL_CONTINUE: u32 = 11;
    pub(super) const SASL_FINAL: u32 = 12;
}

impl Authentication {
    pub(crate) fn handle(
        &mut self,
        message: Message<'_>,
        settings: &Settings,
        nonce: &[u8; 18],
        limits: &Limits,
        output: &mut Output,
    ) -> Result<(), Error> {
        let mut reader = message.reader();
        match (reader.u32()?, &mut *self) {
            (code::OK, _) => {
                reader.end()?;
                self.succeed(settings)?;
            }
            (code::CLEARTEXT_PASSWORD, Self::Begun) => {
                reader.end()?;
                allowed(settings.methods.cleartext, settings, "the password in the clear")?;
                send_text(output, password(settings)?);
                *self = Self::Answered;
            }
            (code::MD5_PASSWORD, Self::Begun) => {
                let salt = reader.u32()?.to_be_bytes();
                reader.end()?;
                allowed(settings.methods.md5, settings, "MD5")?;
                let text = md5_password(&settings.user, password(settings)?, salt);
                send_text(output, text.as_bytes());
                *self = Self::Answered;
            }
            (code::SASL, Self::Begun) => {
                let mut names = Vec::new();
                loop {
                    match reader.text()? {
                        "" => break,
                        name => names.push(name),
                    }
                }
                reader.end()?;
                password(settings)?;
                let scram = Scram::choose(names.into_iter(), &settings.channel_binding, nonce)?;
                output.sasl_initial(scram.mechanism(), scram.first_message().as_bytes());
                *self = Self::Scram(Box::new(scram));
            }
            (code::SASL_CONTINUE, Self::Scram(scram)) => {
                let password = password(settings)?;
                scram.handle_first(reader.rest(), password, limits.scram_iterations_max)?;
            }
            (code::SASL_FINAL, Self::Scram(scram)) => scram.handle_final(reader.rest())?,
            (2, _) => return Err(Error::Method("Kerberos V5")),
            (7 | 8, _) => return Err(Error::Method("GSSAPI")),
            (9, _) => return Err(Error::Method("SSPI")),
            _ => return Err(Error::Unexpected(message.kind)),
        }
        Ok(())
    }

    /// Whether [`compute`](Self::compute) is due.
    pub(crate) fn is_computing(&self) -> bool {
        matches!(self, Self::Scram(scram) if scram.is_computing())
    }

    /// Computes for a slice of time, and sends what comes of it.
    pub(crate) fn compute(&mut self, output: &mut Output) {
        if let Self::Scram(scram) = self
            && let Some(message) = scram.compute()
        {
            output.password(message.as_bytes());
        }
    }

    /// The server says that it is content; whether we are.
    fn succeed(&mut self, settings: &Settings) -> Result<(), Error> {
        let is_content = match self {
            Self::Begun => settings.password.is_none() || settings.methods.none,
            Self::Answered => true,
            // RFC 5802 section 3: it has to prove itself first.
            Self::Scram(scram) => scram.is_done(),
            Self::Done => return Err(Error::Unexpected(b'R')),
        };
        match (&*self, &settings.channel_binding) {
            (Self::Begun | Self::Answered, ChannelBinding::Required(_)) => {
                return Err(Error::ChannelBinding);
            }
            (Self::Begun, _) if !is_content => return Err(Error::Method("no password at all")),
            (Self::Scram(_), _) if !is_content => return Err(Error::ServerSignature),
            _ => {}
        }
        *self = Self::Done;
        Ok(())
    }
}

/// Whether a weak method may be answered. It binds to no channel.
fn allowed(is_allowed: bool, settings: &Settings, name: &'static str) -> Result<(), Error> {
    if let ChannelBinding::Required(_) = settings.channel_binding {
        return Err(Error::ChannelBinding);
    }
    if is_allowed { Ok(()) } else { Err(Error::Method(name)) }
}

fn password(settings: &Settings) -> Result<&[u8], Error> {
    settings.password.as_ref().map(|password| password.as_slice()).ok_or(Error::PasswordMissing)
}

/// A password ends with a zero byte.
fn send_text(output: &mut Output, text: &[u8]) {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() + 1));
    bytes.extend_from_slice(text);
    bytes.push(0);
    output.password(&bytes);
}
