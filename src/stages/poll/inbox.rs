//! The inbox of the hook: orders that the storefront told of. What the hook says is only a hint, so each order is read as
//! any other, and its entry goes in the transaction that records it.

use std::collections::BTreeSet;

use crate::domain::ids::OrderId;
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::ports::HookConfig;
use crate::stages::context::BATCH;
use crate::stages::poll::{Poll, Taken};
use crate::stages::report::{Report, StageResult};
use crate::store::inbox::Hint;
use crate::store::orders::FoundBy;

impl Poll<'_> {
    /// Reads every order of the inbox whose time has come; each is tried once in a run.
    pub(super) fn drain_inbox(&self, report: &mut Report) -> StageResult {
        let mut tried: BTreeSet<OrderId> = BTreeSet::new();
        loop {
            let mut hints = self.ctx.store.hints_due(self.ctx.due(), BATCH)?;
            hints.retain(|hint| !tried.contains(&hint.order));
            if hints.is_empty() {
                break;
            }
            for hint in hints {
                if !self.pace.next() {
                    report.wait(
                        "inbox",
                        "the deadline was reached before the end of the inbox; the next run goes on",
                    );
                    return Ok(());
                }
                self.settle_hint(&hint, report)?;
                tried.insert(hint.order);
            }
        }
        if !tried.is_empty() {
            // The hook will not tell of these orders again: an older copy of the memory must know that it misses them.
            self.ctx.mark(self.ctx.store.seq()?)?;
        }
        Ok(())
    }

    fn settle_hint(&self, hint: &Hint, report: &mut Report) -> StageResult {
        let id = &hint.order;
        let (reason, failures) = match self.take_told(id, FoundBy::Feed, Some(hint), report)? {
            Some(Taken::Durable) => {
                report.count("hints of the hook");
                return Ok(());
            }
            None => {
                return Ok(self.ctx.store.write(|tx| {
                    tx.take_hint(hint)?;
                    tx.reject("hook", id.as_str(), "there is no such order", self.ctx.now)
                })?);
            }
            // The storefront may answer again any minute; a document does not mend so soon.
            Some(Taken::Failed(reason)) => (reason, hint.tries.min(3)),
            Some(Taken::Unusable(reason)) => (reason, hint.tries),
        };
        let poll = &self.ctx.settings.poll;
        let now = self.ctx.now;
        let given_up = self.ctx.store.write(|tx| {
            let not_before = self.ctx.next_try(i64::from(failures));
            let Some((first, tries)) = tx.hint_tried(hint, not_before)? else {
                return Ok(false);
            };
            let given_up =
                tries >= poll.unreadable_tries || now.ms_since(first) >= poll.unreadable_after;
            if given_up {
                tx.take_hint(hint)?;
                tx.reject("hook", id.as_str(), &reason, now)?;
                let body = NoticeBody {
                    reason: Some(format!("the order cannot be read: {reason}")),
                    order: Some(id.clone()),
                    action: Some(format!("stockbridge poll --order {id}")),
                    ..NoticeBody::default()
                };
                self.ctx
                    .notify(tx, NoticeKind::Parked, id.as_str(), &body)?;
            }
            Ok(given_up)
        })?;
        if given_up {
            report.person(
                id.as_str(),
                format!("order {id} was set aside as unreadable: {reason}"),
            );
        } else {
            report.wait(
                id.as_str(),
                format!("order {id} cannot be read yet: {reason}"),
            );
        }
        Ok(())
    }

    /// Looks whether the hook is still configured: the storefront forgets one that had nothing to tell for three days.
    pub(super) fn check_hook(&self, report: &mut Report) -> StageResult {
        let found = match report.called(self.ctx.storefront.hook_config())? {
            Ok(found) => found,
            Err(err) => {
                report.wait(
                    "hook",
                    format!("the hook's configuration cannot be read: {err}"),
                );
                return Ok(());
            }
        };
        let wrong = match found {
            Some(HookConfig {
                as_wanted: true, ..
            }) => return Ok(()),
            Some(config) => format!("the hook is configured differently: {}", config.difference),
            None => "the hook has no configuration".to_owned(),
        };
        if !self.ctx.settings.poll.manage_hook {
            report.person("hook", format!("{wrong}; hint: stockbridge hook install"));
            return Ok(());
        }
        match report.called(self.ctx.storefront.install_hook())? {
            Ok(()) => report.say("hook", "the hook's configuration was created"),
            // The orders come by the feed and the sweep meanwhile; the storefront may not reach `serve` just now.
            Err(err) => report.wait(
                "hook",
                format!("the hook's configuration cannot be created: {err}"),
            ),
        }
        Ok(())
    }
}
