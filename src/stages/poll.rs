//! Learns of orders: from the hook's inbox, from the feed, from the list behind both, by id. What is read is durable before the feed forgets it.

mod inbox;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::OrderId;
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::order::{FeedEvent, OrderStage};
use crate::domain::ports::{FeedConfig, ListFilter, PortError};
use crate::domain::time::Moment;
use crate::stages::context::{BATCH, Context, Pace, in_parallel};
use crate::stages::intake;
use crate::stages::report::{Report, StageResult};
use crate::store::inbox::Hint;
use crate::store::orders::{FoundBy, OrderRow};

/// Orders a page of the list holds, and pages the storefront gives for one filter.
const LIST_PAGE: u64 = 100;
const LIST_PAGES: u64 = 30;
/// How far windows of the list reach beyond now, in the storefront's time: its clock and ours are never equal.
const LIST_AHEAD_MS: i64 = 60_000;
/// Reads of the feed in one run, against a feed that never empties.
const MOST_READS: u32 = 5_000;
/// Pages of the catalogue's list, against a list that never ends.
const MOST_SKU_PAGES: u32 = 2_000;

/// Runs the stage.
pub fn run(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    let poll = Poll {
        ctx,
        pace: Pace::new(ctx),
        taken: RefCell::default(),
    };
    if !ctx.ask.orders.is_empty() {
        return poll.backfill_ids(report);
    }
    if let Some(since) = ctx.ask.since {
        let until = ctx.ask.until.unwrap_or(ctx.now);
        return poll
            .window(ListFilter::Created(since, until), FoundBy::Operator, report)
            .map(|_| ());
    }
    poll.drain_inbox(report)?;
    if ctx.settings.poll.hook {
        poll.check_hook(report)?;
    }
    if ctx.settings.poll.feed && poll.check_feed(report)? {
        poll.drain(report)?;
    }
    if ctx.settings.poll.list {
        poll.newest(report)?;
    }
    poll.sweep(report)?;
    poll.reread(report)?;
    poll.catalogue(report)
}

/// How reading one order ended.
enum Taken {
    /// It is in the store.
    Durable,
    /// It could not be read this time.
    Failed(String),
    /// Its document is unusable, or there is no such order.
    Unusable(String),
}

struct Poll<'a> {
    ctx: &'a Context<'a>,
    pace: Pace<'a>,
    /// Orders read since the feed was last read. One reading serves every event that was there before it; what the feed
    /// hands out later may tell of a change that it has missed.
    taken: RefCell<BTreeSet<OrderId>>,
}

impl Poll<'_> {
    /// Reads one order and makes it durable; one that is missing is unusable.
    fn take(&self, id: &OrderId, found_by: FoundBy, report: &mut Report) -> StageResult<Taken> {
        let taken = self.take_told(id, found_by, None, report)?;
        Ok(taken.unwrap_or_else(|| Taken::Unusable("the storefront has no such order".into())))
    }

    /// Reads one order, makes it durable and takes its hint out of the inbox, all in one transaction; `None` when the
    /// storefront has no such order.
    fn take_told(
        &self,
        id: &OrderId,
        found_by: FoundBy,
        hint: Option<&Hint>,
        report: &mut Report,
    ) -> StageResult<Option<Taken>> {
        if hint.is_none() && self.taken.borrow().contains(id) {
            return Ok(Some(Taken::Durable));
        }
        let known = self.ctx.store.order(id)?;
        let fetched = match report.called(intake::fetch(self.ctx, id, known.as_ref()))? {
            Ok(Some(fetched)) => fetched,
            Ok(None) => return Ok(None),
            Err(PortError::Rejected { reason }) => return Ok(Some(Taken::Unusable(reason))),
            Err(err) => return Ok(Some(Taken::Failed(err.to_string()))),
        };
        let recorded = self.ctx.store.write(|tx| {
            if let Some(hint) = hint {
                tx.take_hint(hint)?;
            }
            intake::record(self.ctx, tx, &fetched, found_by)
        })?;
        self.taken.borrow_mut().insert(id.clone());
        report.count("orders read");
        if fetched.document.foreign_lines > 0 {
            report.add(
                "lines of other sellers",
                usize::try_from(fetched.document.foreign_lines).unwrap_or(0),
            );
        }
        if recorded.new {
            report.count("new orders");
            if found_by == FoundBy::Sweep {
                report.count("found by the sweep only");
            }
            let status = &fetched.document.status;
            report.say(
                id.as_str(),
                format!("order {id} is known now, in status {status:?}"),
            );
        } else if recorded.changed {
            report.say(
                id.as_str(),
                format!(
                    "order {id} changed, now in status {:?}",
                    fetched.document.status
                ),
            );
        }
        Ok(Some(Taken::Durable))
    }

    /// Makes sure the feed is configured; false when it cannot be read.
    fn check_feed(&self, report: &mut Report) -> StageResult<bool> {
        let manage = self.ctx.settings.poll.manage_feed;
        let config = match report.called(self.ctx.storefront.feed_config())? {
            Ok(config) => config,
            Err(err) => {
                report.wait(
                    "feed",
                    format!("the feed's configuration cannot be read: {err}"),
                );
                return Ok(true);
            }
        };
        match config {
            Some(config) if config.as_wanted => {
                report.add(
                    "events on the feed",
                    usize::try_from(config.depth.unwrap_or(0)).unwrap_or(0),
                );
                self.warn_of_backlog(&config, report);
                Ok(true)
            }
            Some(config) if !manage => {
                report.person(
                    "feed",
                    format!("the feed is configured differently: {}", config.difference),
                );
                Ok(true)
            }
            None if !manage => {
                self.feed_missing(report)?;
                Ok(false)
            }
            Some(_) | None => match report.called(self.ctx.storefront.install_feed())? {
                Ok(()) => {
                    report.say("feed", "the feed's configuration was created");
                    Ok(true)
                }
                Err(err) => {
                    report.wait(
                        "feed",
                        format!("the feed's configuration cannot be created: {err}"),
                    );
                    Ok(false)
                }
            },
        }
    }

    fn warn_of_backlog(&self, config: &FeedConfig, report: &mut Report) {
        if config
            .oldest_s
            .is_some_and(|age| age.saturating_mul(2) > config.retention_s)
        {
            let age = config.oldest_s.unwrap_or(0);
            report.person(
                "feed",
                format!("the oldest event of the feed is {age} s old, half of what is kept"),
            );
        }
    }

    fn feed_missing(&self, report: &mut Report) -> StageResult {
        let body = NoticeBody {
            reason: Some("the storefront has no feed for this key; orders are found by the hourly sweep only".into()),
            action: Some("set vtex.manage_feed = true, or create the feed's configuration".into()),
            ..NoticeBody::default()
        };
        self.ctx
            .store
            .write(|tx| self.ctx.notify(tx, NoticeKind::FeedMissing, "feed", &body))?;
        report.person(
            "feed",
            "the feed has no configuration; hint: set vtex.manage_feed = true",
        );
        Ok(())
    }

    /// Reads the feed until it is empty; every event is taken off it once its order is durable.
    fn drain(&self, report: &mut Report) -> StageResult {
        let mut empty = 0;
        for _ in 0..MOST_READS {
            if empty >= self.ctx.settings.poll.empty_reads || !self.pace.next() {
                return Ok(());
            }
            match report.called(self.ctx.storefront.read_feed())? {
                Ok(Some(events)) if events.is_empty() => empty += 1,
                Ok(Some(events)) => {
                    empty = 0;
                    self.events(&events, report)?;
                }
                Ok(None) => return self.feed_missing(report),
                Err(err) => {
                    report.wait("feed", format!("the feed cannot be read: {err}"));
                    return Ok(());
                }
            }
        }
        log::warn!("the feed was read {MOST_READS} times and is not empty; the next run goes on");
        Ok(())
    }

    fn events(&self, events: &[FeedEvent], report: &mut Report) -> StageResult {
        self.taken.borrow_mut().clear();
        let mut by_order: BTreeMap<&str, Vec<&FeedEvent>> = BTreeMap::new();
        for event in events {
            by_order.entry(&event.order).or_default().push(event);
        }
        let mut handles = Vec::new();
        for (order, events) in by_order {
            if self.settle_events(order, &events, report)? {
                handles.extend(events.iter().filter_map(|event| event.handle.clone()));
            }
        }
        if handles.is_empty() {
            return Ok(());
        }
        // The feed will not tell of these orders again: an older copy of the memory must know that it misses them.
        self.ctx.mark(self.ctx.store.seq()?)?;
        match report.called(self.ctx.storefront.commit_feed(&handles))? {
            Ok(()) => {
                let now = self.ctx.now;
                self.ctx.store.write(|tx| {
                    handles
                        .iter()
                        .try_for_each(|handle| tx.feed_event_committed(handle, now))
                })?;
                report.add("feed events", handles.len());
            }
            Err(err) => report.wait(
                "feed",
                format!("{} events stay on the feed: {err}", handles.len()),
            ),
        }
        Ok(())
    }

    /// Makes what the events of one order say durable; true when they may be taken off the feed.
    fn settle_events(
        &self,
        order: &str,
        events: &[&FeedEvent],
        report: &mut Report,
    ) -> StageResult<bool> {
        let now = self.ctx.now;
        let outcome = match OrderId::parse(order) {
            Ok(id) => self.take(&id, FoundBy::Feed, report)?,
            Err(err) => {
                self.ctx
                    .store
                    .write(|tx| tx.reject("feed", order, &err.to_string(), now))?;
                report.count("rejected events");
                return Ok(true);
            }
        };
        let (Taken::Failed(reason) | Taken::Unusable(reason)) = outcome else {
            return Ok(true);
        };
        let poll = &self.ctx.settings.poll;
        let given_up = self.ctx.store.write(|tx| {
            let mut given_up = true;
            for event in events {
                let Some(handle) = &event.handle else {
                    continue;
                };
                let (first, tries) = tx.feed_event(handle, order, &event.status, now)?;
                given_up &=
                    tries >= poll.unreadable_tries || now.ms_since(first) >= poll.unreadable_after;
            }
            if given_up {
                tx.reject("feed", order, &reason, now)?;
                let body = NoticeBody {
                    reason: Some(format!("the order cannot be read: {reason}")),
                    order: OrderId::parse(order).ok(),
                    action: Some(format!("stockbridge poll --order {order}")),
                    ..NoticeBody::default()
                };
                self.ctx.notify(tx, NoticeKind::Parked, order, &body)?;
            }
            Ok(given_up)
        })?;
        if given_up {
            report.person(
                order,
                format!("order {order} was set aside as unreadable: {reason}"),
            );
        } else {
            report.wait(order, format!("order {order} cannot be read yet: {reason}"));
        }
        Ok(given_up)
    }

    fn backfill_ids(&self, report: &mut Report) -> StageResult {
        for id in &self.ctx.ask.orders {
            if !self.pace.next() {
                report.wait(
                    id.as_str(),
                    "the deadline was reached; run the same command again",
                );
                return Ok(());
            }
            match self.take(id, FoundBy::Operator, report)? {
                Taken::Durable => {}
                Taken::Failed(reason) => {
                    report.wait(id.as_str(), format!("order {id} cannot be read: {reason}"))
                }
                Taken::Unusable(reason) => {
                    self.ctx
                        .store
                        .write(|tx| tx.reject("backfill", id.as_str(), &reason, self.ctx.now))?;
                    report.person(id.as_str(), format!("order {id}: {reason}"));
                }
            }
        }
        Ok(())
    }

    /// Looks at the newest orders of the list, as many as configured.
    fn newest(&self, report: &mut Report) -> StageResult {
        let to = self.ctx.store_time().plus_ms(LIST_AHEAD_MS);
        let filter = ListFilter::Created(to.plus_ms(-self.ctx.settings.poll.sweep_window), to);
        let wanted = u64::from(self.ctx.settings.poll.list_last);
        let first = match report.called(self.ctx.storefront.list_orders(filter, 1))? {
            Ok(page) => page,
            Err(err) => {
                report.wait("list", format!("the order list cannot be read: {err}"));
                return Ok(());
            }
        };
        let last_page = first.total.div_ceil(LIST_PAGE).clamp(1, LIST_PAGES);
        let from_page = first.total.saturating_sub(wanted) / LIST_PAGE + 1;
        for page in from_page.clamp(1, last_page)..=last_page {
            let page = u32::try_from(page).unwrap_or(1);
            if !self.list_page(filter, page, FoundBy::List, true, report)? {
                break;
            }
        }
        Ok(())
    }

    /// Sweeps the list for what the feed missed, when it is time.
    fn sweep(&self, report: &mut Report) -> StageResult {
        let poll = &self.ctx.settings.poll;
        let now = self.ctx.now;
        let last = self.ctx.store.mark_at("sweep")?;
        if now.ms_since(last) >= poll.sweep_every || last > now {
            let to = self.ctx.store_time().plus_ms(LIST_AHEAD_MS);
            let instance = self.ctx.store.instance()?;
            let lost = instance.known_until.filter(|_| last == Moment(0));
            let from = lost.map_or(to, |at| at.min(to)).plus_ms(-poll.sweep_window);
            let done = self.window(ListFilter::Created(from, to), FoundBy::Sweep, report)?
                && self.window(ListFilter::Authorized(from, to), FoundBy::Sweep, report)?;
            if done {
                self.ctx.store.write(|tx| tx.set_mark("sweep", now.0))?;
                report.count("sweeps");
            }
        }
        let last = self.ctx.store.mark_at("ready_sweep")?;
        if (now.ms_since(last) >= poll.ready_sweep_every || last > now)
            && self.window(ListFilter::Ready, FoundBy::Sweep, report)?
        {
            self.ctx
                .store
                .write(|tx| tx.set_mark("ready_sweep", now.0))?;
        }
        Ok(())
    }

    /// Takes every order of a window of the list that is not known; a window too large for the list is halved.
    ///
    /// Returns true when all of it was seen.
    fn window(
        &self,
        filter: ListFilter,
        found_by: FoundBy,
        report: &mut Report,
    ) -> StageResult<bool> {
        let first = match report.called(self.ctx.storefront.list_orders(filter, 1))? {
            Ok(page) => page,
            Err(err) => {
                report.wait("list", format!("the order list cannot be read: {err}"));
                return Ok(false);
            }
        };
        if first.total > LIST_PAGE * LIST_PAGES {
            if let Some((older, newer)) = halves(filter) {
                return Ok(self.window(older, found_by, report)?
                    && self.window(newer, found_by, report)?);
            }
            report.person(
                "list",
                format!(
                    "{} orders in one instant: the list shows only the first 3000",
                    first.total
                ),
            );
        }
        let pages = first.total.div_ceil(LIST_PAGE).clamp(1, LIST_PAGES);
        for page in 1..=pages {
            (self.ctx.progress)(page, pages);
            if !self.list_page(
                filter,
                u32::try_from(page).unwrap_or(1),
                found_by,
                false,
                report,
            )? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn list_page(
        &self,
        filter: ListFilter,
        page: u32,
        found_by: FoundBy,
        reread_open: bool,
        report: &mut Report,
    ) -> StageResult<bool> {
        let listed = match report.called(self.ctx.storefront.list_orders(filter, page))? {
            Ok(listed) => listed,
            Err(err) => {
                report.wait(
                    "list",
                    format!("page {page} of the order list cannot be read: {err}"),
                );
                return Ok(false);
            }
        };
        let mut complete = true;
        for (text, _) in listed.orders {
            let id = match OrderId::parse(&text) {
                Ok(id) => id,
                Err(err) => {
                    self.ctx
                        .store
                        .write(|tx| tx.reject("list", &text, &err.to_string(), self.ctx.now))?;
                    continue;
                }
            };
            let known = self.ctx.store.order(&id)?;
            let skip = known.is_some_and(|order| !reread_open || order.facts.settled.is_some());
            if skip {
                continue;
            }
            if !self.pace.next() {
                report.wait(
                    "list",
                    "the deadline was reached before the end of the list; the next run goes on",
                );
                return Ok(false);
            }
            match self.take(&id, found_by, report)? {
                Taken::Durable => {}
                Taken::Failed(reason) => {
                    complete = false;
                    report.wait(
                        id.as_str(),
                        format!("order {id} cannot be read yet: {reason}"),
                    );
                }
                Taken::Unusable(reason) => {
                    self.ctx
                        .store
                        .write(|tx| tx.reject("list", id.as_str(), &reason, self.ctx.now))?;
                    report.person(id.as_str(), format!("order {id}: {reason}"));
                }
            }
        }
        Ok(complete)
    }

    /// Reads open orders again that were not read for long: the list cannot be filtered by change.
    fn reread(&self, report: &mut Report) -> StageResult {
        let poll = &self.ctx.settings.poll;
        for order in self.ctx.store.orders_to_reread(
            self.ctx.now.plus_ms(-poll.reread_every),
            self.ctx.now,
            BATCH,
        )? {
            if !self.pace.next() {
                return Ok(());
            }
            match self.take(&order.id, FoundBy::Feed, report)? {
                Taken::Durable => report.count("open orders read again"),
                Taken::Failed(reason) | Taken::Unusable(reason) => {
                    report.wait(
                        order.id.as_str(),
                        format!("order {} cannot be read again: {reason}", order.id),
                    );
                }
            }
            self.tell_of_stuck_handling(&order)?;
            let held_up = order
                .stuck_since
                .is_some_and(|since| self.ctx.now.ms_since(since) >= poll.stuck_after);
            if held_up && order.facts.parked.is_none() {
                self.park_stuck(&order.id, report)?;
            }
        }
        Ok(())
    }

    /// Handling was requested long ago and never became effective: a known fault of the storefront.
    fn tell_of_stuck_handling(&self, order: &OrderRow) -> StageResult {
        let since = order
            .facts
            .acknowledged
            .filter(|_| order.handling_seen.is_none());
        let stuck =
            since.is_some_and(|at| self.ctx.now.ms_since(at) >= self.ctx.settings.poll.stuck_after);
        if stuck && order.stage == OrderStage::HandlingRequested {
            let reason = "handling was requested and does not begin in the storefront".to_owned();
            let body = NoticeBody {
                order: Some(order.id.clone()),
                reason: Some(reason),
                ..NoticeBody::default()
            };
            let kind = NoticeKind::StuckReservation;
            self.ctx
                .store
                .write(|tx| self.ctx.notify(tx, kind, order.id.as_str(), &body))?;
        }
        Ok(())
    }

    fn park_stuck(&self, id: &OrderId, report: &mut Report) -> StageResult {
        let reason = "unpaid or stuck in the storefront's workflow for too long";
        let body = NoticeBody {
            order: Some(id.clone()),
            reason: Some(reason.into()),
            ..NoticeBody::default()
        };
        self.ctx.store.write(|tx| {
            tx.park(id, reason, self.ctx.now)?;
            self.ctx.notify(tx, NoticeKind::Parked, id.as_str(), &body)
        })?;
        report.person(id.as_str(), format!("order {id} is parked: {reason}"));
        Ok(())
    }

    /// Keeps the map of SKUs: lists the catalogue when it is time, and reads entries that were not read for long.
    fn catalogue(&self, report: &mut Report) -> StageResult {
        let every = self.ctx.settings.poll.refs_every;
        let now = self.ctx.now;
        let last = self.ctx.store.mark_at("catalogue")?;
        if now.ms_since(last) >= every || last > now {
            self.list_catalogue(report)?;
        }
        let most = self.ctx.settings.poll.refs_a_run;
        let stale = self
            .ctx
            .store
            .skus_to_reread(now.plus_ms(-every), now, most)?;
        let chunks = stale.chunks(self.ctx.settings.workers.max(1) * 4);
        for chunk in chunks {
            if !self.pace.next() {
                return Ok(());
            }
            let answers = in_parallel(chunk, self.ctx.settings.workers, |row| {
                self.ctx.storefront.sku(&row.sku)
            });
            let mut read = Vec::with_capacity(chunk.len());
            for (row, answer) in chunk.iter().zip(answers) {
                match report.called(answer)? {
                    Ok(info) => read.push((&row.sku, info)),
                    Err(err) => report.wait(
                        row.sku.as_str(),
                        format!("SKU {} cannot be read: {err}", row.sku),
                    ),
                }
            }
            self.ctx.store.write(|tx| {
                for (sku, info) in &read {
                    intake::put_sku(self.ctx, tx, sku, info.as_ref(), None)?;
                }
                Ok(())
            })?;
            report.add("SKUs read", read.len());
        }
        Ok(())
    }

    /// Notes every SKU id of the catalogue; new ones are read afterwards.
    fn list_catalogue(&self, report: &mut Report) -> StageResult {
        let mut seen = BTreeSet::new();
        for page in 1..=MOST_SKU_PAGES {
            let ids = match report.called(self.ctx.storefront.sku_ids(page))? {
                Ok(ids) => ids,
                Err(err) => {
                    report.wait(
                        "catalogue",
                        format!("page {page} of the catalogue cannot be read: {err}"),
                    );
                    return Ok(());
                }
            };
            let before = seen.len();
            seen.extend(ids);
            // A page that brings nothing new ends the list, also for a storefront that repeats its last page.
            if seen.len() == before {
                break;
            }
        }
        self.ctx.store.write(|tx| {
            for sku in &seen {
                if tx.sku(sku)?.is_none() {
                    tx.put_sku(&crate::store::skus::SkuRow {
                        sku: sku.clone(),
                        reference: None,
                        overridden: None,
                        code: None,
                        problem: Some("not read yet".into()),
                        name: None,
                        kit: false,
                        read_at: Moment(0),
                        product: None,
                    })?;
                }
            }
            tx.set_mark("catalogue", self.ctx.now.0)
        })?;
        Ok(())
    }
}

/// Splits a window of dates in two that meet without a gap; `None` when it cannot be split further.
fn halves(filter: ListFilter) -> Option<(ListFilter, ListFilter)> {
    let middle = |from: Moment, to: Moment| {
        let half = to.ms_since(from) / 2;
        (half >= 1000).then(|| from.plus_ms(half))
    };
    match filter {
        ListFilter::Created(from, to) => {
            middle(from, to).map(|at| (ListFilter::Created(from, at), ListFilter::Created(at, to)))
        }
        ListFilter::Authorized(from, to) => middle(from, to).map(|at| {
            (
                ListFilter::Authorized(from, at),
                ListFilter::Authorized(at, to),
            )
        }),
        ListFilter::Ready => None,
    }
}
