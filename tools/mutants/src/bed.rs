//! Where mutants are tested: a copy of the tree with all of them in it, compiled once, and its tests, which run once for each mutant
//! that they reach.

use crate::{
    mutant::{Mutant, field},
    schemata::{self, Part, Schema},
};
use command::{
    cargo,
    child::Child,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Program},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tinyjson::JsonValue;

/// The shortest time that tests have before a mutant counts as one that never ends, which is noticed, too.
pub(crate) const LIMIT_MIN: Duration = Duration::from_secs(20);
/// How much longer tests may take with a mutant.
const LIMIT_FACTOR: u32 = 6;
/// What tests may have of addresses: a mutant may gather memory for ever.
const MEMORY_BYTES_MAX: u64 = 8 << 30;
const PRLIMIT: Program = Program { name: "prlimit", package: "util-linux" };
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

/// A program of tests.
struct Tests {
    program: PathBuf,
    folder: PathBuf,
    took: Duration,
    reached: BTreeSet<usize>,
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
        for one in &mut tests {
            one.measure()?;
        }
        tests.sort_by_key(|one| one.took);
        let left: Vec<usize> = (0..self.mutants.len())
            .filter(|index| matches!(self.fates[*index], None | Some(Fate::Missed)))
            .collect();
        let (next, fates) = (AtomicUsize::new(0), Mutex::new(&mut self.fates));
        let failure = Mutex::new(Ok(()));
        let mutants = self.mutants;
        let work = || {
            while let Some(index) = left.get(next.fetch_add(1, Ordering::Relaxed)) {
                match is_noticed(&tests, *index) {
                    Ok(is_noticed) => {
                        let fate = if is_noticed { Fate::Noticed } else { Fate::Missed };
                        if !is_noticed {
                            eprintln!("not noticed: {}", mutants[*index].name);
                        }
                        fates.lock().unwrap_or_else(PoisonError::into_inner)[*index] = Some(fate);
                    }
                    Err(error) => {
                        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Err(error);
                        return;
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let count = std::thread::available_parallelism().map_or(1, usize::from);
            for _ in 0..count {
                scope.spawn(work);
            }
        });
        failure.into_inner().unwrap_or_else(PoisonError::into_inner)
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

impl Tests {
    /// A program of tests that cargo says it has made.
    fn of(message: &JsonValue) -> Option<Self> {
        let is_test = field(field(message, "profile")?, "test")?.get::<bool>()?;
        let program = field(message, "executable")?.get::<String>()?;
        let manifest = field(message, "manifest_path")?.get::<String>()?;
        let folder = Path::new(manifest).parent()?.to_owned();
        is_test.then(|| Self {
            program: program.into(),
            folder,
            took: Duration::ZERO,
            reached: BTreeSet::new(),
        })
    }

    /// Runs it without a mutant, and once more to see which ones it reaches.
    fn measure(&mut self) -> Result {
        let begin = Instant::now();
        let idle = usize::MAX;
        if !self.passes(idle, None, Duration::from_secs(1200))? {
            fail!("{} fails without a mutant", self.program.display());
        }
        self.took = begin.elapsed();
        let record = paths::made("mutants")?.join("reached");
        let _ = fs::remove_file(&record);
        // What counts allocations may fail by the recording.
        self.passes(idle, Some(&record), Duration::from_secs(1200))?;
        let text = fs::read_to_string(&record).unwrap_or_default();
        self.reached = text.lines().filter_map(|line| line.parse().ok()).collect();
        Ok(())
    }

    fn passes(&self, mutant: usize, record: Option<&Path>, limit: Duration) -> Result<bool> {
        let mut command = programs::command(&PRLIMIT)?;
        command.arg(format!("--as={MEMORY_BYTES_MAX}")).arg("--").arg(&self.program);
        command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .env("RUST_BACKTRACE", "0")
            .env("MUTANT", mutant.to_string());
        if let Some(record) = record {
            command.env("MUTANTS_REACHED", record);
        }
        let mut child = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        })?;
        let Some(output) = child.streams().stdout.take() else { return Ok(false) };
        // The first test that fails is enough.
        let has_failed = std::thread::spawn(move || {
            let lines = BufReader::new(output).split(b'\n').map_while(std::result::Result::ok);
            for line in lines {
                if line.ends_with(b"... FAILED") {
                    return true;
                }
            }
            false
        });
        let deadline = Instant::now() + limit;
        while child.ended().is_none() && Instant::now() < deadline {
            if record.is_none() && has_failed.is_finished() {
                break;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        if has_failed.is_finished() && has_failed.join().unwrap_or(true) && record.is_none() {
            return Ok(false);
        }
        // Its output may end before it does.
        let left = deadline.saturating_duration_since(Instant::now());
        Ok(child.wait(left).is_some_and(|status| status.success()))
    }
}

fn is_noticed(tests: &[Tests], mutant: usize) -> Result<bool> {
    for one in tests.iter().filter(|one| one.reached.contains(&mutant)) {
        let limit = LIMIT_MIN.max(one.took * LIMIT_FACTOR);
        if !one.passes(mutant, None, limit)? {
            return Ok(true);
        }
    }
    Ok(false)
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
        if source.is_symlink() {
            continue;
        }
        if let Some(folder) = target.parent() {
            files::make_folder(folder)?;
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
        if path.is_dir() {
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
