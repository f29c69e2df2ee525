//! The texts of notices: one table of phrases per language, and two layouts that all kinds share.
//!
//! Everything is compiled in. A folder of the operator's may replace, by file name: `es.toml`, `pt.toml`, `en.toml`
//! (only the phrases it holds), `notice.txt.j2` and `notice.html.j2` (the layouts), and `<kind>.txt.j2` and
//! `<kind>.html.j2` (the layout of one kind). The same names in a folder within it that is named like a channel replace
//! them for that channel alone. The variables are the fields of `Vars` in [`super::render`].
//!
//! HTML is escaped by the output itself: no filter, block or setting of a template can switch that off.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use minijinja::{AutoEscape, Environment, HtmlEscape, UndefinedBehavior};
use serde::{Deserialize, Serialize};

use super::MailError;
use crate::config::sections::Language;
use crate::domain::notice::NoticeKind;

/// The largest override file read.
const LARGEST_FILE: u64 = 256 * 1024;

const LAYOUTS: [(&str, &str); 2] = [
    ("notice.txt.j2", include_str!("templates/notice.txt.j2")),
    ("notice.html.j2", include_str!("templates/notice.html.j2")),
];

/// Returns the name of a language's table of phrases, and the table compiled in.
fn built_in(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::Es => ("es.toml", include_str!("templates/es.toml")),
        Language::Pt => ("pt.toml", include_str!("templates/pt.toml")),
        Language::En => ("en.toml", include_str!("templates/en.toml")),
    }
}

/// The phrases of one language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// How instants are written (strftime).
    pub(super) date: String,
    /// What stands before the subject of a possible duplicate.
    pub(super) duplicate_mark: String,
    duplicate: String,
    more: String,
    /// Words of the layouts.
    pub(super) label: BTreeMap<String, String>,
    /// What figures are called.
    pub(super) figure: BTreeMap<String, String>,
    /// The phrases of each kind.
    pub(super) notice: BTreeMap<NoticeKind, Phrases>,
}

/// The phrases of one kind of notice.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Phrases {
    /// What happened, in a few words.
    pub(super) title: String,
    subject: String,
    lead: String,
    next: String,
}

/// The texts of notices in one language.
#[derive(Debug)]
pub(super) struct Texts {
    environment: Environment<'static>,
    /// The phrases that are no templates.
    pub(super) table: Table,
}

impl Texts {
    /// Loads the texts compiled in, what `folder` replaces of them, and what its part for `channel` replaces of those.
    pub(super) fn load(
        language: Language,
        folder: Option<&Path>,
        channel: &str,
    ) -> Result<Self, MailError> {
        let mut overrides = folder.map_or_else(|| Ok(BTreeMap::new()), read_folder)?;
        let own = folder.map(|folder| folder.join(channel));
        let mut own = match own.filter(|own| own.is_dir()) {
            Some(own) => read_folder(&own)?,
            None => BTreeMap::new(),
        };
        let (table_name, built_in) = built_in(language);
        let tables = [overrides.remove(table_name), own.remove(table_name)];
        let table = load_table(table_name, built_in, tables)?;
        overrides.extend(own);
        let mut environment = new_environment();
        add_phrases(&mut environment, table_name, &table)?;
        for (name, source) in LAYOUTS {
            add(&mut environment, name.to_owned(), source.to_owned())?;
        }
        for (name, source) in overrides {
            if name.ends_with(".j2") {
                add(&mut environment, name, source)?;
            }
        }
        Ok(Self { environment, table })
    }

    /// Renders a phrase of one kind: `subject`, `lead` or `next`.
    pub(super) fn of_kind(
        &self,
        kind: NoticeKind,
        phrase: &str,
        vars: &impl Serialize,
    ) -> Result<String, MailError> {
        self.fill(&format!("notice.{}.{phrase}", kind.as_str()), vars)
    }

    /// Renders the line that names a possible duplicate.
    pub(super) fn duplicate(&self, vars: &impl Serialize) -> Result<String, MailError> {
        self.fill("duplicate", vars)
    }

    /// Renders the line that tells how much was left out.
    pub(super) fn more(&self, vars: &impl Serialize) -> Result<String, MailError> {
        self.fill("more", vars)
    }

    /// Renders the layout of one kind; `form` is `txt` or `html`.
    pub(super) fn layout(
        &self,
        kind: NoticeKind,
        form: &str,
        vars: &impl Serialize,
    ) -> Result<String, MailError> {
        let own = format!("{}.{form}.j2", kind.as_str());
        match self.environment.get_template(&own) {
            Ok(_) => self.fill(&own, vars),
            Err(_) => self.fill(&format!("notice.{form}.j2"), vars),
        }
    }

    /// Renders a template of the configuration. One whose name ends in `.json` writes every value as JSON.
    pub(super) fn phrase(
        &self,
        name: &str,
        source: &str,
        vars: &impl Serialize,
    ) -> Result<String, MailError> {
        self.environment
            .render_named_str(name, source, vars)
            .map_err(|err| template_error(name, &err))
    }

    fn fill(&self, name: &str, vars: &impl Serialize) -> Result<String, MailError> {
        self.environment
            .get_template(name)
            .and_then(|template| template.render(vars))
            .map_err(|err| template_error(name, &err))
    }
}

/// Builds an environment in which an unknown variable is an error and `.html.j2` always escapes.
fn new_environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    // The escaping that templates can switch off is not used at all; the formatter below cannot be.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(|out, state, value| {
        if state.name().ends_with(".json") {
            let text = serde_json::to_string(value).map_err(|err| {
                minijinja::Error::new(minijinja::ErrorKind::BadSerialization, err.to_string())
            })?;
            return out.write_str(&text).map_err(minijinja::Error::from);
        }
        let text = value.to_string();
        let written = if state.name().ends_with(".html.j2") {
            write!(out, "{}", HtmlEscape(&text))
        } else {
            out.write_str(&text)
        };
        written.map_err(minijinja::Error::from)
    });
    environment
}

fn add_phrases(
    environment: &mut Environment<'static>,
    file: &str,
    table: &Table,
) -> Result<(), MailError> {
    add(environment, "duplicate".into(), table.duplicate.clone())?;
    add(environment, "more".into(), table.more.clone())?;
    for kind in NoticeKind::ALL {
        let name = kind.as_str();
        let phrases = table.notice.get(&kind).ok_or_else(|| MailError::Template {
            name: file.to_owned(),
            reason: format!("[notice.{name}] is missing"),
        })?;
        for (phrase, source) in [
            ("subject", &phrases.subject),
            ("lead", &phrases.lead),
            ("next", &phrases.next),
        ] {
            add(
                environment,
                format!("notice.{name}.{phrase}"),
                source.clone(),
            )?;
        }
    }
    Ok(())
}

fn add(
    environment: &mut Environment<'static>,
    name: String,
    source: String,
) -> Result<(), MailError> {
    environment
        .add_template_owned(name.clone(), source)
        .map_err(|err| template_error(&name, &err))
}

fn template_error(name: &str, err: &minijinja::Error) -> MailError {
    let line = err
        .line()
        .map(|line| format!(" in line {line}"))
        .unwrap_or_default();
    MailError::Template {
        name: name.to_owned(),
        reason: match err.detail() {
            Some(detail) => format!("{}: {detail}{line}", err.kind()),
            None => format!("{}{line}", err.kind()),
        },
    }
}

/// Parses a table, and lays the operator's phrases over it, one table over the other.
fn load_table(
    name: &str,
    built_in: &str,
    overrides: [Option<String>; 2],
) -> Result<Table, MailError> {
    let wrong = |err: toml::de::Error| MailError::Template {
        name: name.to_owned(),
        reason: err.to_string().trim_end().replace('\n', " "),
    };
    let mut table: toml::Table = toml::from_str(built_in).map_err(wrong)?;
    for text in overrides.into_iter().flatten() {
        lay_over(&mut table, toml::from_str(&text).map_err(wrong)?);
    }
    table.try_into().map_err(wrong)
}

fn lay_over(below: &mut toml::Table, above: toml::Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Reads the operator's folder; a file whose name replaces nothing is refused, since it would be ignored in silence.
fn read_folder(folder: &Path) -> Result<BTreeMap<String, String>, MailError> {
    let wrong = |name: &str, reason: String| MailError::Template {
        name: folder.join(name).display().to_string(),
        reason,
    };
    let entries = fs::read_dir(folder).map_err(|err| wrong("", err.to_string()))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(|err| wrong("", err.to_string()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".j2") && !name.ends_with(".toml") {
            continue;
        }
        if !replaceable().any(|known| known == name) {
            return Err(wrong(&name, unknown_name(&name)));
        }
        let size = entry
            .metadata()
            .map_err(|err| wrong(&name, err.to_string()))?
            .len();
        if size > LARGEST_FILE {
            return Err(wrong(&name, format!("is larger than {LARGEST_FILE} bytes")));
        }
        let text = fs::read_to_string(entry.path()).map_err(|err| wrong(&name, err.to_string()))?;
        files.insert(name, text);
    }
    Ok(files)
}

/// Returns the names of the folders within the operator's folder.
pub(super) fn subfolders(folder: &Path) -> Result<Vec<String>, MailError> {
    let wrong = |err: std::io::Error| MailError::Template {
        name: folder.display().to_string(),
        reason: err.to_string(),
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        if entry.path().is_dir() {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// Returns every file name that the operator's folder may hold.
fn replaceable() -> impl Iterator<Item = String> {
    let tables = [Language::Es, Language::Pt, Language::En].map(|l| built_in(l).0.to_owned());
    let layouts = LAYOUTS.map(|(name, _)| name.to_owned());
    let kinds = NoticeKind::ALL.into_iter().flat_map(|kind| {
        let name = kind.as_str();
        [format!("{name}.txt.j2"), format!("{name}.html.j2")]
    });
    tables.into_iter().chain(layouts).chain(kinds)
}

fn unknown_name(name: &str) -> String {
    let nearest = replaceable().min_by_key(|known| strsim::damerau_levenshtein(known, name));
    match nearest {
        Some(nearest) => format!("replaces no template; did you mean {nearest}?"),
        None => "replaces no template".to_owned(),
    }
}
