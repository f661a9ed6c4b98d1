//! Unix-domain sockets of the process, against programs of others beside it: curl, nginx, libzmq, Cap'n Proto's C++ and Python.

use crate::interop::{
    http::nginx::{NGINX, Nginx},
    services::{
        RPC, SECURE_RPC, SECURE_RPC_BY_HTTP, ZMQ, checked,
        rpc::OPEN,
        vats::{self, Keys},
        waiting_for,
    },
};
use command::{
    failure::{OrSay, Result},
    programs::{self, CURL},
};
use lab::{
    harness::{Case, Harness, PROCESS_ADDRESS, Server, contains, curl, equal, noise, same_bytes},
    peers, process,
};
use std::{os::unix::net::UnixStream, path::Path, process::Command, time::Duration};

pub(crate) const CASES: &[Case] = &[
    Case::new("unix/pages", &[&CURL], 120, pages),
    Case::new("unix/nginx_in_front", &[&CURL], 120, nginx_in_front),
    Case::new("unix/operators", &[&CURL], 300, operators),
    Case::new("unix/rpc_services", RPC, 180, rpc_services),
    Case::new("unix/secure_python_calls_us", SECURE_RPC, 180, python_calls_us),
    Case::new("unix/we_call_secure_python", SECURE_RPC_BY_HTTP, 180, we_call_python),
    Case::new("unix/zmq_service", ZMQ, 180, zmq_service),
    Case::new("unix/we_call_a_zmq_service", &[&CURL], 120, we_call_zmq),
];

const STOP_LIMIT: Duration = Duration::from_secs(15);
const FILE_BYTES: usize = 3_000_001;

/// The path of a socket.
fn socket(harness: &Harness, name: &str) -> String {
    harness.scratch.path(name).display().to_string()
}

/// Runs the trial process with these settings, which must stop as it should after a check, and take its sockets with it.
fn on_process(
    harness: &mut Harness,
    settings: &str,
    check: impl FnOnce(&Harness) -> Result,
) -> Result {
    let large = noise(FILE_BYTES);
    let bundle = harness.bundle(settings, &[("site/large", &large)])?;
    let child = harness.trial_process(&bundle)?;
    let mut server = Server::Process(Box::new(child));
    let result = check(harness);
    server.judge(result)?;
    server.stop(STOP_LIMIT)
}

/// Downloads, uploads, half-closed requests.
fn pages(harness: &mut Harness) -> Result {
    let path = socket(harness, "http");
    let settings = format!("[unix]\nhttp = \"{path}\"\n");
    on_process(harness, &settings, |harness| {
        let large = noise(FILE_BYTES);
        let out = harness.scratch.path("out");
        let (to, body) = (out.display().to_string(), harness.scratch.path("body"));
        let by = ["--fail", "--unix-socket", &path, "-o", &to];
        curl(&[&by[..], &["http://localhost/large"]].concat())?;
        same_bytes("a download", &out, &large)?;
        std::fs::write(&body, &large[..1_000_000]).or_say(|| "cannot write a file".into())?;
        let data = format!("@{}", body.display());
        curl(&[&by[..], &["--data-binary", &data, "http://localhost/_test/echo"]].concat())?;
        same_bytes("an upload's echo", &out, &large[..1_000_000])?;
        let status =
            curl(&["--unix-socket", &path, "-o", &to, "-w", "%{http_code}", "http://x/no"])?;
        equal("what is missing", &&*status, &"404")
    })?;
    equal("whether the socket is there after the end", &Path::new(&path).exists(), &false)
}

/// A web server in front, by HTTP and by FastCGI.
fn nginx_in_front(harness: &mut Harness) -> Result {
    let (http, fastcgi) = (socket(harness, "http"), socket(harness, "fastcgi"));
    let settings = format!("[unix]\nhttp = \"{http}\"\nfastcgi = \"{fastcgi}\"\n");
    // For its address, at which nginx listens.
    harness.tap()?;
    on_process(harness, &settings, |harness| {
        for pass in [
            format!("proxy_pass http://unix:{http}:;"),
            format!(
                "fastcgi_pass unix:{fastcgi}; fastcgi_param REQUEST_METHOD $request_method;
                 fastcgi_param REQUEST_URI $request_uri; fastcgi_param SERVER_PROTOCOL $server_protocol;"
            ),
        ] {
            let mut nginx = Nginx::start_with(harness, "", &format!("location / {{ {pass} }}"))?;
            let out = harness.scratch.path("out");
            let to = out.display().to_string();
            let result = curl(&["--fail", "-o", &to, &format!("http://{NGINX}/large")]);
            nginx.stop();
            result?;
            same_bytes("a download", &out, &noise(FILE_BYTES))?;
        }
        Ok(())
    })
}

/// The admin port that is a file of one user's.
fn operators(harness: &mut Harness) -> Result {
    let path = socket(harness, "admin");
    let ctl = process::build_ctl()?;
    on_process(harness, &format!("[unix]\nadmin = \"{path}\"\n"), |_| {
        let rows = programs::output(Command::new(&ctl).args(["--unix", &path, "services"]))?;
        contains("the services", &rows, "http")?;
        let page = curl(&["--fail", "--unix-socket", &path, "http://localhost/metrics"])?;
        contains("the metrics", &page, "aqueduct_")?;
        let other = curl(&["--unix-socket", &path, "-w", "%{http_code}", "http://other.example/"])?;
        contains("a name that is not ours", &other, "421")
    })
}

/// The checks of the C++ library and of pycapnp, as by TCP.
fn rpc_services(harness: &mut Harness) -> Result {
    let path = socket(harness, "rpc");
    let settings = format!("{}[unix]\nrpc = \"{path}\"\n", OPEN.replace("port = 7000\n", ""));
    let bundle = harness.bundle(&settings, &[])?;
    // The one that ships: the trial appliance shows strangers more.
    let mut server = Server::Process(Box::new(harness.process(&bundle)?));
    let result = (|| {
        let at = format!("unix:{path}");
        checked(Command::new(peers::appliance_cpp()?).arg(&at))?;
        let mut python = peers::python()?;
        python.arg(peers::source("tests/interop/rpc/appliance.py"));
        checked(python.arg(peers::appliance_schema()).arg(&at).arg("100"))
    })();
    server.judge(result)?;
    server.stop(STOP_LIMIT)
}

fn python_calls_us(harness: &mut Harness) -> Result {
    let keys = Keys::make(harness)?;
    let path = socket(harness, "vat");
    let bundle = keys.bundle_at(harness, &format!("[unix]\nsecure_rpc = \"{path}\"\n"))?;
    let process = harness.process_path().to_owned();
    let mut server = Server::Process(Box::new(harness.process(&bundle)?));
    let result = keys.called(&process, &bundle, &path);
    server.judge(result)?;
    server.stop(STOP_LIMIT)
}

fn we_call_python(harness: &mut Harness) -> Result {
    let path = socket(harness, "python");
    vats::we_call(harness, &format!("{path}/"), |_, keys| {
        let mut python = vats::python()?;
        python.arg("serve").arg(peers::appliance_schema()).arg(keys.path("stranger"));
        python.arg("serve").arg(format!("unix:{path}"));
        waiting_for(&mut python, || UnixStream::connect(&path).is_ok())
    })
}

fn zmq_service(harness: &mut Harness) -> Result {
    let path = socket(harness, "zmq");
    let settings = format!("[zmq]\nport = 0\n[unix]\nzmq = \"{path}\"\n");
    on_process(harness, &settings, |_| {
        let mut python = peers::python()?;
        python.arg(peers::source("tests/interop/zmq/test_service.py"));
        checked(python.arg(format!("ipc://{path}")))
    })
}

/// A handler of a process calls the service of another.
fn we_call_zmq(harness: &mut Harness) -> Result {
    let path = socket(harness, "zmq");
    let names = format!("transform other zmtp ipc://{path}\n");
    let other = harness.bundle(&format!("[zmq]\nport = 0\n[unix]\nzmq = \"{path}\"\n"), &[])?;
    let other = harness.trial_process_at((PROCESS_ADDRESS.ip(), 8089).into(), &other)?;
    let bundle = harness.bundle("", &[("names", names.as_bytes())])?;
    let child = harness.trial_process(&bundle)?;
    let page = format!("http://{PROCESS_ADDRESS}/_test/transform/transform@other");
    let result = (0..10).try_for_each(|_| {
        let answer = curl(&["--fail", "--data-binary", "water flows", &page])?;
        equal("the answer", &answer.as_str(), &"WATER FLOWS")
    });
    let result = Server::Process(Box::new(child)).judge(result);
    Server::Process(Box::new(other)).judge(result)
}
