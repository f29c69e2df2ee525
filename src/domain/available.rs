//! The question "what is available" as the ERP's own stock interface puts it, and its answer: plain types for the door
//! that serves it and for the adapter that reads it.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::domain::ids::BaseCode;
use crate::domain::ports::PortResult;
use crate::domain::qty::Qty;

/// Date and time of an ERP's clock, to the second, without a zone: it is compared with others of the same clock only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTime(DateTime);

impl LocalTime {
    /// What stands for "no date" in the ERP's interfaces.
    pub const NONE: Self = Self(DateTime::constant(1900, 1, 1, 0, 0, 0, 0));

    /// Parses `YYYY-MM-DDTHH:MM:SS`, with a blank in place of the `T`, with a fraction, which is cut off, or a day alone.
    ///
    /// Returns `None` for anything else, a zone included.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // The parser takes a zone and forgets it.
        let (_, clock) = text.split_once(['T', 't', ' ']).unwrap_or((text, ""));
        if !clock
            .chars()
            .all(|c| c.is_ascii_digit() || ":.".contains(c))
        {
            return None;
        }
        let time: DateTime = text.parse().ok()?;
        time.with().subsec_nanosecond(0).build().ok().map(Self)
    }

    /// Returns the milliseconds since 1970 that the clock would show in UTC.
    pub fn as_ms(self) -> i64 {
        Offset::UTC
            .to_timestamp(self.0)
            .map_or(i64::MAX / 4, |t| t.as_millisecond())
    }

    /// Returns the time so many milliseconds after 1970, rounded down to a second; `None` beyond the calendar.
    pub fn from_ms(ms: i64) -> Option<Self> {
        let time = jiff::Timestamp::from_second(ms.div_euclid(1000)).ok()?;
        Some(Self(Offset::UTC.to_datetime(time)))
    }

    /// Returns `YYYY-MM-DD HH:MM:SS`, as statements take it.
    pub fn blank(self) -> String {
        self.0.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

impl fmt::Display for LocalTime {
    /// Writes `YYYY-MM-DDTHH:MM:SS`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%S"))
    }
}

/// Who asks (`callOrigin`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallOrigin {
    /// `W`: only products that are flagged for e-commerce.
    #[default]
    Web,
    /// `WSH`: every product.
    Hub,
}

/// By what rows are ordered; branch, product and packaging follow in any case, so that pages do not shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKey {
    /// When the row last changed.
    LastChange,
    /// When the product was first bought, or entered.
    CreateDate,
    /// The product's number.
    Product,
    /// The branch.
    Branch,
}

/// The parameters of one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailableQuery {
    /// The branches (`branchId`); at least one.
    pub branches: Vec<BaseCode>,
    /// Who asks (`callOrigin`).
    pub origin: CallOrigin,
    /// Only what changed at this time or later (`lastChange`).
    pub since: Option<LocalTime>,
    /// Keys, each with true for descending (`order`); empty for the default.
    pub order: Vec<(OrderKey, bool)>,
    /// `categoryId`.
    pub category: Option<u64>,
    /// `subcategoryId`.
    pub subcategory: Option<u64>,
    /// `sectionId`.
    pub section: Option<u64>,
    /// `departmentId`.
    pub department: Option<u64>,
    /// `providerId`.
    pub provider: Option<u64>,
    /// The product's number alone; [`product_part`] gives it for both forms of `productId`.
    pub product: Option<String>,
    /// The page, from 1.
    pub page: u32,
    /// Branches and products a page; in packaging mode each may be several rows.
    pub page_size: u32,
    /// Divide the stock among packagings (`usesPackagingSales`).
    pub packaging_sales: bool,
    /// Only products marked for resale, or only the others (`resale`).
    pub resale: Option<bool>,
    /// Only these types of merchandise (`merchandiseType`); empty for all.
    pub types: Vec<String>,
}

impl AvailableQuery {
    /// Asks for the first page of some branches, and nothing else.
    pub fn of(branches: Vec<BaseCode>, page_size: u32) -> Self {
        Self {
            branches,
            origin: CallOrigin::Web,
            since: None,
            order: Vec::new(),
            category: None,
            subcategory: None,
            section: None,
            department: None,
            provider: None,
            product: None,
            page: 1,
            page_size,
            packaging_sales: false,
            resale: None,
            types: Vec::new(),
        }
    }
}

/// Returns the product's number from `CODPROD` or `CODAUXILIAR-CODPROD`; `None` where it is no number.
pub fn product_part(text: &str) -> Option<String> {
    let part = text.trim().rsplit('-').next()?.trim();
    let digits = !part.is_empty() && part.len() <= 20 && part.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| part.to_owned())
}

/// One row of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailableRow {
    /// When the product was first bought in the branch, or entered (`createDate`).
    pub created: LocalTime,
    /// When it last changed (`lastChange`).
    pub changed: LocalTime,
    /// `CODAUXILIAR-CODPROD` (`productId`).
    pub product_id: String,
    /// Base units, never below zero (`quantity`).
    pub quantity: Qty,
    /// Sold without regard to stock (`unlimitedQuantity`).
    pub unlimited: bool,
    /// The branch (`warehouseBranchId`).
    pub branch: BaseCode,
    /// Its name (`warehouseBranchName`).
    pub branch_name: String,
    /// Base units in one pack (`unitMultiplier`).
    pub unit_multiplier: Qty,
}

/// One page of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AvailablePage {
    /// Its rows, in the order asked for.
    pub rows: Vec<AvailableRow>,
    /// Whether another page follows.
    pub has_next: bool,
}

/// A source of such pages.
pub trait AvailableStock: Sync {
    /// Returns one page. [`crate::domain::ports::PortError::Rejected`] for a question that cannot be asked.
    fn page(&self, query: &AvailableQuery) -> PortResult<AvailablePage>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_are_read_in_every_form_a_driver_gives_and_never_with_a_zone() {
        for text in [
            "2021-08-03T16:14:03",
            "2021-08-03 16:14:03",
            " 2021-08-03 16:14:03.000000 ",
            "2021-08-03 16:14:03.999",
        ] {
            let time = LocalTime::parse(text).unwrap();
            assert_eq!(time.to_string(), "2021-08-03T16:14:03", "{text}");
            assert_eq!(time.blank(), "2021-08-03 16:14:03");
            assert_eq!(LocalTime::from_ms(time.as_ms()), Some(time));
        }
        let day = LocalTime::parse("1900-01-01").unwrap();
        assert_eq!(day, LocalTime::NONE);
        assert!(day.as_ms() < 0);
        for bad in [
            "",
            "2021-08-03T16:14:03Z",
            "2021-08-03T16:14:03-03:00",
            "2021-08-03T16:14:03+00",
            "03/08/2021",
            "x",
        ] {
            assert_eq!(LocalTime::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_product_comes_in_both_forms() {
        for (text, wanted) in [
            ("100", Some("100")),
            ("7891000100103-100", Some("100")),
            ("000-0", Some("0")),
            ("", None),
            ("7-", None),
            ("x-y", None),
        ] {
            assert_eq!(product_part(text).as_deref(), wanted, "{text}");
        }
    }
}
