//! How far a check goes: the group, the faults, the time.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use gdoi::config;
use gdoi::model::rekey_key;
use policy::{
    Ace, Acl, Encryption, GroupId, GroupName, GroupSize, Integrity, KekCipher, KeyBits,
    RekeyTransport, SigHash, Transform,
};

/// The bounds of one check. Each count is how often that can happen on one path.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Key servers.
    pub servers: u8,
    /// Members.
    pub members: u8,
    /// Lifetime of a traffic key, seconds.
    pub tek_s: u32,
    /// Everything is quiet for so long: elections are over, members are registered.
    pub quiet: Duration,
    /// From the end of the quiet time until the last fault.
    pub faulty: Duration,
    /// From the last possible fault to the end.
    pub after: Duration,
    /// Everything below together.
    pub faults: u8,
    /// Links between two key servers that fail.
    pub cuts: u8,
    /// Links between a key server and a member that fail.
    pub member_cuts: u8,
    /// Key servers that stop, before or after a write.
    pub crashes: u8,
    /// Messages that are lost.
    pub losses: u8,
    /// Messages that are overtaken by a later one.
    pub overtakings: u8,
    /// Steps of time while messages are on their way.
    pub delays: u8,
    /// `crypto gdoi ks rekey`.
    pub orders: u8,
    /// `clear crypto gdoi ks members`.
    pub clears: u8,
    /// Members that start anew, when everything is well, also after the last of the other faults.
    pub restarts: u8,
    /// A cut between the first key server and another one parts the members from that one, too.
    pub sided: bool,
    /// A link or a key server comes back after so long at the latest.
    pub longest: Duration,
    /// The same for links to members.
    pub longest_member: Duration,
}

/// After so long without a fault each connected part has one primary: silence of a peer, a retry,
/// an election, an announcement.
pub const SETTLED: Duration = Duration::from_secs(75);

/// So late a message is at most.
pub const LATE: Duration = Duration::from_millis(500);

/// An ordered rekey is with every member, or given up, after so long: it waits for key servers and
/// has its copies sent.
pub const ORDER_SPREADS: Duration = Duration::from_secs(12);

impl Bounds {
    /// What every run of CI checks.
    #[must_use]
    pub const fn small() -> Self {
        Self {
            servers: 3,
            members: 2,
            tek_s: 60,
            quiet: Duration::from_secs(35),
            faulty: Duration::from_secs(70),
            after: Duration::from_secs(120),
            faults: 1,
            cuts: 1,
            member_cuts: 1,
            crashes: 1,
            losses: 1,
            overtakings: 1,
            delays: 1,
            orders: 1,
            clears: 1,
            restarts: 0,
            sided: false,
            longest: Duration::from_secs(50),
            longest_member: Duration::from_secs(20),
        }
    }

    /// The recorded run: two faults of those that change who leads and what is on which disk, in
    /// every order and at every distance. The others are in `small`, one at a time.
    #[must_use]
    pub const fn full() -> Self {
        Self {
            faults: 2,
            member_cuts: 0,
            overtakings: 0,
            delays: 0,
            clears: 0,
            ..Self::small()
        }
    }

    /// Two key servers that do not hear each other for longer than a key is sent on, with the members
    /// on one side, an ordered rekey, and one message that is lost.
    #[must_use]
    pub const fn sided() -> Self {
        Self {
            servers: 2,
            faults: 3,
            member_cuts: 0,
            crashes: 0,
            overtakings: 0,
            delays: 0,
            clears: 0,
            sided: true,
            longest: Duration::from_secs(70),
            ..Self::small()
        }
    }

    /// A rekey is ordered, a message lost, a key server dies, and a member starts anew.
    #[must_use]
    pub const fn anew() -> Self {
        Self {
            servers: 2,
            faulty: Duration::from_secs(12),
            faults: 4,
            cuts: 0,
            member_cuts: 0,
            overtakings: 0,
            delays: 0,
            clears: 0,
            restarts: 1,
            ..Self::small()
        }
    }

    /// When faults begin.
    #[must_use]
    pub fn faults_until(&self) -> policy::Time {
        policy::Time::ZERO + self.quiet + self.faulty
    }

    /// When nothing happens any more.
    #[must_use]
    pub fn end(&self) -> policy::Time {
        self.faults_until() + self.after
    }

    /// The address of a key server.
    #[must_use]
    pub const fn server(place: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, 1 + place as u8)
    }

    /// The address of a member.
    #[must_use]
    pub const fn member(place: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 1, 1 + place as u8)
    }

    fn server_list(&self) -> Vec<Ipv4Addr> {
        (0..usize::from(self.servers)).map(Self::server).collect()
    }

    /// What a key server is configured with; the first has the highest priority.
    #[must_use]
    pub fn server_config(&self, place: usize) -> config::KeyServer {
        let sa = config::IpsecSa {
            number: 1,
            profile: "p".to_owned(),
            transform: Transform::new(Encryption::AesCbc(KeyBits::B256), Integrity::HmacSha256)
                .unwrap_or_else(|_| unreachable!("the two fit each other")),
            lifetime_s: self.tek_s,
            acl: Arc::new(Acl {
                name: "ALL".into(),
                entries: vec![Ace::PERMIT_IP_ANY_ANY],
            }),
            tbar_window_s: None,
        };
        config::KeyServer {
            group: GroupName::new("g"),
            id: GroupId::Number(1),
            address: Self::server(place),
            servers: self.server_list(),
            priority: 10 - u8::try_from(place).unwrap_or(9),
            rekey_key: Some(rekey_key()),
            transport: RekeyTransport::Unicast,
            multicast: config::Multicast::default(),
            reminder_s: None,
            kek_cipher: KekCipher::Aes256,
            sig_hash: SigHash::Sha256,
            raw_hash: false,
            kek_lifetime_s: 4 * self.tek_s,
            retransmit_period_s: 10,
            retransmit_number: 2,
            authorization: None,
            sas: vec![sa],
            size: GroupSize::Medium,
            key_sync: true,
            look_ahead: 2,
            rfc6407_drops_denies: false,
            rfc3547: None,
        }
    }

    /// What a member is configured with.
    #[must_use]
    pub fn member_config(&self, place: usize) -> config::Member {
        config::Member {
            group: GroupName::new("g"),
            id: GroupId::Number(1),
            servers: self.server_list(),
            address: Self::member(place),
            crypto_map: "m".to_owned(),
            interface: "i".to_owned(),
            local_acl: None,
            workers: 1,
            compatible_rfc6407: false,
        }
    }
}
