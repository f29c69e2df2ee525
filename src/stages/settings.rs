//! What the configuration tells the stages, in the stages' own words; times in milliseconds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::ids::{BaseCode, SkuRef, WarehouseId};
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::qty::Qty;
use crate::domain::stock::NegativeShop;
use crate::domain::time::Moment;
use crate::store::outbox::{MAIL, Target};

/// Everything a stage is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The storefront's account, part of every movement's key.
    pub account: String,
    /// Orders placed before this are not ours to move.
    pub cutover: Moment,
    /// The warehouses whose numbers are published.
    pub warehouses: Vec<Warehouse>,
    /// The virtual depot.
    pub depot: BaseCode,
    /// True when the virtual depot does not count: a movement counts from its remito on.
    pub by_remito: bool,
    /// How a shop with negative stock counts.
    pub negative_shop: NegativeShop,
    /// Whether the reversal of an order canceled after booking is booked.
    pub reverse_on_cancel: bool,
    /// Which shops are asked for goods first.
    pub pick_order: Vec<BaseCode>,
    /// Stock held back per SKU, on top of the warehouse's own.
    pub safety: BTreeMap<SkuRef, Qty>,
    /// Whether this program starts handling.
    pub start_handling: bool,
    /// Whether handling is also started for an order without a line of ours.
    pub handle_without_stock: bool,
    /// Whether movements can be found again in the ERP.
    pub searchable: bool,
    /// How long an order may be missing in an ERP into which somebody else brings it, before people are told.
    pub order_deadline: i64,
    /// Concurrent calls to the storefront.
    pub workers: usize,
    /// How orders are found.
    pub poll: Poll,
    /// The waiting times that guard against duplicates.
    pub protocol: Protocol,
    /// How quantities are published.
    pub push: Push,
    /// How people are told.
    pub notices: Notices,
    /// What is forgotten.
    pub gc: Gc,
}

/// One warehouse of the storefront.
#[derive(Debug, Clone)]
pub struct Warehouse {
    /// Its id.
    pub id: WarehouseId,
    /// The bases whose stock it offers, the virtual depot included where it counts.
    pub counted: BTreeSet<BaseCode>,
    /// The base in which its sales are booked.
    pub movement_base: BaseCode,
    /// Whether a person must make a remito for its orders.
    pub remito: bool,
    /// Stock held back per SKU.
    pub safety: Qty,
}

/// How orders are found.
#[derive(Debug, Clone)]
pub struct Poll {
    /// Read the feed.
    pub feed: bool,
    /// Read the newest orders of the list.
    pub list: bool,
    /// Create and repair the feed's configuration.
    pub manage_feed: bool,
    /// The storefront's hook posts to us: see that it stays configured.
    pub hook: bool,
    /// Create and repair the hook's configuration.
    pub manage_hook: bool,
    /// How often the list is swept.
    pub sweep_every: i64,
    /// How far a sweep reaches back.
    pub sweep_window: i64,
    /// How often all orders that wait for handling are listed.
    pub ready_sweep_every: i64,
    /// How often every open order is read again.
    pub reread_every: i64,
    /// How often the catalogue is read again.
    pub refs_every: i64,
    /// Catalogue entries read in one run; a larger catalogue is read over several.
    pub refs_a_run: u32,
    /// How many of the newest orders the list mode looks at.
    pub list_last: u32,
    /// Consecutive empty reads that end a drain.
    pub empty_reads: u32,
    /// Tries after which an event whose order cannot be read is set aside.
    pub unreadable_tries: u32,
    /// Time after which it is.
    pub unreadable_after: i64,
    /// Time after which a held-up order is shown to a person.
    pub stuck_after: i64,
}

/// The waiting times of the crash protocol.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// From a claim to the start of its call.
    pub gap: i64,
    /// The longest movement call.
    pub movement_limit: i64,
    /// After which an abandoned movement call can no longer take effect.
    pub movement_settle: i64,
    /// Between the two absences.
    pub absences_apart: i64,
    /// How long a movement may stay undecided.
    pub undecided_after: i64,
    /// Attempts of a movement before it is rejected.
    pub max_attempts: i64,
    /// The longest start-handling call.
    pub handling_limit: i64,
    /// When an unanswered start of handling is looked at again.
    pub handling_recheck: i64,
    /// The longest stock write.
    pub stock_limit: i64,
    /// After which an abandoned stock write can no longer take effect.
    pub stock_settle: i64,
    /// First backoff between runs.
    pub backoff_base: i64,
    /// Longest backoff between runs.
    pub backoff_cap: i64,
}

/// How quantities are published.
#[derive(Debug, Clone)]
pub struct Push {
    /// How often every SKU is compared with the ERP.
    pub full_every: i64,
    /// The brake's share, in percent.
    pub max_drop_percent: u64,
    /// The brake's least number of SKUs.
    pub max_drop_count: u64,
    /// SKUs that the store was never told of and that one reading may add: the brake asks the store for each of them, and
    /// what it asks must leave room to publish them within the same minute.
    pub first_times: usize,
    /// Whether an incomplete reading may lower a number.
    pub decrease_when_incomplete: bool,
}

/// How people are told.
#[derive(Debug, Clone)]
pub struct Notices {
    /// How long an equal alert is only counted.
    pub digest_every: i64,
    /// Marked resends before a person must look.
    pub max_resends: i64,
    /// How each channel behaves; `mail` may be missing, and is then sent to one by one at any hour.
    pub channels: BTreeMap<String, ChannelRule>,
    /// Which kinds go where; without any, every notice goes to every channel.
    pub routes: Vec<Route>,
}

/// How a channel behaves.
#[derive(Debug, Clone, Default)]
pub struct ChannelRule {
    /// Whether a notice with an unknown outcome goes to a person at once instead of being sent again.
    pub quarantine: bool,
    /// When nothing is sent.
    pub quiet: Option<QuietHours>,
    /// Whether the remito notices of a run go out as one list.
    pub batch: bool,
}

/// Hours of the day in which people are left alone.
#[derive(Debug, Clone, Copy)]
pub struct QuietHours {
    /// Minute of the day at which they begin.
    pub from: i64,
    /// Minute of the day at which they end; may lie on the next day.
    pub to: i64,
    /// The local time's offset from UTC, in minutes.
    pub offset: i64,
}

impl QuietHours {
    /// Tells whether an instant lies within.
    pub fn hold(&self, at: Moment) -> bool {
        let minute = (at.0.div_euclid(60_000) + self.offset).rem_euclid(24 * 60);
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

/// Where notices of some kinds go.
#[derive(Debug, Clone)]
pub struct Route {
    /// The kinds; all when empty.
    pub kinds: Vec<NoticeKind>,
    /// The channels.
    pub channels: Vec<String>,
    /// Only the goods to take in these bases, one notice for each; everything when empty.
    pub bases: Vec<BaseCode>,
    /// After how long an order that is still parked is told to `escalate_to`.
    pub escalate_after: Option<i64>,
    /// Who is told then.
    pub escalate_to: Vec<String>,
}

impl Notices {
    /// Returns where a notice goes, without repetition.
    pub fn targets(&self, kind: NoticeKind, body: &NoticeBody) -> Vec<Target> {
        let mut targets = BTreeSet::new();
        for route in &self.routes {
            if !route.kinds.is_empty() && !route.kinds.contains(&kind) {
                continue;
            }
            let bases: Vec<Option<BaseCode>> = if route.bases.is_empty() {
                vec![None]
            } else {
                let concerned = route.bases.iter().filter(|base| body.only(base).is_some());
                concerned.cloned().map(Some).collect()
            };
            for channel in &route.channels {
                targets.extend(bases.iter().map(|base| Target {
                    channel: channel.clone(),
                    base: base.clone(),
                }));
            }
        }
        // Never nowhere: what no route takes goes where everything goes without routes.
        if targets.is_empty() {
            let others = self.channels.keys().cloned();
            let all = std::iter::once(MAIL.to_owned()).chain(others);
            targets.extend(all.map(|channel| Target {
                channel,
                base: None,
            }));
        }
        targets.into_iter().collect()
    }
}

/// What is forgotten, by age.
#[derive(Debug, Clone)]
pub struct Gc {
    /// Settled orders.
    pub settled_after: i64,
    /// Sent notices.
    pub notices_after: i64,
    /// Rejected input.
    pub rejects_after: i64,
    /// Records of pushes and events.
    pub records_after: i64,
}

impl Protocol {
    /// Returns how long any write may take effect after its claim, whatever happened to the process.
    pub fn longest_write(&self) -> i64 {
        let movement = self.movement_limit + self.movement_settle;
        let stock = self.stock_limit + self.stock_settle;
        self.gap + movement.max(stock)
    }
}

impl Settings {
    /// Returns the warehouse with this id, letter for letter.
    pub fn warehouse(&self, id: &WarehouseId) -> Option<&Warehouse> {
        self.warehouses.iter().find(|w| w.id == *id)
    }

    /// Returns how long a failed item waits after `failures` tries: uniform up to base · 2ⁿ, capped.
    pub fn backoff(&self, failures: i64, rng: &dyn crate::domain::ports::Rng) -> i64 {
        let doublings = u32::try_from(failures.clamp(0, 20)).unwrap_or(20);
        let most = self
            .protocol
            .backoff_base
            .saturating_mul(1_i64 << doublings)
            .min(self.protocol.backoff_cap);
        i64::try_from(rng.uniform(most.max(0).unsigned_abs())).unwrap_or(most)
    }
}

/// Turns milliseconds into a duration; negative ones into none.
pub fn duration(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_are_local_and_may_pass_midnight() {
        let at = |text: &str| Moment::parse(text).unwrap();
        let night = QuietHours {
            from: 22 * 60,
            to: 7 * 60,
            offset: -180,
        };
        assert!(night.hold(at("2026-02-03T22:00:00-03:00")));
        assert!(night.hold(at("2026-02-04T06:59:59-03:00")));
        assert!(!night.hold(at("2026-02-04T07:00:00-03:00")));
        assert!(!night.hold(at("2026-02-04T21:59:00-03:00")));
        let noon = QuietHours {
            from: 12 * 60,
            to: 13 * 60,
            offset: 0,
        };
        assert!(noon.hold(at("2026-02-03T12:30:00Z")));
        assert!(!noon.hold(at("2026-02-03T13:00:00Z")));
    }

    #[test]
    fn what_no_route_takes_goes_everywhere() {
        let notices = Notices {
            digest_every: 0,
            max_resends: 0,
            channels: BTreeMap::from([("hook".into(), ChannelRule::default())]),
            routes: vec![Route {
                kinds: vec![NoticeKind::Remito],
                channels: vec!["hook".into()],
                bases: vec![],
                escalate_after: None,
                escalate_to: vec![],
            }],
        };
        let names = |kind| {
            let targets = notices.targets(kind, &NoticeBody::default());
            targets.into_iter().map(|t| t.channel).collect::<Vec<_>>()
        };
        assert_eq!(names(NoticeKind::Remito), ["hook"]);
        assert_eq!(names(NoticeKind::Parked), ["hook", "mail"]);
    }
}
