//! Searching the ERP's movements so that an absence can be believed.
//!
//! A listing that does not show a movement proves nothing by itself: the ERP answers "nothing" in the same way when it
//! looks in the wrong base or shows only a part. So every search stands between two looks for a *canary*, a movement
//! of ours that is known to be there; only while it is found before and after, an absence counts.

use crate::domain::ids::BaseCode;
use crate::domain::movement::{FoundMovement, Movement, Sighting, marker_order, sight};
use crate::domain::ports::{Listing, Search};
use crate::stages::context::Context;
use crate::stages::report::{Report, StageResult};

/// Searches between two looks at the canary.
pub const SEARCHES_PER_CANARY: usize = 20;

/// What a search said about one movement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Exactly one row is the movement, with a warning where it lost a mark.
    Booked(Box<FoundMovement>, Option<String>),
    /// The rows contradict each other or ours.
    Conflict(String),
    /// No row, and the listing can be believed.
    Absent,
    /// No row, and no canary exists yet in this base: believable only before a first attempt.
    AbsentUnproved,
    /// Nothing follows, with the reason.
    Inconclusive(String),
}

/// Searches a base for several movements at once, between two looks at the canary.
pub fn search(
    ctx: &Context<'_>,
    base: &BaseCode,
    movements: &[Movement],
    report: &mut Report,
) -> StageResult<Vec<Verdict>> {
    let canaries = ctx
        .store
        .canaries(base)?
        .iter()
        .filter_map(|e| e.movement().ok())
        .collect::<Vec<_>>();
    let before = find_canary(ctx, base, &canaries, report)?;
    let mut verdicts = Vec::with_capacity(movements.len());
    for movement in movements {
        verdicts.push(look(ctx, base, movement, report)?);
    }
    let doubt = match before {
        Canary::None => None,
        Canary::Lost(reason) => Some(reason),
        Canary::Found => match find_canary(ctx, base, &canaries, report)? {
            Canary::Found => None,
            Canary::None | Canary::Lost(_) => {
                Some("a movement known to be there was not listed any more".into())
            }
        },
    };
    Ok(verdicts
        .into_iter()
        .map(|verdict| match (verdict, &doubt) {
            (Verdict::Absent, Some(reason)) => Verdict::Inconclusive(reason.clone()),
            (Verdict::Absent, None) if canaries.is_empty() => Verdict::AbsentUnproved,
            (verdict, _) => verdict,
        })
        .collect())
}

enum Canary {
    /// No movement of ours is known in this base yet.
    None,
    Found,
    Lost(String),
}

/// Looks for the newest of our known movements; older ones stand in for one that a person removed.
fn find_canary(
    ctx: &Context<'_>,
    base: &BaseCode,
    canaries: &[Movement],
    report: &mut Report,
) -> StageResult<Canary> {
    for canary in canaries {
        match look(ctx, base, canary, report)? {
            Verdict::Booked(..) | Verdict::Conflict(_) => return Ok(Canary::Found),
            Verdict::Absent | Verdict::AbsentUnproved => {
                log::warn!(order = canary.order.as_str(); "movement {} of order {} is no longer listed by the ERP", canary.key, canary.order);
            }
            Verdict::Inconclusive(reason) => return Ok(Canary::Lost(reason)),
        }
    }
    Ok(if canaries.is_empty() {
        Canary::None
    } else {
        Canary::Lost("none of our last movements is listed".into())
    })
}

fn look(
    ctx: &Context<'_>,
    base: &BaseCode,
    movement: &Movement,
    report: &mut Report,
) -> StageResult<Verdict> {
    let text = marker_order(&movement.order);
    Ok(
        match report.called(ctx.movements.find(base, &Search::Text(text)))? {
            Ok(Listing::Complete(rows)) => match sight(movement, &rows) {
                Sighting::Booked(found, warning) => Verdict::Booked(found, warning),
                Sighting::Conflict(reason) => Verdict::Conflict(reason),
                Sighting::Absent => Verdict::Absent,
            },
            Ok(Listing::Inconclusive(reason)) => Verdict::Inconclusive(reason),
            Err(err) => Verdict::Inconclusive(err.to_string()),
        },
    )
}
