//! Every version of the state file, with data in it, becomes the newest one and keeps the data.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

use std::path::Path;

use rusqlite::Connection;
use stockbridge::domain::ids::OrderId;
use stockbridge::domain::time::Moment;
use stockbridge::store::{Identity, OpenOptions, Store};

/// The migrations, oldest first, each with data that a file of its version may hold.
const STEPS: &[(&str, &str)] = &[
    (include_str!("../sql/migrations/0001_init.sql"),
    "INSERT INTO instance (id, instance_id, account, erp, created_at) VALUES (1, 'i', 'tienda', 'dragonfish WOO', 1);
     INSERT INTO orders (order_id, status, stage, complete, workflow_in_error, has_package, before_cutover, found_by,
         seen_at, read_at, fact_seq, taken_at)
     VALUES ('1-01', 'handling', 'handling', 1, 0, 0, 0, 'feed', 1, 1, 1, 1);
     INSERT INTO lines (order_id, sku, warehouse, units) VALUES ('1-01', '7', '1_1', 2);
     INSERT INTO attempts (kind, order_id, operation, base, key, payload, hash, state, created_at, changed_at)
     VALUES ('movement', '1-01', 'S1', 'WOO', 'V1AAAAAAAAAAAAA', '{}', 'h', 'DONE', 1, 1);
     INSERT INTO attempt_lines (attempt_id, sku, warehouse, units) VALUES (1, '7', '1_1', 2);"),
    (include_str!("../sql/migrations/0002_recovery.sql"),
    "UPDATE attempts SET claimed_at = 1, erp_day = '2026-01-31', suspects = '[\"A\"]';
     UPDATE orders SET searched_generation = 1;
     INSERT INTO findings (kind, subject, detail, correction, first_at, seen_at)
     VALUES ('twice', 'V1AAAAAAAAAAAAA', 'd', 'c', 1, 1);
     INSERT INTO outbox (key, kind, subject, body, state, created_at, changed_at)
     VALUES ('remito.1', 'remito', '1-01', '{}', 'PLANNED', 1, 1);"),
    (include_str!("../sql/migrations/0003_request_budget.sql"),
    "INSERT INTO gates (host, minute, taken) VALUES ('127.0.0.1', 1, 20);"),
    (include_str!("../sql/migrations/0004_counter_owner.sql"), "UPDATE counter SET seq = 9;"),
    (include_str!("../sql/migrations/0005_channels.sql"),
    "UPDATE outbox SET channel = 'shop', base = 'CENTRO';"),
    (include_str!("../sql/migrations/0006_products.sql"),
    "INSERT INTO skus (sku, read_at, product) VALUES ('7', 1, '100');"),
    (include_str!("../sql/migrations/0007_inbox.sql"),
    "INSERT INTO inbox (order_id, heard_at, first_at) VALUES ('2-01', 1, 1);"),
    (include_str!("../sql/migrations/0008_notice_batch.sql"), "UPDATE outbox SET batch = 'remito.1.and-1-more.0';"),
];

fn options(path: &Path) -> OpenOptions {
    OpenOptions {
        path: path.to_owned(),
        wal: true,
        identity: Identity {
            account: "tienda".into(),
            erp: "dragonfish WOO".into(),
        },
        instance_id: "new".into(),
        machine: None,
        now: Moment(2),
    }
}

fn schema(path: &Path) -> Vec<(String, String)> {
    let file = Connection::open(path).unwrap();
    let mut all = file
        .prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        .unwrap();
    let rows = all
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn every_version_with_data_becomes_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = folder.path().join("fresh.sqlite");
    drop(Store::open(&options(&fresh)).unwrap());
    let listed = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/migrations"))
        .unwrap()
        .count();
    assert_eq!(listed, STEPS.len(), "every migration has sample data here");
    for version in 1..=STEPS.len() {
        let path = folder.path().join(format!("v{version}.sqlite"));
        let file = Connection::open(&path).unwrap();
        for (migration, data) in &STEPS[..version] {
            file.execute_batch(migration).unwrap();
            file.execute_batch(data).unwrap();
        }
        file.pragma_update(None, "application_id", 0x5354_4b42)
            .unwrap();
        file.pragma_update(None, "user_version", i64::try_from(version).unwrap())
            .unwrap();
        drop(file);
        let store = Store::open(&options(&path)).unwrap();
        let id = OrderId::parse("1-01").unwrap();
        assert!(store.order(&id).unwrap().is_some());
        assert_eq!(
            store.shares(store.attempts_of(&id).unwrap()[0].id).unwrap()[0].2,
            2
        );
        assert_eq!(store.integrity().unwrap(), Vec::<String>::new());
        drop(store);
        assert_eq!(schema(&path), schema(&fresh), "version {version}");
        let kept = folder.path().join(format!("v{version}.sqlite.v{version}"));
        assert_eq!(kept.exists(), version < STEPS.len(), "version {version}");
        if kept.exists() {
            let kept = Connection::open(kept).unwrap();
            let held: usize = kept
                .query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))
                .unwrap()
                .try_into()
                .unwrap();
            assert_eq!(held, version, "the copy is what there was before");
        }
    }
}
