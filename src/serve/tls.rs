//! TLS without a proxy: rustls on ring, TLS 1.2 and 1.3, no client certificates.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretSlice};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The contents of the certificate's file and of the key's.
#[derive(Debug)]
pub struct TlsFiles {
    /// PEM: the certificate and those above it.
    pub certificate: Vec<u8>,
    /// PEM: the key.
    pub key: SecretSlice<u8>,
}

impl TlsFiles {
    /// Reads both.
    ///
    /// # Errors
    ///
    /// A sentence that names the key of the configuration and what is wrong.
    pub fn load(&self) -> Result<TlsAcceptor, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|err| format!("serve.tls.certificate: {err}"))?;
        if chain.is_empty() {
            return Err("serve.tls.certificate: holds no certificate".into());
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.expose_secret())
            .map_err(|err| format!("serve.tls.key: {err}"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(|err| format!("serve.tls: certificate and key: {err}"))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
