//! Bundle loader: the boot bundle from a file, or from the folder it would be made of.

use config::{Bundle, folder};
use std::fs;
use std::path::Path;

/// Reads a bundle and keeps it for the life of the process, as a boot module is.
pub(crate) fn load(path: &Path) -> Result<Bundle<'static>, String> {
    let say = |error: &dyn std::fmt::Display| format!("bundle {}: {error}", path.display());
    let archive = if path.is_dir() {
        folder::archive(path, aqueduct::knows_media_type).map_err(|error| error.to_string())?
    } else {
        fs::read(path).map_err(|error| say(&error))?
    };
    if archive.is_empty() {
        // To `Bundle`, a machine without a boot module; but this process was given one.
        return Err(say(&"the file is empty; `cargo xtask bundle DIR --out FILE` makes one"));
    }
    Bundle::parse(archive.leak()).map_err(|error| say(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Config;
    use std::path::PathBuf;

    /// A folder that goes with its owner.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("aqueduct-bundle-{}-{name}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_folder_becomes_the_bundle_it_would_be_made_into() {
        let scratch = Scratch::new("folder");
        let folder = &scratch.0;
        fs::create_dir_all(folder.join("site/.well-known")).unwrap();
        fs::create_dir_all(folder.join("site/css")).unwrap();
        fs::write(folder.join("site/css/a.css"), "a{}").unwrap();
        fs::write(folder.join("site/.well-known/a"), "x").unwrap();
        fs::write(folder.join("notes"), "not for the bundle").unwrap();
        let bundle = load(folder).unwrap();
        let paths: Vec<&str> = bundle.files().map(|file| file.path).collect();
        assert_eq!(paths, ["site/.well-known/a", "site/css/a.css"]);
        fs::create_dir(folder.join("appliance.toml")).unwrap();
        assert!(load(folder).unwrap_err().contains("appliance.toml is a folder"));
        assert!(load(&folder.join("none")).unwrap_err().contains("none"));
    }

    #[test]
    fn an_empty_bundle_is_refused() {
        let scratch = Scratch::new("empty");
        let bundle = load(&scratch.0).unwrap();
        assert!(Config::load(&bundle, "").unwrap_err().allowed.contains("there is no site/ in it"));
        let file = scratch.0.join("file");
        fs::write(&file, "").unwrap();
        assert!(load(&file).unwrap_err().contains("the file is empty"));
    }
}
