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

    /// An ISAKMP message could not be read; with a wrong pre-shared key this is how it shows.
    #[action = "Compare `crypto isakmp key` on both ends."]
    4 IKMP_BAD_MESSAGE in Infra { peer: IpAddr, reason: String }
        "IKE message from {peer} failed its sanity check or is malformed: {reason}";

    /// An exchange failed; a line before this one says why.
    #[action = "See the message before this one."]
    6 IKMP_MODE_FAILURE in Infra { mode: String, peer: IpAddr }
        "Processing of {mode} mode failed with peer at {peer}";

    /// No configured pre-shared key is for this peer.
    #[action = "Configure `crypto isakmp key SECRET address A`."]
    6 IKMP_NO_PRESHARED_KEY in Infra { peer: IpAddr }
        "Pre-shared key for remote peer at {peer} is missing";

    /// No proposal of the peer fits a configured `crypto isakmp policy`.
    #[action = "Compare `crypto isakmp policy` on both ends."]
    5 IKMP_NO_PROPOSAL_CHOSEN in Infra { peer: IpAddr, offered: String }
        "No proposal of {peer} is acceptable, it offered: {offered}";

    /// An ESP packet carries an SPI that this member does not hold.
    #[action = "If it lasts, compare `show crypto gdoi ks policy` with `show crypto ipsec sa`."]
    4 RECVD_PKT_INV_SPI in Infra { destination: IpAddr, protocol: u8, spi: policy::Spi, source: IpAddr, interface: String }
        "decaps: rec'd IPSEC packet has invalid spi for destaddr={destination}, prot={protocol}, spi={spi}, srcaddr={source}, input interface={interface}";

    /// A packet's integrity check failed: it was changed on the way, or the keys differ.
    #[action = "Compare the SPI and key fingerprint on both members."]
    4 RECVD_PKT_MAC_ERR in Infra { connection: u32, spi: policy::Spi, source: IpAddr }
        "decrypt: mac verify failed for connection id={connection} spi={spi} srcaddr={source}";

    /// A packet came in clear although the policy encrypts its flow.
    #[action = "Find out which device sends it: it is no member, or its policy differs."]
    4 RECVD_PKT_NOT_IPSEC in Infra { destination: IpAddr, source: IpAddr, protocol: u8 }
        "Rec'd packet not an IPSEC packet. (ip) vrf/dest_addr= /{destination}, src_addr= {source}, prot= {protocol}";
}
