//! Stateful fakes of the outside systems over loopback, for tests and the demo; never part of a product build.
//!
//! They share no wire code with the adapters they test, keep their own log of what truly happened, and count every
//! breach of the other side's rules. [`oracle`] judges by that log alone.

pub mod catalogue;
pub mod dragonfish;
pub mod faults;
pub mod http;
pub mod oracle;
pub mod vtex;
pub mod winthor;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::time::Moment;
use crate::sandbox::catalogue::Product;
use crate::sandbox::dragonfish::server::DragonfishServer;
use crate::sandbox::faults::Faults;
use crate::sandbox::vtex::server::VtexServer;
use crate::sandbox::winthor::model::WinthorModel;
use crate::sandbox::winthor::server::WinthorServer;

/// The store's account.
pub const ACCOUNT: &str = "tienda";
/// The application key that VTEX accepts.
pub const APP_KEY: &str = "vtexappkey-tienda-SANDBOX";
/// The token that goes with it.
pub const APP_TOKEN: &str = "SANDBOXTOKENSANDBOXTOKEN";
/// The client that Dragonfish knows.
pub const CLIENT_ID: &str = "STOCKBRIDGE";
/// Its token: `{"alg":"HS256"}`, `{"usuario":"API","exp":4102444800}`, a signature of no key.
pub const JWT: &str =
    "eyJhbGciOiJIUzI1NiJ9.eyJ1c3VhcmlvIjoiQVBJIiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2FuZGJveA";

/// The sandbox's clock: the machine's, moved by hand.
#[derive(Debug, Clone, Default)]
pub struct SandboxClock(Arc<AtomicI64>);

impl SandboxClock {
    /// Returns now.
    pub fn now(&self) -> Moment {
        let real = jiff::Timestamp::now().as_millisecond();
        Moment(real).plus_ms(self.0.load(Ordering::Relaxed))
    }

    /// Moves the clock forward.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

/// A store and an ERP, with the same goods.
pub struct Sandbox {
    /// Their common clock.
    pub clock: SandboxClock,
    /// Their faults.
    pub faults: Faults,
    /// The goods.
    pub products: Vec<Product>,
    /// The store.
    pub vtex: VtexServer,
    /// The ERP.
    pub dragonfish: DragonfishServer,
}

impl Sandbox {
    /// Starts both with so many products. The store begins with no stock at all.
    ///
    /// # Errors
    ///
    /// When no loopback port can be had.
    pub fn start(count: usize) -> std::io::Result<Self> {
        let clock = SandboxClock::default();
        let faults = Faults::default();
        let products = catalogue::products(count);
        let vtex = VtexServer::start(clock.clone(), faults.clone(), &products)?;
        let dragonfish = DragonfishServer::start(clock.clone(), faults.clone(), &products)?;
        Ok(Self {
            clock,
            faults,
            products,
            vtex,
            dragonfish,
        })
    }

    /// Returns every breach of the systems' rules so far.
    pub fn violations(&self) -> Vec<String> {
        let mut violations = self.vtex.with(|vtex| vtex.violations.clone());
        violations.extend(self.dragonfish.with(|erp| erp.violations.clone()));
        violations
    }
}

/// A store and a WinThor installation, with the same goods.
pub struct WinthorSandbox {
    /// Their common clock.
    pub clock: SandboxClock,
    /// Their faults.
    pub faults: Faults,
    /// The store.
    pub vtex: VtexServer,
    /// The ERP.
    pub winthor: WinthorServer,
}

impl WinthorSandbox {
    /// Starts both with so many products, each in one or more packagings. The store begins with no stock at all.
    ///
    /// # Errors
    ///
    /// When no loopback port can be had.
    pub fn start(count: u64) -> std::io::Result<Self> {
        let clock = SandboxClock::default();
        let faults = Faults::default();
        let model = WinthorModel::new(count);
        let vtex = VtexServer::start(clock.clone(), faults.clone(), &model.store_products())?;
        let winthor = WinthorServer::start(clock.clone(), faults.clone(), model)?;
        Ok(Self {
            clock,
            faults,
            vtex,
            winthor,
        })
    }

    /// Returns every breach of the systems' rules so far.
    pub fn violations(&self) -> Vec<String> {
        let mut violations = self.vtex.with(|vtex| vtex.violations.clone());
        violations.extend(self.winthor.with(|erp| erp.violations.clone()));
        violations
    }
}
