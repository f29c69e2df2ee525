//! Publishes the right number of every SKU touched (or of all), by the steps P1–P6 of the protocol.
//!
//! P1 read the ERP, its instant first. P2 under the storefront's lock, read every open order of these SKUs that is not
//! in A, and what the storefront holds. P3 write the intent. P4 send. P5 read back; only an equal number confirms.
//! P6 what is not confirmed, or may have changed since the reading, stays due. All of it is level-triggered: any number
//! of runs in any order ends at the same numbers.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::{ErpCode, OrderId, SkuId, WarehouseId};
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::ports::{PortError, PortResult};
use crate::domain::stock::{QuantityTerms, Reading, StockLevels};
use crate::stages::context::{BATCH, Context, Pace, distinct, in_parallel};
use crate::stages::publish::{Candidate, hold, hold_all, push_chunk};
use crate::stages::quantity::{Figure, Item, figure, items};
use crate::stages::report::{Halt, Report, StageResult};
use crate::stages::{intake, order_book, reconcile};
use crate::store::StoreResult;
use crate::store::orders::FoundBy;
use crate::store::pushes::PushRow;

/// The mark that holds how far the ERP's changes were read.
const CHANGES: &str = "changes";

/// So many numbers are looked at before what is right is let go: a whole pass keeps what it must send, not the catalogue.
const SLICE: usize = 1000;

/// Runs the stage.
pub fn run(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    if ctx.store.mark("sweep")?.is_none() {
        report.wait(
            "push-stock",
            "no number is published before the first sweep of orders has ended; run poll",
        );
        return Ok(());
    }
    let push = Push {
        ctx,
        pace: Pace::new(ctx),
        brake: Brake::default(),
    };
    if ctx.ask.skus.is_empty() && ctx.ask.orders.is_empty() {
        reconcile::read_back_daily(ctx, report)?;
    }
    let worked = push.all_work(report);
    let settled = ctx
        .store
        .write(|tx| tx.settle(ctx.now, ctx.settings.by_remito))?;
    report.add("orders settled", settled.len());
    for row in ctx.store.pushes_oversold(BATCH)? {
        report.person(
            row.sku.as_str(),
            format!("SKU {} in {} is oversold", row.sku, row.warehouse),
        );
    }
    worked
}

/// Counts sharp changes of one run.
#[derive(Default)]
struct Brake {
    seen: Cell<u64>,
    falls: Cell<u64>,
    rises: Cell<u64>,
}

struct Push<'a> {
    ctx: &'a Context<'a>,
    pace: Pace<'a>,
    brake: Brake,
}

impl<'a> Push<'a> {
    fn all_work(&self, report: &mut Report) -> StageResult {
        if !self.ctx.ask.skus.is_empty() {
            self.ensure_rows(&self.ctx.ask.skus)?;
            let mut rows = Vec::new();
            for sku in &self.ctx.ask.skus {
                rows.extend(self.ctx.store.pushes_of(sku)?);
            }
            return self.by_group(rows, report);
        }
        if self.ctx.ask.all {
            return self.everything(report);
        }
        if self.ctx.ask.orders.is_empty() {
            self.note_changes(report)?;
        }
        let mut due = self.ctx.store.pushes_due(self.ctx.due(), BATCH)?;
        if !self.ctx.ask.orders.is_empty() {
            let mut wanted = BTreeSet::new();
            for order in &self.ctx.ask.orders {
                wanted.extend(
                    self.ctx
                        .store
                        .lines(order)?
                        .into_iter()
                        .map(|line| line.sku),
                );
            }
            due.retain(|row| wanted.contains(&row.sku));
            return self.by_group(due, report);
        }
        self.by_group(due, report)?;
        let last = self.ctx.store.mark_at("full")?;
        let age = self.ctx.now.ms_since(last);
        if age >= self.ctx.settings.push.full_every || age < 0 {
            self.everything(report)?;
        }
        Ok(())
    }

    /// Makes due what changed at the ERP, where it can tell; its watermark moves on in the same transaction.
    fn note_changes(&self, report: &mut Report) -> StageResult {
        let before = self.ctx.store.mark(CHANGES)?;
        let changes = match report.called(self.ctx.stock.changed_since(before))? {
            Ok(Some(changes)) if before != Some(changes.watermark) || !changes.codes.is_empty() => {
                changes
            }
            Ok(_) => return Ok(()),
            Err(err) => {
                report.wait(
                    "push-stock",
                    format!("what changed at the ERP cannot be read: {err}"),
                );
                return Ok(());
            }
        };
        let mut changed = 0;
        self.ctx.store.write(|tx| {
            let (seq, t) = (tx.next_seq()?, self.ctx.store_time());
            for code in &changes.codes {
                let Some(row) = tx.sku_of_code(code)? else {
                    continue;
                };
                for warehouse in &self.ctx.settings.warehouses {
                    tx.push_due(&row.sku, &warehouse.id, seq, t, None)?;
                }
                changed += 1;
            }
            tx.set_mark(CHANGES, changes.watermark)
        })?;
        report.add("SKUs changed at the ERP", changed);
        Ok(())
    }

    /// Every SKU in every warehouse has a row.
    fn ensure_rows(&self, skus: &[SkuId]) -> StageResult {
        for chunk in skus.chunks(1000) {
            self.ctx.store.write(|tx| {
                for sku in chunk {
                    for warehouse in &self.ctx.settings.warehouses {
                        tx.ensure_push(sku, &warehouse.id)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Reads article by article, and pushes each before the next is read.
    fn by_group(&self, rows: Vec<PushRow>, report: &mut Report) -> StageResult {
        let (items, left_out) = items(self.ctx, rows)?;
        self.leave_out(&left_out)?;
        report.add("SKUs left out", left_out.len());
        let items = self.with_siblings(items)?;
        let mut by_code: BTreeMap<ErpCode, Vec<Item<'a>>> = BTreeMap::new();
        for item in items {
            if let Some(code) = item.sku.code.clone() {
                by_code.entry(code).or_default().push(item);
            }
        }
        let codes: Vec<_> = by_code.keys().cloned().collect();
        for group in self.ctx.stock.groups(&codes) {
            let items: Vec<_> = group
                .iter()
                .filter_map(|code| by_code.remove(code))
                .flatten()
                .collect();
            if !self.pace.next() {
                report.waiting += u64::try_from(items.len()).unwrap_or(0);
                continue;
            }
            let skus = distinct(items.iter().map(|item| item.row.sku.clone()));
            match self.read(|| self.ctx.stock.read(&group), &skus, report)? {
                Ok(reading) => {
                    let again = std::iter::once_with(|| self.again(items));
                    self.publish(reading, &skus, again, report)?;
                }
                Err(err) => hold_all(self.ctx, &items, &err.to_string(), report)?,
            }
        }
        Ok(())
    }

    /// Reads rows again: the orders were, and their facts may have made the rows due anew.
    fn again(&self, mut items: Vec<Item<'a>>) -> StageResult<Vec<Item<'a>>> {
        for item in &mut items {
            if let Some(row) = self.ctx.store.push(&item.row.sku, &item.row.warehouse)? {
                item.row = row;
            }
        }
        Ok(items)
    }

    /// Packagings that share a product's stock are looked at together, so that what rises can wait for what falls.
    fn with_siblings(&self, mut all: Vec<Item<'a>>) -> StageResult<Vec<Item<'a>>> {
        let place = |row: &PushRow| (row.sku.clone(), row.warehouse.clone());
        let mut known: BTreeSet<_> = all.iter().map(|item| place(&item.row)).collect();
        let mut more = Vec::new();
        for item in all.iter().filter(|item| item.sku.product.is_some()) {
            let (sku, warehouse) = (&item.row.sku, &item.row.warehouse);
            let sharing = self.ctx.store.pushes_sharing(sku, warehouse)?;
            more.extend(sharing.into_iter().filter(|row| known.insert(place(row))));
        }
        // One that cannot be published is left out where it is due itself.
        all.extend(items(self.ctx, more)?.0);
        Ok(all)
    }

    /// Reads every base once, and compares every SKU with it, those longest not compared first.
    fn everything(&self, report: &mut Report) -> StageResult {
        let mapped = self.ctx.store.skus_mapped()?;
        let (skus, codes): (Vec<_>, BTreeSet<_>) =
            mapped.into_iter().map(|row| (row.sku, row.code)).unzip();
        let wanted = codes.into_iter().flatten().collect();
        if skus.is_empty() || !self.pace.next() {
            return Ok(());
        }
        self.ctx.store.write(|tx| {
            let mut warehouses = self.ctx.settings.warehouses.iter();
            warehouses.try_for_each(|warehouse| tx.ensure_pushes(&warehouse.id))
        })?;
        let progress = |rows| (self.ctx.progress)(rows, 0);
        let read = || self.ctx.stock.read_wanted(&wanted, &progress);
        let reading = match self.read(read, &skus, report)? {
            Ok(reading) => reading,
            Err(err) => {
                let n = skus.len();
                let reason = format!("the ERP's stock cannot be read, {n} SKUs wait: {err}");
                report.wait("push-stock", reason);
                return Ok(());
            }
        };
        let places = self.ctx.store.push_places()?;
        let mut left_out = 0;
        let slices = places.chunks(SLICE).map(|places| {
            let (items, not) = self.ctx.store.read(|| {
                let mut rows = Vec::with_capacity(places.len());
                for (sku, warehouse) in places {
                    rows.extend(self.ctx.store.push(sku, warehouse)?);
                }
                items(self.ctx, rows)
            })?;
            left_out += not.len();
            self.leave_out(&not)?;
            Ok(items)
        });
        let done = self.publish(reading, &skus, slices, report)?;
        report.add("SKUs left out", left_out);
        if done {
            self.ctx
                .store
                .write(|tx| tx.set_mark("full", self.ctx.now.0))?;
            report.count("full passes");
        }
        Ok(())
    }

    fn leave_out(&self, left_out: &[(PushRow, String)]) -> StageResult {
        if left_out.is_empty() {
            return Ok(());
        }
        self.ctx.store.write(|tx| {
            let seq = tx.next_seq()?;
            left_out
                .iter()
                .try_for_each(|(row, reason)| tx.skip_push(row, reason, self.ctx.now, seq))
        })?;
        Ok(())
    }

    /// P1: one reading, its counter and instant noted before it begins.
    fn read(
        &self,
        read: impl FnOnce() -> PortResult<StockLevels>,
        skus: &[SkuId],
        report: &mut Report,
    ) -> StageResult<PortResult<Reading>> {
        let start_seq = self.ctx.store.write(|tx| tx.next_seq())?;
        let t = self.ctx.clock.now();
        // What the ERP holds of our orders is asked before the stock: a later reservation only lowers what is read.
        let held = match report.called(order_book::held_of(self.ctx, skus)?)? {
            Ok(held) => held,
            Err(err) => return Ok(Err(err)),
        };
        let levels = match report.called(read())? {
            Ok(levels) => levels,
            Err(err) => return Ok(Err(err)),
        };
        for (base, reason) in &levels.missing {
            log::warn!(base = base.as_str(); "base {base} could not be read: {reason}");
        }
        self.tell_doubts(&levels.doubts)?;
        Ok(Ok(Reading {
            start_seq,
            t,
            held,
            levels,
        }))
    }

    /// Tells people of SKUs of which two roads to the ERP's stock gave two figures; the same again is only counted.
    fn tell_doubts(&self, doubts: &BTreeMap<ErpCode, String>) -> StageResult {
        let mut told = BTreeMap::new();
        for (code, doubt) in doubts {
            let sku = self.ctx.store.sku_of_code(code)?;
            told.extend(sku.map(|sku| (sku.label(), doubt)));
        }
        let Some((label, doubt)) = told.first_key_value() else {
            return Ok(());
        };
        let body = NoticeBody {
            reason: Some(format!("SKU {label}: {doubt}")),
            action: Some(format!("stockbridge stock {label}")),
            figures: BTreeMap::from([("count".into(), told.len().to_string())]),
            ..NoticeBody::default()
        };
        self.ctx.store.write(|tx| {
            self.ctx
                .notify(tx, NoticeKind::TwoFigures, "push-stock", &body)
        })?;
        Ok(())
    }

    /// P2–P6 for the items of one reading, slice by slice and read from the memory only once the orders were read again;
    /// true when every item was looked at but for those put off, which are due.
    fn publish(
        &self,
        reading: Reading,
        skus: &[SkuId],
        slices: impl Iterator<Item = StageResult<Vec<Item<'a>>>>,
        report: &mut Report,
    ) -> StageResult<bool> {
        let unread = self.refresh_orders(skus, report)?;
        let reading = self.in_store_time(reading);
        let mut candidates = Vec::new();
        let mut first_times = FirstTimes::new(self.ctx.settings.push.first_times);
        for items in slices {
            let items = items?;
            self.note_products(&items, &reading)?;
            let now = items.into_iter().filter(|item| first_times.admit(item));
            let (ready, unsure): (Vec<_>, Vec<_>) =
                now.partition(|item| !unread.contains(&item.row.sku));
            hold_all(
                self.ctx,
                &unsure,
                "one of its orders cannot be read",
                report,
            )?;
            candidates.extend(self.compare(ready, &reading, report)?);
        }
        self.apply_brake(&candidates, first_times.later > 0, report)?;
        // What falls in a product goes first: else the store could sell its stock in two packagings at once.
        let (rising, falling): (Vec<_>, Vec<_>) = candidates.into_iter().partition(rises);
        let all_looked_at = self.push_all(falling, report)?;
        let rising = self.unhindered(rising, report)?;
        if first_times.later > 0 {
            report.waiting += first_times.later;
            let what = "numbers were never published and wait for the next runs";
            let hint = "hint: protocol.requests_a_minute";
            report.say(
                "push-stock",
                format!("{} {what}; {hint}", first_times.later),
            );
        }
        Ok(self.push_all(rising, report)? && all_looked_at)
    }

    /// Leaves out what would rise while a packaging of the same product has not been published by this reading.
    fn unhindered(
        &self,
        rising: Vec<Candidate<'a>>,
        report: &mut Report,
    ) -> StageResult<Vec<Candidate<'a>>> {
        if rising.is_empty() {
            return Ok(rising);
        }
        let risers: BTreeSet<_> = rising.iter().map(|c| c.item.row.sku.clone()).collect();
        let (mut free, mut hindered) = (Vec::new(), Vec::new());
        for candidate in rising {
            let row = &candidate.item.row;
            let sharing = self.ctx.store.pushes_sharing(&row.sku, &row.warehouse)?;
            let done =
                |row: &PushRow| row.checked_seq >= candidate.start_seq || risers.contains(&row.sku);
            if sharing.iter().all(done) {
                free.push(candidate);
            } else {
                hindered.push(candidate);
            }
        }
        if hindered.is_empty() {
            return Ok(free);
        }
        let reason = "another packaging of its product must be published first";
        hold_all(self.ctx, hindered.iter().map(|c| &c.item), reason, report)?;
        Ok(free)
    }

    /// P2–P6, a handful at a time; true when all were looked at.
    fn push_all(&self, candidates: Vec<Candidate<'a>>, report: &mut Report) -> StageResult<bool> {
        let handful = self.ctx.settings.workers.max(1);
        let count = |n: usize| u64::try_from(n).unwrap_or(0);
        let total = candidates.len();
        let mut left = candidates.into_iter();
        while left.len() > 0 {
            if left.len() < total && !self.pace.next() {
                report.waiting += count(left.len());
                return Ok(false);
            }
            push_chunk(self.ctx, left.by_ref().take(handful).collect(), report)?;
            (self.ctx.progress)(count(total - left.len()), count(total));
        }
        Ok(true)
    }

    /// Corrects the instant of a reading by the storefront's clock: rounded down, one second early.
    ///
    /// Earlier than true only releases too little; the next push makes up for it.
    fn in_store_time(&self, reading: Reading) -> Reading {
        let t = reading.t.plus_ms(self.ctx.clock_ahead_ms() - 1000);
        Reading {
            t: t.floor_second(),
            ..reading
        }
    }

    /// P2: after the reading began, reads every open order that a person may have put into handling.
    ///
    /// Returns the SKUs of orders that could not be read: nothing can be said about them.
    fn refresh_orders(&self, skus: &[SkuId], report: &mut Report) -> StageResult<BTreeSet<SkuId>> {
        let open = self.ctx.store.read(|| {
            let of = |sku| self.ctx.store.unacknowledged_orders(sku);
            skus.iter().map(of).collect::<StoreResult<Vec<_>>>()
        })?;
        let mut known = BTreeMap::new();
        for id in distinct(open.into_iter().flatten()) {
            if let Some(order) = self.ctx.store.order(&id)? {
                known.insert(id, order);
            }
        }
        let ids: Vec<OrderId> = known.keys().cloned().collect();
        let documents = in_parallel(&ids, self.ctx.settings.workers, |id| {
            self.ctx.storefront.order(id)
        });
        let mut unread = BTreeSet::new();
        for (id, document) in ids.iter().zip(documents) {
            let fetched = match report.called(document)? {
                Ok(Some(document)) => intake::complete(self.ctx, document, known.get(id)),
                Ok(None) => Err(PortError::rejected("the storefront has no such order")),
                Err(err) => Err(err),
            };
            let reason = match report.called(fetched)? {
                Ok(fetched) => {
                    self.ctx
                        .store
                        .write(|tx| intake::record(self.ctx, tx, &fetched, FoundBy::Feed))?;
                    if !intake::in_doubt(self.ctx, &fetched)? {
                        continue;
                    }
                    "its reservations cannot be looked up; hint: stockbridge doctor names a role that is missing".to_owned()
                }
                Err(err) => err.to_string(),
            };
            log::warn!(order = id.as_str(); "order {id} cannot be read before a push: {reason}");
            unread.extend(self.ctx.store.lines(id)?.into_iter().map(|line| line.sku));
        }
        Ok(unread)
    }

    /// Remembers which SKUs share a product's stock. What was compared before that was known is compared again.
    fn note_products(&self, items: &[Item<'_>], reading: &Reading) -> StageResult {
        let news = |item: &Item<'_>| {
            let levels = reading.levels.variants.get(item.sku.code.as_ref()?)?;
            let product = levels.product()?;
            (item.sku.product.as_ref() != Some(product))
                .then(|| (item.row.clone(), product.clone()))
        };
        let news: Vec<_> = items.iter().filter_map(news).collect();
        for chunk in news.chunks(1000) {
            self.ctx.store.write(|tx| {
                let (seq, t) = (tx.next_seq()?, self.ctx.store_time());
                for (row, product) in chunk {
                    tx.set_product(&row.sku, product)?;
                    tx.push_due(&row.sku, &row.warehouse, seq, t, None)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Compares the right number with the published one; what is equal is noted, what differs is returned.
    fn compare(
        &self,
        items: Vec<Item<'a>>,
        reading: &Reading,
        report: &mut Report,
    ) -> StageResult<Vec<Candidate<'a>>> {
        let judged = self.ctx.store.read(|| {
            let judge = |item| self.judge(item, reading);
            items
                .into_iter()
                .map(judge)
                .collect::<StoreResult<Vec<_>>>()
        })?;
        let (mut candidates, mut same, mut holds) = (Vec::new(), Vec::new(), Vec::new());
        for judged in judged {
            match judged {
                Ok(candidate) if must_send(&candidate) => candidates.push(candidate),
                Ok(candidate) => same.push(candidate),
                Err(held) => holds.push(held),
            }
        }
        let seen = candidates.len() + same.len();
        self.brake
            .seen
            .set(self.brake.seen.get() + u64::try_from(seen).unwrap_or(0));
        self.note_unchanged(&same)?;
        report.add("SKUs unchanged", same.len());
        let holds: Vec<_> = holds
            .iter()
            .map(|(item, reason, absent)| (item, reason.clone(), *absent))
            .collect();
        hold(self.ctx, &holds, report)?;
        Ok(candidates)
    }

    /// The number that a reading makes of an item; or why nothing can be said of it, and whether it was absent.
    fn judge(
        &self,
        item: Item<'a>,
        reading: &Reading,
    ) -> StoreResult<Result<Candidate<'a>, (Item<'a>, String, bool)>> {
        let (sku, warehouse) = (&item.row.sku, &item.row.warehouse);
        if self.ctx.store.may_have_moved(sku, warehouse)? {
            let reason =
                "an order of it may have moved on in the time that this state file has lost";
            return Ok(Err((item, reason.to_owned(), false)));
        }
        let (terms, out_open) = match figure(self.ctx, self.ctx.store, &item, reading)? {
            Figure::Terms(terms, out_open) => (*terms, out_open),
            Figure::Held(reason, absent) => return Ok(Err((item, reason, absent))),
        };
        let desired = terms.desired();
        if !terms.complete() && !self.may_decrease(&item, &terms, desired) {
            let bases: Vec<_> = terms.missing.iter().map(ToString::to_string).collect();
            let reason = format!("no stock from {}", bases.join(", "));
            return Ok(Err((item, reason, false)));
        }
        let as_of = if terms.complete() {
            reading.t
        } else {
            item.row.pushed_t
        };
        Ok(Ok(Candidate {
            item,
            terms,
            desired,
            as_of,
            bound: false,
            out_open,
            start_seq: reading.start_seq,
            held: None,
        }))
    }

    fn note_unchanged(&self, same: &[Candidate<'_>]) -> StageResult {
        for chunk in same.chunks(1000) {
            self.ctx.store.write(|tx| {
                chunk.iter().try_for_each(|c| {
                    tx.push_unchanged(
                        &c.item.row,
                        (c.terms.read_at, c.start_seq),
                        self.ctx.now,
                        None,
                        &c.terms,
                    )
                })
            })?;
        }
        Ok(())
    }

    /// An incomplete reading may only lower a number, and only when the depot was read: it never raises one.
    fn may_decrease(&self, item: &Item<'_>, terms: &QuantityTerms, desired: i64) -> bool {
        let depot = &self.ctx.settings.depot;
        let depot_read = !item.warehouse.counted.contains(depot) || terms.bases.contains_key(depot);
        self.ctx.settings.push.decrease_when_incomplete
            && depot_read
            && item.row.pushed_t.0 > 0
            && item
                .row
                .published
                .is_some_and(|published| desired < published)
    }

    /// Stops the run when too many numbers fall to zero, or rise from it, at once. With `more_to_come` of what
    /// was never published, the falls among these count by themselves too: else many runs would do what one may not.
    fn apply_brake(
        &self,
        candidates: &[Candidate<'_>],
        more_to_come: bool,
        report: &mut Report,
    ) -> StageResult {
        let first_time: Vec<_> = candidates
            .iter()
            .filter(|c| c.item.row.published.is_none())
            .collect();
        let held = in_parallel(&first_time, self.ctx.settings.workers, |c| {
            self.ctx.storefront.stock(&c.item.row.sku)
        });
        let mut before: BTreeMap<(&SkuId, &WarehouseId), i64> = BTreeMap::new();
        for (candidate, stock) in first_time.iter().zip(held) {
            let row = &candidate.item.row;
            // What cannot be read is met again before it is sent.
            let Ok(stock) = report.called(stock)? else {
                continue;
            };
            if let Some(stock) = stock.iter().find(|s| s.warehouse == row.warehouse) {
                before.insert((&row.sku, &row.warehouse), stock.total);
            }
        }
        let mut first_falls = 0;
        for candidate in candidates {
            let row = &candidate.item.row;
            let Some(old) = row
                .published
                .or_else(|| before.get(&(&row.sku, &row.warehouse)).copied())
            else {
                continue;
            };
            let count = |cell: &Cell<u64>, is: bool| cell.set(cell.get() + u64::from(is));
            let falls = old > 0 && candidate.desired == 0;
            count(&self.brake.falls, falls);
            first_falls += u64::from(falls && row.published.is_none());
            count(
                &self.brake.rises,
                old == 0 && candidate.desired > 0 && row.published.is_some(),
            );
        }
        let worst = self.brake.falls.get().max(self.brake.rises.get());
        let seen = self.brake.seen.get().max(1);
        let n_first = u64::try_from(first_time.len()).unwrap_or(0);
        let push = &self.ctx.settings.push;
        let too_many =
            |n: u64, of: u64| n >= push.max_drop_count && n * 100 > of * push.max_drop_percent;
        let (worst, seen) = match more_to_come && too_many(first_falls, n_first) {
            true => (first_falls, n_first),
            false => (worst, seen),
        };
        if !too_many(worst, seen) || self.ctx.ask.force {
            return Ok(());
        }
        let reason = format!(
            "{worst} of {seen} SKUs would fall to zero or rise from it in one run; nothing more was published"
        );
        let body = NoticeBody {
            reason: Some(reason.clone()),
            action: Some("stockbridge push-stock --all --force".into()),
            ..NoticeBody::default()
        };
        self.ctx
            .store
            .write(|tx| self.ctx.notify(tx, NoticeKind::Brake, "push-stock", &body))?;
        Err(Halt::Brake(reason))
    }
}

/// Lets in so many numbers that the store was never told of, and counts those put off.
///
/// The brake asks the store for each of them. A first pass over a large catalogue would spend every minute's requests on
/// that, and publish nothing.
struct FirstTimes {
    left: usize,
    later: u64,
}

impl FirstTimes {
    fn new(most: usize) -> Self {
        Self {
            left: most,
            later: 0,
        }
    }

    fn admit(&mut self, item: &Item<'_>) -> bool {
        if item.row.published.is_some() {
            return true;
        }
        let admitted = self.left > 0;
        self.left -= usize::from(admitted);
        self.later += u64::from(!admitted);
        admitted
    }
}

/// Whether the number of a packaging would rise, as far as is known.
fn rises(candidate: &Candidate<'_>) -> bool {
    let published = candidate.item.row.published;
    candidate.terms.packs.is_some() && published.is_some_and(|now| candidate.desired > now)
}

/// Whether a number must be sent: it differs, or was never confirmed, or an earlier write may still overwrite it, or a
/// reservation waits to be cleared.
fn must_send(candidate: &Candidate<'_>) -> bool {
    let row = &candidate.item.row;
    row.published != Some(candidate.desired)
        || row.desired != Some(candidate.desired)
        || row.ver != row.published_ver
        || row.inflight_until.0 != 0
        || row.uncertain_until.0 != 0
        || row.bound
        || row.ack_t > row.pushed_t
}
