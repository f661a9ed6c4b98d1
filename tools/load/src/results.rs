//! Where results go: files that are opened before the run, so that none is made in vain.

use crate::options::Options;
use load::Report;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where results go.
pub(crate) struct Results {
    json_to_output: bool,
    json: Option<(PathBuf, File)>,
    html: Option<(PathBuf, File)>,
}

impl Results {
    /// Opens the files; what is in them stays until there are results.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub(crate) fn open(options: &Options) -> Result<Self, String> {
        let json_to_output = options.json.as_deref() == Some(Path::new("-"));
        let json = options.json.as_ref().filter(|_| !json_to_output);
        let json = json.map(|file| open(file)).transpose()?;
        let html = options.html.as_ref().map(|file| open(file)).transpose()?;
        Ok(Self { json_to_output, json, html })
    }

    /// Writes all of them, those behind one that fails, too; the text first.
    ///
    /// # Errors
    /// The last that failed.
    pub(crate) fn write(self, report: &Report) -> Result<(), String> {
        let json = report.to_json() + "\n";
        let text = if self.json_to_output { json.clone() } else { report.to_text() };
        let printed = io::stdout().write_all(text.as_bytes());
        let mut outcome = printed.map_err(|error| format!("standard output: {error}"));
        for (target, text) in [(self.json, json), (self.html, report.to_html())] {
            let Some((name, file)) = target else { continue };
            if let Err(error) = replace(file, &text) {
                outcome = Err(format!("{}: {error}", name.display()));
            }
        }
        outcome
    }
}

fn open(name: &Path) -> Result<(PathBuf, File), String> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(name);
    let file = file.map_err(|error| format!("{}: {error}", name.display()))?;
    Ok((name.to_owned(), file))
}

/// A pipe or a terminal has nothing to be replaced.
fn replace(mut file: File, text: &str) -> io::Result<()> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn opened(words: &[&str]) -> Result<Results, String> {
        let words = ["aqueduct-load", "http://127.0.0.1/"].iter().chain(words);
        Results::open(&Options::try_parse_from(words).unwrap())
    }

    #[test]
    fn files_are_opened_before_the_run_and_replaced_after_it() {
        for option in ["--html", "--json"] {
            let error = opened(&[option, "/nonexistent/x"]).err().unwrap();
            assert!(error.starts_with("/nonexistent/x: "), "{error}");
        }
        let name = std::env::temp_dir().join(format!("aqueduct-load-{}", std::process::id()));
        std::fs::write(&name, "what was there before").unwrap();
        let (json, html) = {
            let results = opened(&["--json", name.to_str().unwrap()]).unwrap();
            (results.json, results.html)
        };
        assert!(html.is_none());
        assert_eq!(std::fs::read_to_string(&name).unwrap(), "what was there before");
        replace(json.unwrap().1, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&name).unwrap(), "new");
        std::fs::remove_file(&name).unwrap();
    }
}
