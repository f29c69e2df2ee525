//! `config show`: the merged configuration, key by key, with the layer each value came from. Secrets as their source.

use serde::Serialize;

use crate::config::load::{Layer, Loaded};

/// One value.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Its key, dotted.
    pub key: String,
    /// The value as the file would write it.
    pub value: String,
    /// Where it came from.
    pub layer: String,
}

/// Lists every value that holds.
pub fn show(loaded: &Loaded) -> Vec<Shown> {
    let mut shown = Vec::new();
    if let Ok(toml::Value::Table(table)) = toml::Value::try_from(&loaded.config) {
        walk(&table, "", loaded, &mut shown);
    }
    shown
}

fn walk(table: &toml::Table, prefix: &str, loaded: &Loaded, shown: &mut Vec<Shown>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(below) => walk(below, &key, loaded, shown),
            value => {
                let layer = loaded
                    .layers
                    .get(&key)
                    .unwrap_or(&Layer::Default)
                    .to_string();
                shown.push(Shown {
                    key,
                    value: value.to_string(),
                    layer,
                });
            }
        }
    }
}

/// Writes the values as a table for a terminal.
pub fn table(shown: &[Shown]) -> String {
    let line = |s: &Shown| format!("{:<40} {:<44} {}\n", s.key, s.value, s.layer);
    shown.iter().map(line).collect()
}
