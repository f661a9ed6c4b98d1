//! HTTP against real peers: curl, nginx, wrk, Chromium, Python, dnsmasq, a lossy wire, floods. `cargo xtask test interop`.
//! Checks that concern HTTP and not the wire run against the Linux process, too.

mod addresses;
mod admin_page;
mod balanced;
pub(super) mod browser;
mod crowds;
pub(crate) mod curl;
mod group;
mod helpers;
mod looking;
mod lossy_wire;
pub(crate) mod nginx;
mod prometheus;
mod recovery;
pub(crate) mod restart;
mod rpc_page;
mod session_crowds;
mod sessions;
mod site;
mod tap;
mod websocket;

use command::programs;
use lab::{
    harness::Case,
    namespace::NSENTER,
    peers::{PIP, PYTHON},
};

const TSHARK: &[&programs::Program] = &[&programs::CURL, &programs::TSHARK, &programs::SETPRIV];
const NODE: &[&programs::Program] = &[&programs::NODE, &programs::CAPNP];
const PAGE: &[&programs::Program] = &[&programs::CHROMIUM, &programs::CAPNP];

pub(crate) const CASES: &[Case] = &[
    Case::new("http/curl_site_guest", &[&programs::CURL], 90, curl::site_guest),
    Case::new("http/curl_site_process", &[&programs::CURL], 60, curl::site_process),
    Case::new("http/curl_conditions_guest", &[&programs::CURL], 90, curl::conditions_guest),
    Case::new("http/curl_conditions_process", &[&programs::CURL], 60, curl::conditions_process),
    Case::new("http/curl_bodies_guest", &[&programs::CURL], 120, curl::bodies_guest),
    Case::new("http/curl_bodies_process", &[&programs::CURL], 60, curl::bodies_process),
    Case::new("http/big_file_guest", &[&programs::CURL], 120, curl::big_file_guest),
    Case::new("http/big_file_process", &[&programs::CURL], 60, curl::big_file_process),
    Case::new("http/site_rules_guest", &[&programs::CURL], 90, site::on_guest),
    Case::new("http/site_rules_process", &[&programs::CURL], 60, site::on_process),
    Case::new("http/site_pages", &[&programs::CHROMIUM, &programs::CURL], 120, site::pages),
    Case::new("http/nginx_behind_the_guest", &[&programs::CURL], 120, nginx::behind_the_guest),
    Case::new("http/nginx_behind_the_process", &[&programs::CURL], 60, nginx::behind_the_process),
    Case::new("http/nginx_before_the_guest", &[&programs::CURL], 120, nginx::before_the_guest),
    Case::new("http/nginx_before_the_process", &[&programs::CURL], 60, nginx::before_the_process),
    Case::new(
        "http/balanced_over_nginx",
        &[&programs::CURL, &PYTHON, &PIP],
        120,
        balanced::over_nginx,
    ),
    Case::new("http/sessions_guest", &[&programs::CURL], 90, sessions::on_guest),
    Case::new("http/sessions_process", &[&programs::CURL], 60, sessions::on_process),
    Case::new("http/sessions_50000_guest", &[], 180, session_crowds::many_on_guest),
    Case::new("http/sessions_flood_process", &[], 120, session_crowds::flood_of_process),
    Case::new("http/sessions_over_restarts", &[&programs::CURL], 180, restart::sessions),
    Case::new("http/sessions_of_a_group", &[&programs::CURL], 120, group::sessions),
    Case::new("http/helpers_guest", &[&programs::CURL], 90, helpers::on_guest),
    Case::new("http/helpers_process", &[&programs::CURL], 60, helpers::on_process),
    Case::new("http/process_stops_gracefully", &[], 60, curl::process_stops_gracefully),
    Case::new("http/process_on_tap_transfers", &[&programs::CURL], 120, tap::transfers),
    Case::new("http/process_on_tap_crowds", &[&programs::WRK], 90, tap::crowds),
    Case::new("http/process_on_tap_deleted", &[&programs::IP], 60, tap::deleted),
    Case::new("http/process_on_tap_stops_gracefully", &[], 60, tap::stops_gracefully),
    Case::new(
        "http/process_on_tap_of_another",
        &[&programs::CURL, &PYTHON],
        60,
        tap::left_by_another_program,
    ),
    Case::new(
        "http/websocket_python_process",
        &[&programs::CURL, &PYTHON, &PIP],
        120,
        websocket::python_process,
    ),
    Case::new(
        "http/websocket_python_guest",
        &[&programs::CURL, &PYTHON, &PIP],
        240,
        websocket::python_guest,
    ),
    Case::new("http/websocket_python_nginx", &[&PYTHON, &PIP], 120, nginx::before_websockets),
    Case::new("http/websocket_browser", &[&programs::CHROMIUM], 120, websocket::browser),
    Case::new("http/browser_samples", &[&programs::CHROMIUM], 180, browser::samples),
    Case::new("http/browser_page_load", &[&programs::CHROMIUM], 180, browser::page_load),
    Case::new("http/dhcp_from_dnsmasq", &[&programs::DNSMASQ], 90, addresses::dhcp),
    Case::new("http/slaac_from_dnsmasq", &[&programs::DNSMASQ], 90, addresses::slaac),
    Case::new("http/ipv6_static", &[&programs::CURL], 90, addresses::ipv6),
    Case::new("http/ping", &[&programs::PING], 90, addresses::ping),
    Case::new("http/tshark_guest", TSHARK, 300, looking::by_tshark),
    Case::new("http/profile_guest", &[&programs::CURL], 300, looking::profile_guest),
    Case::new("http/profile_process", &[&programs::CURL], 120, looking::profile_process),
    Case::new(
        "http/capture_and_graph",
        &[&programs::CURL, &programs::TCPTRACE],
        180,
        looking::capture_and_graph,
    ),
    Case::new(
        "http/admin_page_guest",
        &[&programs::CURL, &programs::CHROMIUM],
        300,
        admin_page::of_guest,
    ),
    Case::new(
        "http/admin_page_process",
        &[&programs::CURL, &programs::CHROMIUM],
        180,
        admin_page::of_process,
    ),
    Case::new("http/rpc_page_guest", PAGE, 240, rpc_page::of_guest),
    Case::new("http/rpc_page_process", PAGE, 180, rpc_page::of_process),
    Case::new("http/rpc_page_golden_in_node", NODE, 60, rpc_page::golden_in_node),
    Case::new("http/golden_in_node", &[&programs::NODE], 120, rpc_page::cores_in_node),
    Case::new("http/prometheus_guest", &[&programs::CURL], 120, prometheus::scrapes_the_guest),
    Case::new("http/loss_and_reordering", &[&programs::CURL], 180, lossy_wire::loss_and_reordering),
    Case::new("http/recovery_beside_linux_process", &[&NSENTER], 240, recovery::process),
    Case::new("http/recovery_beside_linux_guest", &[&NSENTER], 240, recovery::guest),
    Case::new("http/small_mtu", &[&programs::CURL], 90, lossy_wire::small_mtu),
    Case::new("http/wrk_64_connections", &[&programs::WRK], 90, crowds::wrk_64),
    Case::new("http/wrk_new_connections", &[&programs::WRK], 90, crowds::wrk_new_connections),
    Case::new("http/10000_connections", &[], 240, crowds::ten_thousand),
    Case::new("http/churn", &[], 180, crowds::churn),
    Case::new("http/slow_clients", &[], 120, crowds::slow_clients),
    Case::new("http/syn_flood", &[], 120, crowds::syn_flood),
    Case::new("http/connections_above_the_limit", &[], 120, crowds::above_the_limit),
];
