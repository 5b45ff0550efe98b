//! A peer written down from RFC 2409 alone, with nothing of `ike` in it, as an independent opinion
//! on keys, HASHes, IVs and padding.

use crypto::cbc::{self, Cipher};
use crypto::dh::{Group, KeyPair};
use crypto::hash::Hash;
use crypto::{SeededRng, hmac};
use wire::iana::PayloadType;

use super::network::{GM, Network, config, policy, pull_1};
use crate::config::{IsakmpCipher, IsakmpHash};
use crate::ike::{Expect, Upcall};

fn prf(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    hmac::prf(hash, key, parts).expose().to_vec()
}

/// A generic payload header and a body.
fn payload(next: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![next, 0];
    out.extend(u16::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn message(
    ci: &[u8],
    cr: &[u8],
    first: u8,
    exchange: u8,
    flags: u8,
    id: u32,
    body: &[u8],
) -> Vec<u8> {
    let mut out = [ci, cr].concat();
    out.extend([first, 0x10, exchange, flags]);
    out.extend(id.to_be_bytes());
    out.extend(u32::try_from(28 + body.len()).unwrap().to_be_bytes());
    out.extend_from_slice(body);
    out
}

struct Suite {
    encryption: IsakmpCipher,
    hash: IsakmpHash,
    numbers: (u16, Option<u16>, u16),
    prf: Hash,
    cipher: cbc::Algorithm,
}

impl Suite {
    fn all() -> Vec<Self> {
        let ciphers = [
            (IsakmpCipher::TripleDes, 5, None, cbc::Algorithm::TripleDes),
            (IsakmpCipher::Aes128, 7, Some(128), cbc::Algorithm::Aes128),
            (IsakmpCipher::Aes192, 7, Some(192), cbc::Algorithm::Aes192),
            (IsakmpCipher::Aes256, 7, Some(256), cbc::Algorithm::Aes256),
        ];
        let hashes = [
            (IsakmpHash::Sha1, 2, Hash::Sha1),
            (IsakmpHash::Sha256, 4, Hash::Sha256),
            (IsakmpHash::Sha384, 5, Hash::Sha384),
            (IsakmpHash::Sha512, 6, Hash::Sha512),
        ];
        let mut all = Vec::new();
        for (encryption, number, bits, cipher) in ciphers {
            for (hash, hash_number, prf) in hashes {
                let numbers = (number, bits, hash_number);
                all.push(Self {
                    encryption,
                    hash,
                    numbers,
                    prf,
                    cipher,
                });
            }
        }
        all
    }

    /// An SA payload's body: one proposal, one transform, life duration first and of four octets.
    fn offer(&self) -> Vec<u8> {
        let (encryption, bits, hash) = self.numbers;
        let basic = |class: u16, value: u16| [(class | 0x8000).to_be_bytes(), value.to_be_bytes()];
        let mut attributes = basic(4, 19).concat();
        attributes.extend(basic(3, 1).concat());
        attributes.extend(basic(2, hash).concat());
        attributes.extend(basic(1, encryption).concat());
        attributes.extend(
            bits.map(|bits| basic(14, bits).concat())
                .unwrap_or_default(),
        );
        attributes.extend(basic(11, 1).concat());
        attributes.extend([0, 12, 0, 4, 0, 0, 0x70, 0x80]);
        let transform = payload(0, &[&[9, 1, 0, 0][..], &attributes].concat());
        let proposal = payload(0, &[&[1, 1, 0, 1][..], &transform].concat());
        [&[0, 0, 0, 2, 0, 0, 0, 0][..], &proposal].concat()
    }
}

/// What both sides have after messages 3 and 4.
struct Keyed {
    ci: [u8; 8],
    cr: Vec<u8>,
    sai_b: Vec<u8>,
    gxi: Vec<u8>,
    gxr: Vec<u8>,
    skeyid: Vec<u8>,
    skeyid_d: Vec<u8>,
    skeyid_a: Vec<u8>,
    cipher: Cipher,
}

/// Messages 1 to 4 with ks1, by hand.
fn exchange_keys(network: &mut Network, suite: &Suite, seed: u64) -> Keyed {
    let (ci, hash, sai_b) = ([0xc1; 8], suite.prf, suite.offer());
    let message_1 = message(&ci, &[0; 8], 1, 2, 0, 0, &payload(0, &sai_b));
    network.deliver(1, GM, &message_1);
    let answer = network.sent.pop().expect("message 2").1;
    let cr = answer[8..16].to_vec();
    // The transform comes back as it went, whatever vendor ids follow.
    let sa_len = usize::from(u16::from_be_bytes([answer[30], answer[31]]));
    assert_eq!(answer[32..28 + sa_len], sai_b);

    let pair = KeyPair::generate(Group::Ecp256, &mut SeededRng::from_number(seed)).unwrap();
    let (gxi, ni) = (pair.public_value().to_vec(), [0x11_u8; 20]);
    let body = [payload(10, &gxi), payload(0, &ni)].concat();
    network.deliver(1, GM, &message(&ci, &cr, 4, 2, 0, 0, &body));
    let answer = network.sent.pop().expect("message 4").1;
    let gxr = answer[32..96].to_vec();
    let nr_len = usize::from(u16::from_be_bytes([answer[98], answer[99]])) - 4;
    let nr = answer[100..100 + nr_len].to_vec();

    let gxy = pair.agree(&gxr).unwrap().expose().to_vec();
    let skeyid = prf(hash, b"by hand", &[&ni, &nr]);
    let skeyid_d = prf(hash, &skeyid, &[&gxy, &ci, &cr, &[0]]);
    let skeyid_a = prf(hash, &skeyid, &[&skeyid_d, &gxy, &ci, &cr, &[1]]);
    let skeyid_e = prf(hash, &skeyid, &[&skeyid_a, &gxy, &ci, &cr, &[2]]);
    let mut key = skeyid_e.clone();
    if key.len() < suite.cipher.key_len() {
        let k1 = prf(hash, &skeyid_e, &[&[0]]);
        let k2 = prf(hash, &skeyid_e, &[&k1]);
        key = [k1, k2].concat();
    }
    let cipher = Cipher::new(suite.cipher, &key[..suite.cipher.key_len()]).unwrap();
    Keyed {
        ci,
        cr,
        sai_b,
        gxi,
        gxr,
        skeyid,
        skeyid_d,
        skeyid_a,
        cipher,
    }
}

impl Keyed {
    /// Message 5; HASH_R of message 6 must be right. Returns the last block of phase 1.
    fn authenticate(&self, network: &mut Network, suite: &Suite) -> Vec<u8> {
        let Self {
            ci,
            cr,
            sai_b,
            gxi,
            gxr,
            skeyid,
            cipher,
            ..
        } = self;
        let (hash, block) = (suite.prf, suite.cipher.block_len());
        let first_iv = hash.digest(&[gxi, gxr]);
        let idii_b = [&[1, 17, 3, 0x50][..], &GM.ip().octets()].concat();
        let hash_i = prf(hash, skeyid, &[gxi, gxr, ci, cr, sai_b, &idii_b]);
        let mut clear = [payload(8, &idii_b), payload(0, &hash_i)].concat();
        // One block more than needed, and not of zeros.
        clear.resize(clear.len().next_multiple_of(block) + block, 0xa5);
        let iv = cipher
            .encrypt(&first_iv.as_ref()[..block], &mut clear)
            .unwrap();
        network.deliver(1, GM, &message(ci, cr, 5, 2, 1, 0, &clear));
        let mut sealed = network.sent.pop().expect("message 6").1.split_off(28);
        let last_block = sealed[sealed.len() - block..].to_vec();
        cipher.decrypt(iv.as_ref(), &mut sealed).unwrap();
        let id_len = usize::from(u16::from_be_bytes([sealed[2], sealed[3]]));
        let idir_b = &sealed[4..id_len];
        let hash_r = prf(hash, skeyid, &[gxr, gxi, cr, ci, sai_b, idir_b]);
        assert_eq!(sealed[id_len + 4..id_len + 4 + hash_r.len()], hash_r);
        last_block
    }

    /// Message 1 of a PULL, which must come out as it went in.
    fn pull(&self, network: &mut Network, suite: &Suite, last_block: &[u8]) {
        let (hash, block) = (suite.prf, suite.cipher.block_len());
        let message_id = 0x0102_0304_u32;
        let octets = message_id.to_be_bytes();
        let built = pull_1();
        let hash_1 = prf(hash, &self.skeyid_a, &[&octets, built.payloads()]);
        let mut clear = [payload(built.first().0, &hash_1), built.payloads().to_vec()].concat();
        clear.resize(clear.len().next_multiple_of(block), 0);
        let iv = hash.digest(&[last_block, &octets]);
        self.cipher
            .encrypt(&iv.as_ref()[..block], &mut clear)
            .unwrap();
        network.deliver(
            1,
            GM,
            &message(&self.ci, &self.cr, 8, 32, 1, message_id, &clear),
        );
        let received = matches!(
            network.nodes[1].upcalls.last(),
            Some(Upcall::Exchange { step: 1, first: PayloadType::NONCE, payloads, .. })
                if payloads[..] == *built.payloads()
        );
        assert!(received, "{}", network.transcript);
    }

    /// An announcement of a key server and its answer, both with a proof of kin: the formulas of
    /// `docs/coop-wire.md` section 1.
    fn coop(&self, network: &mut Network, suite: &Suite, last_block: &[u8]) {
        let (hash, block) = (suite.prf, suite.cipher.block_len());
        let message_id = 0x0506_0708_u32;
        let octets = message_id.to_be_bytes();
        let (nonce, answer_nonce) = ([1; 56], [2; 56]);
        let said = [payload(131, &nonce), payload(0, b"announcement")].concat();
        let hash_1 = prf(hash, &self.skeyid_a, &[&octets, &said]);
        let mut clear = [payload(10, &hash_1), said].concat();
        clear.resize(clear.len().next_multiple_of(block), 0);
        let iv = hash.digest(&[last_block, &octets]);
        self.cipher
            .encrypt(&iv.as_ref()[..block], &mut clear)
            .unwrap();
        network.deliver(
            1,
            GM,
            &message(&self.ci, &self.cr, 8, 240, 1, message_id, &clear),
        );
        let answer = [payload(131, &answer_nonce), payload(0, b"answer")].concat();
        let sa = network.nodes[1].established()[0];
        network.with(1, |engine, now, _, out| {
            let payloads = (PayloadType::NONCE, &answer[..]);
            engine
                .send(now, sa, message_id, payloads, Expect::Final, out)
                .expect("legal");
        });
        let mut sealed = network.sent.pop().expect("the answer").1.split_off(28);
        let iv = &clear[clear.len() - block..];
        self.cipher.decrypt(iv, &mut sealed).unwrap();
        let hash_2 = prf(hash, &self.skeyid_a, &[&octets, &nonce, &answer]);
        let expected = [payload(10, &hash_2), answer].concat();
        assert_eq!(sealed[..expected.len()], expected);
    }
}

#[test]
fn a_peer_written_down_from_the_rfc_reaches_an_sa_with_every_cipher_and_hash() {
    for (suite, seed) in Suite::all().iter().zip(1..) {
        let mut ks = config("by hand", GM);
        ks.policies = vec![policy(suite.encryption, suite.hash, 19)];
        let mut network = Network::new(config("unused", GM), ks);
        let keyed = exchange_keys(&mut network, suite, seed);
        let last_block = keyed.authenticate(&mut network, suite);
        let sas = network.nodes[1].established();
        let sa = network.nodes[1].engine.sa(sas[0]).expect("established");
        assert_eq!(
            sa.prf_a(&[b"x"]).expose(),
            prf(suite.prf, &keyed.skeyid_a, &[b"x"])
        );
        assert_eq!(
            sa.prf_d(&[b"x"]).expose(),
            prf(suite.prf, &keyed.skeyid_d, &[b"x"])
        );
        assert_eq!(sa.agreed().lifetime_s, 0x7080);
        keyed.pull(&mut network, suite, &last_block);
        keyed.coop(&mut network, suite, &last_block);
    }
}
