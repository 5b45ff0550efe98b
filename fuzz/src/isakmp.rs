//! ISAKMP: header, chain, and the payloads of phase 1.

use wire::codec::Reader;
use wire::iana::PayloadType;
use wire::isakmp::{
    Attribute, Cert, CertRequest, Chain, Delete, Hash, Header, Id, Ke, Nonce, Notify, Sa, Sig,
    VendorId,
};
use wire::{Writer, isakmp};

use crate::{one_form, settles};

/// The header, alone and as the front of a datagram.
pub fn header(bytes: &[u8]) {
    if let Ok(header) = Header::decode(bytes) {
        assert_eq!(header.encode(), bytes[..Header::LEN]);
        assert!(!header.flags.to_string().is_empty());
    }
    if let Ok((header, payloads)) = Header::split(bytes) {
        assert_eq!(header.length as usize, Header::LEN + payloads.len());
    }
}

/// The chain: its payloads lie end to end and cover what is used.
pub fn chain(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    if let Ok(chain) = Chain::decode(PayloadType(*first), bytes) {
        let whole: Vec<u8> = chain
            .payloads
            .iter()
            .flat_map(|raw| raw.whole.iter().copied())
            .collect();
        assert_eq!(whole, bytes[..chain.used]);
        assert_eq!(chain.padding, &bytes[chain.used..]);
        let exact = Chain::decode_exact(PayloadType(*first), bytes);
        assert_eq!(exact.is_ok(), chain.padding.is_empty());
    }
}

/// A list of data attributes.
pub fn attribute(bytes: &[u8]) {
    let mut r = Reader::new("fuzz", bytes);
    let Ok(attributes) = isakmp::attribute::decode_all(&mut r) else {
        return;
    };
    let mut w = Writer::new();
    isakmp::attribute::encode(&attributes, &mut w);
    assert_eq!(w.finish().as_deref(), Ok(bytes));
    for attribute in attributes {
        let number = attribute.as_number();
        let owned = Attribute::into_owned(attribute);
        assert_eq!(owned.as_number(), number);
    }
}

/// A phase-1 SA payload.
pub fn sa(body: &[u8]) {
    one_form::<Sa>(body);
}

/// An ID payload.
pub fn id(body: &[u8]) {
    one_form::<Id>(body);
    if let Ok(id) = <Id as isakmp::Payload<'_>>::decode(body) {
        assert!(id.address().is_none() || id.as_group_number().is_none());
    }
}

/// A Notification payload.
pub fn notify(body: &[u8]) {
    one_form::<Notify>(body);
}

/// A Delete payload.
pub fn delete(body: &[u8]) {
    one_form::<Delete>(body);
    if let Ok(delete) = <Delete as isakmp::Payload<'_>>::decode(body) {
        let count = delete.iter().count();
        assert_eq!(count * usize::from(delete.spi_size), delete.spis.len());
        assert!(delete.iter_u32().count() <= count);
    }
}

/// Certificate and Certificate Request payloads.
pub fn cert(body: &[u8]) {
    one_form::<Cert<'_>>(body);
    one_form::<CertRequest<'_>>(body);
}

/// The payloads that are mere octets.
pub fn octets(body: &[u8]) {
    one_form::<Ke<'_>>(body);
    one_form::<Hash<'_>>(body);
    one_form::<Sig<'_>>(body);
    one_form::<VendorId<'_>>(body);
    one_form::<Nonce<'_>>(body);
    if let Ok(nonce) = Nonce::decode_pull(body) {
        assert_eq!(nonce.data, body);
    }
}

/// A whole message of phase 1 or an informational exchange, in the clear.
pub fn message(datagram: &[u8]) {
    let Ok((header, payloads)) = Header::split(datagram) else {
        return;
    };
    let Ok(chain) = Chain::decode(header.next_payload, payloads) else {
        return;
    };
    for raw in &chain.payloads {
        match raw.ty {
            PayloadType::SA => sa(raw.body),
            PayloadType::ID => id(raw.body),
            PayloadType::NOTIFY => notify(raw.body),
            PayloadType::DELETE => delete(raw.body),
            PayloadType::CERT | PayloadType::CERT_REQUEST => cert(raw.body),
            PayloadType::GAP => settles::<wire::gdoi::Gap>(raw.body),
            _ => octets(raw.body),
        }
    }
}
