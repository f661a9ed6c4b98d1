//! HTTP against real peers: curl, nginx, wrk, Chromium, dnsmasq, a lossy wire, floods. `cargo xtask test interop`.
//! The same checks run against the Linux process where they concern HTTP and not the wire.

mod addresses;
mod browser;
mod crowds;
mod curl;
mod nginx;
mod tap;
mod wire;

use crate::{lab::Case, tools};

pub(crate) const CASES: &[Case] = &[
    Case::new("http/curl_site_guest", &[&tools::CURL], 90, curl::site_guest),
    Case::new("http/curl_site_process", &[&tools::CURL], 60, curl::site_process),
    Case::new("http/curl_conditions_guest", &[&tools::CURL], 90, curl::conditions_guest),
    Case::new("http/curl_conditions_process", &[&tools::CURL], 60, curl::conditions_process),
    Case::new("http/curl_bodies_guest", &[&tools::CURL], 120, curl::bodies_guest),
    Case::new("http/curl_bodies_process", &[&tools::CURL], 60, curl::bodies_process),
    Case::new("http/big_file_guest", &[&tools::CURL], 120, curl::big_file_guest),
    Case::new("http/big_file_process", &[&tools::CURL], 60, curl::big_file_process),
    Case::new("http/nginx_behind_the_guest", &[&tools::CURL], 120, nginx::behind_the_guest),
    Case::new("http/nginx_behind_the_process", &[&tools::CURL], 60, nginx::behind_the_process),
    Case::new("http/nginx_before_the_guest", &[&tools::CURL], 120, nginx::before_the_guest),
    Case::new("http/nginx_before_the_process", &[&tools::CURL], 60, nginx::before_the_process),
    Case::new("http/process_stops_gracefully", &[], 60, curl::process_stops_gracefully),
    Case::new("http/process_on_tap_transfers", &[&tools::CURL], 120, tap::transfers),
    Case::new("http/process_on_tap_crowds", &[&tools::WRK], 90, tap::crowds),
    Case::new("http/process_on_tap_stops_gracefully", &[], 60, tap::stops_gracefully),
    Case::new("http/browser_page_load", &[&tools::CHROMIUM], 180, browser::page_load),
    Case::new("http/dhcp_from_dnsmasq", &[&tools::DNSMASQ], 90, addresses::dhcp),
    Case::new("http/slaac_from_dnsmasq", &[&tools::DNSMASQ], 90, addresses::slaac),
    Case::new("http/ipv6_static", &[&tools::CURL], 90, addresses::ipv6),
    Case::new("http/ping", &[&tools::PING], 90, addresses::ping),
    Case::new("http/loss_and_reordering", &[&tools::CURL], 180, wire::loss_and_reordering),
    Case::new("http/small_mtu", &[&tools::CURL], 90, wire::small_mtu),
    Case::new("http/wrk_64_connections", &[&tools::WRK], 90, crowds::wrk_64),
    Case::new("http/wrk_new_connections", &[&tools::WRK], 90, crowds::wrk_new_connections),
    Case::new("http/10000_connections", &[], 240, crowds::ten_thousand),
    Case::new("http/churn", &[], 180, crowds::churn),
    Case::new("http/slow_clients", &[], 120, crowds::slow_clients),
    Case::new("http/syn_flood", &[], 120, crowds::syn_flood),
    Case::new("http/connections_above_the_limit", &[], 120, crowds::above_the_limit),
];
