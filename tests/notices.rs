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

/// So many orders, reserved.
fn several(count: usize, lines: &str) -> Shop {
    let shop = Shop::with(2, lines);
    for _ in 0..count {
        shop.sell(0, 1);
    }
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    shop
}

fn message_ids(mails: &[String]) -> Vec<String> {
    let id = |mail: &String| {
        let line = mail.lines().find(|line| line.starts_with("Message-ID:"));
        line.unwrap().to_owned()
    };
    mails.iter().map(id).collect()
}

/// Returns the text of a mail as it was written, its lines joined again.
fn decoded(mail: &str) -> String {
    let mail = mail_parser::MessageParser::default()
        .parse(mail.as_bytes())
        .unwrap();
    mail.body_text(0).unwrap().into_owned()
}

fn states(shop: &Shop) -> Vec<(String, i64)> {
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    let sql = "SELECT state, count(*) FROM outbox GROUP BY state ORDER BY state";
    let mut rows = file.prepare(sql).unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn several_orders_of_a_run_are_one_list_in_which_each_line_names_its_order() {
    let shop = several(3, "");
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    let mails = shop.mails();
    assert_eq!(mails.len(), 1);
    let text = decoded(&mails[0]);
    assert!(text.contains("3 pedidos"), "{text}");
    assert!(text.contains("[Color: "), "{text}");
    assert_eq!(text.matches(" Pedido 1").count(), 3, "{text}");
    assert_eq!(states(&shop), [("SENT".to_owned(), 3)]);
    // Nothing is left to say, and a later order is a mail of its own.
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    shop.sell(1, 1);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    assert_eq!(shop.mails().len(), 2);

    let apart = several(3, "[notify.mail]\nbatch = false");
    assert_eq!(apart.run(&["notify"]), Exit::Done);
    assert_eq!(apart.mails().len(), 3);
}

#[test]
fn a_list_that_was_not_delivered_is_sent_in_the_next_run_once_with_what_came_since() {
    let shop = several(2, "");
    assert_eq!(
        shop.run_wrapped(&["notify"], &with(|_| Box::new(LostBefore))),
        Exit::Unreachable
    );
    assert_eq!(states(&shop), [("PLANNED".to_owned(), 2)]);
    shop.sell(1, 1);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    let mails = shop.mails();
    assert_eq!(mails.len(), 1);
    assert!(decoded(&mails[0]).contains("3 pedidos"));
    assert!(!mails[0].to_lowercase().contains("duplicado"));
}

#[test]
fn a_list_with_an_unknown_outcome_is_sent_again_marked_under_its_own_id_and_with_nothing_new() {
    let shop = several(2, "");
    let unknown = with(|mail| Box::new(LostAfter(mail)));
    assert_eq!(shop.run_wrapped(&["notify"], &unknown), Exit::Partial);
    assert_eq!(states(&shop), [("UNKNOWN".to_owned(), 2)]);
    shop.sell(1, 1);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    // The same folder shows a second copy under its key, and the first one under the key that the test gave it.
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    let mails = shop.mails();
    assert_eq!(mails.len(), 3);
    let (copies, new): (Vec<_>, Vec<_>) = mails
        .iter()
        .cloned()
        .partition(|mail| decoded(mail).contains("2 pedidos"));
    assert_eq!((copies.len(), new.len()), (2, 1));
    let marked = |mail: &&String| mail.to_lowercase().contains("duplicado");
    assert_eq!(copies.iter().filter(marked).count(), 1);
    assert!(
        !new.iter().any(|mail| marked(&mail)),
        "the new order is told unmarked"
    );
    let ids: Vec<_> = message_ids(&copies)
        .into_iter()
        .map(|id| id.replace("-0.", "."))
        .collect();
    assert_eq!(ids[0], ids[1], "one id for both copies");
    assert_ne!(ids[0], message_ids(&new)[0]);
    assert_eq!(states(&shop), [("SENT".to_owned(), 3)]);
}

#[test]
fn a_list_that_stays_unknown_ends_in_front_of_a_person_row_by_row() {
    let shop = several(2, "");
    let unknown = with(|mail| Box::new(LostAfter(mail)));
    for _ in 0..3 {
        shop.run_wrapped(&["notify"], &unknown);
    }
    assert_eq!(shop.run(&["notify"]), Exit::Person);
    assert_eq!(states(&shop), [("QUARANTINED".to_owned(), 2)]);
}

/// Refuses every message with two units of something, and takes the others.
struct Picky<'a>(&'a dyn Notifier);

impl Notifier for Picky<'_> {
    fn send(&self, notice: &Notice) -> PortResult<()> {
        if notice.body.items.iter().any(|item| item.units == 2) {
            return Err(PortError::rejected("this text is not taken"));
        }
        self.0.send(notice)
    }
}

#[test]
fn one_refused_order_of_a_list_costs_the_others_a_run_at_most() {
    let shop = several(2, "");
    shop.sell(1, 2);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    let picky = with(|mail| Box::new(Picky(mail)));
    assert_eq!(shop.run_wrapped(&["notify"], &picky), Exit::Partial);
    assert_eq!(shop.run_wrapped(&["notify"], &picky), Exit::Person);
    assert_eq!(shop.mails().len(), 2);
    assert_eq!(
        states(&shop),
        [("QUARANTINED".to_owned(), 1), ("SENT".to_owned(), 2)]
    );
}

/// The process ends before the message is delivered, or just after.
struct Dies<'a>(&'a dyn Notifier, bool);

impl Notifier for Dies<'_> {
    fn send(&self, notice: &Notice) -> PortResult<()> {
        if self.1 {
            self.0.send(notice)?;
        }
        std::panic::resume_unwind(Box::new("the process ends here"));
    }
}

/// A process that ends with its message under way leaves its claim: its rows go again together, marked.
#[test]
fn a_list_whose_process_died_is_sent_again_whole_and_marked() {
    for delivered in [false, true] {
        let shop = several(3, "");
        let dies = if delivered {
            with(|mail| Box::new(Dies(mail, true)))
        } else {
            with(|mail| Box::new(Dies(mail, false)))
        };
        assert_eq!(shop.run_wrapped(&["notify"], &dies), Exit::Broken);
        assert_eq!(states(&shop), [("SENDING".to_owned(), 3)]);
        let before = shop.mails();
        assert_eq!(before.len(), usize::from(delivered));
        assert_eq!(shop.run(&["notify"]), Exit::Done);
        let after = shop.mails();
        // The same key is the same file: the marked copy took the first one's place.
        assert_eq!(after.len(), 1);
        assert!(after[0].to_lowercase().contains("duplicado"));
        assert!(decoded(&after[0]).contains("3 pedidos"));
        if delivered {
            assert_eq!(message_ids(&before), message_ids(&after));
        }
        assert_eq!(states(&shop), [("SENT".to_owned(), 3)]);
    }
}

/// What `[notify.mail]` says when nothing may be sent now, and when anything may; by the machine's own clock.
fn hours(quiet: bool) -> String {
    use stockbridge::adapters::host::HostClock;
    use stockbridge::domain::ports::Clock;
    let minute = HostClock::new().unwrap().now().0.div_euclid(60_000);
    let at = |by: i64| {
        let minute = (minute + by).rem_euclid(24 * 60);
        format!("{:02}:{:02}", minute / 60, minute % 60)
    };
    // Far from both ends, so that the minute in which this runs does not matter.
    let hours = if quiet {
        format!("{}-{}", at(-300), at(300))
    } else {
        format!("{}-{}", at(300), at(-300))
    };
    format!("[notify]\nutc_offset = \"+00:00\"\n[notify.mail]\nquiet_hours = {hours:?}")
}

#[test]
fn in_quiet_hours_notices_wait_and_none_is_lost_or_counted_as_a_failure() {
    let shop = several(2, &hours(true));
    for _ in 0..3 {
        assert_eq!(shop.run(&["notify"]), Exit::Done);
    }
    assert_eq!(shop.mails().len(), 0);
    assert_eq!(states(&shop), [("PLANNED".to_owned(), 2)]);
    // A person who asks for it is heard, also at night.
    assert_eq!(shop.run(&["notify", "--force"]), Exit::Done);
    assert_eq!(shop.mails().len(), 1);

    let shop = several(2, &hours(false));
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    assert_eq!(shop.mails().len(), 1);

    let shop = Shop::with(1, "[notify.mail]\nquiet_hours = \"22-7\"");
    assert_eq!(shop.run(&["config", "check"]), Exit::Config);
}
