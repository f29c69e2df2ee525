//! Reads a whole base by SQL as `push-stock --all` does, and tells how fast and with how much memory.
//!
//! `read_base DRIVER PORT BASE CODES`: a driver's name or path, a port of this machine, the base, and how many variants
//! are wanted of it. It prints rows, seconds, kept variants and the process's peak memory in KiB. See `tests/bench/sql`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "telling figures is what this program is for"
)]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::{Duration, Instant};

use stockbridge::adapters::dragonfish::{Dragonfish, Setup};
use stockbridge::adapters::host::{HostClock, HostRng};
use stockbridge::adapters::http::calls::Env;
use stockbridge::config::sections::ErpConfig;
use stockbridge::domain::ids::{BaseCode, ErpCode};
use stockbridge::domain::ports::{CallOutcome, Gate, Held, Locks, PortResult, StockSource};

struct Open;

impl Gate for Open {
    fn admit(&self, _: &str) -> PortResult<()> {
        Ok(())
    }
    fn report(&self, _: &str, _: CallOutcome) {}
}

impl Held for Open {}

impl Locks for Open {
    fn hold(&self, _: &str, _: Duration) -> Result<Option<Box<dyn Held>>, String> {
        Ok(Some(Box::new(Open)))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [driver, port, base, codes] = &args[..] else {
        return Err("usage: read_base DRIVER PORT BASE CODES".into());
    };
    let erp: ErpConfig = toml::from_str(&format!(
        "depot = \"{base}\"\n[dragonfish]\nurl = \"http://127.0.0.1:9/api\"\nclient_id = \"WEB\"\ntoken = {{ env = \"T\" }}\n\
         origin = \"WEB\"\nstock_source = \"sql\"\nstock_timeout = \"600s\"\n[dragonfish.sql]\ndriver = \"{driver}\"\n\
         server = \"127.0.0.1,{port}\"\nuser = \"reader\"\ntrust_server_certificate = true\nstatement_timeout = \"120s\"\n"
    ))?;
    let clock = HostClock::new()?;
    let wanted: BTreeSet<ErpCode> = (0..codes.parse::<u32>()?)
        .map(|i| ErpCode::parse(&format!("ART{}-C{}-{}", i / 40, i / 8 % 5, 30 + i % 8)))
        .collect::<Result<_, _>>()?;
    let dragonfish = Dragonfish::new(Setup {
        erp: &erp,
        config: erp.dragonfish.as_ref().ok_or("no section")?,
        counted: vec![BaseCode::parse(base)?],
        movement_limit: Duration::from_secs(1),
        token: "e30.e30.e30".to_owned().into(),
        sql_password: Some("p;w d".to_owned().into()),
        statements: BTreeMap::new(),
        env: Env {
            clock: &clock,
            rng: &HostRng,
            gate: &Open,
            until: None,
            min_retry_after: Duration::from_secs(60),
        },
        locks: &Open,
    })?;
    let rows = Cell::new(0);
    let began = Instant::now();
    let levels = dragonfish.read_wanted(&wanted, &|n| rows.set(n))?;
    let took = began.elapsed();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap_or_default().trim().trim_end_matches(" kB");
    println!(
        "{} {}.{:03} {} {peak}",
        rows.get(),
        took.as_secs(),
        took.subsec_millis(),
        levels.variants.len()
    );
    Ok(())
}
