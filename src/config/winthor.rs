//! WinThor (TOTVS): the section `[erp.winthor]`.

use serde::{Deserialize, Serialize};

use crate::config::secret::SecretSource;
use crate::config::sections::Config;
use crate::config::span::Span;
use crate::config::validate::{Bounds, Check, address, is_loopback};
use crate::config::winthor_sql::WinthorSqlConfig;

/// WinThor's services (WTA) over HTTP.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WinthorConfig {
    /// By which road stock is read.
    #[serde(default)]
    pub stock_source: WinthorRoad,
    /// By which road orders are looked up; the same when left out.
    #[serde(default)]
    pub orders_source: Option<WinthorRoad>,
    /// Base address of the services; there is no usual port.
    #[serde(default)]
    pub url: String,
    /// The host for which plain HTTP is accepted; must equal the address's host.
    #[serde(default)]
    pub allow_plain_http_for: Option<String>,
    /// The user of the services.
    #[serde(default)]
    pub user: String,
    /// Its password.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// The database.
    #[serde(default)]
    pub sql: Option<WinthorSqlConfig>,
    /// The path of the log-in.
    #[serde(default = "log_in_path")]
    pub login_path: String,
    /// How the log-in names its fields. Unverified: one page of the vendor names them `username` and `password`.
    #[serde(default)]
    pub login_fields: LogInFields,
    /// How the password is sent. Unverified: `md5-upper` is what two independent clients do.
    #[serde(default)]
    pub password_hash: PasswordHash,
    /// How the token is sent back.
    #[serde(default)]
    pub auth: TokenForm,
    /// `W`: only products marked for e-commerce; `WSH`: without that restriction; `none` leaves the parameter out.
    #[serde(default)]
    pub call_origin: CallOrigin,
    /// The stock of a product is divided among its packagings, each a SKU of the store. Otherwise a product is one SKU, in
    /// its smallest packaging.
    #[serde(default = "yes")]
    pub packaging_sales: bool,
    /// What the store writes as the reference of a SKU.
    #[serde(default)]
    pub sku_code: SkuCode,
    /// Only products of this category, `0` for all; likewise the next four.
    #[serde(default)]
    pub category: u32,
    /// Only this subcategory.
    #[serde(default)]
    pub subcategory: u32,
    /// Only this section.
    #[serde(default)]
    pub section: u32,
    /// Only this department.
    #[serde(default)]
    pub department: u32,
    /// Only this supplier.
    #[serde(default)]
    pub provider: u32,
    /// Only products that are marked for resale, or only those that are not.
    #[serde(default)]
    pub resale: Option<bool>,
    /// Only these types of goods (`PA`, `KT`, …), with commas; empty for all.
    #[serde(default)]
    pub merchandise_types: String,
    /// The number of the first page. Unverified: the vendor does not tell; some hints say 1.
    #[serde(default = "one")]
    pub first_page: u32,
    /// Rows a page.
    #[serde(default = "page_size")]
    pub page_size: u32,
    /// Pages read at most.
    #[serde(default = "max_pages")]
    pub max_pages: u32,
    /// Read what changed since the last run, every run.
    #[serde(default = "yes")]
    pub changes: bool,
    /// How far such a reading reaches back behind the last change seen.
    #[serde(default = "overlap")]
    pub changes_overlap: Span,
    /// How long an order may be missing in WinThor before people are told.
    #[serde(default = "order_deadline")]
    pub order_deadline: Span,
    /// Where an order of the store is looked up.
    #[serde(default)]
    pub orders: OrdersConfig,
    /// Time for a connection.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Span,
    /// Time for a whole call.
    #[serde(default = "read_timeout")]
    pub read_timeout: Span,
}

/// A road to WinThor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WinthorRoad {
    /// Its services.
    #[default]
    Api,
    /// Its database.
    Sql,
}

impl WinthorConfig {
    /// Returns the road by which orders are looked up.
    pub fn orders_road(&self) -> WinthorRoad {
        self.orders_source.unwrap_or(self.stock_source)
    }

    /// Tells whether a road is taken.
    pub fn takes(&self, road: WinthorRoad) -> bool {
        self.stock_source == road || self.orders_road() == road
    }

    /// Returns what tells this installation from others.
    pub fn name(&self) -> &str {
        match &self.sql {
            Some(sql) if self.url.is_empty() => &sql.dbq,
            Some(_) | None => &self.url,
        }
    }
}

/// What a shop writes as the reference of a SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkuCode {
    /// `CODAUXILIAR-CODPROD`, as the service's `productId`: one packaging of one product.
    #[default]
    ProductId,
    /// The product alone: `CODPROD`, or whatever stands after the last hyphen.
    LastPart,
    /// The packaging's bar code alone (`CODAUXILIAR`).
    BarCode,
}

/// How the log-in names its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogInFields {
    /// `login` and `senha`.
    #[default]
    LoginSenha,
    /// `username` and `password`.
    UsernamePassword,
}

/// How the password is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordHash {
    /// MD5 of the upper-cased password, as upper-case hexadecimal digits.
    #[default]
    Md5Upper,
    /// MD5 of the password as it is, as upper-case hexadecimal digits.
    Md5,
    /// As it is.
    Plain,
}

/// How the token is sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenForm {
    /// `Authorization: Bearer`.
    #[default]
    Bearer,
    /// The cookie of older clients.
    Cookie,
}

/// For whom the stock is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
pub enum CallOrigin {
    /// The web.
    #[default]
    W,
    /// The vendor's own hub.
    #[serde(rename = "WSH")]
    Wsh,
    /// Not said.
    #[serde(rename = "none")]
    None,
}

/// Where an order of the store is looked up in WinThor.
///
/// Unverified: path, parameter and pointers are what public clients use; `doctor` tries them.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrdersConfig {
    /// The path; `{order}` stands for the store's order id.
    pub path: String,
    /// How many orders are looked up by one call, their ids joined by commas. Unverified: whether the service takes more
    /// than one.
    pub at_once: u32,
    /// Where the list of orders stands in the answer, as a JSON pointer; empty for the answer itself.
    pub list: String,
    /// The store's order id within an order.
    pub order: String,
    /// WinThor's number within an order.
    pub number: String,
    /// The position within an order.
    pub position: String,
    /// The branch within an order.
    pub branch: String,
    /// The items within an order.
    pub items: String,
    /// The product within an item.
    pub product: String,
    /// The quantity in base units within an item.
    pub quantity: String,
    /// Positions in which WinThor has taken the goods out of its available stock.
    pub reserved_positions: Vec<String>,
    /// Positions in which the order is not there any more.
    pub canceled_positions: Vec<String>,
}

impl Default for OrdersConfig {
    fn default() -> Self {
        Self {
            path: "/api/wholesale/v1/orders/list?orderIdSeller={order}".into(),
            at_once: 1,
            list: "/items".into(),
            order: "/orderIdSeller".into(),
            number: "/orderId".into(),
            position: "/position".into(),
            branch: "/branchId".into(),
            items: "/items".into(),
            product: "/productId".into(),
            quantity: "/quantity".into(),
            reserved_positions: ["L", "M", "F"].map(String::from).into(),
            canceled_positions: vec!["C".into()],
        }
    }
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn log_in_path() -> String {
    "/winthor/autenticacao/v1/login".into()
}

fn page_size() -> u32 {
    1000
}

fn max_pages() -> u32 {
    1000
}

fn overlap() -> Span {
    Span::secs(300)
}

fn order_deadline() -> Span {
    Span::hours(4)
}

fn connect_timeout() -> Span {
    Span::secs(10)
}

fn read_timeout() -> Span {
    Span::secs(60)
}

/// Checks the section.
pub(super) fn check(check: &mut Check, config: &Config, winthor: &WinthorConfig) {
    if winthor.takes(WinthorRoad::Api) {
        services(check, winthor);
    }
    database(check, winthor);
    let mut fail = |key: &str, reason: String, hint: &str| check.fail(key, reason, hint);
    for (key, path) in [
        ("erp.winthor.login_path", &winthor.login_path),
        ("erp.winthor.orders.path", &winthor.orders.path),
    ] {
        if !path.starts_with('/') || path.chars().any(|c| c.is_whitespace() || c.is_control()) {
            fail(
                key,
                format!("{path:?} is no path"),
                "it begins with / and holds no blank",
            );
        }
    }
    if !winthor.orders.path.contains("{order}") {
        let hint = "it stands for the store's order id";
        fail("erp.winthor.orders.path", "holds no {order}".into(), hint);
    }
    if winthor.packaging_sales && winthor.sku_code == SkuCode::LastPart {
        let hint = "use product-id or bar-code, or set packaging_sales = false";
        fail(
            "erp.winthor.sku_code",
            "last-part does not tell packagings apart".into(),
            hint,
        );
    }
    let types = winthor.merchandise_types.split(',').map(str::trim);
    let plain = |kind: &str| kind.len() <= 2 && kind.bytes().all(|b| b.is_ascii_alphanumeric());
    if !winthor.merchandise_types.is_empty()
        && !types.clone().all(|kind| !kind.is_empty() && plain(kind))
    {
        let reason = format!("{:?} is no list of types", winthor.merchandise_types);
        fail(
            "erp.winthor.merchandise_types",
            reason,
            "one or two letters each, with commas",
        );
    }
    for warehouse in &config.warehouse {
        if warehouse.bases.len() != 1 {
            let reason = format!("of {} must name exactly one branch", warehouse.id);
            fail(
                "warehouse.bases",
                reason,
                "packagings share the stock of one branch",
            );
        }
    }
    if config.erp.reverse_on_cancel {
        let reason = "does nothing with WinThor, which releases canceled orders by itself";
        fail("erp.reverse_on_cancel", reason.into(), "leave it out");
    }
    for (key, value, least, most) in [
        ("erp.winthor.page_size", winthor.page_size, 1, 5000),
        ("erp.winthor.max_pages", winthor.max_pages, 1, 100_000),
        ("erp.winthor.first_page", winthor.first_page, 0, 1),
        ("erp.winthor.orders.at_once", winthor.orders.at_once, 1, 500),
    ] {
        if value < least || value > most {
            fail(
                key,
                format!("{value} is not between {least} and {most}"),
                "",
            );
        }
    }
}

/// The database, where it is asked.
fn database(check: &mut Check, winthor: &WinthorConfig) {
    let Some(sql) = &winthor.sql else {
        if winthor.takes(WinthorRoad::Sql) {
            check.fail(
                "erp.winthor.stock_source",
                "reads by SQL, and there is no section erp.winthor.sql",
                "",
            );
        }
        return;
    };
    for problem in sql.problems() {
        let key = format!("erp.winthor.sql.{}", problem.key);
        check.fail(&key, problem.problem, problem.hint);
    }
}

/// The services: their address, and what travels to it.
fn services(check: &mut Check, winthor: &WinthorConfig) {
    if winthor.user.trim().is_empty() || winthor.password.is_none() {
        let hint = "the services want a log-in";
        check.fail("erp.winthor.user", "and password must be given", hint);
    }
    match address(&winthor.url) {
        Err(reason) => check.fail("erp.winthor.url", reason, ""),
        Ok(a) if a.secure || is_loopback(a.host) => {}
        Ok(a) if winthor.allow_plain_http_for.as_deref() == Some(a.host) => check.warnings.push(format!(
            "the password's hash and the token travel unprotected to {}; keep it on a private network",
            a.host
        )),
        Ok(a) => check.fail(
            "erp.winthor.url",
            "is plain http: the password's hash would travel unprotected",
            format!(
                "set erp.winthor.allow_plain_http_for = {:?}, on a private network only",
                a.host
            ),
        ),
    }
}

/// Returns the section's waiting times with their bounds.
pub(super) fn spans(winthor: &WinthorConfig) -> [Bounds; 4] {
    let (s, h) = (Span::secs, Span::hours);
    [
        (
            "erp.winthor.connect_timeout",
            winthor.connect_timeout,
            s(1),
            s(60),
        ),
        (
            "erp.winthor.read_timeout",
            winthor.read_timeout,
            s(1),
            s(300),
        ),
        (
            "erp.winthor.changes_overlap",
            winthor.changes_overlap,
            s(0),
            h(24),
        ),
        (
            "erp.winthor.order_deadline",
            winthor.order_deadline,
            s(60),
            h(24 * 7),
        ),
    ]
}
