//! The read-only probes of a VTEX account for `doctor`.

use crate::adapters::vtex::Vtex;
use crate::domain::ports::{
    Check, CheckOutcome, Checks, ListFilter, PortError, PortResult, Storefront,
};

/// A clock difference that a person should know of, in milliseconds; the answer's date has whole seconds.
const CLOCK_WARN_MS: i64 = 30_000;

impl Checks for Vtex<'_> {
    fn checks(&self) -> Vec<Check> {
        let hook = self.hook.as_ref().map(|_| self.check_hook());
        let mut checks = vec![
            self.check_feed(),
            self.check_orders(),
            self.check_warehouses(),
            self.check_stock(),
        ];
        checks.extend(hook);
        checks.push(self.check_clock());
        checks
    }
}

impl Vtex<'_> {
    fn check_feed(&self) -> Check {
        const NAME: &str = "vtex.feed";
        match self.feed_config() {
            Ok(Some(feed)) if feed.as_wanted => {
                let depth = feed.depth.unwrap_or(0);
                let age = feed.oldest_s.unwrap_or(0);
                let detail = format!(
                    "configured as wanted; {depth} events wait, the oldest for {age} s; kept for {} s",
                    feed.retention_s
                );
                if age >= feed.retention_s / 2 {
                    return Check::new(NAME, CheckOutcome::Warn, detail)
                        .hint("events are lost after that time: run poll now");
                }
                Check::new(NAME, CheckOutcome::Ok, detail)
            }
            Ok(Some(feed)) => Check::new(NAME, CheckOutcome::Warn, feed.difference)
                .hint("set vtex.manage_feed = true, or configure the feed of this key by hand"),
            Ok(None) => Check::new(
                NAME,
                CheckOutcome::Fail,
                "this key has no feed configuration",
            )
            .hint("set vtex.manage_feed = true and run poll"),
            Err(err) => failed(
                NAME,
                &err,
                "give the key's role `Feed v3 and Hook Admin`, or `Feed v3 and Hook view only`",
            ),
        }
    }

    fn check_hook(&self) -> Check {
        const NAME: &str = "vtex.hook";
        match self.hook_config() {
            Ok(Some(hook)) if hook.as_wanted => Check::new(
                NAME,
                CheckOutcome::Ok,
                format!("configured as wanted, posts to {}", hook.url),
            ),
            Ok(Some(hook)) => Check::new(NAME, CheckOutcome::Warn, hook.difference)
                .hint("stockbridge hook install"),
            Ok(None) => Check::new(
                NAME,
                CheckOutcome::Warn,
                "this key has no hook configuration; VTEX removes one that had nothing to tell for 3 days",
            )
            .hint("stockbridge hook install"),
            Err(err) => failed(
                NAME,
                &err,
                "give the key's role `Feed v3 and Hook Admin`, or `Feed v3 and Hook view only`",
            ),
        }
    }

    fn check_orders(&self) -> Check {
        const NAME: &str = "vtex.orders";
        const HINT: &str = "give the key's role `List Orders` and `View order`, and `Change order workflow status` \
                            for starting to handle";
        match self.list_orders(ListFilter::Ready, 1) {
            Ok(page) => Check::new(
                NAME,
                CheckOutcome::Ok,
                format!("{} orders wait for handling", page.total),
            ),
            Err(err) => failed(NAME, &err, HINT),
        }
    }

    fn check_warehouses(&self) -> Check {
        const NAME: &str = "vtex.warehouses";
        match self.warehouses() {
            Ok(list) if list.is_empty() => {
                Check::new(NAME, CheckOutcome::Fail, "the account has no warehouse")
                    .hint("create one in the store's shipping settings")
            }
            Ok(list) => {
                let names: Vec<String> = list
                    .iter()
                    .map(|(id, active)| match active {
                        true => id.to_string(),
                        false => format!("{id} (inactive)"),
                    })
                    .collect();
                Check::new(NAME, CheckOutcome::Ok, names.join(", "))
            }
            Err(err) => failed(NAME, &err, "give the key's role `Logistics viewer`"),
        }
    }

    fn check_stock(&self) -> Check {
        const NAME: &str = "vtex.stock";
        const HINT: &str =
            "give the key's role `SKUs` of the catalogue and `Logistics inventory full access`";
        let probe = || -> PortResult<Option<String>> {
            let Some(sku) = self.sku_ids_page(1, 1)?.into_iter().next() else {
                return Ok(None);
            };
            let rows = self.stock(&sku)?;
            Ok(Some(format!(
                "SKU {sku} has a stock record in {} warehouses",
                rows.len()
            )))
        };
        match probe() {
            Ok(Some(detail)) => Check::new(NAME, CheckOutcome::Ok, detail),
            Ok(None) => Check::new(NAME, CheckOutcome::Warn, "the catalogue shows no SKU"),
            Err(err) => failed(NAME, &err, HINT),
        }
    }

    /// Runs last: the difference is that of the last answer.
    fn check_clock(&self) -> Check {
        const NAME: &str = "vtex.clock";
        let Some(ahead_ms) = self.clock_ahead_ms() else {
            return Check::new(
                NAME,
                CheckOutcome::Skipped,
                "no answer told the storefront's time",
            );
        };
        let detail = format!("the storefront's clock is {ahead_ms} ms ahead of ours");
        if ahead_ms.abs() > CLOCK_WARN_MS {
            return Check::new(NAME, CheckOutcome::Warn, detail)
                .hint("set this machine's clock by a time server");
        }
        Check::new(NAME, CheckOutcome::Ok, detail)
    }
}

fn failed(name: &str, err: &PortError, denied_hint: &str) -> Check {
    let check = Check::new(name, CheckOutcome::Fail, err.to_string());
    match err {
        PortError::Denied { .. } => check.hint(denied_hint),
        PortError::Transient { .. } | PortError::Uncertain { .. } | PortError::Rejected { .. } => {
            check
        }
    }
}
