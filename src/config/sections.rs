//! The sections of the configuration file, with every key, its unit and its default.
//!
//! Parsing is here; what must hold between keys is checked in [`crate::config::validate`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::channels::{ChannelConfig, RouteConfig};
use crate::config::secret::SecretSource;
use crate::config::serve::ServeConfig;
use crate::config::span::Span;
use crate::config::sql::{OnDisagreement, SqlConfig, StockRoad};
use crate::config::winthor::WinthorConfig;
use crate::domain::ids::{BaseCode, SkuRef, WarehouseId};
use crate::domain::qty::Qty;
use crate::domain::stock::NegativeShop;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the memory is kept.
    #[serde(default)]
    pub store: StoreConfig,
    /// The web store.
    pub vtex: VtexConfig,
    /// How orders are found.
    pub poll: PollConfig,
    /// Waiting times that guard against duplicates; see the annotated example before touching them.
    #[serde(default)]
    pub protocol: ProtocolConfig,
    /// How quantities are published.
    #[serde(default)]
    pub push: PushConfig,
    /// The ERP.
    pub erp: ErpConfig,
    /// Which bases feed which warehouse of the web store.
    pub warehouse: Vec<WarehouseConfig>,
    /// Stock held back per SKU reference, added to the warehouse's own.
    #[serde(default)]
    pub safety_stock: BTreeMap<SkuRef, Qty>,
    /// How people are told.
    pub notify: NotifyConfig,
    /// Ways to reach people besides `[notify.mail]`.
    #[serde(default)]
    pub channel: Vec<ChannelConfig>,
    /// Which notices go where; without any, every notice goes to every channel.
    #[serde(default)]
    pub route: Vec<RouteConfig>,
    /// What is forgotten, and when.
    #[serde(default)]
    pub gc: GcConfig,
    /// The long-running door.
    #[serde(default)]
    pub serve: ServeConfig,
}

/// Where the memory is kept.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The state file; a relative path counts from the configuration file's folder.
    pub path: PathBuf,
    /// Where locks shared by all accounts of this machine live.
    pub shared_locks: PathBuf,
    /// Accept a network file system, whose locks are often broken; only with `journal = "delete"`.
    pub allow_network: bool,
    /// `wal` (default) or `delete`, for file systems on which WAL does not work.
    pub journal: Journal,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            path: "stockbridge.sqlite".into(),
            shared_locks: std::env::temp_dir().join("stockbridge-locks"),
            allow_network: false,
            journal: Journal::Wal,
        }
    }
}

/// SQLite's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Journal {
    /// Write-ahead log, synchronous FULL.
    Wal,
    /// Rollback journal, synchronous EXTRA: slower, equally safe.
    Delete,
}

/// The web store.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VtexConfig {
    /// The account name, as in its address.
    pub account: String,
    /// Base address; default `https://{account}.vtexcommercestable.com.br`.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The application key, for this program alone.
    pub app_key: SecretSource,
    /// The application token.
    pub app_token: SecretSource,
    /// Create and repair the feed's configuration; default false: only warn.
    #[serde(default)]
    pub manage_feed: bool,
    /// How long a read event stays hidden from other reads.
    #[serde(default = "d::feed_visibility")]
    pub feed_visibility: Span,
    /// How long events are kept: 4 to 14 days.
    #[serde(default = "d::feed_retention")]
    pub feed_retention: Span,
    /// Which call sets a quantity.
    #[serde(default)]
    pub stock_call: StockCall,
    /// Who starts handling.
    #[serde(default)]
    pub start_handling: StartHandling,
    /// Start handling also for an order without a line of our stock.
    #[serde(default)]
    pub handle_without_stock: bool,
    /// The seller id whose lines are ours.
    #[serde(default = "d::seller")]
    pub seller: String,
    /// Concurrent calls for stock reads and pushes, 1 to 32.
    #[serde(default = "d::workers")]
    pub workers: usize,
    /// Time to connect.
    #[serde(default = "d::vtex_connect")]
    pub connect_timeout: Span,
    /// Time for a whole call.
    #[serde(default = "d::vtex_total")]
    pub total_timeout: Span,
    /// A PEM file with a private certificate authority to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// Which call sets a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StockCall {
    /// `PATCH …/quantity`: touches nothing else.
    #[default]
    Patch,
    /// `PUT` of the whole stock record; the current lead time is carried over.
    Put,
    /// `PUT /api/fulfillment/pvt/stock`, for a middleware that offers it. `Unverified:` no public documentation.
    Fulfillment,
}

/// Who starts handling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartHandling {
    /// This program, once the movement is booked.
    #[default]
    AfterMove,
    /// Somebody else; it is only observed.
    Never,
}

/// How orders are found.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PollConfig {
    /// Feed, list, or both.
    #[serde(default)]
    pub mode: PollMode,
    /// Orders placed before this instant (RFC 3339) are never moved or handled. Required.
    pub cutover: String,
    /// How often the order list is swept for what the feed missed.
    #[serde(default = "d::sweep_every")]
    pub sweep_every: Span,
    /// How far a sweep reaches back.
    #[serde(default = "d::sweep_window")]
    pub sweep_window: Span,
    /// How often all orders that wait for handling are listed, whatever their date.
    #[serde(default = "d::ready_sweep_every")]
    pub ready_sweep_every: Span,
    /// How often every open order is read again.
    #[serde(default = "d::reread_every")]
    pub reread_every: Span,
    /// How often a SKU's reference is read again.
    #[serde(default = "d::refs_every")]
    pub refs_every: Span,
    /// In list mode: how many of the newest orders are listed in each run.
    #[serde(default = "d::list_last")]
    pub list_last: u32,
    /// Consecutive empty reads that end a drain of the feed.
    #[serde(default = "d::empty_reads")]
    pub empty_reads: u32,
    /// Tries after which an event whose order cannot be read is set aside.
    #[serde(default = "d::unreadable_tries")]
    pub unreadable_tries: u32,
    /// Time after which an event whose order cannot be read is set aside.
    #[serde(default = "d::day")]
    pub unreadable_after: Span,
    /// How long an order may stay unpaid, incomplete or stuck before a person is told.
    #[serde(default = "d::day")]
    pub stuck_after: Span,
}

/// Feed, list, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PollMode {
    /// The feed, and the sweep behind it.
    #[default]
    Feed,
    /// The newest orders of the list in every run, and the sweep.
    List,
    /// Both.
    Both,
}

/// Waiting times and bounds of the crash protocol.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtocolConfig {
    /// From the claim of an effect to the start of its call.
    pub gap: Span,
    /// The longest movement call, connecting included.
    pub movement_limit: Span,
    /// After which an abandoned movement call can no longer take effect; at least the longest ERP call limit.
    pub movement_settle: Span,
    /// The time between the two absences that prove a movement was not applied.
    pub absences_apart: Span,
    /// How long a movement may stay undecided before a person is called.
    pub undecided_after: Span,
    /// Attempts after which a movement that was never applied is rejected.
    pub max_attempts: u32,
    /// The longest start-handling call.
    pub handling_limit: Span,
    /// How long after an unanswered start-handling the order is asked again.
    pub handling_recheck: Span,
    /// The longest stock write.
    pub stock_limit: Span,
    /// After which an abandoned stock write can no longer take effect.
    pub stock_settle: Span,
    /// First backoff between runs.
    pub backoff_base: Span,
    /// Longest backoff between runs.
    pub backoff_cap: Span,
    /// The wait after a "too many requests" that names none.
    pub min_retry_after: Span,
    /// The most requests to one host within a minute, by all processes together. `poll` reads a quarter of it of the
    /// catalogue's SKUs in one run; `push-stock` publishes an eighth of it for the first time.
    pub requests_a_minute: u32,
    /// Failures in a row that open a host's breaker.
    pub breaker_failures: u32,
    /// How long an open breaker lets one probe a run through only.
    pub breaker_open: Span,
    /// After deadline and longest call, when the process aborts itself.
    pub watchdog: Span,
}

/// How quantities are published.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushConfig {
    /// How often every mapped SKU is compared with the ERP; shop sales show up this late at the latest.
    pub full_every: Span,
    /// The brake: this share of a run's SKUs falling to zero, or rising from it, stops the run.
    pub max_drop_percent: u32,
    /// The brake needs at least so many SKUs.
    pub max_drop_count: u32,
    /// What an incomplete reading may do.
    pub incomplete: Incomplete,
}

/// What an incomplete reading may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Incomplete {
    /// Nothing.
    #[default]
    Hold,
    /// Lower a quantity, when the virtual depot was read.
    Decrease,
}

/// The ERP.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ErpConfig {
    /// Bases that never count and are never asked.
    #[serde(default)]
    pub blocked_bases: Vec<BaseCode>,
    /// The depot in which sales are booked; goes negative until the remito is made. Not for WinThor.
    #[serde(default = "BaseCode::none")]
    pub depot: BaseCode,
    /// Whether the depot's stock counts.
    #[serde(default)]
    pub virtual_depot: VirtualDepot,
    /// How a shop with negative stock counts.
    #[serde(default)]
    pub negative_shop: NegativeShop,
    /// Book the reversal of an order canceled after booking; otherwise a person is told.
    #[serde(default)]
    pub reverse_on_cancel: bool,
    /// Which account may go with which depot, as `account=depot`; when any is listed, no other pair is accepted.
    #[serde(default)]
    pub pairs: Vec<String>,
    /// In which order shops are asked for goods; the others follow by name.
    #[serde(default)]
    pub pick_order: Vec<BaseCode>,
    /// Dragonfish. Either this section or the next.
    #[serde(default)]
    pub dragonfish: Option<DragonfishConfig>,
    /// WinThor.
    #[serde(default)]
    pub winthor: Option<WinthorConfig>,
}

/// Whether the virtual depot's stock counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VirtualDepot {
    /// It counts, negative as it is: a booked movement lowers the sum at once.
    #[default]
    Included,
    /// It does not count: an order stays in the sum until its remito is seen or confirmed.
    Excluded,
}

/// Dragonfish over HTTP.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DragonfishConfig {
    /// Base address, such as `http://erp:8008/api.Dragonfish`.
    pub url: String,
    /// The host for which plain HTTP is accepted; must equal the address's host.
    #[serde(default)]
    pub allow_plain_http_for: Option<String>,
    /// The code of the REST client record (`IdCliente`).
    pub client_id: String,
    /// The client's token (JWT), sent as it is.
    pub token: SecretSource,
    /// Log in with `Autenticar` first; a version without it answers 404 or 405, which is accepted.
    #[serde(default = "d::yes")]
    pub authenticate: bool,
    /// `OrigenDestino` of movements, at most 8 characters.
    pub origin: String,
    /// `Motivo` of movements, at most 3 characters; must exist there.
    #[serde(default)]
    pub motive: Option<String>,
    /// `vendedor` of movements, at most 10 characters; must exist and be active.
    #[serde(default)]
    pub seller: Option<String>,
    /// ASCII text that follows the marker in `Observacion`, such as `VENTA_VTEX`.
    #[serde(default)]
    pub note: Option<String>,
    /// The characters that separate article, colour and size in a SKU's reference.
    #[serde(default = "d::separators")]
    pub separators: String,
    /// Which figure is stock where one base is read; the reading over all bases shows only `stock`.
    #[serde(default)]
    pub stock_field: StockField,
    /// Compare sizes without leading zeros.
    #[serde(default)]
    pub sizes_ignore_zeros: bool,
    /// What a base means that a variant's row does not list.
    #[serde(default)]
    pub unlisted_base: UnlistedBase,
    /// Whether a movement can be found again by its marker; decides what happens after an unknown outcome.
    #[serde(default)]
    pub search: Search,
    /// Which road stock is read by.
    #[serde(default)]
    pub stock_source: StockRoad,
    /// What becomes of a variant of which two roads gave two figures, with `stock_source = "both"`.
    #[serde(default)]
    pub on_disagreement: OnDisagreement,
    /// The SQL Server behind the service; needed where stock is read by SQL.
    #[serde(default)]
    pub sql: Option<SqlConfig>,
    /// Local hours in which the service is left alone, as `01:00-08:00`.
    #[serde(default)]
    pub quiet_hours: Option<String>,
    /// The service's offset from UTC.
    #[serde(default = "d::utc_offset")]
    pub utc_offset: String,
    /// Rows a page.
    #[serde(default = "d::page_size")]
    pub page_size: u32,
    /// Time to connect.
    #[serde(default = "d::erp_connect")]
    pub connect_timeout: Span,
    /// Time for a stock query.
    #[serde(default = "d::erp_stock")]
    pub stock_timeout: Span,
    /// Time for any other read.
    #[serde(default = "d::erp_read")]
    pub read_timeout: Span,
    /// How early `doctor` and the log warn of the token's end.
    #[serde(default = "d::token_warning")]
    pub token_warning: Span,
}

/// Which figure is stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StockField {
    /// `Stock`: what lies there.
    #[default]
    Stock,
    /// `Disponible`: what is not committed.
    Available,
}

/// What a base means that a variant's row does not list.
///
/// `Unverified:` whether Dragonfish lists a base with zero stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnlistedBase {
    /// Missing: the reading is incomplete.
    #[default]
    Missing,
    /// Zero, if another row of the same answer lists the base; missing otherwise.
    ZeroIfSeen,
}

/// Whether a movement can be found again by its marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Search {
    /// It can.
    #[default]
    Searchable,
    /// It cannot: every doubt goes to a person.
    Blind,
}

/// Which bases feed one warehouse of the web store.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WarehouseConfig {
    /// The warehouse id at VTEX, letter for letter.
    pub id: WarehouseId,
    /// The shops and depots whose stock it offers; the virtual depot is added when it counts and is named here or as
    /// the movement's base.
    pub bases: Vec<BaseCode>,
    /// The base in which its sales are booked; default the virtual depot. For pick-up in a shop: that shop.
    #[serde(default)]
    pub movement_base: Option<BaseCode>,
    /// Ask a person for the remito; default true, and false where sales are booked in the shop itself.
    #[serde(default)]
    pub remito: Option<bool>,
    /// Stock held back per SKU.
    #[serde(default)]
    pub safety_stock: Qty,
}

/// How people are told.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyConfig {
    /// The language of notices.
    #[serde(default)]
    pub language: Language,
    /// A folder whose templates replace those compiled in, by name.
    #[serde(default)]
    pub templates: Option<PathBuf>,
    /// The time zone's offset in which notices show times.
    #[serde(default = "d::utc_offset")]
    pub utc_offset: String,
    /// How often alerts that came again are summed up.
    #[serde(default = "d::day")]
    pub digest_every: Span,
    /// How often a marked resend is tried before a person must look.
    #[serde(default = "d::resends")]
    pub max_resends: u32,
    /// E-mail.
    pub mail: MailConfig,
}

/// The language of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Spanish.
    #[default]
    Es,
    /// Portuguese.
    Pt,
    /// English.
    En,
}

/// E-mail.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// How mail leaves.
    #[serde(default)]
    pub transport: MailTransport,
    /// The sender's address.
    pub from: String,
    /// The recipients' addresses, 1 to 50.
    pub to: Vec<String>,
    /// Where `file` puts its `.eml` files.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// The mail server's name.
    #[serde(default)]
    pub host: Option<String>,
    /// Its port; default 465 for `tls`, 587 for `starttls`, 25 for `none`.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub security: MailSecurity,
    /// The log-in name.
    #[serde(default)]
    pub user: Option<String>,
    /// The log-in's password, or its access token with `auth = "xoauth2"`.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// How to log in.
    #[serde(default)]
    pub auth: MailAuth,
    /// Time for each step of a mail.
    #[serde(default = "d::mail_timeout")]
    pub timeout: Span,
    /// A PEM file with a private certificate authority to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Local hours in which nothing is sent, as `22:00-07:00`; in `[notify.mail]` only.
    #[serde(default)]
    pub quiet_hours: Option<String>,
    /// Whether the remito notices of a run go out as one list per base; default true; in `[notify.mail]` only.
    #[serde(default)]
    pub batch: Option<bool>,
}

/// How mail leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTransport {
    /// To a mail server.
    #[default]
    Smtp,
    /// Into a folder, for trials.
    File,
}

/// How to log in at the mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailAuth {
    /// PLAIN or LOGIN, whichever the server offers.
    #[default]
    Password,
    /// XOAUTH2, with an access token in place of the password.
    Xoauth2,
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailSecurity {
    /// TLS from the first byte.
    Tls,
    /// STARTTLS, required.
    #[default]
    Starttls,
    /// None; accepted for a server on this machine only.
    None,
}

/// What is forgotten, and when.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GcConfig {
    /// Settled orders and the contents of their movements; keys stay for ever. At least 14 days.
    pub settled_after: Span,
    /// Sent notices.
    pub notices_after: Span,
    /// Rejected input.
    pub rejects_after: Span,
    /// Records of runs, readings and pushes.
    pub records_after: Span,
}

impl Default for ProtocolConfig {
    fn default() -> Self {
        Self {
            gap: Span::secs(5),
            movement_limit: Span::secs(120),
            movement_settle: Span::secs(300),
            absences_apart: Span::secs(60),
            undecided_after: Span::hours(24),
            max_attempts: 5,
            handling_limit: Span::secs(30),
            handling_recheck: Span::secs(60),
            stock_limit: Span::secs(30),
            stock_settle: Span::secs(60),
            backoff_base: Span::secs(60),
            backoff_cap: Span::hours(1),
            min_retry_after: Span::secs(60),
            requests_a_minute: 6000,
            breaker_failures: 5,
            breaker_open: Span::secs(60),
            watchdog: Span::secs(30),
        }
    }
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            full_every: Span::hours(6),
            max_drop_percent: 30,
            max_drop_count: 25,
            incomplete: Incomplete::Hold,
        }
    }
}

impl Default for GcConfig {
    fn default() -> Self {
        Self {
            settled_after: Span::hours(30 * 24),
            notices_after: Span::hours(90 * 24),
            rejects_after: Span::hours(90 * 24),
            records_after: Span::hours(30 * 24),
        }
    }
}

/// Defaults that serde calls by name.
mod d {
    use super::Span;

    pub(super) fn feed_visibility() -> Span {
        Span::secs(240)
    }
    pub(super) fn feed_retention() -> Span {
        Span::hours(4 * 24)
    }
    pub(super) fn seller() -> String {
        "1".into()
    }
    pub(super) fn workers() -> usize {
        8
    }
    pub(super) fn vtex_connect() -> Span {
        Span::secs(5)
    }
    pub(super) fn vtex_total() -> Span {
        Span::secs(30)
    }
    pub(super) fn sweep_every() -> Span {
        Span::hours(1)
    }
    pub(super) fn sweep_window() -> Span {
        Span::hours(48)
    }
    pub(super) fn ready_sweep_every() -> Span {
        Span::hours(24)
    }
    pub(super) fn reread_every() -> Span {
        Span::hours(6)
    }
    pub(super) fn refs_every() -> Span {
        Span::hours(24)
    }
    pub(super) fn list_last() -> u32 {
        50
    }
    pub(super) fn empty_reads() -> u32 {
        3
    }
    pub(super) fn unreadable_tries() -> u32 {
        20
    }
    pub(super) fn day() -> Span {
        Span::hours(24)
    }
    pub(super) fn yes() -> bool {
        true
    }
    pub(super) fn separators() -> String {
        "-".into()
    }
    pub(super) fn utc_offset() -> String {
        "-03:00".into()
    }
    pub(super) fn page_size() -> u32 {
        200
    }
    pub(super) fn erp_connect() -> Span {
        Span::secs(10)
    }
    pub(super) fn erp_stock() -> Span {
        Span::secs(180)
    }
    pub(super) fn erp_read() -> Span {
        Span::secs(120)
    }
    pub(super) fn token_warning() -> Span {
        Span::hours(14 * 24)
    }
    pub(super) fn resends() -> u32 {
        2
    }
    pub(super) fn mail_timeout() -> Span {
        Span::secs(30)
    }
}
