//! From the configuration's words to the stages' own.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::channels::{ChannelConfig, OnUnknown, RouteConfig};
use crate::config::sections::{Config, Incomplete, PollMode, Search, StartHandling, VirtualDepot};
use crate::config::span::Span;
use crate::config::validate::clock;
use crate::domain::ids::BaseCode;
use crate::domain::time::Moment;
use crate::stages::settings::{
    ChannelRule, Gc, Notices, Poll, Protocol, Push, QuietHours, Route, Settings, Warehouse,
};
use crate::store::Identity;
use crate::store::gate::GateSettings;
use crate::store::outbox::MAIL;

/// Returns what the stages are told.
pub fn settings(config: &Config) -> Settings {
    let erp = &config.erp;
    Settings {
        account: config.vtex.account.clone(),
        cutover: Moment::parse(&config.poll.cutover).unwrap_or(Moment(i64::MAX)),
        warehouses: warehouses(config),
        depot: erp.depot.clone(),
        by_remito: erp.virtual_depot == VirtualDepot::Excluded,
        negative_shop: erp.negative_shop,
        reverse_on_cancel: erp.reverse_on_cancel,
        pick_order: erp.pick_order.clone(),
        safety: config.safety_stock.clone(),
        start_handling: config.vtex.start_handling == StartHandling::AfterMove,
        handle_without_stock: config.vtex.handle_without_stock,
        searchable: erp
            .dragonfish
            .as_ref()
            .is_some_and(|erp| erp.search == Search::Searchable),
        order_deadline: erp
            .winthor
            .as_ref()
            .map_or(i64::MAX, |erp| erp.order_deadline.ms()),
        workers: config.vtex.workers,
        poll: poll(config),
        protocol: protocol(config),
        push: Push {
            full_every: config.push.full_every.ms(),
            max_drop_percent: u64::from(config.push.max_drop_percent),
            max_drop_count: u64::from(config.push.max_drop_count),
            // Each is asked for, written and read back. Fewer than the brake's least number would never let it stop a run.
            first_times: usize::try_from(
                (config.protocol.requests_a_minute / 8).max(config.push.max_drop_count),
            )
            .unwrap_or(usize::MAX),
            decrease_when_incomplete: config.push.incomplete == Incomplete::Decrease,
        },
        notices: Notices {
            digest_every: config.notify.digest_every.ms(),
            max_resends: i64::from(config.notify.max_resends),
            channels: rules(config),
            routes: config.route.iter().map(route).collect(),
        },
        gc: Gc {
            settled_after: config.gc.settled_after.ms(),
            notices_after: config.gc.notices_after.ms(),
            rejects_after: config.gc.rejects_after.ms(),
            records_after: config.gc.records_after.ms(),
        },
    }
}

/// Returns how each channel behaves, `[notify.mail]` first.
fn rules(config: &Config) -> BTreeMap<String, ChannelRule> {
    let mail = &config.notify.mail;
    let first = ChannelRule {
        quarantine: false,
        quiet: quiet(config, mail.quiet_hours.as_deref()),
        batch: mail.batch.unwrap_or(true),
    };
    let others = config.channel.iter().map(|channel| {
        let rule = ChannelRule {
            quarantine: channel.on_unknown() == OnUnknown::Quarantine,
            quiet: quiet(config, channel.quiet_hours.as_deref()),
            batch: channel.batch(),
        };
        (channel.name.clone(), rule)
    });
    std::iter::once((MAIL.to_owned(), first))
        .chain(others)
        .collect()
}

fn quiet(config: &Config, hours: Option<&str>) -> Option<QuietHours> {
    let minutes = |text: &str| clock(text).map(i64::from);
    let offset = &config.notify.utc_offset;
    let (from, to) = hours?.split_once('-')?;
    let east = minutes(offset.trim_start_matches(['+', '-']))?;
    Some(QuietHours {
        from: minutes(from)?,
        to: minutes(to)?,
        offset: if offset.starts_with('-') { -east } else { east },
    })
}

fn route(route: &RouteConfig) -> Route {
    Route {
        kinds: route.kinds.clone(),
        channels: route.channels.clone(),
        bases: route.bases.clone(),
        escalate_after: route.escalate_after.map(|after| after.ms()),
        escalate_to: route.escalate_to.clone(),
    }
}

/// Returns each warehouse with the bases that count for it: the depot counts where its sales are booked, or not at all.
fn warehouses(config: &Config) -> Vec<Warehouse> {
    let erp = &config.erp;
    let included = erp.virtual_depot == VirtualDepot::Included;
    let warehouse = |w: &crate::config::sections::WarehouseConfig| {
        // Without a depot, sales are booked where the goods lie.
        let own = w.bases.first().filter(|_| erp.winthor.is_some());
        let booked_in = || own.unwrap_or(&erp.depot).clone();
        let movement_base = w.movement_base.clone().unwrap_or_else(booked_in);
        let mut counted: BTreeSet<BaseCode> = w.bases.iter().cloned().collect();
        if movement_base == erp.depot {
            counted.insert(erp.depot.clone());
        }
        if !included {
            counted.remove(&erp.depot);
        }
        Warehouse {
            id: w.id.clone(),
            counted,
            remito: w.remito.unwrap_or(movement_base == erp.depot),
            movement_base,
            safety: w.safety_stock,
        }
    };
    config.warehouse.iter().map(warehouse).collect()
}

/// Returns every base whose stock is read.
pub fn counted_bases(settings: &Settings) -> Vec<BaseCode> {
    let all: BTreeSet<_> = settings
        .warehouses
        .iter()
        .flat_map(|w| w.counted.iter().cloned())
        .collect();
    all.into_iter().collect()
}

fn poll(config: &Config) -> Poll {
    let poll = &config.poll;
    Poll {
        feed: poll.mode != PollMode::List,
        list: poll.mode != PollMode::Feed,
        manage_feed: config.vtex.manage_feed,
        hook: config.serve.hook.is_some(),
        manage_hook: config.serve.hook.as_ref().is_some_and(|hook| hook.manage),
        sweep_every: poll.sweep_every.ms(),
        sweep_window: poll.sweep_window.ms(),
        ready_sweep_every: poll.ready_sweep_every.ms(),
        reread_every: poll.reread_every.ms(),
        refs_every: poll.refs_every.ms(),
        // The other stages ask within the same minute.
        refs_a_run: config.protocol.requests_a_minute / 4,
        list_last: poll.list_last,
        empty_reads: poll.empty_reads,
        unreadable_tries: poll.unreadable_tries,
        unreadable_after: poll.unreadable_after.ms(),
        stuck_after: poll.stuck_after.ms(),
    }
}

fn protocol(config: &Config) -> Protocol {
    let protocol = &config.protocol;
    Protocol {
        gap: protocol.gap.ms(),
        movement_limit: protocol.movement_limit.ms(),
        movement_settle: protocol.movement_settle.ms(),
        absences_apart: protocol.absences_apart.ms(),
        undecided_after: protocol.undecided_after.ms(),
        max_attempts: i64::from(protocol.max_attempts),
        handling_limit: protocol.handling_limit.ms(),
        handling_recheck: protocol.handling_recheck.ms(),
        stock_limit: protocol.stock_limit.ms(),
        stock_settle: protocol.stock_settle.ms(),
        backoff_base: protocol.backoff_base.ms(),
        backoff_cap: protocol.backoff_cap.ms(),
    }
}

/// Returns the numbers of the hosts' gate.
pub fn gate(config: &Config) -> GateSettings {
    GateSettings {
        breaker_failures: i64::from(config.protocol.breaker_failures),
        breaker_open: config.protocol.breaker_open.duration(),
        longest_wait: Span::hours(1).duration(),
        requests_a_minute: i64::from(config.protocol.requests_a_minute),
    }
}

/// Returns whose memory the state file must be.
pub fn identity(config: &Config) -> Identity {
    Identity {
        account: config.vtex.account.clone(),
        erp: match &config.erp.winthor {
            Some(winthor) => format!("winthor {}", winthor.name()),
            None => format!("dragonfish {}", config.erp.depot),
        },
    }
}

/// Returns the longest time one outside call may take, for the watchdog.
pub fn longest_call(config: &Config) -> std::time::Duration {
    let dragonfish = config.erp.dragonfish.iter();
    let winthor = config.erp.winthor.iter().map(|erp| erp.read_timeout);
    let erp = dragonfish
        .flat_map(|erp| [erp.stock_timeout, erp.read_timeout])
        .chain(winthor);
    let calls = [
        config.protocol.movement_limit,
        config.vtex.total_timeout,
        config.notify.mail.timeout,
    ];
    let channels = config.channel.iter().map(ChannelConfig::timeout);
    calls
        .into_iter()
        .chain(erp)
        .chain(channels)
        .map(Span::duration)
        .max()
        .unwrap_or_default()
}
