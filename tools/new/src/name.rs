//! The name of an appliance, as packages, crates and types have it.

use command::failure::{Failure, Result};
use std::{fmt, path::Path};

/// Letters of a name, so that those of its packages are no longer than crates.io takes.
const LETTERS_MAX: usize = 50;
/// What a crate of this name would stand in the way of: the compiler's own, those that an appliance is written with, and what `lib.rs` of
/// the template has names for.
const TAKEN: &str = " alloc context core greet platform proc-macro routes service serde standard std table test vec aqueduct balance config \
    endpoints flow http inspect names net pipe postgres rpc tls verbs web websocket xtask zmq ";
/// Aqueduct's own packages begin with it.
const OWN_PREFIX: &str = "aqueduct-";
/// The Cargo Book has no list: cargo's `restricted_names.rs`, names of folders below target/, and names of devices that Windows keeps.
const CARGOS: &str = " build deps examples incremental artifact doc package aux com1 com2 com3 com4 con lpt1 lpt2 lpt3 nul prn ";
/// The Rust Reference, *Keywords*: strict ones and reserved ones. None can be a crate's name.
const KEYWORDS: &str = " abstract as async await become box break const continue crate do dyn else enum extern false final fn for \
    gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true try type \
    typeof unsafe unsized use virtual where while yield ";

/// A name such as `my-appliance`: small letters, digits and hyphens, with a letter first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Of what somebody typed.
    ///
    /// # Errors
    ///
    /// It is none that a package and its crate can have.
    pub fn new(text: &str) -> Result<Self> {
        let refuse = |allowed: &str| {
            Err(Failure(format!("`{text}` cannot be an appliance's name; allowed: {allowed}")))
        };
        let is_inside =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        let is_sound = text.starts_with(|letter: char| letter.is_ascii_lowercase())
            && text.chars().all(is_inside)
            && !text.ends_with('-')
            && !text.contains("--");
        if !is_sound || text.len() > LETTERS_MAX {
            return refuse(
                "up to 50 small letters, digits and single hyphens between them, with a letter first, as my-appliance",
            );
        }
        let is_in = |list: &str| list.contains(&format!(" {text} "));
        if [TAKEN, KEYWORDS, CARGOS].into_iter().any(is_in) || text.starts_with(OWN_PREFIX) {
            return refuse("a name that Rust, cargo or Aqueduct has no use for");
        }
        Ok(Self(text.to_owned()))
    }

    /// The last part of a folder's path.
    ///
    /// # Errors
    ///
    /// It has none, or that can be no name.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let last = folder.file_name().ok_or_else(|| {
            Failure(format!("{} has no last part to name the appliance by", folder.display()))
        })?;
        Self::new(&last.to_string_lossy())
            .map_err(|Failure(said)| Failure(format!("{said}; or say --name NAME")))
    }

    /// As a crate is called in Rust: `my_appliance`.
    fn in_rust(&self) -> String {
        self.0.replace('-', "_")
    }

    /// As a type is called: `MyAppliance`.
    fn as_type(&self) -> String {
        let capital = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
        self.0.split('-').map(capital).collect()
    }

    /// A file of the template, with this name in place of its own.
    pub(crate) fn put_into(&self, text: &str) -> String {
        text.replace("my-appliance", &self.0)
            .replace("my_appliance", &self.in_rust())
            .replace("MyAppliance", &self.as_type())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_crate_can_have_are_refused() {
        for bad in [
            "",
            "-a",
            "a-",
            "a--b",
            "1st",
            "Shop",
            "my_shop",
            "shöp",
            "a b",
            "../x",
            "fn",
            "async",
            "web",
            "aqueduct",
            "std",
            "proc-macro",
            "build",
            "deps",
            "table",
            "context",
            "aqueduct-web",
        ] {
            let said = Name::new(bad).unwrap_err().to_string();
            assert!(said.starts_with(&format!("`{bad}` cannot be")), "{said}");
        }
        assert!(Name::new(&"a".repeat(51)).is_err());
        assert!(Name::new(&"a".repeat(50)).is_ok());
    }

    #[test]
    fn a_folder_names_the_appliance() {
        let name = Name::of_folder(Path::new("../web-shop2/")).unwrap();
        assert_eq!(
            name.put_into("my-appliance my_appliance MyAppliance"),
            "web-shop2 web_shop2 WebShop2"
        );
        assert!(Name::of_folder(Path::new("..")).unwrap_err().to_string().contains("no last part"));
        let said = Name::of_folder(Path::new("/tmp/My Shop")).unwrap_err().to_string();
        assert!(said.ends_with("or say --name NAME"), "{said}");
    }
}
