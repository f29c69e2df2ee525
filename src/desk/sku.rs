//! `sku`: the map from the storefront's SKUs to the ERP's codes, and an operator's corrections of it.

use std::fmt;

use serde::Serialize;

use crate::domain::ids::{SkuId, SkuRef};
use crate::domain::ports::StockSource;
use crate::domain::time::Moment;
use crate::store::skus::SkuRow;
use crate::store::{Store, StoreError};

/// The largest import file.
pub const MOST_ROWS: usize = 1_000_000;

/// SKUs and their codes.
#[derive(Debug, Clone, Serialize)]
pub struct SkuList(Vec<SkuLine>);

/// One SKU.
#[derive(Debug, Clone, Serialize)]
pub struct SkuLine {
    sku: String,
    reference: Option<String>,
    erp_code: Option<String>,
    problem: Option<String>,
}

/// Lists SKUs: those without a code, or those with one.
pub fn list(store: &Store, unmapped: bool) -> Result<SkuList, StoreError> {
    let rows = if unmapped {
        store.skus_unmapped()?
    } else {
        store.skus_mapped()?
    };
    let line = |row: SkuRow| SkuLine {
        reference: row.effective().map(ToString::to_string),
        sku: row.sku.to_string(),
        erp_code: row.code.map(|code| code.to_string()),
        problem: row.problem,
    };
    Ok(SkuList(rows.into_iter().map(line).collect()))
}

impl fmt::Display for SkuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.0 {
            let reference = line.reference.as_deref().unwrap_or("-");
            let end = line
                .problem
                .as_deref()
                .or(line.erp_code.as_deref())
                .unwrap_or("-");
            writeln!(f, "{:<12}{reference:<32}{end}", line.sku)?;
        }
        Ok(())
    }
}

/// Why an import was refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is not usable; nothing was imported.
    #[error("line {line}: {reason}; nothing was imported")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// The memory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Imports `sku,reference` lines: the reference counts instead of the catalogue's. All lines or none.
///
/// A first line that names columns is skipped; an empty reference removes a correction.
///
/// # Errors
///
/// [`ImportError::Line`] for the first unusable line.
pub fn import(
    store: &Store,
    source: &dyn StockSource,
    text: &str,
    now: Moment,
) -> Result<usize, ImportError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate().take(MOST_ROWS) {
        let line = line.trim();
        if line.is_empty() || (at == 0 && line.to_ascii_lowercase().starts_with("sku")) {
            continue;
        }
        let fail = |reason: String| ImportError::Line {
            line: at + 1,
            reason,
        };
        let (sku, reference) = line
            .split_once([',', ';', '\t'])
            .ok_or_else(|| fail("expected sku,reference".into()))?;
        let sku =
            SkuId::parse(sku.trim().trim_matches('"')).map_err(|err| fail(err.to_string()))?;
        let reference = reference.trim().trim_matches('"');
        let reference = match reference {
            "" => None,
            text => Some(SkuRef::parse(text).map_err(|err| fail(err.to_string()))?),
        };
        if let Some(reference) = &reference {
            source.code(reference).map_err(fail)?;
        }
        rows.push((sku, reference));
    }
    store.write(|tx| {
        for (sku, overridden) in &rows {
            let mut row = tx.sku(sku)?.unwrap_or_else(|| SkuRow {
                sku: sku.clone(),
                reference: None,
                overridden: None,
                code: None,
                problem: None,
                name: None,
                kit: false,
                read_at: Moment(0),
                product: None,
            });
            row.overridden.clone_from(overridden);
            let code = row.effective().map(|reference| source.code(reference));
            (row.code, row.problem) = match code {
                Some(Ok(code)) => (Some(code), None),
                Some(Err(problem)) => (None, Some(problem)),
                None => (None, Some("it has no reference in the catalogue".into())),
            };
            tx.put_sku(&row)?;
            tx.replan_orders_of(sku)?;
        }
        tx.audit(
            "operator",
            "sku import",
            "skus",
            &format!("{} rows", rows.len()),
            now,
        )
    })?;
    Ok(rows.len())
}
