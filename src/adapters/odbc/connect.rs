//! The connection string: the one place where attributes are put together and escaped.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// Who logs in.
pub enum Login {
    /// A login of the server.
    Sql {
        /// Its name.
        user: String,
        /// Its password.
        password: SecretString,
    },
    /// The account this process runs under (Windows, or Kerberos).
    Integrated,
}

/// What a connection string is made of.
pub struct Target {
    /// A driver's registered name, or the absolute path of its library.
    pub driver: String,
    /// `host`, `host\instance` or `host,port`.
    pub server: String,
    /// Who logs in.
    pub login: Login,
    /// Whether the connection must be encrypted.
    pub encrypt: bool,
    /// Whether any certificate is good enough.
    pub trust_certificate: bool,
    /// A connection string that takes the place of everything above but a password.
    pub verbatim: Option<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("driver", &self.driver)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Tells whether the driver is FreeTDS, which names some attributes otherwise and checks no certificate.
    pub fn is_freetds(&self) -> bool {
        let named = self.verbatim.as_deref().unwrap_or(&self.driver);
        let named = named.to_ascii_lowercase();
        named.contains("freetds") || named.contains("tdsodbc")
    }

    /// Returns the connection string for one database, or for the login's own when none is named.
    ///
    /// # Errors
    ///
    /// A sentence that names the attribute which cannot be written; never its value.
    pub fn string(&self, database: Option<&str>) -> Result<SecretString, String> {
        let mut text = match &self.verbatim {
            Some(verbatim) => self.verbatim(verbatim, database)?,
            None => self.composed()?,
        };
        if let Some(database) = database {
            self.put(&mut text, "Database", database)?;
        }
        Ok(text.into())
    }

    fn verbatim(&self, verbatim: &str, database: Option<&str>) -> Result<String, String> {
        // The statements name no database: which base is read is said here and nowhere else.
        let mut text = without_password(verbatim, |key| {
            database.is_some() && matches!(key, "database" | "initial catalog")
        })?;
        if let Login::Sql { user, password } = &self.login {
            if !user.is_empty() {
                self.put(&mut text, "UID", user)?;
            }
            self.put(&mut text, "PWD", password.expose_secret())?;
        }
        Ok(text)
    }

    fn composed(&self) -> Result<String, String> {
        let freetds = self.is_freetds();
        let mut text = String::new();
        self.put(&mut text, "Driver", &self.driver)?;
        let yes_no = |yes: bool| if yes { "yes" } else { "no" };
        match self.server.rsplit_once(',') {
            Some((host, port)) if freetds => {
                self.put(&mut text, "Server", host.trim())?;
                self.put(&mut text, "Port", port.trim())?;
            }
            Some(_) | None => self.put(&mut text, "Server", &self.server)?,
        }
        if freetds {
            // Without the character set every accent comes back as a replacement character.
            self.put(&mut text, "ClientCharset", "UTF-8")?;
            self.put(&mut text, "TDS_Version", "7.4")?;
            let encryption = if self.encrypt { "require" } else { "request" };
            self.put(&mut text, "Encryption", encryption)?;
        } else {
            self.put(&mut text, "Encrypt", yes_no(self.encrypt))?;
            let trust = yes_no(self.trust_certificate);
            self.put(&mut text, "TrustServerCertificate", trust)?;
            // For the server's list of connections. Never a read-only copy: it lags behind what was just booked.
            self.put(&mut text, "APP", "stockbridge")?;
        }
        match &self.login {
            Login::Sql { user, password } => {
                self.put(&mut text, "UID", user)?;
                self.put(&mut text, "PWD", password.expose_secret())?;
            }
            Login::Integrated => self.put(&mut text, "Trusted_Connection", "yes")?,
        }
        Ok(text)
    }

    fn put(&self, text: &mut String, key: &str, value: &str) -> Result<(), String> {
        if value.contains('}') && self.is_freetds() {
            // `Unverified:` FreeTDS ends a braced value at the first brace and knows no doubled one.
            return Err(format!(
                "the attribute {key} holds a }}, which FreeTDS cannot take"
            ));
        }
        attribute(text, key, value)
    }
}

/// What the connection string of an Oracle database is made of.
pub struct OracleTarget {
    /// A driver's registered name, or the absolute path of its library.
    pub driver: String,
    /// A TNS name, or `//host:1521/service`.
    pub dbq: String,
    /// Who logs in; may be empty where the connection string says it.
    pub user: String,
    /// The password; without one the driver logs in by itself (a wallet).
    pub password: Option<SecretString>,
    /// Bytes that the driver fetches at once.
    pub fetch_buffer: u32,
    /// A connection string that takes the place of driver, name and buffer.
    pub verbatim: Option<String>,
}

impl fmt::Debug for OracleTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OracleTarget")
            .field("driver", &self.driver)
            .field("dbq", &self.dbq)
            .finish_non_exhaustive()
    }
}

impl OracleTarget {
    /// Returns the connection string.
    ///
    /// # Errors
    ///
    /// A sentence that names the attribute which cannot be written; never its value.
    pub fn string(&self) -> Result<SecretString, String> {
        let mut text = match &self.verbatim {
            Some(verbatim) => without_password(verbatim, |_| false)?,
            None => {
                let mut text = String::new();
                attribute(&mut text, "Driver", &self.driver)?;
                attribute(&mut text, "DBQ", &self.dbq)?;
                attribute(&mut text, "FBS", &self.fetch_buffer.to_string())?;
                text
            }
        };
        if !self.user.is_empty() {
            attribute(&mut text, "UID", &self.user)?;
        }
        if let Some(password) = &self.password {
            attribute(&mut text, "PWD", password.expose_secret())?;
        }
        Ok(text.into())
    }
}

/// Writes one attribute, its value in braces where it holds anything but plain characters.
fn attribute(text: &mut String, key: &str, value: &str) -> Result<(), String> {
    if value.chars().any(char::is_control) {
        return Err(format!("the attribute {key} holds a control character"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || ".,\\/:_-".contains(c);
    text.push_str(key);
    text.push('=');
    if value.chars().all(plain) && !value.is_empty() {
        text.push_str(value);
    } else {
        text.push('{');
        text.push_str(&value.replace('}', "}}"));
        text.push('}');
    }
    text.push(';');
    Ok(())
}

/// Returns an operator's own connection string without the attributes that `leave_out` names, ending in a semicolon.
fn without_password(verbatim: &str, leave_out: impl Fn(&str) -> bool) -> Result<String, String> {
    let mut text = String::new();
    for (key, whole) in attributes(verbatim)? {
        if matches!(key.as_str(), "pwd" | "password") {
            return Err(
                "a connection string must not hold a password; hint: give it as a secret".into(),
            );
        }
        if !leave_out(&key) {
            text.push_str(&whole);
            text.push(';');
        }
    }
    Ok(text)
}

/// Splits a connection string into its attributes: the key in lower case, and the whole attribute as written.
fn attributes(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .ok_or("the connection string is not a list of KEY=VALUE;")?;
        let length = if after.starts_with('{') {
            braced(after).ok_or("a brace is left open in the connection string")?
        } else {
            after.find(';').unwrap_or(after.len())
        };
        let whole = format!("{}={}", key.trim(), &after[..length]);
        found.push((key.trim().to_ascii_lowercase(), whole));
        rest = after[length..]
            .trim_start()
            .trim_start_matches(';')
            .trim_start();
    }
    Ok(found)
}

/// Returns the length of a braced value, a doubled closing brace being part of it.
fn braced(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'}', Some(b'}')) => at += 2,
            (b'}', _) => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(driver: &str, password: &str) -> Target {
        Target {
            driver: driver.into(),
            server: "erp.local,1433".into(),
            login: Login::Sql {
                user: "reader".into(),
                password: password.to_owned().into(),
            },
            encrypt: true,
            trust_certificate: false,
            verbatim: None,
        }
    }

    fn string(target: &Target, database: Option<&str>) -> String {
        target.string(database).unwrap().expose_secret().to_owned()
    }

    #[test]
    fn a_value_cannot_add_an_attribute() {
        let target = target("ODBC Driver 18 for SQL Server", "a;Database=x}b");
        assert_eq!(
            string(&target, Some("DRAGONFISH_LA PLATA")),
            "Driver={ODBC Driver 18 for SQL Server};Server=erp.local,1433;Encrypt=yes;TrustServerCertificate=no;\
             APP=stockbridge;UID=reader;PWD={a;Database=x}}b};Database={DRAGONFISH_LA PLATA};"
        );
        assert!(!format!("{target:?}").contains("Database=x"));
    }

    #[test]
    fn freetds_gets_its_own_names_and_refuses_what_it_cannot_read() {
        let text = string(&target("/opt/libtdsodbc.so", "p w"), None);
        assert_eq!(
            text,
            "Driver=/opt/libtdsodbc.so;Server=erp.local;Port=1433;ClientCharset=UTF-8;TDS_Version=7.4;\
             Encryption=require;UID=reader;PWD={p w};"
        );
        let err = target("FreeTDS", "sec}ret").string(None).unwrap_err();
        assert!(err.contains("PWD") && !err.contains("sec"), "{err}");
    }

    #[test]
    fn a_verbatim_string_keeps_its_words_but_names_neither_base_nor_password() {
        let mut target = target("unused", "pw");
        target.login = Login::Integrated;
        target.verbatim = Some(
            r"DRIVER={ODBC Driver 17 for SQL Server};SERVER=host\zoo2025;DATABASE=master;Trusted_Connection=yes;".into(),
        );
        assert_eq!(
            string(&target, Some("DRAGONFISH_WOO")),
            r"DRIVER={ODBC Driver 17 for SQL Server};SERVER=host\zoo2025;Trusted_Connection=yes;Database=DRAGONFISH_WOO;"
        );
        assert!(string(&target, None).contains("DATABASE=master;"));
        target.verbatim = Some("DRIVER={x;PWD=y};UID=u; Pwd = {a}}b};".into());
        assert!(target.string(None).unwrap_err().contains("password"));
        target.verbatim = Some("DRIVER={x".into());
        assert!(target.string(None).is_err());
    }

    #[test]
    fn an_oracle_database_is_named_and_its_password_cannot_add_an_attribute() {
        let mut target = OracleTarget {
            driver: "Oracle 19 ODBC driver".into(),
            dbq: "//erp.local:1521/WINT".into(),
            user: "reader".into(),
            password: Some("a;DBQ=x}b".to_owned().into()),
            fetch_buffer: 60_000,
            verbatim: None,
        };
        let text = |target: &OracleTarget| target.string().unwrap().expose_secret().to_owned();
        assert_eq!(
            text(&target),
            "Driver={Oracle 19 ODBC driver};DBQ=//erp.local:1521/WINT;FBS=60000;UID=reader;PWD={a;DBQ=x}}b};"
        );
        assert!(!format!("{target:?}").contains("DBQ=x"));
        target.verbatim = Some("DSN=winthor;BNF=T".into());
        assert_eq!(
            text(&target),
            "DSN=winthor;BNF=T;UID=reader;PWD={a;DBQ=x}}b};"
        );
        target.verbatim = Some("DSN=winthor;PWD=x".into());
        assert!(target.string().unwrap_err().contains("password"));
        target.verbatim = None;
        target.dbq = "x\ny".into();
        assert!(target.string().unwrap_err().contains("DBQ"));
    }
}
