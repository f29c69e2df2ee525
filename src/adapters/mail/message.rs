//! Builds the mail of a notice: typed headers, text and HTML, and an id that is the same on every try.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};

use super::render::Rendered;
use crate::domain::notice::Notice;
use crate::domain::time::Moment;

/// Who writes to whom.
#[derive(Debug)]
pub(super) struct Addresses {
    /// The sender.
    pub(super) from: Mailbox,
    /// The recipients, at least one.
    pub(super) to: Vec<Mailbox>,
    /// The right side of message ids.
    pub(super) id_domain: String,
}

impl Addresses {
    /// Builds the mail.
    ///
    /// # Errors
    ///
    /// A reason when the notice's key cannot be part of a message id.
    pub(super) fn compose(&self, notice: &Notice, rendered: &Rendered) -> Result<Message, String> {
        check_key(&notice.key)?;
        // Keys count up in one state file. A new file begins again, and some mail programs hide a second mail with a
        // known id: the instant of writing, which every try of a notice shares, keeps the two apart.
        let message_id = format!("<{}.{}@{}>", notice.key, notice.written.0, self.id_domain);
        let builder = Message::builder()
            .from(self.from.clone())
            .subject(rendered.subject.clone())
            .date(instant(notice.written))
            .message_id(Some(message_id))
            .header(AutoSubmitted);
        let builder = self
            .to
            .iter()
            .fold(builder, |builder, to| builder.to(to.clone()));
        let page = SinglePart::html(rendered.html.clone());
        let parts = MultiPart::alternative().singlepart(SinglePart::plain(rendered.text.clone()));
        let pictures = pictures(rendered);
        let parts = if pictures.is_empty() {
            parts.singlepart(page)
        } else {
            let page = MultiPart::related().singlepart(page);
            parts.multipart(pictures.into_iter().fold(page, MultiPart::singlepart))
        };
        builder
            .multipart(parts)
            .map_err(|err| format!("notice {}: {err}", notice.key))
    }
}

/// Returns the orders' codes that the page shows.
fn pictures(rendered: &Rendered) -> Vec<SinglePart> {
    let picture = |(id, text): &(String, String)| {
        let shown = rendered.html.contains(&format!("\"cid:{id}\""));
        let png = super::code::png_of(Some(text).filter(|_| shown)?)?;
        let kind = ContentType::parse("image/png").ok()?;
        Some(Attachment::new_inline(id.clone()).body(png, kind))
    };
    rendered.codes.iter().filter_map(picture).collect()
}

/// Checks that a key is safe in a header and as a file name.
fn check_key(key: &str) -> Result<(), String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if key.is_empty() || key.len() > 200 || !key.chars().all(safe) {
        let shown = super::clean::clean(key, 80);
        return Err(format!(
            "notice key {shown:?} must be 1 to 200 letters, digits, . - _"
        ));
    }
    Ok(())
}

fn instant(at: Moment) -> SystemTime {
    let since = Duration::from_millis(at.0.max(0).unsigned_abs());
    SystemTime::UNIX_EPOCH + since
}

/// `Auto-Submitted: auto-generated` (RFC 3834): asks out-of-office programs not to answer.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
