//! The quantity rule: which number the storefront must hold so that what it offers is true.
//!
//! The storefront subtracts by itself every reservation it has not yet acknowledged, and a stock update clears the
//! acknowledged ones. Per SKU and warehouse, therefore:
//!
//! ```text
//! Q = P + Σ b(o) − Σ n(o) over o in A − safety stock
//! ```
//!
//! with P the stock read from the ERP, A the orders whose handling was requested, n an order's present units, and b
//! the units of it that P already excludes. Sources: VTEX help centre, "How does reservation work" and "My inventory
//! is negative".

//! Packagings of one product share its stock. What is free of it, in base units, is
//!
//! ```text
//! F = P + Σ b(o) − Σ n(o) over every live order of every packaging
//! ```
//!
//! with P never clamped. Each packaging gets its share of F by [`crate::domain::packaging`], and its number is that share
//! in whole packs and its own live units outside A, which the storefront subtracts by itself. A shortage (F below zero) is
//! taken off the number of every packaging, rounded up to packs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{BaseCode, ErpCode, OrderId};
use crate::domain::packaging::{self, Packaging};
use crate::domain::qty::Qty;
use crate::domain::time::Moment;

/// One order's part in the number of one SKU in one warehouse, in units, as the store knows it for one reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTerm {
    /// The order.
    pub order: OrderId,
    /// Its present units; 0 when canceled.
    pub present: i64,
    /// Whether it is in A.
    pub acknowledged: bool,
    /// Units of its outgoing movements confirmed before the reading began.
    pub out_done: i64,
    /// Units of its incoming movements that may already have raised P: sending, unknown, quarantined or done.
    pub in_live: i64,
    /// Units of its incoming movements still planned.
    pub in_planned: i64,
}

impl OrderTerm {
    /// Returns b: how many units of the order P already excludes.
    ///
    /// An unknown outgoing movement does not count, an unknown reversal counts as applied: both err towards a lower
    /// quantity. Never more than the order's present units and what is still planned to come back, else a canceled
    /// order whose goods a person put back would stay in the sum for ever.
    pub fn booked(&self) -> i64 {
        let cap = self.present.saturating_add(self.in_planned).max(0);
        self.out_done.saturating_sub(self.in_live).clamp(0, cap)
    }

    /// Returns what the order takes away: its units when it is in A.
    pub fn taken(&self) -> i64 {
        if self.acknowledged { self.present } else { 0 }
    }
}

/// Every term of one published number, so that it can be explained later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuantityTerms {
    /// When the reading began, in the storefront's time.
    pub read_at: Moment,
    /// How the ERP was read (`api`, `api bulk`, `sql`).
    pub road: String,
    /// The counted bases.
    pub bases: BTreeMap<BaseCode, Qty>,
    /// Bases that count and could not be read: the sum is a lower bound at best.
    pub missing: Vec<BaseCode>,
    /// The orders with a part in the number.
    pub orders: Vec<OrderTerm>,
    /// What is held back.
    pub safety: Qty,
    /// True when the ERP did not know the variant at all (twice), and P is taken as zero.
    pub vanished: bool,
    /// How the number follows when the stock is shared with other packagings; `bases` then holds base units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packs: Option<PackTerms>,
}

/// What stands for "sold without limit" where a number is published: one more than the largest that can be.
pub const UNLIMITED: i64 = 1 << 31;

/// Returns a published number as a person reads it.
pub fn shown(number: i64) -> String {
    if number == UNLIMITED {
        return "without limit".to_owned();
    }
    number.to_string()
}

/// The terms that a packaging's number shares with the product's other packagings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackTerms {
    /// The ERP's code of this packaging.
    pub code: ErpCode,
    /// Every packaging of the product, its main one first.
    pub packagings: Vec<Packaging>,
    /// Sold without regard to stock.
    pub unlimited: bool,
    /// Base units that the ERP held for each order before the reading began, whether it is known here or not.
    pub held: BTreeMap<OrderId, Qty>,
    /// Base units of each live order over all packagings: what it takes of the product.
    pub live: BTreeMap<OrderId, Qty>,
}

impl PackTerms {
    /// Returns the free base units of the product, which may be below zero.
    ///
    /// The ERP excludes no more of an order than the order has: what it holds beyond that counts as sold.
    pub fn free(&self, stock: Qty) -> Qty {
        let held = |order: &OrderId| self.held.get(order).copied().unwrap_or_default();
        let owed = |(order, units): (&OrderId, &Qty)| *units - held(order).clamp(Qty::ZERO, *units);
        stock - self.live.iter().map(owed).sum()
    }

    /// Returns this packaging's share of the free base units, in whole packs.
    ///
    /// A shortage is below zero for each packaging alone: when an order that the storefront still reserves is canceled
    /// there, it offers the units at once, whichever packaging they were sold in, and the shortage is owed first.
    pub fn share(&self, stock: Qty) -> i64 {
        let free = self.free(stock);
        if free.is_negative() {
            let own = self.packagings.iter().find(|p| p.code == self.code);
            return own.map_or(0, |packaging| packaging::packs(free, packaging.factor));
        }
        let factors: Vec<_> = self.packagings.iter().map(|p| Some(p.factor)).collect();
        let parts = packaging::partition(free, &factors);
        let own = |(packaging, share): (&Packaging, Option<Qty>)| {
            (packaging.code == self.code).then_some((share?, packaging.factor))
        };
        self.packagings
            .iter()
            .zip(parts.shares)
            .find_map(own)
            .map_or(0, |(share, factor)| packaging::packs(share, factor))
    }
}

impl QuantityTerms {
    /// Returns P: the sum over the counted bases.
    pub fn stock(&self) -> Qty {
        self.bases.values().copied().sum()
    }

    /// Returns Q, not yet rounded or clamped.
    pub fn quantity(&self) -> Qty {
        if let Some(packs) = &self.packs {
            let waiting = self.orders.iter().filter(|order| !order.acknowledged);
            let waiting: i64 = waiting.map(|order| order.present).sum();
            return Qty::whole(packs.share(self.stock()) + waiting) - self.safety;
        }
        let booked: i64 = self.orders.iter().map(OrderTerm::booked).sum();
        let taken: i64 = self.orders.iter().map(OrderTerm::taken).sum();
        self.stock() + Qty::whole(booked) - Qty::whole(taken) - self.safety
    }

    /// Tells whether the storefront has promised more than there is, with what it reserves and the units of outgoing
    /// movements whose outcome is open.
    pub fn oversold(&self, reserved: i64, out_open: i64) -> bool {
        let short = |packs: &PackTerms| packs.free(self.stock()).is_negative();
        let free = self.quantity() + self.safety + Qty::whole(out_open);
        self.packs.as_ref().is_some_and(short) || free < Qty::whole(reserved)
    }

    /// Returns the number to publish: whole units, at least 0, within the storefront's 31 bits, or [`UNLIMITED`].
    pub fn desired(&self) -> i64 {
        if self.packs.as_ref().is_some_and(|packs| packs.unlimited) {
            return UNLIMITED;
        }
        self.quantity().floor_units().clamp(0, i64::from(i32::MAX))
    }

    /// Tells whether every base that counts was read.
    pub fn complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Tells whether the number can be sent although a base is missing: the storefront then offers no more than now,
    /// whichever acknowledged reservations the write clears.
    ///
    /// The sum alone is no such promise: a missing shop may be negative.
    pub fn lowers(&self, total: i64, reserved: i64) -> bool {
        let waiting = self.orders.iter().filter(|order| !order.acknowledged);
        let kept = waiting
            .map(|order| order.present)
            .sum::<i64>()
            .min(reserved);
        self.desired().saturating_sub(kept) <= total.saturating_sub(reserved)
    }
}

/// How a base with negative stock counts. The virtual depot always counts as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NegativeShop {
    /// As it is: another base's surplus covers it.
    #[default]
    Add,
    /// As zero.
    Zero,
}

/// Stock of some variants per base, as an ERP gave it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StockLevels {
    /// What each variant asked for looks like. One that is not listed could not be read at all.
    pub variants: BTreeMap<ErpCode, VariantLevels>,
    /// Bases that could not be read for any variant, with the reason.
    pub missing: BTreeMap<BaseCode, String>,
    /// Variants of which two roads gave two figures, in one sentence each, whatever was then made of them.
    pub doubts: BTreeMap<ErpCode, String>,
    /// How it was read (`api`, `api bulk`, `sql`).
    pub road: String,
}

/// Stock of one variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VariantLevels {
    /// The ERP knows the variant: its stock per base. A base that is not listed is missing, never zero.
    Known(BTreeMap<BaseCode, Qty>),
    /// A packaging of a product whose packagings share one stock, per base. A base that is not listed is missing. Boxed,
    /// since a map keeps room for eleven, and most have one.
    Packed(BTreeMap<BaseCode, Box<PackedLevel>>),
    /// A complete answer did not mention the variant: unknown to the ERP, which is not the same as zero.
    Absent,
    /// The answer about this variant contradicted itself or could not be read, with the reason.
    Unreadable(String),
}

impl VariantLevels {
    /// Returns the product whose stock a packaging shares.
    pub fn product(&self) -> Option<&ErpCode> {
        match self {
            Self::Packed(bases) => bases.values().next().map(|level| &level.product),
            Self::Known(_) | Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// Returns how many whole or broken units of this variant each base holds; `None` when the ERP did not tell.
    ///
    /// Of a packaging: how many packs the product's whole stock would make, as a person who fetches one sees it.
    pub fn by_base(&self, code: &ErpCode) -> Option<BTreeMap<BaseCode, Qty>> {
        match self {
            Self::Known(bases) => Some(bases.clone()),
            Self::Packed(bases) => {
                let packs = |level: &PackedLevel| Some(Qty::whole(level.packs(code)?));
                let mut found = BTreeMap::new();
                for (base, level) in bases {
                    found.insert(base.clone(), packs(level)?);
                }
                Some(found)
            }
            Self::Absent | Self::Unreadable(_) => None,
        }
    }
}

/// The stock of a product in one base, as one of its packagings sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedLevel {
    /// The ERP's code of the product.
    pub product: ErpCode,
    /// Its stock there in base units, never clamped.
    pub stock: Qty,
    /// Every packaging it is sold in there, its main one first; factors are above zero.
    pub packagings: Vec<Packaging>,
    /// Sold without regard to stock.
    pub unlimited: bool,
}

impl PackedLevel {
    fn packs(&self, code: &ErpCode) -> Option<i64> {
        let own = self.packagings.iter().find(|p| p.code == *code)?;
        Some(packaging::packs(self.stock, own.factor))
    }
}

/// An order as an ERP holds it that takes the storefront's orders by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOrder {
    /// The number people know it by in the ERP.
    pub number: String,
    /// Whether the ERP reserves for it, or has already shipped it; false while it is only pending there.
    pub reserved: bool,
    /// Base units per product (the code that [`PackedLevel::product`] names) and base.
    pub lines: Vec<(ErpCode, BaseCode, Qty)>,
}

/// One stock reading with the instant it began: what was booked later is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The store's counter when the reading began.
    pub start_seq: crate::domain::ids::Seq,
    /// When the reading began, in the storefront's time, rounded down and a second early.
    pub t: Moment,
    /// What the ERP held of the storefront's orders before the reading began; empty where it books none by itself.
    pub held: BTreeMap<OrderId, HeldOrder>,
    /// What was read.
    pub levels: StockLevels,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(
        present: i64,
        acknowledged: bool,
        out_done: i64,
        in_live: i64,
        in_planned: i64,
    ) -> OrderTerm {
        let order = OrderId::parse("o-1").unwrap();
        OrderTerm {
            order,
            present,
            acknowledged,
            out_done,
            in_live,
            in_planned,
        }
    }

    fn terms(stock: i64, orders: Vec<OrderTerm>) -> QuantityTerms {
        QuantityTerms {
            read_at: Moment(0),
            road: "api".into(),
            bases: BTreeMap::from([(BaseCode::parse("A").unwrap(), Qty::whole(stock))]),
            missing: vec![],
            orders,
            safety: Qty::ZERO,
            vanished: false,
            packs: None,
        }
    }

    /// VTEX's worked example: 10 units, orders a (2) and b (3), in the order of the published table.
    #[test]
    fn the_worked_example_gives_the_published_numbers() {
        let a = |acknowledged, booked| term(2, acknowledged, if booked { 2 } else { 0 }, 0, 0);
        let b = |acknowledged, booked| term(3, acknowledged, if booked { 3 } else { 0 }, 0, 0);
        let steps = [
            (10, vec![], 10),
            (10, vec![a(true, false), b(false, false)], 8),
            (8, vec![a(true, true), b(false, false)], 8),
            (5, vec![a(true, true), b(false, true)], 8),
            (5, vec![a(true, true), b(true, true)], 5),
            (8, vec![a(true, true), term(0, false, 3, 3, 0)], 8),
        ];
        for (stock, orders, desired) in steps {
            assert_eq!(terms(stock, orders).desired(), desired);
        }
    }

    #[test]
    fn a_canceled_order_counts_until_its_reversal_may_have_been_applied() {
        assert_eq!(
            term(0, false, 3, 0, 3).booked(),
            3,
            "reversal planned: P still excludes the units"
        );
        assert_eq!(
            term(0, false, 3, 3, 0).booked(),
            0,
            "reversal sent or booked: P may hold them again"
        );
        assert_eq!(
            term(0, false, 3, 0, 0).booked(),
            0,
            "no reversal of ours: a person puts the goods back"
        );
    }

    #[test]
    fn fractions_are_rounded_down_and_nothing_is_published_below_zero() {
        let mut half = terms(0, vec![]);
        half.bases = BTreeMap::from([(BaseCode::parse("A").unwrap(), Qty::parse("2.75").unwrap())]);
        assert_eq!(half.desired(), 2);
        half.safety = Qty::whole(5);
        assert_eq!(half.desired(), 0);
        assert!(half.quantity().is_negative());
    }

    /// A product in packs of 1, 6 and 12, seen by its pack of 6.
    fn six_pack(
        stock: i64,
        own: Vec<OrderTerm>,
        held: &[(&str, i64)],
        live: &[(&str, i64)],
    ) -> QuantityTerms {
        let code = |text: &str| ErpCode::parse(text).unwrap();
        let packaging = |text: &str, factor: i64| Packaging {
            code: code(text),
            factor: Qty::whole(factor),
        };
        let units = |list: &[(&str, i64)]| {
            let pair =
                |(id, units): &(&str, i64)| (OrderId::parse(id).unwrap(), Qty::whole(*units));
            list.iter().map(pair).collect::<BTreeMap<_, _>>()
        };
        let mut terms = terms(stock, own);
        terms.packs = Some(PackTerms {
            code: code("22-9"),
            packagings: vec![
                packaging("11-9", 1),
                packaging("22-9", 6),
                packaging("33-9", 12),
            ],
            unlimited: false,
            held: units(held),
            live: units(live),
        });
        terms
    }

    #[test]
    fn a_packaging_gets_its_share_of_what_is_free_and_its_own_waiting_orders() {
        // 100 free: 5 packs of each, the rest to the single unit.
        assert_eq!(six_pack(100, vec![], &[], &[]).desired(), 5);
        // Two packs of ours wait, the ERP has not reserved them: 88 free, 4 packs and our own 2.
        let waiting = || vec![term(2, false, 0, 0, 0)];
        assert_eq!(six_pack(100, waiting(), &[], &[("o-1", 12)]).desired(), 6);
        // The ERP has reserved them: its 88 are what is free.
        assert_eq!(
            six_pack(88, waiting(), &[("o-1", 12)], &[("o-1", 12)]).desired(),
            6
        );
        // In handling, the storefront no longer subtracts them by itself.
        let taken = vec![term(2, true, 0, 0, 0)];
        assert_eq!(
            six_pack(88, taken, &[("o-1", 12)], &[("o-1", 12)]).desired(),
            4
        );
        // An order of a sibling takes from the same stock.
        assert_eq!(six_pack(100, vec![], &[], &[("o-2", 60)]).desired(), 2);
    }

    #[test]
    fn what_the_erp_holds_beyond_the_order_is_sold() {
        let terms = six_pack(40, vec![], &[("o-1", 60)], &[("o-1", 12)]);
        assert_eq!(
            terms.packs.as_ref().unwrap().free(terms.stock()),
            Qty::whole(40)
        );
    }

    #[test]
    fn a_shortage_is_taken_off_what_the_storefront_subtracts_itself() {
        let short = |stock| six_pack(stock, vec![term(2, false, 0, 0, 0)], &[], &[("o-1", 12)]);
        // Two packs are promised and one is there: were the order canceled, one could be sold.
        assert_eq!(short(7).desired(), 1);
        assert_eq!(short(12).desired(), 2);
        assert_eq!(short(-5).desired(), 0);
        assert!(short(-5).oversold(2, 0));
        assert!(!six_pack(100, vec![], &[], &[]).oversold(5, 0));
    }

    #[test]
    fn sold_without_regard_to_stock_is_no_number() {
        let mut terms = six_pack(0, vec![], &[], &[]);
        terms.packs.as_mut().unwrap().unlimited = true;
        assert_eq!(terms.desired(), UNLIMITED);
        assert_eq!(shown(terms.desired()), "without limit");
        assert_eq!(shown(7), "7");
    }
}
