//! Which queued notices go out as one message, and what it tells.
//!
//! The queue keeps one row per order, channel and base: what is promised of a notice is promised of each row. A message
//! takes several rows along; they are claimed in one transaction, and end alike in one transaction.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

use crate::domain::ids::BaseCode;
use crate::domain::notice::NoticeKind;
use crate::store::outbox::OutboxRow;

/// The most orders of one message.
const MOST_ORDERS: usize = 50;
/// The most lines of goods of one message that tells of several orders: a list that was cut would leave goods behind.
const MOST_LINES: usize = 100;

/// The rows of one message, oldest first; never empty, and of one channel, kind and base.
pub(super) type Parcel = Vec<OutboxRow>;

/// What rows of one message have in common.
#[derive(PartialEq, Eq)]
enum Bond {
    /// The row goes alone.
    Alone,
    /// None of them was sent, or certainly in vain.
    Fresh {
        base: Option<BaseCode>,
        maybe_duplicate: bool,
    },
    /// They may have arrived together, in the message with this key.
    Again(String),
}

/// Puts a channel's rows into messages, in the order of each one's oldest row.
pub(super) fn group(rows: Vec<OutboxRow>, batches: bool) -> VecDeque<Parcel> {
    let mut parcels: Vec<(Bond, Parcel)> = Vec::new();
    for row in rows {
        let bond = bond(&row, batches);
        let open = parcels.iter_mut().rev().find(|(of, _)| *of == bond);
        match open {
            Some((_, parcel)) if bond.holds(parcel, &row) => parcel.push(row),
            Some(_) | None => parcels.push((bond, vec![row])),
        }
    }
    parcels.into_iter().map(|(_, parcel)| parcel).collect()
}

fn bond(row: &OutboxRow, batches: bool) -> Bond {
    match &row.batch {
        // Sent in a message that was refused: another's row may be why.
        Some(batch) if *batch == row.key => Bond::Alone,
        Some(batch) if row.maybe_duplicate && row.attempt > 0 => Bond::Again(batch.clone()),
        None if row.maybe_duplicate && row.attempt > 0 => Bond::Alone,
        Some(_) | None if batches && row.kind == NoticeKind::Remito => Bond::Fresh {
            base: row.base.clone(),
            maybe_duplicate: row.maybe_duplicate,
        },
        Some(_) | None => Bond::Alone,
    }
}

impl Bond {
    /// Tells whether a message with this bond takes one more row along.
    fn holds(&self, parcel: &Parcel, row: &OutboxRow) -> bool {
        let lines = |row: &OutboxRow| row.body.items.len();
        match self {
            Self::Alone => false,
            Self::Again(_) => true,
            Self::Fresh { .. } => {
                let held: usize = parcel.iter().map(lines).sum();
                parcel.len() < MOST_ORDERS && held + lines(row) <= MOST_LINES
            }
        }
    }
}

/// Returns a message's key: that of its only row, or one that the same rows always make and no others.
pub(super) fn key(parcel: &Parcel) -> Option<String> {
    match parcel.as_slice() {
        [] => None,
        [row] => Some(row.key.clone()),
        [first, others @ ..] => {
            let mut hash = Sha256::new();
            for row in parcel {
                hash.update(format!("{} {}\n", row.key, row.created_at.0));
            }
            let hash = hash.finalize();
            let hash: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
            Some(format!("{}.and-{}.{hash}", first.key, others.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::notice::{NoticeBody, NoticeItem};
    use crate::domain::time::Moment;
    use crate::store::outbox::NoticeState;

    fn row(id: i64, base: &str) -> OutboxRow {
        let item = NoticeItem {
            reference: "A".into(),
            name: None,
            order: None,
            attributes: vec![],
            units: 1,
            picks: vec![],
            short: 0,
        };
        OutboxRow {
            id,
            key: format!("remito.{id}"),
            kind: NoticeKind::Remito,
            subject: format!("{id}-01"),
            body: NoticeBody {
                items: vec![item; 2],
                ..NoticeBody::default()
            },
            state: NoticeState::Planned,
            attempt: 0,
            resends: 0,
            maybe_duplicate: false,
            repeats: 0,
            not_before: Moment(0),
            reason: None,
            created_at: Moment(id),
            notice: format!("remito.{id}"),
            channel: "mail".into(),
            base: BaseCode::parse(base).ok(),
            batch: None,
        }
    }

    fn ids(rows: Vec<OutboxRow>, batches: bool) -> Vec<Vec<i64>> {
        let parcels = group(rows, batches);
        parcels
            .iter()
            .map(|parcel| parcel.iter().map(|row| row.id).collect())
            .collect()
    }

    #[test]
    fn rows_of_one_base_go_together_where_that_is_wanted() {
        let rows = || vec![row(1, "NORTE"), row(2, "SUR"), row(3, "NORTE")];
        assert_eq!(ids(rows(), true), [vec![1, 3], vec![2]]);
        assert_eq!(ids(rows(), false), [vec![1], vec![2], vec![3]]);
        let mut rows = rows();
        rows[2].kind = NoticeKind::RemitoWithdrawn;
        assert_eq!(ids(rows, true), [vec![1], vec![2], vec![3]]);
    }

    #[test]
    fn a_message_is_bounded_in_orders_and_in_lines() {
        let mut small: Vec<_> = (0..120).map(|id| row(id, "NORTE")).collect();
        let sizes = |rows| group(rows, true).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(small.clone()), [50, 50, 20]);
        for row in &mut small {
            row.body.items = vec![row.body.items[0].clone(); 30];
        }
        assert_eq!(sizes(small.split_off(110)), [3, 3, 3, 1]);
        let mut huge = row(1, "NORTE");
        huge.body.items = vec![huge.body.items[0].clone(); 300];
        assert_eq!(sizes(vec![huge, row(2, "NORTE")]), [1, 1]);
    }

    #[test]
    fn what_may_have_arrived_together_goes_again_together_and_with_nothing_else() {
        let again = |id, batch: &str| OutboxRow {
            attempt: 1,
            maybe_duplicate: true,
            batch: Some(batch.into()),
            ..row(id, "NORTE")
        };
        let rows = vec![again(1, "x"), again(2, "y"), row(3, "NORTE"), again(4, "x")];
        assert_eq!(ids(rows.clone(), true), [vec![1, 4], vec![2], vec![3]]);
        assert_eq!(ids(rows, false), [vec![1, 4], vec![2], vec![3]]);
        let single = OutboxRow {
            batch: None,
            ..again(1, "")
        };
        assert_eq!(ids(vec![single, row(2, "NORTE")], true), [vec![1], vec![2]]);
        let refused = OutboxRow {
            attempt: 1,
            batch: Some("remito.1".into()),
            ..row(1, "NORTE")
        };
        assert_eq!(
            ids(vec![refused, row(2, "NORTE")], true),
            [vec![1], vec![2]]
        );
        // Certainly not sent: new ones may come along.
        let vain = OutboxRow {
            attempt: 1,
            batch: Some("x".into()),
            ..row(1, "NORTE")
        };
        assert_eq!(ids(vec![vain, row(2, "NORTE")], true), [vec![1, 2]]);
    }

    #[test]
    fn a_key_is_that_of_its_rows_alone() {
        assert_eq!(key(&vec![row(1, "NORTE")]).unwrap(), "remito.1");
        let two = key(&vec![row(1, "NORTE"), row(2, "NORTE")]).unwrap();
        assert!(two.starts_with("remito.1.and-1."), "{two}");
        assert_eq!(key(&vec![row(1, "NORTE"), row(2, "NORTE")]).unwrap(), two);
        assert_ne!(key(&vec![row(1, "NORTE"), row(3, "NORTE")]).unwrap(), two);
        let mut other_file = vec![row(1, "NORTE"), row(2, "NORTE")];
        other_file[1].created_at = Moment(99);
        assert_ne!(key(&other_file).unwrap(), two);
        assert_eq!(key(&vec![]), None);
    }
}
