//! Keys: the table of `appliance.toml`, that is every key, what it may hold and where it goes. The file's reader, the
//! command line and every error message work from this one table.

mod database;
mod field;
mod lookup;
mod messages;
mod network;
mod operators;
mod rule;
mod services;
mod site;
mod state;
mod web;

pub use lookup::keys;
pub(crate) use lookup::{find, find_named, heading, is_repeated, sections};
pub(crate) use network::ADDRESSES_MAX;
pub(crate) use rule::{Key, Rule, Value};

use database::DATABASE;
use messages::MESSAGES;
use network::{CARDS, TRANSPORTS};
use operators::OPERATORS;
use services::SERVICES;
use site::SITE;
use state::STATE;
use web::WEB;

/// All keys, in the order of the file.
pub(crate) static KEYS: &[Key] = &joined::<{ total(PARTS) }>(PARTS);

const PARTS: &[&[Key]] =
    &[CARDS, WEB, SITE, TRANSPORTS, MESSAGES, STATE, SERVICES, DATABASE, OPERATORS];

const fn total(parts: &[&[Key]]) -> usize {
    let (mut total, mut part) = (0, 0);
    while part < parts.len() {
        total += parts[part].len();
        part += 1;
    }
    total
}

const fn joined<const TOTAL: usize>(parts: &[&[Key]]) -> [Key; TOTAL] {
    let mut all = [parts[0][0]; TOTAL];
    let (mut to, mut part) = (0, 0);
    while part < parts.len() {
        let mut from = 0;
        while from < parts[part].len() {
            all[to] = parts[part][from];
            to += 1;
            from += 1;
        }
        part += 1;
    }
    all
}
