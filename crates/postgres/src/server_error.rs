//! What a server says went wrong, or that somebody should know: error and notice fields.

use crate::message::Message;
use crate::{Error, SqlState};
use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

/// An error or a notice, with all fields that the protocol knows (documentation, "Error and Notice Message Fields").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// How bad it is.
    pub severity: Severity,
    /// What kind it is.
    pub state: SqlState,
    /// What went wrong, in one line.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What may help.
    pub hint: Option<String>,
    /// Where in the statement: a character, from 1.
    pub position: Option<u32>,
    /// Where in a statement that the server made itself.
    pub internal_position: Option<u32>,
    /// That statement.
    pub internal_query: Option<String>,
    /// In which functions, the innermost first.
    pub context: Option<String>,
    /// The schema that it is about.
    pub schema: Option<String>,
    /// The table.
    pub table: Option<String>,
    /// The column.
    pub column: Option<String>,
    /// The data type.
    pub data_type: Option<String>,
    /// The constraint.
    pub constraint: Option<String>,
    /// Where the server's own code says so.
    pub file: Option<String>,
    /// The line there.
    pub line: Option<u32>,
    /// The routine there.
    pub routine: Option<String>,
}

/// How bad it is, whatever the server's language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Details for developers.
    Debug,
    /// For the server's log.
    Log,
    /// Was asked for.
    Info,
    /// May be of use.
    Notice,
    /// Is likely a mistake.
    Warning,
    /// Ends the statement, and the transaction.
    Error,
    /// Ends the connection.
    Fatal,
    /// Ends all connections of the server.
    Panic,
}

impl ServerError {
    pub(crate) fn parse(message: Message<'_>) -> Result<Self, Error> {
        let mut fields = Self::empty();
        let mut reader = message.reader();
        loop {
            match reader.u8()? {
                0 => break,
                code => fields.set(code, reader.lossy_text()?),
            }
        }
        reader.end()?;
        Ok(fields)
    }

    /// Bytes of its texts.
    pub(crate) fn held_bytes(&self) -> usize {
        let texts = [
            &self.detail,
            &self.hint,
            &self.internal_query,
            &self.context,
            &self.schema,
            &self.table,
            &self.column,
            &self.data_type,
            &self.constraint,
            &self.file,
            &self.routine,
        ];
        let optional: usize = texts.into_iter().flatten().map(String::len).sum();
        size_of::<Self>() + self.message.len() + optional
    }

    fn empty() -> Self {
        Self {
            severity: Severity::Error,
            state: SqlState::Other(*b"00000"),
            message: String::new(),
            detail: None,
            hint: None,
            position: None,
            internal_position: None,
            internal_query: None,
            context: None,
            schema: None,
            table: None,
            column: None,
            data_type: None,
            constraint: None,
            file: None,
            line: None,
            routine: None,
        }
    }

    /// Fields of other codes are skipped, as the documentation asks.
    fn set(&mut self, code: u8, text: Cow<'_, str>) {
        let number = || text.parse().ok();
        match code {
            // 'S' is the same in the server's language; servers before 9.6 have nothing else.
            b'V' | b'S' => self.severity = Severity::parse(&text).unwrap_or(self.severity),
            b'C' => {
                if let Ok(code) = text.as_bytes().try_into() {
                    self.state = SqlState::from_code(code);
                }
            }
            b'M' => self.message = text.into_owned(),
            b'D' => self.detail = Some(text.into_owned()),
            b'H' => self.hint = Some(text.into_owned()),
            b'P' => self.position = number(),
            b'p' => self.internal_position = number(),
            b'q' => self.internal_query = Some(text.into_owned()),
            b'W' => self.context = Some(text.into_owned()),
            b's' => self.schema = Some(text.into_owned()),
            b't' => self.table = Some(text.into_owned()),
            b'c' => self.column = Some(text.into_owned()),
            b'd' => self.data_type = Some(text.into_owned()),
            b'n' => self.constraint = Some(text.into_owned()),
            b'F' => self.file = Some(text.into_owned()),
            b'L' => self.line = number(),
            b'R' => self.routine = Some(text.into_owned()),
            _ => {}
        }
    }
}

impl Severity {
    /// Whether the connection ends.
    pub fn is_fatal(self) -> bool {
        self >= Self::Fatal
    }

    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "DEBUG" => Self::Debug,
            "LOG" => Self::Log,
            "INFO" => Self::Info,
            "NOTICE" => Self::Notice,
            "WARNING" => Self::Warning,
            "ERROR" => Self::Error,
            "FATAL" => Self::Fatal,
            "PANIC" => Self::Panic,
            _ => return None,
        })
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {}", self.message, self.state)?;
        if let Some(position) = self.position {
            write!(f, ", at character {position}")?;
        }
        f.write_str(")")?;
        self.detail.iter().try_for_each(|detail| write!(f, ": {detail}"))
    }
}

impl core::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::kind;
    use std::string::ToString;

    fn parse(body: &[u8]) -> Result<ServerError, Error> {
        ServerError::parse(Message { kind: kind::ERROR_RESPONSE, body })
    }

    #[test]
    fn every_field_has_its_place() {
        let body = b"SFEHLER\0VERROR\0C23505\0Mm\0Dd\0Hh\0P7\0p8\0qq\0Ww\0ss\0tt\0cc\0dd\0nn\0Ff\0L9\0Rr\0?new\0\0";
        let error = parse(body).unwrap();
        let expected = ServerError {
            severity: Severity::Error,
            state: SqlState::UniqueViolation,
            message: "m".into(),
            detail: Some("d".into()),
            hint: Some("h".into()),
            position: Some(7),
            internal_position: Some(8),
            internal_query: Some("q".into()),
            context: Some("w".into()),
            schema: Some("s".into()),
            table: Some("t".into()),
            column: Some("c".into()),
            data_type: Some("d".into()),
            constraint: Some("n".into()),
            file: Some("f".into()),
            line: Some(9),
            routine: Some("r".into()),
        };
        assert_eq!(error, expected);
        assert_eq!(error.to_string(), "m (SQLSTATE 23505, at character 7): d");
    }

    #[test]
    fn what_is_cut_is_refused_and_what_is_no_text_is_shown() {
        for body in [&b""[..], b"M", b"Mm", b"Mm\0", b"Mm\0\0x"] {
            assert_eq!(parse(body), Err(Error::Malformed(b'E')), "{body:?}");
        }
        assert_eq!(parse(b"M\xFF\0\0").unwrap().message, "\u{FFFD}");
        assert!(parse(b"VFATAL\0\0").unwrap().severity.is_fatal());
        assert!(!parse(b"VERROR\0\0").unwrap().severity.is_fatal());
    }
}
