//! `stock SKU`: what the ERP says right now, per base and in total, and which bases are left out or missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::domain::ids::{BaseCode, ErpCode};
use crate::domain::ports::{PortError, StockSource};
use crate::domain::qty::Qty;
use crate::domain::stock::VariantLevels;

/// The stock of one variant.
#[derive(Debug, Clone, Serialize)]
pub struct StockView {
    /// The ERP's code.
    pub code: String,
    /// Stock per base that counts.
    pub bases: BTreeMap<BaseCode, Qty>,
    /// The sum over these bases.
    pub total: Qty,
    /// Bases that count and were not answered for: the total is not the truth while there are any.
    pub missing: Vec<BaseCode>,
    /// Bases that are left out by configuration.
    pub blocked: Vec<BaseCode>,
    /// The bar code by which people know it, with the units it stands for; `None` where nobody was asked, or there is none.
    pub bar_code: Option<(String, Qty)>,
    /// What else a person should know.
    pub note: Option<String>,
}

/// Asks the ERP for the stock of one variant.
///
/// # Errors
///
/// The ERP's [`PortError`] when it could not be asked.
pub fn stock(
    source: &dyn StockSource,
    code: &ErpCode,
    counted: &BTreeSet<BaseCode>,
    blocked: &[BaseCode],
) -> Result<StockView, PortError> {
    let levels = source.read(std::slice::from_ref(code))?;
    let (bases, note) = match levels.variants.get(code) {
        Some(known @ (VariantLevels::Known(_) | VariantLevels::Packed(_))) => {
            (known.by_base(code).unwrap_or_default(), None)
        }
        Some(VariantLevels::Absent) | None => (
            BTreeMap::new(),
            Some("the ERP does not know this variant".into()),
        ),
        Some(VariantLevels::Unreadable(reason)) => (BTreeMap::new(), Some(reason.clone())),
    };
    let bases: BTreeMap<_, _> = bases
        .into_iter()
        .filter(|(base, _)| counted.contains(base))
        .collect();
    Ok(StockView {
        code: code.to_string(),
        total: bases.values().copied().sum(),
        missing: counted
            .iter()
            .filter(|base| !bases.contains_key(*base))
            .cloned()
            .collect(),
        blocked: blocked.to_vec(),
        bases,
        bar_code: None,
        note: note.or_else(|| levels.doubts.get(code).cloned()),
    })
}

impl fmt::Display for StockView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.code)?;
        for (base, stock) in &self.bases {
            writeln!(f, "  {base:<12}{:>8}", stock.to_string())?;
        }
        writeln!(f, "  {:<12}{:>8}", "total", self.total.to_string())?;
        for base in &self.missing {
            writeln!(
                f,
                "  {base:<12}{:>8}  no answer: the total is incomplete",
                "?"
            )?;
        }
        if !self.blocked.is_empty() {
            let blocked: Vec<_> = self.blocked.iter().map(ToString::to_string).collect();
            writeln!(f, "  left out: {}", blocked.join(", "))?;
        }
        if let Some((bar_code, units)) = &self.bar_code {
            writeln!(f, "  bar code {bar_code}, for {units}")?;
        }
        if let Some(note) = &self.note {
            writeln!(f, "  {note}")?;
        }
        Ok(())
    }
}
