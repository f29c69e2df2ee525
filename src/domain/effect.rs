//! The states of an external write, and the one table of the transitions between them.
//!
//! An effect is one write with a natural key: a movement in the ERP, or the start of handling in the storefront.
//! The store refuses every change of state that [`TRANSITIONS`] does not list.

use serde::{Deserialize, Serialize};

/// What kind of external write an effect is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectKind {
    /// A movement booked in the ERP.
    Movement,
    /// The start of handling, told to the storefront.
    Handling,
}

impl EffectKind {
    /// Returns the kind's name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Movement => "movement",
            Self::Handling => "handling",
        }
    }

    /// Parses [`EffectKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "movement" => Some(Self::Movement),
            "handling" => Some(Self::Handling),
            _ => None,
        }
    }
}

/// Where an external write stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EffectState {
    /// Waits for another effect.
    Blocked,
    /// To be sent.
    Planned,
    /// Claimed: from here on it may have been sent.
    Sending,
    /// Sent with no usable answer: the other side must be read before anything else.
    Unknown,
    /// It took effect. Final.
    Done,
    /// The other side refused it and does not hold it. A person must act.
    Rejected,
    /// What the other side holds contradicts ours. A person must act.
    Quarantined,
    /// No longer wanted, and never applied. Final.
    Canceled,
}

impl EffectState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Blocked,
        Self::Planned,
        Self::Sending,
        Self::Unknown,
        Self::Done,
        Self::Rejected,
        Self::Quarantined,
        Self::Canceled,
    ];

    /// Returns the state's name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "BLOCKED",
            Self::Planned => "PLANNED",
            Self::Sending => "SENDING",
            Self::Unknown => "UNKNOWN",
            Self::Done => "DONE",
            Self::Rejected => "REJECTED",
            Self::Quarantined => "QUARANTINED",
            Self::Canceled => "CANCELED",
        }
    }

    /// Parses [`EffectState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Tells whether nothing can change the effect any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Canceled)
    }

    /// Tells whether the effect keeps its order parked.
    pub fn parks(self) -> bool {
        matches!(self, Self::Rejected | Self::Quarantined)
    }
}

/// One permitted change of state: name of the row, kind, from, to.
pub type Transition = (&'static str, EffectKind, EffectState, EffectState);

/// Every permitted change of state of an effect. Rows T1 and H1 (creation) have no predecessor and are not listed.
///
/// A transition that keeps the state (T10, T13) only rewrites deadlines and counters.
pub const TRANSITIONS: &[Transition] = {
    use EffectKind::{Handling, Movement};
    use EffectState::{Blocked, Canceled, Done, Planned, Quarantined, Rejected, Sending, Unknown};
    &[
        ("T2", Movement, Planned, Done),
        ("T3", Movement, Planned, Canceled),
        ("T4", Movement, Planned, Sending),
        ("T5", Movement, Sending, Planned),
        ("T6", Movement, Sending, Done),
        ("T7", Movement, Sending, Unknown),
        ("T8", Movement, Unknown, Rejected),
        ("T9", Movement, Sending, Unknown),
        ("T10", Movement, Unknown, Unknown),
        ("T11", Movement, Unknown, Done),
        // Only where time alone called a person.
        ("T11", Movement, Quarantined, Done),
        ("T12", Movement, Planned, Quarantined),
        ("T12", Movement, Sending, Quarantined),
        ("T12", Movement, Unknown, Quarantined),
        ("T13", Movement, Unknown, Unknown),
        ("T14", Movement, Unknown, Planned),
        ("T15", Movement, Quarantined, Done),
        ("T15", Movement, Quarantined, Planned),
        ("T15", Movement, Quarantined, Canceled),
        ("T15", Movement, Rejected, Planned),
        ("T15", Movement, Rejected, Canceled),
        ("H2", Handling, Blocked, Planned),
        ("H3", Handling, Planned, Sending),
        ("H4", Handling, Sending, Done),
        ("H5", Handling, Sending, Planned),
        ("H6", Handling, Sending, Unknown),
        ("H7", Handling, Planned, Done),
        ("H7", Handling, Unknown, Done),
        ("H8", Handling, Unknown, Planned),
        ("H9", Handling, Blocked, Canceled),
        ("H9", Handling, Planned, Canceled),
        ("H9", Handling, Unknown, Canceled),
        ("H10", Handling, Planned, Quarantined),
        ("H10", Handling, Unknown, Quarantined),
        ("T15", Handling, Quarantined, Done),
        ("T15", Handling, Quarantined, Planned),
        ("T15", Handling, Quarantined, Canceled),
    ]
};

/// Tells whether `row` permits an effect of this kind to go from one state to the other.
pub fn permits(row: &str, kind: EffectKind, from: EffectState, to: EffectState) -> bool {
    TRANSITIONS.contains(&(row, kind, from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_have_no_way_out() {
        assert!(TRANSITIONS.iter().all(|(_, _, from, _)| !from.is_final()));
    }

    #[test]
    fn an_unknown_movement_never_becomes_planned_but_by_two_absences() {
        let ways: Vec<_> = TRANSITIONS
            .iter()
            .filter(|t| {
                t.1 == EffectKind::Movement
                    && t.2 == EffectState::Unknown
                    && t.3 == EffectState::Planned
            })
            .map(|t| t.0)
            .collect();
        assert_eq!(ways, ["T14"]);
    }

    #[test]
    fn rows_are_looked_up_with_kind_and_states() {
        assert!(permits(
            "T4",
            EffectKind::Movement,
            EffectState::Planned,
            EffectState::Sending
        ));
        assert!(!permits(
            "T4",
            EffectKind::Handling,
            EffectState::Planned,
            EffectState::Sending
        ));
        assert!(!permits(
            "T99",
            EffectKind::Movement,
            EffectState::Planned,
            EffectState::Sending
        ));
    }
}
