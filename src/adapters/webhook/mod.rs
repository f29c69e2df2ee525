//! Notices as a POST of JSON, signed, in the form that the other side expects.
//!
//! | answer | outcome |
//! |---|---|
//! | not connected | transient |
//! | 2xx | delivered |
//! | 401, 403 | denied |
//! | 429 | transient |
//! | another 3xx or 4xx (a redirect is never followed), 501 | rejected |
//! | 408, another 5xx, no whole answer | uncertain |

use std::time::Duration;

use hmac::{Hmac, Mac};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::adapters::http::client::{Answer, HttpClient, HttpOptions, Request};
use crate::adapters::http::text::one_line;
use crate::adapters::mail::render::{Rendered, Templates};
use crate::adapters::mail::samples;
use crate::config::channels::{Preset, WebhookConfig};
use crate::domain::notice::Notice;
use crate::domain::ports::{Check, CheckOutcome, Checks, Clock, Notifier, PortError, PortResult};

/// The longest text in a chat message; Telegram refuses more than 4096 characters.
const LONGEST_TEXT: usize = 3500;
/// The longest wait that an answer may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The secrets of a webhook.
#[derive(Default)]
pub struct Secrets {
    /// The address, where it is one.
    pub url: Option<SecretString>,
    /// What bodies are signed with.
    pub signing_key: Option<SecretString>,
    /// The bearer token.
    pub token: Option<SecretString>,
}

/// Notices to one web address.
pub struct Webhook<'a> {
    name: String,
    client: HttpClient,
    config: WebhookConfig,
    secrets: Secrets,
    texts: Templates,
    clock: &'a dyn Clock,
}

impl<'a> Webhook<'a> {
    /// Builds the channel; connects to nothing.
    ///
    /// # Errors
    ///
    /// A sentence that names what cannot be used, never the secret part of an address.
    pub fn new(
        name: &str,
        config: &WebhookConfig,
        secrets: Secrets,
        texts: Templates,
        clock: &'a dyn Clock,
    ) -> Result<Self, String> {
        let url = match (&secrets.url, &config.url) {
            (Some(url), _) => url.expose_secret(),
            (None, Some(url)) => url.as_str(),
            (None, None) => return Err(format!("channel {name}: webhook.url is missing")),
        };
        let client = HttpClient::new(
            url,
            HttpOptions {
                connect_timeout: config.timeout.duration(),
                total_timeout: config.timeout.duration(),
                ca_file: config.ca_file.clone(),
                keep_alive: false,
                allow_local_addresses: config.allow_local,
            },
        )
        .map_err(|err| format!("channel {name}: webhook.url: {err}"))?;
        let local = client.base().host_str().is_some_and(|host| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let ip = host.parse::<std::net::IpAddr>();
            host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
        });
        if client.base().scheme() != "https" && !local {
            return Err(format!(
                "channel {name}: webhook.url must begin with https://"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            client,
            config: config.clone(),
            secrets,
            texts,
            clock,
        })
    }

    /// Builds every kind's body with sample contents.
    ///
    /// # Errors
    ///
    /// A sentence that names the template.
    pub fn check_templates(
        name: &str,
        config: &WebhookConfig,
        texts: &Templates,
    ) -> Result<(), String> {
        for notice in samples::notices() {
            body(name, config, texts, &notice)?;
        }
        Ok(())
    }

    fn headers(&self, body: &[u8], key: &str) -> Result<HeaderMap, String> {
        let value = |text: &str| {
            HeaderValue::try_from(text).map_err(|_| "a value that no header may hold".to_owned())
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HeaderName::from_static("idempotency-key"), value(key)?);
        if let Some(token) = &self.secrets.token {
            let mut bearer = value(&format!("Bearer {}", token.expose_secret()))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        if let Some(key) = &self.secrets.signing_key {
            let timestamp = (self.clock.now().0 / 1000).to_string();
            let signature = sign(key.expose_secret().as_bytes(), &timestamp, body)?;
            headers.insert(
                HeaderName::from_static("x-stockbridge-timestamp"),
                value(&timestamp)?,
            );
            headers.insert(
                HeaderName::from_static("x-stockbridge-signature"),
                value(&format!("v1={signature}"))?,
            );
        }
        Ok(headers)
    }
}

/// Returns HMAC-SHA256 over `timestamp`, a dot and the body, in hexadecimal.
fn sign(key: &[u8], timestamp: &str, body: &[u8]) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|err| err.to_string())?;
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let tag = mac.finalize().into_bytes();
    Ok(tag.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Notifier for Webhook<'_> {
    fn send(&self, notice: &Notice) -> PortResult<()> {
        let body =
            body(&self.name, &self.config, &self.texts, notice).map_err(PortError::rejected)?;
        let request = Request {
            name: "send webhook",
            about: notice.key.clone(),
            method: Method::POST,
            url: self.client.base().clone(),
            headers: self
                .headers(&body, &notice.key)
                .map_err(PortError::denied)?,
            body: Some(body),
            timeout: None,
        };
        match self.client.execute(request) {
            Ok(answer) => judge(&answer),
            Err(err) => Err(err.of_write(err.to_string())),
        }
    }
}

impl Checks for Webhook<'_> {
    fn checks(&self) -> Vec<Check> {
        let name = format!("channel {}", self.name);
        let signed = match self.secrets.signing_key {
            Some(_) => "signed",
            None => "not signed",
        };
        let detail = format!(
            "posts to {}, {signed}; nothing was sent",
            self.client.host()
        );
        vec![Check::new(&name, CheckOutcome::Ok, detail).hint(format!(
            "try it: stockbridge notify --test remito --channel {}",
            self.name
        ))]
    }
}

/// Sorts an answer; the other side's text is not repeated, since some echo what they were sent.
fn judge(answer: &Answer) -> PortResult<()> {
    let reason = format!(
        "answer {} {}",
        answer.status,
        one_line(&answer.reason_phrase, 60)
    );
    match answer.status {
        200..=299 => Ok(()),
        401 | 403 => Err(PortError::denied(reason)),
        429 => Err(PortError::Transient {
            reason,
            retry_after: answer
                .header("retry-after")
                .and_then(|text| text.trim().parse().ok())
                .map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT)),
        }),
        408 => Err(PortError::uncertain(reason)),
        300..=499 | 501 => Err(PortError::rejected(reason)),
        _ => Err(PortError::uncertain(reason)),
    }
}

fn body(
    channel: &str,
    config: &WebhookConfig,
    texts: &Templates,
    notice: &Notice,
) -> Result<Vec<u8>, String> {
    if let Some(source) = &config.body {
        let name = format!("channel {channel}: webhook.body.json");
        let text = texts
            .phrase(&name, source, notice)
            .map_err(|err| err.to_string())?;
        serde_json::from_str::<serde::de::IgnoredAny>(&text)
            .map_err(|err| format!("{name} does not become JSON: {err}"))?;
        return Ok(text.into_bytes());
    }
    let rendered = texts.render(notice).map_err(|err| err.to_string())?;
    let to = config.to.as_deref().unwrap_or_default();
    let body = match config.preset {
        Preset::Json => rendered.for_programs(notice),
        Preset::Slack => json!({ "text": slack(&chat(&rendered)) }),
        Preset::Teams => card(&rendered),
        Preset::Telegram => json!({
            "chat_id": to, "text": chat(&rendered), "link_preview_options": { "is_disabled": true },
        }),
        Preset::Ntfy => {
            json!({ "topic": to, "title": rendered.subject, "message": text(&rendered) })
        }
    };
    Ok(body.to_string().into_bytes())
}

/// Returns the text, cut to what a chat takes.
fn text(rendered: &Rendered) -> String {
    if rendered.text.chars().count() <= LONGEST_TEXT {
        return rendered.text.clone();
    }
    let mut cut: String = rendered.text.chars().take(LONGEST_TEXT).collect();
    cut.push('…');
    cut
}

fn chat(rendered: &Rendered) -> String {
    format!("{}\n\n{}", rendered.subject, text(rendered))
}

/// Escapes what Slack would read as a mention or a link.
fn slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// `Unverified:` the form that a Teams workflow takes, after Microsoft's reference of adaptive cards.
///
/// A text run shows its text as it is; a text block would read markdown in it.
fn card(rendered: &Rendered) -> Value {
    let line = |text: &str, weight: &str| {
        json!({ "type": "RichTextBlock",
            "inlines": [{ "type": "TextRun", "text": text, "weight": weight }] })
    };
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [line(&rendered.subject, "bolder"), line(&text(rendered), "default")],
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_an_independent_tool() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        assert_eq!(
            sign(b"key", "1700000000", b"{\"a\":1}").unwrap(),
            "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
        );
    }

    #[test]
    fn slack_mentions_are_text() {
        assert_eq!(
            slack("<!channel> & <@U1>"),
            "&lt;!channel&gt; &amp; &lt;@U1&gt;"
        );
    }

    #[test]
    fn every_status_is_one_decision() {
        let judged = |status| {
            judge(&Answer {
                status,
                reason_phrase: String::new(),
                headers: HeaderMap::from_iter([(
                    HeaderName::from_static("retry-after"),
                    HeaderValue::from_static("7"),
                )]),
                body: Vec::new(),
            })
        };
        assert_eq!(judged(204), Ok(()));
        for status in [302, 400, 404, 410, 501] {
            assert!(matches!(judged(status), Err(PortError::Rejected { .. })));
        }
        for status in [408, 500, 502, 503, 504] {
            assert!(matches!(judged(status), Err(PortError::Uncertain { .. })));
        }
        assert!(matches!(judged(403), Err(PortError::Denied { .. })));
        assert!(matches!(
            judged(429),
            Err(PortError::Transient { retry_after: Some(wait), .. }) if wait.as_secs() == 7
        ));
    }
}
