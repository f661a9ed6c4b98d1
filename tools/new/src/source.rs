//! Where a new workspace has Aqueduct's crates from.

use command::failure::{OrSay, Result, fail};
use std::path::{Component, Path, PathBuf};

/// In the template: `AQUEDUCT("FOLDER")`, a dependency on the crate in that folder.
const MARK: &str = "AQUEDUCT(\"";
const MARK_END: &str = "\")";
/// In the template: where Aqueduct itself is.
const PAGE: &str = "AQUEDUCT_PAGE";

/// A folder or a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The folder of these sources.
    Path(PathBuf),
    /// A repository that git can reach.
    Git {
        /// Its URL.
        url: String,
        /// A commit, tag or branch of it; without, its default branch.
        rev: Option<String>,
    },
}

impl Source {
    /// A repository.
    ///
    /// # Errors
    ///
    /// The URL has no scheme, or it or the revision is empty or has what no line of a manifest can hold.
    pub fn git(url: String, rev: Option<String>) -> Result<Self> {
        for text in [Some(&url), rev.as_ref()].into_iter().flatten() {
            let is_odd = |letter: char| letter.is_control() || ['"', '\\', ' '].contains(&letter);
            if text.is_empty() || text.contains(is_odd) {
                fail!(
                    "`{text}` is no URL or revision; allowed: what is not empty, without spaces, quotes and backslashes"
                );
            }
        }
        // Of what git takes, cargo takes URLs alone, and not `user@host:path`.
        if !url.split_once("://").is_some_and(|(scheme, rest)| {
            let is_of_schemes =
                |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
            !scheme.is_empty() && scheme.chars().all(is_of_schemes) && !rest.is_empty()
        }) {
            fail!(
                "`{url}` is no URL; allowed: one with its scheme, as https://HOST/PATH, ssh://git@HOST/PATH or file:///PATH"
            );
        }
        Ok(Self::Git { url, rev })
    }

    /// The same, as it is reached from a folder: a path is a relative one where both have a folder in common.
    pub(crate) fn from(&self, folder: &Path) -> Result<Self> {
        let Self::Path(aqueduct) = self else { return Ok(self.clone()) };
        let aqueduct = std::fs::canonicalize(aqueduct)
            .or_say(|| format!("cannot find {}", aqueduct.display()))?;
        if folder.starts_with(&aqueduct) {
            fail!(
                "{} is inside Aqueduct's own workspace; name a folder beside it, as ../my-appliance",
                folder.display()
            );
        }
        Ok(Self::Path(relative(&aqueduct, folder)))
    }

    /// A file of the template, with dependencies on crates of this source.
    pub(crate) fn put_into(&self, text: &str) -> String {
        let mut parts = text.split(MARK);
        let mut made = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (folder, rest) = part.split_once(MARK_END).unwrap_or((part, ""));
            made += &self.dependency(folder);
            made += rest;
        }
        let page = match self {
            Self::Path(path) => path.display().to_string(),
            Self::Git { url, .. } => url.clone(),
        };
        made.replace(PAGE, &page)
    }

    fn dependency(&self, folder: &str) -> String {
        match self {
            Self::Path(path) => format!("path = \"{}\"", path.join(folder).display()),
            Self::Git { url, rev: None } => format!("git = \"{url}\""),
            Self::Git { url, rev: Some(rev) } => format!("git = \"{url}\", rev = \"{rev}\""),
        }
    }
}

/// The way from a folder to another, both absolute; the absolute one if they have but the root in common.
fn relative(to: &Path, from: &Path) -> PathBuf {
    let is_common = |(a, b): &(Component<'_>, Component<'_>)| a == b;
    let common = to.components().zip(from.components()).take_while(is_common).count();
    if common <= 1 {
        return to.to_owned();
    }
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_where_that_says_something() {
        for (to, from, path) in [
            ("/home/me/aqueduct", "/home/me/shop", "../aqueduct"),
            ("/home/me/aqueduct", "/home/me/mine/shop", "../../aqueduct"),
            ("/srv/aqueduct", "/home/me/shop", "/srv/aqueduct"),
        ] {
            assert_eq!(relative(Path::new(to), Path::new(from)), Path::new(path));
        }
    }

    #[test]
    fn a_workspace_inside_this_one_is_refused() {
        let own = command::paths::root();
        let said = Source::Path(own.to_owned()).from(&own.join("shop")).unwrap_err().to_string();
        assert!(said.contains("inside Aqueduct's own workspace"), "{said}");
    }

    #[test]
    fn odd_repositories_are_refused() {
        for (url, rev) in [
            ("", None),
            ("https://a\"b", None),
            ("https://a/b", Some("x y")),
            ("https://a\nb", None),
            ("nonsense", None),
            ("git@host:path", None),
            ("https://", None),
            ("://host/a", None),
        ] {
            assert!(Source::git(url.into(), rev.map(Into::into)).is_err(), "{url}");
        }
    }
}
