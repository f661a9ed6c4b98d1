//! A card that had to be stopped is started anew before the next wait, up to three times.

use super::*;

fn break_rules(card: &mut Card) {
    card.side.set_put(RECEIVE_QUEUE, 999);
    assert_eq!(card.receive(), None);
    assert_eq!(card.net.error(), Some(Error::Broken(Fault::UsedIndex)));
}

#[test]
fn a_card_that_breaks_three_times_works_again_and_is_given_up_then() {
    let mut lines = LogLines::of_this_thread();
    for features in [ALL, ALL & !feature::EVENT_IDX] {
        let mut card = Card::new(features);
        lines.take();
        for nth in 1..=3 {
            break_rules(&mut card);
            assert!(!card.net.prepare_to_wait(), "there is a card to look after");
            let said = format!("WARN the card was stopped: Broken(UsedIndex); start {nth} of 3\n");
            assert_eq!((card.net.error(), lines.take()), (None, said));
            assert!(card.net.prepare_to_wait());
            assert!(card.deliver(2, &[7; 60]), "a frame wakes");
            assert_eq!(card.receive(), Some(vec![7; 60]));
            assert!(card.send(&[8; 60]));
            card.net.flush();
            assert_eq!(card.sent().len(), 1);
        }
        break_rules(&mut card);
        card.net.prepare_to_wait();
        let said = "ERROR the card was stopped: Broken(UsedIndex); it is given up\n";
        assert_eq!(lines.take(), said);
        for _ in 0..2 {
            assert!(card.net.prepare_to_wait(), "nothing will come");
            assert_eq!((&*lines.take(), card.receive(), card.send(&[1; 60])), ("", None, false));
        }
    }
}

#[test]
fn a_card_that_offers_less_than_before_is_given_up() {
    let mut lines = LogLines::of_this_thread();
    let mut card = Card::new(ALL);
    break_rules(&mut card);
    lines.take();
    card.side.offer(ALL & !CSUM);
    card.net.prepare_to_wait();
    let said = lines.take();
    let error = "ERROR the card does not start: Unsupported(\"what it offered before\")";
    assert_eq!(said.lines().filter(|line| *line == error).count(), 3);
    assert!(said.ends_with("; it is given up\n"), "{said}");
    assert!(card.net.error().is_some() && card.net.prepare_to_wait());
}
