//! What a template can see: nothing in it is a secret or a customer's.

use std::collections::BTreeMap;

use serde::Serialize;

use super::clean::{LONGEST_NAME, clean};
use super::render::MOST_LINES;
use crate::domain::ids::OrderId;
use crate::domain::notice::NoticeItem;

/// The most attributes of goods shown.
const MOST_COLUMNS: usize = 6;

/// What a template can see. Texts are clean, single lines; what is not known is empty.
#[derive(Serialize)]
pub(super) struct Vars<'a> {
    pub(super) language: &'static str,
    pub(super) label: &'a BTreeMap<String, String>,
    pub(super) account: &'a str,
    pub(super) kind: &'static str,
    pub(super) key: String,
    pub(super) written: String,
    pub(super) title: &'a str,
    pub(super) order: String,
    pub(super) sku: String,
    /// The base whose goods alone are told.
    pub(super) base: String,
    pub(super) depot: String,
    pub(super) movement: String,
    pub(super) delivery_date: String,
    pub(super) pickup_point: String,
    /// Whether the page shows the order's code.
    pub(super) code: bool,
    pub(super) reason: String,
    pub(super) action: String,
    /// All of the above that is known, and the figures, with labels.
    pub(super) facts: Vec<Fact>,
    /// The orders of a message that tells of several; each of its goods names its order.
    pub(super) orders: Vec<OrderLine>,
    /// What the goods' attributes are called, in the order in which each of the goods has them.
    pub(super) columns: Vec<Column>,
    pub(super) items: Vec<Item>,
    pub(super) repeats: Vec<Repeated<'a>>,
    /// How many goods and alerts were left out.
    pub(super) more: usize,
    /// The sentence about a possible duplicate; empty in phrases.
    pub(super) duplicate: String,
    /// The sentence about what was left out; empty in phrases.
    pub(super) more_lines: String,
    /// What happened; empty in phrases.
    pub(super) lead: String,
    /// What to do; empty in phrases.
    pub(super) next: String,
}

#[derive(Serialize)]
pub(super) struct OrderLine {
    pub(super) key: String,
    pub(super) order: String,
    /// The name of the picture that says the order to a scanner.
    pub(super) code: String,
    pub(super) facts: Vec<Fact>,
}

#[derive(Serialize)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) label: String,
}

#[derive(Serialize)]
pub(super) struct Fact {
    pub(super) label: String,
    pub(super) value: String,
}

impl Fact {
    pub(super) fn new(
        labels: &BTreeMap<String, String>,
        name: &str,
        value: &str,
        longest: usize,
    ) -> Self {
        Self {
            label: labels
                .get(name)
                .cloned()
                .unwrap_or_else(|| clean(name, LONGEST_NAME)),
            value: clean(value, longest),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Item {
    pub(super) reference: String,
    pub(super) name: String,
    /// Empty where the notice is of one order.
    pub(super) order: String,
    /// One value for each of the notice's columns; empty where it has none.
    pub(super) attributes: Vec<String>,
    pub(super) units: i64,
    pub(super) picks: Vec<PickLine>,
    pub(super) short: i64,
}

impl Item {
    pub(super) fn new(item: &NoticeItem, columns: &[&str]) -> Self {
        let value = |name: &&str| {
            let named = item.attributes.iter().find(|a| a.name == **name);
            clean(named.map_or("", |a| a.value.as_str()), LONGEST_NAME)
        };
        let picks = item.picks.iter().take(MOST_LINES).map(|pick| PickLine {
            base: clean(pick.base.as_str(), LONGEST_NAME),
            stock: clean(&pick.stock, LONGEST_NAME),
            take: pick.take,
        });
        Self {
            reference: clean(&item.reference, LONGEST_NAME),
            name: clean(item.name.as_deref().unwrap_or_default(), LONGEST_NAME),
            order: clean(
                item.order.as_ref().map_or("", OrderId::as_str),
                LONGEST_NAME,
            ),
            attributes: columns.iter().map(value).collect(),
            units: item.units,
            picks: picks.collect(),
            short: item.short,
        }
    }
}

#[derive(Serialize)]
pub(super) struct PickLine {
    pub(super) base: String,
    pub(super) stock: String,
    pub(super) take: i64,
}

#[derive(Serialize)]
pub(super) struct Repeated<'a> {
    pub(super) title: &'a str,
    pub(super) subject: String,
    pub(super) times: i64,
}

/// Returns the names of all attributes, as the goods first show them.
pub(super) fn attribute_names(items: &[NoticeItem]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for attribute in items.iter().flat_map(|item| &item.attributes) {
        if !names.contains(&attribute.name.as_str()) && names.len() < MOST_COLUMNS {
            names.push(&attribute.name);
        }
    }
    names
}
