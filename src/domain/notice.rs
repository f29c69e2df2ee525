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
    /// The orders of a message that tells of several; their goods are in `items`, each with its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<OrderPart>,
    /// The base whose goods alone are told here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseCode>,
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
            base: Some(base.clone()),
            ..self.clone()
        })
    }

    /// Joins what several notices of one kind tell, each under its own key, into one list of goods.
    pub fn joined(parts: Vec<(String, Self)>) -> Self {
        let same = |of: fn(&Self) -> Option<&BaseCode>| {
            let first = parts.first().and_then(|(_, body)| of(body));
            let equal = parts.iter().all(|(_, body)| of(body) == first);
            first.filter(|_| equal).cloned()
        };
        let mut joined = Self {
            depot: same(|body| body.depot.as_ref()),
            base: same(|body| body.base.as_ref()),
            ..Self::default()
        };
        for (key, body) in parts {
            let order = body.order.clone();
            joined
                .items
                .extend(body.items.into_iter().map(|item| NoticeItem {
                    order: order.clone(),
                    ..item
                }));
            joined.orders.push(OrderPart {
                key,
                order,
                movement: body.movement,
                delivery_date: body.delivery_date,
                pickup_point: body.pickup_point,
            });
        }
        joined
    }
}

/// One order of a message that tells of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPart {
    /// The key of its own notice.
    pub key: String,
    /// The order.
    pub order: Option<OrderId>,
    /// The ERP's number of its movement, when known.
    pub movement: Option<String>,
    /// When the goods were promised.
    pub delivery_date: Option<Moment>,
    /// Where the customer collects them.
    pub pickup_point: Option<String>,
}

/// Goods in a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeItem {
    /// The SKU's reference, or its id where it has none.
    pub reference: String,
    /// What a person calls it.
    pub name: Option<String>,
    /// The order, in a message that tells of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
    /// What tells this variant from the others of its article, in the ERP's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    /// How many units.
    pub units: i64,
    /// Where to take each unit from, best first; empty when the goods already lie where they are needed.
    pub picks: Vec<Pick>,
    /// Units that no base can give.
    pub short: i64,
}

/// What tells one variant of an article from another, such as its colour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name, under which templates have a label for it: `color`, `size`, or a word of the ERP's own.
    pub name: String,
    /// Its value, as the ERP writes it.
    pub value: String,
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
    fn joined_notices_keep_every_line_with_its_order() {
        let body = |order: &str, base: &str| NoticeBody {
            order: OrderId::parse(order).ok(),
            base: BaseCode::parse(base).ok(),
            depot: BaseCode::parse("WOO").ok(),
            movement: Some(format!("m{order}")),
            items: vec![NoticeItem {
                reference: order.into(),
                name: None,
                order: None,
                attributes: vec![],
                units: 1,
                picks: vec![],
                short: 0,
            }],
            ..NoticeBody::default()
        };
        let parts = vec![
            ("a".into(), body("1-01", "NORTE")),
            ("b".into(), body("2-01", "NORTE")),
        ];
        let joined = NoticeBody::joined(parts);
        assert_eq!(joined.order, None);
        assert_eq!(joined.base, BaseCode::parse("NORTE").ok());
        assert_eq!(joined.depot, BaseCode::parse("WOO").ok());
        let orders: Vec<_> = joined.orders.iter().map(|part| part.key.as_str()).collect();
        assert_eq!(orders, ["a", "b"]);
        for (item, part) in joined.items.iter().zip(&joined.orders) {
            assert_eq!(item.order, part.order);
            assert_eq!(
                Some(item.reference.as_str()),
                part.order.as_ref().map(OrderId::as_str)
            );
        }
        let two = vec![
            ("a".into(), body("1-01", "NORTE")),
            ("b".into(), body("2-01", "SUR")),
        ];
        assert_eq!(NoticeBody::joined(two).base, None);
    }

    #[test]
    fn kind_names_round_trip() {
        for kind in NoticeKind::ALL {
            assert_eq!(NoticeKind::parse(kind.as_str()), Some(kind));
        }
    }
}
