//! The workspace of an appliance of one's own: its files, of the template beside this crate, under the appliance's name.
#![forbid(unsafe_code)]

mod name;
mod settings;
mod source;
mod words;

pub use name::Name;
pub use source::Source;
pub use words::Words;

use command::{
    failure::{OrSay, Result, fail},
    files,
};
use std::path::{Path, PathBuf};

/// What is made, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder, which must not be there yet or be empty.
    pub folder: PathBuf,
    /// The appliance's name, other than the folder's.
    pub name: Option<String>,
    /// Where the new workspace has Aqueduct from.
    pub source: Source,
}

/// The template's files, each with the path that it has in the new workspace. Manifests are called otherwise here, since cargo
/// takes a folder with one for a package.
const TEMPLATE: [(&str, &str); 15] = [
    ("Cargo.toml", include_str!("../template/workspace.toml")),
    ("src/lib.rs", include_str!("../template/src/lib.rs")),
    ("src/greet.rs", include_str!("../template/src/greet.rs")),
    ("linux/Cargo.toml", include_str!("../template/linux/package.toml")),
    ("linux/src/main.rs", include_str!("../template/linux/src/main.rs")),
    ("bare/Cargo.toml", include_str!("../template/bare/package.toml")),
    ("bare/build.rs", include_str!("../template/bare/build.rs")),
    ("bare/src/main.rs", include_str!("../template/bare/src/main.rs")),
    ("xtask/Cargo.toml", include_str!("../template/xtask/package.toml")),
    ("xtask/src/main.rs", include_str!("../template/xtask/src/main.rs")),
    ("config/appliance.toml", include_str!("../template/config/appliance.toml")),
    ("config/site/index.html", include_str!("../template/config/site/index.html")),
    (".cargo/config.toml", include_str!("../template/cargo/config.toml")),
    (".gitignore", include_str!("../template/gitignore")),
    ("README.md", include_str!("../template/README.md")),
];
/// Of Aqueduct itself: the pinned compiler, and the versions of crates that it is tested with.
const TAKEN_OVER: [(&str, &str); 2] = [
    ("rust-toolchain.toml", include_str!("../../../rust-toolchain.toml")),
    ("Cargo.lock", include_str!("../../../Cargo.lock")),
];

/// Writes the workspace; the appliance's name. Nothing is written unless all is in order.
///
/// # Errors
///
/// The folder is there and has something in it, its parent is not, the name is none that a package can have, or a file cannot be
/// written.
pub fn make(options: &Options) -> Result<Name> {
    let Options { folder, name, source } = options;
    let name = match name {
        Some(name) => Name::new(name)?,
        None => Name::of_folder(folder)?,
    };
    check_folder(folder)?;
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let parent = std::fs::canonicalize(parent)
        .or_say(|| format!("cannot find the folder {}", parent.display()))?;
    let absolute = parent.join(folder.file_name().unwrap_or_default());
    let source = source.from(&absolute)?;
    for (path, text) in TEMPLATE {
        let text = source.put_into(&name.put_into(text));
        write(folder, path, &settings::put_into(path, text))?;
    }
    for (path, text) in TAKEN_OVER {
        write(folder, path, text)?;
    }
    Ok(name)
}

fn check_folder(folder: &Path) -> Result {
    if folder.is_dir() {
        if !files::list(folder)?.is_empty() {
            fail!("{} is there already, and not empty: name a new folder", folder.display());
        }
    } else if std::fs::symlink_metadata(folder).is_ok() {
        fail!("{} is there already, and no folder: name a new folder", folder.display());
    }
    Ok(())
}

fn write(folder: &Path, path: &str, text: &str) -> Result {
    let file = folder.join(path);
    if let Some(parent) = file.parent() {
        files::make_folder(parent)?;
    }
    files::write(&file, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use command::paths::{self, Scratch};

    fn options(folder: PathBuf) -> Options {
        Options { folder, name: None, source: Source::Path(paths::root().to_owned()) }
    }

    #[test]
    fn a_workspace_has_its_own_name_everywhere() {
        let scratch = Scratch::new().unwrap();
        let options = options(scratch.path("greeting-card"));
        assert_eq!(make(&options).unwrap().to_string(), "greeting-card");
        for (path, _) in TEMPLATE.into_iter().chain(TAKEN_OVER) {
            let text = files::read_text(&options.folder.join(path)).unwrap();
            for left in ["my-appliance", "my_appliance", "MyAppliance", "AQUEDUCT(", "FEATURES"] {
                assert!(!text.contains(left), "{path} has {left}");
            }
        }
        let read = |path: &str| files::read_text(&options.folder.join(path)).unwrap();
        let workspace = read("Cargo.toml");
        assert!(workspace.contains("greeting-card = { path = \".\" }"), "{workspace}");
        assert!(workspace.contains("\n[profile.dev.package.greeting-card-linux]\n"), "{workspace}");
        assert!(workspace.contains("[profile.image]") && workspace.contains("[profile.image-dev]"));
        assert!(read("src/lib.rs").contains("struct GreetingCard;"));
        assert!(read("linux/src/main.rs").contains("use greeting_card::GreetingCard;"));
        assert!(read("bare/Cargo.toml").contains("\nhttp = [\"aqueduct-bare/http\"]\n"));
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let scratch = Scratch::new().unwrap();
        std::fs::create_dir(scratch.path("full")).unwrap();
        std::fs::write(scratch.path("full/notes"), "mine").unwrap();
        std::fs::write(scratch.path("file"), "mine").unwrap();
        std::fs::create_dir(scratch.path("empty")).unwrap();
        for (folder, said) in [
            ("full", "full is there already, and not empty: name a new folder"),
            ("file", "file is there already, and no folder: name a new folder"),
            ("nowhere/new", "cannot find the folder"),
        ] {
            let failure = make(&options(scratch.path(folder))).unwrap_err().to_string();
            assert!(failure.contains(said), "{failure}");
        }
        assert_eq!(files::list(&scratch.path("full")).unwrap().len(), 1);
        assert!(!scratch.path("nowhere").exists());
        make(&options(scratch.path("empty"))).unwrap();
    }

    #[test]
    fn git_takes_the_place_of_paths() {
        let scratch = Scratch::new().unwrap();
        let source =
            Source::git("https://example.org/aqueduct.git".into(), Some("v1".into())).unwrap();
        let options = Options { source, ..options(scratch.path("own")) };
        make(&options).unwrap();
        let text = files::read_text(&options.folder.join("Cargo.toml")).unwrap();
        let line = "web = { package = \"aqueduct-web\", git = \"https://example.org/aqueduct.git\", rev = \"v1\" }";
        assert!(text.contains(line), "{text}");
    }
}
