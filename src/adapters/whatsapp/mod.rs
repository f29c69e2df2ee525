//! Notices by WhatsApp, through Meta's Cloud API: one approved template to one number.
//!
//! The API has no key by which a second message could be recognised, so whatever came after the first byte and is no
//! clear answer is uncertain. Free text reaches a person only within a day of the last word from there; it is never
//! used.
//!
//! `Unverified:` the error codes are those of the API's public reference; none was seen from a live account.

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use crate::adapters::http::client::{Answer, HttpClient, HttpOptions, Request};
use crate::adapters::http::text::one_line;
use crate::adapters::mail::render::Templates;
use crate::adapters::mail::samples;
use crate::config::channels::{WhatsappConfig, WhatsappTemplate};
use crate::domain::notice::{Notice, NoticeKind};
use crate::domain::ports::{Check, CheckOutcome, Checks, Notifier, PortError, PortResult};

/// The longest parameter. `Unverified:` the API's own limit is on the whole body, 1024 characters for most templates.
const LONGEST_PARAMETER: usize = 900;

/// Notices to one WhatsApp number.
pub struct Whatsapp {
    name: String,
    client: HttpClient,
    path: String,
    to: String,
    token: SecretString,
    config: WhatsappConfig,
    texts: Templates,
}

impl Whatsapp {
    /// Builds the channel; connects to nothing.
    ///
    /// # Errors
    ///
    /// A sentence that names what cannot be used.
    pub fn new(
        name: &str,
        config: &WhatsappConfig,
        token: SecretString,
        texts: Templates,
    ) -> Result<Self, String> {
        let client = HttpClient::new(
            &config.api_url,
            HttpOptions {
                connect_timeout: config.timeout.duration(),
                total_timeout: config.timeout.duration(),
                ca_file: None,
                keep_alive: false,
                allow_local_addresses: false,
            },
        )
        .map_err(|err| format!("channel {name}: whatsapp.api_url: {err}"))?;
        Ok(Self {
            name: name.to_owned(),
            client,
            path: format!("/{}/messages", config.phone_number_id),
            to: config.to.trim_start_matches('+').to_owned(),
            token,
            config: config.clone(),
            texts,
        })
    }

    /// Renders every kind's parameters with sample contents.
    ///
    /// # Errors
    ///
    /// A sentence that names the parameter.
    pub fn check_templates(
        name: &str,
        config: &WhatsappConfig,
        texts: &Templates,
    ) -> Result<(), String> {
        for notice in samples::notices() {
            let template = template(config, notice.kind)
                .ok_or_else(|| format!("channel {name}: whatsapp.template.default is missing"))?;
            parameters(name, template, texts, &notice)?;
        }
        Ok(())
    }

    fn body(&self, notice: &Notice) -> Result<Vec<u8>, String> {
        let template = template(&self.config, notice.kind)
            .ok_or("no template of this channel is for this kind")?;
        let parameters = parameters(&self.name, template, &self.texts, notice)?;
        let parameters: Vec<_> = parameters
            .iter()
            .map(|text| json!({ "type": "text", "text": text }))
            .collect();
        let components = if parameters.is_empty() {
            json!([])
        } else {
            json!([{ "type": "body", "parameters": parameters }])
        };
        let message = json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": self.to,
            "type": "template",
            "template": {
                "name": template.name,
                "language": { "code": template.language },
                "components": components,
            },
            "biz_opaque_callback_data": notice.key,
        });
        Ok(message.to_string().into_bytes())
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let bearer = format!("Bearer {}", self.token.expose_secret());
        let mut bearer = HeaderValue::try_from(bearer)
            .map_err(|_| "the token holds what no header may".to_owned())?;
        bearer.set_sensitive(true);
        Ok(HeaderMap::from_iter([
            (AUTHORIZATION, bearer),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ]))
    }
}

impl Notifier for Whatsapp {
    fn send(&self, notice: &Notice) -> PortResult<()> {
        let request = Request {
            name: "send WhatsApp message",
            about: notice.key.clone(),
            method: Method::POST,
            url: self.client.url(&self.path).map_err(PortError::rejected)?,
            headers: self.headers().map_err(PortError::denied)?,
            body: Some(self.body(notice).map_err(PortError::rejected)?),
            timeout: None,
        };
        match self.client.execute(request) {
            Ok(answer) => judge(&answer),
            Err(err) => Err(err.of_write(err.to_string())),
        }
    }
}

impl Checks for Whatsapp {
    fn checks(&self) -> Vec<Check> {
        let name = format!("channel {}", self.name);
        let detail = format!(
            "WhatsApp template messages by {}; nothing was sent",
            self.client.host()
        );
        vec![Check::new(&name, CheckOutcome::Ok, detail).hint(format!(
            "try it: stockbridge notify --test remito --channel {}",
            self.name
        ))]
    }
}

fn template(config: &WhatsappConfig, kind: NoticeKind) -> Option<&WhatsappTemplate> {
    let of_kind = config.template.get(kind.as_str());
    of_kind.or_else(|| config.template.get("default"))
}

fn parameters(
    channel: &str,
    template: &WhatsappTemplate,
    texts: &Templates,
    notice: &Notice,
) -> Result<Vec<String>, String> {
    let sources = template.parameters.iter().enumerate();
    let filled = sources.map(|(n, source)| {
        let name = format!(
            "channel {channel}: template {} parameter {}",
            template.name,
            n + 1
        );
        let text = texts
            .phrase(&name, source, notice)
            .map_err(|err| err.to_string())?;
        // The first parameter is the one that people read first.
        let mark = if n == 0 && notice.maybe_duplicate {
            texts.duplicate_mark()
        } else {
            ""
        };
        Ok(parameter(&format!("{mark}{text}")))
    });
    filled.collect()
}

/// Makes a text one that the API takes: no line break, no tab, never more than one blank in a row, never empty.
fn parameter(text: &str) -> String {
    let line = one_line(text, LONGEST_PARAMETER);
    if line.is_empty() {
        return "-".to_owned();
    }
    line
}

#[derive(Deserialize)]
struct Accepted {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    id: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: ErrorObject,
}

#[derive(Deserialize)]
struct ErrorObject {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    error_data: Option<ErrorData>,
}

#[derive(Deserialize)]
struct ErrorData {
    #[serde(default)]
    details: String,
}

/// Sorts an answer. A refusal is believed only with the API's own error object: a proxy's page proves nothing.
fn judge(answer: &Answer) -> PortResult<()> {
    if answer.is_success() {
        let accepted = serde_json::from_slice::<Accepted>(&answer.body);
        return match accepted {
            Ok(accepted) if accepted.messages.iter().any(|m| !m.id.is_empty()) => Ok(()),
            Ok(_) | Err(_) => Err(PortError::uncertain(format!(
                "answer {} names no message",
                answer.status
            ))),
        };
    }
    let Ok(Refusal { error }) = serde_json::from_slice::<Refusal>(&answer.body) else {
        return Err(match answer.status {
            401 | 403 => PortError::denied(format!("answer {}", answer.status)),
            429 => PortError::transient("too many requests"),
            status => PortError::uncertain(format!("answer {status} without an error object")),
        });
    };
    let details = error
        .error_data
        .map(|data| data.details)
        .unwrap_or_default();
    let reason = format!(
        "code {}: {} {}",
        error.code,
        one_line(&error.message, 200),
        one_line(&details, 200)
    );
    let reason = reason.trim_end().to_owned();
    Err(match (error.code, answer.status) {
        // Token expired, revoked or without the right.
        (0 | 3 | 10 | 190 | 200..=299, 400..=499) | (_, 401 | 403) => PortError::denied(reason),
        // Rate limits of the application, the account, the number and the pair.
        (4 | 80007 | 130_429 | 131_048 | 131_056 | 133_016, _) | (_, 429) => {
            PortError::transient(reason)
        }
        (_, 400..=499) => PortError::rejected(reason),
        _ => PortError::uncertain(reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> PortResult<()> {
        judge(&Answer {
            status,
            reason_phrase: String::new(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        })
    }

    #[test]
    fn t6_parameters_hold_no_break_no_tab_no_row_of_blanks_and_are_never_empty() {
        assert_eq!(parameter("a\nb\tc     d\u{202e}e"), "a b c de");
        assert_eq!(parameter(" \n "), "-");
        assert!(parameter(&"x".repeat(10_000)).chars().count() <= LONGEST_PARAMETER + 1);
    }

    #[test]
    fn every_answer_is_one_decision() {
        let error = |code: i64| format!("{{\"error\":{{\"code\":{code},\"message\":\"no\"}}}}");
        assert_eq!(answer(200, r#"{"messages":[{"id":"wamid.1"}]}"#), Ok(()));
        for unclear in [
            answer(200, r#"{"messages":[]}"#),
            answer(200, "<html>"),
            answer(500, &error(131_000)),
            answer(502, "<html>"),
            answer(404, "<html>"),
        ] {
            assert!(
                matches!(unclear, Err(PortError::Uncertain { .. })),
                "{unclear:?}"
            );
        }
        for denied in [
            answer(401, &error(190)),
            answer(400, &error(10)),
            answer(403, ""),
        ] {
            assert!(
                matches!(denied, Err(PortError::Denied { .. })),
                "{denied:?}"
            );
        }
        for later in [answer(400, &error(131_056)), answer(429, "")] {
            assert!(
                matches!(later, Err(PortError::Transient { .. })),
                "{later:?}"
            );
        }
        for refused in [answer(400, &error(131_026)), answer(404, &error(132_001))] {
            assert!(
                matches!(refused, Err(PortError::Rejected { .. })),
                "{refused:?}"
            );
        }
    }
}
