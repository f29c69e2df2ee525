//! `status`: orders per state, what waits for a person and why, the last run of each stage.

use std::fmt;

use serde::Serialize;

use crate::domain::effect::{EffectKind, EffectState};
use crate::domain::time::Moment;
use crate::store::attempts::Effect;
use crate::store::{Store, StoreResult};

/// Rows shown of each list.
const SHOWN: u32 = 50;

/// The state of everything, at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Open orders per state.
    pub orders: Vec<StateCount>,
    /// What waits for a person.
    pub attention: Vec<Attention>,
    /// Effects that are not final, per state.
    pub effects: Vec<Count>,
    /// Notices that were not sent, per state.
    pub notices: Vec<Count>,
    /// Orders that the hook told of and `poll` has not read.
    pub inbox: u64,
    /// SKUs whose number must be looked at.
    pub pushes_due: i64,
    /// SKUs that cannot be found in the ERP.
    pub unmapped_skus: usize,
    /// Input that was refused, newest first.
    pub rejects: Vec<RejectLine>,
    /// Hosts that are left alone for a while.
    pub waiting_hosts: Vec<HostLine>,
    /// The last run of each stage.
    pub runs: Vec<RunLine>,
}

/// How many orders are in a state.
#[derive(Debug, Clone, Serialize)]
pub struct StateCount {
    /// The state.
    pub state: &'static str,
    /// How many.
    pub orders: u64,
    /// When the oldest of them was first seen.
    pub oldest: String,
}

/// How many of something.
#[derive(Debug, Clone, Serialize)]
pub struct Count {
    /// Of what.
    pub name: String,
    /// How many.
    pub count: i64,
}

/// Something that waits for a person.
#[derive(Debug, Clone, Serialize)]
pub struct Attention {
    /// An order, a SKU, a notice.
    pub subject: String,
    /// Why it waits.
    pub reason: String,
    /// The command that shows or resolves it.
    pub command: String,
}

/// Refused input.
#[derive(Debug, Clone, Serialize)]
pub struct RejectLine {
    /// When, last.
    pub at: String,
    /// From where.
    pub source: String,
    /// What.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// How often.
    pub times: i64,
}

/// A host that is left alone.
#[derive(Debug, Clone, Serialize)]
pub struct HostLine {
    /// Which.
    pub host: String,
    /// Until when.
    pub until: String,
    /// Failures in a row.
    pub failures: i64,
}

/// The last run of a stage.
#[derive(Debug, Clone, Serialize)]
pub struct RunLine {
    /// Which stage.
    pub stage: String,
    /// When it ended.
    pub ended: String,
    /// How long it took.
    pub duration_ms: i64,
    /// How it ended.
    pub exit_code: i64,
    /// What it did.
    pub counts: std::collections::BTreeMap<String, u64>,
    /// Why it stopped early.
    pub message: Option<String>,
}

/// Gathers the status.
pub fn status(store: &Store, now: Moment) -> StoreResult<Status> {
    let orders = store
        .order_states()?
        .into_iter()
        .map(|(state, (orders, oldest))| StateCount {
            state: state.as_str(),
            orders,
            oldest: oldest.to_string(),
        });
    let count = |(name, count)| Count { name, count };
    let hosts = store
        .gates()?
        .into_iter()
        .filter(|(_, _, until)| *until > now);
    Ok(Status {
        orders: orders.collect(),
        attention: attention(store)?,
        effects: store.effects_waiting()?.into_iter().map(count).collect(),
        notices: store.outbox_counts()?.into_iter().map(count).collect(),
        inbox: store.inbox_depth()?.orders,
        pushes_due: store.pushes_due_count()?,
        unmapped_skus: store.skus_unmapped()?.len(),
        rejects: store.rejects(10)?.into_iter().map(reject_line).collect(),
        waiting_hosts: hosts
            .map(|(host, failures, until)| HostLine {
                host,
                until: until.to_string(),
                failures,
            })
            .collect(),
        runs: store.runs()?.into_iter().map(run_line).collect(),
    })
}

/// The command that settles an effect, with what is still to be filled in.
fn way_out(effect: &Effect) -> String {
    let order = &effect.order;
    match (effect.state, effect.kind) {
        (EffectState::Rejected, _) => format!("stockbridge retry {order}"),
        (_, EffectKind::Handling) => {
            format!(
                "stockbridge resolve {order} --handled | --not-booked | --cancel --evidence TEXT"
            )
        }
        (_, EffectKind::Movement) => {
            format!(
                "stockbridge resolve {order} --booked NUMBER | --not-booked | --cancel --evidence TEXT"
            )
        }
    }
}

fn attention(store: &Store) -> StoreResult<Vec<Attention>> {
    let mut found = Vec::new();
    for order in store.orders_parked(SHOWN)? {
        let reason = order.parked_reason.unwrap_or_default();
        let command = format!("stockbridge show {}", order.id);
        found.push(Attention {
            subject: format!("order {}", order.id),
            reason,
            command,
        });
    }
    for kind in [EffectKind::Movement, EffectKind::Handling] {
        for effect in store
            .effects_open(kind, SHOWN)?
            .into_iter()
            .filter(|e| e.state.parks())
        {
            let subject = format!(
                "order {} {} {}",
                effect.order,
                effect.operation,
                effect.state.as_str()
            );
            let command = way_out(&effect);
            found.push(Attention {
                subject,
                reason: effect.reason.unwrap_or_default(),
                command,
            });
        }
    }
    for finding in store.findings(SHOWN)? {
        found.push(Attention {
            subject: format!("movement {}", finding.subject),
            reason: finding.detail,
            command: finding.correction,
        });
    }
    for row in store.pushes_oversold(SHOWN)? {
        found.push(Attention {
            subject: format!("SKU {} in {}", row.sku, row.warehouse),
            reason: "oversold: the store has promised more than exists".into(),
            command: format!("stockbridge explain {}", row.sku),
        });
    }
    for row in store.outbox_quarantined(SHOWN)? {
        let command = format!("stockbridge retry --notice {}", row.key);
        let reason = row.reason.unwrap_or_default();
        found.push(Attention {
            subject: format!("notice {} about {}", row.key, row.subject),
            reason,
            command,
        });
    }
    Ok(found)
}

fn reject_line(reject: crate::store::feed::Reject) -> RejectLine {
    RejectLine {
        at: reject.at.to_string(),
        source: reject.source,
        subject: reject.subject,
        reason: reject.reason,
        times: reject.times,
    }
}

fn run_line(run: crate::store::runs::RunRow) -> RunLine {
    RunLine {
        duration_ms: run.ended_at.ms_since(run.started_at),
        stage: run.stage,
        ended: run.ended_at.to_string(),
        exit_code: run.exit_code,
        counts: run.counts,
        message: run.message,
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Orders")?;
        if self.orders.is_empty() {
            writeln!(f, "  none open")?;
        }
        for line in &self.orders {
            writeln!(
                f,
                "  {:<16}{:>6}   oldest seen {}",
                line.state, line.orders, line.oldest
            )?;
        }
        writeln!(f, "Waiting for a person")?;
        if self.attention.is_empty() {
            writeln!(f, "  nothing")?;
        }
        for line in &self.attention {
            writeln!(
                f,
                "  {}: {}\n    {}",
                line.subject, line.reason, line.command
            )?;
        }
        let list = |counts: &[Count]| {
            let parts: Vec<_> = counts
                .iter()
                .map(|c| format!("{} {}", c.count, c.name.to_lowercase()))
                .collect();
            if parts.is_empty() {
                "none".to_owned()
            } else {
                parts.join(", ")
            }
        };
        writeln!(f, "Effects not final      {}", list(&self.effects))?;
        writeln!(f, "Notices not sent       {}", list(&self.notices))?;
        writeln!(f, "Told of and not read   {}", self.inbox)?;
        writeln!(f, "Numbers to look at     {}", self.pushes_due)?;
        writeln!(f, "SKUs not in the ERP    {}", self.unmapped_skus)?;
        for host in &self.waiting_hosts {
            writeln!(
                f,
                "Left alone             {} until {} ({} failures)",
                host.host, host.until, host.failures
            )?;
        }
        for reject in &self.rejects {
            let RejectLine {
                at,
                source,
                subject,
                reason,
                times,
            } = reject;
            writeln!(
                f,
                "Refused                {at} {source} {subject} ({times}x): {reason}"
            )?;
        }
        writeln!(f, "Last runs")?;
        for run in &self.runs {
            let counts: Vec<_> = run
                .counts
                .iter()
                .map(|(name, n)| format!("{n} {name}"))
                .collect();
            let message = run
                .message
                .as_ref()
                .map_or_else(String::new, |m| format!("  {m}"));
            let (stage, ended, took, code) =
                (&run.stage, &run.ended, run.duration_ms, run.exit_code);
            writeln!(
                f,
                "  {stage:<11} {ended}  {took:>6} ms  exit {code}  {}{message}",
                counts.join(", ")
            )?;
        }
        Ok(())
    }
}
