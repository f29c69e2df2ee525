//! Notices when the way to people fails: at least once, and every copy after an unknown outcome says so.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/shop.rs"]
mod shop;

use shop::Shop;
use stockbridge::app::{NotifierWrap, Wrap};
use stockbridge::domain::notice::Notice;
use stockbridge::domain::ports::{Notifier, PortError, PortResult};
use stockbridge::exit::Exit;

/// Nothing is delivered.
struct LostBefore;
/// Everything is delivered, and nobody knows.
struct LostAfter<'a>(&'a dyn Notifier);
/// Every recipient is refused.
struct Refused;

impl Notifier for LostBefore {
    fn send(&self, _: &Notice) -> PortResult<()> {
        Err(PortError::transient("no mail server"))
    }
}

impl Notifier for LostAfter<'_> {
    fn send(&self, notice: &Notice) -> PortResult<()> {
        // Told apart from its copies by the file's name.
        let key = format!("{}-{}", notice.key, u8::from(notice.maybe_duplicate));
        self.0.send(&Notice {
            key,
            ..notice.clone()
        })?;
        Err(PortError::uncertain("the answer was lost"))
    }
}

impl Notifier for Refused {
    fn send(&self, _: &Notice) -> PortResult<()> {
        Err(PortError::rejected("no such recipient"))
    }
}

fn with(notifier: NotifierWrap) -> Wrap {
    Wrap {
        notifier: Some(notifier),
        ..Wrap::default()
    }
}

fn reserved() -> Shop {
    let shop = Shop::open(2);
    shop.sell(0, 1);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    shop
}

#[test]
fn a_notice_that_was_not_delivered_is_sent_in_the_next_run_once() {
    let shop = reserved();
    assert_eq!(
        shop.run_wrapped(&["notify"], &with(|_| Box::new(LostBefore))),
        Exit::Unreachable
    );
    assert_eq!(shop.mails().len(), 0);
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    assert_eq!(shop.mails().len(), 1);
    assert!(!shop.mails()[0].to_lowercase().contains("duplicado"));
}

#[test]
fn a_notice_with_an_unknown_outcome_is_sent_again_and_marked() {
    let shop = reserved();
    assert_eq!(
        shop.run_wrapped(&["notify"], &with(|mail| Box::new(LostAfter(mail)))),
        Exit::Partial
    );
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    let mails = shop.mails();
    assert_eq!(mails.len(), 2);
    let marked = mails
        .iter()
        .filter(|mail| mail.to_lowercase().contains("duplicado"))
        .count();
    assert_eq!(marked, 1, "the second copy says that it may be one");
}

#[test]
fn a_notice_that_stays_unknown_ends_in_front_of_a_person() {
    let shop = reserved();
    let unknown = with(|mail| Box::new(LostAfter(mail)));
    for _ in 0..3 {
        shop.run_wrapped(&["notify"], &unknown);
    }
    assert_eq!(shop.run(&["notify"]), Exit::Person);
    assert_eq!(shop.run(&["status"]), Exit::Person);
}

#[test]
fn a_refused_notice_does_not_hold_up_the_others() {
    let shop = reserved();
    assert_eq!(
        shop.run_wrapped(&["notify"], &with(|_| Box::new(Refused))),
        Exit::Person
    );
    shop.sell(1, 1);
    shop.sandbox.clock.advance(31_000);
    shop.cycles(2);
    assert_eq!(shop.mails().len(), 1, "the second order's notice");
}
