//! `doctor erp-probe`: books one unit in a test base and reverses it, and sees what the ERP keeps and shows of it.
//!
//! Decides whether an installation is *searchable*: whether the marker is found in the note and the key in the reference,
//! whether a day's listing shows the movement, and whether both texts survive as they were sent.

use std::collections::BTreeMap;

use crate::domain::ids::{BaseCode, ErpCode, OrderId};
use crate::domain::movement::{
    FoundMovement, Movement, MovementKey, Operation, Sighting, marker_order, sight,
};
use crate::domain::ports::{
    Check, CheckOutcome, Clock, Listing, MovementSink, Permit, PortError, Search,
};

/// What the trial needs.
pub struct Trial<'a> {
    /// The ERP.
    pub movements: &'a dyn MovementSink,
    /// The clocks.
    pub clock: &'a dyn Clock,
    /// The storefront's account, part of the key.
    pub account: &'a str,
    /// The test base.
    pub base: &'a BaseCode,
    /// What goes out and back in.
    pub code: &'a ErpCode,
    /// How long a claim may be old when it is sent, in milliseconds.
    pub gap_ms: i64,
}

/// Runs the trial. What goes out comes back in, unless its outcome is unknown: then a person must look.
pub fn erp(trial: &Trial<'_>) -> Vec<Check> {
    let order = format!("PROBE-{:x}-01", trial.clock.now().0);
    let Ok(order) = OrderId::parse(&order) else {
        return vec![];
    };
    let mut checks = Vec::new();
    let Some(out) = movement(trial, &order, "S1") else {
        return checks;
    };
    if !book(trial, &out, &mut checks) {
        return checks;
    }
    let texts = [
        ("probe.note", Search::Text(marker_order(&order))),
        ("probe.reference", Search::Text(out.key.to_string())),
    ];
    for (name, search) in texts {
        look(trial, name, &out, &search, &mut checks);
    }
    // Near the ERP's midnight it stands on one of two days.
    let mut looked = Vec::new();
    for day in trial.movements.days(trial.clock.now()) {
        look(trial, "probe.day", &out, &Search::Day(day), &mut looked);
    }
    let found = looked
        .iter()
        .position(|check| check.outcome != CheckOutcome::Fail);
    match found {
        Some(at) => checks.push(looked.swap_remove(at)),
        None => checks.extend(looked),
    }
    nothing(trial, &mut checks);
    if let Some(back) = movement(trial, &order, "C1") {
        book(trial, &back, &mut checks);
    }
    checks
}

fn movement(trial: &Trial<'_>, order: &OrderId, operation: &str) -> Option<Movement> {
    let operation = Operation::parse(operation)?;
    Some(Movement {
        order: order.clone(),
        operation,
        base: trial.base.clone(),
        key: MovementKey::derive(trial.account, trial.base, order, operation),
        lines: BTreeMap::from([(trial.code.clone(), 1)]),
    })
}

fn book(trial: &Trial<'_>, movement: &Movement, checks: &mut Vec<Check>) -> bool {
    let began = trial.clock.boot();
    let permit = Permit {
        clock: trial.clock,
        send_by: began.plus_ms(trial.gap_ms),
    };
    let name = format!("probe.book {}", movement.operation);
    let answer = trial.movements.book(movement, &permit);
    let ms = trial.clock.boot().0 - began.0;
    let check = match answer {
        Ok(found) => match sight(movement, std::slice::from_ref(&found)) {
            Sighting::Booked(found, None) => {
                let number = found.number.unwrap_or(found.id);
                Check::new(
                    &name,
                    CheckOutcome::Ok,
                    format!("movement {number}, {ms} ms"),
                )
            }
            Sighting::Booked(_, Some(warning)) => Check::new(&name, CheckOutcome::Warn, warning),
            Sighting::Absent | Sighting::Conflict(_) => Check::new(
                &name,
                CheckOutcome::Fail,
                "the answer shows another movement",
            ),
        },
        Err(err) => {
            let hint = match &err {
                PortError::Transient { .. } => "nothing was sent",
                _ => "look in the base whether it was booked, and undo it by hand",
            };
            Check::new(&name, CheckOutcome::Fail, err.to_string()).hint(hint)
        }
    };
    let went = check.outcome != CheckOutcome::Fail;
    checks.push(check);
    went
}

fn look(
    trial: &Trial<'_>,
    name: &str,
    movement: &Movement,
    search: &Search,
    checks: &mut Vec<Check>,
) {
    let began = trial.clock.boot();
    let answer = trial.movements.find(trial.base, search);
    let ms = trial.clock.boot().0 - began.0;
    let hint = "set erp.dragonfish.search = \"blind\" if this does not change";
    let fail = |why: String| Check::new(name, CheckOutcome::Fail, why).hint(hint);
    checks.push(match answer {
        Ok(Listing::Complete(rows)) => match sight(movement, &rows) {
            Sighting::Booked(_, None) => Check::new(
                name,
                CheckOutcome::Ok,
                format!("found among {} rows, {ms} ms", rows.len()),
            ),
            Sighting::Booked(_, Some(warning)) => Check::new(name, CheckOutcome::Warn, warning),
            Sighting::Absent => fail("it was booked and is not found".into()),
            Sighting::Conflict(reason) => fail(reason),
        },
        Ok(Listing::Inconclusive(reason)) => fail(reason),
        Err(err) => fail(err.to_string()),
    });
}

/// A text that is nowhere must find nothing: a search that ignores its filter would find everything.
fn nothing(trial: &Trial<'_>, checks: &mut Vec<Check>) {
    let name = "probe.absence";
    let search = Search::Text("V1ZZZZZZZZZZZZZ".into());
    checks.push(match trial.movements.find(trial.base, &search) {
        Ok(Listing::Complete(rows)) if rows.is_empty() => {
            Check::new(name, CheckOutcome::Ok, "an unknown key finds nothing")
        }
        Ok(Listing::Complete(rows)) => {
            let row: Option<&FoundMovement> = rows.first();
            let number = row.and_then(|row| row.number.clone()).unwrap_or_default();
            Check::new(
                name,
                CheckOutcome::Fail,
                format!("an unknown key finds movement {number}"),
            )
        }
        Ok(Listing::Inconclusive(reason)) => Check::new(name, CheckOutcome::Fail, reason),
        Err(err) => Check::new(name, CheckOutcome::Fail, err.to_string()),
    });
}
