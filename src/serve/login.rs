//! The log-in of WinThor's services, for consumers of the stock API that know no other way to a token.
//!
//! Two clients of the vendor's interface send MD5 of the password in capitals, one MD5 of the password as it is; the fields
//! are `login` and `senha`, on one page of the vendor `username` and `password`. Each is taken. Whoever logs in is given
//! the configured token: there are no sessions, and a log-out ends nothing.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use md5::Md5;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::serve::Shared;
use crate::serve::stock::{denied, refusal, reply};

/// The largest body.
const MOST_BYTES: usize = 4 * 1024;

/// Who may log in.
pub struct LogIn {
    /// The user.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

#[derive(Deserialize)]
struct WireLogIn {
    #[serde(alias = "username")]
    login: String,
    #[serde(alias = "password")]
    senha: String,
}

/// Gives the token to whoever knows user and password.
pub(super) async fn log_in(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let api = shared.options.stock.as_ref();
    let login = api.and_then(|api| Some((api.tokens.first()?, api.login.as_ref()?)));
    let Some((token, known)) = login else {
        let why = "serve.stock_api.user is not set";
        return refusal(StatusCode::NOT_FOUND, "not configured", why);
    };
    let read = to_bytes(body, MOST_BYTES);
    let Ok(read) = tokio::time::timeout(shared.options.read_timeout, read).await else {
        let why = "the body took too long";
        return refusal(StatusCode::REQUEST_TIMEOUT, "no log-in", why);
    };
    let sent = read
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(sent) = sent else {
        let why = "the body is no {login, senha}, or longer than 4 KiB";
        return refusal(StatusCode::BAD_REQUEST, "no log-in", why);
    };
    let answer = if fits(known, &sent) {
        let body = json!({ "accessToken": token.expose_secret() });
        reply(StatusCode::OK, &body)
    } else {
        denied("user or password is wrong")
    };
    shared.counts.stock(answer.status());
    answer
}

/// Lets the token be: others use it too.
pub(super) async fn log_out() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Compares user and password in a time that tells nothing about them.
fn fits(known: &LogIn, sent: &WireLogIn) -> bool {
    let equal = |one: &str, other: &str| {
        let (one, other) = (Sha256::digest(one), Sha256::digest(other));
        one.as_slice().ct_eq(other.as_slice())
    };
    let password = known.password.expose_secret();
    let secret = sent.senha.as_str();
    let digits = |text: &str| -> String {
        let hash = Md5::digest(text.as_bytes());
        hash.iter().map(|byte| format!("{byte:02X}")).collect()
    };
    let hashed = secret.to_ascii_uppercase();
    let any: Choice = equal(&digits(&password.to_uppercase()), &hashed)
        | equal(&digits(password), &hashed)
        | equal(password, secret);
    (equal(&known.user, &sent.login) & any).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_log_in_is_taken_and_no_other_one() {
        let known = LogIn {
            user: "PANEL".into(),
            password: "Secreto-1234".to_owned().into(),
        };
        for (body, wanted) in [
            (r#"{"login":"PANEL","senha":"Secreto-1234"}"#, true),
            // MD5 of the password in capitals, and as it is.
            (r#"{"login":"PANEL","senha":"UPPER"}"#, true),
            (r#"{"username":"PANEL","password":"UPPER"}"#, true),
            (r#"{"login":"PANEL","senha":"plain"}"#, true),
            (r#"{"login":"PANEL","senha":""}"#, false),
            (r#"{"login":"PANEL","senha":"SECRETO-1234"}"#, false),
            (r#"{"login":"panel","senha":"Secreto-1234"}"#, false),
            (r#"{"login":"","senha":"UPPER"}"#, false),
        ] {
            let upper = format!("{:X}", Md5::digest(b"SECRETO-1234"));
            let plain = format!("{:x}", Md5::digest(b"Secreto-1234"));
            let body = body.replace("UPPER", &upper).replace("plain", &plain);
            let sent: WireLogIn = serde_json::from_str(&body).unwrap();
            assert_eq!(fits(&known, &sent), wanted, "{body}");
        }
        assert!(serde_json::from_str::<WireLogIn>(r#"{"login":"PANEL"}"#).is_err());
    }
}
