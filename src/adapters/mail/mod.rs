//! Notices by e-mail.
