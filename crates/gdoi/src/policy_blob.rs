//! The policy of a group as one blob with a name (PROTOCOL P5): what members of ours get in place
//! of one SAT per line, with denies, port ranges, IPv6 and the TBAR window.
//!
//! Decides its name, its chunks and what it means; its octets are `wire::private`'s. When it
//! applies is `ks` and `gm::policy`.

use crypto::hash::Hash;
use policy::{Ace, Acl, Action, AddressMatch, PortMatch, PseudoTime};
use wire::iana::{AuthAlgorithm, EspTransform};
use wire::limits::CHUNKS_INLINE_MAX;
use wire::private::name::CHUNK_LEN;
use wire::private::{
    self, AddressRule, ChunkKind, ChunkList, PolicyAce, PolicyName, PolicyRequest, PolicySa,
    PortRule,
};

use crate::config::IpsecSa;
use crate::transform::esp_numbers;

/// SHA-256 of something.
pub(crate) type Sha256 = [u8; 32];

/// SHA-256 of `octets`.
pub(crate) fn sha256(octets: &[u8]) -> Sha256 {
    let mut hash = [0; 32];
    hash.copy_from_slice(Hash::Sha256.digest(&[octets]).as_ref());
    hash
}

/// A group's policy with its octets and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyBlob {
    /// Its octets.
    pub(crate) octets: Vec<u8>,
    /// Their SHA-256.
    pub(crate) sha256: Sha256,
    /// From when it is in force.
    pub(crate) activation: PseudoTime,
    /// The access lists of its SAs, one after the other; permit = encrypt.
    pub(crate) acl: Acl,
    /// The TBAR window in seconds.
    pub(crate) tbar_window_s: Option<u32>,
}

impl PolicyBlob {
    /// The policy of these `sa ipsec`, in force from `activation`.
    ///
    /// # Errors
    /// When the policy has more entries than a blob holds.
    pub(crate) fn new(sas: &[IpsecSa], activation: PseudoTime) -> Result<Self, wire::Error> {
        let mut sas: Vec<PolicySa> = sas.iter().map(policy_sa).collect();
        sas.sort_by_key(|sa| sa.number);
        let blob = private::PolicyBlob {
            activation_ns: activation.as_nanos(),
            clock_generation: 0,
            sas,
        };
        Self::decode(blob.encode()?)
    }

    /// Reads a blob.
    ///
    /// # Errors
    /// What is malformed.
    pub(crate) fn decode(octets: Vec<u8>) -> Result<Self, wire::Error> {
        let blob = private::PolicyBlob::decode(&octets)?;
        let mut names: Vec<&str> = blob.sas.iter().map(|sa| sa.acl_name.as_str()).collect();
        names.dedup();
        Ok(Self {
            sha256: sha256(&octets),
            activation: PseudoTime::from_nanos(blob.activation_ns),
            acl: Acl {
                name: names.join("+"),
                entries: blob
                    .sas
                    .iter()
                    .flat_map(|sa| sa.aces.iter().map(ace))
                    .collect(),
            },
            tbar_window_s: blob.sas.first().and_then(|sa| sa.tbar_window_s),
            octets,
        })
    }

    /// The first eight octets of its hash, for people to compare.
    pub(crate) fn short_name(&self) -> String {
        self.sha256[..8]
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect()
    }

    fn list(&self) -> Vec<Sha256> {
        self.octets.chunks(CHUNK_LEN).map(sha256).collect()
    }

    /// Its name with at most `inline` chunk hashes; a longer list is fetched.
    pub(crate) fn name(&self, inline: usize) -> PolicyName {
        // Said with every registration: a policy of one chunk is not hashed for it.
        let chunks = match self.octets.len().div_ceil(CHUNK_LEN) {
            0 | 1 => ChunkList::Single,
            count if count <= inline.min(CHUNKS_INLINE_MAX) => ChunkList::Inline(self.list()),
            _ => ChunkList::Named(sha256(&self.list().concat())),
        };
        PolicyName {
            sha256: self.sha256,
            octets: u32::try_from(self.octets.len()).unwrap_or(u32::MAX),
            chunks,
        }
    }

    /// The piece that a fetch asks for.
    pub(crate) fn piece(&self, kind: ChunkKind, number: u16) -> Option<Vec<u8>> {
        let nth = |octets: &[u8]| {
            octets
                .chunks(CHUNK_LEN)
                .nth(usize::from(number))
                .map(<[u8]>::to_vec)
        };
        match kind {
            ChunkKind::Blob => nth(&self.octets),
            ChunkKind::List => nth(&self.list().concat()),
        }
    }
}

fn policy_sa(sa: &IpsecSa) -> PolicySa {
    let (transform, key_bits, authentication) = esp_numbers(sa.transform);
    PolicySa {
        number: sa.number,
        transform,
        key_bits: match transform {
            EspTransform::AES_CBC | EspTransform::AES_GCM_16 | EspTransform::AES_GMAC => {
                key_bits.unwrap_or(0)
            }
            _ => 0,
        },
        authentication: authentication.unwrap_or(AuthAlgorithm::NONE),
        lifetime_s: sa.lifetime_s,
        tbar_window_s: sa.tbar_window_s,
        acl_name: sa.acl.name.clone(),
        aces: sa.acl.entries.iter().map(policy_ace).collect(),
    }
}

fn policy_ace(ace: &Ace) -> PolicyAce {
    let address = |address: &AddressMatch| match *address {
        AddressMatch::Any => AddressRule::Any,
        AddressMatch::V4 { address, wildcard } => AddressRule::V4 { address, wildcard },
        AddressMatch::V6 { prefix, length } => AddressRule::V6 { prefix, length },
    };
    let port = |port: PortMatch| match port {
        PortMatch::Any => PortRule::Any,
        PortMatch::Eq(port) => PortRule::Eq(port),
        PortMatch::Neq(port) => PortRule::Neq(port),
        PortMatch::Lt(port) => PortRule::Lt(port),
        PortMatch::Gt(port) => PortRule::Gt(port),
        PortMatch::Range(low, high) => PortRule::Range(low, high),
    };
    PolicyAce {
        action: match ace.action {
            Action::Permit => private::Action::Permit,
            Action::Deny => private::Action::Deny,
        },
        protocol: ace.protocol,
        source: address(&ace.source),
        source_port: port(ace.source_port),
        destination: address(&ace.destination),
        destination_port: port(ace.destination_port),
    }
}

fn ace(ace: &PolicyAce) -> Ace {
    let address = |address: AddressRule| match address {
        AddressRule::Any => AddressMatch::Any,
        AddressRule::V4 { address, wildcard } => AddressMatch::v4(address, wildcard),
        AddressRule::V6 { prefix, length } => AddressMatch::V6 { prefix, length },
    };
    let port = |port: PortRule| match port {
        PortRule::Any => PortMatch::Any,
        PortRule::Eq(port) => PortMatch::Eq(port),
        PortRule::Neq(port) => PortMatch::Neq(port),
        PortRule::Lt(port) => PortMatch::Lt(port),
        PortRule::Gt(port) => PortMatch::Gt(port),
        PortRule::Range(low, high) => PortMatch::Range(low, high),
    };
    Ace {
        action: match ace.action {
            private::Action::Permit => Action::Permit,
            private::Action::Deny => Action::Deny,
        },
        protocol: ace.protocol,
        source: address(ace.source),
        source_port: port(ace.source_port),
        destination: address(ace.destination),
        destination_port: port(ace.destination_port),
    }
}

/// A blob being fetched: every piece is checked before it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Assembly {
    /// What is fetched.
    pub(crate) name: PolicyName,
    list: Option<Vec<Sha256>>,
    list_octets: Vec<u8>,
    octets: Vec<u8>,
    chunks: usize,
}

impl Assembly {
    /// An assembly without a piece.
    pub(crate) fn new(name: PolicyName) -> Self {
        let list = match &name.chunks {
            ChunkList::Single => Some(vec![name.sha256]),
            ChunkList::Inline(list) => Some(list.clone()),
            ChunkList::Named(_) => None,
        };
        Self {
            name,
            list,
            list_octets: Vec::new(),
            octets: Vec::new(),
            chunks: 0,
        }
    }

    /// What to ask for next; `None` when all is there.
    pub(crate) fn wanted(&self) -> Option<PolicyRequest> {
        let (kind, number) = match &self.list {
            None => (ChunkKind::List, self.list_octets.len() / CHUNK_LEN),
            Some(list) if self.chunks < list.len() => (ChunkKind::Blob, self.chunks),
            Some(_) => return None,
        };
        Some(PolicyRequest {
            sha256: self.name.sha256,
            kind,
            number: u16::try_from(number).ok()?,
        })
    }

    /// A piece came. Says whether it is what was wanted.
    //= getvpn P5
    pub(crate) fn add(&mut self, kind: ChunkKind, number: u16, octets: &[u8]) -> bool {
        let wanted = self.wanted();
        if wanted.is_none_or(|wanted| (wanted.kind, wanted.number) != (kind, number)) {
            return false;
        }
        match (&self.list, &self.name.chunks) {
            (Some(list), _) => {
                let right = list.get(self.chunks) == Some(&sha256(octets));
                if right {
                    self.octets.extend_from_slice(octets);
                    self.chunks += 1;
                }
                right
            }
            (None, ChunkList::Named(hash)) => {
                let whole = 32 * self.name.chunk_count();
                let hash = *hash;
                self.list_octets.extend_from_slice(octets);
                if self.list_octets.len() < whole && octets.len() == CHUNK_LEN {
                    return true;
                }
                let right = self.list_octets.len() == whole && sha256(&self.list_octets) == hash;
                if right {
                    self.list = Some(self.list_octets.as_chunks::<32>().0.to_vec());
                }
                self.list_octets.clear();
                right
            }
            (None, ChunkList::Single | ChunkList::Inline(_)) => false,
        }
    }

    /// The blob, once every piece is there.
    ///
    /// # Errors
    /// When the key server named something that is not a policy.
    pub(crate) fn finish(&self) -> Result<PolicyBlob, wire::Error> {
        let blob = PolicyBlob::decode(self.octets.clone())?;
        if blob.sha256 == self.name.sha256 {
            Ok(blob)
        } else {
            Err(wire::Error {
                what: "policy blob",
                kind: wire::Kind::Value {
                    field: "octets",
                    value: self.octets.len() as u64,
                    expected: "those of its name",
                },
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Encryption, Integrity, KeyBits, Transform};
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    fn sa(entries: usize) -> IpsecSa {
        let entry = |n: usize| Ace {
            action: if n.is_multiple_of(3) {
                Action::Deny
            } else {
                Action::Permit
            },
            protocol: (n.is_multiple_of(2)).then_some(17),
            source: AddressMatch::host(Ipv4Addr::from_bits(u32::try_from(n).unwrap())),
            source_port: PortMatch::Range(1, 9),
            destination: AddressMatch::V6 {
                prefix: "2001:db8::".parse().unwrap(),
                length: 32,
            },
            destination_port: PortMatch::Neq(848),
        };
        IpsecSa {
            number: 1,
            profile: "gdoi-p".into(),
            transform: Transform::new(Encryption::AesGcm(KeyBits::B256), Integrity::Combined)
                .unwrap(),
            lifetime_s: 3_600,
            acl: Arc::new(Acl {
                name: "ENCPOL".into(),
                entries: (0..entries).map(entry).collect(),
            }),
            tbar_window_s: Some(5),
        }
    }

    #[test]
    fn a_policy_survives_its_blob_and_its_chunks() {
        for (entries, inline) in [(0, 2), (1, 2), (40, 2), (100, 64), (700, 2), (3_000, 2)] {
            let sas = [sa(entries)];
            let blob = PolicyBlob::new(&sas, PseudoTime::from_secs(77)).unwrap();
            assert_eq!(blob.acl, *sas[0].acl);
            let mut assembly = Assembly::new(blob.name(inline));
            while let Some(wanted) = assembly.wanted() {
                let piece = blob.piece(wanted.kind, wanted.number).unwrap();
                let before = assembly.clone();
                let mut wrong = piece.clone();
                wrong[0] ^= 1;
                if wanted.kind == ChunkKind::Blob {
                    assert!(!assembly.add(wanted.kind, wanted.number, &wrong));
                }
                assert!(!assembly.add(wanted.kind, wanted.number + 1, &piece));
                assembly = before;
                assert!(assembly.add(wanted.kind, wanted.number, &piece));
            }
            assert_eq!(assembly.finish().unwrap(), blob);
        }
    }

    #[test]
    fn a_wrong_list_is_thrown_away_as_a_whole() {
        let blob = PolicyBlob::new(&[sa(700)], PseudoTime::ZERO).unwrap();
        let mut assembly = Assembly::new(blob.name(2));
        let mut piece = blob.piece(ChunkKind::List, 0).unwrap();
        piece[5] ^= 1;
        assert!(!assembly.add(ChunkKind::List, 0, &piece));
        assert_eq!(assembly.wanted().unwrap().number, 0);
    }
}
