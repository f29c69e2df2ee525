//! The read-only probes of `doctor`.

use serde_json::Value;

use crate::adapters::dragonfish::Dragonfish;
use crate::adapters::dragonfish::session::{Get, encoded};
use crate::adapters::dragonfish::wire::{page, text};
use crate::adapters::http::text::one_line;
use crate::domain::ids::BaseCode;
use crate::domain::ports::{Check, CheckOutcome, Checks, PortError, PortResult};

impl Checks for Dragonfish<'_> {
    fn checks(&self) -> Vec<Check> {
        let mut checks = vec![self.transport(), self.token(), self.version()];
        let log_in = self.log_in();
        let open = log_in.outcome == CheckOutcome::Ok;
        checks.push(log_in);
        if open {
            checks.push(self.code_exists("erp.origin", "Origendedatos", Some(&self.config.origin)));
            checks.push(self.motive());
            checks.push(self.seller());
            checks.extend(self.rules.bases.iter().map(|base| self.base(base)));
            if !self.rules.bases.contains(self.depot) {
                checks.push(self.base(self.depot));
            }
        } else {
            for name in ["erp.origin", "erp.motive", "erp.seller", "erp.base"] {
                checks.push(Check::new(
                    name,
                    CheckOutcome::Skipped,
                    "the log-in did not work",
                ));
            }
        }
        if let Some(sql) = &self.sql {
            checks.extend(sql.checks(&self.rules.bases));
        }
        checks.push(invoice_question());
        checks
    }
}

impl Dragonfish<'_> {
    fn transport(&self) -> Check {
        let name = "erp.transport";
        if self.config.url.to_ascii_lowercase().starts_with("https://") {
            return Check::new(name, CheckOutcome::Ok, "encrypted");
        }
        Check::new(
            name,
            CheckOutcome::Warn,
            "plain HTTP: whoever is on the way reads the token and can use it",
        )
        .hint("run on the ERP's own machine, or go through WireGuard, stunnel or SSH")
    }

    fn token(&self) -> Check {
        let name = "erp.token";
        let now = self.session.now();
        let Some(end) = self.session.token_end() else {
            return Check::new(
                name,
                CheckOutcome::Warn,
                "the token does not say when it ends",
            );
        };
        let hint = "make a new one: Cliente REST API > Acciones > Obtener Token";
        let left_ms = end.ms_since(now);
        let days = left_ms.div_euclid(86_400_000);
        if left_ms <= 0 {
            return Check::new(
                name,
                CheckOutcome::Fail,
                format!("the token ended at {end}"),
            )
            .hint(hint);
        }
        let detail = format!("the token ends at {end}, in {days} days");
        if left_ms <= self.config.token_warning.ms() {
            return Check::new(name, CheckOutcome::Warn, detail).hint(hint);
        }
        Check::new(name, CheckOutcome::Ok, detail)
    }

    fn version(&self) -> Check {
        let name = "erp.version";
        match self.session.version() {
            Ok(Some(version)) => Check::new(name, CheckOutcome::Ok, format!("version {version}")),
            Ok(None) => Check::new(
                name,
                CheckOutcome::Warn,
                "the service does not tell its version",
            ),
            Err(err) => failed(name, &err),
        }
    }

    /// Logs in and reads one article: the cheapest proof that the credentials are good.
    fn log_in(&self) -> Check {
        let name = "erp.log-in";
        let probe = self
            .session
            .log_in()
            .and_then(|()| self.first_article(None));
        match probe {
            Ok(Some(_)) => Check::new(name, CheckOutcome::Ok, "logged in, articles can be read"),
            Ok(None) => Check::new(
                name,
                CheckOutcome::Ok,
                "logged in, the default base has no article",
            ),
            Err(err) => failed(name, &err),
        }
    }

    /// Looks up a configured code.
    fn code_exists(&self, name: &str, entity: &str, code: Option<&str>) -> Check {
        let Some(code) = code else {
            return Check::new(name, CheckOutcome::Skipped, "none is configured");
        };
        match self.record(entity, code) {
            Ok(Some(record)) => {
                let what = text(&record, "Descripcion").unwrap_or_default();
                Check::new(
                    name,
                    CheckOutcome::Ok,
                    format!("{code} exists: {}", one_line(&what, 60)),
                )
            }
            Ok(None) => Check::new(
                name,
                CheckOutcome::Fail,
                format!("{entity} has no code {code}"),
            )
            .hint(
                "movements would be refused; create it in Dragonfish or correct the configuration",
            ),
            Err(err) => failed(name, &err),
        }
    }

    fn motive(&self) -> Check {
        let motive = self.config.motive.as_deref();
        let mut check = self.code_exists("erp.motive", "Motivo", motive);
        let Some(motive) = motive.filter(|_| check.outcome == CheckOutcome::Ok) else {
            return check;
        };
        // Unverified: how the record names its flag "genera asiento"; any member of such a name is taken for it.
        let record = self.record("Motivo", motive).ok().flatten();
        let flag = record
            .as_ref()
            .and_then(Value::as_object)
            .and_then(|members| {
                let named = |name: &&String| name.to_lowercase().contains("asiento");
                members
                    .keys()
                    .find(named)
                    .and_then(|name| members.get(name))
            });
        match flag.and_then(Value::as_bool) {
            Some(true) => {
                check.outcome = CheckOutcome::Warn;
                check
                    .detail
                    .push_str("; it books an accounting entry with every movement");
                check.hint(
                    "ask the accountant whether the sale's invoice books the same entry again",
                )
            }
            Some(false) => {
                check.detail.push_str("; it books no accounting entry");
                check
            }
            None => {
                check
                    .detail
                    .push_str("; the record does not tell whether it books an accounting entry");
                check
            }
        }
    }

    fn seller(&self) -> Check {
        let seller = self.config.seller.as_deref();
        let check = self.code_exists("erp.seller", "Vendedor", seller);
        let Some(seller) = seller.filter(|_| check.outcome == CheckOutcome::Ok) else {
            return check;
        };
        // Unverified: how the record says that a seller is not active.
        let record = self.record("Vendedor", seller).ok().flatten();
        let inactive = record.as_ref().is_some_and(|record| {
            record
                .get("InactivoFW")
                .or_else(|| record.get("Inactivo"))
                .and_then(Value::as_bool)
                == Some(true)
                || record.get("Activo").and_then(Value::as_bool) == Some(false)
        });
        if !inactive {
            return check;
        }
        Check::new(
            "erp.seller",
            CheckOutcome::Fail,
            format!("seller {seller} is not active"),
        )
        .hint("movements would be refused; activate the seller or configure another")
    }

    fn base(&self, base: &BaseCode) -> Check {
        let name = format!("erp.base.{base}");
        match self.first_article(Some(base)) {
            Ok(Some(_)) => Check::new(&name, CheckOutcome::Ok, "answers"),
            Ok(None) => Check::new(&name, CheckOutcome::Warn, "answers, and has no article")
                .hint("check the base's code"),
            Err(err) => failed(&name, &err),
        }
    }

    /// Reads the record of one code; its key is part of the address.
    fn record(&self, entity: &str, code: &str) -> PortResult<Option<Value>> {
        let path = format!("{entity}/{}", encoded(code.trim()));
        let get = self.get(entity, &path, Vec::new(), None);
        let Some(body) = self.session.get(&get)? else {
            return Ok(None);
        };
        let same = |row: &Value| {
            text(row, "Codigo").is_ok_and(|found| found.trim().eq_ignore_ascii_case(code.trim()))
        };
        if same(&body) {
            return Ok(Some(body));
        }
        Ok(page(body).unwrap_or_default().rows.into_iter().find(same))
    }

    /// Reads the first article of a base: the cheapest call that needs the credentials.
    fn first_article(&self, base: Option<&BaseCode>) -> PortResult<Option<Value>> {
        let query = vec![("limit", "1".to_owned()), ("page", "1".to_owned())];
        let get = self.get("Articulo", "Articulo", query, base);
        let Some(body) = self.session.get(&get)? else {
            return Ok(None);
        };
        let listed =
            page(body).map_err(|why| PortError::rejected(format!("read Articulo: {why}")))?;
        Ok(listed.rows.into_iter().next())
    }

    fn get<'g>(
        &self,
        entity: &str,
        path: &'g str,
        query: Vec<(&'static str, String)>,
        base: Option<&'g BaseCode>,
    ) -> Get<'g> {
        Get {
            name: "read",
            about: entity.to_owned(),
            path,
            query,
            base,
            timeout: self.config.read_timeout.duration(),
        }
    }
}

fn failed(name: &str, err: &PortError) -> Check {
    Check::new(name, CheckOutcome::Fail, err.to_string())
}

/// What no call can tell: whether the shop's own invoice moves the stock a second time.
fn invoice_question() -> Check {
    Check::new(
        "erp.invoice",
        CheckOutcome::Warn,
        "not visible from here: whether the document the shop invoices a web sale with moves stock by itself",
    )
    .hint("ask whoever invoices; if it does, every sale would leave the stock twice")
}
