//! Reserves the goods of each order: ledger rows, the movements to book, the start of handling behind them, and the
//! notice that asks a person for the remito. One local transaction per order; the stock it needs is read before.

use std::collections::BTreeMap;

use crate::domain::effect::{EffectKind, EffectState};
use crate::domain::ids::{BaseCode, ErpCode, SkuId, WarehouseId};
use crate::domain::movement::{Direction, Movement, MovementKey};
use crate::domain::notice::{Attribute, NoticeBody, NoticeItem, NoticeKind, Pick};
use crate::domain::order::OrderStage;
use crate::domain::qty::Qty;
use crate::stages::adopt::{Adoption, adopt};
use crate::stages::context::{BATCH, Context, Pace};
use crate::stages::report::{Report, StageResult};
use crate::stages::settings::Warehouse;
use crate::store::attempts::{Effect, Share, next_operation};
use crate::store::orders::{LineRow, OrderRow};
use crate::store::skus::SkuRow;
use crate::store::{StoreResult, Tx};

/// A base is not asked again for units it was asked for within this time.
const PICKS_LAST_MS: i64 = 24 * 3_600_000;

/// Runs the stage.
pub fn run(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    let pace = Pace::new(ctx);
    let mut levels = Levels::new();
    for order in ctx.store.orders_to_replan(ctx.due(), BATCH)? {
        if !ctx.wants(&order.id) {
            continue;
        }
        if !pace.next() {
            report.waiting += 1;
            continue;
        }
        look_at(ctx, &order, &mut levels, report)?;
    }
    for order in ctx.store.orders_parked(BATCH)? {
        let reason = order
            .parked_reason
            .as_deref()
            .unwrap_or("no reason was recorded");
        remind(ctx, &order, reason)?;
        report.person(
            order.id.as_str(),
            format!("order {} is parked: {reason}", order.id),
        );
    }
    Ok(())
}

/// Tells people of a parked order again, once a period, until it is resolved.
fn remind(ctx: &Context<'_>, order: &OrderRow, reason: &str) -> StageResult {
    let last = ctx
        .store
        .outbox_last(NoticeKind::Parked, order.id.as_str())?;
    let age = last.map_or(i64::MAX, |last| ctx.now.ms_since(last.created_at));
    if !(0..ctx.settings.notices.digest_every).contains(&age) {
        let body = parked_notice(order, reason);
        ctx.store
            .write(|tx| ctx.notify(tx, NoticeKind::Parked, order.id.as_str(), &body))?;
    }
    Ok(())
}

fn parked_notice(order: &OrderRow, reason: &str) -> NoticeBody {
    NoticeBody {
        order: Some(order.id.clone()),
        reason: Some(reason.to_owned()),
        action: Some(format!("stockbridge show {}", order.id)),
        ..NoticeBody::default()
    }
}

/// Stock per base of the variants read in this run.
type Levels = BTreeMap<ErpCode, BTreeMap<BaseCode, Qty>>;
/// Units of one SKU for one warehouse that are, or should be, booked in a base.
type Booked = BTreeMap<(BaseCode, SkuId, WarehouseId), i64>;

/// An order with all that planning needs to know.
struct Case<'a> {
    order: &'a OrderRow,
    lines: Vec<LineRow>,
    effects: Vec<Effect>,
    skus: BTreeMap<SkuId, SkuRow>,
}

fn look_at(
    ctx: &Context<'_>,
    order: &OrderRow,
    levels: &mut Levels,
    report: &mut Report,
) -> StageResult {
    let done = |tx: &Tx<'_>| tx.looked_at(order).map(|_| ());
    let foreign = order.facts.before_cutover || order.booked_before;
    if foreign || order.facts.settled.is_some() {
        ctx.store.write(done)?;
        return Ok(());
    }
    match adopt(ctx, order, report)? {
        Adoption::Complete => {}
        Adoption::Waits(reason) => {
            let sentence = format!("order {} waits for the ERP: {reason}", order.id);
            report.wait(order.id.as_str(), sentence);
            return Ok(());
        }
        Adoption::Person(reason) => return park(ctx, order, &reason, report),
    }
    let lines = ctx.store.lines(&order.id)?;
    let effects = ctx.store.attempts_of(&order.id)?;
    let mut skus = BTreeMap::new();
    for line in &lines {
        if let Some(row) = ctx.store.sku(&line.sku)? {
            skus.insert(line.sku.clone(), row);
        }
    }
    let case = Case {
        order,
        lines,
        effects,
        skus,
    };
    if order.facts.canceled.is_some() {
        return release(ctx, &case, report);
    }
    if order.facts.taken.is_none() {
        ctx.store.write(done)?;
        return Ok(());
    }
    if case.undecided()
        || order.stage == OrderStage::CancelRequested
        || order.stage == OrderStage::Canceling
    {
        // `move` decides these effects, the storefront this cancellation; either brings the order back here.
        return Ok(());
    }
    if !order.complete || order.workflow_in_error {
        report.wait(
            order.id.as_str(),
            format!(
                "order {} is not fully paid or stuck in the storefront",
                order.id
            ),
        );
        return Ok(());
    }
    if let Err(reason) = case.wanted(ctx) {
        return park(ctx, order, &reason, report);
    }
    match read_stock(ctx, &case, levels, report)? {
        Ok(()) => plan(ctx, &case, levels, report),
        Err(reason) => {
            report.wait(
                order.id.as_str(),
                format!("order {} waits for the ERP: {reason}", order.id),
            );
            let next = ctx.next_try(0);
            Ok(ctx.store.write(|tx| tx.put_off(order, next))?)
        }
    }
}

impl Case<'_> {
    /// Whether the order and its effects are as they were read; if not, the next run plans on what is true then.
    fn stands(&self, tx: &Tx<'_>) -> StoreResult<bool> {
        let order = tx.order(&self.order.id)?;
        if order.is_none_or(|now| now.fact_seq != self.order.fact_seq) {
            return Ok(false);
        }
        let states = |effects: &[Effect]| -> Vec<_> {
            let state = |e: &Effect| (e.id, e.state, e.attempt);
            effects.iter().map(state).collect()
        };
        Ok(states(&tx.attempts_of(&self.order.id)?) == states(&self.effects))
    }

    /// Whether an outcome must be known before anything can be planned on top of it.
    fn undecided(&self) -> bool {
        self.effects.iter().any(|e| {
            e.kind == EffectKind::Movement
                && matches!(
                    e.state,
                    EffectState::Sending
                        | EffectState::Unknown
                        | EffectState::Quarantined
                        | EffectState::Rejected
                )
        })
    }

    /// What should be booked, per base; or why the order cannot be booked.
    fn wanted(&self, ctx: &Context<'_>) -> Result<Booked, String> {
        if let Some(problem) = self.order.problems.first() {
            return Err(problem.clone());
        }
        let mut wanted = Booked::new();
        for line in self.lines.iter().filter(|line| line.units > 0) {
            let warehouse = ctx.settings.warehouse(&line.warehouse).ok_or_else(|| {
                format!(
                    "warehouse {} is not in the configuration; hint: add a [[warehouse]] for it",
                    line.warehouse
                )
            })?;
            self.code(&line.sku)?;
            let key = (
                warehouse.movement_base.clone(),
                line.sku.clone(),
                line.warehouse.clone(),
            );
            *wanted.entry(key).or_insert(0) += i64::from(line.units);
        }
        Ok(wanted)
    }

    fn code(&self, sku: &SkuId) -> Result<&ErpCode, String> {
        let row = self
            .skus
            .get(sku)
            .ok_or_else(|| format!("SKU {sku} is not known"))?;
        row.code.as_ref().ok_or_else(|| {
            let why = row.problem.as_deref().unwrap_or("it was not read yet");
            format!(
                "SKU {} cannot be found in the ERP: {why}; hint: stockbridge sku import",
                row.label()
            )
        })
    }

    /// What is booked, or planned when `planned`: outgoing less incoming.
    fn booked(&self, ctx: &Context<'_>, planned: bool) -> StoreResult<Booked> {
        let mut booked = Booked::new();
        for effect in self
            .effects
            .iter()
            .filter(|e| e.kind == EffectKind::Movement)
        {
            let counts = effect.state == EffectState::Done
                || effect.waived
                || (planned && effect.state == EffectState::Planned);
            let Ok(base) = BaseCode::parse(&effect.base) else {
                continue;
            };
            if !counts {
                continue;
            }
            for (sku, warehouse, units) in ctx.store.shares(effect.id)? {
                let sign = if effect.is_outgoing() { 1 } else { -1 };
                *booked.entry((base.clone(), sku, warehouse)).or_insert(0) +=
                    sign * i64::from(units);
            }
        }
        Ok(booked)
    }
}

/// Reads the stock of the order's articles, one call per article, each at most once a run.
fn read_stock(
    ctx: &Context<'_>,
    case: &Case<'_>,
    levels: &mut Levels,
    report: &mut Report,
) -> StageResult<Result<(), String>> {
    let codes = case
        .lines
        .iter()
        .filter(|line| line.units > 0)
        .filter_map(|line| case.code(&line.sku).ok());
    let unread: Vec<ErpCode> = codes
        .filter(|code| !levels.contains_key(*code))
        .cloned()
        .collect();
    for group in ctx.stock.groups(&unread) {
        match report.called(ctx.stock.read(&group))? {
            Ok(read) => {
                for code in group {
                    let bases = read.variants.get(&code).and_then(|v| v.by_base(&code));
                    levels.insert(code, bases.unwrap_or_default());
                }
            }
            Err(err) => return Ok(Err(err.to_string())),
        }
    }
    Ok(Ok(()))
}

/// Plans what is missing between what should be booked and what is, and queues what people must know.
fn plan(ctx: &Context<'_>, case: &Case<'_>, levels: &Levels, report: &mut Report) -> StageResult {
    let order = case.order;
    let wanted = match case.wanted(ctx) {
        Ok(wanted) => wanted,
        Err(reason) => return park(ctx, order, &reason, report),
    };
    let as_planned = difference(&wanted, &case.booked(ctx, true)?).is_empty();
    let standing = case.booked(ctx, as_planned)?;
    let missing = difference(&wanted, &standing);
    let movements = movements(ctx, case, &missing);
    let ours = movements.iter().filter(|_| ctx.order_book.is_none());
    for (movement, _) in ours {
        if let Err(reason) = ctx.movements.check(movement) {
            return park(ctx, order, &reason, report);
        }
    }
    let first = order.facts.reserved.is_none();
    let planned = ctx.store.write(|tx| {
        if !case.stands(tx)? {
            return Ok(false);
        }
        if !as_planned {
            cancel_planned(ctx, tx, case)?;
        }
        for (movement, shares) in &movements {
            tx.plan_movement(movement, shares, ctx.now)?;
        }
        plan_handling(ctx, tx, case, !wanted.is_empty())?;
        tx.unpark(&order.id)?;
        tx.reserved(&order.id, ctx.now, false)?;
        if !movements.is_empty() {
            let seq = tx.next_seq()?;
            tx.set_booked(&order.id, None, seq)?;
            tx.order_pushes_due(&order.id, seq, ctx.store_time(), None)?;
        } else if order.facts.booked.is_none() && !standing.is_empty() {
            // All of it was taken in after a restore, or decided by a person.
            let seq = tx.next_seq()?;
            tx.after_booking(&order.id, seq, ctx.now, ctx.store_time())?;
        } else if wanted.is_empty() && case.effects.is_empty() {
            log::info!(order = order.id.as_str(); "order {} holds nothing of ours", order.id);
        }
        if first || !movements.is_empty() {
            tell(ctx, tx, case, levels, first)?;
        }
        Ok(true)
    })?;
    if planned && (first || !movements.is_empty()) {
        report.count(if first {
            "orders reserved"
        } else {
            "orders changed"
        });
        let units: i64 = wanted.values().sum();
        report.say(
            order.id.as_str(),
            format!("order {} is reserved: {units} units", order.id),
        );
    }
    Ok(())
}

fn difference(wanted: &Booked, booked: &Booked) -> Booked {
    let mut difference = wanted.clone();
    for (key, units) in booked {
        *difference.entry(key.clone()).or_insert(0) -= units;
    }
    difference.retain(|_, units| *units != 0);
    difference
}

/// Makes one movement per base and direction out of what is missing (more out, or back in).
fn movements(ctx: &Context<'_>, case: &Case<'_>, missing: &Booked) -> Vec<(Movement, Vec<Share>)> {
    let mut grouped: BTreeMap<(BaseCode, Direction), Vec<Share>> = BTreeMap::new();
    for ((base, sku, warehouse), units) in missing {
        let direction = if *units > 0 {
            Direction::Out
        } else {
            Direction::In
        };
        let units = u32::try_from(units.unsigned_abs()).unwrap_or(u32::MAX);
        grouped.entry((base.clone(), direction)).or_default().push((
            sku.clone(),
            warehouse.clone(),
            units,
        ));
    }
    let mut used = BTreeMap::new();
    let mut movements = Vec::new();
    for ((base, direction), shares) in grouped {
        let mut operation = next_operation(&case.effects, direction);
        // Two bases in one plan take two numbers.
        operation.number += *used.entry(direction).and_modify(|n| *n += 1).or_insert(0);
        let order = case.order.id.clone();
        let key = MovementKey::derive(&ctx.settings.account, &base, &order, operation);
        let mut lines = BTreeMap::new();
        for (sku, _, units) in &shares {
            let Ok(code) = case.code(sku) else { continue };
            *lines.entry(code.clone()).or_insert(0) += units;
        }
        movements.push((
            Movement {
                order,
                operation,
                base,
                key,
                lines,
            },
            shares,
        ));
    }
    movements
}

/// Takes back movements that were planned and not sent, since the order changed (T3).
fn cancel_planned(ctx: &Context<'_>, tx: &Tx<'_>, case: &Case<'_>) -> StoreResult<()> {
    for effect in &case.effects {
        if effect.kind == EffectKind::Movement && effect.state == EffectState::Planned {
            tx.shift("T3", effect, EffectState::Canceled, ctx.now)?;
        }
    }
    Ok(())
}

fn plan_handling(
    ctx: &Context<'_>,
    tx: &Tx<'_>,
    case: &Case<'_>,
    has_stock: bool,
) -> StoreResult<()> {
    let exists = case.effects.iter().any(|e| e.kind == EffectKind::Handling);
    let wanted = ctx.settings.start_handling && (has_stock || ctx.settings.handle_without_stock);
    if exists || !wanted || case.order.facts.acknowledged.is_some() {
        return Ok(());
    }
    let state = if has_stock {
        EffectState::Blocked
    } else {
        EffectState::Planned
    };
    tx.plan_handling(&case.order.id, state, ctx.now)?;
    Ok(())
}

/// Records the stock per base, and queues the remito notice and the shortage.
fn tell(
    ctx: &Context<'_>,
    tx: &Tx<'_>,
    case: &Case<'_>,
    levels: &Levels,
    first: bool,
) -> StoreResult<()> {
    let order = case.order;
    let mut items = Vec::new();
    let mut short = false;
    for line in case.lines.iter().filter(|line| line.units > 0) {
        let (Some(sku), Ok(code)) = (case.skus.get(&line.sku), case.code(&line.sku)) else {
            continue;
        };
        let empty = BTreeMap::new();
        let bases = levels.get(code).unwrap_or(&empty);
        for (base, stock) in bases {
            tx.put_snapshot(&order.id, &line.sku, base, *stock, ctx.now)?;
        }
        let Some(warehouse) = ctx.settings.warehouse(&line.warehouse) else {
            continue;
        };
        if !covered(ctx, tx, line, warehouse, bases)? {
            short = true;
        }
        if warehouse.remito {
            items.push(item(ctx, tx, case, line, sku, bases, warehouse)?);
        }
    }
    let body = NoticeBody {
        order: Some(order.id.clone()),
        items,
        depot: Some(ctx.settings.depot.clone()),
        delivery_date: order.delivery_date,
        pickup_point: order.pickup_point.clone(),
        ..NoticeBody::default()
    };
    if !body.items.is_empty() || !first {
        let kind = if first {
            NoticeKind::Remito
        } else {
            NoticeKind::RemitoChanged
        };
        ctx.notify(tx, kind, order.id.as_str(), &body)?;
    }
    if short {
        let action = Some(format!("stockbridge explain {}", order.id));
        ctx.notify(
            tx,
            NoticeKind::Shortage,
            order.id.as_str(),
            &NoticeBody { action, ..body },
        )?;
    }
    Ok(())
}

/// Tells whether the stock covers everything that is promised of a SKU in a warehouse.
fn covered(
    ctx: &Context<'_>,
    tx: &Tx<'_>,
    line: &LineRow,
    warehouse: &Warehouse,
    bases: &BTreeMap<BaseCode, Qty>,
) -> StoreResult<bool> {
    let stock: Qty = bases
        .iter()
        .filter(|(base, _)| warehouse.counted.contains(*base))
        .map(|(_, qty)| *qty)
        .sum();
    let seq = tx.seq()?;
    let (terms, _) = tx.terms(&line.sku, &line.warehouse, seq, ctx.settings.by_remito)?;
    let promised: i64 = terms.iter().map(|term| term.present - term.booked()).sum();
    Ok(stock >= Qty::whole(promised))
}

/// Suggests where to take the units of a line: the depot's own free stock first, then the shops in their order.
fn item(
    ctx: &Context<'_>,
    tx: &Tx<'_>,
    case: &Case<'_>,
    line: &LineRow,
    sku: &SkuRow,
    bases: &BTreeMap<BaseCode, Qty>,
    warehouse: &Warehouse,
) -> StoreResult<NoticeItem> {
    let since = ctx.now.plus_ms(-PICKS_LAST_MS);
    let asked = tx.picks_open(&line.sku, &case.order.id, since)?;
    let depot = &ctx.settings.depot;
    let rank = |base: &BaseCode| {
        let listed = ctx
            .settings
            .pick_order
            .iter()
            .position(|b| b == base)
            .unwrap_or(usize::MAX);
        (base != depot, listed, base.clone())
    };
    let mut sources: Vec<_> = bases
        .iter()
        .filter(|(base, _)| warehouse.counted.contains(*base) || *base == depot)
        .collect();
    sources.sort_by_key(|(base, _)| rank(base));
    let mut left = i64::from(line.units);
    let mut picks = Vec::new();
    for (base, stock) in sources {
        let free = stock.floor_units() - asked.get(base).copied().unwrap_or(0);
        let take = free.clamp(0, left);
        left -= take;
        if take > 0 {
            tx.put_pick(&case.order.id, &line.sku, base, take, ctx.now)?;
        }
        if take > 0 || free > 0 {
            picks.push(Pick {
                base: base.clone(),
                stock: free.to_string(),
                take,
            });
        }
    }
    Ok(NoticeItem {
        reference: sku.label(),
        name: sku.name.clone(),
        order: None,
        attributes: attributes(ctx, Some(sku)),
        units: i64::from(line.units),
        picks,
        short: left,
    })
}

/// Releases a canceled order: what was not sent is taken back, what was booked is reversed or shown to a person.
fn release(ctx: &Context<'_>, case: &Case<'_>, report: &mut Report) -> StageResult {
    let order = case.order;
    let outcome = ctx.store.write(|tx| {
        if !case.stands(tx)? {
            return Ok(None);
        }
        for effect in &case.effects {
            match (effect.kind, effect.state) {
                (
                    EffectKind::Handling,
                    EffectState::Blocked | EffectState::Planned | EffectState::Unknown,
                ) => {
                    tx.shift("H9", effect, EffectState::Canceled, ctx.now)?;
                }
                (EffectKind::Movement, EffectState::Planned) if effect.is_outgoing() => {
                    tx.shift("T3", effect, EffectState::Canceled, ctx.now)?;
                }
                (EffectKind::Handling | EffectKind::Movement, _) => {}
            }
        }
        tx.release(&order.id)?;
        if case.undecided() {
            return Ok(Some("released"));
        }
        let outcome = reverse(ctx, tx, case)?;
        let asked = tx.outbox_last(NoticeKind::Remito, order.id.as_str())?;
        let withdrawn = tx.outbox_last(NoticeKind::RemitoWithdrawn, order.id.as_str())?;
        if let (Some(asked), None) = (asked, withdrawn) {
            let body = NoticeBody {
                reason: Some("the order was canceled".into()),
                ..asked.body
            };
            ctx.notify(tx, NoticeKind::RemitoWithdrawn, order.id.as_str(), &body)?;
        }
        tx.looked_at(order)?;
        Ok(Some(outcome))
    })?;
    if let Some(outcome) = outcome {
        report.count("orders released");
        report.say(
            order.id.as_str(),
            format!("order {} was canceled: {outcome}", order.id),
        );
    }
    Ok(())
}

/// Plans the reversal of what a canceled order has booked, or tells a person.
fn reverse(ctx: &Context<'_>, tx: &Tx<'_>, case: &Case<'_>) -> StoreResult<&'static str> {
    let mut booked = case.left_booked(ctx, true)?;
    if booked.values().any(|units| *units < 0) {
        // After a restore: a return was taken in that this memory had lost, and what it had planned comes on top.
        cancel_planned(ctx, tx, case)?;
        booked = case.left_booked(ctx, false)?;
    }
    booked.retain(|_, units| *units > 0);
    if booked.is_empty() {
        return Ok("released");
    }
    let order = case.order;
    if !ctx.settings.reverse_on_cancel || order.has_package {
        let told = tx.outbox_last(NoticeKind::CanceledAfterBooking, order.id.as_str())?;
        if told.is_none() {
            let movement = case.effects.iter().find_map(|e| e.erp_number.clone());
            let body = NoticeBody {
                order: Some(order.id.clone()),
                movement,
                items: items_of(ctx, case, &booked),
                ..NoticeBody::default()
            };
            ctx.notify(
                tx,
                NoticeKind::CanceledAfterBooking,
                order.id.as_str(),
                &body,
            )?;
        }
        return Ok("booked already, a person was told");
    }
    let back: Booked = booked
        .into_iter()
        .map(|(key, units)| (key, -units))
        .collect();
    for (movement, shares) in movements(ctx, case, &back) {
        tx.plan_movement(&movement, &shares, ctx.now)?;
    }
    Ok("its movement will be reversed")
}

impl Case<'_> {
    /// What a canceled order still has booked: confirmed movements, less what came back, or will when `planned`.
    fn left_booked(&self, ctx: &Context<'_>, planned: bool) -> StoreResult<Booked> {
        let mut booked = Booked::new();
        for effect in self
            .effects
            .iter()
            .filter(|e| e.kind == EffectKind::Movement)
        {
            let Ok(base) = BaseCode::parse(&effect.base) else {
                continue;
            };
            let sign = match (effect.is_outgoing(), effect.state) {
                (true, EffectState::Done) => 1,
                (false, EffectState::Done) => -1,
                (false, EffectState::Planned) if planned => -1,
                // A person has put the goods back.
                (false, EffectState::Canceled) if effect.waived => -1,
                (true | false, _) => continue,
            };
            for (sku, warehouse, units) in ctx.store.shares(effect.id)? {
                *booked.entry((base.clone(), sku, warehouse)).or_insert(0) +=
                    sign * i64::from(units);
            }
        }
        Ok(booked)
    }
}

/// Returns what tells a SKU's variant from others of its article.
fn attributes(ctx: &Context<'_>, sku: Option<&SkuRow>) -> Vec<Attribute> {
    let code = sku.and_then(|sku| sku.code.as_ref());
    code.map(|code| ctx.stock.attributes(code))
        .unwrap_or_default()
}

fn items_of(ctx: &Context<'_>, case: &Case<'_>, booked: &Booked) -> Vec<NoticeItem> {
    let item = |((_, sku, _), units): (&(BaseCode, SkuId, WarehouseId), &i64)| {
        let row = case.skus.get(sku);
        NoticeItem {
            reference: row.map_or_else(|| sku.to_string(), SkuRow::label),
            name: row.and_then(|row| row.name.clone()),
            order: None,
            attributes: attributes(ctx, row),
            units: *units,
            picks: vec![],
            short: 0,
        }
    };
    booked.iter().map(item).collect()
}

fn park(ctx: &Context<'_>, order: &OrderRow, reason: &str, report: &mut Report) -> StageResult {
    let body = parked_notice(order, reason);
    let parked = ctx.store.write(|tx| {
        // What poll has read since may change the verdict.
        let stands = tx.looked_at(order)?;
        if stands {
            tx.park(&order.id, reason, ctx.now)?;
            ctx.notify(tx, NoticeKind::Parked, order.id.as_str(), &body)?;
        }
        Ok(stands)
    })?;
    if parked {
        report.count("orders parked");
    }
    Ok(())
}
