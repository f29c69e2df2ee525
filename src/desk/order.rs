//! `show ORDER`: everything the store knows about one order.

use std::fmt;

use serde::Serialize;

use crate::domain::ids::OrderId;
use crate::domain::time::Moment;
use crate::store::{Store, StoreResult};

/// One order, in full.
#[derive(Debug, Clone, Serialize)]
pub struct OrderView {
    /// The order.
    pub order: String,
    /// Where it stands.
    pub state: &'static str,
    /// The storefront's status word.
    pub status: String,
    /// Its facts with their instants, in the order of an order's life.
    pub facts: Vec<(&'static str, String)>,
    /// Why it is parked.
    pub parked: Option<String>,
    /// Its lines: SKU, warehouse, units, reserved.
    pub lines: Vec<LineView>,
    /// Its movements and the start of handling.
    pub effects: Vec<EffectView>,
    /// The stock per base when it was reserved: SKU, base, stock, when.
    pub snapshot: Vec<(String, String, String, String)>,
    /// The notices about it: kind, state, when written.
    pub notices: Vec<(String, String, String)>,
    /// Sales documents of the ERP that bear its id; `None` when nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub papers: Option<Vec<String>>,
}

/// One line of an order.
#[derive(Debug, Clone, Serialize)]
pub struct LineView {
    /// The SKU's reference, or its id.
    pub sku: String,
    /// The warehouse.
    pub warehouse: String,
    /// Present units.
    pub units: u32,
    /// Reserved units.
    pub reserved: u32,
}

/// One effect of an order.
#[derive(Debug, Clone, Serialize)]
pub struct EffectView {
    /// `S1`, `C1`, `handling`.
    pub operation: String,
    /// Where it is booked.
    pub base: String,
    /// Its key.
    pub key: String,
    /// Where it stands.
    pub state: &'static str,
    /// How often it was tried.
    pub attempts: i64,
    /// The ERP's number.
    pub number: Option<String>,
    /// The last reason.
    pub reason: Option<String>,
    /// When it last changed.
    pub changed: String,
}

/// Gathers what is known about an order; `None` when it is not known.
pub fn order(store: &Store, id: &OrderId) -> StoreResult<Option<OrderView>> {
    let Some(order) = store.order(id)? else {
        return Ok(None);
    };
    let mut lines = Vec::new();
    for line in store.lines(id)? {
        let sku = store
            .sku(&line.sku)?
            .map_or_else(|| line.sku.to_string(), |sku| sku.label());
        let warehouse = line.warehouse.to_string();
        lines.push(LineView {
            sku,
            warehouse,
            units: line.units,
            reserved: line.reserved,
        });
    }
    let effects = store.attempts_of(id)?.into_iter().map(|e| EffectView {
        operation: e.operation,
        base: e.base,
        key: e.key,
        state: e.state.as_str(),
        attempts: e.attempt,
        number: e.erp_number.or(e.erp_id),
        reason: e.reason,
        changed: e.changed_at.to_string(),
    });
    let snapshot = store.snapshots(id)?.into_iter();
    let notices = store.outbox_about(id.as_str())?.into_iter();
    let times: [(&'static str, Option<Moment>); 12] = [
        ("placed", order.created),
        ("first seen", Some(order.seen_at)),
        ("last read", Some(order.read_at)),
        ("taken", order.facts.taken),
        ("reserved", order.facts.reserved),
        ("booked (B)", order.facts.booked),
        ("acknowledged (A)", order.facts.acknowledged),
        ("handling seen", order.handling_seen),
        ("reservation gone", order.reservation_gone),
        ("invoiced", order.invoiced),
        ("canceled", order.facts.canceled),
        ("settled", order.facts.settled),
    ];
    Ok(Some(OrderView {
        order: order.id.to_string(),
        state: order.state()?.as_str(),
        status: order.status.clone(),
        facts: times
            .into_iter()
            .filter_map(|(name, at)| Some((name, at?.to_string())))
            .collect(),
        parked: order.parked_reason,
        lines,
        effects: effects.collect(),
        snapshot: snapshot
            .map(|(sku, base, qty, at)| {
                (
                    sku.to_string(),
                    base.to_string(),
                    qty.to_string(),
                    at.to_string(),
                )
            })
            .collect(),
        notices: notices
            .map(|n| {
                (
                    n.kind.as_str().to_owned(),
                    n.state.as_str().to_owned(),
                    n.created_at.to_string(),
                )
            })
            .collect(),
        papers: None,
    }))
}

impl fmt::Display for OrderView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Order {}: {} (status {:?})",
            self.order, self.state, self.status
        )?;
        if let Some(reason) = &self.parked {
            writeln!(f, "  parked: {reason}")?;
        }
        for (name, at) in &self.facts {
            writeln!(f, "  {name:<18}{at}")?;
        }
        writeln!(f, "Lines")?;
        for line in &self.lines {
            let LineView {
                sku,
                warehouse,
                units,
                reserved,
            } = line;
            writeln!(
                f,
                "  {sku:<28}{warehouse:<10}{units:>5} units, {reserved} reserved"
            )?;
        }
        writeln!(f, "Effects")?;
        for effect in &self.effects {
            let EffectView {
                operation,
                base,
                key,
                state,
                attempts,
                number,
                changed,
                ..
            } = effect;
            let number = number
                .as_ref()
                .map_or_else(String::new, |n| format!("  number {n}"));
            writeln!(
                f,
                "  {operation:<10}{base:<10}{state:<12}{key}  {attempts} tries{number}  {changed}"
            )?;
            if let Some(reason) = &effect.reason {
                writeln!(f, "    {reason}")?;
            }
        }
        if !self.snapshot.is_empty() {
            writeln!(f, "Stock when reserved")?;
        }
        for (sku, base, stock, at) in &self.snapshot {
            writeln!(f, "  {sku:<12}{base:<12}{stock:>8}  {at}")?;
        }
        if !self.notices.is_empty() {
            writeln!(f, "Notices")?;
        }
        for (kind, state, at) in &self.notices {
            writeln!(f, "  {kind:<24}{state:<12}{at}")?;
        }
        match &self.papers {
            None => {}
            Some(papers) if papers.is_empty() => {
                writeln!(f, "No sales document of the ERP bears its id")?;
            }
            Some(papers) => {
                writeln!(f, "Sales documents of the ERP that bear its id")?;
                papers
                    .iter()
                    .try_for_each(|paper| writeln!(f, "  {paper}"))?;
            }
        }
        Ok(())
    }
}
