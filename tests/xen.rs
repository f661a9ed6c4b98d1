//! The real image as a guest of a real Xen, nested in QEMU. `cargo xtask test xen`.

mod disks;
mod interfaces;
mod leaks;
mod looking;
mod names;
mod saving;
mod serving;
mod shared_memory;
mod starting;
mod stopping;
mod toolstack;

use command::{
    failure::{OrSay, Result, fail},
    files,
    paths::Scratch,
    programs::{self, CC, Install, Program},
};
use lab::{
    harness::{Case, Harness},
    link::Tap,
    xen::{Dom0, Domain, Host, OUTSIDE, Options, Uplink, put_file},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::Duration,
};

pub(crate) const CASES: &[Case] = &[
    // The longest comes first, so that the others run beside it.
    Case {
        deadline: LONG_DEADLINE,
        ..case("xen/eight_guests_leave_nothing", &[], leaks::eight_guests)
    },
    case("xen/serves_dom0_and_outside", &[&programs::CURL], serving::dom0_and_outside),
    case("xen/wrk_and_a_thousand_connections", &[&programs::WRK], serving::crowds),
    case("xen/a_large_file_is_exact", &[&programs::CURL], serving::large_file),
    case("xen/guest_to_guest", &[], serving::guest_to_guest),
    case("xen/stops_when_asked", &[], stopping::when_asked),
    case("xen/stop_finishes_a_transfer", &[], stopping::finishes_a_transfer),
    case("xen/destroyed_in_mid_transfer", &[], stopping::destroyed),
    case("xen/pause_and_unpause", &[], stopping::paused),
    case("xen/saved_and_restored", &[], saving::restored),
    case("xen/checkpoint_and_migration", &[], saving::moved),
    case("xen/bundle_on_a_disk_larger_than_memory", &[], disks::bundle),
    case("xen/bundle_and_site_on_two_disks", &[], disks::two),
    case("xen/saved_and_restored_with_a_disk", &[], disks::saved),
    case("xen/backend_of_a_disk_gone_under_load", &[], disks::backend_gone),
    case("xen/bad_config_is_told_and_a_crash", &[], starting::bad_config),
    case("xen/from_8_mib_to_4_gib", &[], starting::memory_sizes),
    case("xen/two_interfaces", &[], interfaces::two),
    case("xen/a_ninth_interface_is_refused", &[], interfaces::nine),
    case("xen/interface_detached_and_attached", &[], interfaces::detached),
    case("xen/backend_restarted", &[], interfaces::backend_restarted),
    case("xen/carrier_lost_and_found", &[], interfaces::carrier),
    case("xen/the_toolstack_is_told", &[], toolstack::is_told),
    case("xen/what_runs_is_sampled", &[&programs::CURL], looking::is_sampled),
    case(
        "xen/shares_memory_with_libxenvchan",
        &[&programs::CURL, &CC],
        shared_memory::with_the_library,
    )
    .with_long_form(3600),
    case("xen/guests_share_memory", &[&programs::CURL], shared_memory::between_guests),
    case("xen/nmi_and_sysrq_do_nothing", &[], toolstack::triggers),
    case("xen/one_guest_finds_another_by_name", &[&programs::CURL], names::one_finds_another),
];

/// Xen, dom0 and their guests take a while under software emulation, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(600);
const LONG_DEADLINE: Duration = Duration::from_secs(1200);
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(120);
const ADDRESS: &str = "10.0.2.20";
/// What is fetched while something happens.
const FETCHED_BYTES: usize = 16 << 20;
/// In dom0: fetches a URL slowly while a command runs, and the rest at full speed.
const FETCH_WHILE: &str = include_str!("xen/fetch-while.sh");
const SAVE_AND_RESTORE: &str = "xl save one /tmp/saved && xl restore /tmp/saved && rm /tmp/saved";
/// To this host itself, by no shell but dom0's.
const MIGRATE: &str = "xl migrate -s \"\" one \"xl migrate-receive\"";
const BIG_BYTES: usize = 64 << 20;
/// Everything takes longer here than a server should allow.
const PATIENT: &str = "[http]\nhead_timeout_seconds = 600\nidle_timeout_seconds = 600\n\
    [shutdown]\ndrain_seconds = 120\n";

const fn case(
    name: &'static str,
    needs: &'static [&'static Program],
    run: fn(&mut Harness) -> Result,
) -> Case {
    Case { deadline: DEADLINE, ..Case::new(name, needs, 0, run) }
}

/// A host with the image and a bundle in it, and this machine on its bridge.
struct Site {
    host: Host,
    _outside: Tap,
}

impl Site {
    fn new(harness: &Harness) -> Result<Self> {
        Self::with(harness, PATIENT, 128, FETCHED_BYTES)
    }

    /// A host with the trial image, which has routes for tests.
    fn trial(harness: &Harness) -> Result<Self> {
        Self::of(&harness.trial().kernel, harness, PATIENT, 128, FETCHED_BYTES)
    }

    fn with(harness: &Harness, config: &str, guests_mib: u32, big_bytes: usize) -> Result<Self> {
        Self::of(harness.kernel(), harness, config, guests_mib, big_bytes)
    }

    fn of(
        kernel: &Path,
        harness: &Harness,
        config: &str,
        guests_mib: u32,
        big_bytes: usize,
    ) -> Result<Self> {
        let outside = Tap::bare("outside", OUTSIDE.into())?;
        let uplink = Uplink::Tap(outside.name().to_owned());
        // The bundle is a file in dom0, of which the toolstack has a copy while it makes a guest of it, and so may the guest be
        // that is saved there. Files take half of the memory at most.
        let disks_mib = 4 * (big_bytes.saturating_sub(BIG_BYTES) >> 20) as u32;
        let options = Options { guests_mib, disks_mib, uplink, ..Options::default() };
        let host = Host::start(&Dom0::get(Install::OnlyTell)?, &options)?;
        put_file(&host, "image", kernel)?;
        let files: &[(&str, &[u8])] = &[("site/big", &lab::harness::noise(big_bytes))];
        put_file(&host, "bundle", &harness.bundle(config, files)?)?;
        host.put("/bin/fetch-while", FETCH_WHILE.as_bytes())?;
        Ok(Self { host, _outside: outside })
    }

    /// The usual guest, once it answers.
    fn guest(&self) -> Result<Domain> {
        self.create(Domain::appliance("one", ADDRESS))
    }

    /// A guest at the usual address, once it answers.
    fn create(&self, guest: Domain) -> Result<Domain> {
        guest.create(&self.host)?;
        guest.wait_answer(&self.host, &url("/"), ANSWER_LIMIT)?;
        Ok(guest)
    }

    /// Fetches the big file to dom0, all of it, while something happens to the guest.
    fn fetch_while(&self, what: &str) -> Result {
        let line = format!("sh /bin/fetch-while {} '{what}'", url("/big"));
        let answer = self.host.run_with(&line, &[], DEADLINE)?;
        match answer.output.lines().last() {
            Some(sum) if answer.code == 0 => check_sum(FETCHED_BYTES, sum),
            _ => fail!("a fetch during `{what}` failed: {}", answer.output),
        }
    }
}

fn url(path: &str) -> String {
    format!("http://{ADDRESS}{path}")
}

/// Where the first guest's port 80 is reached from outside of the host: by its bridge.
fn outside() -> Result<SocketAddr> {
    let address: Ipv4Addr = ADDRESS.parse().or_say(|| ADDRESS.into())?;
    Ok(SocketAddr::from((address, 80)))
}

/// A failure unless that is what sha256sum says of so much noise on its standard input.
fn check_sum(bytes: usize, found: &str) -> Result {
    let scratch = Scratch::new()?;
    let file = scratch.path("noise");
    files::write(&file, lab::harness::noise(bytes))?;
    let expected = programs::output(Command::new("sh").args(["-c", "sha256sum < $0"]).arg(&file))?;
    if expected.lines().next() == Some(found) {
        Ok(())
    } else {
        fail!("the file arrived as {found}, expected {expected}")
    }
}

fn expect_reason(domain: &Domain, host: &Host, expected: u32) -> Result {
    lab::harness::equal(
        "the reason that Xen was given",
        &domain.wait_end(host, STOP_LIMIT)?,
        &expected,
    )
}
