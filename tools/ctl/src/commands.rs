//! What each verb does.

use crate::admin::{Admin, Failure, Row, encoded};
use crate::graph::Drawing;
use crate::options::{
    self, BundleVerb, Direction, Every, Graph, GraphFormat, Logs, Options, Profile, Rows, Tcpdump,
    Verb,
};
use crate::{shm_server, table};
use serde_json::Value;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// A table's name, and the columns that are shown unless all are asked for.
type Shown = (&'static str, Option<&'static [&'static str]>);

const PS: Shown = (
    "tasks",
    Some(&[
        "id",
        "name",
        "subject",
        "state",
        "polls",
        "run_us",
        "longest_poll_us",
        "age_ms",
        "held_bytes",
        "waits_at",
    ]),
);
const SS: Shown = (
    "connections",
    Some(&[
        "id",
        "state",
        "local",
        "remote",
        "rtt_us",
        "rto_ms",
        "cwnd_bytes",
        "in_flight_bytes",
        "tx_window_bytes",
        "tx_queue_bytes",
        "rx_queue_bytes",
        "retransmissions",
        "idle_ms",
    ]),
);

const SHM: Shown = (
    "shared_memory_flows",
    Some(&[
        "id",
        "local",
        "remote",
        "role",
        "unread_bytes",
        "undelivered_bytes",
        "waits_for",
        "peer_waits_for",
        "received_bytes",
        "sent_bytes",
        "bytes_per_wake",
        "stalls_empty",
        "stalls_full",
    ]),
);

/// Does what the command line asks for.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    match &options.verb {
        Verb::Completions { shell } => {
            let mut command = options::command();
            clap_complete::generate(*shell, &mut command, "aqueductctl", &mut io::stdout());
            return Ok(());
        }
        Verb::Man => {
            let manual = clap_mangen::Man::new(options::command());
            return manual.render(&mut io::stdout()).map_err(|error| unwritten(&error));
        }
        Verb::ShmServer(words) => return shm_server::run(words),
        Verb::Extcap(asked) => {
            if let Some(answer) = asked.answer() {
                return say(&answer);
            }
        }
        _ => {}
    }
    let admin = Admin::new(options)?;
    if let Some((shown, asked)) = table_verb(&options.verb) {
        return table_of(&admin, options.json, shown, asked);
    }
    let change = |method: &str, path: &str| -> Result<(), Failure> {
        say(&table::printable_lines(&admin.change(method, path)?))
    };
    match &options.verb {
        Verb::Top(every) => top(&admin, every),
        Verb::Tcpdump(asked) => tcpdump(&admin, asked),
        Verb::Extcap(asked) => asked.capture(&admin),
        Verb::Graph(asked) => graph(&admin, asked),
        Verb::Trace(asked) => {
            pass_on(admin.open(&format!("/api/v1/trace?seconds={}", asked.seconds))?)
        }
        Verb::Profile(Profile { seconds, hertz }) => {
            pass_on(admin.open(&format!("/api/v1/profile?seconds={seconds}&hertz={hertz}"))?)
        }
        Verb::Logs(asked) => logs(&admin, options.json, asked),
        Verb::Metrics => say(&table::printable_lines(&admin.text("/metrics")?)),
        Verb::Replay { session } => replay(&admin, options.json, *session),
        Verb::Bundle { verb: BundleVerb::Put { file } } => put_bundle(&admin, file),
        Verb::Bundle { verb: BundleVerb::Disk { number, folder } } => {
            change("POST", &path_of_disk(*number, folder.as_deref()))
        }
        Verb::Dump => change("POST", "/api/v1/tasks/dump"),
        Verb::Cancel { task } => change("POST", &format!("/api/v1/tasks/{}/cancel", encoded(task))),
        Verb::Level { module, level: Some(level), force } => {
            if !force {
                check_module(&admin, module)?;
            }
            let path = format!("/api/v1/log/levels/{}?level={}", encoded(module), encoded(level));
            change("PUT", &path)
        }
        Verb::Level { module, level: None, force: _ } => {
            change("DELETE", &format!("/api/v1/log/levels/{}", encoded(module)))
        }
        // They are done by now.
        _ => Ok(()),
    }
}

/// The verbs that show one table, with it.
fn table_verb(verb: &Verb) -> Option<(Shown, &Rows)> {
    Some(match verb {
        Verb::Ps(asked) => (PS, asked),
        Verb::Ss(asked) => (SS, asked),
        Verb::Shm(asked) => (SHM, asked),
        Verb::Listeners(asked) => (("listeners", None), asked),
        Verb::Cards(asked) => (("cards", None), asked),
        Verb::Disks(asked) => (("disks", None), asked),
        Verb::Services(asked) => (("services", None), asked),
        Verb::Routes(asked) => (("routes", None), asked),
        Verb::Places(asked) => (("places", None), asked),
        Verb::Ways(asked) => (("ways", None), asked),
        Verb::Databases(asked) => (("databases", None), asked),
        Verb::DatabaseServers(asked) => (("database_servers", None), asked),
        Verb::Sessions(asked) => (("sessions", None), asked),
        Verb::Mem(asked) => (("memory", None), asked),
        Verb::Timers(asked) => (("timers", None), asked),
        Verb::Panics(asked) => (("panics", None), asked),
        Verb::Config(asked) => (("config", None), asked),
        Verb::Version(asked) => (("version", None), asked),
        _ => return None,
    })
}

/// What nobody logs by has no level: it is a slip.
fn check_module(admin: &Admin, module: &str) -> Result<(), Failure> {
    let text = admin.text("/api/v1/log/modules")?;
    let known: Vec<String> = serde_json::from_str(&text)
        .map_err(|error| Failure(format!("these are no modules: {error}")))?;
    let inside = format!("{module}::");
    if module == "*" || known.iter().any(|it| it == module || it.starts_with(&inside)) {
        return Ok(());
    }
    Err(unknown_module(module, &known))
}

fn unknown_module(module: &str, known: &[String]) -> Failure {
    const SHOWN: usize = 5;
    const LIKENESS_MIN: f64 = 0.85;
    let last = |path: &str| path.rsplit("::").next().unwrap_or_default().to_owned();
    let likeness = |other: &String| {
        let of_last = strsim::jaro_winkler(&last(module), &last(other));
        strsim::jaro_winkler(module, other).max(of_last)
    };
    let mut near: Vec<_> = known.iter().map(|it| (likeness(it), it)).collect();
    near.retain(|(likeness, _)| *likeness >= LIKENESS_MIN);
    near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    near.truncate(SHOWN);
    let near: Vec<_> = near.iter().map(|(_, it)| table::printable(it)).collect();
    let near = match &near[..] {
        [] => String::new(),
        near => format!("; near it are {}", near.join(", ")),
    };
    let module = table::printable(module);
    Failure(format!(
        "no module {module} logs here{near}; --force sets its level all the same, as for one of which there is no line yet"
    ))
}

fn path_of_disk(number: u32, folder: Option<&str>) -> String {
    let folder = folder.map(|folder| format!("&folder={}", encoded(folder))).unwrap_or_default();
    format!("/api/v1/bundle?disk={number}{folder}")
}

fn put_bundle(admin: &Admin, file: &Path) -> Result<(), Failure> {
    let bytes = std::fs::read(file);
    let bytes = bytes.map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    say(&table::printable_lines(&admin.put("/api/v1/bundle", &bytes)?))
}

fn table_of(admin: &Admin, json: bool, shown: Shown, asked: &Rows) -> Result<(), Failure> {
    let (name, columns) = shown;
    let (all, wanted) = (admin.rows(name)?, pairs(&asked.wanted)?);
    for column in wanted.iter().map(|(column, _)| column).chain(&asked.sort) {
        check_column(&all, column)?;
    }
    let known: Option<Vec<String>> = all.first().map(|row| row.keys().cloned().collect());
    let mut rows = table::chosen(all, &wanted);
    if let Some(column) = &asked.sort {
        rows = table::sorted(rows, column);
    }
    rows.truncate(asked.limit.unwrap_or(usize::MAX));
    if json {
        let text = serde_json::to_string_pretty(&rows).unwrap_or_default();
        return say(&(table::escaped(&text) + "\n"));
    }
    // What was not chosen has the same columns.
    let known: Option<Vec<&str>> = known.as_ref().map(|it| it.iter().map(String::as_str).collect());
    let columns = columns.filter(|_| !asked.all);
    say(&table::text(&rows, columns.or(known.as_deref().filter(|_| rows.is_empty()))))
}

/// Every row has the same columns; without a row nobody knows them.
fn check_column(rows: &[Row], column: &str) -> Result<(), Failure> {
    match rows.first() {
        Some(row) if !row.contains_key(column) => {
            let known: Vec<_> = row.keys().map(String::as_str).collect();
            Err(Failure(format!("no column {column}; there are {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

fn pairs(words: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pairs = words.chunks(2).map(|pair| match pair {
        [column, text] => Ok((column.clone(), text.clone())),
        _ => Err(Failure(format!(
            "what is wanted of the column {}? Rows are chosen by COLUMN TEXT",
            pair.concat()
        ))),
    });
    pairs.collect()
}

fn replay(admin: &Admin, json: bool, session: u64) -> Result<(), Failure> {
    let text = admin.change("POST", &format!("/api/v1/sessions/{session}/replay"))?;
    if json {
        return say(&(table::escaped(&text) + "\n"));
    }
    let unreadable = |error| Failure(format!("the answer is no replay: {error}"));
    let mut replay: Row = serde_json::from_str(&text).map_err(unreadable)?;
    let requests = replay.remove("requests").unwrap_or_default();
    let requests: Vec<Row> = serde_json::from_value(requests).map_err(unreadable)?;
    let missing = replay.get("missing_before").and_then(Value::as_u64).unwrap_or(0);
    if missing > 0 {
        say(&format!("{missing} earlier requests are not recorded: the copy has not had them\n"))?;
    }
    say(&table::text(&requests, None))
}

fn top(admin: &Admin, every: &Every) -> Result<(), Failure> {
    const CLEAR: &str = "\x1b[H\x1b[2J";
    let mut left = every.count.unwrap_or(u64::MAX);
    loop {
        let screen = glance(admin)?;
        let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
        say(&format!("{clear}{screen}"))?;
        left -= 1;
        if left == 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(every.seconds));
    }
}

/// A screen of it all: what runs, memory, services, and the busiest of tasks and connections.
fn glance(admin: &Admin) -> Result<String, Failure> {
    const ROWS: usize = 10;
    let version = admin.rows("version")?;
    let text = |name: &str| {
        let value = version.first().and_then(|row| row.get(name));
        value.map_or_else(String::new, |value| table::shown(name, value))
    };
    let mut screen =
        format!("{} {}, up {}\n\n", text("hostname"), text("version"), text("uptime_ms"));
    let mut add = |rows: &[Row], columns: Option<&[&str]>| {
        screen.push_str(&table::text(rows, columns));
        screen.push('\n');
    };
    add(&admin.rows("memory")?, None);
    add(&admin.rows("services")?, None);
    let mut busiest = |shown: Shown, column: &str| -> Result<(), Failure> {
        let mut rows = table::sorted(admin.rows(shown.0)?, column);
        rows.truncate(ROWS);
        add(&rows, shown.1);
        Ok(())
    };
    busiest(PS, "run_us")?;
    busiest(SS, "tx_bytes")?;
    Ok(screen)
}

fn tcpdump(admin: &Admin, asked: &Tcpdump) -> Result<(), Failure> {
    let mut path = format!("/api/v1/capture?filter={}", encoded(&asked.filter.join(" ")));
    let mut add = |name: &str, value: Option<u64>| {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={value}"));
        }
    };
    add("card", asked.interface.map(|card| card as u64));
    add("snap", asked.snap.map(u64::from));
    add("count", asked.count);
    add("seconds", asked.seconds);
    if io::stdout().is_terminal() {
        return Err(Failure("a capture is no text: `> FILE`, or `| wireshark -k -i -`".into()));
    }
    pass_on(admin.open(&path)?)
}

/// Where the trace is of what is to be drawn.
///
/// # Errors
/// There is no such connection: which there are.
fn path_of_trace(admin: &Admin, connection: &str) -> Result<String, Failure> {
    let (table, verb, before, id) = match connection.strip_prefix("memory-") {
        Some(id) => ("shared_memory_flows", "shm", "memory-", id),
        None => ("connections", "ss", "", connection),
    };
    let rows = admin.rows(table)?;
    // What is half open or in TIME-WAIT has no graph.
    let has_graph = |row: &&Row| row.get("age_ms").is_none_or(|age| !age.is_null());
    let text = |row: &Row, column: &str| row.get(column).map(|value| table::shown(column, value));
    let ids = |row: &Row| text(row, "id");
    if rows.iter().filter(has_graph).filter_map(ids).any(|it| it == id) {
        return Ok(format!("/api/v1/{table}/{}/trace", encoded(id)));
    }
    Err(no_connection(
        connection,
        verb,
        rows.iter().filter(has_graph).filter_map(|row| {
            Some(format!("{before}{} with {}", text(row, "id")?, text(row, "remote")?))
        }),
    ))
}

fn no_connection(asked: &str, verb: &str, known: impl Iterator<Item = String>) -> Failure {
    const SHOWN: usize = 10;
    let known: Vec<_> = known.collect();
    let asked = table::printable(asked);
    if known.is_empty() {
        return Failure(format!(
            "no connection {asked}: `aqueductctl {verb}` shows none that is open"
        ));
    }
    let more = if known.len() > SHOWN { " and more" } else { "" };
    let known = known.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    Failure(format!(
        "no connection {asked}; there are {known}{more}: `aqueductctl {verb}` shows all"
    ))
}

fn graph(admin: &Admin, asked: &Graph) -> Result<(), Failure> {
    let path = path_of_trace(admin, &asked.connection)?;
    let direction = if asked.direction == Direction::Sent { "sent" } else { "received" };
    if asked.format == GraphFormat::Xpl {
        let path = format!("{path}?format=xpl&direction={direction}&seconds={}", asked.seconds);
        return pass_on(admin.open(&path)?);
    }
    const PAUSE: Duration = Duration::from_millis(500);
    let is_screen = io::stdout().is_terminal();
    let mut drawing = Drawing::new(asked.direction == Direction::Sent);
    let end = Instant::now() + Duration::from_secs(asked.seconds);
    let mut next = Instant::now() + PAUSE;
    for (kind, data) in admin.events(&format!("{path}?seconds={}", asked.seconds))? {
        let now = Instant::now();
        if let Ok(value) = serde_json::from_str::<Value>(&data) {
            drawing.take(&kind, &value);
        }
        if is_screen && now >= next {
            say(&format!("\x1b[H\x1b[2J{}", drawing.text(true)))?;
            next = now + PAUSE;
        }
        if now >= end {
            break;
        }
    }
    let clear = if is_screen { "\x1b[H\x1b[2J" } else { "" };
    say(&format!("{clear}{}", drawing.text(is_screen)))
}

fn logs(admin: &Admin, json: bool, asked: &Logs) -> Result<(), Failure> {
    let line = |row: &Row| {
        if json {
            return table::escaped(&Value::Object(row.clone()).to_string()) + "\n";
        }
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        let time = row.get("time_us").and_then(Value::as_f64).unwrap_or(0.0) / 1e6;
        let (level, module) = (text("level").to_uppercase(), text("module"));
        table::printable(&format!("[{time:>12.6}] {level:<5} {module}: {}", text("message"))) + "\n"
    };
    let mut path = format!("/api/v1/log?{}", if asked.follow { "follow&" } else { "" });
    for (name, value) in [("level", &asked.level), ("module", &asked.module)] {
        if let Some(value) = value {
            path.push_str(&format!("{name}={}&", encoded(value)));
        }
    }
    if asked.follow {
        for (_, data) in admin.events(path.trim_end_matches(['&', '?']))? {
            if let Ok(Value::Object(row)) = serde_json::from_str(&data) {
                say(&line(&row))?;
            }
        }
        return Ok(());
    }
    // The table is not chosen from there.
    let mut wanted = Vec::new();
    wanted.extend(asked.module.clone().map(|module| ("module".to_owned(), module)));
    let ranks = ["error", "warn", "info", "debug", "trace"];
    let rank = |level: &str| ranks.iter().position(|known| level.eq_ignore_ascii_case(known));
    let least = match &asked.level {
        Some(level) => {
            rank(level).ok_or(Failure(format!("{level}: a level is {}", ranks.join(", "))))?
        }
        None => ranks.len(),
    };
    for row in table::chosen(admin.rows("log")?, &wanted) {
        let level = row.get("level").and_then(Value::as_str).and_then(rank);
        if level.is_none_or(|level| level <= least) {
            say(&line(&row))?;
        }
    }
    Ok(())
}

fn pass_on(mut from: impl Read) -> Result<(), Failure> {
    let mut piece = [0; 16 << 10];
    let mut out = io::stdout().lock();
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                let written = out.write_all(&piece[..count]).and_then(|()| out.flush());
                if written.is_err() {
                    // Whoever read it has enough.
                    return Ok(());
                }
            }
            Err(error) => return Err(Failure(format!("it was cut off: {error}"))),
        }
    }
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // As `head` does when it has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(|error| unwritten(&error)),
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure(format!("the standard output: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_none_is_told_with_those_near_it() {
        let known = ["net::link::dhcp", "net::tcp::demux", "web::json", "access"];
        let known = known.map(str::to_owned);
        for (module, near) in [
            ("net::lnk::dhcp", "; near it are net::link::dhcp;"),
            ("dhpc", "; near it are net::link::dhcp;"),
            ("acess", "; near it are access;"),
            ("zzz\u{1b}", "no module zzz? logs here; --force"),
        ] {
            let told = unknown_module(module, &known).0;
            assert!(told.contains(near), "{told}");
        }
    }

    #[test]
    fn who_asks_for_a_connection_that_is_not_there_is_told_of_others() {
        let none = no_connection("0.\u{1b}", "ss", std::iter::empty());
        assert_eq!(none.0, "no connection 0.?: `aqueductctl ss` shows none that is open");
        let known = (0..11).map(|number| format!("0.{number} with a"));
        let told = no_connection("9", "ss", known).0;
        assert!(told.starts_with("no connection 9; there are 0.0 with a, 0.1 with a, "), "{told}");
        assert!(told.ends_with("0.9 with a and more: `aqueductctl ss` shows all"), "{told}");
    }
}
