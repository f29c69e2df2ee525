//! The acts that need a person's word: a remito was made, an older program handled these orders.

use crate::domain::ids::OrderId;
use crate::domain::order::{OrderDocument, OrderStage, ReservationLook};
use crate::domain::time::Moment;
use crate::store::orders::{FoundBy, Observation};
use crate::store::{Store, StoreError};

/// Records that the remito of an order was made; returns how many of its movements it concerned.
///
/// # Errors
///
/// The store's; an order without a confirmed movement gives 0 and nothing is recorded.
pub fn remito_done(store: &Store, id: &OrderId, now: Moment) -> Result<usize, StoreError> {
    store.write(|tx| {
        let seq = tx.next_seq()?;
        let movements = tx.set_remito(id, seq)?;
        if movements > 0 {
            tx.close_picks(id)?;
            tx.order_pushes_due(id, seq, now, None)?;
            tx.audit(
                "operator",
                "remito done",
                id.as_str(),
                "confirmed by hand",
                now,
            )?;
        }
        Ok(movements)
    })
}

/// Takes in the list of orders that an older program had processed: they are known, and never moved or handled.
///
/// The list is a JSON array of order ids. Orders that this program has begun with are left alone. Returns how many
/// were taken in, and how many were left alone.
///
/// # Errors
///
/// A sentence naming the first unusable entry; nothing is taken in then.
pub fn import_processed(
    store: &Store,
    text: &str,
    now: Moment,
) -> Result<(usize, usize), ImportError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let entries: Vec<serde_json::Value> =
        serde_json::from_str(text).map_err(|err| ImportError::Form(err.to_string()))?;
    let mut ids = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let text = entry
            .as_str()
            .ok_or_else(|| ImportError::Form(format!("entry {} is not a text", at + 1)))?;
        ids.push(
            OrderId::parse(text)
                .map_err(|err| ImportError::Form(format!("entry {}: {err}", at + 1)))?,
        );
    }
    let taken = store.write(|tx| {
        let mut taken = 0;
        for id in &ids {
            if tx.order(id)?.is_some() {
                continue;
            }
            let document = placeholder(id);
            tx.observe(&Observation {
                document: &document,
                found_by: FoundBy::Import,
                now,
                store_time: now,
                cutover: Moment(i64::MAX),
                reservations: ReservationLook::Silent,
            })?;
            taken += 1;
        }
        tx.audit(
            "operator",
            "import processed",
            "orders",
            &format!("{taken} of {}", ids.len()),
            now,
        )?;
        Ok(taken)
    })?;
    Ok((taken, ids.len() - taken))
}

/// Why a list of processed orders was refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is not a JSON array of order ids.
    #[error("{0}; expected a JSON array of order ids; nothing was imported")]
    Form(String),
    /// The memory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is known of an order from its id alone; the next reading of it fills in the rest.
fn placeholder(id: &OrderId) -> OrderDocument {
    OrderDocument {
        id: id.clone(),
        status: String::new(),
        stage: OrderStage::Unknown,
        created: Some(Moment(0)),
        last_change: None,
        complete: true,
        workflow_in_error: false,
        has_package: false,
        lines: vec![],
        foreign_lines: 0,
        reservations: vec![],
        delivery_date: None,
        pickup_point: None,
        problems: vec![],
    }
}
