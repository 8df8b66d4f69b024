//! Certificates of authorities, from a PEM file. Says of each file what is wrong
//! with it now, so that no connection has to find out.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The certificates in a file, of which there is at least one; other sections
/// of it are passed over. The error is for people.
pub(super) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        // The parser's own words quote the file, and a key that it may hold.
        .map_err(|_| {
            format!("{shown} is not a whole PEM file: a section of it is cut or garbled")
        })?;
    if certificates.is_empty() {
        return Err(format!(
            "there is no certificate in {shown}; it begins with `-----BEGIN CERTIFICATE-----`"
        ));
    }
    for (certificate, number) in certificates.iter().zip(1..) {
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| format!("certificate {number} in {shown} does not do: {error}"))?;
    }
    Ok(certificates)
}
