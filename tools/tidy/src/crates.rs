//! Packages for crates.io: each says what it is, has a name that is ours, and stands in the list of them.

use crate::packages::Package;
use command::{failure::Result, files, paths};

/// Every package's page at crates.io: a row each, of name, name in code and description.
const PAGE: &str = "docs/crates.md";
/// What their names begin with: many short ones are others' there.
const PREFIX: &str = "aqueduct";

/// What is wrong with packages that are published, and rows of the page that are of none.
///
/// # Errors
///
/// The page cannot be read.
pub(crate) fn check(packages: &[Package]) -> Result<Vec<String>> {
    Ok(compare(&files::read_text(&paths::root().join(PAGE))?, packages))
}

fn compare(page: &str, packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for package in packages {
        let (name, Some(published)) = (&package.name, &package.published) else { continue };
        if !name.starts_with(PREFIX) {
            problems
                .push(format!("{name} is published, and its name does not begin with {PREFIX}"));
        }
        for lacks in &published.lacks {
            problems.push(format!("{name} is published, and has no `{lacks}`"));
        }
        let library = match package.library.as_str() {
            "" => "a program".to_owned(),
            library => format!("`{library}`"),
        };
        let row = format!("| `{name}` | {library} | {} |", published.description);
        match rows.iter().position(|found| *found == row) {
            Some(at) => drop(rows.remove(at)),
            None => problems.push(format!("{PAGE} has no row `{row}`")),
        }
    }
    problems.extend(rows.iter().map(|row| format!("{PAGE} has a row of no package: {row}")));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::Published;

    fn package(name: &str, library: &str, lacks: &[&'static str]) -> Package {
        Package {
            name: name.into(),
            library: library.into(),
            folder: String::new(),
            depends: Vec::new(),
            roots: Vec::new(),
            published: Some(Published { description: "It.".into(), lacks: lacks.into() }),
        }
    }

    #[test]
    fn the_page_is_that_of_the_tree() {
        let packages = crate::packages::all().unwrap();
        assert!(packages.iter().filter(|package| package.published.is_some()).count() > 40);
        assert_eq!(check(&packages).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_a_published_package_lacks_is_told() {
        let page = "| package | in code | what it is |\n|---|---|---|\n| `aqueduct-a` | `a` | It. |\n| `aqueductb` | a program | It. |\n";
        let sound = || vec![package("aqueduct-a", "a", &[]), package("aqueductb", "", &[])];
        assert_eq!(compare(page, &sound()), Vec::<String>::new());
        let mut more = sound();
        more.push(package("tcp", "tcp", &["keywords"]));
        assert_eq!(
            compare(page, &more),
            [
                "tcp is published, and its name does not begin with aqueduct",
                "tcp is published, and has no `keywords`",
                "docs/crates.md has no row `| `tcp` | `tcp` | It. |`",
            ]
        );
        let mut fewer = sound();
        fewer[1].published = None;
        let told = compare(page, &fewer);
        assert_eq!(
            told,
            ["docs/crates.md has a row of no package: | `aqueductb` | a program | It. |"]
        );
    }
}
