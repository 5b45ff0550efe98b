//! Facility CRYPTO: ISAKMP and ESP.

use std::net::{IpAddr, Ipv4Addr};

catalogue! {
    /// ISAKMP and ESP.
    Crypto = "CRYPTO";

    /// GDOI was switched on or off by the configuration.
    #[action = "None."]
    6 GDOI_ON_OFF in Infra { state: String }
        "GDOI is {state}";

    /// The member starts a registration.
    #[action = "None."]
    5 GM_REGSTER in Registration { ks: Ipv4Addr, group: String, gm: Ipv4Addr }
        "Start registration to KS {ks} for group {group} using address {gm}";

    /// A peer began aggressive mode, which gives a hash of the pre-shared key to whoever asks; it was dropped.
    #[action = "Configure main mode on the peer; if it is none of yours, somebody is probing."]
    4 IKMP_AGGRESSIVE_MODE in Infra { peer: IpAddr }
        "Aggressive mode from {peer} is not supported and was dropped";

    /// A peer proved a pre-shared key, but its identity is not the address that the key is for.
    #[action = "Configure the peer to identify itself by the address that `crypto isakmp key` names."]
    4 IKMP_BAD_IDENTITY in Infra { peer: IpAddr, reason: String }
        "Identity of {peer} is refused: {reason}";

    /// An ISAKMP message could not be read; with a wrong pre-shared key this is how it shows.
    #[action = "Compare `crypto isakmp key` on both ends."]
    4 IKMP_BAD_MESSAGE in Infra { peer: IpAddr, reason: String }
        "IKE message from {peer} failed its sanity check or is malformed: {reason}";

    /// A limit that protects this box against floods refused a message.
    #[action = "If the peer is honest, look for what makes it begin so many exchanges; else for who sends in its name."]
    4 IKMP_BUSY in Infra { peer: IpAddr, reason: String }
        "IKE message from {peer} was dropped: {reason}";

    /// An exchange failed; a line before this one says why.
    #[action = "See the message before this one."]
    6 IKMP_MODE_FAILURE in Infra { mode: String, peer: IpAddr }
        "Processing of {mode} mode failed with peer at {peer}";

    /// A message in clear came where only an encrypted one is legal.
    #[action = "If it repeats, somebody is forging messages of this peer."]
    6 IKMP_NOT_ENCRYPTED in Infra { peer: IpAddr }
        "IKE packet from {peer} was not encrypted and it should've been.";

    /// A peer did not answer although the message was repeated; the text says how far main mode came.
    #[action = "At message 1 look at reachability and UDP 848, at message 5 compare `crypto isakmp key` on both ends."]
    4 IKMP_NO_ANSWER in Infra { peer: IpAddr, reason: String }
        "IKE negotiation with {peer} was given up: {reason}";

    /// No configured pre-shared key is for this peer.
    #[action = "Configure `crypto isakmp key SECRET address A`."]
    6 IKMP_NO_PRESHARED_KEY in Infra { peer: IpAddr }
        "Pre-shared key for remote peer at {peer} is missing";

    /// No proposal of the peer fits a configured `crypto isakmp policy`.
    #[action = "Compare `crypto isakmp policy` on both ends."]
    5 IKMP_NO_PROPOSAL_CHOSEN in Infra { peer: IpAddr, offered: String }
        "No proposal of {peer} is acceptable, it offered: {offered}";

    /// A message carries cookies of an SA that does not exist here, perhaps from before a restart.
    #[action = "None if one side restarted; else look at who sends it."]
    4 IKMP_NO_SA in Infra { peer: IpAddr }
        "IKE message from {peer} has no SA and is not an initialization offer";

    /// A peer answered none of our keepalives; its SA is gone.
    #[action = "Look at the path to the peer and whether it runs."]
    4 IKMP_PEER_DEAD in Infra { peer: IpAddr, unanswered: u32 }
        "IKE peer {peer} is dead: {unanswered} keepalives were not answered";

    /// A peer notified an error. In clear anyone can have sent it: nothing was changed because of it.
    #[action = "See the log of the peer for its side."]
    5 IKMP_PEER_NOTIFY in Infra { peer: IpAddr, notify: String, protection: String }
        "IKE peer {peer} notifies {notify} ({protection})";

    /// A peer used an SA before phase 1 was done.
    #[action = "If it repeats, somebody is forging messages of this peer."]
    6 IKMP_SA_NOT_AUTH in Infra { peer: IpAddr, reason: String }
        "Cannot accept an exchange from {peer} if SA is not authenticated: {reason}";

    /// The responder chose a transform that was not offered to it.
    #[action = "Look for a device on the path that changes UDP 848, or a fault in the peer."]
    6 IKMP_SA_NOT_OFFERED in Infra { peer: IpAddr, reason: String }
        "Remote peer {peer} responded with a proposal not offered or changed: {reason}";

    /// A peer began an exchange that this program does not have.
    #[action = "None if the peer has features beyond GDOI; else look at who sends it."]
    6 IKMP_UNK_EXCHANGE in Infra { peer: IpAddr, reason: String }
        "IKE peer at {peer} sent a message with an unknown exchange: {reason}";

    /// A packet was dropped for another reason; the word is that of the drop counter.
    #[action = "`show crypto ipsec sa detail` has the counters; the reason says which end to look at."]
    6 PKT_DROP in Infra {
        reason: String, group: String, source: IpAddr,
        destination: IpAddr, protocol: u8,
    }
        "packet dropped: {reason}, group {group}, srcaddr={source}, destaddr={destination}, prot={protocol}";

    /// A copy of a packet that was accepted before came again.
    #[action = "If it repeats, look for a device on the path that duplicates packets, or for an attacker."]
    4 PKT_REPLAY_ERR in Infra { spi: policy::Spi, source: IpAddr, destination: IpAddr }
        "decrypt: replay check failed spi={spi}, srcaddr={source}, destaddr={destination}";

    /// An ESP packet carries an SPI that this member does not hold.
    #[action = "If it lasts, compare `show crypto gdoi ks policy` with `show crypto ipsec sa`."]
    4 RECVD_PKT_INV_SPI in Infra {
        destination: IpAddr, protocol: u8,
        spi: policy::Spi, source: IpAddr,
    }
        "decaps: rec'd IPSEC packet has invalid spi for destaddr={destination}, prot={protocol}, spi={spi}, srcaddr={source}";

    /// A packet's integrity check failed: it was changed on the way, or the keys differ.
    #[action = "Compare the SPI and key fingerprint on both members."]
    4 RECVD_PKT_MAC_ERR in Infra { spi: policy::Spi, source: IpAddr, destination: IpAddr }
        "decrypt: mac verify failed for spi={spi}, srcaddr={source}, destaddr={destination}";

    /// A packet came in clear although the policy encrypts its flow.
    #[action = "Find out which device sends it: it is no member, or its policy differs."]
    4 RECVD_PKT_NOT_IPSEC in Infra { destination: IpAddr, source: IpAddr, protocol: u8 }
        "Rec'd packet not an IPSEC packet. (ip) vrf/dest_addr= /{destination}, src_addr= {source}, prot= {protocol}";

    /// More senders are heard than replay windows are kept: copies of what this one sends are not recognised.
    #[action = "Nothing but the number of senders helps; TBAR bounds how late a copy can come."]
    4 REPLAY_TABLE_FULL in Infra { group: policy::GroupName, sid: u32 }
        "replay window table is full in group {group}, sender {sid} is not tracked";
}
