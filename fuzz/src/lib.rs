//! Fuzz targets: one function per decoder, each of which takes whatever octets there are.
//!
//! A target panics when its decoder does, and when what was decoded does not survive encoding:
//! decoders that accept one form only must give back the same octets, the others a form that
//! decodes to the same value. The committed corpora are replayed by an ordinary test; libFuzzer
//! drives the same functions from `fuzz/libfuzzer`.

#![forbid(unsafe_code)]

pub mod gdoi;
pub mod isakmp;
pub mod machine;
pub mod packet;
pub mod private;
pub mod text;

use std::fmt::Debug;

use wire::isakmp::{Builder, Payload};

/// Name and function of a target; the name is that of its corpus and of its libFuzzer binary.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("esp", packet::esp),
    ("ethernet", packet::ethernet),
    ("gdoi_ack", gdoi::ack),
    ("gdoi_gap", gdoi::gap),
    ("gdoi_kd", gdoi::kd),
    ("gdoi_lkh", gdoi::lkh),
    ("gdoi_message", gdoi::message),
    ("gdoi_sa", gdoi::sa),
    ("gdoi_sak", gdoi::sak),
    ("gdoi_sat", gdoi::sat),
    ("gdoi_seq", gdoi::seq),
    ("gdoi_state", machine::state::gdoi_state),
    ("gm_machine", machine::gm::gm_machine),
    ("icmp", packet::icmp),
    ("ip", packet::ip),
    ("isakmp_attribute", isakmp::attribute),
    ("isakmp_cert", isakmp::cert),
    ("isakmp_chain", isakmp::chain),
    ("isakmp_delete", isakmp::delete),
    ("isakmp_header", isakmp::header),
    ("isakmp_id", isakmp::id),
    ("isakmp_message", isakmp::message),
    ("isakmp_notify", isakmp::notify),
    ("isakmp_octets", isakmp::octets),
    ("isakmp_sa", isakmp::sa),
    ("ks_machine", machine::ks::ks_machine),
    ("pcap", packet::pcap),
    ("private_ack_status", private::ack_status),
    ("private_coop", private::coop),
    ("private_fetch", private::fetch),
    ("private_group_stamp", private::group_stamp),
    ("private_key_record", private::key_record),
    ("private_kin_nonce", private::kin_nonce),
    ("private_part", private::part),
    ("private_policy_blob", private::policy_blob),
    ("private_policy_name", private::policy_name),
    ("private_sids_held", private::sids_held),
    ("router_config", text::router_config),
    ("tcp", packet::tcp),
    ("udp", packet::udp),
];

/// The body of a payload as it is written; what was read from `from` fits a payload again, unless
/// that was nearly full and the canonical form is longer.
fn written<'a, P: Payload<'a>>(payload: &P, from: &[u8]) -> Option<Vec<u8>> {
    let mut builder = Builder::new();
    let place = builder.push(payload);
    match builder.finish() {
        Ok(built) => Some(built.body(place).to_vec()),
        Err(error) => {
            assert!(from.len() > 32_768, "{error}");
            None
        }
    }
}

/// A payload that has one form: what was read is written octet by octet.
fn one_form<'a, P: Payload<'a> + Debug>(body: &'a [u8]) {
    if let Ok(payload) = P::decode(body) {
        assert_eq!(
            written(&payload, body).as_deref(),
            Some(body),
            "{payload:?}"
        );
    }
}

/// A payload that may come in several forms: what is written reads as what was read.
fn settles<P: for<'a> Payload<'a> + PartialEq + Debug>(body: &[u8]) {
    if let Ok(payload) = P::decode(body)
        && let Some(canonical) = written(&payload, body)
    {
        assert_eq!(P::decode(&canonical), Ok(payload));
    }
}
