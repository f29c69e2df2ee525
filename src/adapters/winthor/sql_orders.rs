//! The store's orders, as WinThor holds them (`PCPEDC`, `PCPEDI`): some integration brings them in, WinThor reserves.

use std::collections::BTreeMap;

use crate::adapters::winthor::sql::{AT_ONCE, WinthorSql};
use crate::adapters::winthor::sql_rows::{BRANCH, NUMBER, number};
use crate::config::winthor_sql::WinthorStatement;
use crate::domain::ids::{BaseCode, ErpCode, OrderId};
use crate::domain::ports::{OrderBook, PortResult};
use crate::domain::qty::Qty;
use crate::domain::stock::HeldOrder;

/// Columns of `orders.sql`: the store's id, number, position, branch, product, units.
const ORDERS: [usize; 6] = [150, NUMBER, 2, BRANCH, NUMBER, NUMBER];
/// The position of an order that was canceled.
const CANCELED: &str = "C";

/// One line of a document of the ERP.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    number: String,
    position: String,
    branch: String,
    product: String,
    units: Result<Qty, String>,
}

impl OrderBook for WinthorSql<'_> {
    fn held(&self, orders: &[OrderId]) -> PortResult<BTreeMap<OrderId, HeldOrder>> {
        let mut lines: BTreeMap<OrderId, Vec<Line>> = BTreeMap::new();
        for chunk in orders.chunks(AT_ONCE) {
            let slots = self
                .slots(&self.branches)
                .values("order", chunk.iter().map(OrderId::to_string));
            self.ask(WinthorStatement::Orders, &slots, &ORDERS, &mut |rows| {
                for row in 0..rows.len() {
                    let cell = |column| rows.cell(row, column).unwrap_or_default().trim();
                    let Ok(order) = OrderId::parse(cell(0)) else {
                        continue;
                    };
                    lines.entry(order).or_default().push(Line {
                        number: cell(1).to_owned(),
                        position: cell(2).to_owned(),
                        branch: cell(3).to_owned(),
                        product: cell(4).to_owned(),
                        units: number(rows.cell(row, 5)),
                    });
                }
            })
            .map_err(|fault| fault.port("read orders by SQL"))?;
        }
        let asked = |order: &OrderId| orders.contains(order);
        let reserving = &self.config.reserving_positions;
        let mut held = BTreeMap::new();
        for (order, lines) in lines.into_iter().filter(|(order, _)| asked(order)) {
            match of_lines(&lines, reserving) {
                Ok(Some(found)) => drop(held.insert(order, found)),
                Ok(None) => {}
                Err(why) => {
                    log::warn!("order {order} in the ERP: {why}; it counts as not reserved")
                }
            }
        }
        Ok(held)
    }
}

/// Decides what the lines of one order mean; `None` where all of it is canceled.
///
/// An order that was divided among several documents is reserved when each of them is.
fn of_lines(lines: &[Line], reserving: &[String]) -> Result<Option<HeldOrder>, String> {
    let live = lines.iter().filter(|line| line.position != CANCELED);
    let mut numbers: Vec<&str> = Vec::new();
    let mut units: BTreeMap<(ErpCode, BaseCode), Qty> = BTreeMap::new();
    let mut reserved = true;
    for line in live {
        if !numbers.contains(&line.number.as_str()) {
            numbers.push(&line.number);
        }
        reserved &= reserving.contains(&line.position);
        let product = ErpCode::parse(&line.product).map_err(|err| err.to_string())?;
        let branch = BaseCode::parse(&line.branch).map_err(|err| err.to_string())?;
        let more = line.units.clone()?;
        let sum = units.entry((product, branch)).or_default();
        *sum = *sum + more;
    }
    if numbers.is_empty() {
        return Ok(None);
    }
    numbers.sort_unstable();
    let lines = units.into_iter();
    Ok(Some(HeldOrder {
        number: numbers.join(", "),
        reserved,
        lines: lines
            .map(|((product, branch), units)| (product, branch, units))
            .collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: &str, position: &str, branch: &str, product: &str, units: &str) -> Line {
        Line {
            number: number.into(),
            position: position.into(),
            branch: branch.into(),
            product: product.into(),
            units: Qty::parse(units).map_err(|err| err.to_string()),
        }
    }

    fn reserving() -> Vec<String> {
        ["L", "M", "F"].map(String::from).to_vec()
    }

    #[test]
    fn lines_of_all_documents_add_up_and_canceled_ones_do_not_count() {
        let lines = [
            line("11", "L", "1", "100", "12"),
            line("11", "L", "1", "100", "1.5"),
            line("12", "F", "2", "100", "6"),
            line("13", "C", "1", "100", "99"),
        ];
        let held = of_lines(&lines, &reserving()).unwrap().unwrap();
        assert_eq!(held.number, "11, 12");
        assert!(held.reserved);
        let units: Vec<String> = held
            .lines
            .iter()
            .map(|(p, b, u)| format!("{p}@{b}={u}"))
            .collect();
        assert_eq!(units, ["100@1=13.5", "100@2=6"]);
        assert_eq!(of_lines(&lines[3..], &reserving()), Ok(None));
    }

    #[test]
    fn one_document_that_does_not_reserve_yet_is_enough_not_to_count() {
        for position in ["P", "B", "", "X"] {
            let lines = [
                line("11", "L", "1", "100", "12"),
                line("12", position, "1", "200", "1"),
            ];
            let held = of_lines(&lines, &reserving()).unwrap().unwrap();
            assert!(!held.reserved, "{position}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_told() {
        let lines = [line("11", "L", "1", "100", "1,5")];
        assert!(of_lines(&lines, &reserving()).is_err());
    }
}
