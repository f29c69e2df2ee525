//! What people are told, and when: the kinds of notices and their contents.
//!
//! Contents hold order ids, SKUs, quantities and names of goods; never a customer's data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{BaseCode, OrderId, SkuId};
use crate::domain::time::Moment;

/// Why people are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// Make the remito: move these goods from the shops to the e-commerce depot.
    Remito,
    /// The order of a remito notice changed: these are the goods now.
    RemitoChanged,
    /// The order of a remito notice was canceled: do not move the goods, or put them back.
    RemitoWithdrawn,
    /// An order was reserved that the stock does not cover.
    Shortage,
    /// The store has promised more than exists.
    Oversold,
    /// An order waits for a person.
    Parked,
    /// An order was canceled after its movement was booked, and this program does not reverse it.
    CanceledAfterBooking,
    /// The storefront's feed has no configuration: orders are found by the sweep only.
    FeedMissing,
    /// Too many numbers would have changed sharply: nothing was pushed.
    Brake,
    /// A reservation in the storefront is stuck: the order went on, its reservation did not.
    StuckReservation,
    /// Somebody else writes stock: a number keeps coming back different.
    AnotherWriter,
    /// The ERP no longer knows a SKU: it was set to zero.
    Vanished,
    /// Two ways to read the ERP's stock gave two figures.
    TwoFigures,
    /// Alerts that came again and were only counted.
    Digest,
}

impl NoticeKind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::Remito,
        Self::RemitoChanged,
        Self::RemitoWithdrawn,
        Self::Shortage,
        Self::Oversold,
        Self::Parked,
        Self::CanceledAfterBooking,
        Self::FeedMissing,
        Self::Brake,
        Self::StuckReservation,
        Self::AnotherWriter,
        Self::Vanished,
        Self::TwoFigures,
        Self::Digest,
    ];

    /// Returns the kind's name in the store, in templates and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Remito => "remito",
            Self::RemitoChanged => "remito-changed",
            Self::RemitoWithdrawn => "remito-withdrawn",
            Self::Shortage => "shortage",
            Self::Oversold => "oversold",
            Self::Parked => "parked",
            Self::CanceledAfterBooking => "canceled-after-booking",
            Self::FeedMissing => "feed-missing",
            Self::Brake => "brake",
            Self::StuckReservation => "stuck-reservation",
            Self::AnotherWriter => "another-writer",
            Self::Vanished => "vanished",
            Self::TwoFigures => "two-figures",
            Self::Digest => "digest",
        }
    }

    /// Parses [`NoticeKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Tells whether the notice is about a lasting condition: the same one again is only counted, for the digest.
    pub fn is_alert(self) -> bool {
        match self {
            Self::Shortage
            | Self::Oversold
            | Self::Parked
            | Self::FeedMissing
            | Self::Brake
            | Self::StuckReservation
            | Self::AnotherWriter
            | Self::Vanished
            | Self::TwoFigures => true,
            Self::Remito
            | Self::RemitoChanged
            | Self::RemitoWithdrawn
            | Self::CanceledAfterBooking
            | Self::Digest => false,
        }
    }
}

/// The contents of a notice; what a kind has no use for stays empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NoticeBody {
    /// The order it is about.
    pub order: Option<OrderId>,
    /// The SKU it is about.
    pub sku: Option<SkuId>,
    /// Why, in one sentence for a person.
    pub reason: Option<String>,
    /// What the reader can do: usually the command to run.
    pub action: Option<String>,
    /// The goods.
    pub items: Vec<NoticeItem>,
    /// The depot that the goods go to.
    pub depot: Option<BaseCode>,
    /// The ERP's number of the movement, when known.
    pub movement: Option<String>,
    /// When the goods were promised.
    pub delivery_date: Option<Moment>,
    /// Where the customer collects them.
    pub pickup_point: Option<String>,
    /// Figures by name (published, true, reserved, percent …).
    pub figures: BTreeMap<String, String>,
    /// In a digest: which alerts came again, and how often.
    pub repeats: Vec<Repeat>,
}

impl NoticeBody {
    /// Returns what concerns one base: the goods to take there; `None` when there are none.
    ///
    /// Where the goods lie in other bases too, those are left out: a shop acts on its own lines alone.
    pub fn only(&self, base: &BaseCode) -> Option<Self> {
        let items = self.items.iter().filter_map(|item| {
            let pick = item.picks.iter().find(|p| p.base == *base && p.take > 0)?;
            Some(NoticeItem {
                units: pick.take,
                picks: vec![pick.clone()],
                short: 0,
                ..item.clone()
            })
        });
        let items: Vec<_> = items.collect();
        (!items.is_empty()).then(|| Self {
            items,
            ..self.clone()
        })
    }
}

/// Goods in a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeItem {
    /// The SKU's reference, or its id where it has none.
    pub reference: String,
    /// What a person calls it.
    pub name: Option<String>,
    /// How many units.
    pub units: i64,
    /// Where to take each unit from, best first; empty when the goods already lie where they are needed.
    pub picks: Vec<Pick>,
    /// Units that no base can give.
    pub short: i64,
}

/// One base in a pick suggestion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// The base.
    pub base: BaseCode,
    /// Its stock when the order was reserved, less what it was already asked for.
    pub stock: String,
    /// How many units to take there; 0 for a base that is only shown.
    pub take: i64,
}

/// An alert that came again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    /// The kind.
    pub kind: NoticeKind,
    /// What it is about.
    pub subject: String,
    /// How often since the last digest.
    pub times: i64,
}

/// A notice ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The natural key, from which a stable message id is made: letters, digits, `.` and `-` only.
    pub key: String,
    /// The name of the channel it goes by.
    pub channel: String,
    /// Why.
    pub kind: NoticeKind,
    /// The contents.
    pub body: NoticeBody,
    /// When it was written.
    pub written: Moment,
    /// True when an earlier try may have arrived: the message must say so first.
    pub maybe_duplicate: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_names_round_trip() {
        for kind in NoticeKind::ALL {
            assert_eq!(NoticeKind::parse(kind.as_str()), Some(kind));
        }
    }
}
