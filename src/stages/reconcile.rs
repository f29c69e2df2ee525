//! Compares the books: every movement of ours in the ERP exactly once, every published number still in the storefront.
//!
//! `move` audits the ERP and `push-stock` reads numbers back, each once a day; `reconcile` does both at once. What is
//! found in the ERP is shown to a person with a proposed correction, never corrected here: it is what the protocol could
//! not close (the ERP applied a request later than it may, a person edited a movement, two installations ran at once).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::BaseCode;
use crate::domain::movement::{
    Direction, FoundMovement, MovementKey, Sighting, marker_order, sight,
};
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::ports::{Listing, Search};
use crate::domain::stock::UNLIMITED;
use crate::domain::time::Moment;
use crate::stages::context::{BATCH, Context, distinct, in_parallel};
use crate::stages::listing;
use crate::stages::report::{Report, StageResult};
use crate::store::attempts::Effect;
use crate::store::findings::Finding;
use crate::store::pushes::PushRow;

/// How often both comparisons are made.
pub const EVERY_MS: i64 = 24 * 3_600_000;
/// How many of the ERP's days an audit looks at, today included.
const AUDIT_DAYS: i64 = 3;
const DAY_MS: i64 = 24 * 3_600_000;
/// Numbers read back in one routine run: a large catalogue is read over many.
const READ_BACK_A_RUN: u32 = 100;
const KINDS: [&str; 4] = ["twice", "gone", "changed", "unknown"];

/// Audits the ERP's movements when a day has passed, and shows what is open.
pub fn audit_daily(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    let since = ctx.now.ms_since(ctx.store.mark_at("audit")?);
    let first = ctx.store.mark("audit")?.is_none();
    if ctx.settings.searchable && ctx.ask.orders.is_empty() && !(0..EVERY_MS).contains(&since) {
        // A memory that has just begun has nothing to compare.
        if first {
            ctx.store.write(|tx| tx.set_mark("audit", ctx.now.0))?;
        } else if let Some(findings) = audit(ctx, AUDIT_DAYS, report)? {
            keep(ctx, &findings)?;
            report.count("audits");
        }
    }
    for finding in ctx.store.findings(BATCH)? {
        let Finding {
            subject,
            detail,
            correction,
            ..
        } = &finding;
        report.person(subject, format!("{detail}; {correction}"));
    }
    Ok(())
}

/// Records the findings of a complete audit; those of earlier ones that are gone are dropped.
pub fn keep(ctx: &Context<'_>, findings: &[Finding]) -> StageResult {
    ctx.store.write(|tx| {
        for finding in findings {
            tx.put_finding(finding, ctx.now)?;
            let body = NoticeBody {
                reason: Some(finding.detail.clone()),
                action: Some(finding.correction.clone()),
                ..NoticeBody::default()
            };
            ctx.notify(tx, NoticeKind::Parked, &finding.subject, &body)?;
        }
        for kind in KINDS {
            tx.drop_findings(kind, ctx.now)?;
        }
        tx.set_mark("audit", ctx.now.0)
    })?;
    Ok(())
}

/// Compares the last days of every base in which sales are booked; `None` when a listing proved nothing.
pub fn audit(
    ctx: &Context<'_>,
    days: i64,
    report: &mut Report,
) -> StageResult<Option<Vec<Finding>>> {
    let bases = distinct(
        ctx.settings
            .warehouses
            .iter()
            .map(|w| w.movement_base.clone()),
    );
    let mut findings = Vec::new();
    for base in bases {
        let days = distinct(
            (0..days).flat_map(|back| ctx.movements.days(ctx.now.plus_ms(-back * DAY_MS))),
        );
        let mut rows: Vec<FoundMovement> = Vec::new();
        for day in &days {
            match listing::day(ctx, &base, day, report)? {
                Ok(found) => rows.extend(found),
                Err(reason) => {
                    let sentence =
                        format!("the movements of {base} on {day} cannot be compared: {reason}");
                    report.wait("audit", sentence);
                    return Ok(None);
                }
            }
        }
        findings.extend(foreign(ctx, &base, &rows)?);
        for day in &days {
            for effect in ctx.store.movements_on(&base, day)? {
                findings.extend(compare(ctx, &effect, &rows, report)?);
            }
        }
    }
    Ok(Some(findings))
}

/// Compares one confirmed movement with the rows; one that is not among them is asked for by its order.
fn compare(
    ctx: &Context<'_>,
    effect: &Effect,
    rows: &[FoundMovement],
    report: &mut Report,
) -> StageResult<Option<Finding>> {
    let Ok(movement) = effect.movement() else {
        return Ok(None);
    };
    let mut sighting = sight(&movement, rows);
    if sighting == Sighting::Absent {
        let search = Search::Text(marker_order(&movement.order));
        match report.called(ctx.movements.find(&movement.base, &search))? {
            Ok(Listing::Complete(found)) => sighting = sight(&movement, &found),
            Ok(Listing::Inconclusive(_)) | Err(_) => return Ok(None),
        }
    }
    let number = effect.erp_number.as_deref().unwrap_or("without a number");
    let (order, key) = (&effect.order, &movement.key);
    let finding = |kind: &str, detail: String, correction: String| Finding {
        kind: kind.into(),
        subject: key.to_string(),
        detail,
        correction,
    };
    Ok(match sighting {
        Sighting::Booked(..) => None,
        Sighting::Absent => Some(finding(
            "gone",
            format!("movement {number} of order {order} is no longer in the ERP"),
            format!(
                "ask who removed or edited it; if in error, enter it again with {key} as its reference"
            ),
        )),
        Sighting::Conflict(reason) => {
            let same = rows.iter().filter(|row| {
                let alone = sight(&movement, std::slice::from_ref(*row));
                matches!(alone, Sighting::Booked(..))
            });
            let numbers: Vec<_> = same
                .map(|row| row.number.as_deref().unwrap_or(&row.id))
                .collect();
            let twice = numbers.len() > 1;
            let back = match movement.operation.direction {
                Direction::Out => "back into",
                Direction::In => "out of",
            };
            let correction = if twice {
                let surplus = numbers[1..].join(", ");
                format!(
                    "annul movement {surplus}, or enter its goods {back} {}",
                    effect.base
                )
            } else {
                format!("compare the movement with stockbridge show {order}")
            };
            let kind = if twice { "twice" } else { "changed" };
            Some(finding(
                kind,
                format!("order {order}: {reason}"),
                correction,
            ))
        }
    })
}

/// Finds keys of this program that it does not remember: another installation, or a memory that was lost.
fn foreign(
    ctx: &Context<'_>,
    base: &BaseCode,
    rows: &[FoundMovement],
) -> StageResult<Vec<Finding>> {
    let mut found = BTreeMap::new();
    for row in rows {
        let reference = row.reference.trim().to_uppercase();
        if !MovementKey::looks_like(&reference) || ctx.store.movement_known(&reference)? {
            continue;
        }
        let number = row.number.as_deref().unwrap_or(&row.id);
        found.insert(
            reference.clone(),
            Finding {
                kind: "unknown".into(),
                subject: reference.clone(),
                detail: format!("movement {number} in {base} bears the key {reference}, which is not remembered here"),
                correction: "look for a second installation on this account; after a restore, wait for the sweep".into(),
            },
        );
    }
    Ok(found.into_values().collect())
}

/// A number that the storefront no longer holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Drift {
    /// The SKU.
    pub sku: String,
    /// The warehouse.
    pub warehouse: String,
    /// What was published.
    pub published: i64,
    /// What the storefront holds.
    pub held: i64,
}

/// Reads back the numbers that were not looked at for a day, some in each run; what drifted is published anew.
pub fn read_back_daily(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    let before = ctx.now.plus_ms(-EVERY_MS);
    let rows = ctx
        .store
        .pushes_to_read_back(before, ctx.now, READ_BACK_A_RUN)?;
    let drifts = drifted(ctx, &rows, report)?;
    publish_anew(ctx, &rows, &drifts, report)
}

/// Compares published numbers with what the storefront holds; `None` for one that cannot be read.
pub fn drifted(
    ctx: &Context<'_>,
    rows: &[PushRow],
    report: &mut Report,
) -> StageResult<Vec<Option<i64>>> {
    let skus = distinct(rows.iter().map(|row| row.sku.clone()));
    let held = in_parallel(&skus, ctx.settings.workers, |sku| ctx.storefront.stock(sku));
    let mut by_sku = BTreeMap::new();
    for (sku, held) in skus.iter().zip(held) {
        if let Ok(held) = report.called(held)? {
            by_sku.insert(sku, held);
        }
    }
    let total = |row: &PushRow| {
        let held = by_sku.get(&row.sku)?;
        let here = held.iter().find(|stock| stock.warehouse == row.warehouse)?;
        let ours = !here.unlimited || row.published == Some(UNLIMITED);
        Some(here.number()).filter(|_| ours)
    };
    Ok(rows.iter().map(total).collect())
}

/// Makes what drifted due, and notes what was looked at.
pub fn publish_anew(
    ctx: &Context<'_>,
    rows: &[PushRow],
    held: &[Option<i64>],
    report: &mut Report,
) -> StageResult {
    if rows.is_empty() {
        return Ok(());
    }
    let mut told = BTreeSet::new();
    ctx.store.write(|tx| {
        for (row, held) in rows.iter().zip(held) {
            match held {
                Some(total) if Some(*total) != row.published => {
                    let note = format!("the storefront held {total} without our doing");
                    if tx.push_drifted(row, *total, &note, ctx.now)? {
                        told.insert((row.sku.clone(), *total));
                    }
                }
                Some(_) => tx.push_read_back(row, ctx.now)?,
                None => {}
            }
        }
        for (sku, total) in &told {
            let figures = BTreeMap::from([("held".to_owned(), total.to_string())]);
            let body = NoticeBody {
                sku: Some(sku.clone()),
                figures,
                ..NoticeBody::default()
            };
            ctx.notify(tx, NoticeKind::AnotherWriter, sku.as_str(), &body)?;
        }
        Ok(())
    })?;
    report.add("numbers read back", rows.len());
    report.add("numbers changed by others", told.len());
    Ok(())
}

/// What a comparison of everything showed.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Comparison {
    /// Differences in the ERP; `None` when its listing proved nothing.
    pub movements: Option<Vec<Finding>>,
    /// Numbers that the storefront no longer holds.
    pub numbers: Vec<Drift>,
    /// Numbers that could not be read back.
    pub unread: usize,
}

/// Compares everything now: the movements of the last `days`, every number. With `act`, records and corrects.
pub fn everything(
    ctx: &Context<'_>,
    days: i64,
    act: bool,
    report: &mut Report,
) -> StageResult<Comparison> {
    let mut comparison = Comparison::default();
    if ctx.settings.searchable {
        comparison.movements = audit(ctx, days, report)?;
        if let (true, Some(findings)) = (act, &comparison.movements) {
            keep(ctx, findings)?;
        }
    }
    let rows = ctx
        .store
        .pushes_to_read_back(Moment(i64::MAX), ctx.now, u32::MAX)?;
    for chunk in rows.chunks(200) {
        let held = drifted(ctx, chunk, report)?;
        for (row, held) in chunk.iter().zip(&held) {
            match (held, row.published) {
                (Some(held), Some(published)) if *held != published => {
                    comparison.numbers.push(Drift {
                        sku: row.sku.to_string(),
                        warehouse: row.warehouse.to_string(),
                        published,
                        held: *held,
                    });
                }
                (None, _) => comparison.unread += 1,
                (Some(_), _) => {}
            }
        }
        if act {
            publish_anew(ctx, chunk, &held, report)?;
        }
    }
    Ok(comparison)
}
