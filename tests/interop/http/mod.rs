//! HTTP against real peers: curl, nginx, wrk, Chromium, dnsmasq, a lossy wire, floods. `cargo xtask test interop`.
//! The same checks run against the Linux process where they concern HTTP and not the wire.

mod addresses;
mod browser;
mod crowds;
mod curl;
mod nginx;
mod tap;
mod wire;

use crate::{
    lab::Case,
    tools::{self, Tool},
};
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    case("http/curl_site_guest", &[&tools::CURL], 90, curl::site_guest),
    case("http/curl_site_process", &[&tools::CURL], 60, curl::site_process),
    case("http/curl_conditions_guest", &[&tools::CURL], 90, curl::conditions_guest),
    case("http/curl_conditions_process", &[&tools::CURL], 60, curl::conditions_process),
    case("http/curl_bodies_guest", &[&tools::CURL], 120, curl::bodies_guest),
    case("http/curl_bodies_process", &[&tools::CURL], 60, curl::bodies_process),
    case("http/big_file_guest", &[&tools::CURL], 120, curl::big_file_guest),
    case("http/big_file_process", &[&tools::CURL], 60, curl::big_file_process),
    case("http/nginx_behind_the_guest", &[&tools::CURL], 120, nginx::behind_the_guest),
    case("http/nginx_behind_the_process", &[&tools::CURL], 60, nginx::behind_the_process),
    case("http/nginx_before_the_guest", &[&tools::CURL], 120, nginx::before_the_guest),
    case("http/nginx_before_the_process", &[&tools::CURL], 60, nginx::before_the_process),
    case("http/process_stops_gracefully", &[], 60, curl::process_stops_gracefully),
    case("http/process_on_tap_transfers", &[&tools::CURL], 120, tap::transfers),
    case("http/process_on_tap_crowds", &[&tools::WRK], 90, tap::crowds),
    case("http/process_on_tap_stops_gracefully", &[], 60, tap::stops_gracefully),
    case("http/browser_page_load", &[&tools::CHROMIUM], 180, browser::page_load),
    case("http/dhcp_from_dnsmasq", &[&tools::DNSMASQ], 90, addresses::dhcp),
    case("http/slaac_from_dnsmasq", &[&tools::DNSMASQ], 90, addresses::slaac),
    case("http/ipv6_static", &[&tools::CURL], 90, addresses::ipv6),
    case("http/ping", &[&tools::PING], 90, addresses::ping),
    case("http/loss_and_reordering", &[&tools::CURL], 180, wire::loss_and_reordering),
    case("http/small_mtu", &[&tools::CURL], 90, wire::small_mtu),
    case("http/wrk_64_connections", &[&tools::WRK], 90, crowds::wrk_64),
    case("http/wrk_new_connections", &[&tools::WRK], 90, crowds::wrk_new_connections),
    case("http/10000_connections", &[], 240, crowds::ten_thousand),
    case("http/churn", &[], 180, crowds::churn),
    case("http/slow_clients", &[], 120, crowds::slow_clients),
    case("http/syn_flood", &[], 120, crowds::syn_flood),
    case("http/connections_above_the_limit", &[], 120, crowds::above_the_limit),
];

const fn case(
    name: &'static str,
    needs: &'static [&'static Tool],
    seconds: u64,
    run: fn(&mut crate::lab::Lab) -> crate::failure::Result,
) -> Case {
    Case { name, needs, deadline: Duration::from_secs(seconds), run }
}
