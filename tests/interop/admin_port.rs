//! The admin port as the cases configure it and ask it.

/// Where it is.
pub(crate) const PORT: u16 = 9001;
/// What it wants to be shown.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The section of a configuration that opens it to who has the token.
pub(crate) fn config() -> String {
    format!("[admin]\nport = {PORT}\ntoken = \"{TOKEN}\"\n")
}

/// The field by which a client shows the token.
pub(crate) fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}")
}
