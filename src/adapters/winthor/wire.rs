//! The rows of the available-stock interface, as they come and as they are used.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::ids::BaseCode;
use crate::domain::qty::Qty;
use crate::domain::time::Moment;

/// What stands for "no date".
const NO_DATE: &str = "1900-01-01";

/// One page.
#[derive(Deserialize)]
pub(super) struct WirePage {
    pub(super) items: Vec<WireItem>,
    #[serde(rename = "hasNext")]
    pub(super) more: bool,
}

/// One row.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireItem {
    #[serde(default)]
    product_id: Value,
    #[serde(default)]
    quantity: Value,
    #[serde(default)]
    unlimited_quantity: Value,
    #[serde(default)]
    warehouse_branch_id: Value,
    #[serde(default)]
    unit_multiplier: Value,
    #[serde(default)]
    last_change: Value,
}

/// A row of use: one product in one branch, or one packaging of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) branch: BaseCode,
    /// `CODAUXILIAR`, up to 20 digits.
    pub(super) auxiliary: String,
    /// `CODPROD`.
    pub(super) product: String,
    /// Base units; the reason when it cannot be read.
    pub(super) quantity: Result<Qty, String>,
    /// Base units in one packaging; `None` when missing or no number.
    pub(super) factor: Option<Qty>,
    pub(super) unlimited: bool,
    /// Milliseconds of the database's own clock.
    pub(super) changed: Option<i64>,
}

impl WireItem {
    /// Reads a row; the reason when it does not tell what it is about.
    pub(super) fn row(&self) -> Result<Row, String> {
        let id = text(&self.product_id).ok_or("a row without productId")?;
        // The last part is the product; a code before it holds no hyphen.
        let (auxiliary, product) = id.rsplit_once('-').unwrap_or(("", &id));
        let branch = text(&self.warehouse_branch_id)
            .and_then(|branch| BaseCode::parse(&branch).ok())
            .ok_or_else(|| format!("the row of {id:?} names no branch"))?;
        let quantity = number(&self.quantity)
            .ok_or_else(|| format!("quantity {} of {id:?} is no number", self.quantity));
        Ok(Row {
            branch,
            auxiliary: auxiliary.to_owned(),
            product: product.to_owned(),
            quantity,
            factor: number(&self.unit_multiplier),
            unlimited: self.unlimited_quantity == Value::Bool(true),
            changed: self.last_change.as_str().and_then(instant),
        })
    }
}

/// A text, or a number as it stands.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// An exact number; a decimal comma is none, since it may be a thousands mark.
pub(super) fn number(value: &Value) -> Option<Qty> {
    Qty::parse(&text(value)?).ok()
}

/// Milliseconds of a date without a zone, as the database's clock shows it.
fn instant(date: &str) -> Option<i64> {
    if date.starts_with(NO_DATE) {
        return None;
    }
    Moment::parse(&format!("{}Z", date.trim_end_matches('Z'))).map(|moment| moment.0)
}

/// Writes such a date.
pub(super) fn date(ms: i64) -> String {
    let text = Moment(ms).floor_second().to_string();
    text.get(..19).unwrap_or(&text).to_owned()
}
