//! What the client makes of certificates: only a true one, for the right host, is talked to.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::bench::{Bench, order_id, transient};
use crate::certificates::{AUTHORITY, GOOD, LEAF, pem};
use crate::wire::{Reply, json};
use stockbridge::domain::ports::Storefront;

/// Its certificate for `localhost` of January 2020.
const EXPIRED: &str = "\
    MIIBizCCATGgAwIBAgIBBTAKBggqhkjOPQQDAjAlMSMwIQYDVQQDDBpzdG9ja2Jy\n\
    aWRnZSB0ZXN0IGF1dGhvcml0eTAeFw0yMDAxMDEwMDAwMDBaFw0yMDAyMDEwMDAw\n\
    MDBaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEH\n\
    A0IABNeqjUseT/gKdEJqpf3YsV6A93twilCfpInf/8W/dQx7D23b1tOgi6/LM0Ub\n\
    3t24I1BcJPpLoeiXpdsB8G1C7JejYzBhMBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAJ\n\
    BgNVHRMEAjAAMB0GA1UdDgQWBBTzlg7hXtVI+2LihVcZ37l3M7elZjAfBgNVHSME\n\
    GDAWgBTDFc4WDV9NGiyAw1CFs+2jE+eGLTAKBggqhkjOPQQDAgNIADBFAiBCnthZ\n\
    r4N7W7UlOvN3svrVitbAf/vr0/aL1o1GM/jNiAIhAKDEYgo8JGbKG5Usw9TFdyZD\n\
    hWUJuxYu3tPVtWM+uJ1/";

/// A peer that answers 404 to whoever trusts its certificate, and counts them.
fn peer(certificate: &str) -> (u16, Arc<AtomicUsize>) {
    let certificate = pem("CERTIFICATE", certificate);
    let key = pem("PRIVATE KEY", LEAF);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let n_requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&n_requests);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut buffer = [0; 4096];
            // A client that refuses the certificate leaves here.
            if stream.read(&mut buffer).is_ok_and(|n| n > 0) {
                counter.fetch_add(1, Ordering::SeqCst);
                let Reply::Raw(bytes) = json("404 Not Found", "{}") else {
                    unreachable!("json builds a raw reply")
                };
                stream.write_all(&bytes).ok();
                stream.conn.send_close_notify();
                stream.flush().ok();
            }
        }
    });
    (port, n_requests)
}

/// A bench that trusts the private authority, and the folder that must live as long.
fn trusting() -> (Bench, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, pem("CERTIFICATE", AUTHORITY)).unwrap();
    let bench = Bench::new(Vec::new()).set(&format!("ca_file = {:?}", file.to_str().unwrap()));
    (bench, folder)
}

#[test]
fn a_private_authority_is_trusted_when_it_is_configured() {
    let (port, n_requests) = peer(GOOD);
    let (bench, _folder) = trusting();
    let url = format!("https://localhost:{port}");
    assert_eq!(bench.ask_at(&url, |vtex| vtex.order(&order_id())), Ok(None));
    assert_eq!(n_requests.load(Ordering::SeqCst), 1);
}

#[test]
fn v30_a_certificate_that_proves_nothing_is_refused_before_anything_is_sent() {
    let stranger = || Bench::new(Vec::new());
    for (what, certificate, host, trusted) in [
        ("unknown authority", GOOD, "localhost", false),
        ("wrong host", GOOD, "127.0.0.1", true),
        ("expired", EXPIRED, "localhost", true),
    ] {
        let (port, n_requests) = peer(certificate);
        let (bench, _folder) = match trusted {
            true => {
                let (bench, folder) = trusting();
                (bench, Some(folder))
            }
            false => (stranger(), None),
        };
        let url = format!("https://{host}:{port}");
        let permit = bench.permit();
        for (reason, _) in [
            transient(bench.ask_at(&url, |vtex| vtex.order(&order_id()))),
            transient(bench.ask_at(&url, |vtex| vtex.start_handling(&order_id(), &permit))),
        ] {
            assert!(reason.contains("not sent"), "{what}: {reason}");
            assert!(reason.contains("certificate"), "{what}: {reason}");
        }
        assert_eq!(n_requests.load(Ordering::SeqCst), 0, "{what}");
    }
}

/// A peer that speaks TLS 1.0 only: it answers any greeting with a greeting of that version, and hands on what else it
/// was sent.
fn old_peer() -> (u16, mpsc::Receiver<Vec<u8>>) {
    let mut hello = vec![0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    hello.extend([7; 32]);
    // No session, RSA with AES-128-CBC and SHA-1, no compression.
    hello.extend([0, 0, 0x2f, 0]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 5];
            if stream.read_exact(&mut head).is_err() {
                continue;
            }
            let mut greeting = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            stream.read_exact(&mut greeting).ok();
            stream.write_all(&hello).ok();
            let mut after = Vec::new();
            stream.read_to_end(&mut after).ok();
            sender.send(after).ok();
        }
    });
    (port, receiver)
}

#[test]
fn v30_tls_1_0_is_refused() {
    let (port, after) = old_peer();
    let (bench, _folder) = trusting();
    let url = format!("https://localhost:{port}");
    let (reason, _) = transient(bench.ask_at(&url, |vtex| vtex.order(&order_id())));
    assert!(reason.contains("not sent"), "{reason}");
    let sent = after.recv().unwrap();
    // One alert record (21), fatal (2), protocol_version (70), in the clear.
    assert_eq!((sent.first(), sent.len()), (Some(&21), 7), "{sent:?}");
    assert_eq!(sent[5..], [2, 70], "{sent:?}");
}

#[test]
fn v30_a_peer_that_speaks_no_tls_gets_no_request() {
    let bench = Bench::new(vec![json("200 OK", "{}")]);
    let url = format!("https://127.0.0.1:{}", bench.wire.port());
    transient(bench.ask_at(&url, |vtex| vtex.order(&order_id())));
    let seen = bench.wire.seen();
    assert!(
        seen.iter().all(|request| request.headers.is_empty()),
        "{seen:?}"
    );
}
