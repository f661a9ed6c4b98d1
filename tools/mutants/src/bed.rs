//! Where mutants are tested: a copy of the tree with all of them in it, compiled once, and its tests, which run once for each mutant
//! that they reach.

use crate::{
    case::{self, Tests},
    mutant::{Mutant, field},
    schemata::{self, Part, Schema},
};
use command::{
    cargo,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Program},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{Mutex, PoisonError},
};
use tinyjson::JsonValue;

const GIT: Program = Program { name: "git", package: "git" };
/// Rounds of compiling, each without what the last one did not compile.
const ROUNDS_MAX: usize = 40;
/// What is behind a crate's text: the switch.
const SWITCH: &str = include_str!("switch.rs.txt");

/// What became of a mutant here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Noticed,
    Missed,
    /// It compiles for nobody.
    Unviable,
    /// It cannot be switched.
    LeftOut,
}

/// A tree with mutants in it.
pub(crate) struct Bed<'a> {
    mutants: &'a [Mutant],
    /// The folder of the crate, below the root.
    folder: PathBuf,
    fates: Vec<Option<Fate>>,
    schemata: BTreeMap<String, Vec<Part>>,
}

fn tree() -> Result<PathBuf> {
    Ok(paths::made("mutants")?.join("tree"))
}

impl<'a> Bed<'a> {
    /// Copies the tree, and puts the mutants into it that a switch can express.
    pub(crate) fn make(mutants: &'a [Mutant]) -> Result<Self> {
        copy(paths::root(), &tree()?)?;
        let Some((folder, _)) = mutants.first().and_then(|one| one.file.split_once("/src/")) else {
            fail!("no mutants");
        };
        let mut bed = Self {
            mutants,
            folder: folder.into(),
            fates: vec![None; mutants.len()],
            schemata: BTreeMap::new(),
        };
        let changed = mutants.iter().map(|mutant| mutant.file.clone()).collect();
        bed.write(&changed)?;
        Ok(bed)
    }

    /// Writes files anew, with the mutants that have no fate yet.
    fn write(&mut self, changed: &BTreeSet<String>) -> Result {
        let library = self.folder.join("src/lib.rs").display().to_string();
        for file in changed.iter().chain((!changed.contains(&library)).then_some(&library)) {
            let own: BTreeMap<_, _> = (0..self.mutants.len())
                .filter(|index| self.fates[*index].is_none())
                .map(|index| (index, &self.mutants[index]))
                .filter(|(_, mutant)| mutant.file == *file)
                .collect();
            let text = files::read_text(&paths::root().join(file))?;
            let Schema { mut text, parts, left_out } =
                schemata::schema(&text, &own).or_say(|| format!("{file} cannot be read"))?;
            for index in left_out {
                self.fates[index] = Some(Fate::LeftOut);
            }
            if *file == library {
                text += &SWITCH.replace("COUNT", &self.mutants.len().to_string());
            }
            write_if_other(&tree()?.join(file), text.as_bytes())?;
            self.schemata.insert(file.clone(), parts);
        }
        Ok(())
    }

    /// Has the tests of packages judge those that nobody has noticed so far.
    pub(crate) fn judge(&mut self, packages: &[&str]) -> Result {
        let mut tests = self.build(packages)?;
        case::measure(&mut tests)?;
        let left: Vec<usize> = (0..self.mutants.len())
            .filter(|index| matches!(self.fates[*index], None | Some(Fate::Missed)))
            .collect();
        let (mutants, fates) = (self.mutants, Mutex::new(&mut self.fates));
        case::in_parallel(left.len(), |at| {
            let index = left[at];
            let is_noticed = case::is_noticed(&tests, index)?;
            if !is_noticed {
                eprintln!("not noticed: {}", mutants[index].name);
            }
            let fate = if is_noticed { Fate::Noticed } else { Fate::Missed };
            fates.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(fate);
            Ok(())
        })
    }

    /// What became of each.
    pub(crate) fn fates(self) -> impl Iterator<Item = (&'a Mutant, Fate)> {
        self.mutants.iter().zip(self.fates.into_iter().map(|fate| fate.unwrap_or(Fate::LeftOut)))
    }

    /// Compiles tests; mutants that do not compile are taken out, and it begins anew.
    fn build(&mut self, packages: &[&str]) -> Result<Vec<Tests>> {
        for _ in 0..ROUNDS_MAX {
            let output = compile(packages)?;
            let lines = String::from_utf8_lossy(&output.stdout);
            let messages: Vec<JsonValue> =
                lines.lines().filter_map(|line| line.parse().ok()).collect();
            let is_done = messages
                .iter()
                .any(|one| field(one, "success").and_then(|it| it.get()) == Some(&true));
            if is_done {
                return Ok(messages.iter().filter_map(Tests::of).collect());
            }
            let mut changed = BTreeSet::new();
            // What is no compiler's, as of a manifest.
            let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
            for message in &messages {
                if let Some(rendered) = self.take_out(message, &mut changed) {
                    said = rendered;
                }
            }
            if changed.is_empty() {
                fail!("the tests of {} do not compile: {said}", packages.join(", "));
            }
            self.write(&changed)?;
        }
        fail!("mutants do not compile after {ROUNDS_MAX} rounds");
    }

    /// Takes the mutants out of those functions that are evaluated by the compiler.
    fn make_constant(&mut self, names: &[&str], changed: &mut BTreeSet<String>) -> bool {
        let mut is_any = false;
        for (file, parts) in &self.schemata {
            for part in parts {
                let is_named = part.runs_only.as_deref().is_some_and(|name| names.contains(&name));
                for index in part.mutants.iter().filter(|_| is_named) {
                    if self.fates[*index].is_none() {
                        self.fates[*index] = Some(Fate::LeftOut);
                        changed.insert(file.clone());
                    }
                }
                is_any |= is_named;
            }
        }
        is_any
    }

    /// Takes those mutants out that an error is about; what it says, if it is one.
    fn take_out(&mut self, message: &JsonValue, changed: &mut BTreeSet<String>) -> Option<String> {
        let message = field(message, "message")?;
        if field(message, "level")?.get::<String>()? != "error" {
            return None;
        }
        let rendered = field(message, "rendered")?.get::<String>()?.clone();
        if rendered.contains("cannot call non-const") || rendered.contains("E0658") {
            let names: Vec<&str> = rendered.split('`').skip(1).step_by(2).map(last_name).collect();
            if self.make_constant(&names, changed) {
                return Some(rendered);
            }
        }
        let mut spans: Vec<&JsonValue> = field(message, "spans")?.get::<Vec<_>>()?.iter().collect();
        spans.sort_by_key(|span| {
            field(span, "is_primary").and_then(|it| it.get::<bool>()) != Some(&true)
        });
        let number = |span, name| Some(*field(span, name)?.get::<f64>()? as usize);
        // What an error is within is at fault; otherwise, what is on its lines, or near them.
        for near in [None, Some(0), Some(3), Some(30), Some(usize::MAX / 2)] {
            for span in &spans {
                let file = field(span, "file_name")?.get::<String>()?;
                let Some(parts) = self.schemata.get(file) else { continue };
                let (start, end) = (number(span, "byte_start")?, number(span, "byte_end")?);
                let (first, last) = (number(span, "line_start")?, number(span, "line_end")?);
                let is_at = |part: &&Part| match near {
                    None => part.bytes.start <= start && end <= part.bytes.end,
                    Some(lines) => {
                        part.lines.start <= last + lines && first < part.lines.end + lines
                    }
                };
                let at: Vec<&Part> = match near {
                    // The innermost.
                    None => parts.iter().rfind(is_at).into_iter().collect(),
                    Some(_) => parts.iter().filter(is_at).collect(),
                };
                let mut is_any = false;
                for part in at {
                    let fate = if part.is_value && near.is_none() {
                        Fate::Unviable
                    } else {
                        Fate::LeftOut
                    };
                    for index in &part.mutants {
                        if self.fates[*index].is_none() {
                            self.fates[*index] = Some(fate);
                            is_any = true;
                        }
                    }
                }
                if is_any {
                    changed.insert(file.clone());
                    return Some(rendered);
                }
                // Another error of this round was about the same.
                if changed.contains(file) {
                    return Some(rendered);
                }
            }
        }
        Some(rendered)
    }
}

/// The last segment of a path, without its arguments.
fn last_name(path: &str) -> &str {
    let name = path.rsplit("::").find(|segment| !segment.starts_with('<')).unwrap_or(path);
    name.split('<').next().unwrap_or(name)
}

/// What cargo says: messages as lines of JSON, and behind them its own errors.
fn compile(packages: &[&str]) -> Result<Output> {
    let mut command = cargo::command();
    command.current_dir(tree()?).args(["test", "--no-run", "--lib", "--tests", "--quiet"]);
    command.args(["--message-format", "json"]);
    for package in packages {
        command.args(["--package", package]);
    }
    command
        .env("CARGO_TARGET_DIR", paths::made("mutants")?.join("target"))
        // Nobody debugs them.
        .envs([("CARGO_INCREMENTAL", "1"), ("CARGO_PROFILE_DEV_DEBUG", "0")])
        .env("RUSTFLAGS", "--cap-lints=warn")
        .stdin(Stdio::null());
    command.output().or_say(|| "cannot start cargo".into())
}

/// Makes a folder like the files of a repository, without touching what is like them already.
fn copy(from: &Path, to: &Path) -> Result {
    let mut list = programs::command(&GIT)?;
    list.current_dir(from).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let all = programs::output(&mut list)?;
    let names: BTreeSet<&Path> = all
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(Path::new)
        .filter(|name| from.join(name).exists())
        .collect();
    for name in &names {
        let (source, target) = (from.join(name), to.join(name));
        if let Some(folder) = target.parent() {
            files::make_folder(folder)?;
        }
        if let Ok(place) = fs::read_link(&source) {
            if !target.is_symlink() {
                std::os::unix::fs::symlink(place, &target)
                    .or_say(|| format!("cannot make {}", target.display()))?;
            }
            continue;
        }
        let is_new = !target.exists();
        write_if_other(&target, &files::read(&source)?)?;
        if is_new {
            let rights = fs::metadata(&source).or_say(|| "no rights".into())?.permissions();
            fs::set_permissions(&target, rights).or_say(|| "no rights".into())?;
        }
    }
    remove_others(to, to, &names)
}

fn remove_others(root: &Path, folder: &Path, names: &BTreeSet<&Path>) -> Result {
    for path in files::list(folder)? {
        if path.is_dir() && !path.is_symlink() {
            remove_others(root, &path, names)?;
        } else if path
            .strip_prefix(root)
            .is_ok_and(|name| !names.contains(name) && name != Path::new("Cargo.lock"))
        {
            fs::remove_file(&path).or_say(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn write_if_other(file: &Path, bytes: &[u8]) -> Result {
    if fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let mut opened =
        fs::File::create(file).or_say(|| format!("cannot write {}", file.display()))?;
    opened.write_all(bytes).or_say(|| format!("cannot write {}", file.display()))
}
