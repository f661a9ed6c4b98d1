//! Extensions: the header field (RFC 6455 section 9.1) and permessage-deflate's parameters (RFC 7692 section 7.1).

use alloc::string::String;
use core::fmt::Write;
use core::ops::RangeInclusive;
use web::syntax::{token_end, trim};

/// The one extension that is known.
const NAME: &[u8] = b"permessage-deflate";
const SERVER_NO_CONTEXT: &[u8] = b"server_no_context_takeover";
const CLIENT_NO_CONTEXT: &[u8] = b"client_no_context_takeover";
const SERVER_WINDOW: &[u8] = b"server_max_window_bits";
const CLIENT_WINDOW: &[u8] = b"client_max_window_bits";

/// Bits of DEFLATE's largest window.
pub(crate) const WINDOW_BITS_MAX: u8 = 15;
const WINDOW_BITS: RangeInclusive<u8> = 8..=WINDOW_BITS_MAX;
/// Offers that are looked at, and parameters of each; what is beyond is not agreed to.
const OFFERS_MAX: usize = 8;
const PARAMETERS_MAX: usize = 8;

/// How messages are compressed, if the peer agrees.
///
/// A side that keeps its context compresses similar messages better, and costs memory for as long as the connection
/// lasts. By default neither does.
#[derive(Clone, Copy, Debug)]
pub struct Deflate {
    /// Our compressor keeps its context: 330 KiB for each connection. Default false.
    pub keeps_own_context: bool,
    /// The peer may keep its own: 43 KiB for each connection. Default false.
    pub lets_peer_keep_context: bool,
    /// Shorter messages go uncompressed. Default 64 bytes.
    pub message_bytes_min: usize,
    /// 1 (fast) to 9 (small). Default 1: there is one CPU for all connections.
    pub level: u8,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            keeps_own_context: false,
            lets_peer_keep_context: false,
            message_bytes_min: 64,
            level: 1,
        }
    }
}

/// What both sides agreed on, as one of them sees it.
#[derive(Clone, Copy, Debug)]
pub struct AgreedDeflate {
    /// What was wanted here, where the agreement leaves it open.
    pub deflate: Deflate,
    /// Our compressor keeps its context.
    pub keeps_own_context: bool,
    /// The peer's does.
    pub peer_keeps_context: bool,
    /// Our compressor looks back no further than two to the power of this: 8 to 15.
    pub own_window_bits: u8,
}

/// The field is no list of extensions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Answers a client's offers: the agreement and the field to send, for the first offer that can be accepted.
pub(crate) fn accept<'a>(
    fields: impl Iterator<Item = &'a [u8]>,
    deflate: &Deflate,
) -> Result<Option<(AgreedDeflate, String)>, Malformed> {
    let mut accepted = None;
    for field in fields {
        let mut scanner = Scanner(field);
        for at in 0.. {
            let Some(parameters) = scanner.extension()? else { break };
            if at < OFFERS_MAX && accepted.is_none() {
                accepted = parameters.map(|offer| answer(&offer, deflate));
            }
        }
    }
    Ok(accepted)
}

/// What a client offers.
pub(crate) fn offer(deflate: &Deflate) -> String {
    let mut field = String::from("permessage-deflate; client_max_window_bits");
    if !deflate.keeps_own_context {
        field.push_str("; client_no_context_takeover");
    }
    if !deflate.lets_peer_keep_context {
        field.push_str("; server_no_context_takeover");
    }
    field
}

/// Reads a server's answer to [`offer`]; `Malformed` if it is none.
pub(crate) fn agree<'a>(
    fields: impl Iterator<Item = &'a [u8]>,
    deflate: Option<&Deflate>,
) -> Result<Option<AgreedDeflate>, Malformed> {
    let mut agreed = None;
    for field in fields {
        let mut scanner = Scanner(field);
        while let Some(parameters) = scanner.extension()? {
            // RFC 6455 section 4.1: a server accepts what was offered, once.
            let (Some(parameters), Some(deflate), None) = (parameters, deflate, &agreed) else {
                return Err(Malformed);
            };
            agreed = Some(check_answer(&parameters, deflate)?);
        }
    }
    Ok(agreed)
}

/// The parameters of one permessage-deflate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<ClientWindow>,
}

/// `client_max_window_bits`, which an offer may have without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientWindow {
    /// The client can be told.
    Any,
    Bits(u8),
}

impl Parameters {
    /// Takes a parameter; none twice, none unknown, none with a wrong value (RFC 7692 section 7.1).
    fn take(&mut self, name: &[u8], value: Option<&[u8]>) -> Option<()> {
        let flag =
            |flag: &mut bool| (value.is_none() && !core::mem::replace(flag, true)).then_some(());
        match name {
            SERVER_NO_CONTEXT => flag(&mut self.server_no_context_takeover),
            CLIENT_NO_CONTEXT => flag(&mut self.client_no_context_takeover),
            SERVER_WINDOW => {
                let before = self.server_max_window_bits.replace(window_bits(value?)?);
                before.is_none().then_some(())
            }
            CLIENT_WINDOW => {
                let bits = match value {
                    Some(value) => ClientWindow::Bits(window_bits(value)?),
                    None => ClientWindow::Any,
                };
                self.client_max_window_bits.replace(bits).is_none().then_some(())
            }
            _ => None,
        }
    }
}

/// RFC 7692 section 7.1.2: 8 to 15, without leading zeros.
fn window_bits(value: &[u8]) -> Option<u8> {
    let bits = match value {
        [digit @ b'8'..=b'9'] => digit - b'0',
        [b'1', digit @ b'0'..=b'5'] => 10 + (digit - b'0'),
        _ => return None,
    };
    WINDOW_BITS.contains(&bits).then_some(bits)
}

/// A server's answer to an offer. The client's window is left as it is: whatever it is, we can decompress it.
fn answer(offer: &Parameters, deflate: &Deflate) -> (AgreedDeflate, String) {
    let keeps_own_context = deflate.keeps_own_context && !offer.server_no_context_takeover;
    // Section 7.1.1.2: a server may ask this of a client that did not offer it.
    let peer_keeps_context = deflate.lets_peer_keep_context && !offer.client_no_context_takeover;
    let mut field = String::from("permessage-deflate");
    if !keeps_own_context {
        field.push_str("; server_no_context_takeover");
    }
    if !peer_keeps_context {
        field.push_str("; client_no_context_takeover");
    }
    if let Some(bits) = offer.server_max_window_bits {
        // Writing to a string does not fail.
        let _ = write!(field, "; server_max_window_bits={bits}");
    }
    let own_window_bits = offer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX);
    let deflate = *deflate;
    (AgreedDeflate { deflate, keeps_own_context, peer_keeps_context, own_window_bits }, field)
}

/// A client checks the server's answer.
fn check_answer(answer: &Parameters, deflate: &Deflate) -> Result<AgreedDeflate, Malformed> {
    // Section 7.1.1.1: who accepts the offer of this parameter, answers with it.
    if !deflate.lets_peer_keep_context && !answer.server_no_context_takeover {
        return Err(Malformed);
    }
    let own_window_bits = match answer.client_max_window_bits {
        None => WINDOW_BITS_MAX,
        Some(ClientWindow::Bits(bits)) => bits,
        // Section 7.1.2.2: an answer has a value.
        Some(ClientWindow::Any) => return Err(Malformed),
    };
    Ok(AgreedDeflate {
        deflate: *deflate,
        keeps_own_context: deflate.keeps_own_context && !answer.client_no_context_takeover,
        peer_keeps_context: !answer.server_no_context_takeover,
        own_window_bits,
    })
}

/// What of a field is not read yet.
struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    /// The next extension: `None` at the end of the field, and inside, `None` if it is not one that can be agreed to.
    fn extension(&mut self) -> Result<Option<Option<Parameters>>, Malformed> {
        // RFC 9110 section 5.6.1: a list may have empty elements.
        while self.skip(b',') {}
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut parameters = Some(Parameters::default());
        if self.token()? != NAME {
            parameters = None;
        }
        for at in 0.. {
            if !self.skip(b';') {
                break;
            }
            let name = self.token()?;
            let value = if self.skip(b'=') { Some(self.value()?) } else { None };
            parameters = parameters
                .filter(|_| at < PARAMETERS_MAX)
                .and_then(|mut parameters| parameters.take(name, value).map(|()| parameters));
        }
        if self.0.is_empty() || self.skip(b',') { Ok(Some(parameters)) } else { Err(Malformed) }
    }

    /// Whether the separator is next; it is read then, with the space around it.
    fn skip(&mut self, separator: u8) -> bool {
        self.0 = trim(self.0);
        match self.0 {
            [first, rest @ ..] if *first == separator => {
                self.0 = trim(rest);
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        let (token, rest) = self.0.split_at(token_end(self.0, 0));
        self.0 = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// A token, also in quotation marks (RFC 6455 section 9.1: what is inside is a token).
    fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let [b'"', rest @ ..] = self.0 else { return self.token() };
        self.0 = rest;
        let token = self.token()?;
        let [b'"', rest @ ..] = self.0 else { return Err(Malformed) };
        self.0 = rest;
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn answer_to(field: &str) -> Result<Option<String>, Malformed> {
        answer_with(field, &Deflate::default())
    }

    fn answer_with(field: &str, deflate: &Deflate) -> Result<Option<String>, Malformed> {
        let accepted = accept([field.as_bytes()].into_iter(), deflate)?;
        Ok(accepted.map(|(_, field)| field))
    }

    const NO_CONTEXT: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn rfc7692_7_1_offers_and_their_answers() {
        for (offer, more) in [
            ("permessage-deflate", ""),
            ("permessage-deflate; client_max_window_bits", ""),
            (" permessage-deflate ;client_max_window_bits = 9 ", ""),
            ("permessage-deflate; server_max_window_bits=12", "; server_max_window_bits=12"),
            ("permessage-deflate; server_max_window_bits=\"8\"", "; server_max_window_bits=8"),
            ("x, permessage-deflate", ""),
            ("x-y; a=b; c, , permessage-deflate;server_no_context_takeover", ""),
            // The first that can be accepted.
            ("permessage-deflate; server_max_window_bits=7, permessage-deflate", ""),
        ] {
            assert_eq!(answer_to(offer), Ok(Some([NO_CONTEXT, more].concat())), "{offer}");
        }
    }

    #[test]
    fn rfc7692_7_1_what_is_unknown_wrong_or_twice_is_declined() {
        for offer in [
            "",
            ",,",
            "x-webkit-deflate-frame",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; client_max_window_bits=0",
            "permessage-deflate; client_max_window_bits=1x",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        ] {
            assert_eq!(answer_to(offer), Ok(None), "{offer}");
        }
    }

    #[test]
    fn rfc6455_9_1_what_is_no_list_of_extensions_is_refused() {
        for field in [
            "permessage-deflate;",
            ";",
            "a b",
            "permessage-deflate; =9",
            "permessage-deflate; a=",
            "a; b=\"c",
            "a; b=\"c d\"",
            "a; b=\"\"",
            "permessage-deflate, a; ;",
        ] {
            assert_eq!(answer_to(field), Err(Malformed), "{field}");
        }
    }

    #[test]
    fn context_takeover_is_what_both_want() {
        let keeping =
            Deflate { keeps_own_context: true, lets_peer_keep_context: true, ..Deflate::default() };
        let answer = |field: &str| answer_with(field, &keeping).unwrap().unwrap();
        assert_eq!(answer("permessage-deflate"), "permessage-deflate");
        let without = "permessage-deflate; server_no_context_takeover";
        assert_eq!(answer(without), without);
        let without = "permessage-deflate; client_no_context_takeover";
        assert_eq!(answer(without), without);
    }

    #[test]
    fn rfc7692_7_1_a_client_checks_the_answer() {
        let deflate = Deflate::default();
        let agreed = |field: &str| agree([field.as_bytes()].into_iter(), Some(&deflate));
        let bits = |field: &str| agreed(&[NO_CONTEXT, field].concat()).unwrap().unwrap();
        assert_eq!(bits("").own_window_bits, 15);
        assert_eq!(bits("; client_max_window_bits=10").own_window_bits, 10);
        assert_eq!(bits("; server_max_window_bits=10").own_window_bits, 15);
        assert!(!bits("").peer_keeps_context && !bits("").keeps_own_context);
        for wrong in [
            "permessage-deflate".to_string(),
            "x".to_string(),
            [NO_CONTEXT, "; client_max_window_bits"].concat(),
            [NO_CONTEXT, ", ", NO_CONTEXT].concat(),
            [NO_CONTEXT, "; unknown"].concat(),
        ] {
            assert_eq!(agreed(&wrong).err(), Some(Malformed), "{wrong}");
        }
        let unasked = agree([NO_CONTEXT.as_bytes()].into_iter(), None);
        assert_eq!(unasked.err(), Some(Malformed));
        assert!(agree([].into_iter(), Some(&deflate)).unwrap().is_none());
    }

    #[test]
    fn what_a_client_offers_a_server_accepts() {
        for (own, peer) in [(false, false), (false, true), (true, false), (true, true)] {
            let deflate = Deflate {
                keeps_own_context: own,
                lets_peer_keep_context: peer,
                ..Deflate::default()
            };
            let field = offer(&deflate);
            let (server, answer) =
                accept([field.as_bytes()].into_iter(), &deflate).unwrap().unwrap();
            let client = agree([answer.as_bytes()].into_iter(), Some(&deflate)).unwrap().unwrap();
            assert_eq!(server.keeps_own_context, client.peer_keeps_context);
            assert_eq!(server.peer_keeps_context, client.keeps_own_context);
        }
    }
}
