//! Notices to people: planned with the fact they tell of, sent later, never silently dropped.

use rusqlite::{Row, named_params};

use crate::domain::ids::BaseCode;
use crate::domain::notice::{NoticeBody, NoticeKind, Repeat};
use crate::domain::time::Moment;
use crate::store::{Store, StoreResult, Tx, parsed, to_json};

/// Where a notice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeState {
    /// To be sent.
    Planned,
    /// Claimed: it may have been sent.
    Sending,
    /// Sent with no usable answer.
    Unknown,
    /// Delivered to the channel.
    Sent,
    /// A person must look at it here.
    Quarantined,
}

impl NoticeState {
    const ALL: [Self; 5] = [
        Self::Planned,
        Self::Sending,
        Self::Unknown,
        Self::Sent,
        Self::Quarantined,
    ];

    /// Returns the state's name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "PLANNED",
            Self::Sending => "SENDING",
            Self::Unknown => "UNKNOWN",
            Self::Sent => "SENT",
            Self::Quarantined => "QUARANTINED",
        }
    }
}

/// A notice as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its row.
    pub id: i64,
    /// Its natural key.
    pub key: String,
    /// Why.
    pub kind: NoticeKind,
    /// What it is about (an order, a SKU, a stage).
    pub subject: String,
    /// Its contents.
    pub body: NoticeBody,
    /// Where it stands.
    pub state: NoticeState,
    /// How often it was claimed.
    pub attempt: i64,
    /// How often it was sent again after an unknown outcome.
    pub resends: i64,
    /// Whether an earlier try may have arrived.
    pub maybe_duplicate: bool,
    /// How often the same alert came again.
    pub repeats: i64,
    /// Until when it waits.
    pub not_before: Moment,
    /// The last reason.
    pub reason: Option<String>,
    /// When it was written.
    pub created_at: Moment,
    /// The key that it shares with the same notice on other channels.
    pub notice: String,
    /// By which channel it goes.
    pub channel: String,
    /// The only base whose goods it tells of; all when `None`.
    pub base: Option<BaseCode>,
    /// The key of the message that it last went out in with others; its own key where it must go alone.
    pub batch: Option<String>,
}

/// Where a notice goes: a channel, and the only base whose goods are told there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The channel's name.
    pub channel: String,
    /// The base; all when `None`.
    pub base: Option<BaseCode>,
}

impl Target {
    /// Returns the key of a notice's row for this target.
    fn key(&self, notice: &str) -> String {
        match &self.base {
            None if self.channel == MAIL => notice.to_owned(),
            None => format!("{notice}.{}", self.channel),
            // A base's code may hold what no key and no file name may.
            Some(base) => {
                let code: String = base.as_str().bytes().map(|b| format!("{b:02x}")).collect();
                format!("{notice}.{}.{code}", self.channel)
            }
        }
    }
}

/// The name of the channel that every installation has.
pub const MAIL: &str = "mail";

impl OutboxRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let kind: String = row.get(2)?;
        let state: String = row.get(5)?;
        let body: Option<String> = row.get(4)?;
        let body = body.unwrap_or_else(|| "{}".into());
        Ok(Self {
            id: row.get(0)?,
            key: row.get(1)?,
            kind: parsed(2, &kind, NoticeKind::parse(&kind).ok_or("no such kind"))?,
            subject: row.get(3)?,
            body: parsed(4, &body, serde_json::from_str(&body))?,
            state: parsed(
                5,
                &state,
                NoticeState::ALL
                    .into_iter()
                    .find(|s| s.as_str() == state)
                    .ok_or("no such state"),
            )?,
            attempt: row.get(6)?,
            resends: row.get(7)?,
            maybe_duplicate: row.get(8)?,
            repeats: row.get(9)?,
            not_before: Moment(row.get(10)?),
            reason: row.get(11)?,
            created_at: Moment(row.get(12)?),
            notice: row.get(14)?,
            channel: row.get(15)?,
            base: match row.get::<_, Option<String>>(16)? {
                Some(code) => Some(parsed(16, &code, BaseCode::parse(&code))?),
                None => None,
            },
            batch: row.get(17)?,
        })
    }
}

impl Store {
    /// Lists a channel's notices that are not settled, oldest first.
    pub fn outbox_open(&self, channel: &str, limit: u32) -> StoreResult<Vec<OutboxRow>> {
        self.many(
            include_str!("../../sql/store/outbox_open.sql"),
            named_params! { ":channel": channel, ":limit": limit },
            OutboxRow::read,
        )
    }

    /// Lists the channels that have notices which are not settled.
    pub fn outbox_channels(&self) -> StoreResult<Vec<String>> {
        let sql = include_str!("../../sql/store/outbox_channels.sql");
        self.many(sql, [], |row| row.get(0))
    }

    /// Lists notices of parked orders, written by `before`, which are parked still and were not told by `channel`.
    pub fn outbox_overdue(
        &self,
        channel: &str,
        before: Moment,
        limit: u32,
    ) -> StoreResult<Vec<OutboxRow>> {
        self.many(
            include_str!("../../sql/store/outbox_overdue.sql"),
            named_params! { ":channel": channel, ":before": before.0, ":limit": limit },
            OutboxRow::read,
        )
    }

    /// Lists notices that a person must look at.
    pub fn outbox_quarantined(&self, limit: u32) -> StoreResult<Vec<OutboxRow>> {
        let sql = include_str!("../../sql/store/outbox_quarantined.sql");
        self.many(sql, named_params! { ":limit": limit }, OutboxRow::read)
    }

    /// Reads a notice by its key.
    pub fn notice(&self, key: &str) -> StoreResult<Option<OutboxRow>> {
        let sql = include_str!("../../sql/store/outbox_get.sql");
        self.maybe(sql, named_params! { ":key": key }, OutboxRow::read)
    }

    /// Lists the notices about a subject.
    pub fn outbox_about(&self, subject: &str) -> StoreResult<Vec<OutboxRow>> {
        let sql = include_str!("../../sql/store/outbox_of_order.sql");
        self.many(sql, named_params! { ":subject": subject }, OutboxRow::read)
    }

    /// Returns the last notice of a kind about a subject.
    pub fn outbox_last(&self, kind: NoticeKind, subject: &str) -> StoreResult<Option<OutboxRow>> {
        let sql = include_str!("../../sql/store/outbox_last.sql");
        self.maybe(
            sql,
            named_params! { ":kind": kind.as_str(), ":subject": subject },
            OutboxRow::read,
        )
    }

    /// Returns the last notice of a kind about a subject by one channel.
    fn outbox_last_by(
        &self,
        kind: NoticeKind,
        subject: &str,
        channel: &str,
    ) -> StoreResult<Option<OutboxRow>> {
        let sql = include_str!("../../sql/store/outbox_last_by.sql");
        self.maybe(
            sql,
            named_params! { ":kind": kind.as_str(), ":subject": subject, ":channel": channel },
            OutboxRow::read,
        )
    }

    /// Counts notices that were not sent, per state.
    pub fn outbox_counts(&self) -> StoreResult<Vec<(String, i64)>> {
        self.many(
            include_str!("../../sql/store/outbox_counts.sql"),
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }
}

impl Tx<'_> {
    /// Queues a notice. An alert about the same subject within `quiet_ms` of the last one is only counted, for each channel by
    /// itself. `maybe_duplicate` when a memory that was lost may have told it already.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is told, where, and when: each is decided by the caller"
    )]
    pub fn notify(
        &self,
        kind: NoticeKind,
        subject: &str,
        body: &NoticeBody,
        targets: &[Target],
        now: Moment,
        quiet_ms: i64,
        maybe_duplicate: bool,
    ) -> StoreResult<()> {
        let mut fresh = Vec::new();
        for target in targets {
            let last = self.outbox_last_by(kind, subject, &target.channel)?;
            match last.filter(|_| kind.is_alert()) {
                Some(last) if (0..quiet_ms).contains(&now.ms_since(last.created_at)) => {
                    self.run(
                        include_str!("../../sql/store/outbox_repeat.sql"),
                        named_params! { ":id": last.id },
                    )?;
                }
                Some(_) | None => fresh.push(target),
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        // The counter makes the key unique and stable: a crash before the commit takes both with it.
        let key = format!("{}.{}", kind.as_str(), self.next_seq()?.0);
        let body = to_json(body)?;
        for target in fresh {
            self.add_notice(&key, kind, subject, &body, target, now, maybe_duplicate)?;
        }
        Ok(())
    }

    /// Sends a notice by one more channel, for people who are called when nobody acted.
    pub fn escalate_notice(&self, row: &OutboxRow, channel: &str, now: Moment) -> StoreResult<()> {
        let target = Target {
            channel: channel.to_owned(),
            base: None,
        };
        let body = to_json(&row.body)?;
        self.add_notice(
            &row.notice,
            row.kind,
            &row.subject,
            &body,
            &target,
            now,
            false,
        )
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one value per column, at the two places that add rows"
    )]
    fn add_notice(
        &self,
        notice: &str,
        kind: NoticeKind,
        subject: &str,
        body: &str,
        target: &Target,
        now: Moment,
        maybe_duplicate: bool,
    ) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/outbox_add.sql"),
            named_params! { ":key": target.key(notice), ":notice": notice, ":kind": kind.as_str(),
            ":subject": subject, ":body": body, ":channel": target.channel,
            ":base": target.base.as_ref().map(BaseCode::as_str),
            ":maybe_duplicate": maybe_duplicate, ":now": now.0 },
        )?;
        Ok(())
    }

    /// Changes a notice's state; the row carries the new counters, reason and waiting time. False when it had moved.
    pub fn shift_notice(
        &self,
        row: &OutboxRow,
        from: NoticeState,
        now: Moment,
    ) -> StoreResult<bool> {
        let changed = self.run(
            include_str!("../../sql/store/outbox_shift.sql"),
            named_params! { ":id": row.id, ":from_state": from.as_str(), ":to_state": row.state.as_str(),
                ":attempt": row.attempt, ":resends": row.resends, ":maybe_duplicate": row.maybe_duplicate,
                ":not_before": row.not_before.0, ":reason": row.reason, ":batch": row.batch, ":now": now.0 },
        )?;
        Ok(changed == 1)
    }

    /// Takes the alerts that came again since the last digest, each with the channel that had told it, and starts counting
    /// anew.
    pub fn take_repeats(&self) -> StoreResult<Vec<(String, Repeat)>> {
        let repeats = self.many(
            include_str!("../../sql/store/outbox_repeated.sql"),
            [],
            |row| {
                let kind: String = row.get(1)?;
                let kind = parsed(1, &kind, NoticeKind::parse(&kind).ok_or("no such kind"))?;
                let repeat = Repeat {
                    kind,
                    subject: row.get(2)?,
                    times: row.get(3)?,
                };
                Ok((row.get(0)?, repeat))
            },
        )?;
        self.run(include_str!("../../sql/store/outbox_repeats_told.sql"), [])?;
        Ok(repeats)
    }
}
