//! Effects: every external write with a natural key, its state and its tries.

use rusqlite::{Row, named_params};
use sha2::{Digest, Sha256};

use crate::domain::effect::{EffectKind, EffectState, permits};
use crate::domain::ids::{BaseCode, OrderId, Seq, SkuId, WarehouseId};
use crate::domain::movement::{ErpDay, FoundMovement, Movement, Operation};
use crate::domain::time::{BootId, BootTime, Moment};
use crate::store::{Store, StoreError, StoreResult, Tx, json_as, moment, parsed, text_as, to_json};

/// One effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Its row.
    pub id: i64,
    /// What it is.
    pub kind: EffectKind,
    /// The order it belongs to.
    pub order: OrderId,
    /// `S1`, `C1` … for a movement, `handling` for the start of handling.
    pub operation: String,
    /// The movement's base; empty for the start of handling.
    pub base: String,
    /// Its natural key.
    pub key: String,
    /// The movement as JSON; gone once gc has forgotten it.
    pub payload: Option<String>,
    /// SHA-256 over the immutable fields.
    pub hash: String,
    /// Where it stands.
    pub state: EffectState,
    /// How often it was claimed.
    pub attempt: i64,
    /// Until when the claimed call may begin.
    pub send_by: Option<BootTime>,
    /// When the claimed call must have ended.
    pub deadline: Option<BootTime>,
    /// Under which boot these times were taken.
    pub boot_id: Option<BootId>,
    /// Whether a first conclusive absence was found, and when.
    pub absent_at: Option<BootTime>,
    /// Whether the other side's answer was a refusal.
    pub refused: bool,
    /// The last reason, one line.
    pub reason: Option<String>,
    /// The ERP's internal id.
    pub erp_id: Option<String>,
    /// The ERP's number for people.
    pub erp_number: Option<String>,
    /// The counter when it was confirmed.
    pub done_seq: Option<Seq>,
    /// The counter when its remito was seen or confirmed.
    pub remito_seq: Option<Seq>,
    /// Until when it waits.
    pub not_before: Moment,
    /// Since when its outcome is open.
    pub undecided_since: Option<Moment>,
    /// When it last changed its state.
    pub changed_at: Moment,
    /// Whether any attempt may have been sent without a certain answer.
    pub doubted: bool,
    /// When it was last claimed, in wall time.
    pub claimed_at: Option<Moment>,
    /// The ERP's day of the booked movement.
    pub erp_day: Option<ErpDay>,
    /// How long the other side has answered without deciding it, in milliseconds.
    pub undecided_ms: i64,
    /// When the other side last answered without deciding it.
    pub looked_at: Option<Moment>,
    /// Quarantined only because it stayed undecided too long: a later unique match still settles it.
    pub timed_out: bool,
    /// The ERP's rows that called a person.
    pub suspects: Vec<String>,
    /// The ERP's rows of which a person has said that they are something else.
    pub dismissed: Vec<String>,
    /// Canceled by a person on a live order: its units count as booked for planning.
    pub waived: bool,
}

/// A part of a movement: units of one SKU in one warehouse.
pub type Share = (SkuId, WarehouseId, u32);

impl Effect {
    /// Returns the movement, after proving that the row was not damaged.
    pub fn movement(&self) -> StoreResult<Movement> {
        let payload = self.payload.as_deref().unwrap_or_default();
        if self.hash
            != seal(
                self.kind,
                &self.order,
                &self.operation,
                &self.base,
                &self.key,
                payload,
            )
        {
            return Err(StoreError::Broken(format!(
                "the row of movement {} was damaged",
                self.key
            )));
        }
        serde_json::from_str(payload)
            .map_err(|err| StoreError::Broken(format!("movement {}: {err}", self.key)))
    }

    /// Returns the effect as a claim leaves it. Only its owner may answer for it, so it is not read again: by then
    /// another process may have taken it for an orphan.
    pub fn claimed(&self) -> Self {
        Self {
            state: EffectState::Sending,
            attempt: self.attempt + 1,
            ..self.clone()
        }
    }

    /// Tells whether the movement takes goods out.
    pub fn is_outgoing(&self) -> bool {
        self.kind == EffectKind::Movement && self.operation.starts_with('S')
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let kind: String = row.get(1)?;
        let state: String = row.get(8)?;
        let boot =
            |index| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(index)?.map(BootTime));
        Ok(Self {
            id: row.get(0)?,
            kind: parsed(1, &kind, EffectKind::parse(&kind).ok_or("no such kind"))?,
            order: text_as(row, 2)?,
            operation: row.get(3)?,
            base: row.get(4)?,
            key: row.get(5)?,
            payload: row.get(6)?,
            hash: row.get(7)?,
            state: parsed(8, &state, EffectState::parse(&state).ok_or("no such state"))?,
            attempt: row.get(9)?,
            send_by: boot(10)?,
            deadline: boot(11)?,
            boot_id: row.get::<_, Option<String>>(12)?.map(BootId),
            absent_at: if row.get(13)? { boot(14)? } else { None },
            refused: row.get(15)?,
            reason: row.get(16)?,
            erp_id: row.get(17)?,
            erp_number: row.get(18)?,
            done_seq: row.get::<_, Option<i64>>(19)?.map(Seq),
            remito_seq: row.get::<_, Option<i64>>(20)?.map(Seq),
            not_before: Moment(row.get(21)?),
            undecided_since: moment(row, 22)?,
            changed_at: Moment(row.get(24)?),
            doubted: row.get(25)?,
            claimed_at: moment(row, 26)?,
            erp_day: row
                .get::<_, Option<String>>(27)?
                .and_then(|day| ErpDay::parse(&day)),
            undecided_ms: row.get(28)?,
            looked_at: moment(row, 29)?,
            timed_out: row.get(30)?,
            suspects: json_as(row, 31)?,
            dismissed: json_as(row, 32)?,
            waived: row.get(33)?,
        })
    }
}

/// Seals the fields of an effect that never change: SQLite has no page checksums, and a flipped digit must not be sent.
fn seal(
    kind: EffectKind,
    order: &OrderId,
    operation: &str,
    base: &str,
    key: &str,
    payload: &str,
) -> String {
    let text = [kind.as_str(), order.as_str(), operation, base, key, payload].join("\n");
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl Store {
    /// Reads one effect.
    pub fn effect(&self, id: i64) -> StoreResult<Option<Effect>> {
        self.maybe(
            include_str!("../../sql/store/attempt_get.sql"),
            named_params! { ":id": id },
            Effect::read,
        )
    }

    /// Lists effects that are not final, oldest first.
    pub fn effects_open(&self, kind: EffectKind, limit: u32) -> StoreResult<Vec<Effect>> {
        let sql = include_str!("../../sql/store/attempts_open.sql");
        self.many(
            sql,
            named_params! { ":kind": kind.as_str(), ":limit": limit },
            Effect::read,
        )
    }

    /// Lists all effects of an order.
    pub fn attempts_of(&self, id: &OrderId) -> StoreResult<Vec<Effect>> {
        let sql = include_str!("../../sql/store/attempts_of_order.sql");
        self.many(
            sql,
            named_params! { ":order_id": id.as_str() },
            Effect::read,
        )
    }

    /// Lists the last confirmed movements of a base: what a trustworthy listing must still show.
    pub fn canaries(&self, base: &BaseCode) -> StoreResult<Vec<Effect>> {
        let sql = include_str!("../../sql/store/attempts_canary.sql");
        self.many(sql, named_params! { ":base": base.as_str() }, Effect::read)
    }

    /// Lists the confirmed movements of a base that the ERP showed on one of its days.
    pub fn movements_on(&self, base: &BaseCode, day: &ErpDay) -> StoreResult<Vec<Effect>> {
        let sql = include_str!("../../sql/store/attempts_booked_on.sql");
        let params = named_params! { ":base": base.as_str(), ":day": day.as_str() };
        self.many(sql, params, Effect::read)
    }

    /// Tells whether a movement with this key was ever planned here.
    pub fn movement_known(&self, key: &str) -> StoreResult<bool> {
        let sql = include_str!("../../sql/store/attempt_of_key.sql");
        let found = self.maybe(sql, named_params! { ":key": key }, Effect::read)?;
        Ok(found.is_some())
    }

    /// Lists confirmed outgoing movements whose remito was not yet seen.
    pub fn movements_without_remito(&self, limit: u32) -> StoreResult<Vec<Effect>> {
        let sql = include_str!("../../sql/store/attempts_without_remito.sql");
        self.many(sql, named_params! { ":limit": limit }, Effect::read)
    }

    /// Lists the parts of a movement.
    pub fn shares(&self, effect: i64) -> StoreResult<Vec<Share>> {
        let sql = include_str!("../../sql/store/attempt_lines.sql");
        self.many(sql, named_params! { ":attempt_id": effect }, |row| {
            Ok((text_as(row, 0)?, text_as(row, 1)?, row.get(2)?))
        })
    }

    /// Counts effects that are not final, per state.
    pub fn effects_waiting(&self) -> StoreResult<Vec<(String, i64)>> {
        let sql = include_str!("../../sql/store/attempts_waiting.sql");
        self.many(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
    }
}

impl Tx<'_> {
    /// Plans a movement (T1): the row that makes it happen exactly once.
    pub fn plan_movement(
        &self,
        movement: &Movement,
        shares: &[Share],
        now: Moment,
    ) -> StoreResult<i64> {
        let payload = to_json(movement)?;
        let operation = movement.operation.to_string();
        let key = movement.key.as_str();
        let base = movement.base.as_str();
        let hash = seal(
            EffectKind::Movement,
            &movement.order,
            &operation,
            base,
            key,
            &payload,
        );
        let id = self.one(
            include_str!("../../sql/store/attempt_create.sql"),
            named_params! { ":kind": "movement", ":order_id": movement.order.as_str(), ":operation": operation,
                ":base": base, ":key": key, ":payload": payload, ":hash": hash, ":state": "PLANNED", ":now": now.0 },
            |row| row.get(0),
        )?;
        self.fired("T1", EffectKind::Movement);
        for (sku, warehouse, units) in shares {
            self.run(
                include_str!("../../sql/store/attempt_line_create.sql"),
                named_params! { ":attempt_id": id, ":sku": sku.as_str(), ":warehouse": warehouse.as_str(),
                    ":units": units },
            )?;
        }
        Ok(id)
    }

    /// Plans the start of handling (H1): blocked behind the movements, or planned at once where there are none.
    pub fn plan_handling(
        &self,
        order: &OrderId,
        state: EffectState,
        now: Moment,
    ) -> StoreResult<i64> {
        let hash = seal(
            EffectKind::Handling,
            order,
            "handling",
            "",
            order.as_str(),
            "",
        );
        self.fired("H1", EffectKind::Handling);
        self.one(
            include_str!("../../sql/store/attempt_create.sql"),
            named_params! { ":kind": "handling", ":order_id": order.as_str(), ":operation": "handling", ":base": "",
                ":key": order.as_str(), ":payload": "", ":hash": hash, ":state": state.as_str(), ":now": now.0 },
            |row| row.get(0),
        )
    }

    /// Changes an effect's state by one row of the transition table; false when somebody else was faster.
    pub fn shift(
        &self,
        row: &str,
        effect: &Effect,
        to: EffectState,
        now: Moment,
    ) -> StoreResult<bool> {
        if !permits(row, effect.kind, effect.state, to) {
            let (from, to) = (effect.state.as_str(), to.as_str());
            return Err(StoreError::Bug(format!(
                "{row} does not lead from {from} to {to}"
            )));
        }
        let changed = self.run(
            include_str!("../../sql/store/attempt_shift.sql"),
            named_params! { ":id": effect.id, ":from_state": effect.state.as_str(), ":to_state": to.as_str(),
                ":attempt": effect.attempt, ":now": now.0 },
        )?;
        if changed == 1 {
            self.fired(row, effect.kind);
        }
        Ok(changed == 1)
    }

    /// Claims a planned effect (T4, H3): the intent, durable before the call. Returns the counter of the claim, `None`
    /// when somebody else was faster.
    pub fn claim(
        &self,
        effect: &Effect,
        send_by: BootTime,
        deadline: BootTime,
        boot_id: &BootId,
        now: Moment,
    ) -> StoreResult<Option<Seq>> {
        let changed = self.run(
            include_str!("../../sql/store/attempt_claim.sql"),
            named_params! { ":id": effect.id, ":attempt": effect.attempt, ":send_by": send_by.0,
            ":deadline": deadline.0, ":boot_id": boot_id.0, ":now": now.0 },
        )?;
        if changed == 1 {
            let movement = effect.kind == EffectKind::Movement;
            self.fired(if movement { "T4" } else { "H3" }, effect.kind);
            self.next_seq().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Records what the ERP calls a confirmed movement, and when it was confirmed.
    pub fn set_done(
        &self,
        id: i64,
        found: &FoundMovement,
        note: Option<&str>,
        seq: Seq,
    ) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/attempt_done.sql"),
            named_params! { ":id": id, ":erp_id": found.id, ":erp_number": found.number,
            ":erp_day": found.day.as_ref().map(ErpDay::as_str), ":reason": note, ":seq": seq.0 },
        )?;
        Ok(())
    }

    /// Records how long the other side has answered without deciding an outcome.
    pub fn set_looked(&self, id: i64, undecided_ms: i64, now: Moment) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/attempt_looked.sql"),
            named_params! { ":id": id, ":undecided_ms": undecided_ms, ":now": now.0 },
        )?;
        Ok(())
    }

    /// Records which of the ERP's rows called a person; `timed_out` when only time did.
    pub fn set_suspects(&self, id: i64, suspects: &[String], timed_out: bool) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/attempt_suspects.sql"),
            named_params! { ":id": id, ":suspects": to_json(&suspects)?, ":timed_out": timed_out },
        )?;
        Ok(())
    }

    /// Records a person's word that a movement was not booked and its suspects are something else.
    pub fn dismiss(&self, effect: &Effect) -> StoreResult<()> {
        let dismissed: Vec<_> = effect.dismissed.iter().chain(&effect.suspects).collect();
        self.run(
            include_str!("../../sql/store/attempt_dismiss.sql"),
            named_params! { ":id": effect.id, ":dismissed": to_json(&dismissed)? },
        )?;
        Ok(())
    }

    /// Records that a person has waived a canceled movement's units.
    pub fn waive(&self, id: i64) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/attempt_waive.sql"),
            named_params! { ":id": id },
        )?;
        Ok(())
    }

    /// Records why an outcome is open, and whether the answer was a refusal.
    pub fn set_reason(&self, id: i64, reason: &str, refused: bool, now: Moment) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/attempt_reason.sql"),
            named_params! { ":id": id, ":reason": reason, ":refused": refused, ":now": now.0 },
        )?;
        Ok(())
    }

    /// Records what follows from a confirmed movement: with all of them final the order is in B and its handling may
    /// start (H2); its SKUs are due.
    pub fn after_booking(
        &self,
        order: &OrderId,
        seq: Seq,
        now: Moment,
        store_time: Moment,
    ) -> StoreResult<()> {
        let effects = self.attempts_of(order)?;
        let movements = || effects.iter().filter(|e| e.kind == EffectKind::Movement);
        let all_final = movements().all(|e| e.state.is_final());
        let some_out =
            movements().any(|e| e.is_outgoing() && (e.state == EffectState::Done || e.waived));
        if all_final && some_out {
            self.set_booked(order, Some(now), seq)?;
            let blocked = effects
                .iter()
                .find(|e| e.kind == EffectKind::Handling && e.state == EffectState::Blocked);
            if let Some(blocked) = blocked {
                self.shift("H2", blocked, EffectState::Planned, now)?;
            }
        }
        self.order_pushes_due(order, seq, store_time, None)?;
        // A cancellation or change that waited for this outcome can be planned now.
        if self
            .order(order)?
            .is_some_and(|o| o.facts.canceled.is_some())
        {
            self.plan_again(order)?;
        }
        Ok(())
    }

    /// Makes an effect wait before its next try.
    pub fn set_backoff(
        &self,
        id: i64,
        not_before: Moment,
        reason: Option<&str>,
    ) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/attempt_backoff.sql"),
            named_params! { ":id": id, ":not_before": not_before.0, ":reason": reason },
        )?;
        Ok(())
    }

    /// Records the first conclusive absence of a movement.
    pub fn set_absent(&self, id: i64, at: BootTime) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/attempt_absent.sql"),
            named_params! { ":id": id, ":absent_at": at.0 },
        )?;
        Ok(())
    }

    /// Starts the waits of an effect again under another boot (T10).
    pub fn set_rebooted(&self, id: i64, deadline: BootTime, boot_id: &BootId) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/attempt_rebooted.sql"),
            named_params! { ":id": id, ":deadline": deadline.0, ":boot_id": boot_id.0 },
        )?;
        Ok(())
    }

    /// Records that the remito of an order's movements was seen or confirmed; returns how many it concerned.
    pub fn set_remito(&self, order: &OrderId, seq: Seq) -> StoreResult<usize> {
        self.run(
            include_str!("../../sql/store/attempt_remito.sql"),
            named_params! { ":order_id": order.as_str(), ":seq": seq.0 },
        )
    }
}

impl Store {
    /// Tells a test which row of the transition table was taken.
    #[cfg(feature = "sandbox")]
    fn fired(&self, row: &str, kind: EffectKind) {
        self.watched(|watch| watch.fired(row, kind));
    }

    #[cfg(not(feature = "sandbox"))]
    fn fired(&self, _: &str, _: EffectKind) {}
}

/// Returns the number of the next operation of an order in one direction.
pub fn next_operation(
    effects: &[Effect],
    direction: crate::domain::movement::Direction,
) -> Operation {
    let used = effects
        .iter()
        .filter_map(|e| Operation::parse(&e.operation))
        .filter(|o| o.direction == direction);
    Operation {
        direction,
        number: used.map(|o| o.number).max().unwrap_or(0) + 1,
    }
}
