//! The log: sentences with the facts they speak of, one run id on every line, never a secret and never a control
//! character of somebody else's making.

use std::io::Write;
use std::sync::{OnceLock, RwLock};

use log::kv::{Key, Value, VisitSource};
use log::{LevelFilter, Record};
use secrecy::{ExposeSecret, SecretString};

/// How to log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// The least level that is written.
    pub level: LevelFilter,
    /// One JSON object a line instead of a sentence.
    pub json: bool,
    /// The run's id, on every line.
    pub run_id: String,
}

/// Live secrets, so that a last filter can take them out of any line.
static SECRETS: RwLock<Vec<SecretString>> = RwLock::new(Vec::new());
/// Shorter values would turn ordinary words into stars.
const SHORTEST_SECRET: usize = 4;

/// Starts the log on standard error. A second call changes nothing.
pub fn init(options: LogOptions) {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let LogOptions {
            level,
            json,
            run_id,
        } = options;
        env_logger::Builder::new()
            .filter_level(level.min(LevelFilter::Warn))
            .filter_module("stockbridge", level)
            // It logs every record of a driver, "changed database context" at each connection among them. What matters of
            // them comes back as an error and is told by us.
            .filter_module("odbc_api", level.min(LevelFilter::Error))
            .format(move |out, record| {
                let at = jiff::Timestamp::now();
                let line = if json {
                    json_line(record, &run_id, at)
                } else {
                    text_line(record, &run_id, at)
                };
                writeln!(out, "{line}")
            })
            .init();
    });
}

/// Makes a panic tell where it happened and nothing that it was about: a message put together from values may hold an id,
/// a person's name or worse. One that stands in the source as it is, is told.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let told = panic.payload().downcast_ref::<&'static str>();
        let told = told.map_or("its message is withheld", |literal| literal);
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(
            std::io::stderr(),
            "stockbridge: a bug at {place}: {told}; please report it with the version"
        );
    }));
}

/// Returns the level: warn where nobody looks, info on a terminal, more on demand.
pub fn level(verbose: u8, quiet: bool, terminal: bool) -> LevelFilter {
    match (quiet, verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) if terminal => LevelFilter::Info,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Info,
        (false, 2) => LevelFilter::Debug,
        (false, _) => LevelFilter::Trace,
    }
}

/// Makes a short random id for a run.
pub fn run_id() -> String {
    let letters = b"0123456789abcdefghjkmnpqrstvwxyz";
    (0..8)
        .map(|_| char::from(letters[fastrand::usize(0..letters.len())]))
        .collect()
}

/// Registers a secret: its value is taken out of every line from now on.
pub fn redact(secret: &SecretString) {
    if secret.expose_secret().len() < SHORTEST_SECRET {
        return;
    }
    if let Ok(mut secrets) = SECRETS.write()
        && !secrets
            .iter()
            .any(|known| known.expose_secret() == secret.expose_secret())
    {
        secrets.push(secret.clone());
    }
}

/// Takes every live secret out of a text, before anything in it is escaped; the longest first, since one secret may be
/// a part of another.
pub fn redacted(text: &str) -> String {
    let Ok(secrets) = SECRETS.read() else {
        return "withheld".into();
    };
    let mut secrets: Vec<&str> = secrets
        .iter()
        .map(|secret| secret.expose_secret())
        .collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let redacted = |text: String, secret: &&str| text.replace(secret, "***");
    secrets.iter().fold(text.to_owned(), redacted)
}

fn text_line(record: &Record<'_>, run_id: &str, at: jiff::Timestamp) -> String {
    let message = escaped(&redacted(&record.args().to_string()));
    let mut line = format!("{at:.0} {} [{run_id}] {message}", record.level());
    for (key, value) in facts(record) {
        let value = escaped(&value);
        let quoted = value.is_empty() || value.contains([' ', '"', '=']);
        line.push_str(&if quoted {
            format!(" {key}=\"{}\"", value.replace('"', "'"))
        } else {
            format!(" {key}={value}")
        });
    }
    line
}

fn json_line(record: &Record<'_>, run_id: &str, at: jiff::Timestamp) -> String {
    let mut object = serde_json::Map::new();
    object.insert("at".into(), format!("{at:.3}").into());
    object.insert(
        "level".into(),
        record.level().as_str().to_lowercase().into(),
    );
    object.insert("run".into(), run_id.into());
    object.insert(
        "message".into(),
        redacted(&record.args().to_string()).into(),
    );
    for (key, value) in facts(record) {
        object.entry(key).or_insert_with(|| value.into());
    }
    serde_json::Value::Object(object).to_string()
}

/// Collects the facts of a record as text.
fn facts(record: &Record<'_>) -> Vec<(String, String)> {
    struct Collect(Vec<(String, String)>);
    impl<'kvs> VisitSource<'kvs> for Collect {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
            self.0
                .push((escaped(key.as_str()), redacted(&value.to_string())));
            Ok(())
        }
    }
    let mut collect = Collect(Vec::new());
    // A source that fails half-way leaves what it has given.
    let _ = record.key_values().visit(&mut collect);
    collect.0
}

/// Writes characters that could forge a line, or turn its direction, as escapes (CWE-117).
fn escaped(text: &str) -> String {
    let bidi = |c: char| matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = |c: char| matches!(c, '\u{2028}' | '\u{2029}');
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || bidi(c) || breaks(c) {
            safe.extend(c.escape_default())
        } else {
            safe.push(c)
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> String {
        let at = jiff::Timestamp::UNIX_EPOCH;
        text_line(
            &Record::builder()
                .args(format_args!("{message}"))
                .level(log::Level::Warn)
                .build(),
            "r1",
            at,
        )
    }

    #[test]
    fn a_foreign_text_cannot_forge_a_line() {
        let forged = line("order x\n2026-01-01T00:00:00Z ERROR all is lost\u{202e}\u{1b}[31m");
        assert_eq!(forged.lines().count(), 1);
        assert!(
            !forged.contains('\u{202e}') && !forged.contains('\u{1b}'),
            "{forged}"
        );
        assert!(
            forged.starts_with("1970-01-01T00:00:00Z WARN [r1] order x\\n"),
            "{forged}"
        );
    }

    #[test]
    fn json_lines_are_one_object_with_the_facts() {
        let facts = [("order", "1-01")];
        let record = Record::builder()
            .args(format_args!("a \"b\"\nc"))
            .key_values(&facts)
            .build()
            .to_owned_line();
        let value: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(value["order"], "1-01");
        assert_eq!(value["message"], "a \"b\"\nc");
    }

    trait OwnedLine {
        fn to_owned_line(&self) -> String;
    }
    impl OwnedLine for Record<'_> {
        fn to_owned_line(&self) -> String {
            json_line(self, "r1", jiff::Timestamp::UNIX_EPOCH)
        }
    }

    #[test]
    fn registered_secrets_are_taken_out_of_every_line() {
        redact(&SecretString::from("s3cr3t-value-of-a-test"));
        redact(&SecretString::from("abc"));
        assert_eq!(
            redacted("token s3cr3t-value-of-a-test abc"),
            "token *** abc"
        );
    }

    #[test]
    fn cron_hears_warnings_only() {
        assert_eq!(level(0, false, false), LevelFilter::Warn);
        assert_eq!(level(0, false, true), LevelFilter::Info);
        assert_eq!(level(3, true, true), LevelFilter::Error);
    }
}
