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

const NAME: &str = "look up orders in WinThor";

impl OrderBook for Winthor<'_> {
    fn held(&self, orders: &[OrderId]) -> PortResult<BTreeMap<OrderId, HeldOrder>> {
        let at_once = usize::try_from(self.config.orders.at_once).unwrap_or(1);
        let mut held = BTreeMap::new();
        for chunk in orders.chunks(at_once.max(1)) {
            held.extend(self.orders(chunk)?);
        }
        Ok(held)
    }
}

impl Winthor<'_> {
    /// Looks up some orders by one call; what WinThor does not hold, or holds as canceled, is not in the answer.
    pub(super) fn orders(&self, ids: &[OrderId]) -> PortResult<BTreeMap<OrderId, HeldOrder>> {
        let names = &self.config.orders;
        let about = match ids {
            [one] => one.to_string(),
            many => format!("{} of them", many.len()),
        };
        let refuse = |why: &str| PortError::rejected(format!("{NAME} {about}: {why}"));
        let asked: Vec<_> = ids.iter().map(|id| encoded(id.as_str())).collect();
        let path = names.path.replace("{order}", &asked.join(","));
        let Some(body) = self.session.get(NAME, &about, &path)? else {
            return Ok(BTreeMap::new());
        };
        // An order on another page would count as one that is not there.
        if body.get("hasNext") == Some(&Value::Bool(true)) {
            let hint = "hint: erp.winthor.orders.at_once, or a pageSize in erp.winthor.orders.path";
            return Err(refuse(&format!("more than one page; {hint}")));
        }
        let list = match body.pointer(&names.list) {
            Some(Value::Array(list)) => list.as_slice(),
            Some(one @ Value::Object(_)) => std::slice::from_ref(one),
            Some(_) | None => {
                return Err(refuse("no list of orders; hint: erp.winthor.orders.list"));
            }
        };
        let mut held: BTreeMap<OrderId, HeldOrder> = BTreeMap::new();
        for row in list {
            let named = row.pointer(&names.order).and_then(text);
            let Some(id) = ids.iter().find(|id| named.as_deref() == Some(id.as_str())) else {
                continue;
            };
            let Some(found) = self.of_row(row).map_err(|why| refuse(&why))? else {
                continue;
            };
            match held.get_mut(id) {
                // One order of the store may be several there, as one for each branch.
                Some(before) => {
                    before.reserved &= found.reserved;
                    before.lines.extend(found.lines);
                }
                None => drop(held.insert(id.clone(), found)),
            }
        }
        Ok(held)
    }

    /// Reads one order of the answer; `None` when it is canceled.
    fn of_row(&self, row: &Value) -> Result<Option<HeldOrder>, String> {
        let names = &self.config.orders;
        let position = row.pointer(&names.position).and_then(text);
        let position = position.ok_or("no position; hint: erp.winthor.orders.position")?;
        if names.canceled_positions.contains(&position) {
            return Ok(None);
        }
        let number = row.pointer(&names.number).and_then(text);
        Ok(Some(HeldOrder {
            number: number.unwrap_or_else(|| "?".into()),
            reserved: names.reserved_positions.contains(&position),
            lines: self.lines(row)?,
        }))
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
