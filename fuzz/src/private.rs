//! The formats that getvpn speaks to its own kind. Each has one form.

use wire::iana::ExchangeType;
use wire::isakmp::{Attribute, Flags, Header, Notify, Payload, Value};
use wire::private::{
    AckStatus, Announcement, GroupStamp, KeyRecord, KinNonce, Part, PolicyBlob, PolicyChunk,
    PolicyName, PolicyRequest, SidsHeld,
};

use crate::one_form;

fn value<'a>(attribute: &'a Attribute<'_>) -> &'a [u8] {
    match &attribute.value {
        Value::Variable(octets) => octets,
        Value::Basic(_) => panic!("ours are variable"),
    }
}

/// Looks for our attributes among others.
pub(crate) fn attributes(attributes: &[Attribute<'_>]) {
    drop(KeyRecord::find(attributes));
    drop(GroupStamp::find(attributes));
    drop(PolicyName::find(attributes));
    drop(SidsHeld::find(attributes));
}

/// The record of a key.
pub fn key_record(bytes: &[u8]) {
    if let Ok(record) = KeyRecord::decode(bytes) {
        let attribute = record.attribute().expect("it was decoded");
        assert_eq!(value(&attribute), bytes);
    }
}

/// The stamp of a group.
pub fn group_stamp(bytes: &[u8]) {
    if let Ok(stamp) = GroupStamp::decode(bytes) {
        let attribute = stamp.attribute().expect("it was decoded");
        assert_eq!(value(&attribute), bytes);
    }
}

/// The name of a policy.
pub fn policy_name(bytes: &[u8]) {
    if let Ok(name) = PolicyName::decode(bytes) {
        let attribute = name.attribute().expect("it was decoded");
        assert_eq!(value(&attribute), bytes);
        assert!(name.chunk_count() >= 1);
    }
}

/// The SIDs that a member holds.
pub fn sids_held(bytes: &[u8]) {
    if let Ok(held) = SidsHeld::decode(bytes) {
        let attribute = held.attribute().expect("it was decoded");
        assert_eq!(value(&attribute), bytes);
    }
}

/// A policy.
pub fn policy_blob(bytes: &[u8]) {
    if let Ok(policy) = PolicyBlob::decode(bytes) {
        assert_eq!(policy.encode().as_deref(), Ok(bytes));
    }
}

/// Both payloads of a policy fetch.
pub fn fetch(body: &[u8]) {
    one_form::<PolicyRequest>(body);
    one_form::<PolicyChunk<'_>>(body);
}

/// What a key server announces to another.
pub fn coop(body: &[u8]) {
    one_form::<Announcement<'_>>(body);
}

/// The nonce of a peer of our kind.
pub fn kin_nonce(data: &[u8]) {
    if let Ok(nonce) = KinNonce::decode(data) {
        assert_eq!(nonce.encode(), data);
    }
}

/// What a member adds to its ACK, in a Notification payload.
pub fn ack_status(body: &[u8]) {
    if let Ok(notify) = Notify::decode(body)
        && let Ok(status) = AckStatus::decode(&notify)
    {
        assert_eq!(status.notify(), notify);
    }
}

/// A part of a message, behind its header.
pub fn part(bytes: &[u8]) {
    if let Ok(part) = Part::decode(bytes) {
        let header = Header::new([1; 8], [2; 8], part.exchange, Flags::ENCRYPTION, 3);
        let datagram = part.encode(header);
        let (header, body) = Header::split(&datagram).expect("it was encoded");
        assert_eq!(header.exchange_type, ExchangeType::GETVPN_PART);
        assert_eq!(body, bytes);
    }
}
