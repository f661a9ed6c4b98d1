//! Prometheus and its `promtool`: they read the metrics, and the dashboard and alerts that we ship ask for what is there.

use crate::interop::admin_port::{self, PORT as ADMIN_PORT, TOKEN};
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files, paths, programs,
};
use lab::{
    harness::{GUEST_ADDRESS, Harness, Server, Setup, contains, curl},
    peers,
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PROMETHEUS: &str = "127.0.0.1:9090";
const REQUESTS: usize = 25;
const LIMIT: Duration = Duration::from_secs(30);

pub(super) fn scrapes_the_guest(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(&admin_port::config(), &[])?;
    let guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    let result = files_are_sound().and_then(|()| scrapes(harness));
    Server::Guest(Box::new(guest)).judge(result)
}

/// The older text format by `promtool`; Prometheus itself wants OpenMetrics. And the alerts' own tests.
fn files_are_sound() -> Result {
    let url = format!("http://{}:{ADMIN_PORT}/metrics", GUEST_ADDRESS.ip());
    let metrics = curl(&["--fail", "-H", &admin_port::bearer(), &url])?;
    let mut check = peers::promtool()?;
    let mut check = Child::start(check.args(["check", "metrics"]), |command| {
        command.stdin(Stdio::piped());
    })?;
    let mut input = check.streams().stdin.take().expect("it is a pipe");
    std::io::Write::write_all(&mut input, metrics.as_bytes()).or_say(|| "promtool ended".into())?;
    drop(input);
    match check.wait(LIMIT) {
        Some(status) if status.success() => {}
        status => fail!("promtool check metrics: {status:?}"),
    }
    let promtool = |words: &[&str]| -> Result<Command> {
        let mut command = peers::promtool()?;
        command.current_dir(monitoring()).args(words);
        Ok(command)
    };
    programs::output(&mut promtool(&["check", "rules", "alerts.yml"])?)?;
    programs::output(&mut promtool(&["test", "rules", "alerts-test.yml"])?).map(drop)
}

fn scrapes(harness: &Harness) -> Result {
    let _prometheus = start(harness)?;
    until("the guest is up", || Ok(number("up")? == Some(1.0)))?;
    for _ in 0..REQUESTS {
        curl(&["--fail", "-o", "/dev/null", &format!("http://{GUEST_ADDRESS}/")])?;
    }
    until("all requests are counted", || {
        let counted = number("aqueduct_web_requests_total{service=\"http\"}")?;
        Ok(counted.is_some_and(|counted| counted >= REQUESTS as f64))
    })?;
    let rules = ask("rules")?.to_string();
    contains("the rules", &rules, "\"AqueductDown\"")?;
    until("all rules are evaluated", || Ok(!ask("rules")?.to_string().contains("\"unknown\"")))?;
    if ask("rules")?.to_string().contains("\"err\"") {
        fail!("a rule is wrong: {rules}");
    }
    questions_have_answers()
}

fn start(harness: &Harness) -> Result<Child> {
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: [\"{}\"]\n\
         scrape_configs:\n\
         - job_name: aqueduct\n  \
           authorization: {{credentials: {TOKEN}}}\n  \
           static_configs: [{{targets: [\"{}:{ADMIN_PORT}\"]}}]\n",
        monitoring().join("alerts.yml").display(),
        GUEST_ADDRESS.ip()
    );
    let file = harness.scratch.path("prometheus.yml");
    files::write(&file, config)?;
    let mut command = peers::prometheus()?;
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", harness.scratch.path("tsdb").display()));
    command.arg(format!("--web.listen-address={PROMETHEUS}")).arg("--log.level=error");
    let child = Child::start(&command, |command| {
        command.stdin(Stdio::null());
    })?;
    until("Prometheus answers", || Ok(ask("status/runtimeinfo").is_ok()))?;
    Ok(child)
}

/// What the dashboard and the alerts ask is understood, and of metrics that the appliance has.
fn questions_have_answers() -> Result {
    let dashboard = files::read_text(&monitoring().join("grafana.json"))?;
    let dashboard: Value = serde_json::from_str(&dashboard).or_say(|| "the dashboard".into())?;
    let mut questions = Vec::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            questions.push(target["expr"].as_str().unwrap_or_default().to_owned());
        }
    }
    if questions.len() < 10 {
        fail!("the dashboard asks {} questions only", questions.len());
    }
    for question in &questions {
        let question = question.replace("$instance", ".*").replace("$__rate_interval", "1m");
        number(&question)?;
    }
    let known = ask("label/__name__/values")?;
    let known: BTreeSet<&str> =
        known["data"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    questions.push(files::read_text(&monitoring().join("alerts.yml"))?);
    for question in &questions {
        let words = question.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for name in words.filter(|word| word.starts_with("aqueduct_")) {
            if !known.contains(name) {
                fail!("there is no metric {name}");
            }
        }
    }
    Ok(())
}

fn monitoring() -> PathBuf {
    paths::root().join("docs/monitoring")
}

/// The value of an expression, if it has one.
fn number(expression: &str) -> Result<Option<f64>> {
    let url = format!("http://{PROMETHEUS}/api/v1/query");
    let answer =
        curl(&["--fail-with-body", "--data-urlencode", &format!("query={expression}"), &url])?;
    let answer: Value = serde_json::from_str(&answer).or_say(|| "Prometheus' answer".into())?;
    if answer["status"] != "success" {
        fail!("{expression}: {answer}");
    }
    let value = answer["data"]["result"][0]["value"][1].as_str();
    Ok(value.and_then(|value| value.parse().ok()))
}

fn ask(path: &str) -> Result<Value> {
    let answer = curl(&["--fail", &format!("http://{PROMETHEUS}/api/v1/{path}")])?;
    serde_json::from_str(&answer).or_say(|| "Prometheus' answer".into())
}

fn until(what: &str, is_so: impl Fn() -> Result<bool>) -> Result {
    let deadline = Instant::now() + LIMIT;
    while !is_so()? {
        if Instant::now() > deadline {
            fail!("not so in {LIMIT:?}: {what}");
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
