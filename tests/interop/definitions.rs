//! Definitions for engines that do not run here, against the schemas that those engines publish, as far as there are any.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, NODE, Program},
};
use lab::{
    harness::{BOOT_LIMIT, Case, Harness, PROCESS_ADDRESS, contains},
    http_client, peers,
};
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const NEEDS: &[&Program] = &[&peers::PYTHON, &peers::PIP];

pub(crate) const CASES: &[Case] = &[
    Case::new("interop/definitions_kubernetes", NEEDS, 120, kubernetes).on_its_own(),
    Case::new("interop/definitions_kubevirt", &[&peers::PYTHON, &peers::PIP, &NODE], 120, kubevirt)
        .on_its_own(),
    Case::new("interop/definitions_nomad", NEEDS, 120, nomad),
];

/// Objects of Kubernetes' own kinds by its schema; others by their parts that are its own: the template's metadata, probes and
/// resources. A broken one is noticed.
const KUBERNETES: &str = r#"
import copy, sys, yaml, kubernetes_validate as check
VERSION = "1.30"
def own(document):
    check.validate(document, VERSION, strict=True)
def refuses(document):
    try:
        own(document)
    except check.ValidationError:
        return
    sys.exit(f"taken as it is: {document}")
kinds = []
for path in sys.argv[1:]:
    for document in yaml.safe_load_all(open(path)):
        kinds.append(document["kind"])
        if document["apiVersion"] in ("v1", "apps/v1"):
            own(document)
            broken = copy.deepcopy(document)
            broken["spec"]["frob"] = 1
            refuses(broken)
        else:
            # Its template as a pod, with the probes of the machine at a container.
            spec, template = document["spec"], document["spec"]["template"]
            assert template["metadata"]["labels"].items() >= spec["selector"]["matchLabels"].items(), path
            machine = template["spec"]
            container = {"name": "machine", "image": machine["domain"]["firmware"]["kernelBoot"]["container"]["image"],
                "resources": machine["domain"]["resources"],
                "readinessProbe": machine["readinessProbe"], "livenessProbe": machine["livenessProbe"]}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "machine", **template["metadata"]},
                "spec": {"containers": [container],
                    "terminationGracePeriodSeconds": machine["terminationGracePeriodSeconds"]}}
            own(pod)
            del pod["spec"]["containers"][0]["name"]
            refuses(pod)
            names = {network["name"] for network in machine["networks"]}
            assert all(it["name"] in names for it in machine["domain"]["devices"]["interfaces"]), path
print(" ".join(sorted(kinds)))
"#;

fn kubernetes(_: &mut Harness) -> Result {
    let mut files = files::list(&paths::root().join("deploy/kubernetes"))?;
    files.sort();
    let said = programs::output(peers::python()?.args(["-c", KUBERNETES]).args(&files))?;
    contains("the kinds", &said, "Deployment Service Service VirtualMachineInstanceReplicaSet")
}

/// A program for TypeScript's compiler: KubeVirt's object is of its kind, and is not when something in it is of another name or
/// type, or is not there.
const KUBEVIRT: &str = r#"
import copy, json, sys, yaml
def line(document):
    return json.dumps(document)
def broken(change):
    other = copy.deepcopy(shipped)
    change(other["spec"]["template"]["spec"])
    return other
shipped, = [it for it in yaml.safe_load_all(open(sys.argv[1])) if it["apiVersion"].startswith("kubevirt.io/")]
print(f"""import type {{ V1{shipped["kind"]} as Kind }} from "@kubevirt-ui-ext/kubevirt-api/kubevirt";
declare module "@kubevirt-ui-ext/kubevirt-api/kubevirt" {{
    // A number or a name: what is either was left out of the types when they were made.
    interface K8sIoApiCoreV1HTTPGetAction {{ port: number | string }}
}}
export const shipped: Kind = {line(shipped)};""")
for number, change in enumerate([
    lambda it: it["domain"]["devices"].update(frob={}),
    lambda it: it["domain"]["firmware"]["kernelBoot"].update(kernelArgs=["ip=dhcp"]),
    lambda it: it["domain"].pop("devices"),
    lambda it: it["networks"][0].pop("name"),
    lambda it: it["readinessProbe"].update(periodSeconds="5"),
]):
    print("// @ts-expect-error")
    print(f"export const broken{number}: Kind = {line(broken(change))};")
"#;

fn kubevirt(_: &mut Harness) -> Result {
    let definition = paths::root().join("deploy/kubernetes/kubevirt.yaml");
    let folder = peers::kubevirt_folder()?;
    let program = programs::output(peers::python()?.args(["-c", KUBEVIRT]).arg(definition))?;
    files::write(&folder.join("definition.ts"), program)?;
    let mut compile = programs::command(&NODE)?;
    compile.current_dir(&folder).arg("node_modules/typescript/bin/tsc");
    // The types' own file is not what is judged.
    compile.args(["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext"]);
    let output = compile.arg("definition.ts").output().or_say(|| "cannot start node".into())?;
    if !output.status.success() {
        fail!("KubeVirt's kind is another: {}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// Reads the job, and says the command line of its task and the paths of its checks.
const NOMAD: &str = r#"
import sys, hcl2
def plain(text):
    return text.strip('"')
def one(blocks):
    assert len(blocks) == 1, blocks
    return blocks[0]
def named(blocks):
    (_, block), = [it for it in one(blocks).items() if not it[0].startswith("__")]
    return block
job = named(hcl2.load(open(sys.argv[1]))["job"])
assert plain(job["type"]) == "service", job["type"]
group = named(job["group"])
update, service = one(group["update"]), one(group["service"])
assert update["max_parallel"] == 1 and update["auto_revert"] is True and update["canary"] == 1, update
assert one(group["constraint"])["distinct_hosts"] is True
assert "spread" in group and "http" in str(one(group["network"])["port"])
task = named(group["task"])
assert plain(task["kill_signal"]) == "SIGTERM" and plain(task["kill_timeout"]) == "30s", task
config = one(task["config"])
print(plain(config["command"]), *[plain(it) for it in config["args"]])
print(*[plain(it["path"]) for it in service["check"]])
"#;

fn nomad(harness: &mut Harness) -> Result {
    let job = paths::root().join("deploy/nomad/aqueduct.nomad.hcl");
    let said = programs::output(peers::python()?.args(["-c", NOMAD]).arg(job))?;
    let mut lines = said.lines();
    let words = lines.next().unwrap_or_default();
    let Some(options) = words.strip_prefix("local/bin/aqueduct ") else {
        fail!("the task starts `{words}`");
    };
    // As Nomad puts it in.
    let port = PROCESS_ADDRESS.port().to_string();
    let options = options.replace("$${", "${").replace("${NOMAD_PORT_http}", &port);
    let bundle = harness.bundle("[admin]\nhealth_on_http = true\n", &[])?;
    let options = options.replace("local/bundle.cpio", &bundle.display().to_string());
    let mut process = Command::new(harness.process_path());
    let mut child = Child::start(process.args(options.split(' ')), |command| {
        command.stdin(Stdio::null());
    })?;
    let deadline = Instant::now() + BOOT_LIMIT;
    for path in lines.next().unwrap_or_default().split(' ') {
        loop {
            let answer = http_client::get(PROCESS_ADDRESS, path, Duration::from_secs(2));
            if answer.as_ref().is_some_and(|answer| answer.status == 200) {
                break;
            }
            if let Some(status) = child.ended() {
                fail!("`{options}` ended with {status}");
            }
            if Instant::now() > deadline {
                fail!("{path} is answered with {:?}", answer.map(|answer| answer.status));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}
