//! GDOI: the payloads of PULL, PUSH and PUSH-ACK.

use wire::Writer;
use wire::gdoi::lkh::{DownloadArray, UpdateArray};
use wire::gdoi::{Ack, Gap, Identity, Kd, KeyPacket, Sa, Sak, Sat, Seq};
use wire::iana::PayloadType;
use wire::isakmp::{Chain, Header, Payload};

use crate::{isakmp, one_form, private, settles, written};

/// A GDOI SA payload with all that is inside.
pub fn sa(body: &[u8]) {
    settles::<Sa>(body);
    if let Ok(sa) = Sa::decode(body) {
        for sat in &sa.sats {
            if let Sat::Esp(esp) = sat {
                identity(&esp.source);
                identity(&esp.destination);
            }
        }
    }
}

fn identity(identity: &Identity) {
    if let Some(address) = identity.address() {
        assert_eq!(
            identity.address_and_mask().map(|pair| pair.0),
            Some(address)
        );
    }
}

/// An SA KEK payload, and a key record in it.
pub fn sak(body: &[u8]) {
    settles::<Sak>(body);
}

/// An SA TEK payload.
pub fn sat(body: &[u8]) {
    settles::<Sat>(body);
}

/// A GAP payload, and our attributes in it.
pub fn gap(body: &[u8]) {
    settles::<Gap>(body);
    if let Ok(gap) = Gap::decode(body) {
        private::attributes(&gap.other);
    }
}

/// A SEQ payload.
pub fn seq(body: &[u8]) {
    one_form::<Seq>(body);
}

/// A KD payload, and the LKH arrays in it.
pub fn kd(body: &[u8]) {
    let Ok(kd) = Kd::decode(body) else { return };
    if let Some(canonical) = written(&kd, body) {
        assert_eq!(Kd::decode(&canonical), Ok(kd.clone()));
    }
    for packet in &kd.packets {
        match packet {
            KeyPacket::Tek(keys) => private::attributes(&keys.other),
            KeyPacket::Lkh(keys) => {
                let arrays = keys.update_arrays.iter().chain(&keys.download_array);
                arrays.for_each(|array| lkh_array(array, 16));
            }
            KeyPacket::Kek(_) | KeyPacket::Sid(_) | KeyPacket::Other { .. } => {}
        }
    }
}

/// An LKH array; the first octet chooses the length of AES keys.
pub fn lkh(bytes: &[u8]) {
    if let Some((key_len, array)) = bytes.split_first() {
        lkh_array(array, usize::from(*key_len));
    }
}

fn lkh_array(array: &[u8], aes_key_len: usize) {
    if let Ok(download) = DownloadArray::decode(array, aes_key_len) {
        let mut w = Writer::new();
        download.encode(&mut w);
        assert_eq!(w.finish().as_deref(), Ok(array));
    }
    if let Ok(update) = UpdateArray::decode(array, aes_key_len) {
        let mut w = Writer::new();
        update.encode(&mut w);
        assert_eq!(w.finish().as_deref(), Ok(array));
    }
}

/// The payloads of a PUSH-ACK; the first octet is the header's Next Payload.
pub fn ack(bytes: &[u8]) {
    let Some((first, payloads)) = bytes.split_first() else {
        return;
    };
    if let Ok(ack) = Ack::decode(PayloadType(*first), payloads) {
        assert!(payloads.ends_with(ack.authenticated));
        assert!(ack.authenticated.len() + ack.hash.len() < payloads.len());
    }
}

/// A whole message of a PULL or PUSH, decrypted.
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
            PayloadType::KD => kd(raw.body),
            PayloadType::SEQ => seq(raw.body),
            PayloadType::GAP => gap(raw.body),
            PayloadType::ID => isakmp::id(raw.body),
            PayloadType::DELETE => isakmp::delete(raw.body),
            PayloadType::NOTIFY => isakmp::notify(raw.body),
            PayloadType::GETVPN_POLICY_REQUEST | PayloadType::GETVPN_POLICY_CHUNK => {
                private::fetch(raw.body);
            }
            _ => isakmp::octets(raw.body),
        }
    }
}
