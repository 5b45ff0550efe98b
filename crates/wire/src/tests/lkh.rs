use crate::codec::Writer;
use crate::gdoi::lkh::{DownloadArray, LkhKey, UpdateArray};
use crate::gdoi::{Kd, KeyPacket, LkhKeys};
use crate::iana::KekAlgorithm;
use crate::tests::{both_ways, octets};

const KEYS: &str = "
    0004 03 00 00000001 00000002 0000000a
    00112233445566778899aabbccddeeff 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    0002 02 00 00000000 00000000 0000000b
    0102030405060708 111111111111111122222222222222223333333333333333";

#[test]
fn arrays_of_mixed_keys_are_read_and_written() {
    let aes = octets("00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    let triple_des = octets("0102030405060708111111111111111122222222222222223333333333333333");
    let keys = vec![
        LkhKey {
            id: 4,
            algorithm: KekAlgorithm::AES,
            created_s: 1,
            expires_s: 2,
            handle: 10,
            data: &aes,
        },
        LkhKey {
            id: 2,
            algorithm: KekAlgorithm::TRIPLE_DES,
            created_s: 0,
            expires_s: 0,
            handle: 11,
            data: &triple_des,
        },
    ];
    let bytes = octets(&format!("01 0002 00 {KEYS}"));
    let download = DownloadArray { keys: keys.clone() };
    assert_eq!(DownloadArray::decode(&bytes, 16).unwrap(), download);
    let mut w = Writer::new();
    download.encode(&mut w);
    assert_eq!(w.finish().unwrap(), bytes);

    let bytes = octets(&format!("01 0002 00 0008 0000 00000009 {KEYS}"));
    let update = UpdateArray {
        id: 8,
        handle: 9,
        keys,
    };
    assert_eq!(UpdateArray::decode(&bytes, 16).unwrap(), update);
    let mut w = Writer::new();
    update.encode(&mut w);
    assert_eq!(w.finish().unwrap(), bytes);
}

#[test]
fn a_wrong_array_is_named() {
    let good = octets(&format!("01 0002 00 {KEYS}"));
    for (place, value, says) in [
        (0, 2, "LKH_DOWNLOAD_ARRAY: LKH Version is 2, expected 1"),
        (2, 3, "LKH_DOWNLOAD_ARRAY: 2 octets expected, 0 left"),
        (
            2,
            1,
            "LKH_DOWNLOAD_ARRAY: 48 octets after its end, none expected",
        ),
        (
            2,
            0,
            "LKH_DOWNLOAD_ARRAY: # of LKH Keys is 0, expected 1 or more",
        ),
        (1, 1, "LKH_DOWNLOAD_ARRAY: more than 64 LKH keys"),
        (
            6,
            4,
            "LKH_DOWNLOAD_ARRAY: Key Type is 4, expected 1 (DES), 2 (3DES) or 3 (AES)",
        ),
    ] {
        let mut bad = good.clone();
        bad[place] = value;
        let error = DownloadArray::decode(&bad, 16).unwrap_err();
        assert_eq!(error.to_string(), says);
    }
}

#[test]
fn an_lkh_packet_keeps_its_arrays_as_they_stand() {
    let body = octets(
        "0001 0000 | 03 00 0025 10 09090909090909090909090909090909
         0001 0001 aa 0002 0002 bbbb 0003 0001 cc",
    );
    let kd = Kd {
        packets: vec![KeyPacket::Lkh(LkhKeys {
            spi: [9; 16],
            download_array: Some(&[0xaa]),
            update_arrays: vec![&[0xbb, 0xbb]],
            signature_key: Some(&[0xcc]),
            other: Vec::new(),
        })],
    };
    both_ways(&body, &kd);
    let mut twice = body;
    twice[1] = 2;
    let packet = twice[4..].to_vec();
    twice.extend_from_slice(&packet);
    assert_eq!(
        crate::isakmp::Raw {
            ty: crate::iana::PayloadType::KD,
            whole: &[],
            body: &twice
        }
        .decode::<Kd<'_>>()
        .unwrap_err()
        .to_string(),
        "KD payload: the LKH key packet more than once"
    );
}
