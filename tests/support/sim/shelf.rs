//! States for histories: new ones as copies of an empty one, and used ones, emptied.

use std::sync::Mutex;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use stockbridge::store::Store;

use super::process::{Opened, connect};

/// A state with its tables and nothing in them: a copy of it is quicker than the migrations.
static BLANK: Mutex<Option<Connection>> = Mutex::new(None);

/// What empties a state that has `BLANK` attached, statement by statement.
static EMPTY: Mutex<Vec<String>> = Mutex::new(vec![]);

/// States of histories that have ended. The statements of their stores stay prepared, which takes long.
static SHELF: Mutex<Vec<Used>> = Mutex::new(vec![]);

/// A state, and the stores that are open over it.
pub struct Used {
    /// The name of the database.
    pub database: String,
    /// Stores of processes that have ended.
    pub stores: Vec<Opened>,
}

/// Gives a new database its tables.
pub fn furnish(conn: &mut Connection) {
    let version: i32 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    if version == 0 {
        let mut blank = BLANK.lock().unwrap();
        let tables = || Store::tables(connect("blank")).unwrap();
        let copy = Backup::new(blank.get_or_insert_with(tables), conn).unwrap();
        copy.run_to_completion(i32::MAX, Duration::ZERO, None)
            .unwrap();
    }
}

/// Puts a state on the shelf.
pub fn give(used: Used) {
    if !used.stores.is_empty() {
        SHELF.lock().unwrap().push(used);
    }
}

/// Takes a state from the shelf, as empty as a new one.
pub fn take() -> Option<Used> {
    let used = SHELF.lock().unwrap().pop()?;
    empty(&used.stores[0].lookup.lock().unwrap());
    Some(used)
}

/// Makes every table what it is in a new state. The schema stays untouched: a change of it ends every prepared statement.
fn empty(conn: &Connection) {
    let run = |sql: &str| {
        let mut statement = conn.prepare_cached(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while rows.next().unwrap().is_some() {}
    };
    let sql = "SELECT count(*) FROM pragma_database_list WHERE name = 'blank'";
    let mut attached = conn.prepare_cached(sql).unwrap();
    if !attached.query_row([], |row| row.get::<_, bool>(0)).unwrap() {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
            .unwrap();
        run("PRAGMA foreign_keys = off");
        run("ATTACH 'file:/blank?vfs=memdb' AS blank");
    }
    let mut empty = EMPTY.lock().unwrap();
    if empty.is_empty() {
        *empty = emptying(conn);
    }
    empty.iter().for_each(|sql| run(sql));
}

/// Lists the statements that empty a state; what a new one holds, as the transitions, is put back from `BLANK`.
fn emptying(conn: &Connection) -> Vec<String> {
    let tables =
        "SELECT name FROM blank.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut tables = conn.prepare(tables).unwrap();
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut empty = vec!["BEGIN".to_owned()];
    for table in tables.map(Result::unwrap) {
        empty.push(format!("DELETE FROM main.{table}"));
        let filled = format!("SELECT EXISTS (SELECT 1 FROM blank.{table})");
        if conn.query_row(&filled, [], |row| row.get(0)).unwrap() {
            empty.push(format!(
                "INSERT INTO main.{table} SELECT * FROM blank.{table}"
            ));
        }
    }
    empty.push("COMMIT".into());
    // Pages that nobody uses would give `gc` something to do.
    empty.push("PRAGMA main.incremental_vacuum".into());
    empty
}
