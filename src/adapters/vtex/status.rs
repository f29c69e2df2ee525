//! VTEX's status words, and what they mean.
//!
//! Source: "Order flow and status" (VTEX help centre), the list of feed statuses in the Orders API.

use crate::domain::order::OrderStage;

/// The status at which an ERP takes an order.
pub(super) const READY: &str = "ready-for-handling";

/// The statuses that the feed is asked for, in the spelling of the Orders API: the feed does not check names.
pub(super) const FEED_STATUSES: [&str; 9] = [
    READY,
    "start-handling",
    "handling",
    "invoiced",
    "request-cancel",
    "cancellation-requested",
    "cancel",
    "canceled",
    "replaced",
];

/// Translates a status word.
pub(super) fn stage_of(status: &str) -> OrderStage {
    match status {
        READY => OrderStage::Ready,
        "start-handling" => OrderStage::HandlingRequested,
        // Unverified: the last two stand beside `handling` in VTEX's list of statuses that allow order changes, so
        // the seller has begun. Counting an order as acknowledged too early can only offer too few units.
        "handling" | "waiting-for-fulfillment" | "ready-for-invoicing" => OrderStage::Handling,
        "invoice" | "invoice-after-cancellation-deny" => OrderStage::Invoicing,
        "invoiced" => OrderStage::Invoiced,
        // Two spellings stand in VTEX's guides, one of them with one l.
        "request-cancel" | "cancellation-requested" | "cancelation-request" => {
            OrderStage::CancelRequested
        }
        "cancel" => OrderStage::Canceling,
        "canceled" | "replaced" => OrderStage::Canceled,
        // Unverified: `waiting-seller-handling` is read as "nobody has begun". It is not the status that accepts
        // start-handling, and VTEX still subtracts the reservation, so waiting costs nothing.
        "order-created"
        | "order-accepted"
        | "on-order-completed"
        | "on-order-completed-ffm"
        | "payment-pending"
        | "waiting-for-order-authorization"
        | "waiting-for-authorization"
        | "waiting-ffmt-authorization"
        | "waiting-for-manual-authorization"
        | "waiting-for-mkt-authorization"
        | "waiting-for-sellers-confirmation"
        | "waiting-for-seller-confirmation"
        | "waiting-for-seller-decision"
        | "waiting-seller-handling"
        | "approve-payment"
        | "payment-approved"
        | "authorize-fulfillment"
        | "window-to-cancel"
        | "window-to-change-seller"
        | "window-to-change-payment"
        | "order-create-error"
        | "order-creation-error" => OrderStage::Early,
        _ => OrderStage::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v10_unknown_null_and_empty_statuses_are_unknown() {
        for status in [
            "",
            "detail.state.null",
            "Ready-For-Handling",
            "something-new",
        ] {
            assert_eq!(stage_of(status), OrderStage::Unknown, "{status}");
        }
    }

    #[test]
    fn every_status_of_the_feed_is_known() {
        for status in FEED_STATUSES {
            assert_ne!(stage_of(status), OrderStage::Unknown, "{status}");
        }
    }

    #[test]
    fn all_spellings_of_a_wanted_cancellation_are_one() {
        for status in [
            "request-cancel",
            "cancellation-requested",
            "cancelation-request",
        ] {
            assert_eq!(stage_of(status), OrderStage::CancelRequested);
        }
        assert_eq!(stage_of("cancel"), OrderStage::Canceling);
        assert_eq!(stage_of("replaced"), OrderStage::Canceled);
    }
}
