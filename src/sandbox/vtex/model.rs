//! What the store remembers and how it counts, by its documentation: a reservation subtracts until it is canceled or
//! cleared, handling acknowledges it, and a stock update clears the acknowledged ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::domain::ids::{OrderId, SkuId, WarehouseId};
use crate::domain::time::Moment;
use crate::sandbox::catalogue::Product;

/// How one line's units are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Placed, not yet paid; expires.
    Authorized,
    /// Paid.
    Confirmed,
    /// Handling began at this instant: off the shelf for the store, still shown as reserved.
    Acknowledged(Moment),
    /// A stock update cleared it.
    Cleared,
    /// Canceled or expired: the units are free again.
    Gone,
}

impl Hold {
    /// Whether the units are subtracted.
    pub fn reserves(self) -> bool {
        matches!(
            self,
            Self::Authorized | Self::Confirmed | Self::Acknowledged(_)
        )
    }
}

/// One line of an order.
#[derive(Debug, Clone)]
pub struct Line {
    /// What.
    pub sku: SkuId,
    /// From where.
    pub warehouse: WarehouseId,
    /// How many, now.
    pub units: u32,
    /// How many are reserved: later changes of the order do not touch them.
    pub reserved: u32,
    /// How they are held.
    pub hold: Hold,
}

/// An order.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Its status, in the store's words.
    pub status: &'static str,
    /// When it was placed.
    pub created: Moment,
    /// When its payment was authorised.
    pub authorized: Option<Moment>,
    /// When it last changed.
    pub last_change: Moment,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Whether payment is settled.
    pub complete: bool,
    /// Whether a package is attached.
    pub package: bool,
    /// From when the order list shows it.
    pub listed_from: Moment,
    /// When a requested handling becomes effective.
    pub handling_at: Option<Moment>,
    /// How many events there were when somebody last read it.
    pub read: u64,
}

impl Order {
    /// Whether the order needs its goods: released or later, and not canceled.
    pub fn live(&self) -> bool {
        !matches!(
            self.status,
            "canceled" | "cancel" | "payment-pending" | "window-to-cancel"
        )
    }

    /// Whether anything is held for it.
    pub fn holds(&self) -> bool {
        self.lines.iter().any(|line| line.hold.reserves())
    }
}

/// What the store holds of one SKU in one warehouse.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    /// The last quantity sent.
    pub total: i64,
    /// Sold without limit.
    pub unlimited: bool,
    /// The lead time, `dd.hh:mm:ss`.
    pub lead_time: String,
    /// How often it was written.
    pub writes: u32,
    /// When it was last written over the network.
    pub written_at: Moment,
}

/// An event on the feed.
#[derive(Debug, Clone)]
pub struct Event {
    /// What a commit names.
    pub handle: String,
    /// The order.
    pub order: OrderId,
    /// The status it went into.
    pub status: &'static str,
    /// Hidden until then.
    pub hidden_until: Moment,
    /// How many events there were when it came.
    pub born: u64,
}

/// What the hook is to tell.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The order.
    pub order: OrderId,
    /// The status it went into.
    pub status: &'static str,
    /// Not before.
    pub due: Moment,
    /// How often it was posted in vain.
    pub tries: u32,
}

/// Without anything to tell for so long the hook's configuration is removed.
const HOOK_FORGOTTEN_MS: i64 = 3 * 86_400_000;

/// How the store behaves where its documentation leaves a choice, and how badly.
#[derive(Debug, Clone)]
pub struct Habits {
    /// A stock update clears only what was acknowledged at or before its instant; false: all acknowledged ones.
    pub strict_dates: bool,
    /// From the answer to start-handling to the acknowledgement.
    pub handling_delay_ms: i64,
    /// How late the order list shows an order.
    pub list_lag_ms: i64,
    /// Every so many events one is delivered twice; 0 for never.
    pub duplicate_every: u64,
    /// The catalogue's SKUs that the feed loses, for tests of the sweep: every so many events one is lost; 0 for never.
    pub lose_every: u64,
    /// The same for the hook: every so many of its events one is told twice, one never; 0 for none.
    pub hook_double_every: u64,
    /// See there.
    pub hook_lose_every: u64,
    /// The pause after a post in vain; doubles with each further one.
    pub hook_pause_ms: i64,
    /// Posts in vain after which an event is given up.
    pub hook_tries: u32,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            strict_dates: true,
            handling_delay_ms: 0,
            list_lag_ms: 0,
            duplicate_every: 5,
            lose_every: 0,
            hook_double_every: 0,
            hook_lose_every: 0,
            hook_pause_ms: 200,
            hook_tries: 20,
        }
    }
}

/// A store.
#[derive(Debug, Clone, Default)]
pub struct VtexModel {
    /// Its goods.
    pub products: Vec<Product>,
    /// Where each of its goods stands in that list.
    places: BTreeMap<SkuId, usize>,
    /// Its stock.
    pub shelves: BTreeMap<(SkuId, WarehouseId), Shelf>,
    /// SKUs that are kits: one part, so many units of it.
    pub kits: BTreeMap<SkuId, (SkuId, u32)>,
    /// Its orders.
    pub orders: BTreeMap<OrderId, Order>,
    /// The feed's configuration, as it was sent.
    pub feed_config: Option<serde_json::Value>,
    /// The feed.
    pub feed: VecDeque<Event>,
    /// The hook's configuration, as it was sent.
    pub hook_config: Option<serde_json::Value>,
    /// What the hook has still to tell.
    pub hooks: VecDeque<Notification>,
    /// Events that the hook had to tell, lost ones included.
    pub hook_events: u64,
    /// Posts that were answered with 200.
    pub hook_answers: u64,
    /// Posts in vain.
    pub hook_failures: u64,
    /// When the hook last had something to tell.
    pub hook_alive: Moment,
    /// Handles that were taken off the feed.
    pub committed: BTreeSet<String>,
    /// How it behaves.
    pub habits: Habits,
    /// Breaches of its rules.
    pub violations: Vec<String>,
    /// When it asked everybody to wait.
    pub quiet_from: Option<Moment>,
    /// Until when nobody may call.
    pub quiet_until: Option<Moment>,
    /// How often handling was started by the API, per order.
    pub handling_calls: BTreeMap<OrderId, u32>,
    events: u64,
    next_order: u64,
}

/// Why the store refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such thing.
    Missing,
    /// The order is in another status.
    Conflict,
}

impl VtexModel {
    /// Opens a store with these goods and an empty stock in each warehouse.
    pub fn new(products: &[Product], warehouses: &[&str]) -> Self {
        let place = |(at, product): (usize, &Product)| (product.sku.clone(), at);
        let mut store = Self {
            products: products.to_vec(),
            places: products.iter().enumerate().map(place).collect(),
            habits: Habits::default(),
            ..Self::default()
        };
        for product in products {
            for warehouse in warehouses {
                let warehouse =
                    WarehouseId::parse(warehouse).expect("the sandbox's warehouses are valid");
                let shelf = Shelf {
                    lead_time: "01.00:00:00".into(),
                    ..Shelf::default()
                };
                store
                    .shelves
                    .insert((product.sku.clone(), warehouse), shelf);
            }
        }
        store
    }

    /// Returns what is sold as a SKU.
    pub fn product(&self, sku: &SkuId) -> Option<&Product> {
        self.products.get(*self.places.get(sku)?)
    }

    /// Returns what is held of a SKU, warehouse by warehouse.
    pub fn shelves_of(&self, sku: &SkuId) -> impl Iterator<Item = (&WarehouseId, &Shelf)> {
        let lowest = WarehouseId::parse("!").expect("the lowest text is a warehouse's id");
        let from = self.shelves.range((sku.clone(), lowest)..);
        let sku = sku.clone();
        from.take_while(move |((of, _), _)| *of == sku)
            .map(|((_, warehouse), shelf)| (warehouse, shelf))
    }

    /// Returns the units that are subtracted of a SKU in a warehouse.
    pub fn reserved(&self, sku: &SkuId, warehouse: &WarehouseId) -> i64 {
        let lines = self.orders.values().flat_map(|order| &order.lines);
        let held =
            lines.filter(|l| l.sku == *sku && l.warehouse == *warehouse && l.hold.reserves());
        held.map(|l| i64::from(l.reserved)).sum()
    }

    /// Returns what customers can buy.
    pub fn available(&self, sku: &SkuId, warehouse: &WarehouseId) -> i64 {
        let total = self
            .shelves
            .get(&(sku.clone(), warehouse.clone()))
            .map_or(0, |shelf| shelf.total);
        total - self.reserved(sku, warehouse)
    }

    /// Lets time pass: requested handlings become effective.
    pub fn tick(&mut self, now: Moment) {
        if now.ms_since(self.hook_alive) >= HOOK_FORGOTTEN_MS {
            self.hook_config = None;
        }
        let ready: Vec<OrderId> = self
            .orders
            .values()
            .filter(|o| o.handling_at.is_some_and(|at| at <= now))
            .map(|o| o.id.clone())
            .collect();
        for id in ready {
            if let Some(order) = self.orders.get_mut(&id) {
                let at = order.handling_at.take().unwrap_or(now);
                for line in &mut order.lines {
                    if line.hold == Hold::Confirmed {
                        line.hold = Hold::Acknowledged(at);
                    }
                }
            }
            self.status(&id, "handling", now);
        }
    }

    /// Changes an order's status and tells the feed.
    fn status(&mut self, id: &OrderId, status: &'static str, now: Moment) {
        if let Some(order) = self.orders.get_mut(id) {
            order.status = status;
            order.last_change = now;
        }
        self.tell(id, status, now);
    }

    fn tell(&mut self, id: &OrderId, status: &'static str, now: Moment) {
        self.tell_hook(id, status, now);
        let Some(config) = &self.feed_config else {
            return;
        };
        if !wants(config, status) {
            return;
        }
        self.events += 1;
        let nth = |every: u64| every > 0 && self.events.is_multiple_of(every);
        if nth(self.habits.lose_every) {
            return;
        }
        let copies = if nth(self.habits.duplicate_every) {
            2
        } else {
            1
        };
        for copy in 0..copies {
            let handle = format!("h-{}-{copy}", self.events);
            let event = Event {
                handle,
                order: id.clone(),
                status,
                hidden_until: now,
                born: self.events,
            };
            // No order is guaranteed: some events overtake the one before.
            if self.events.is_multiple_of(3) {
                self.feed.push_front(event)
            } else {
                self.feed.push_back(event)
            }
        }
    }

    fn tell_hook(&mut self, id: &OrderId, status: &'static str, now: Moment) {
        let wanted = |config: &serde_json::Value| wants(config, status);
        if !self.hook_config.as_ref().is_some_and(wanted) {
            return;
        }
        self.hook_alive = now;
        self.hook_events += 1;
        let nth = |every: u64, at: u64| every > 0 && self.hook_events % every == at;
        let copies = if nth(self.habits.hook_lose_every, 0) {
            0
        } else if nth(self.habits.hook_double_every, 1) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            self.hooks.push_back(Notification {
                order: id.clone(),
                status,
                due: now,
                tries: 0,
            });
        }
    }

    /// Puts an event that was posted in vain back, for later.
    pub fn post_again(&mut self, mut hook: Notification, now: Moment) {
        self.hook_failures += 1;
        let pause = self.habits.hook_pause_ms << hook.tries.min(16);
        hook.tries += 1;
        hook.due = now.plus_ms(pause);
        if hook.tries <= self.habits.hook_tries {
            self.hooks.push_back(hook);
        }
    }

    /// Notes that somebody reads an order.
    pub fn note_reading(&mut self, id: &OrderId) {
        if let Some(order) = self.orders.get_mut(id) {
            order.read = self.events;
        }
    }

    /// Places an order; its units are reserved at once.
    pub fn place(&mut self, lines: &[(SkuId, WarehouseId, u32)], now: Moment) -> OrderId {
        self.next_order += 1;
        let id = format!("{}-01", 1_500_000_000_000_u64 + self.next_order);
        let id = OrderId::parse(&id).expect("digits and a dash");
        let lines = lines.iter().map(|(sku, warehouse, units)| Line {
            sku: sku.clone(),
            warehouse: warehouse.clone(),
            units: *units,
            reserved: *units,
            hold: Hold::Authorized,
        });
        let order = Order {
            id: id.clone(),
            status: "payment-pending",
            created: now,
            authorized: None,
            last_change: now,
            lines: lines.collect(),
            complete: true,
            package: false,
            listed_from: now.plus_ms(self.habits.list_lag_ms),
            handling_at: None,
            read: 0,
        };
        self.orders.insert(id.clone(), order);
        self.tell(&id, "payment-pending", now);
        id
    }

    /// Takes the payment.
    pub fn pay(&mut self, id: &OrderId, now: Moment) {
        if let Some(order) = self.orders.get_mut(id) {
            order.authorized = Some(now);
            for line in &mut order.lines {
                if line.hold == Hold::Authorized {
                    line.hold = Hold::Confirmed;
                }
            }
        }
        self.status(id, "window-to-cancel", now);
    }

    /// Ends the time to cancel: the ERP may take the order.
    pub fn release(&mut self, id: &OrderId, now: Moment) {
        self.status(id, "ready-for-handling", now);
    }

    /// Places, pays and releases in one go.
    pub fn sell(&mut self, lines: &[(SkuId, WarehouseId, u32)], now: Moment) -> OrderId {
        let id = self.place(lines, now);
        self.pay(&id, now);
        self.release(&id, now);
        id
    }

    /// Starts handling, by the API or by a person.
    pub fn start_handling(&mut self, id: &OrderId, now: Moment) -> Result<(), Refusal> {
        let order = self.orders.get_mut(id).ok_or(Refusal::Missing)?;
        if order.status != "ready-for-handling" {
            return Err(Refusal::Conflict);
        }
        order.handling_at = Some(now.plus_ms(self.habits.handling_delay_ms));
        self.status(id, "start-handling", now);
        if self.habits.handling_delay_ms == 0 {
            self.tick(now);
        }
        Ok(())
    }

    /// Cancels. Before handling the units are free again; after it nothing comes back by itself.
    pub fn cancel(&mut self, id: &OrderId, now: Moment) {
        self.status(id, "request-cancel", now);
        if let Some(order) = self.orders.get_mut(id) {
            order.handling_at = None;
            for line in &mut order.lines {
                if matches!(line.hold, Hold::Authorized | Hold::Confirmed) {
                    line.hold = Hold::Gone;
                }
            }
        }
        self.status(id, "cancel", now);
        self.status(id, "canceled", now);
    }

    /// Changes the units of a line of an order in handling; the store's inventory does not follow.
    pub fn change(&mut self, id: &OrderId, sku: &SkuId, units: u32, now: Moment) {
        if let Some(order) = self.orders.get_mut(id) {
            order.last_change = now;
            for line in order.lines.iter_mut().filter(|line| line.sku == *sku) {
                line.units = units;
            }
            order
                .lines
                .retain(|line| line.units > 0 || line.hold.reserves());
        }
        let status = self.orders.get(id).map_or("handling", |order| order.status);
        self.tell(id, status, now);
    }

    /// Invoices.
    pub fn invoice(&mut self, id: &OrderId, now: Moment) {
        if let Some(order) = self.orders.get_mut(id) {
            order.package = true;
        }
        self.status(id, "invoiced", now);
    }

    /// Lets an unpaid reservation expire.
    pub fn expire(&mut self, id: &OrderId) {
        if let Some(order) = self.orders.get_mut(id) {
            for line in &mut order.lines {
                line.hold = Hold::Gone;
            }
        }
    }

    /// Takes a stock update: a new quantity, or an equal one that has something to clear.
    pub fn set_quantity(
        &mut self,
        sku: &SkuId,
        warehouse: &WarehouseId,
        quantity: i64,
        as_of: Moment,
    ) -> bool {
        let strict = self.habits.strict_dates;
        let Some(shelf) = self.shelves.get_mut(&(sku.clone(), warehouse.clone())) else {
            return false;
        };
        shelf.writes += 1;
        shelf.total = quantity;
        let lines = self.orders.values_mut().flat_map(|order| &mut order.lines);
        for line in lines.filter(|l| l.sku == *sku && l.warehouse == *warehouse) {
            if matches!(line.hold, Hold::Acknowledged(at) if !strict || at <= as_of) {
                line.hold = Hold::Cleared;
            }
        }
        true
    }

    /// Reads the feed: at most `most` events that are not hidden, hidden from now on.
    pub fn read_feed(&mut self, most: usize, now: Moment) -> Vec<Event> {
        let visible = self
            .feed_config
            .as_ref()
            .and_then(|c| c.pointer("/queue/visibilityTimeoutInSeconds"));
        let hidden_ms = visible.and_then(serde_json::Value::as_i64).unwrap_or(240) * 1000;
        // One read does not return all that is queued.
        let most = if self.events.is_multiple_of(2) {
            most.min(3)
        } else {
            most
        };
        let mut events = Vec::new();
        for event in self
            .feed
            .iter_mut()
            .filter(|event| event.hidden_until <= now)
            .take(most)
        {
            event.hidden_until = now.plus_ms(hidden_ms);
            events.push(event.clone());
        }
        events
    }

    /// Takes events off the feed.
    pub fn commit_feed(&mut self, handles: &[String]) {
        for handle in handles {
            match self.feed.iter().find(|event| event.handle == *handle) {
                Some(event) => {
                    let order = self.orders.get(&event.order);
                    if order.is_some_and(|order| order.read < event.born) {
                        self.violations.push(format!(
                            "an event of {} was taken off the feed, and the order not read since it came",
                            event.order
                        ));
                    }
                }
                None if self.committed.contains(handle) => {}
                None => self
                    .violations
                    .push(format!("an unknown handle was committed: {handle}")),
            }
            self.feed.retain(|event| event.handle != *handle);
            self.committed.insert(handle.clone());
        }
    }
}

/// Tells whether a filter lets a status through.
fn wants(config: &serde_json::Value, status: &str) -> bool {
    let wanted = config.pointer("/filter/status").and_then(|s| s.as_array());
    wanted.is_none_or(|wanted| wanted.iter().any(|s| s == status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::catalogue::products;

    fn store() -> (VtexModel, SkuId, WarehouseId) {
        let mut store = VtexModel::new(&products(1)[..1], &["1_1"]);
        let sku = store.products[0].sku.clone();
        let warehouse = WarehouseId::parse("1_1").unwrap();
        store.set_quantity(&sku, &warehouse, 10, Moment(0));
        (store, sku, warehouse)
    }

    /// VTEX's worked example: total, reserved, available after each step.
    #[test]
    fn the_worked_example_counts_as_published() {
        let (mut store, sku, warehouse) = store();
        let numbers = |store: &VtexModel| {
            let total = store.shelves[&(sku.clone(), warehouse.clone())].total;
            (
                total,
                store.reserved(&sku, &warehouse),
                store.available(&sku, &warehouse),
            )
        };
        let line = |units| [(sku.clone(), warehouse.clone(), units)];
        let a = store.sell(&line(2), Moment(1));
        let b = store.sell(&line(3), Moment(1));
        assert_eq!(numbers(&store), (10, 5, 5));
        store.start_handling(&a, Moment(2)).unwrap();
        assert_eq!(numbers(&store), (10, 5, 5));
        store.set_quantity(&sku, &warehouse, 8, Moment(3));
        assert_eq!(numbers(&store), (8, 3, 5));
        store.start_handling(&b, Moment(4)).unwrap();
        store.set_quantity(&sku, &warehouse, 5, Moment(5));
        assert_eq!(numbers(&store), (5, 0, 5));
        store.cancel(&b, Moment(6));
        store.set_quantity(&sku, &warehouse, 8, Moment(7));
        assert_eq!(numbers(&store), (8, 0, 8));
    }

    #[test]
    fn an_update_older_than_the_acknowledgement_clears_nothing() {
        let (mut store, sku, warehouse) = store();
        let a = store.sell(&[(sku.clone(), warehouse.clone(), 2)], Moment(1));
        store.start_handling(&a, Moment(10)).unwrap();
        store.set_quantity(&sku, &warehouse, 8, Moment(9));
        assert_eq!(store.reserved(&sku, &warehouse), 2);
    }

    #[test]
    fn canceling_frees_units_only_before_handling() {
        let (mut store, sku, warehouse) = store();
        let line = [(sku.clone(), warehouse.clone(), 2)];
        let early = store.sell(&line, Moment(1));
        let late = store.sell(&line, Moment(1));
        store.start_handling(&late, Moment(2)).unwrap();
        store.cancel(&early, Moment(3));
        store.cancel(&late, Moment(3));
        assert_eq!(store.reserved(&sku, &warehouse), 2);
    }

    #[test]
    fn events_stay_hidden_after_a_read_and_go_with_a_commit() {
        let (mut store, sku, warehouse) = store();
        store.feed_config = Some(serde_json::json!({"queue": {"visibilityTimeoutInSeconds": 60}}));
        store.sell(&[(sku, warehouse, 1)], Moment(0));
        let first = store.read_feed(10, Moment(1));
        assert!(!first.is_empty());
        assert!(store.read_feed(10, Moment(2)).is_empty());
        assert_eq!(store.read_feed(10, Moment(61_001)).len(), first.len());
        for event in &first {
            store.note_reading(&event.order);
        }
        store.commit_feed(&first.iter().map(|e| e.handle.clone()).collect::<Vec<_>>());
        assert!(store.read_feed(10, Moment(999_999)).is_empty());
        assert!(store.violations.is_empty());
    }
}
