//! Questions of a person that only the tables answer: bar codes, and sales documents that bear an order's id.

use crate::adapters::dragonfish::Dragonfish;
use crate::adapters::dragonfish::sql::{Sql, chosen};
use crate::domain::ids::{ErpCode, OrderId};
use crate::domain::movement::marker_order;
use crate::domain::ports::{PortError, PortResult};
use crate::domain::qty::Qty;

impl<'a> Dragonfish<'a> {
    /// Tells whether the tables can be asked at all.
    pub fn has_tables(&self) -> bool {
        self.sql.is_some()
    }

    /// Returns the bar code by which people know a variant, with the units it stands for; `None` when it has none.
    ///
    /// # Errors
    ///
    /// A [`PortError`] when the tables cannot be asked.
    pub fn bar_code(&self, code: &ErpCode) -> PortResult<Option<(String, Qty)>> {
        let codes = self.tables()?.bar_codes(self.depot, code)?;
        Ok(chosen(&codes).map(|chosen| (chosen.code.clone(), chosen.units)))
    }

    /// Returns the variant that a bar code stands for, and how many units of it; `None` when it stands for none.
    ///
    /// # Errors
    ///
    /// A [`PortError`] when the tables cannot be asked.
    pub fn of_bar_code(&self, bar_code: &str) -> PortResult<Option<(ErpCode, Qty)>> {
        self.tables()?.of_bar_code(self.depot, bar_code)
    }

    /// Lists the sales documents that bear an order's id, in one sentence each: a sign that a person has booked the sale,
    /// and no proof, since the number is typed by hand.
    ///
    /// # Errors
    ///
    /// A [`PortError`] when no base can be asked.
    pub fn papers(&self, order: &OrderId) -> PortResult<Vec<String>> {
        let mut bases = self.rules.bases.clone();
        if !bases.contains(self.depot) {
            bases.insert(0, self.depot.clone());
        }
        let papers = self.tables()?.papers(&bases, &marker_order(order))?;
        let told = papers.into_iter().map(|paper| {
            let kind = kind(&paper.kind);
            format!("base {}: {} {kind}", paper.base, paper.count)
        });
        Ok(told.collect())
    }

    fn tables(&self) -> PortResult<&Sql<'a>> {
        self.sql
            .as_ref()
            .ok_or_else(|| PortError::rejected("erp.dragonfish.sql is not configured"))
    }
}

/// Names a kind of document (`FACTTIPO`).
fn kind(number: &str) -> String {
    match number {
        "1" => "factura".into(),
        "2" => "ticket factura".into(),
        "11" => "remito".into(),
        "12" => "devolución".into(),
        "23" => "pedido".into(),
        "27" => "factura electrónica".into(),
        "28" => "nota de crédito electrónica".into(),
        other => format!("document of kind {other}"),
    }
}
