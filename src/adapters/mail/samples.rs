//! Invented notices that fill every variable, and ones that fill none: what templates are checked with.

use std::collections::BTreeMap;

use crate::domain::ids::{BaseCode, OrderId, SkuId};
use crate::domain::notice::{Attribute, Notice, NoticeBody, NoticeItem, NoticeKind, Pick, Repeat};
use crate::domain::time::Moment;

/// Returns, for every kind, a full notice marked as a possible duplicate and an empty one.
pub fn notices() -> impl Iterator<Item = Notice> {
    let single = NoticeKind::ALL.into_iter().flat_map(|kind| {
        let notice = |body, maybe_duplicate| Notice {
            key: format!("{}.sample", kind.as_str()),
            channel: "mail".into(),
            kind,
            body,
            written: Moment(1_767_225_600_000),
            maybe_duplicate,
        };
        [
            notice(full(), true),
            notice(long(), false),
            notice(NoticeBody::default(), false),
        ]
    });
    let parts = ["1234567890123-01", "1234567890124-01"].map(|order| {
        let body = NoticeBody {
            order: OrderId::parse(order).ok(),
            ..full()
        };
        (format!("remito.{order}"), body)
    });
    let several = Notice {
        key: "remito.sample.and-1".into(),
        channel: "mail".into(),
        kind: NoticeKind::Remito,
        body: NoticeBody::joined(parts.into()),
        written: Moment(1_767_225_600_000),
        maybe_duplicate: true,
    };
    single.chain([several])
}

/// Returns contents in which every variable has a value.
fn full() -> NoticeBody {
    NoticeBody {
        order: OrderId::parse("1234567890123-01").ok(),
        sku: SkuId::parse("1001").ok(),
        reason: Some("the ERP refused the movement: article not found".into()),
        action: Some("stockbridge show 1234567890123-01".into()),
        items: vec![item(1), item(0)],
        orders: vec![],
        base: BaseCode::parse("CENTRO").ok(),
        depot: BaseCode::parse("WOO").ok(),
        movement: Some("4711".into()),
        delivery_date: Some(Moment(1_767_312_000_000)),
        pickup_point: Some("CENTRO".into()),
        figures: BTreeMap::from([
            ("published".into(), "5".into()),
            ("a figure without a label".into(), "2".into()),
        ]),
        repeats: vec![repeat()],
    }
}

/// Returns contents longer than one notice shows.
fn long() -> NoticeBody {
    NoticeBody {
        items: vec![item(1); 250],
        repeats: vec![repeat(); 250],
        ..NoticeBody::default()
    }
}

fn item(short: i64) -> NoticeItem {
    let pick = |code: &str, take| {
        BaseCode::parse(code).ok().map(|base| Pick {
            base,
            stock: "3".into(),
            take,
        })
    };
    NoticeItem {
        reference: "REM01-AZUL-M".into(),
        name: (short > 0).then(|| "Remera azul M".into()),
        order: None,
        attributes: [("color", "AZUL"), ("size", "M")]
            .map(|(name, value)| Attribute {
                name: name.into(),
                value: value.into(),
            })
            .into(),
        units: 2,
        picks: [pick("CENTRO", 1), pick("NORTE", 0)]
            .into_iter()
            .flatten()
            .collect(),
        short,
    }
}

fn repeat() -> Repeat {
    Repeat {
        kind: NoticeKind::Oversold,
        subject: "SKU 1001".into(),
        times: 3,
    }
}
