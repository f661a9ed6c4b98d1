//! Bundle loader: the boot bundle from a file, or from the folder it would be made of.

use config::{Bundle, cpio};
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Reads a bundle and keeps it for the life of the process, as a boot module is.
pub(crate) fn load(path: &Path) -> Result<Bundle<'static>, String> {
    let say = |error: &dyn std::fmt::Display| format!("bundle {}: {error}", path.display());
    let archive = if path.is_dir() {
        let mut writer = cpio::Writer::new();
        add_folder(&mut writer, path, "")?;
        writer.finish()
    } else {
        fs::read(path).map_err(|error| say(&error))?
    };
    Bundle::parse(archive.leak()).map_err(|error| say(&error))
}

fn add_folder(writer: &mut cpio::Writer, folder: &Path, prefix: &str) -> Result<(), String> {
    let say = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let entries = fs::read_dir(folder).map_err(|error| say(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| say(folder, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| say(&path, &"the name is not UTF-8"))?;
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            add_folder(writer, &path, &format!("{name}/"))?;
            continue;
        }
        let bytes = fs::read(&path).map_err(|error| say(&path, &error))?;
        let time = fs::metadata(&path).and_then(|file| file.modified()).ok();
        let seconds = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let seconds = seconds.map_or(0, |time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
        writer.file(&name, &bytes, seconds).map_err(|error| say(&path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_becomes_the_bundle_it_would_be_made_into() {
        let folder = std::env::temp_dir().join(format!("aqueduct-bundle-{}", std::process::id()));
        fs::create_dir_all(folder.join("site/css")).unwrap();
        fs::write(folder.join("site/css/a.css"), "a{}").unwrap();
        fs::write(folder.join("site/.hidden"), "x").unwrap();
        let bundle = load(&folder).unwrap();
        let paths: Vec<&str> = bundle.files().map(|file| file.path).collect();
        assert_eq!(paths, ["site/css/a.css"]);
        fs::remove_dir_all(&folder).unwrap();
        assert!(load(&folder).unwrap_err().contains("aqueduct-bundle"));
    }
}
