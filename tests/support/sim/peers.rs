//! The ports of one simulated process: the models behind them, and what goes wrong on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use stockbridge::domain::ids::{BaseCode, ErpCode, OrderId, Seq, SkuId, SkuRef, WarehouseId};
use stockbridge::domain::movement::{Direction, ErpDay, FoundMovement, Movement};
use stockbridge::domain::notice::Notice;
use stockbridge::domain::order::{FeedEvent, OrderDocument, OrderLine, OrderStage};
use stockbridge::domain::ports::{
    Clock, FeedConfig, Held, HighWater, HookConfig, ListFilter, ListPage, Listing, Locks,
    MovementSink, Notifier, Permit, PortError, PortResult, ReservationState, Rng, Search, SkuInfo,
    StockSource, StoreStock, Storefront,
};
use stockbridge::domain::qty::Qty;
use stockbridge::domain::stock::{StockLevels, VariantLevels};
use stockbridge::domain::time::{BootId, BootTime, Moment};
use stockbridge::sandbox::catalogue::Variant;
use stockbridge::sandbox::dragonfish::model::{Draft, Movement as Entered};
use stockbridge::sandbox::vtex::model::{Hold, Order};
use stockbridge::store::instance::Mark;

use super::world::{Death, Fate, Fault, Late, Mail, Sim, Step, World};

/// The ports of one process.
pub struct Peers<'a> {
    /// The world.
    pub sim: &'a Sim,
    /// Which process.
    pub pid: usize,
    /// The longest movement call, its settle time, and those of a stock write, in milliseconds.
    pub limits: (i64, i64, i64, i64),
    /// The bases that count.
    pub counted: BTreeSet<BaseCode>,
    /// Where the state file's orders can be looked up: a handle is committed only when its order is durable.
    pub durable: &'a (dyn Fn(&str) -> bool + Sync),
    /// The state of a movement in the state file, by its key.
    pub state_of: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// How far the storefront's clock was ahead at its last answer.
    pub ahead: Mutex<Option<i64>>,
    /// What the mark says whose memory it is.
    pub mark: Mutex<Option<Mark>>,
}

impl Peers<'_> {
    /// A read: lost, throttled, or answered.
    fn read<T>(&self, name: &str, look: impl FnOnce(&mut World) -> T) -> PortResult<T> {
        self.sim.point(self.pid, name);
        self.sim.with(|world| {
            let rate = world.rates.read;
            let scripted = match world.step(Step::Read) {
                Some(Fault::Fail(denied)) => Some(denied),
                _ => None,
            };
            if scripted.is_some() || (world.faults_on && world.chance(rate)) {
                world.faults += 1;
                world.note(&format!("p{} {name} fails", self.pid));
                if scripted.unwrap_or_else(|| world.chance(30)) {
                    return Err(PortError::denied("401"));
                }
                world.advance(500);
                return Err(PortError::transient("the read failed"));
            }
            *self.ahead.lock().unwrap() =
                Some(world.t.div_euclid(1000) * 1000 - (world.t + world.skew));
            Ok(look(world))
        })
    }

    /// A read made for an order: if it fails, the order read last counts as unread, since nothing of it becomes durable.
    fn or_unread<T>(&self, answer: PortResult<T>) -> PortResult<T> {
        if answer.is_err() {
            self.sim.with(|world| {
                let read = world.read_by.entry(self.pid).or_default();
                read.pop();
            });
        }
        answer
    }

    /// A write: its fate is drawn after the permit was asked at the last instant.
    fn write<T>(
        &self,
        name: &'static str,
        (rate, limit, settle): (u64, i64, i64),
        permit: Option<&Permit<'_>>,
        late: Late,
        apply: impl FnOnce(&mut World) -> PortResult<T>,
    ) -> PortResult<T> {
        self.sim.point(self.pid, name);
        if let Some(permit) = permit {
            permit.check()?;
        }
        let (fate, dies) = self.sim.with(|world| {
            let (fate, dies) = fate(world, rate);
            if fate != Fate::Good {
                world.faults += 1;
                world.note(&format!("p{} {name}: {fate:?}", self.pid));
            }
            let death = world.rates.death;
            (fate, dies || (world.faults_on && world.chance(death)))
        });
        let applied = matches!(
            fate,
            Fate::Good | Fate::ReplyLost | Fate::Broken { applied: true }
        );
        let answer = self.sim.with(|world| {
            world.advance(20);
            if applied {
                return Some(apply(world));
            }
            if fate == Fate::Late {
                let over = if world.chance(world.rates.too_late) {
                    3
                } else {
                    1
                };
                let most = limit + settle * over;
                let least = if over > 1 { limit + settle } else { 1 };
                let at = world.t + world.rng.i64(least..most);
                world.late.push((at, late));
            }
            if matches!(fate, Fate::Lost | Fate::ReplyLost | Fate::Late) && !dies {
                world.advance(limit - 20);
            }
            None
        });
        if dies {
            self.sim.with(|world| {
                world.deaths += 1;
                world.note(&format!("p{} dies during {name}", self.pid));
            });
            std::panic::resume_unwind(Box::new(Death));
        }
        self.sim.point(self.pid, &format!("{name} answered"));
        match (fate, answer) {
            (Fate::Good, Some(answer)) => answer,
            (Fate::NotSent, _) => Err(PortError::transient("connection refused")),
            (Fate::Refused, _) => Err(PortError::rejected("400")),
            (Fate::Denied, _) => Err(PortError::denied("401")),
            _ => Err(PortError::uncertain("no usable answer")),
        }
    }

    /// What the ERP lists now when nothing goes wrong.
    pub fn listed(&self, world: &World, base: &BaseCode, search: &Search) -> Vec<FoundMovement> {
        let rows: Vec<&Entered> = match search {
            Search::Text(text) => world.erp.search(base, text),
            Search::Day(wanted) => {
                let of_day = world.erp.movements.iter().filter(|m| m.base == *base);
                of_day
                    .filter(|m| day(m.at.0).as_ref() == Some(wanted))
                    .collect()
            }
        };
        let from = |m: &Entered| world.listed_from.get(&m.number).copied();
        rows.into_iter()
            .filter(|m| from(m).is_none_or(|at| at <= world.t))
            .map(|m| self.found(m))
            .collect()
    }

    fn found(&self, movement: &Entered) -> FoundMovement {
        FoundMovement {
            id: movement.code.clone(),
            number: Some(movement.number.to_string()),
            direction: Some(if movement.kind == 2 {
                Direction::Out
            } else {
                Direction::In
            }),
            base: Some(movement.base.clone()),
            note: movement.note.clone(),
            reference: movement.reference.clone(),
            lines: movement
                .lines
                .iter()
                .map(|(v, units)| Some((code(v), Qty::parse(&units.to_string()).ok()?)))
                .collect(),
            day: day(movement.at.0),
            created: Some(movement.at),
        }
    }
}

/// What becomes of a write, and whether its process dies meanwhile.
fn fate(world: &mut World, rate: u64) -> (Fate, bool) {
    match world.step(Step::Write) {
        Some(Fault::Meets(fate)) => return (fate, false),
        Some(Fault::DieDuring(true)) => return (Fate::Good, true),
        Some(Fault::DieDuring(false)) => return (Fate::Lost, true),
        _ => {}
    }
    if !world.faults_on || !world.chance(rate) {
        return (Fate::Good, false);
    }
    let fate = match world.rng.u32(0..100) {
        0..=14 => Fate::NotSent,
        15..=29 => Fate::Lost,
        30..=49 => Fate::ReplyLost,
        50..=69 => Fate::Late,
        70..=84 => Fate::Broken {
            applied: world.rng.bool(),
        },
        85..=97 => Fate::Refused,
        _ => Fate::Denied,
    };
    (fate, false)
}

/// The ERP's code of a variant.
pub fn code(variant: &Variant) -> ErpCode {
    ErpCode::parse(&variant.reference()).unwrap()
}

fn day(ms: i64) -> Option<ErpDay> {
    let at = Timestamp::from_millisecond(ms - 3 * 3_600_000).ok()?;
    ErpDay::parse(&at.to_zoned(TimeZone::UTC).date().to_string())
}

fn stage(status: &str) -> OrderStage {
    match status {
        "payment-pending" | "window-to-cancel" => OrderStage::Early,
        "ready-for-handling" => OrderStage::Ready,
        "start-handling" => OrderStage::HandlingRequested,
        "handling" => OrderStage::Handling,
        "invoiced" => OrderStage::Invoiced,
        "request-cancel" => OrderStage::CancelRequested,
        "cancel" => OrderStage::Canceling,
        "canceled" => OrderStage::Canceled,
        _ => OrderStage::Unknown,
    }
}

fn document(world: &World, order: &Order) -> OrderDocument {
    let product = |sku: &SkuId| world.vtex.products.iter().find(|p| p.sku == *sku);
    let lines = order
        .lines
        .iter()
        .filter(|l| l.units > 0)
        .map(|line| OrderLine {
            sku: line.sku.clone(),
            reference: product(&line.sku).and_then(|p| SkuRef::parse(&p.variant.reference()).ok()),
            name: None,
            warehouse: line.warehouse.clone(),
            units: line.units,
            kit: false,
        });
    OrderDocument {
        id: order.id.clone(),
        status: order.status.into(),
        stage: stage(order.status),
        created: Some(order.created),
        last_change: Some(order.last_change),
        complete: order.complete,
        workflow_in_error: false,
        has_package: order.package,
        lines: lines.collect(),
        foreign_lines: 0,
        reservations: (0..order.lines.len())
            .map(|at| format!("{}#{at}", order.id))
            .collect(),
        delivery_date: None,
        pickup_point: None,
        problems: vec![],
    }
}

impl Storefront for Peers<'_> {
    fn feed_config(&self) -> PortResult<Option<FeedConfig>> {
        self.read("read the feed's configuration", |world| {
            world.vtex.feed_config.is_some().then(|| FeedConfig {
                as_wanted: true,
                difference: String::new(),
                depth: None,
                oldest_s: None,
                retention_s: 345_600,
            })
        })
    }

    fn install_feed(&self) -> PortResult<()> {
        self.read("install the feed", |world| {
            world.vtex.feed_config =
                Some(serde_json::json!({"queue": {"visibilityTimeoutInSeconds": 240}}));
        })
    }

    /// No history has a hook: it tells nothing that the feed does not.
    fn hook_config(&self) -> PortResult<Option<HookConfig>> {
        Ok(None)
    }

    fn install_hook(&self) -> PortResult<()> {
        Err(PortError::rejected("there is no hook here"))
    }

    fn remove_hook(&self) -> PortResult<()> {
        Ok(())
    }

    fn read_feed(&self) -> PortResult<Option<Vec<FeedEvent>>> {
        self.read("read the feed", |world| {
            world.vtex.feed_config.as_ref()?;
            let now = world.now();
            let events = world.vtex.read_feed(10, now).into_iter();
            let event = |e: stockbridge::sandbox::vtex::model::Event| FeedEvent {
                handle: Some(e.handle),
                order: e.order.to_string(),
                status: e.status.into(),
            };
            Some(events.map(event).collect())
        })
    }

    fn commit_feed(&self, handles: &[String]) -> PortResult<()> {
        let orders: Vec<_> = self.sim.with(|world| {
            let event = |h: &String| world.vtex.feed.iter().find(|e| e.handle == *h);
            handles
                .iter()
                .filter_map(|h| Some(event(h)?.order.clone()))
                .collect()
        });
        for order in orders {
            if !(self.durable)(order.as_str()) {
                self.sim.with(|w| {
                    w.violate(&format!(
                        "I5: the feed forgets {order}, which is not durable"
                    ))
                });
            }
        }
        self.read("commit the feed", |world| world.vtex.commit_feed(handles))
    }

    fn list_orders(&self, filter: ListFilter, page: u32) -> PortResult<ListPage> {
        self.read("list orders", |world| {
            let now = world.now();
            let fits = |order: &&Order| match filter {
                ListFilter::Created(from, to) => order.created >= from && order.created <= to,
                ListFilter::Authorized(from, to) => {
                    order.authorized.is_some_and(|at| at >= from && at <= to)
                }
                ListFilter::Ready => order.status == "ready-for-handling",
            };
            let mut all: Vec<_> = world
                .vtex
                .orders
                .values()
                .filter(|order| order.listed_from <= now)
                .filter(fits)
                .map(|order| (order.id.to_string(), Some(order.created)))
                .collect();
            all.sort_by_key(|(_, created)| *created);
            let total = all.len() as u64;
            let skip = (page as usize).saturating_sub(1) * 100;
            ListPage {
                orders: all.into_iter().skip(skip).take(100).collect(),
                total,
            }
        })
    }

    fn order(&self, id: &OrderId) -> PortResult<Option<OrderDocument>> {
        self.read(&format!("read order {id}"), |world| {
            world.vtex.note_reading(id);
            let document = document(world, world.vtex.orders.get(id)?);
            world.read_by.entry(self.pid).or_default().push(id.clone());
            Some(document)
        })
    }

    fn start_handling(&self, id: &OrderId, permit: &Permit<'_>) -> PortResult<()> {
        let (_, _, limit, settle) = self.limits;
        let rate = self.sim.with(|world| {
            writing(world, self.pid, "handling");
            world.rates.write
        });
        let answer = self.write(
            "start handling",
            (rate, limit, settle),
            Some(permit),
            Late::Handle(id.clone()),
            |world| {
                let now = world.now();
                // The lock keeps it from a number under way; without it the date of that number does, where it counts.
                if world.rates.lock_broken && !world.vtex.habits.strict_dates {
                    world.act_unseen(id);
                }
                let started = world.vtex.start_handling(id, now);
                started.map_err(|_| PortError::uncertain("409"))
            },
        );
        self.sim.with(|world| world.writing.remove(&self.pid));
        answer
    }

    fn reservation(&self, id: &str) -> PortResult<Option<ReservationState>> {
        let answer = self.read("read a reservation", |world| {
            let (order, at) = id.split_once('#')?;
            let order = world.vtex.orders.get(&OrderId::parse(order).ok()?)?;
            let line = order.lines.get(at.parse::<usize>().ok()?)?;
            Some(match line.hold {
                Hold::Authorized | Hold::Confirmed => ReservationState::Held,
                Hold::Acknowledged(_) | Hold::Cleared => ReservationState::Acknowledged,
                Hold::Gone => ReservationState::Gone,
            })
        });
        self.or_unread(answer)
    }

    fn stock(&self, sku: &SkuId) -> PortResult<Vec<StoreStock>> {
        self.read(&format!("read stock of {sku}"), |world| {
            let shelves = world.vtex.shelves_of(sku);
            shelves
                .map(|(warehouse, shelf)| StoreStock {
                    warehouse: warehouse.clone(),
                    total: shelf.total,
                    reserved: world.vtex.reserved(sku, warehouse),
                    unlimited: false,
                })
                .collect()
        })
    }

    fn set_quantity(
        &self,
        sku: &SkuId,
        warehouse: &WarehouseId,
        quantity: i64,
        as_of: Moment,
        permit: &Permit<'_>,
    ) -> PortResult<()> {
        let (_, _, limit, settle) = self.limits;
        let rate = self.sim.with(|world| {
            writing(world, self.pid, "stock");
            if quantity < 0 {
                world.violate("I8: a negative quantity was sent");
            }
            world.rates.write
        });
        let late = Late::Set(sku.clone(), warehouse.clone(), quantity, as_of);
        let answer = self.write(
            "set quantity",
            (rate, limit, settle),
            Some(permit),
            late,
            |world| {
                if world.faults_on && world.chance(20) {
                    return Err(PortError::transient(stockbridge::domain::ports::LOCKED));
                }
                world.note(&format!(
                    "{sku} is set to {quantity} as of {}",
                    as_of.0 - 1_790_000_000_000
                ));
                world.vtex.set_quantity(sku, warehouse, quantity, as_of);
                super::judge::pushed(world, sku, warehouse, as_of);
                Ok(())
            },
        );
        self.sim.with(|world| world.writing.remove(&self.pid));
        answer
    }

    fn resolve_refs(&self, refs: &[SkuRef]) -> PortResult<BTreeMap<SkuRef, SkuId>> {
        self.read("resolve references", |world| {
            let id = |r: &SkuRef| {
                let mut products = world.vtex.products.iter();
                products.find(|p| p.variant.reference() == r.as_str())
            };
            refs.iter()
                .filter_map(|r| Some((r.clone(), id(r)?.sku.clone())))
                .collect()
        })
    }

    fn sku(&self, id: &SkuId) -> PortResult<Option<SkuInfo>> {
        let answer = self.read("read a SKU", |world| {
            let product = world.vtex.products.iter().find(|p| p.sku == *id)?;
            Some(SkuInfo {
                reference: SkuRef::parse(&product.variant.reference()).ok(),
                kit: false,
                unit_is_one: true,
                name: None,
            })
        });
        self.or_unread(answer)
    }

    fn kit_parts(&self, _: &SkuId) -> PortResult<Vec<(SkuId, u32)>> {
        Ok(vec![])
    }

    fn sku_ids(&self, page: u32) -> PortResult<Vec<SkuId>> {
        self.read("list SKUs", |world| {
            let all = world.vtex.products.iter().map(|p| p.sku.clone());
            if page == 1 { all.collect() } else { vec![] }
        })
    }

    fn warehouses(&self) -> PortResult<Vec<(WarehouseId, bool)>> {
        Ok(vec![])
    }

    fn clock_ahead_ms(&self) -> Option<i64> {
        *self.ahead.lock().unwrap()
    }
}

/// Notes a write to the store, and that none of the other kind is under way.
fn writing(world: &mut World, pid: usize, what: &'static str) {
    let other = world.writing.values().any(|w| *w != what);
    if other && !world.rates.lock_broken {
        world.violate("I19: handling starts while stock is being written");
    }
    world.writing.insert(pid, what);
}

impl StockSource for Peers<'_> {
    fn code(&self, reference: &SkuRef) -> Result<ErpCode, String> {
        ErpCode::parse(reference.as_str()).map_err(|err| err.to_string())
    }

    fn groups(&self, codes: &[ErpCode]) -> Vec<Vec<ErpCode>> {
        codes.chunks(4).map(<[_]>::to_vec).collect()
    }

    fn read(&self, codes: &[ErpCode]) -> PortResult<StockLevels> {
        let mut levels = StockLevels {
            road: "api".into(),
            ..StockLevels::default()
        };
        // Base by base, the depot first: what moves between two reads is seen in neither or only in one.
        let mut bases: Vec<_> = self.counted.iter().cloned().collect();
        bases.sort_by_key(|base| (base.as_str() != "WOO", base.clone()));
        for base in bases {
            let offline = self.sim.with(|w| w.faults_on && w.chance(15));
            if offline {
                levels.missing.insert(base, "offline".into());
                continue;
            }
            Peers::read(self, &format!("read stock of {base}"), |world| {
                for code in codes {
                    let stock = world.erp.stock.get(&base).into_iter().flatten();
                    let units = stock
                        .filter(|(v, _)| self::code(v) == *code)
                        .map(|(_, n)| *n);
                    let units: Decimal = units.sum();
                    let known = levels
                        .variants
                        .entry(code.clone())
                        .or_insert_with(|| VariantLevels::Known(BTreeMap::new()));
                    if let (VariantLevels::Known(known), Ok(qty)) =
                        (known, Qty::parse(&units.to_string()))
                    {
                        known.insert(base.clone(), qty);
                    }
                }
            })?;
        }
        Ok(levels)
    }

    fn read_all(&self, _: &dyn Fn(u64)) -> PortResult<StockLevels> {
        let codes: Vec<_> = self
            .sim
            .with(|w| w.vtex.products.iter().map(|p| code(&p.variant)).collect());
        StockSource::read(self, &codes)
    }
}

impl MovementSink for Peers<'_> {
    fn check(&self, _: &Movement) -> Result<(), String> {
        Ok(())
    }

    fn book(&self, movement: &Movement, permit: &Permit<'_>) -> PortResult<FoundMovement> {
        let (limit, settle, _, _) = self.limits;
        let draft = self.sim.with(|world| {
            let variant = |code: &ErpCode| {
                let mut all = world.vtex.products.iter().map(|p| p.variant.clone());
                all.find(|v| self::code(v) == *code).unwrap()
            };
            let lines = movement.lines.iter();
            Draft {
                kind: if movement.operation.direction == Direction::Out {
                    2
                } else {
                    1
                },
                origin: "WOO".into(),
                reference: movement.key.to_string(),
                note: movement.marker(),
                lines: lines
                    .map(|(c, n)| (variant(c), Decimal::from(*n)))
                    .collect(),
                ..Draft::default()
            }
        });
        let rate = self.sim.with(|world| world.rates.book);
        let late = Late::Book(movement.base.clone(), draft.clone());
        self.write("book", (rate, limit, settle), Some(permit), late, |world| {
            let entered = world.enter(&movement.base, draft);
            Ok(self.found(&entered))
        })
    }

    fn find(&self, base: &BaseCode, search: &Search) -> PortResult<Listing> {
        let listing = Peers::read(self, &format!("search {search:?}"), |world| {
            if world.faults_on && world.blind_until < world.t && world.chance(5) {
                world.blind_until = world.t + 1_500_000;
            }
            if world.t < world.blind_until {
                return Listing::Complete(vec![]);
            }
            if world.faults_on && world.chance(world.rates.partial) {
                return Listing::Inconclusive("a page is missing".into());
            }
            Listing::Complete(self.listed(world, base, search))
        })?;
        if self.sim.with(|world| world.rates.search_first) {
            return Ok(listing);
        }
        // What is about to be sent is looked for in vain.
        let planned = |row: &FoundMovement| {
            (self.state_of)(&row.reference).is_some_and(|state| state == "PLANNED")
        };
        Ok(match listing {
            Listing::Complete(mut rows) => {
                rows.retain(|row| !planned(row));
                Listing::Complete(rows)
            }
            listing => listing,
        })
    }

    fn days(&self, sent: Moment) -> Vec<ErpDay> {
        let hour = 3_600_000;
        let mut days: Vec<_> = [-2 * hour, 0, 2 * hour]
            .into_iter()
            .filter_map(|by| day(sent.0 + by))
            .collect();
        days.dedup();
        days
    }
}

impl Notifier for Peers<'_> {
    fn send(&self, notice: &Notice) -> PortResult<()> {
        let mail = Mail {
            key: notice.key.clone(),
            kind: notice.kind.as_str(),
            order: notice.body.order.clone(),
            marked: notice.maybe_duplicate,
        };
        self.sim.point(self.pid, "send a notice");
        let (fate, dies) = self.sim.with(|world| {
            let rate = world.rates.mail;
            let (fate, dies) = fate(world, rate);
            world.faults += u64::from(fate != Fate::Good);
            if matches!(
                fate,
                Fate::Good | Fate::ReplyLost | Fate::Broken { applied: true } | Fate::Late
            ) {
                world.mails.push(mail);
            }
            world.deaths += u64::from(dies);
            (fate, dies)
        });
        if dies {
            std::panic::resume_unwind(Box::new(Death));
        }
        self.sim.point(self.pid, "notice answered");
        match fate {
            Fate::Good => Ok(()),
            Fate::NotSent | Fate::Refused | Fate::Denied => {
                Err(PortError::transient("no mail server"))
            }
            Fate::Lost | Fate::ReplyLost | Fate::Late | Fate::Broken { .. } => {
                Err(PortError::uncertain("no answer to the last dot"))
            }
        }
    }
}

impl Clock for Peers<'_> {
    fn now(&self) -> Moment {
        self.sim.with(|world| Moment(world.t + world.skew))
    }

    fn boot(&self) -> BootTime {
        self.sim.with(|world| BootTime(world.t - world.boot_at))
    }

    fn boot_id(&self) -> BootId {
        self.sim
            .with(|world| BootId(format!("boot-{}", world.boot)))
    }

    fn sleep(&self, duration: Duration) {
        let ms = i64::try_from(duration.as_millis()).unwrap();
        self.sim.with(|world| world.advance(ms));
        self.sim.point(self.pid, "woke up");
    }
}

impl Rng for Peers<'_> {
    fn uniform(&self, max: u64) -> u64 {
        self.sim.with(|world| world.rng.u64(0..=max))
    }
}

impl HighWater for Peers<'_> {
    fn raise(&self, seq: Seq) -> Result<(), String> {
        let ours = self.mark.lock().unwrap().clone();
        self.sim.with(|world| {
            if let Some(ours) = ours {
                let same = world.mark.as_ref().is_some_and(|m| {
                    m.instance == ours.instance && m.generation == ours.generation
                });
                let held = world.mark.as_ref().filter(|_| same).map_or(-1, |m| m.seq);
                world.mark = Some(Mark {
                    seq: held.max(seq.0),
                    ..ours
                });
            }
        });
        Ok(())
    }
}

struct Lock {
    sim: Arc<Sim>,
    name: String,
    pid: usize,
}

impl Held for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.sim.with(|world| {
            if world.locks.get(&self.name) == Some(&self.pid) {
                world.locks.remove(&self.name);
            }
        });
    }
}

/// The locks of one process.
pub struct SimLocks {
    /// The world.
    pub sim: Arc<Sim>,
    /// Which process.
    pub pid: usize,
}

impl Locks for SimLocks {
    fn hold(&self, name: &str, wait: Duration) -> Result<Option<Box<dyn Held>>, String> {
        let mut waited = 0;
        loop {
            let got = self.sim.with(|world| {
                // With every other guard off as well, this one alone keeps an order out of A while a number is on its way.
                let sound = name == "vtex" && !world.rates.search_first;
                let free = (world.rates.lock_broken && !sound)
                    || world
                        .locks
                        .get(name)
                        .is_none_or(|holder| *holder == self.pid);
                if free {
                    world.locks.insert(name.to_owned(), self.pid);
                }
                free
            });
            if got {
                let name = name.to_owned();
                return Ok(Some(Box::new(Lock {
                    sim: Arc::clone(&self.sim),
                    name,
                    pid: self.pid,
                })));
            }
            if waited >= wait.as_millis() {
                return Ok(None);
            }
            waited += 200;
            self.sim.with(|world| world.advance(200));
            self.sim.point(self.pid, "waits for a lock");
        }
    }
}
