//! Reading the layers: every value knows where it came from, every mistake says where it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::sections::{Config, WarehouseConfig};
use crate::config::{EXAMPLE, WINTHOR_EXAMPLE, secret, validate};

/// The largest configuration file, and the largest file of variables.
const MOST_BYTES: u64 = 1024 * 1024;
/// The sections whose keys the shop chooses: their case matters, which the name of a variable cannot keep.
const MAPS: [&str; 1] = ["safety_stock"];
const TOO_LARGE: &str = "holds more than 1 MiB";
/// What an overriding variable begins with.
const PREFIX: &str = "STOCKBRIDGE__";
/// Where the file is looked for when none is named.
const DEFAULT_FILES: [&str; 2] = ["stockbridge.toml", "/etc/stockbridge/stockbridge.toml"];

/// Where to read from. The environment is handed in.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The file; the usual places when none is named.
    pub file: Option<PathBuf>,
    /// A file of variables.
    pub env_file: Option<PathBuf>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The state file named on the command line.
    pub state: Option<PathBuf>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Built in.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// The file of variables.
    EnvFile(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) | Self::EnvFile(path) => write!(f, "{}", path.display()),
            Self::Env(name) => f.write_str(name),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// The merged configuration.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// Where each value that is not a default came from, by dotted key.
    pub layers: BTreeMap<String, Layer>,
    /// The folder from which relative paths count.
    pub folder: PathBuf,
    /// The environment, with what the file of variables added.
    pub env: BTreeMap<String, String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Which file, variable or flag.
    pub place: String,
    /// Which line, where it is known.
    pub line: Option<usize>,
    /// Which key, dotted; empty when it is about the whole.
    pub key: String,
    /// Which of the blocks of a section that stands several times, from 0.
    pub block: Option<u32>,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub hint: Option<String>,
}

impl ConfigError {
    /// Builds a mistake without place or hint.
    pub fn new(key: &str, reason: impl Into<String>) -> Self {
        Self {
            place: String::new(),
            line: None,
            key: key.to_owned(),
            block: None,
            reason: reason.into(),
            hint: None,
        }
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn at(mut self, place: impl ToString) -> Self {
        self.place = place.to_string();
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self
            .line
            .map_or_else(String::new, |line| format!(":{line}"));
        if !self.place.is_empty() {
            write!(f, "{}{line}: ", self.place)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)?;
        match &self.hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Reads, merges and validates the configuration.
///
/// # Errors
///
/// Every mistake found, not only the first.
pub fn load(options: &LoadOptions) -> Result<Loaded, Vec<ConfigError>> {
    let one = |err: ConfigError| vec![err];
    let path = find_file(options).map_err(one)?;
    let text = read_text(&path).map_err(|err| one(err.at(path.display())))?;
    let mut table = parse(&text, &path).map_err(one)?;
    let mut layers = BTreeMap::new();
    note_layers(&table, "", &Layer::File(path.clone()), &mut layers);
    let mut env = options.env.clone();
    if let Some(file) = &options.env_file {
        let variables = read_env_file(file).map_err(|err| one(err.at(file.display())))?;
        apply_variables(&mut table, &variables, &mut layers, |_| {
            Layer::EnvFile(file.clone())
        })?;
        for (name, value) in variables {
            // The environment of the process wins over the file.
            env.entry(name).or_insert(value);
        }
    }
    apply_variables(&mut table, &options.env, &mut layers, |name| {
        Layer::Env(name.to_owned())
    })?;
    if let Some(state) = &options.state {
        let state = std::path::absolute(state).unwrap_or_else(|_| state.clone());
        set(
            &mut table,
            &["store", "path"],
            Value::String(state.display().to_string()),
        )
        .map_err(|reason| one(ConfigError::new("store.path", reason)))?;
        layers.insert("store.path".into(), Layer::Flag);
    }
    let mut config = Config::deserialize(Value::Table(table.clone())).map_err(|err| {
        let mut found = explain(&err);
        found.block = wrong_block(&table, &found.key);
        one(placed(found, &text, &path, &layers))
    })?;
    let (errors, warnings) = validate::validate(&config);
    if !errors.is_empty() {
        return Err(errors
            .into_iter()
            .map(|err| placed(err, &text, &path, &layers))
            .collect());
    }
    let full = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    let folder = full
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    anchor(&mut config, &folder);
    Ok(Loaded {
        config,
        layers,
        folder,
        env,
        warnings,
    })
}

fn find_file(options: &LoadOptions) -> Result<PathBuf, ConfigError> {
    if let Some(file) = &options.file {
        return Ok(file.clone());
    }
    let named = options.env.get("STOCKBRIDGE_CONFIG").map(PathBuf::from);
    named
        .or_else(|| {
            DEFAULT_FILES
                .iter()
                .map(PathBuf::from)
                .find(|path| path.exists())
        })
        .ok_or_else(|| {
            ConfigError::new(
                "",
                format!("no configuration at {}", DEFAULT_FILES.join(" or ")),
            )
            .hint("stockbridge config init --file stockbridge.toml, or --config FILE")
        })
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let fail = |err: std::io::Error| {
        ConfigError::new("", err.to_string()).hint("--config FILE names another one")
    };
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    // One byte more than is allowed: a file that is merely cut off would often still be read as a sound one.
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(ConfigError::new("", TOO_LARGE));
    }
    let text = String::from_utf8(bytes).map_err(|err| {
        let line = err.as_bytes()[..err.utf8_error().valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
            + 1;
        ConfigError {
            line: Some(line),
            ..ConfigError::new("", "is not UTF-8")
        }
    })?;
    if text.trim().is_empty() {
        return Err(
            ConfigError::new("", "is empty").hint("stockbridge config init writes an example")
        );
    }
    Ok(text)
}

fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|b| *b == b'\n').count() + 1
}

fn parse(text: &str, path: &Path) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|err| ConfigError {
        place: path.display().to_string(),
        line: err.span().map(|span| line_of(text, span.start)),
        ..ConfigError::new("", err.message())
    })
}

/// Notes the layer of every value below a table; arrays are one value.
fn note_layers(table: &Table, prefix: &str, layer: &Layer, layers: &mut BTreeMap<String, Layer>) {
    for (key, value) in table {
        let dotted = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Table(below) => note_layers(below, &dotted, layer, layers),
            _ => {
                layers.insert(dotted, layer.clone());
            }
        }
    }
}

fn apply_variables(
    table: &mut Table,
    variables: &BTreeMap<String, String>,
    layers: &mut BTreeMap<String, Layer>,
    layer: impl Fn(&str) -> Layer,
) -> Result<(), Vec<ConfigError>> {
    let mut errors = Vec::new();
    for (name, text) in variables {
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let parts: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let keys: Vec<&str> = parts.iter().map(String::as_str).collect();
        match set(table, &keys, scalar(&keys, text)) {
            Ok(()) => {
                layers.insert(parts.join("."), layer(name));
            }
            Err(reason) => errors.push(ConfigError::new(&parts.join("."), reason).at(name)),
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// Returns the example with every key switched on.
pub fn full_example() -> String {
    switched_on(EXAMPLE)
}

fn switched_on(example: &str) -> String {
    let name = |c: char| c.is_ascii_lowercase() || c == '_';
    let switched = |line: &str| {
        let rest = line.strip_prefix('#')?;
        if rest.starts_with('[') {
            return Some(rest.to_owned());
        }
        let (key, _) = rest.split_once(" = ")?;
        (!key.is_empty() && key.chars().all(name)).then(|| rest.to_owned())
    };
    let lines = example
        .lines()
        .map(|line| switched(line).unwrap_or_else(|| line.to_owned()));
    lines.fold(String::new(), |all, line| all + &line + "\n")
}

/// Reads a variable as the kind of value the example has under this key; text where it has none.
fn scalar(keys: &[&str], text: &str) -> Value {
    let examples = [EXAMPLE, WINTHOR_EXAMPLE].map(|text| {
        let table = switched_on(text).parse::<Table>();
        table.map(Value::Table).ok()
    });
    let find = |example: &Option<Value>| {
        let mut keys = keys.iter();
        keys.try_fold(example.clone()?, |at, key| at.get(key).cloned())
    };
    let known = examples.iter().find_map(find);
    let known = known.as_ref();
    let parsed = match known {
        Some(Value::Integer(_)) => text.parse().ok().map(Value::Integer),
        Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn set(table: &mut Table, keys: &[&str], value: Value) -> Result<(), String> {
    let Some((last, folders)) = keys.split_last() else {
        return Err("names no key".into());
    };
    if let Some(map) = MAPS.iter().find(|map| keys.first() == Some(*map)) {
        return Err(format!(
            "{map} is set in the configuration file only; a variable's name cannot hold its keys"
        ));
    }
    let mut at = table;
    for folder in folders {
        let below = at
            .entry(*folder)
            .or_insert_with(|| Value::Table(Table::new()));
        at = below
            .as_table_mut()
            .ok_or_else(|| format!("{folder} is not a section that can be overridden"))?;
    }
    if matches!(at.get(*last), Some(Value::Table(_) | Value::Array(_))) {
        return Err("only single values can be overridden by a variable".into());
    }
    at.insert((*last).to_owned(), value);
    Ok(())
}

/// Reads `NAME=value` lines; quotes, comments and `export` as shells write them, nothing expanded.
fn read_env_file(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let fail = |reason: String| ConfigError::new("", reason);
    let mut text = String::new();
    let file = secret::open_private(path).map_err(fail)?;
    file.take(MOST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|err| fail(err.to_string()))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(fail(TOO_LARGE.into()));
    }
    let mut variables = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let wrong = || ConfigError {
            line: Some(at + 1),
            ..ConfigError::new("", "expected NAME=value")
        };
        let (name, value) = line.split_once('=').ok_or_else(wrong)?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(wrong());
        }
        let value = value.trim();
        let unquoted = ['"', '\'']
            .iter()
            .find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
        variables.insert(name.to_owned(), unquoted.unwrap_or(value).to_owned());
    }
    Ok(variables)
}

/// Turns serde's word into one for a person: which key, which line, which name was meant.
fn explain(err: &toml::de::Error) -> ConfigError {
    let message = err.message();
    let unknown = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'));
    let shown = err.to_string();
    let key = shown.lines().find_map(|line| {
        line.trim()
            .strip_prefix("in `")?
            .strip_suffix('`')
            .map(str::to_owned)
    });
    let mut key = key.unwrap_or_default();
    let mut found = ConfigError::new("", message);
    if let Some((name, rest)) = unknown {
        if !key.split('.').any(|part| part == name) {
            key = if key.is_empty() {
                name.to_owned()
            } else {
                format!("{key}.{name}")
            };
        }
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let near = known
            .iter()
            .min_by_key(|known| strsim::damerau_levenshtein(known, name));
        found.reason = "unknown key".into();
        found.hint = near.map(|near| format!("did you mean {near}?"));
    } else if message.contains("expected one of `env`, `file`") {
        found.reason = "a secret never stands in the configuration itself".into();
        found.hint = Some(
            "name its source, like { file = \"/etc/stockbridge/token\" } or { env = \"NAME\" }"
                .into(),
        );
    } else if let Some(rest) = message.strip_prefix("missing field `") {
        let name = rest.trim_end_matches('`');
        key = if key.is_empty() {
            name.to_owned()
        } else {
            format!("{key}.{name}")
        };
        found.reason = "is missing".into();
        found.hint = Some("stockbridge config init shows every key".into());
    }
    found.key = key;
    found
}

/// Finds the first `[[warehouse]]` that cannot be read; the reader of TOML does not say which it was.
fn wrong_block(table: &Table, key: &str) -> Option<u32> {
    if key.split('.').next() != Some("warehouse") {
        return None;
    }
    let blocks = table.get("warehouse")?.as_array()?;
    (0..)
        .zip(blocks)
        .find(|(_, block)| WarehouseConfig::deserialize((*block).clone()).is_err())
        .map(|(at, _)| at)
}

/// Adds the place of a mistake: the variable or flag that set the key, else the file and the key's line in it.
fn placed(
    mut err: ConfigError,
    text: &str,
    path: &Path,
    layers: &BTreeMap<String, Layer>,
) -> ConfigError {
    let layer = layers.get(&err.key);
    err.place = match layer {
        Some(layer @ (Layer::Env(_) | Layer::EnvFile(_) | Layer::Flag)) => return err.at(layer),
        Some(Layer::File(_) | Layer::Default) | None => path.display().to_string(),
    };
    err.line = key_line(text, &err.key, err.block);
    err
}

/// Finds the line of a key; in a section of several blocks, in the one meant, or else where that block begins.
fn key_line(text: &str, key: &str, block: Option<u32>) -> Option<usize> {
    let (section, name) = match key.rsplit_once('.') {
        Some(parts) => parts,
        None if block.is_some() => (key, ""),
        None => ("", key),
    };
    let (mut current, mut n_blocks, mut found) = (String::new(), 0_u32, None);
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        let here = current == section && block.is_none_or(|block| n_blocks == block + 1);
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_start_matches('[').split(']').next();
            header.unwrap_or("").trim().clone_into(&mut current);
            if current == section {
                n_blocks += 1;
                if block == Some(n_blocks - 1) {
                    found = Some(at + 1);
                }
            }
        } else if here
            && !name.is_empty()
            && line.split('=').next().is_some_and(|key| key.trim() == name)
        {
            return Some(at + 1);
        }
    }
    found
}

/// Makes relative paths count from the configuration's folder.
fn anchor(config: &mut Config, folder: &Path) {
    let anchored = |path: &mut PathBuf| *path = folder.join(&*path);
    anchored(&mut config.store.path);
    anchored(&mut config.store.shared_locks);
    let mail = &mut config.notify.mail;
    let optional = [
        &mut config.notify.templates,
        &mut mail.folder,
        &mut mail.ca_file,
        &mut config.vtex.ca_file,
    ];
    optional.into_iter().flatten().for_each(anchored);
    if let Some(tls) = &mut config.serve.tls {
        anchored(&mut tls.certificate);
        anchored(&mut tls.key);
    }
    let winthor = config.erp.winthor.as_mut();
    winthor
        .and_then(|erp| erp.sql.as_mut())
        .into_iter()
        .flat_map(|sql| sql.statements.values_mut())
        .for_each(anchored);
    let dragonfish = config.erp.dragonfish.as_mut();
    dragonfish
        .and_then(|erp| erp.sql.as_mut())
        .into_iter()
        .flat_map(|sql| sql.statements.values_mut())
        .for_each(anchored);
    for channel in &mut config.channel {
        let mail = channel.mail.as_mut();
        let files = mail.map(|mail| [&mut mail.folder, &mut mail.ca_file]);
        files.into_iter().flatten().flatten().for_each(anchored);
        let webhook = channel.webhook.as_mut();
        webhook
            .and_then(|hook| hook.ca_file.as_mut())
            .into_iter()
            .for_each(anchored);
    }
}
