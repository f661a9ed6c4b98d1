use super::*;
use crate::Protocol;

const FULL: &str = r#"
target = "https://localhost:8443/start"
duration_seconds = 2.5
timeout_seconds = 3
connections = 1_000
seed = 7

[arrivals]
ramp = [10, 100.5]
spacing = "poisson"

[connection]
pipelining = 4
requests_max = 100
read_bytes_per_second = 1000
write_bytes_per_second = 500
half_open = 3
cookies = true

[[requests]]
weight = 3
headers = { Z-First = "1", A-Second = "2" }
expect_body = "hello"

[[requests]]
name = "order"
method = "POST"
path = "/order?x=1"
body = "{}"
expect_status = 201

[guest]
via = "shm:http"
allow = ["10.9.0.0/24", "fd00::1"]
power_off = true
wait_seconds = 0.5
"#;

#[test]
fn a_whole_scenario_is_read() {
    let scenario = Scenario::parse("a.toml", FULL).unwrap();
    let place = Place { protocol: Protocol::Https, host: "localhost".into(), port: 8443 };
    let requests = [
        RequestKind {
            name: "/start".into(),
            path: "/start".into(),
            weight: 3,
            headers: [("Z-First".into(), "1".into()), ("A-Second".into(), "2".into())].into(),
            expect_body: Some("hello".into()),
            ..RequestKind::default()
        },
        RequestKind {
            name: "order".into(),
            method: "POST".into(),
            path: "/order?x=1".into(),
            body: "{}".into(),
            expect_status: Some(201),
            ..RequestKind::default()
        },
    ];
    let connection = ConnectionUse {
        pipelining: 4,
        requests_max: 100,
        read_bytes_per_second: 1000,
        write_bytes_per_second: 500,
        abandoned_percent: 0,
        half_open: 3,
        cookies: true,
    };
    let expected = Scenario {
        place,
        path: "/start".into(),
        shape: Shape::Open(Schedule { rate: Rate::Ramp(10.0, 100.5), spacing: Spacing::Poisson }),
        duration: Duration::from_millis(2500),
        timeout: Duration::from_secs(3),
        connections: 1000,
        connection,
        seed: 7,
        requests: requests.into(),
        guest: GuestUse {
            via: Some("shm:http".into()),
            allow: ["10.9.0.0/24", "fd00::1/128"].map(|text| text.parse().unwrap()).into(),
            power_off: true,
            wait: Duration::from_millis(500),
        },
    };
    assert_eq!(scenario, expected);
}

#[test]
fn what_is_not_said_is_as_without_a_file() {
    let text = "target = 'http://127.0.0.1:8080/x'";
    let place = Place::parse("http://127.0.0.1:8080").unwrap().0;
    assert_eq!(Scenario::parse("", text), Ok(Scenario::new(place, "/x")));
    let closed = format!("{text}\n[closed_loop]\nthink_seconds = 0.5");
    let think = Duration::from_millis(500);
    assert_eq!(Scenario::parse("", &closed).unwrap().shape, Shape::Closed { think });
}

/// Each with the line that is to blame and a part of what is allowed.
const WRONG: &[(&str, usize, &str)] = &[
    ("x = = 1", 2, "no TOML"),
    ("target = 'http://h/'", 2, "no TOML"),
    ("conections = 3", 2, "found `conections`; allowed: target, duration_seconds"),
    ("connections = 0", 2, "found `0`; allowed: a whole number from 1 to 1000000"),
    ("connections = 1000001", 2, "from 1 to 1000000"),
    ("connections = 1.5", 2, "a whole number"),
    ("seed = -1", 2, "a whole number from 0"),
    ("duration_seconds = 0", 2, "a number from 0.001 to 86400"),
    ("timeout_seconds = 86401", 2, "a number from 0.001 to 86400"),
    ("timeout_seconds = nan", 2, "a number from 0.001 to 86400"),
    ("timeout_seconds = '1'", 2, "a number"),
    ("arrivals = 3", 2, "a table"),
    ("[arrivals]", 2, "no rate; allowed: rate = 1000"),
    ("[arrivals]\nrate = 10\nramp = [1, 2]", 4, "one of rate, ramp and steps"),
    ("[arrivals]\nramp = [1]", 3, "two rates"),
    ("[arrivals]\nsteps = []", 3, "a list of 1 to 1000 rates"),
    ("[arrivals]\nrate = 1e8", 3, "from 0 to 10000000"),
    ("[arrivals]\nrate = 0", 1, "0 requests in all; allowed: some"),
    ("[arrivals]\nrate = 1\nspacing = 'odd'", 4, "\"even\" or \"poisson\""),
    ("[arrivals]\nrate = 1\nburst = 1", 4, "rate, ramp, steps, spacing"),
    ("[arrivals]\nrate = 1\n[closed_loop]", 4, "one of [arrivals] and [closed_loop]"),
    ("[closed_loop]\nthink = 1", 3, "think_seconds"),
    ("[connection]\npipelining = 0", 3, "a whole number from 1 to 1000"),
    ("[connection]\nabandoned_percent = 101", 3, "from 0 to 100"),
    ("[connection]\npipelining = 2\nabandoned_percent = 1", 1, "do not go together"),
    ("[connection]\ncookies = 1", 3, "true or false"),
    ("[connection]\nkeep = 1", 3, "pipelining, requests_max"),
    ("requests = 1", 2, "[[requests]]"),
    ("requests = []", 1, "0 kinds of requests; allowed: 1 to 64"),
    ("[[requests]]\nmethod = 'FETCH'", 3, "GET, HEAD, POST"),
    ("[[requests]]\npath = 'x'", 3, "begins with /"),
    ("[[requests]]\npath = '/a b'", 3, "no spaces"),
    ("[[requests]]\nweight = 0", 1, "all requests have weight 0"),
    ("[[requests]]\nexpect_status = 100", 3, "from 200 to 599"),
    ("[[requests]]\nheaders = { a = 1 }", 3, "a text"),
    ("[[requests]]\nheaders = { Content-Length = '7' }", 3, "`Content-Length`"),
    ("[[requests]]\n[requests.headers]\nA = 'b'\n'B c' = 'd'", 5, "`B c`"),
    ("[[requests]]\n[requests.headers]\nA = \"b\\r\\nC: d\"", 4, "a value of one line"),
    ("[[requests]]\ncall = 1", 2, "both or neither"),
    ("[[requests]]\ninterface = '12'\ncall = 1", 3, "the id of an interface"),
    ("[guest]\nallow = '10.0.0.0/8'", 3, "a list of at most 100 networks"),
    ("[guest]\nallow = ['10.0.0.0/8', 'x']", 3, "a network, as"),
    ("[guest]\npower_off = 1", 3, "true or false"),
    ("[guest]\nwait_seconds = -1", 3, "a number from 0"),
    ("[guest]\nport = 1", 3, "via, allow, power_off, wait_seconds"),
    ("[[requests]]\nurl = '/'", 3, "name, weight, method, path"),
];

#[test]
fn what_is_wrong_is_said_with_its_line_and_what_is_allowed() {
    for (text, line, part) in WRONG {
        let text = format!("target = 'http://127.0.0.1/'\n{text}\n");
        let error = Scenario::parse("a.toml", &text).unwrap_err();
        let fault = &error.faults[0];
        assert!(fault.line == *line && fault.sentence.contains(part), "{text}: {error}");
        assert!(error.to_string().starts_with(&format!("a.toml:{line}: ")));
    }
    let no_target = Scenario::parse("a.toml", "seed = 1").unwrap_err();
    assert_eq!(
        no_target.to_string(),
        "a.toml:1: no target; allowed: target = \"http://HOST:PORT/\""
    );
    let callless = "target = 'capnp://h:1/'";
    assert!(Scenario::parse("", callless).unwrap_err().to_string().contains("interface and call"));
    let slow = "target = 'zmq://h:1'\n[connection]\npipelining = 2";
    assert!(Scenario::parse("", slow).unwrap_err().to_string().contains("other than HTTP"));
    assert!(Scenario::parse("", &"#".repeat((1 << 20) + 1)).is_err());
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let text = "\
        conections = 3\nseed = -1\n[arrivals]\nramp = ['x', 'y']\nspacing = 'odd'\n\
        [[requests]]\nmethod = 'FETCH'\nheaders = { A = 1, 'B c' = 'd' }\n\
        [[requests]]\npath = 'x'\ninterface = '12'\n[guest]\nallow = ['x', '10.0.0.0/8', 'y']\nport = 1\n";
    let error = Scenario::parse("a.toml", text).unwrap_err();
    let lines: Vec<_> = error.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [1, 1, 2, 4, 4, 5, 7, 8, 8, 9, 10, 11, 13, 13, 14], "{error}");
    let printed = error.to_string();
    assert!(printed.starts_with("a.toml:1: no target; allowed: "), "{printed}");
    assert!(printed.contains("\na.toml:14: found `port`; allowed: via, "), "{printed}");
    // What is no TOML at all is told as far as it can be made out, and nothing else.
    let error = Scenario::parse("a.toml", "seed = -1\na = = 1\nb\n").unwrap_err();
    let lines: Vec<_> = error.faults.iter().map(|fault| fault.line).collect();
    assert!(lines.starts_with(&[2]) && lines.contains(&3), "{error}");
    // Of what does not go together all is told, too.
    let text = "target = 'capnp://h:1'\n[connection]\npipelining = 2\nabandoned_percent = 1";
    assert_eq!(Scenario::parse("", text).unwrap_err().faults.len(), 3);
    let many = "x = 1\n".repeat(1000);
    assert_eq!(Scenario::parse("", &many).unwrap_err().faults.len(), 100);
}
