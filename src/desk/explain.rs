//! `explain SKU`: the published number, term by term.

use std::fmt;

use serde::Serialize;

use crate::domain::qty::Qty;
use crate::domain::stock::{PackTerms, QuantityTerms, shown};
use crate::store::skus::SkuRow;
use crate::store::{Store, StoreResult};

/// The numbers of one SKU.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The SKU's id.
    pub sku: String,
    /// Its reference, or its id.
    pub reference: String,
    /// Its code in the ERP.
    pub erp_code: Option<String>,
    /// Why it has none.
    pub problem: Option<String>,
    /// One number per warehouse.
    pub numbers: Vec<Number>,
}

/// The number of a SKU in one warehouse.
#[derive(Debug, Clone, Serialize)]
pub struct Number {
    /// The warehouse.
    pub warehouse: String,
    /// What was read back last.
    pub published: Option<i64>,
    /// Whether it must be looked at again.
    pub due: bool,
    /// Whether the store has promised more than exists.
    pub oversold: bool,
    /// What a person should know.
    pub note: Option<String>,
    /// The terms of the sum.
    pub terms: Option<QuantityTerms>,
}

/// Explains the numbers of a SKU.
pub fn explain(store: &Store, sku: &SkuRow) -> StoreResult<Explanation> {
    let numbers = store.pushes_of(&sku.sku)?.into_iter().map(|row| Number {
        warehouse: row.warehouse.to_string(),
        published: row.published,
        due: row.due,
        oversold: row.oversold,
        note: row.note,
        terms: row.terms,
    });
    Ok(Explanation {
        sku: sku.sku.to_string(),
        reference: sku.label(),
        erp_code: sku.code.as_ref().map(ToString::to_string),
        problem: sku.problem.clone(),
        numbers: numbers.collect(),
    })
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.erp_code.as_deref().unwrap_or("none");
        writeln!(f, "SKU {} ({}), ERP code {code}", self.sku, self.reference)?;
        if let Some(problem) = &self.problem {
            writeln!(f, "  not published: {problem}")?;
        }
        for number in &self.numbers {
            number.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let published = self
            .published
            .map_or_else(|| "nothing yet".to_owned(), shown);
        let due = if self.due {
            ", to be looked at again"
        } else {
            ""
        };
        let oversold = if self.oversold { ", OVERSOLD" } else { "" };
        writeln!(
            f,
            "Warehouse {}: published {published}{due}{oversold}",
            self.warehouse
        )?;
        if let Some(note) = &self.note {
            writeln!(f, "  {note}")?;
        }
        let Some(terms) = &self.terms else {
            return Ok(());
        };
        writeln!(f, "  read {} over {}", terms.read_at, terms.road)?;
        if terms.vanished {
            writeln!(f, "  {:>8}  the ERP no longer knows it", 0)?;
        }
        for (base, stock) in &terms.bases {
            writeln!(f, "  {:>8}  stock in {base}", stock.to_string())?;
        }
        for base in &terms.missing {
            writeln!(f, "  {:>8}  stock in {base}: could not be read", "?")?;
        }
        if let Some(packs) = &terms.packs {
            return shared(f, terms, packs);
        }
        for order in &terms.orders {
            let (booked, taken) = (order.booked(), order.taken());
            if booked != 0 {
                writeln!(
                    f,
                    "  {:>+8}  order {}: the ERP has booked it already",
                    booked, order.order
                )?;
            }
            if taken != 0 {
                writeln!(
                    f,
                    "  {:>+8}  order {}: the store no longer subtracts it",
                    -taken, order.order
                )?;
            }
        }
        if !terms.safety.is_zero() {
            writeln!(f, "  {:>8}  safety stock", (-terms.safety).to_string())?;
        }
        writeln!(
            f,
            "  {:>8}  the number, published as {}",
            terms.quantity().to_string(),
            terms.desired()
        )
    }
}

/// The number of a packaging: what is free of the product, its share of that, and its own waiting orders.
fn shared(f: &mut fmt::Formatter<'_>, terms: &QuantityTerms, packs: &PackTerms) -> fmt::Result {
    let mut line = |figure: String, what: &str| writeln!(f, "  {figure:>8}  {what}");
    for (order, units) in &packs.live {
        line(
            (-*units).to_string(),
            &format!("order {order}, over all packagings"),
        )?;
        if let Some(held) = packs.held.get(order) {
            let held = (*held).min(*units).to_string();
            line(
                format!("+{held}"),
                &format!("order {order}: the ERP has reserved it already"),
            )?;
        }
    }
    let factors: Vec<_> = packs
        .packagings
        .iter()
        .map(|p| p.factor.to_string())
        .collect();
    let free = format!("free units, divided among packs of {}", factors.join(", "));
    line(packs.free(terms.stock()).to_string(), &free)?;
    line(
        packs.share(terms.stock()).to_string(),
        &format!("packs of {} are its share", packs.code),
    )?;
    for order in terms
        .orders
        .iter()
        .filter(|order| !order.acknowledged && order.present > 0)
    {
        let what = format!("order {}: the store subtracts it by itself", order.order);
        line(format!("+{}", order.present), &what)?;
    }
    if !terms.safety.is_zero() {
        line((-terms.safety).to_string(), "safety stock")?;
    }
    let published = format!("the number, published as {}", shown(terms.desired()));
    line(Qty::to_string(&terms.quantity()), &published)
}
