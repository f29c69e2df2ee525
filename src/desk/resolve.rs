//! The acts that move what waits for a person (T15): `retry` and `resolve`. Each is one transaction with its audit row.

use crate::domain::effect::{EffectKind, EffectState};
use crate::domain::ids::{OrderId, Seq};
use crate::domain::movement::FoundMovement;
use crate::domain::time::Moment;
use crate::store::attempts::Effect;
use crate::store::outbox::NoticeState;
use crate::store::{Store, StoreError, StoreResult, Tx};

/// What a person says about an effect that waits for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The movement stands in the ERP under this number.
    Booked(String),
    /// It does not stand in the ERP: book it, after looking once more.
    NotBooked,
    /// It is no longer wanted, or a person did the same by other means.
    Cancel,
    /// Handling was started.
    Handled,
}

impl Word {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Booked(_) => "booked",
            Self::NotBooked => "not booked",
            Self::Cancel => "cancel",
            Self::Handled => "handled",
        }
    }
}

/// Who acts, why and when.
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    /// The operator's name on this machine.
    pub who: &'a str,
    /// What the decision rests on.
    pub evidence: &'a str,
    /// Wall time.
    pub now: Moment,
    /// Now in the storefront's time, not before true.
    pub store_time: Moment,
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// It does not fit the state; nothing was changed.
    #[error("{0}; nothing was changed")]
    Refused(String),
    /// The memory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn refused<T>(reason: impl Into<String>) -> Result<T, ActError> {
    Err(ActError::Refused(reason.into()))
}

/// Sends an order on its way again: a refused movement, or an order parked for a reason that was mended.
///
/// # Errors
///
/// [`ActError::Refused`] where an outcome is unknown or quarantined: repeating it could book it twice.
pub fn retry(store: &Store, id: &OrderId, act: Act<'_>) -> Result<String, ActError> {
    let Some(order) = store.order(id)? else {
        return refused(format!("order {id} is not known"));
    };
    let effects = store.attempts_of(id)?;
    if let Some(effect) = effects.iter().find(|e| {
        matches!(
            e.state,
            EffectState::Unknown | EffectState::Quarantined | EffectState::Sending
        )
    }) {
        return refused(format!(
            "{} of order {id} is {}: sending it again could do it twice; it settles by itself, or say what is true with \
             stockbridge resolve {id}",
            effect.operation,
            effect.state.as_str().to_lowercase()
        ));
    }
    let rejected: Vec<_> = effects
        .iter()
        .filter(|e| e.state == EffectState::Rejected)
        .collect();
    if rejected.is_empty() && order.facts.parked.is_none() {
        return refused(format!(
            "order {id} is not parked, nothing waits for a retry"
        ));
    }
    store.write(|tx| {
        for effect in &rejected {
            if tx.shift("T15", effect, EffectState::Planned, act.now)? {
                tx.dismiss(effect)?;
            }
        }
        tx.unpark(id)?;
        tx.plan_again(id)?;
        tx.audit(act.who, "retry", id.as_str(), act.evidence, act.now)
    })?;
    Ok(format!("order {id} is tried again in the next run"))
}

/// Says what is true of an order's quarantined or rejected effect.
///
/// # Errors
///
/// [`ActError::Refused`] when nothing waits, when several do and none is named, or when the word does not fit.
pub fn resolve(
    store: &Store,
    id: &OrderId,
    operation: Option<&str>,
    word: &Word,
    act: Act<'_>,
) -> Result<String, ActError> {
    if act.evidence.trim().is_empty() {
        return refused("resolve needs --evidence: what the decision rests on");
    }
    let Some(order) = store.order(id)? else {
        return refused(format!("order {id} is not known"));
    };
    let mut parked = store.attempts_of(id)?;
    parked.retain(|e| e.state.parks() && operation.is_none_or(|o| o == e.operation));
    let effect = match parked.as_slice() {
        [effect] => effect,
        [] if operation.is_none() && order.facts.parked.is_some() => {
            return resolve_lost(store, id, order.searched_generation, word, act);
        }
        [] => return refused(format!("nothing of order {id} is quarantined or rejected")),
        several => {
            let names: Vec<_> = several.iter().map(|e| e.operation.as_str()).collect();
            return refused(format!(
                "several effects of order {id} wait: {}; name one with --operation",
                names.join(", ")
            ));
        }
    };
    let to = target(effect, word).map_err(ActError::Refused)?;
    let done = store.write(|tx| {
        if !tx.shift("T15", effect, to, act.now)? {
            return Ok(false);
        }
        let seq = tx.next_seq()?;
        settle(tx, effect, word, order.facts.canceled.is_some(), seq, act)?;
        let left = tx.attempts_of(id)?;
        if !left.iter().any(|e| e.state.parks()) {
            tx.unpark(id)?;
        }
        let detail = format!("{} {}: {}", effect.operation, word.as_str(), act.evidence);
        tx.audit(act.who, "resolve", id.as_str(), &detail, act.now)?;
        Ok(true)
    })?;
    if !done {
        return refused(format!(
            "{} of order {id} changed meanwhile",
            effect.operation
        ));
    }
    Ok(format!(
        "{} of order {id} is {} now",
        effect.operation,
        to.as_str().to_lowercase()
    ))
}

/// To which state a word leads, or why it does not fit.
fn target(effect: &Effect, word: &Word) -> Result<EffectState, String> {
    let operation = &effect.operation;
    let state = effect.state;
    match (effect.kind, word) {
        (EffectKind::Movement, Word::Handled) => Err(format!(
            "{operation} is a movement; --handled is for the start of handling"
        )),
        (EffectKind::Handling, Word::Booked(_)) => {
            Err("the start of handling has no movement; use --handled".into())
        }
        (_, Word::Booked(_) | Word::NotBooked | Word::Handled)
            if state == EffectState::Rejected =>
        {
            Err(format!(
                "{operation} was refused and is not in the ERP; use retry, or --cancel"
            ))
        }
        (_, Word::Booked(_) | Word::Handled) => Ok(EffectState::Done),
        (_, Word::NotBooked) => Ok(EffectState::Planned),
        (_, Word::Cancel) => Ok(EffectState::Canceled),
    }
}

/// Records what follows from the word.
fn settle(
    tx: &Tx<'_>,
    effect: &Effect,
    word: &Word,
    canceled: bool,
    seq: Seq,
    act: Act<'_>,
) -> StoreResult<()> {
    let id = &effect.order;
    match word {
        Word::Booked(number) => {
            // Without an internal id it never serves as a canary: it may bear no mark of ours.
            let found = FoundMovement {
                id: String::new(),
                number: Some(number.clone()),
                direction: None,
                base: None,
                note: String::new(),
                reference: String::new(),
                lines: None,
                day: None,
                created: None,
            };
            tx.set_done(effect.id, &found, Some("a person's word"), seq)?;
        }
        Word::NotBooked => tx.dismiss(effect)?,
        Word::Cancel if effect.kind == EffectKind::Movement => {
            // A canceled order wants nothing out; everything else a person has taken care of.
            if !canceled || !effect.is_outgoing() {
                tx.waive(effect.id)?;
            }
        }
        Word::Cancel | Word::Handled => {}
    }
    if effect.kind == EffectKind::Movement {
        // The order may have changed while its movement waited for the word.
        tx.plan_again(id)?;
        tx.after_booking(id, seq, act.now, act.store_time)
    } else {
        tx.order_pushes_due(id, seq, act.store_time, Some(act.store_time))
    }
}

/// Resolves an order that an old copy of the memory cannot vouch for.
fn resolve_lost(
    store: &Store,
    id: &OrderId,
    searched: i64,
    word: &Word,
    act: Act<'_>,
) -> Result<String, ActError> {
    let generation = store.instance()?.generation;
    if searched == generation {
        return refused(format!(
            "nothing of order {id} is quarantined or rejected; mend the reason, then run stockbridge retry {id}"
        ));
    }
    let booked = match word {
        Word::Booked(_) => true,
        Word::NotBooked => false,
        Word::Cancel | Word::Handled => {
            return refused(format!("order {id} needs --booked NUMBER or --not-booked"));
        }
    };
    store.write(|tx| {
        if booked {
            tx.set_booked_before(id)?;
        }
        tx.set_searched(id, generation)?;
        tx.unpark(id)?;
        tx.plan_again(id)?;
        let seq = tx.next_seq()?;
        tx.order_pushes_due(id, seq, act.store_time, None)?;
        let detail = format!("{}: {}", word.as_str(), act.evidence);
        tx.audit(act.who, "resolve", id.as_str(), &detail, act.now)
    })?;
    Ok(format!("order {id} goes on in the next run"))
}

/// Says of all orders placed before the cut-over whether what came before this program has booked them.
pub fn resolve_before_cutover(
    store: &Store,
    booked: bool,
    act: Act<'_>,
) -> Result<usize, ActError> {
    if act.evidence.trim().is_empty() {
        return refused("resolve needs --evidence: what the decision rests on");
    }
    let orders = store.write(|tx| {
        let orders = tx.resolve_before_cutover(booked)?;
        let seq = tx.next_seq()?;
        for id in &orders {
            tx.order_pushes_due(id, seq, act.store_time, None)?;
        }
        let word = if booked { "booked" } else { "unbooked" };
        let detail = format!("{word}, {} orders: {}", orders.len(), act.evidence);
        tx.audit(act.who, "resolve", "before cut-over", &detail, act.now)?;
        Ok(orders)
    })?;
    Ok(orders.len())
}

/// Sends a notice again that was given up, marked as possibly a second one; or, with `drop`, takes it as told.
pub fn notice(store: &Store, key: &str, drop: bool, act: Act<'_>) -> Result<String, ActError> {
    let Some(mut row) = store.notice(key)? else {
        return refused(format!("there is no notice {key}"));
    };
    if row.state != NoticeState::Quarantined {
        return refused(format!("notice {key} does not wait for a person"));
    }
    if drop && act.evidence.trim().is_empty() {
        return refused("resolve needs --evidence: what the decision rests on");
    }
    row.state = if drop {
        NoticeState::Sent
    } else {
        NoticeState::Planned
    };
    row.maybe_duplicate = true;
    row.not_before = Moment(0);
    row.resends = 0;
    let what = if drop { "resolve" } else { "retry" };
    let done = store.write(|tx| {
        let done = tx.shift_notice(&row, NoticeState::Quarantined, act.now)?;
        if done {
            tx.audit(act.who, what, key, act.evidence, act.now)?;
        }
        Ok(done)
    })?;
    if !done {
        return refused(format!("notice {key} changed meanwhile"));
    }
    Ok(format!(
        "notice {key} is {}",
        if drop { "closed" } else { "sent again" }
    ))
}
