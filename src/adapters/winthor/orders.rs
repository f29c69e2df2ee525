//! What WinThor holds of the store's orders: where they are, in which position, with how many units of what.
//!
//! Unverified: path and field names differ between installations, so all of them are configuration. An order in position
//! P is only pending; what is reserved is out of the available stock.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::adapters::winthor::Winthor;
use crate::adapters::winthor::session::encoded;
use crate::adapters::winthor::wire::{number, text};
use crate::domain::ids::{BaseCode, ErpCode, OrderId};
use crate::domain::ports::{OrderBook, PortError, PortResult};
use crate::domain::qty::Qty;
use crate::domain::stock::HeldOrder;

impl OrderBook for Winthor<'_> {
    fn held(&self, orders: &[OrderId]) -> PortResult<BTreeMap<OrderId, HeldOrder>> {
        let mut held = BTreeMap::new();
        for order in orders {
            if let Some(found) = self.order(order)? {
                held.insert(order.clone(), found);
            }
        }
        Ok(held)
    }
}

impl Winthor<'_> {
    /// Looks up one order; `None` when WinThor does not hold it, or holds it as canceled.
    pub(super) fn order(&self, id: &OrderId) -> PortResult<Option<HeldOrder>> {
        const NAME: &str = "look up an order in WinThor";
        let names = &self.config.orders;
        let path = names.path.replace("{order}", &encoded(id.as_str()));
        let Some(body) = self.session.get(NAME, &format!("{id}"), &path)? else {
            return Ok(None);
        };
        let refuse = |why: &str| PortError::rejected(format!("{NAME} {id}: {why}"));
        let list = body.pointer(&names.list);
        let list = match list {
            Some(Value::Array(list)) => list.as_slice(),
            Some(one @ Value::Object(_)) => std::slice::from_ref(one),
            Some(_) | None => {
                return Err(refuse("no list of orders; hint: erp.winthor.orders.list"));
            }
        };
        let ours =
            |row: &&Value| row.pointer(&names.order).and_then(text).as_deref() == Some(id.as_str());
        let mut live = Vec::new();
        for row in list.iter().filter(ours) {
            let position = row.pointer(&names.position).and_then(text);
            let position =
                position.ok_or_else(|| refuse("no position; hint: erp.winthor.orders.position"))?;
            if !names.canceled_positions.contains(&position) {
                live.push((row, position));
            }
        }
        let mut live = live.into_iter();
        let Some((row, position)) = live.next() else {
            return Ok(None);
        };
        let mut held = HeldOrder {
            number: row
                .pointer(&names.number)
                .and_then(text)
                .unwrap_or_else(|| "?".into()),
            reserved: names.reserved_positions.contains(&position),
            lines: self.lines(row).map_err(|why| refuse(&why))?,
        };
        // One order of the store may be several there, as one for each branch.
        for (row, position) in live {
            held.reserved &= names.reserved_positions.contains(&position);
            held.lines
                .extend(self.lines(row).map_err(|why| refuse(&why))?);
        }
        Ok(Some(held))
    }

    fn lines(&self, order: &Value) -> Result<Vec<(ErpCode, BaseCode, Qty)>, String> {
        let names = &self.config.orders;
        let branch = order.pointer(&names.branch).and_then(text);
        let branch = branch.and_then(|branch| BaseCode::parse(&branch).ok());
        let branch = branch.ok_or("no branch; hint: erp.winthor.orders.branch")?;
        let Some(Value::Array(items)) = order.pointer(&names.items) else {
            return Err("no items; hint: erp.winthor.orders.items".into());
        };
        let line = |item: &Value| {
            let product = item.pointer(&names.product).and_then(text)?;
            // The product stands alone, or behind its packaging's code.
            let product = product
                .rsplit('-')
                .next()?
                .trim_start_matches('0')
                .to_owned();
            let units = item.pointer(&names.quantity).and_then(number)?;
            Some((ErpCode::parse(&product).ok()?, branch.clone(), units))
        };
        items
            .iter()
            .map(line)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| {
                "an item without product or quantity; hint: erp.winthor.orders.product, .quantity"
                    .into()
            })
    }
}
