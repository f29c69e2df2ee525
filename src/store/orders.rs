//! Orders and their ledger rows.

use std::collections::BTreeMap;

use rusqlite::{Row, named_params};

use crate::domain::ids::{OrderId, Seq, SkuId, WarehouseId};
use crate::domain::order::{
    OrderDocument, OrderFacts, OrderStage, OrderState, ReservationLook, need, state_of,
};
use crate::domain::stock::OrderTerm;
use crate::domain::time::Moment;
use crate::store::{
    Due, Store, StoreError, StoreResult, Tx, json_as, moment, parsed, text_as, to_json,
};

/// An order as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// The order.
    pub id: OrderId,
    /// The vendor's status word.
    pub status: String,
    /// What it means.
    pub stage: OrderStage,
    /// When it was placed.
    pub created: Option<Moment>,
    /// When its document last changed.
    pub last_change: Option<Moment>,
    /// Whether payment is settled.
    pub complete: bool,
    /// Whether the storefront's workflow is stuck.
    pub workflow_in_error: bool,
    /// Whether a package or invoice is attached.
    pub has_package: bool,
    /// When the goods were promised.
    pub delivery_date: Option<Moment>,
    /// Where the customer collects them.
    pub pickup_point: Option<String>,
    /// The storefront's reservations.
    pub reservations: Vec<String>,
    /// What makes its lines unusable.
    pub problems: Vec<String>,
    /// How it was found.
    pub found_by: String,
    /// When it was first seen.
    pub seen_at: Moment,
    /// When it was last read.
    pub read_at: Moment,
    /// The counter at its last fact.
    pub fact_seq: Seq,
    /// The facts that give its state.
    pub facts: OrderFacts,
    /// When handling was first seen in the storefront.
    pub handling_seen: Option<Moment>,
    /// When its reservation was found gone.
    pub reservation_gone: Option<Moment>,
    /// When it was seen invoiced.
    pub invoiced: Option<Moment>,
    /// Why it is parked.
    pub parked_reason: Option<String>,
    /// Since when it is held up in the storefront (unpaid, workflow in error).
    pub stuck_since: Option<Moment>,
    /// Whether `reserve` must look at it.
    pub replan: bool,
    /// Until when it waits.
    pub not_before: Moment,
    /// A person says that what came before this program has booked it.
    pub booked_before: bool,
    /// In which generation of the memory the ERP was searched for movements that the memory has lost.
    pub searched_generation: i64,
}

impl OrderRow {
    /// Derives the order's state.
    pub fn state(&self) -> StoreResult<OrderState> {
        state_of(&self.facts).map_err(|err| StoreError::Bug(format!("order {}: {err}", self.id)))
    }

    /// Tells whether it is in A by our request alone: nothing that the storefront has shown puts it there.
    pub fn only_requested(&self) -> bool {
        self.facts.acknowledged.is_some()
            && self.handling_seen.is_none()
            && self.reservation_gone.is_none()
            && !self.stage.shows_handling()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let stage: String = row.get(2)?;
        Ok(Self {
            id: text_as(row, 0)?,
            status: row.get(1)?,
            stage: parsed(2, &stage, OrderStage::parse(&stage).ok_or("no such stage"))?,
            created: moment(row, 3)?,
            last_change: moment(row, 4)?,
            complete: row.get(5)?,
            workflow_in_error: row.get(6)?,
            has_package: row.get(7)?,
            delivery_date: moment(row, 9)?,
            pickup_point: row.get(10)?,
            reservations: json_as(row, 11)?,
            problems: json_as(row, 12)?,
            found_by: row.get(13)?,
            seen_at: Moment(row.get(14)?),
            read_at: Moment(row.get(15)?),
            fact_seq: Seq(row.get(16)?),
            facts: OrderFacts {
                before_cutover: row.get(8)?,
                taken: moment(row, 17)?,
                reserved: moment(row, 18)?,
                booked: moment(row, 19)?,
                acknowledged: moment(row, 20)?,
                canceled: moment(row, 24)?,
                settled: moment(row, 25)?,
                parked: moment(row, 26)?,
            },
            handling_seen: moment(row, 21)?,
            reservation_gone: moment(row, 22)?,
            invoiced: moment(row, 23)?,
            parked_reason: row.get(27)?,
            stuck_since: moment(row, 28)?,
            replan: row.get(29)?,
            not_before: Moment(row.get(30)?),
            booked_before: row.get(31)?,
            searched_generation: row.get(32)?,
        })
    }
}

/// One ledger row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRow {
    /// What was sold.
    pub sku: SkuId,
    /// From which warehouse.
    pub warehouse: WarehouseId,
    /// The order's present units.
    pub units: u32,
    /// The units reserved when `reserve` last looked.
    pub reserved: u32,
    /// Whether the row counts in the number of its SKU.
    pub live: bool,
}

/// How an order was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// By an event of the feed.
    Feed,
    /// By the sweep only: the feed missed it.
    Sweep,
    /// By the list of the newest orders.
    List,
    /// By an operator's backfill.
    Operator,
    /// In the list of orders that an older program had processed.
    Import,
}

impl FoundBy {
    /// Returns the word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Sweep => "sweep",
            Self::List => "list",
            Self::Operator => "operator",
            Self::Import => "import",
        }
    }
}

/// What one reading of an order told, besides its document.
#[derive(Debug, Clone)]
pub struct Observation<'a> {
    /// The document.
    pub document: &'a OrderDocument,
    /// How the order was found.
    pub found_by: FoundBy,
    /// Wall time.
    pub now: Moment,
    /// Now in the storefront's time.
    pub store_time: Moment,
    /// Orders placed before this are not ours to move.
    pub cutover: Moment,
    /// What a look at its reservations told.
    pub reservations: ReservationLook,
}

/// What recording an observation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The order was not known.
    pub new: bool,
    /// A fact or a line changed.
    pub changed: bool,
}

impl Store {
    /// Reads one order.
    pub fn order(&self, id: &OrderId) -> StoreResult<Option<OrderRow>> {
        let sql = include_str!("../../sql/store/order_get.sql");
        self.maybe(
            sql,
            named_params! { ":order_id": id.as_str() },
            OrderRow::read,
        )
    }

    /// Lists orders that `reserve` must look at.
    pub fn orders_to_replan(&self, due: Due, limit: u32) -> StoreResult<Vec<OrderRow>> {
        let sql = include_str!("../../sql/store/orders_replan.sql");
        self.many(
            sql,
            named_params! { ":by": due.by.0, ":absurd": due.absurd.0, ":limit": limit },
            OrderRow::read,
        )
    }

    /// Lists open orders not read since `before`, longest unread first.
    pub fn orders_to_reread(
        &self,
        before: Moment,
        now: Moment,
        limit: u32,
    ) -> StoreResult<Vec<OrderRow>> {
        let sql = include_str!("../../sql/store/orders_to_reread.sql");
        self.many(
            sql,
            named_params! { ":before": before.0, ":now": now.0, ":limit": limit },
            OrderRow::read,
        )
    }

    /// Lists parked orders.
    pub fn orders_parked(&self, limit: u32) -> StoreResult<Vec<OrderRow>> {
        self.many(
            include_str!("../../sql/store/orders_parked.sql"),
            named_params! { ":limit": limit },
            OrderRow::read,
        )
    }

    /// Lists open orders.
    pub fn orders_open(&self, limit: u32) -> StoreResult<Vec<OrderRow>> {
        self.many(
            include_str!("../../sql/store/orders_open.sql"),
            named_params! { ":limit": limit },
            OrderRow::read,
        )
    }

    /// Lists orders with a live line of a SKU.
    pub fn orders_of_sku(&self, sku: &SkuId) -> StoreResult<Vec<OrderRow>> {
        let sql = include_str!("../../sql/store/orders_of_sku.sql");
        self.many(sql, named_params! { ":sku": sku.as_str() }, OrderRow::read)
    }

    /// Tells whether an order of a SKU may have moved on in a time that this memory has lost, and was not looked for yet.
    pub fn may_have_moved(&self, sku: &SkuId, warehouse: &WarehouseId) -> StoreResult<bool> {
        let sql = include_str!("../../sql/store/sku_may_have_moved.sql");
        let params = named_params! { ":sku": sku.as_str(), ":warehouse": warehouse.as_str() };
        self.one(sql, params, |row| row.get(0))
    }

    /// Lists the open orders of a SKU that are not yet in A.
    pub fn unacknowledged_orders(&self, sku: &SkuId) -> StoreResult<Vec<OrderId>> {
        let sql = include_str!("../../sql/store/orders_unacknowledged_of_sku.sql");
        self.many(sql, named_params! { ":sku": sku.as_str() }, |row| {
            text_as(row, 0)
        })
    }

    /// Lists the live orders of a SKU and of those that share its stock.
    pub fn orders_sharing(&self, sku: &SkuId) -> StoreResult<Vec<OrderId>> {
        let sql = include_str!("../../sql/store/orders_sharing.sql");
        self.many(sql, named_params! { ":sku": sku.as_str() }, |row| {
            text_as(row, 0)
        })
    }

    /// Counts open orders per state, with the instant the oldest of each was first seen.
    pub fn order_states(&self) -> StoreResult<BTreeMap<OrderState, (u64, Moment)>> {
        let sql = include_str!("../../sql/store/order_states.sql");
        let rows = self.many(sql, [], |row| {
            let facts = OrderFacts {
                taken: moment(row, 0)?,
                reserved: moment(row, 1)?,
                booked: moment(row, 2)?,
                acknowledged: moment(row, 3)?,
                settled: moment(row, 4)?,
                canceled: moment(row, 5)?,
                parked: moment(row, 6)?,
                before_cutover: row.get(7)?,
            };
            Ok((facts, Moment(row.get(8)?)))
        })?;
        let mut states = BTreeMap::new();
        for (facts, seen) in rows {
            let state = state_of(&facts).map_err(|err| StoreError::Bug(err.to_string()))?;
            let (count, oldest) = states.entry(state).or_insert((0, seen));
            *count += 1;
            *oldest = (*oldest).min(seen);
        }
        Ok(states)
    }

    /// Lists an order's ledger rows.
    pub fn lines(&self, id: &OrderId) -> StoreResult<Vec<LineRow>> {
        let sql = include_str!("../../sql/store/lines_of_order.sql");
        self.many(sql, named_params! { ":order_id": id.as_str() }, |row| {
            Ok(LineRow {
                sku: text_as(row, 0)?,
                warehouse: text_as(row, 1)?,
                units: row.get(2)?,
                reserved: row.get(3)?,
                live: row.get(4)?,
            })
        })
    }

    /// Lists the orders with a part in a number, and the units of outgoing movements whose outcome is open.
    ///
    /// With `by_remito` a movement counts from its remito on, as the reading without the virtual depot needs.
    pub fn terms(
        &self,
        sku: &SkuId,
        warehouse: &WarehouseId,
        start_seq: Seq,
        by_remito: bool,
    ) -> StoreResult<(Vec<OrderTerm>, i64)> {
        let sql = include_str!("../../sql/store/terms_of_sku.sql");
        let params = named_params! { ":sku": sku.as_str(), ":warehouse": warehouse.as_str(), ":start_seq": start_seq.0,
        ":by_remito": by_remito };
        let rows = self.many(sql, params, |row| {
            let term = OrderTerm {
                order: text_as(row, 0)?,
                present: row.get(1)?,
                acknowledged: row.get(2)?,
                out_done: row.get(3)?,
                in_live: row.get(4)?,
                in_planned: row.get(5)?,
            };
            Ok((term, row.get::<_, i64>(6)?))
        })?;
        let open = rows.iter().map(|(_, open)| open).sum();
        Ok((rows.into_iter().map(|(term, _)| term).collect(), open))
    }
}

impl Tx<'_> {
    /// Records what a reading of an order told: facts only ever gained, lines as they are now, SKUs made due.
    ///
    /// An older document than the stored one changes nothing; a canceled order does not come back to life.
    pub fn observe(&self, seen: &Observation<'_>) -> StoreResult<Recorded> {
        let document = seen.document;
        let old = self.order(&document.id)?;
        if let Some(old) = &old
            && outdated(old, document, seen.now)
        {
            self.run(
                include_str!("../../sql/store/order_touch.sql"),
                named_params! { ":order_id": document.id.as_str(), ":now": seen.now.0 },
            )?;
            return Ok(Recorded {
                new: false,
                changed: false,
            });
        }
        // An order whose movement is remembered but whose row is gone was settled long ago.
        let forgotten = old.is_none() && !self.attempts_of(&document.id)?.is_empty();
        let facts = gather(old.as_ref(), seen, forgotten);
        let lines_changed = self.lines_differ(document)?;
        let stage_changed = old.as_ref().is_none_or(|old| old.stage != document.stage);
        let facts_changed = old.as_ref().is_none_or(|old| facts.differ(old));
        let changed = lines_changed || facts_changed;
        let fact_seq = if changed {
            self.next_seq()?
        } else {
            old.as_ref().map_or(Seq(0), |old| old.fact_seq)
        };
        let replan = facts.plannable()
            && (changed || stage_changed || old.as_ref().is_some_and(|old| old.replan));
        let replan = replan || old.as_ref().is_some_and(|old| old.replan);
        self.put_order(seen, &facts, fact_seq, replan)?;
        if changed {
            self.put_lines(document, facts.settled.is_none())?;
            let ack_t = if old.as_ref().is_none_or(|old| old.handling_seen.is_none()) {
                facts.handling_seen
            } else {
                None
            };
            // A person may have started its handling before it was canceled, unseen: the store then still subtracts it.
            let unseen = old.as_ref().is_none_or(|old| old.facts.canceled.is_none());
            let ack_t = ack_t.or(facts.canceled.filter(|_| unseen));
            let ack_t = ack_t.map(|_| seen.store_time);
            self.order_pushes_due(&document.id, fact_seq, seen.store_time, ack_t)?;
        }
        Ok(Recorded {
            new: old.is_none(),
            changed,
        })
    }

    fn lines_differ(&self, document: &OrderDocument) -> StoreResult<bool> {
        let held: BTreeMap<_, _> = self
            .lines(&document.id)?
            .into_iter()
            .filter(|l| l.units > 0)
            .map(|l| ((l.sku, l.warehouse), l.units))
            .collect();
        Ok(held != need(&document.lines))
    }

    fn put_order(
        &self,
        seen: &Observation<'_>,
        facts: &Gathered,
        seq: Seq,
        replan: bool,
    ) -> StoreResult<()> {
        let document = seen.document;
        let ms = |moment: Option<Moment>| moment.map(|m| m.0);
        let stuck = document.stage.taken() && (!document.complete || document.workflow_in_error);
        self.run(
            include_str!("../../sql/store/order_upsert.sql"),
            named_params! {
                ":order_id": document.id.as_str(), ":status": document.status, ":stage": document.stage.as_str(),
                ":created_at": ms(document.created), ":last_change": ms(document.last_change),
                ":complete": document.complete, ":workflow_in_error": document.workflow_in_error,
                ":has_package": document.has_package, ":before_cutover": facts.before_cutover,
                ":delivery_date": ms(document.delivery_date), ":pickup_point": document.pickup_point,
                ":reservations": to_json(&document.reservations)?, ":problems": to_json(&document.problems)?,
                ":found_by": seen.found_by.as_str(), ":now": seen.now.0, ":fact_seq": seq.0,
                ":taken_at": ms(facts.taken), ":acknowledged_at": ms(facts.acknowledged),
                ":handling_seen_at": ms(facts.handling_seen), ":reservation_gone_at": ms(facts.gone),
                ":invoiced_at": ms(facts.invoiced), ":canceled_at": ms(facts.canceled),
                ":settled_at": ms(facts.settled),
                ":stuck_since": if stuck { facts.stuck_since.or(Some(seen.now)).map(|m| m.0) } else { None },
                ":replan": replan,
            },
        )?;
        Ok(())
    }

    fn put_lines(&self, document: &OrderDocument, live: bool) -> StoreResult<()> {
        let mut wanted = need(&document.lines);
        for line in self.lines(&document.id)? {
            wanted.entry((line.sku, line.warehouse)).or_insert(0);
        }
        for ((sku, warehouse), units) in wanted {
            self.run(
                include_str!("../../sql/store/line_put.sql"),
                named_params! { ":order_id": document.id.as_str(), ":sku": sku.as_str(),
                ":warehouse": warehouse.as_str(), ":units": units, ":live": live },
            )?;
        }
        Ok(())
    }

    /// Makes the SKUs of an order due for push; `ack_t` when an acknowledged reservation may wait to be cleared.
    pub fn order_pushes_due(
        &self,
        id: &OrderId,
        seq: Seq,
        t: Moment,
        ack_t: Option<Moment>,
    ) -> StoreResult<()> {
        for line in self.lines(id)?.iter().filter(|line| line.live) {
            self.push_due(&line.sku, &line.warehouse, seq, t, ack_t)?;
        }
        Ok(())
    }

    /// Parks an order: it waits for a person, with the reason.
    pub fn park(&self, id: &OrderId, reason: &str, now: Moment) -> StoreResult<()> {
        let seq = self.next_seq()?;
        self.run(
            include_str!("../../sql/store/order_park.sql"),
            named_params! { ":order_id": id.as_str(), ":reason": reason, ":now": now.0, ":seq": seq.0 },
        )?;
        Ok(())
    }

    /// Takes an order out of the park.
    pub fn unpark(&self, id: &OrderId) -> StoreResult<()> {
        let seq = self.next_seq()?;
        self.run(
            include_str!("../../sql/store/order_unpark.sql"),
            named_params! { ":order_id": id.as_str(), ":seq": seq.0 },
        )?;
        Ok(())
    }

    /// Makes `reserve` look at an order in its next run, whatever it is about to record now.
    pub fn plan_again(&self, id: &OrderId) -> StoreResult<()> {
        let seq = self.next_seq()?;
        self.run(
            include_str!("../../sql/store/order_plan_again.sql"),
            named_params! { ":order_id": id.as_str(), ":seq": seq.0 },
        )?;
        Ok(())
    }

    /// Records that `reserve` has looked at the order as it was read; `false`, and nothing, when it has changed since.
    pub fn looked_at(&self, order: &OrderRow) -> StoreResult<bool> {
        let changed = self.run(
            include_str!("../../sql/store/order_looked_at.sql"),
            named_params! { ":order_id": order.id.as_str(), ":fact_seq": order.fact_seq.0 },
        )?;
        Ok(changed == 1)
    }

    /// Makes an order wait before `reserve` looks at it again, unless it has changed since it was read.
    pub fn put_off(&self, order: &OrderRow, until: Moment) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/order_put_off.sql"),
            named_params! { ":order_id": order.id.as_str(), ":fact_seq": order.fact_seq.0, ":until": until.0 },
        )?;
        Ok(())
    }

    /// Records that the ledger follows the order's present lines; `replan` when something is still to be planned.
    pub fn reserved(&self, id: &OrderId, now: Moment, replan: bool) -> StoreResult<()> {
        let seq = self.next_seq()?;
        self.run(
            include_str!("../../sql/store/lines_reserve.sql"),
            named_params! { ":order_id": id.as_str() },
        )?;
        self.run(
            include_str!("../../sql/store/order_reserved.sql"),
            named_params! { ":order_id": id.as_str(), ":now": now.0, ":replan": replan, ":seq": seq.0 },
        )?;
        Ok(())
    }

    /// Takes back what was reserved for a canceled order.
    pub fn release(&self, id: &OrderId) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/lines_release.sql"),
            named_params! { ":order_id": id.as_str() },
        )?;
        self.close_picks(id)
    }

    /// Records that the order is in B as a whole, or no longer.
    pub fn set_booked(&self, id: &OrderId, at: Option<Moment>, seq: Seq) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/order_booked.sql"),
            named_params! { ":order_id": id.as_str(), ":booked_at": at.map(|m| m.0), ":seq": seq.0 },
        )?;
        Ok(())
    }

    /// Records that the order joins A, or leaves it again (its start of handling was certainly not sent).
    pub fn set_acknowledged(&self, id: &OrderId, at: Option<Moment>, seq: Seq) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/order_acknowledged.sql"),
            named_params! { ":order_id": id.as_str(), ":acknowledged_at": at.map(|m| m.0), ":seq": seq.0 },
        )?;
        Ok(())
    }

    /// Records a person's word about the orders placed before the cut-over: booked by what came before this program, or
    /// this program's to book. Returns them.
    pub fn resolve_before_cutover(&self, booked: bool) -> StoreResult<Vec<OrderId>> {
        let seq = self.next_seq()?;
        let sql = if booked {
            include_str!("../../sql/store/orders_booked_before.sql")
        } else {
            include_str!("../../sql/store/orders_taken_over.sql")
        };
        self.many(sql, named_params! { ":seq": seq.0 }, |row| text_as(row, 0))
    }

    /// Records a person's word that an order was booked without this program.
    pub fn set_booked_before(&self, id: &OrderId) -> StoreResult<()> {
        let seq = self.next_seq()?;
        self.run(
            include_str!("../../sql/store/order_booked_before.sql"),
            named_params! { ":order_id": id.as_str(), ":seq": seq.0 },
        )?;
        Ok(())
    }

    /// Settles every order with nothing left to do; returns them. `remito_needed` in the reading without the depot.
    pub fn settle(&self, now: Moment, remito_needed: bool) -> StoreResult<Vec<OrderId>> {
        let sql = include_str!("../../sql/store/orders_settle.sql");
        let params = named_params! { ":now": now.0, ":remito_needed": remito_needed };
        let settled = self.many(sql, params, |row| text_as::<OrderId, _>(row, 0))?;
        for id in &settled {
            self.run(
                include_str!("../../sql/store/lines_close.sql"),
                named_params! { ":order_id": id.as_str() },
            )?;
            self.close_picks(id)?;
        }
        Ok(settled)
    }
}

/// Tells whether a document is older than what is stored: by its last change, then by the rank of its stage.
///
/// Odd dates (placeholders, the far future) decide nothing: the storefront was asked just now, so its word counts.
fn outdated(old: &OrderRow, document: &OrderDocument, now: Moment) -> bool {
    let usable = |moment: Option<Moment>| moment.filter(|m| m.plausible(now));
    match (usable(old.last_change), usable(document.last_change)) {
        (Some(held), Some(came)) => came < held || (came == held && document.stage < old.stage),
        _ => false,
    }
}

/// The facts after an observation.
struct Gathered {
    before_cutover: bool,
    taken: Option<Moment>,
    acknowledged: Option<Moment>,
    handling_seen: Option<Moment>,
    gone: Option<Moment>,
    invoiced: Option<Moment>,
    canceled: Option<Moment>,
    settled: Option<Moment>,
    stuck_since: Option<Moment>,
}

impl Gathered {
    fn differ(&self, old: &OrderRow) -> bool {
        self.taken != old.facts.taken
            || self.acknowledged != old.facts.acknowledged
            || self.handling_seen != old.handling_seen
            || self.gone != old.reservation_gone
            || self.invoiced != old.invoiced
            || self.canceled != old.facts.canceled
    }

    /// Whether `reserve` may have something to do.
    fn plannable(&self) -> bool {
        !self.before_cutover
            && self.settled.is_none()
            && (self.taken.is_some() || self.canceled.is_some())
    }
}

fn gather(old: Option<&OrderRow>, seen: &Observation<'_>, forgotten: bool) -> Gathered {
    let document = seen.document;
    let now = Some(seen.now);
    let held = |fact: Option<Moment>, is: bool| fact.or(if is { now } else { None });
    let canceled = held(
        old.and_then(|o| o.facts.canceled),
        document.stage == OrderStage::Canceled,
    );
    let dead = canceled.is_some();
    let invoiced = held(
        old.and_then(|o| o.invoiced),
        document.stage == OrderStage::Invoiced,
    );
    let look = seen.reservations;
    let (acknowledged, gone) = (
        look == ReservationLook::Acknowledged,
        look == ReservationLook::Gone,
    );
    let shows = document.stage.shows_handling() || acknowledged || gone;
    let was_acknowledged = old.and_then(|o| o.facts.acknowledged);
    let seen_in_handling = document.stage == OrderStage::Handling
        || acknowledged
        || (was_acknowledged.is_some()
            && !matches!(look, ReservationLook::Held | ReservationLook::Refused)
            && matches!(document.stage, OrderStage::Invoicing | OrderStage::Invoiced));
    let before_cutover = old.map_or_else(
        || document.created.is_some_and(|at| at < seen.cutover),
        |o| o.facts.before_cutover,
    );
    let history = old.is_none() && before_cutover && (invoiced.is_some() || dead);
    Gathered {
        before_cutover,
        taken: held(old.and_then(|o| o.facts.taken), document.stage.taken()),
        acknowledged: if dead {
            None
        } else {
            held(was_acknowledged, shows)
        },
        handling_seen: held(old.and_then(|o| o.handling_seen), seen_in_handling),
        gone: held(old.and_then(|o| o.reservation_gone), gone),
        invoiced,
        canceled,
        settled: held(old.and_then(|o| o.facts.settled), history || forgotten),
        stuck_since: old.and_then(|o| o.stuck_since),
    }
}
