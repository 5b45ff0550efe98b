//! Numbers of the IANA registries for ISAKMP, IKE, the IPsec DOI and GDOI, as open types.
//!
//! Only the numbers; what they are good for is decided where they are used. Our own private numbers
//! are in the private ranges of these registries and marked as such
//! (`docs/private-attributes.md`).

use crate::numbers::numbers;

numbers! {
    /// Domain of interpretation (RFC 2407 section 2, RFC 6407 section 5.2).
    Doi(u32) {
        ISAKMP = 0;
        IPSEC = 1;
        GDOI = 2;
    }
}

numbers! {
    /// Exchange type (RFC 2408 section 3.1, RFC 2409, RFC 6407 section 8, RFC 8263 section 8).
    ExchangeType(u8) {
        NONE = 0;
        BASE = 1;
        /// Main mode.
        IDENTITY_PROTECTION = 2;
        AUTHENTICATION_ONLY = 3;
        AGGRESSIVE = 4;
        INFORMATIONAL = 5;
        /// Quick mode in the IPsec DOI.
        GROUPKEY_PULL = 32;
        /// New group mode in the IPsec DOI.
        GROUPKEY_PUSH = 33;
        /// "Known unregistered use" of the registry: never sent.
        UNREGISTERED_34 = 34;
        GROUPKEY_PUSH_ACK = 35;
        /// Private: messages between key servers (PROTOCOL P4).
        GETVPN_COOP = 240;
        /// Private: one part of a message that is larger than a datagram (PROTOCOL P4).
        GETVPN_PART = 241;
        /// Private: fetching the policy blob (PROTOCOL P5).
        GETVPN_POLICY_FETCH = 242;
    }
}

numbers! {
    /// Next payload (RFC 2408 section 3.1, RFC 6407 section 5, RFC 3947 section 3.2).
    PayloadType(u8) {
        /// Nothing follows.
        NONE = 0;
        SA = 1;
        PROPOSAL = 2;
        TRANSFORM = 3;
        KE = 4;
        ID = 5;
        CERT = 6;
        CERT_REQUEST = 7;
        HASH = 8;
        SIG = 9;
        NONCE = 10;
        NOTIFY = 11;
        DELETE = 12;
        VENDOR_ID = 13;
        SAK = 15;
        SAT = 16;
        KD = 17;
        SEQ = 18;
        /// Proof of possession: RFC 3547 only.
        POP = 19;
        NAT_D = 20;
        NAT_OA = 21;
        GAP = 22;
        /// Private: asks for a piece of the policy blob (PROTOCOL P5).
        GETVPN_POLICY_REQUEST = 128;
        /// Private: a piece of the policy blob (PROTOCOL P5).
        GETVPN_POLICY_CHUNK = 129;
        /// Private: what key servers tell each other. 130 is NAT-D in drafts of RFC 3947.
        GETVPN_COOP = 131;
    }
}

numbers! {
    /// Protocol identifier (RFC 2407 section 4.4.1; in a GDOI Delete see `SatProtocol`).
    ProtocolId(u8) {
        RESERVED = 0;
        ISAKMP = 1;
        IPSEC_AH = 2;
        IPSEC_ESP = 3;
        IPCOMP = 4;
    }
}

numbers! {
    /// ISAKMP transform (RFC 2407 section 4.4.2).
    IsakmpTransform(u8) {
        KEY_IKE = 1;
    }
}

numbers! {
    /// ESP transform (RFC 2407 section 4.4.4, RFC 3602, RFC 4106 section 8.3, RFC 4543).
    EspTransform(u8) {
        DES_IV64 = 1;
        DES = 2;
        TRIPLE_DES = 3;
        NULL = 11;
        AES_CBC = 12;
        AES_CTR = 13;
        AES_CCM_8 = 14;
        AES_CCM_12 = 15;
        AES_CCM_16 = 16;
        AES_GCM_8 = 18;
        AES_GCM_12 = 19;
        AES_GCM_16 = 20;
        AES_GMAC = 23;
    }
}

numbers! {
    /// Identification type (RFC 2407 section 4.6.2.1, RFC 8052 section 2.2).
    IdType(u8) {
        IPV4_ADDR = 1;
        FQDN = 2;
        USER_FQDN = 3;
        IPV4_ADDR_SUBNET = 4;
        IPV6_ADDR = 5;
        IPV6_ADDR_SUBNET = 6;
        IPV4_ADDR_RANGE = 7;
        IPV6_ADDR_RANGE = 8;
        DER_ASN1_DN = 9;
        DER_ASN1_GN = 10;
        KEY_ID = 11;
        LIST = 12;
        OID = 13;
    }
}

numbers! {
    /// Certificate encoding (RFC 2408 section 3.9).
    CertEncoding(u8) {
        NONE = 0;
        PKCS7 = 1;
        PGP = 2;
        DNS_SIGNED_KEY = 3;
        X509_SIGNATURE = 4;
        X509_KEY_EXCHANGE = 5;
        KERBEROS_TOKENS = 6;
        CRL = 7;
        ARL = 8;
        SPKI = 9;
        X509_ATTRIBUTE = 10;
    }
}

numbers! {
    /// Notify message type (RFC 2408 section 3.14.1, RFC 2407 section 4.6.3, RFC 3706 section 5).
    NotifyType(u16) {
        INVALID_PAYLOAD_TYPE = 1;
        DOI_NOT_SUPPORTED = 2;
        SITUATION_NOT_SUPPORTED = 3;
        INVALID_COOKIE = 4;
        INVALID_MAJOR_VERSION = 5;
        INVALID_MINOR_VERSION = 6;
        INVALID_EXCHANGE_TYPE = 7;
        INVALID_FLAGS = 8;
        INVALID_MESSAGE_ID = 9;
        INVALID_PROTOCOL_ID = 10;
        INVALID_SPI = 11;
        INVALID_TRANSFORM_ID = 12;
        ATTRIBUTES_NOT_SUPPORTED = 13;
        NO_PROPOSAL_CHOSEN = 14;
        BAD_PROPOSAL_SYNTAX = 15;
        PAYLOAD_MALFORMED = 16;
        INVALID_KEY_INFORMATION = 17;
        INVALID_ID_INFORMATION = 18;
        INVALID_CERT_ENCODING = 19;
        INVALID_CERTIFICATE = 20;
        CERT_TYPE_UNSUPPORTED = 21;
        INVALID_CERT_AUTHORITY = 22;
        INVALID_HASH_INFORMATION = 23;
        AUTHENTICATION_FAILED = 24;
        INVALID_SIGNATURE = 25;
        ADDRESS_NOTIFICATION = 26;
        NOTIFY_SA_LIFETIME = 27;
        CERTIFICATE_UNAVAILABLE = 28;
        UNSUPPORTED_EXCHANGE_TYPE = 29;
        UNEQUAL_PAYLOAD_LENGTHS = 30;
        CONNECTED = 16384;
        RESPONDER_LIFETIME = 24576;
        REPLAY_STATUS = 24577;
        INITIAL_CONTACT = 24578;
        /// Private: what the sender of a PUSH-ACK did with it (PROTOCOL P5, P8).
        GETVPN_ACK_STATUS = 36001;
        R_U_THERE = 36136;
        R_U_THERE_ACK = 36137;
    }
}

impl NotifyType {
    /// Whether it reports an error: those are below 16384 (RFC 2408 section 3.14.1).
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 < 16_384
    }
}

numbers! {
    /// Attribute class of a phase-1 transform (RFC 2409 appendix A).
    OakleyAttribute(u16) {
        ENCRYPTION_ALGORITHM = 1;
        HASH_ALGORITHM = 2;
        AUTHENTICATION_METHOD = 3;
        GROUP_DESCRIPTION = 4;
        GROUP_TYPE = 5;
        GROUP_PRIME = 6;
        GROUP_GENERATOR_ONE = 7;
        GROUP_GENERATOR_TWO = 8;
        GROUP_CURVE_A = 9;
        GROUP_CURVE_B = 10;
        LIFE_TYPE = 11;
        LIFE_DURATION = 12;
        PRF = 13;
        KEY_LENGTH = 14;
        FIELD_SIZE = 15;
        GROUP_ORDER = 16;
    }
}

numbers! {
    /// Cipher of a phase-1 SA (RFC 2409 appendix A, RFC 3602 section 5.1).
    OakleyEncryption(u16) {
        DES_CBC = 1;
        IDEA_CBC = 2;
        BLOWFISH_CBC = 3;
        RC5_R16_B64_CBC = 4;
        TRIPLE_DES_CBC = 5;
        CAST_CBC = 6;
        AES_CBC = 7;
        CAMELLIA_CBC = 8;
    }
}

numbers! {
    /// Hash of a phase-1 SA (RFC 2409 appendix A, RFC 4868 section 4).
    OakleyHash(u16) {
        MD5 = 1;
        SHA1 = 2;
        TIGER = 3;
        SHA2_256 = 4;
        SHA2_384 = 5;
        SHA2_512 = 6;
    }
}

numbers! {
    /// Authentication method of a phase-1 SA (RFC 2409 appendix A, RFC 4754 section 3).
    OakleyAuthentication(u16) {
        PRE_SHARED_KEY = 1;
        DSS_SIGNATURES = 2;
        RSA_SIGNATURES = 3;
        RSA_ENCRYPTION = 4;
        RSA_REVISED_ENCRYPTION = 5;
        ECDSA_256 = 9;
        ECDSA_384 = 10;
        ECDSA_521 = 11;
    }
}

numbers! {
    /// Diffie-Hellman group (RFC 2409 section 6, RFC 3526, RFC 5903).
    OakleyGroup(u16) {
        MODP_768 = 1;
        MODP_1024 = 2;
        MODP_1536 = 5;
        MODP_2048 = 14;
        MODP_3072 = 15;
        MODP_4096 = 16;
        MODP_6144 = 17;
        MODP_8192 = 18;
        ECP_256 = 19;
        ECP_384 = 20;
        ECP_521 = 21;
    }
}

numbers! {
    /// What a lifetime counts, in phase 1 and in an SA TEK (RFC 2409 appendix A, RFC 2407
    /// section 4.5).
    LifeType(u16) {
        SECONDS = 1;
        KILOBYTES = 2;
    }
}

numbers! {
    /// SA attribute class of the IPsec DOI (RFC 2407 section 4.5, RFC 4304, RFC 6407
    /// section 5.5.1.1).
    SaAttribute(u16) {
        LIFE_TYPE = 1;
        LIFE_DURATION = 2;
        /// Must not be sent, is ignored (RFC 6407 section 5.5.1).
        GROUP_DESCRIPTION = 3;
        ENCAPSULATION_MODE = 4;
        AUTHENTICATION_ALGORITHM = 5;
        KEY_LENGTH = 6;
        KEY_ROUNDS = 7;
        COMPRESS_DICTIONARY_SIZE = 8;
        COMPRESS_PRIVATE_ALGORITHM = 9;
        ECN_TUNNEL = 10;
        EXTENDED_SEQUENCE_NUMBER = 11;
        ADDRESS_PRESERVATION = 14;
        SA_DIRECTION = 15;
    }
}

numbers! {
    /// Encapsulation mode (RFC 2407 section 4.5).
    EncapsulationMode(u16) {
        TUNNEL = 1;
        TRANSPORT = 2;
    }
}

numbers! {
    /// Authentication algorithm of an ESP SA (RFC 2407 section 4.5, RFC 4868, RFC 4543).
    AuthAlgorithm(u16) {
        NONE = 0;
        HMAC_MD5 = 1;
        HMAC_SHA1 = 2;
        DES_MAC = 3;
        KPDK = 4;
        HMAC_SHA2_256 = 5;
        HMAC_SHA2_384 = 6;
        HMAC_SHA2_512 = 7;
        HMAC_RIPEMD = 8;
        AES_XCBC_MAC = 9;
        SIG_RSA = 10;
        AES_128_GMAC = 11;
        AES_192_GMAC = 12;
        AES_256_GMAC = 13;
    }
}

numbers! {
    /// Which addresses the outer header takes from the inner one (RFC 6407 section 5.5.1.1.1).
    AddressPreservation(u16) {
        NONE = 1;
        SOURCE_ONLY = 2;
        DESTINATION_ONLY = 3;
        SOURCE_AND_DESTINATION = 4;
    }
}

numbers! {
    /// In which direction an SA is installed (RFC 6407 section 5.5.1.1.2).
    SaDirection(u16) {
        SENDER_ONLY = 1;
        RECEIVER_ONLY = 2;
        SYMMETRIC = 3;
    }
}

numbers! {
    /// Security protocol of an SA TEK, and of a Delete in GDOI, where 0 is the KEK (RFC 6407
    /// sections 5.5 and 5.9, RFC 8052 section 2).
    SatProtocol(u8) {
        /// In a Delete: the Rekey SA.
        KEK = 0;
        IPSEC_ESP = 1;
        IPSEC_AH = 2;
        IEC61850 = 3;
    }
}

numbers! {
    /// KEK attribute class (RFC 6407 section 5.3, RFC 8263 section 2).
    KekAttribute(u16) {
        KEK_MANAGEMENT_ALGORITHM = 1;
        KEK_ALGORITHM = 2;
        KEK_KEY_LENGTH = 3;
        KEK_KEY_LIFETIME = 4;
        SIG_HASH_ALGORITHM = 5;
        SIG_ALGORITHM = 6;
        SIG_KEY_LENGTH = 7;
        /// RFC 3547 only.
        KE_OAKLEY_GROUP = 8;
        KEK_ACK_REQUESTED = 9;
        /// Private: the record of the KEK (PROTOCOL P11, P14).
        GETVPN_KEY_RECORD = 128;
    }
}

numbers! {
    /// KEK management algorithm (RFC 6407 section 5.3.1).
    KekManagement(u16) {
        LKH = 1;
    }
}

numbers! {
    /// Cipher of a Rekey SA, CBC always (RFC 6407 section 5.3.2).
    KekAlgorithm(u16) {
        DES = 1;
        TRIPLE_DES = 2;
        AES = 3;
    }
}

numbers! {
    /// Hash under a PUSH's signature (RFC 6407 section 5.3.5).
    SigHashAlgorithm(u16) {
        MD5 = 1;
        SHA1 = 2;
        SHA256 = 3;
        SHA384 = 4;
        SHA512 = 5;
    }
}

numbers! {
    /// Signature of a PUSH (RFC 6407 section 5.3.6).
    SigAlgorithm(u16) {
        RSA = 1;
        DSS = 2;
        ECDSS = 3;
        ECDSA_256 = 4;
        ECDSA_384 = 5;
        ECDSA_521 = 6;
    }
}

numbers! {
    /// Which acknowledgement a key server asks for (RFC 8263 section 2).
    AckType(u16) {
        KEK_SHA256 = 1;
        LKH_SHA256 = 2;
        KEK_SHA512 = 3;
        LKH_SHA512 = 4;
        /// Private: keyed by the member's own registration (PROTOCOL P8).
        GETVPN_MEMBER = 129;
    }
}

numbers! {
    /// Group associated policy attribute class (RFC 6407 section 5.4).
    GapAttribute(u16) {
        ACTIVATION_TIME_DELAY = 1;
        DEACTIVATION_TIME_DELAY = 2;
        SENDER_ID_REQUEST = 3;
        /// Private: pseudotime and generation of the group (PROTOCOL P14, P27).
        GETVPN_GROUP_STAMP = 128;
        /// Private: name of the policy blob (PROTOCOL P5).
        GETVPN_POLICY_NAME = 129;
        /// Private: SIDs that a member holds, told in PULL message 3 (PROTOCOL P22).
        GETVPN_SIDS_HELD = 130;
        /// Private: how many 64-bit blocks a sender may encrypt with one key (PROTOCOL P23).
        GETVPN_BLOCK_LIMIT = 131;
        /// Private: a key that a member has nearly used up, told in PULL message 3 (PROTOCOL P23).
        GETVPN_KEY_SPENT = 132;
        /// Private: every member is to register again (PROTOCOL P16).
        GETVPN_REGISTER_AGAIN = 140;
    }
}

numbers! {
    /// Key packet type (RFC 6407 section 5.6).
    KdType(u8) {
        TEK = 1;
        KEK = 2;
        LKH = 3;
        SID = 4;
    }
}

numbers! {
    /// Attribute class of a TEK key packet (RFC 6407 section 5.6.1).
    TekKeyAttribute(u16) {
        TEK_ALGORITHM_KEY = 1;
        TEK_INTEGRITY_KEY = 2;
        TEK_SOURCE_AUTH_KEY = 3;
        /// Private: the record of the TEK (PROTOCOL P11).
        GETVPN_KEY_RECORD = 128;
    }
}

numbers! {
    /// Attribute class of a KEK key packet (RFC 6407 section 5.6.2).
    KekKeyAttribute(u16) {
        KEK_ALGORITHM_KEY = 1;
        SIG_ALGORITHM_KEY = 2;
        /// Private: the key of the SPIs' tags (PROTOCOL P18).
        GETVPN_SPI_KEY = 128;
    }
}

numbers! {
    /// Attribute class of an LKH key packet (RFC 6407 section 5.6.3).
    LkhAttribute(u16) {
        LKH_DOWNLOAD_ARRAY = 1;
        LKH_UPDATE_ARRAY = 2;
        SIG_ALGORITHM_KEY = 3;
    }
}

numbers! {
    /// Attribute class of a SID key packet (RFC 6407 section 5.6.4).
    SidAttribute(u16) {
        NUMBER_OF_SID_BITS = 1;
        SID_VALUE = 2;
    }
}
