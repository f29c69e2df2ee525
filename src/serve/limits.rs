//! The limits that lie around every route: how much one source may ask, and what only this machine may.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::serve::Shared;

/// Sources that are told apart; further ones share one budget.
const MOST_SOURCES: usize = 10_000;
/// The source of those that are not told apart.
const OTHERS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
const FORWARDED: &str = "x-forwarded-for";

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source(pub IpAddr);

/// What each source may still ask.
#[derive(Default)]
pub(super) struct Budgets(Mutex<HashMap<IpAddr, Budget>>);

struct Budget {
    /// Thousandths of a request.
    left: u64,
    at: Instant,
}

impl Budgets {
    /// Takes one request from a source's budget, which fills with so many a second, up to two seconds' worth.
    fn take(&self, source: IpAddr, a_second: u32, now: Instant) -> bool {
        let a_second = u64::from(a_second);
        let most = a_second * 2_000;
        let filled = |budget: &Budget| {
            let ms = now.saturating_duration_since(budget.at).as_millis();
            let ms = u64::try_from(ms).unwrap_or(u64::MAX);
            ms.saturating_mul(a_second)
                .saturating_add(budget.left)
                .min(most)
        };
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets.len() >= MOST_SOURCES && !budgets.contains_key(&source) {
            budgets.retain(|_, budget| filled(budget) < most);
        }
        let room = budgets.len() < MOST_SOURCES || budgets.contains_key(&source);
        let budget = budgets
            .entry(if room { source } else { OTHERS })
            .or_insert(Budget {
                left: most,
                at: now,
            });
        let left = filled(budget);
        budget.at = now;
        budget.left = left.saturating_sub(1_000);
        left >= 1_000
    }
}

/// Refuses a source that asks too much.
pub(super) async fn rate(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let options = &shared.options;
    if options.requests_a_second > 0 {
        let source = source(&request, options.behind_proxy);
        let budgets = &shared.counts.budgets;
        if !budgets.take(source, options.requests_a_second, Instant::now()) {
            shared.counts.limited();
            return (
                StatusCode::TOO_MANY_REQUESTS,
                [("retry-after", "1")],
                "too many requests\n",
            )
                .into_response();
        }
    }
    next.run(request).await
}

/// Answers this machine only, and no proxy on it.
pub(super) async fn from_here(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let near = peer(&request).is_loopback() && !request.headers().contains_key(FORWARDED);
    if near || shared.options.open_metrics {
        return next.run(request).await;
    }
    let text = "for this machine only; hint: serve.open_metrics\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

fn peer(request: &Request) -> IpAddr {
    let source = request.extensions().get::<Source>();
    source.map_or(OTHERS, |source| source.0.to_canonical())
}

fn source(request: &Request, behind_proxy: bool) -> IpAddr {
    let told = behind_proxy.then(|| forwarded(request.headers())).flatten();
    told.unwrap_or_else(|| peer(request))
}

/// The last address is the one that our own proxy has added; those before it anybody can write.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all(FORWARDED).iter().next_back()?;
    let last = last.to_str().ok()?.rsplit(',').next()?.trim();
    last.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_source_has_two_seconds_worth_at_once_and_then_its_rate() {
        let budgets = Budgets::default();
        let start = Instant::now();
        let [one, other] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let taken = |source, at| (0..100).filter(|_| budgets.take(source, 10, at)).count();
        assert_eq!(taken(one, start), 20);
        assert_eq!(taken(other, start), 20);
        assert_eq!(taken(one, start + Duration::from_millis(500)), 5);
        assert_eq!(taken(one, start + Duration::from_secs(3600)), 20);
    }

    #[test]
    fn sources_without_end_take_no_memory_without_end() {
        let budgets = Budgets::default();
        let start = Instant::now();
        for n in 0..30_000_u32 {
            budgets.take(IpAddr::from(n.to_be_bytes()), 10, start);
        }
        assert!(budgets.0.lock().unwrap().len() <= MOST_SOURCES + 1);
        // Those that were served and asked nothing since are forgotten first.
        let later = start + Duration::from_secs(60);
        assert!(budgets.take(IpAddr::from([9, 9, 9, 9]), 10, later));
        assert_eq!(budgets.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn only_the_last_forwarded_address_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(forwarded(&headers), None);
        headers.append(FORWARDED, HeaderValue::from_static("1.1.1.1, 2.2.2.2"));
        assert_eq!(forwarded(&headers), Some(IpAddr::from([2, 2, 2, 2])));
        headers.append(FORWARDED, HeaderValue::from_static("nonsense"));
        assert_eq!(forwarded(&headers), None);
    }
}
