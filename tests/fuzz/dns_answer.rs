//! Any bytes as a DNS server's answer to a question for service records: no panic, and hosts that can be connected with.

use net::service_records::{answer, order};

const NAME: &str = "_http._tcp.example.org";

pub(crate) fn target(data: &[u8]) {
    let Ok(mut found) = answer(data, 7, NAME) else { return };
    assert!(found.records.len() <= 64 && found.time_to_live.as_secs() <= i32::MAX as u64);
    for record in &found.records {
        assert!(record.port > 0 && (1..=253).contains(&record.target.len()));
        assert!(record.target.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    // All stay, by priority.
    let before = found.records.len();
    let mut random = data.iter().copied().map(u64::from).cycle();
    order(&mut found.records, || random.next().unwrap_or(0));
    assert_eq!(found.records.len(), before);
    assert!(found.records.is_sorted_by_key(|record| record.priority));
    // It answers no other question.
    assert!(answer(data, 8, NAME).is_err() && answer(data, 7, "_http._tcp.example.net").is_err());
}
