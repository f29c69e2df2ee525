//! A private authority for tests, and its certificate for `localhost`.

/// A private authority, valid from 2020 to 2120; its key was thrown away.
pub const AUTHORITY: &str = "\
    MIIBfTCCASOgAwIBAgIBATAKBggqhkjOPQQDAjAlMSMwIQYDVQQDDBpzdG9ja2Jy\n\
    aWRnZSB0ZXN0IGF1dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAw\n\
    MDAwMFowJTEjMCEGA1UEAwwac3RvY2ticmlkZ2UgdGVzdCBhdXRob3JpdHkwWTAT\n\
    BgcqhkjOPQIBBggqhkjOPQMBBwNCAASaOV1q+FA/W45mrSjbp3Z6AuSWKuAbHvVX\n\
    /J892RBrVA1qSuSLrBwKrK60PpMiuqpRpY9lsCLORQ+x6KjtPXGqo0IwQDAPBgNV\n\
    HRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwICBDAdBgNVHQ4EFgQUwxXOFg1fTRos\n\
    gMNQhbPtoxPnhi0wCgYIKoZIzj0EAwIDSAAwRQIhAK0/I0fwW6w3GnUTabX5O2IC\n\
    nD/+crTPrUwkQhjugjVgAiAIMI50seEQLTGyyM/ClCu/WiD8Tg5GD1PNB7Etgf8N\n\
    LA==";

/// Its certificate for `localhost`, for the same time.
pub const GOOD: &str = "\
    MIIBjTCCATOgAwIBAgIBAjAKBggqhkjOPQQDAjAlMSMwIQYDVQQDDBpzdG9ja2Jy\n\
    aWRnZSB0ZXN0IGF1dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAw\n\
    MDAwMFowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0D\n\
    AQcDQgAE16qNSx5P+Ap0Qmql/dixXoD3e3CKUJ+kid//xb91DHsPbdvW06CLr8sz\n\
    RRve3bgjUFwk+kuh6Jel2wHwbULsl6NjMGEwFAYDVR0RBA0wC4IJbG9jYWxob3N0\n\
    MAkGA1UdEwQCMAAwHQYDVR0OBBYEFPOWDuFe1Uj7YuKFVxnfuXczt6VmMB8GA1Ud\n\
    IwQYMBaAFMMVzhYNX00aLIDDUIWz7aMT54YtMAoGCCqGSM49BAMCA0gAMEUCIQDA\n\
    4+9WNjc2kCBH283lpjN0cOEYo7qfcJpA4m+5FYlWOwIgAqvo6ob/9mAvz1nNjogJ\n\
    HHdDYn55LlPm9H8p84c+AWs=";

/// The key of its certificates, worth nothing outside this test.
pub const LEAF: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgej1KsTbRsWob1DBr\n\
    oEo+5tLEO5HWIQBY/gPX7jvPJR2hRANCAATXqo1LHk/4CnRCaqX92LFegPd7cIpQ\n\
    n6SJ3//Fv3UMew9t29bToIuvyzNFG97duCNQXCT6S6Hol6XbAfBtQuyX";

/// Writes a PEM block.
pub fn pem(kind: &str, base64: &str) -> String {
    format!("-----BEGIN {kind}-----\n{base64}\n-----END {kind}-----\n")
}
