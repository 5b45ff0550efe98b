//! Certificate and Certificate Request payloads; what is in a certificate is `crypto`'s to say.

use crate::codec::{Error, Reader, Writer};
use crate::iana::{CertEncoding, PayloadType};
use crate::isakmp::payload::Payload;

/// The Certificate payload (RFC 2408 section 3.9).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Cert Encoding !                                               !
/// +-+-+-+-+-+-+-+-+                                               +
/// ~                       Certificate Data                        ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Cert<'a> {
    /// What the data is.
    pub encoding: CertEncoding,
    /// The certificate.
    pub data: &'a [u8],
}

impl<'a> Payload<'a> for Cert<'a> {
    const TYPE: PayloadType = PayloadType::CERT;

    fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("Certificate payload", body);
        Ok(Self {
            encoding: CertEncoding(r.u8()?),
            data: r.rest(),
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u8(self.encoding.0);
        w.bytes(self.data);
    }
}

/// The Certificate Request payload (RFC 2408 section 3.10).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !  Cert. Type   !                                               !
/// +-+-+-+-+-+-+-+-+                                               +
/// ~                    Certificate Authority                      ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CertRequest<'a> {
    /// The wanted kind.
    pub encoding: CertEncoding,
    /// The name of an acceptable authority, DER; empty for any.
    pub authority: &'a [u8],
}

impl<'a> Payload<'a> for CertRequest<'a> {
    const TYPE: PayloadType = PayloadType::CERT_REQUEST;

    fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("Certificate Request payload", body);
        Ok(Self {
            encoding: CertEncoding(r.u8()?),
            authority: r.rest(),
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u8(self.encoding.0);
        w.bytes(self.authority);
    }
}
