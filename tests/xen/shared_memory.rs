//! Memory shared between domains: with programs of libxenvchan's in dom0, as client and as server, and between two guests.

use super::{ADDRESS, ANSWER_LIMIT, PATIENT, SAVE_AND_RESTORE, Site, check_sum, url};
use crate::interop::admin_port;
use command::failure::{OrSay, Result, fail};
use lab::{
    harness::{Harness, curl, equal, noise},
    peers,
    xen::{Domain, Host, put_file},
};
use std::time::{Duration, Instant};

/// What is carried by a guest, and to one through the largest rings; in the long form this much.
const BIG_BYTES: usize = 32 << 20;
const LONG_BYTES: usize = 256 << 20;
/// What is carried through rings of each kind, of which the smallest take an event for each kilobyte; longer than any.
const PAGE_BYTES: usize = 2 << 20;
/// Each takes 129 grants: more than there are, if any were left over.
const SET_UPS: usize = 130;
const LONG_SET_UPS: usize = 1000;
/// Beside what the guest carries.
const GUEST_MIB: u32 = 64;
const LIMIT: Duration = Duration::from_secs(300);
const LONG_LIMIT: Duration = Duration::from_secs(1200);
/// From a domain's end to an error in the other one. The bound is a second; the machine under this one may be slow.
const NOTICE: Duration = Duration::from_secs(20);
const OTHER_ADDRESS: &str = "10.0.2.21";
/// In dom0: a request to the guest by the library's client, whose answer's last bytes are summed up.
const FETCH: &str = "printf 'GET PAGE HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' | \
    vchan client $(xl domid one) /local/domain/$(xl domid one)/data/vchan/http";
/// How many event channels of each state Xen knows of the guest.
const EVENT_CHANNELS: &str = "xl dmesg -c >/dev/null; xl debug-keys e; sleep 1; \
    xl dmesg | grep -A 200 \"information for domain $(xl domid one):\" | grep -c 's=[23] '";

pub(super) fn with_the_library(harness: &mut Harness) -> Result {
    let config = format!(
        "{PATIENT}{}[shared_memory]\nhttp_path = \"0/data/vchan/http\"\n",
        admin_port::config()
    );
    let big_bytes = harness.usual_or_long(BIG_BYTES, LONG_BYTES);
    // Noise is not packed: the guest has the file as it is.
    let memory_mib = GUEST_MIB + harness.usual_or_long(0, (LONG_BYTES >> 20) as u32);
    let site =
        Site::of(&harness.trial().kernel, harness, &config, memory_mib + GUEST_MIB, big_bytes)?;
    put_program(&site.host)?;
    let guest = site.create(Domain { memory_mib, ..Domain::appliance("one", ADDRESS) })?;
    // dom0 has no room for all of it twice.
    site.host.must("rm /guests/bundle")?;
    let library = Library {
        host: &site.host,
        big_bytes,
        page_bytes: harness.usual_or_long(PAGE_BYTES, LONG_BYTES),
        set_ups: harness.usual_or_long(SET_UPS, LONG_SET_UPS),
        limit: harness.usual_or_long(LIMIT, LONG_LIMIT),
    };
    let result = library
        .calls_us()
        .and_then(|()| library.leaves_nothing())
        .and_then(|()| library.is_called())
        .and_then(|()| is_killed(&site.host))
        .and_then(|()| outlives_a_restoration(&site.host));
    with_console(result, &guest, &site.host)
}

/// Its programs in dom0, and how much they try.
struct Library<'a> {
    host: &'a Host,
    big_bytes: usize,
    page_bytes: usize,
    set_ups: usize,
    limit: Duration,
}

impl Library<'_> {
    /// The library's client has a page.
    fn calls_us(&self) -> Result {
        let Self { host, big_bytes, limit, .. } = self;
        let line = format!("{} | tail -c {big_bytes} | sha256sum", FETCH.replace("PAGE", "/big"));
        let answer = host.run_with(&line, &[], *limit)?;
        check_sum(*big_bytes, answer.output.trim_end())
    }

    /// The library's server has pages for the guest, through rings in the control page and of pages of their own.
    fn is_called(&self) -> Result {
        for (left, right) in [(1000, 2000), (4096, 4096)] {
            self.is_called_through(left, right, PAGE_BYTES)?;
        }
        self.is_called_through(1 << 20, 1 << 20, self.page_bytes)
    }

    fn is_called_through(&self, left: usize, right: usize, page_bytes: usize) -> Result {
        let Self { host, limit, .. } = self;
        host.put("/tmp/page", &noise(page_bytes))?;
        let asked = url("/_test/relay/vchan:0%2Flocal%2Fdomain%2F$d%2Fdata%2Fvchan%2Fpage/page");
        let line = format!(
            "d=$(xl domid one); vchan server $d /local/domain/$d/data/vchan/page {left} {right} /tmp/page & \
             timeout {} wget -q -O - \"{asked}\" | sha256sum; wait $!; code=$?; rm /tmp/page; (exit $code)",
            limit.as_secs()
        );
        let answer = host.run_with(&line, &[], *limit)?;
        equal("whether the server ended well", &answer.code, &0)?;
        check_sum(page_bytes, answer.output.trim_end())
    }

    fn leaves_nothing(&self) -> Result {
        let Self { host, set_ups, limit, .. } = self;
        no_flows("after a page")?;
        let before = host.must(EVENT_CHANNELS)?;
        let line =
            format!("d=$(xl domid one); vchan many $d /local/domain/$d/data/vchan/http {set_ups}");
        let answer = host.run_with(&line, &[], *limit)?;
        equal("connections", &answer.output.trim(), &&*set_ups.to_string())?;
        no_flows("after many connections")?;
        equal("event channels", &host.must(EVENT_CHANNELS)?, &before)
    }
}

/// A client that is killed in the middle of a page ends its flow.
fn is_killed(host: &Host) -> Result {
    let line = format!(
        "mkfifo /tmp/pipe; ({}) >/tmp/pipe & exec 3</tmp/pipe; rm /tmp/pipe; \
         dd bs=1 count=1 <&3 >/dev/null 2>&1; killall -9 vchan; exec 3<&-",
        FETCH.replace("PAGE", "/big")
    );
    host.must(&line)?;
    no_flows("after a kill")
}

/// A connection ends with the domain that is saved; the restored one is reached where it is then.
fn outlives_a_restoration(host: &Host) -> Result {
    let line = format!(
        "mkfifo /tmp/pipe; ({}) >/tmp/pipe & exec 3</tmp/pipe; rm /tmp/pipe; \
         dd bs=1 count=1 <&3 >/dev/null 2>&1; {SAVE_AND_RESTORE}; killall -9 vchan; exec 3<&-",
        FETCH.replace("PAGE", "/big")
    );
    host.must(&line)?;
    let answer = host.must(&format!("{} | head -n 1", FETCH.replace("PAGE", "/")))?;
    equal("the answer after a restoration", &answer.trim(), &"HTTP/1.1 200 OK")?;
    no_flows("after a restoration")
}

/// A guest reaches another by the name of what listens there, by HTTP, ZeroMQ and RPC, until that is destroyed.
pub(super) fn between_guests(harness: &mut Harness) -> Result {
    let patient = format!("{PATIENT}[names]\nlocal_timeout_seconds = 60\n");
    let site = Site::of(&harness.trial().kernel, harness, &patient, 128, super::FETCHED_BYTES)?;
    let config = format!(
        "{PATIENT}[shared_memory]\nhttp_path = \"http\"\nzmq_path = \"zmq\"\nrpc_path = \"rpc\"\n"
    );
    let files: &[(&str, &[u8])] = &[("site/big", &noise(super::FETCHED_BYTES))];
    put_file(&site.host, "bundle-two", &harness.bundle(&config, files)?)?;
    let one = site.guest()?;
    let mut two = Domain::appliance("two", OTHER_ADDRESS);
    two.ramdisk = Some("bundle-two".to_owned());
    two.create(&site.host)?;
    two.wait_answer(&site.host, &format!("http://{OTHER_ADDRESS}/"), ANSWER_LIMIT)?;
    let result = reach_each_other(&site.host)
        .and_then(|()| is_listed(&site.host))
        // An idle connection is kept: what it has mapped is not there afterwards.
        .and_then(|()| site.host.must(SAVE_AND_RESTORE).map(drop))
        .and_then(|()| one.wait_answer(&site.host, &url("/"), ANSWER_LIMIT))
        .and_then(|()| reach_each_other(&site.host))
        .and_then(|()| is_destroyed(&site.host));
    with_console(with_console(result, &two, &site.host), &one, &site.host)
}

fn reach_each_other(host: &Host) -> Result {
    // Who asks for the service itself comes by memory first, too.
    let published = host.must(
        "d=$(xl domid two); for try in $(seq 100); do \
         xenstore-read /local/domain/$d/data/services/http 2>/dev/null && break; sleep 0.1; done | sed s,vchan:$d/,vchan:D/,",
    )?;
    let expected = format!("two http vchan:D/http {OTHER_ADDRESS}:80");
    equal("what is published", &published.trim(), &&*expected)?;
    let page = url("/_test/relay/service:%2F%2Fvchan-http@two/big");
    let sum = host.must(&format!("wget -q -O - {page} | sha256sum"))?;
    check_sum(super::FETCHED_BYTES, sum.trim_end())?;
    let ask = ["--silent", "--data-binary", "water flows"];
    let answer = curl(&[&ask[..], &[&url("/_test/transform/vchan-zmq@two")]].concat())?;
    equal("the answer by ZeroMQ", &answer.as_str(), &"WATER FLOWS")?;
    equal("the echo of a call", &call()?.as_str(), &"water flows 200")
}

/// Who may come by a name is dom0's to say. Each call is a connection.
fn is_listed(host: &Host) -> Result {
    for (listed, ending) in
        [("0", " 502"), ("$(xl domid one)", " 200"), ("", " 502"), ("*", " 200")]
    {
        let node = "/local/domain/$(xl domid two)/data/vchan-from/rpc";
        host.must(&format!("xenstore-write {node} \"{listed}\""))?;
        let said = call()?;
        equal(&format!("a call, for {listed:?}"), &said.ends_with(ending), &true)?;
    }
    Ok(())
}

/// What comes back from an object of the other guest's, and the status.
fn call() -> Result<String> {
    let words = ["--silent", "--data-binary", "water flows", "-w", " %{http_code}"];
    curl(&[&words[..], &[&url("/_test/call/service:%2F%2Fvchan-rpc@two")]].concat())
}

/// Half a page comes, and then an error: not silence.
fn is_destroyed(host: &Host) -> Result {
    let line = format!(
        "mkfifo /tmp/pipe; wget -q -O - {} >/tmp/pipe 2>/dev/null & exec 3</tmp/pipe; rm /tmp/pipe; \
         dd bs=1 count=1 <&3 >/dev/null 2>&1; xl destroy two; cat <&3 | wc -c; wait $!; echo $?",
        url("/_test/relay/service:%2F%2Fvchan-http@two/big")
    );
    let start = Instant::now();
    let said = host.must(&line)?;
    let mut words = said.split_whitespace().map(|word| word.parse::<usize>());
    let (Some(Ok(bytes)), Some(Ok(code))) = (words.next(), words.next()) else {
        fail!("no numbers: {said}");
    };
    equal("whether all came", &(bytes + 1 < super::FETCHED_BYTES), &true)?;
    equal("whether it was told", &(code != 0), &true)?;
    equal("whether it was told in time", &(start.elapsed() < NOTICE), &true)?;
    let status = ["--silent", "-o", "/dev/null", "-w", "%{http_code}"];
    let page = url("/_test/relay/service:%2F%2Fvchan-http@two/");
    let status = curl(&[&status[..], &[&page]].concat())?;
    equal("the status without the other", &status.as_str(), &"502")
}

fn put_program(host: &Host) -> Result {
    let program = std::fs::read(peers::vchan_in_dom0()?).or_say(|| "no program".into())?;
    host.put("/bin/vchan", &program)?;
    host.must("chmod 755 /bin/vchan").map(drop)
}

/// Waits until no flow of the guest is open.
fn no_flows(when: &str) -> Result {
    let page = format!("http://{ADDRESS}:{}/metrics", admin_port::PORT);
    let start = Instant::now();
    loop {
        let metrics = curl(&["--fail", "-H", &admin_port::bearer(), &page])?;
        let mut lines = metrics.lines();
        match lines.find_map(|line| line.strip_prefix("aqueduct_shared_memory_flows ")) {
            Some("0") => return Ok(()),
            Some(flows) if start.elapsed() > NOTICE => fail!("{when}: {flows} flows are open"),
            Some(_) => std::thread::sleep(Duration::from_millis(100)),
            None => fail!("no such metric: {metrics}"),
        }
    }
}

fn with_console(result: Result, guest: &Domain, host: &Host) -> Result {
    result.or_else(|failure| {
        fail!("{failure}; the console of {}:\n{}", guest.name, guest.console(host)?)
    })
}
