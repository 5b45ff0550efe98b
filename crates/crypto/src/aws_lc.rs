//! What AWS-LC can do and its safe interface does not offer: the only `unsafe` of this crate.
//!
//! Every function takes and gives slices, checks their lengths before the library sees them, and
//! turns each failure into `None`. The library cleanses its memory when it is freed. Nothing is
//! decided here: ranges, padding and key sizes are the business of `cbc`, `dh`, `hmac` and `rsa`.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};

use aws_lc_sys as lc;

use crate::hash::{Hash, OUTPUT_LEN_MAX};
use crate::key_pair::Kind;

/// A pointer that the library gave, with the function that gives it back.
struct Owned<T>(NonNull<T>, unsafe extern "C" fn(*mut T));

impl<T> Owned<T> {
    /// `pointer` is null or owned by nobody else, and `free` is its function.
    fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self(pointer, free))
    }

    fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer is valid and ours until here, and `free` is its function.
        unsafe { (self.1)(self.0.as_ptr()) }
    }
}

/// The number that `octets` are, big-endian; cleansed when dropped.
fn number(octets: &[u8]) -> Option<Owned<lc::BIGNUM>> {
    // SAFETY: pointer and length are one slice's; a null result asks for a new number.
    let number = unsafe { lc::BN_bin2bn(octets.as_ptr(), octets.len(), null_mut()) };
    Owned::new(number, lc::BN_clear_free)
}

/// Room for the library's intermediate results.
fn context() -> Option<Owned<lc::BN_CTX>> {
    // SAFETY: nothing is asked of the caller.
    Owned::new(unsafe { lc::BN_CTX_new() }, lc::BN_CTX_free)
}

/// An odd modulus, made ready for exponentiation.
pub(crate) struct Modulus {
    modulus: Owned<lc::BIGNUM>,
    mont: Owned<lc::BN_MONT_CTX>,
    len: usize,
}

// SAFETY: after `new` the library only reads both values (they are passed as pointers to const).
unsafe impl Send for Modulus {}
// SAFETY: as above.
unsafe impl Sync for Modulus {}

impl Modulus {
    /// The modulus that `octets` are, big-endian and odd.
    pub(crate) fn new(octets: &[u8]) -> Option<Self> {
        let modulus = number(octets)?;
        let context = context()?;
        // SAFETY: both pointers are valid; the library copies what it keeps.
        let mont = unsafe { lc::BN_MONT_CTX_new_for_modulus(modulus.as_ptr(), context.as_ptr()) };
        let mont = Owned::new(mont, lc::BN_MONT_CTX_free)?;
        Some(Self {
            modulus,
            mont,
            len: octets.len(),
        })
    }

    /// `base` to the power of `exponent`, as many octets as the modulus; `None` if `base` is not
    /// smaller than the modulus. The time taken depends on the exponent's length only.
    pub(crate) fn pow(&self, base: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
        let (base, exponent, power) = (number(base)?, number(exponent)?, number(&[])?);
        let context = context()?;
        let mut octets = vec![0; self.len];
        // SAFETY: all pointers are valid, the result is no operand, the library checks that the
        // base is reduced and writes exactly `octets.len()` octets or refuses.
        let done = unsafe {
            lc::BN_mod_exp_mont_consttime(
                power.as_ptr(),
                base.as_ptr(),
                exponent.as_ptr(),
                self.modulus.as_ptr(),
                context.as_ptr(),
                self.mont.as_ptr(),
            ) == 1
                && lc::BN_bn2bin_padded(octets.as_mut_ptr(), octets.len(), power.as_ptr()) == 1
        };
        done.then_some(octets)
    }
}

/// An RSA key: a public one, or a private one with its public half.
pub(crate) struct Rsa(Owned<lc::RSA>);

// SAFETY: the library locks what a private operation changes in the key (its blinding values);
// everything else is only read after parsing.
unsafe impl Send for Rsa {}
// SAFETY: as above.
unsafe impl Sync for Rsa {}

impl Rsa {
    /// A private key from PKCS#8 (RFC 5208) without trailing octets, checked for consistency.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        Self::parse(der, lc::EVP_parse_private_key)
    }

    /// A public key from SubjectPublicKeyInfo (RFC 5280) without trailing octets.
    pub(crate) fn from_spki(der: &[u8]) -> Option<Self> {
        Self::parse(der, lc::EVP_parse_public_key)
    }

    fn parse(
        der: &[u8],
        parse: unsafe extern "C" fn(*mut lc::CBS) -> *mut lc::EVP_PKEY,
    ) -> Option<Self> {
        let mut input = lc::CBS {
            data: der.as_ptr(),
            len: der.len(),
        };
        // SAFETY: `input` stands for the slice, which outlives the call.
        let key = Owned::new(unsafe { parse(&raw mut input) }, lc::EVP_PKEY_free)?;
        // SAFETY: the key is valid; null comes back if it is of another kind than RSA, else a
        // reference of our own.
        let rsa = unsafe { lc::EVP_PKEY_get1_RSA(key.as_ptr()) };
        let rsa = Owned::new(rsa, lc::RSA_free)?;
        (input.len == 0).then_some(Self(rsa))
    }

    /// The public half as RSAPublicKey (RFC 8017 A.1.1).
    pub(crate) fn to_pkcs1(&self) -> Option<Vec<u8>> {
        let (mut octets, mut len) = (null_mut(), 0);
        // SAFETY: the key is valid; on success the library gives a buffer of `len` octets that
        // is ours to free.
        unsafe {
            if lc::RSA_public_key_to_bytes(&raw mut octets, &raw mut len, self.0.as_ptr()) != 1 {
                return None;
            }
            let der = std::slice::from_raw_parts(octets, len).to_vec();
            lc::OPENSSL_free(octets.cast());
            Some(der)
        }
    }

    /// Bits of the modulus.
    pub(crate) fn bits(&self) -> usize {
        // SAFETY: the key is valid and has a modulus.
        unsafe { lc::RSA_bits(self.0.as_ptr()) as usize }
    }

    /// The public exponent, or `None` if it needs more than 64 bits.
    pub(crate) fn exponent(&self) -> Option<u64> {
        let mut exponent = 0;
        // SAFETY: the key is valid and has a public exponent, which stays the key's.
        let fits = unsafe { lc::BN_get_u64(lc::RSA_get0_e(self.0.as_ptr()), &raw mut exponent) };
        (fits == 1).then_some(exponent)
    }

    /// The private operation on `block`, which is as long as the modulus and smaller than it.
    pub(crate) fn private(&self, block: &[u8]) -> Option<Vec<u8>> {
        self.raw(block, lc::RSA_sign_raw)
    }

    /// The public operation on `block`, which is as long as the modulus and smaller than it.
    pub(crate) fn public(&self, block: &[u8]) -> Option<Vec<u8>> {
        self.raw(block, lc::RSA_verify_raw)
    }

    fn raw(&self, block: &[u8], operation: RawOperation) -> Option<Vec<u8>> {
        let mut octets = vec![0; self.bits().div_ceil(8)];
        if block.len() != octets.len() {
            return None;
        }
        let (rsa, mut len) = (self.0.as_ptr(), 0);
        // SAFETY: the key is valid, both buffers are slices with their own lengths.
        let done = unsafe {
            let (out, max) = (octets.as_mut_ptr(), octets.len());
            operation(
                rsa,
                &raw mut len,
                out,
                max,
                block.as_ptr(),
                block.len(),
                lc::RSA_NO_PADDING,
            )
        };
        (done == 1 && len == octets.len()).then_some(octets)
    }
}

/// The private key of a kind in a PEM block under `passphrase`, which ends in its only NUL: `None`
/// if it does not open, an inner `None` if it is of another kind, else PKCS#8 that is the caller's
/// to cleanse.
pub(crate) fn private_key_of_pem(
    kind: Kind,
    pem: &[u8],
    passphrase: &[u8],
) -> Option<Option<Vec<u8>>> {
    if passphrase.iter().position(|octet| *octet == 0) != passphrase.len().checked_sub(1) {
        return None;
    }
    let len = pem.len().try_into().ok()?;
    // SAFETY: the buffer outlives its reader; without a callback the library reads the passphrase
    // up to its NUL and copies it; it keeps neither pointer. Its notes of errors are dropped.
    let key = unsafe {
        let bio = Owned::new(lc::BIO_new_mem_buf(pem.as_ptr().cast(), len), free_bio)?;
        let phrase = passphrase.as_ptr().cast_mut().cast();
        let key = lc::PEM_read_bio_PrivateKey(bio.as_ptr(), null_mut(), None, phrase);
        lc::ERR_clear_error();
        Owned::new(key, lc::EVP_PKEY_free)?
    };
    let id = match kind {
        Kind::Rsa => lc::EVP_PKEY_RSA,
        Kind::Ec => lc::EVP_PKEY_EC,
    };
    // SAFETY: the key is valid.
    if unsafe { lc::EVP_PKEY_id(key.as_ptr()) } != id {
        return Some(None);
    }
    let mut builder = MaybeUninit::<lc::CBB>::uninit();
    let (builder, mut octets, mut len) = (builder.as_mut_ptr(), null_mut(), 0);
    // SAFETY: the builder is initialised first, and finished or cleaned up last; on success the
    // library gives a buffer of `len` octets that is ours to cleanse, which freeing does.
    unsafe {
        if lc::CBB_init(builder, PKCS8_LEN_EXPECTED) != 1 {
            return None;
        }
        if lc::EVP_marshal_private_key(builder, key.as_ptr()) != 1
            || lc::CBB_finish(builder, &raw mut octets, &raw mut len) != 1
        {
            lc::CBB_cleanup(builder);
            return None;
        }
        let der = std::slice::from_raw_parts(octets, len).to_vec();
        lc::OPENSSL_free(octets.cast());
        Some(Some(der))
    }
}

/// Octets of PKCS#8 with a modulus of 8192 bits, about: the buffer never grows, which would leave
/// its octets behind.
const PKCS8_LEN_EXPECTED: usize = 8_192;

unsafe extern "C" fn free_bio(bio: *mut lc::BIO) {
    // SAFETY: the caller owns it.
    unsafe { lc::BIO_free(bio) };
}

/// PBKDF2 (RFC 8018 section 5.2) over HMAC-SHA-256. Says whether `key` is filled.
pub(crate) fn pbkdf2_sha256(passphrase: &[u8], salt: &[u8], rounds: u32, key: &mut [u8]) -> bool {
    // SAFETY: pointers and lengths are of one slice each.
    let done = unsafe {
        lc::PKCS5_PBKDF2_HMAC(
            passphrase.as_ptr().cast(),
            passphrase.len(),
            salt.as_ptr(),
            salt.len(),
            rounds,
            message_digest(Hash::Sha256),
            key.len(),
            key.as_mut_ptr(),
        )
    };
    done == 1
}

type RawOperation =
    unsafe extern "C" fn(*mut lc::RSA, *mut usize, *mut u8, usize, *const u8, usize, i32) -> i32;

/// The longest schedule of an HMAC key: two states of SHA-512.
pub(crate) const HMAC_SCHEDULE_LEN_MAX: usize = 128;

/// What an HMAC begins with.
pub(crate) enum HmacStart<'a> {
    /// A key of any length.
    Key(&'a [u8]),
    /// What [`hmac_schedule`] made of one.
    Schedule(&'a [u8]),
}

fn message_digest(hash: Hash) -> *const lc::EVP_MD {
    // SAFETY: nothing is asked of the caller; the results are static.
    unsafe {
        match hash {
            Hash::Sha1 => lc::EVP_sha1(),
            Hash::Sha256 => lc::EVP_sha256(),
            Hash::Sha384 => lc::EVP_sha384(),
            Hash::Sha512 => lc::EVP_sha512(),
        }
    }
}

/// Runs `work` on a context that has begun, and cleanses the context.
fn with_hmac<T>(
    hash: Hash,
    start: &HmacStart<'_>,
    work: impl FnOnce(*mut lc::HMAC_CTX) -> Option<T>,
) -> Option<T> {
    let mut context = MaybeUninit::<lc::HMAC_CTX>::uninit();
    let context = context.as_mut_ptr();
    let md = message_digest(hash);
    // SAFETY: the context is initialised first and cleaned up last, and stays where it is; pointer
    // and length are one slice's; a null engine asks for the library's own.
    unsafe {
        lc::HMAC_CTX_init(context);
        let begun = match start {
            HmacStart::Key(key) => {
                lc::HMAC_Init_ex(context, key.as_ptr().cast(), key.len(), md, null_mut())
            }
            HmacStart::Schedule(schedule) => {
                lc::HMAC_Init_from_precomputed_key(context, schedule.as_ptr(), schedule.len(), md)
            }
        };
        let result = if begun == 1 { work(context) } else { None };
        lc::HMAC_CTX_cleanup(context);
        result
    }
}

/// The HMAC over the parts: how many octets of `tag` it takes.
pub(crate) fn hmac(
    hash: Hash,
    start: &HmacStart<'_>,
    parts: &[&[u8]],
    tag: &mut [u8; OUTPUT_LEN_MAX],
) -> Option<usize> {
    with_hmac(hash, start, |context| {
        let mut len = 0;
        // SAFETY: the context has begun; pointer and length are one slice's; no hash here has more
        // octets than the tag.
        let done = unsafe {
            parts
                .iter()
                .all(|part| lc::HMAC_Update(context, part.as_ptr(), part.len()) == 1)
                && lc::HMAC_Final(context, tag.as_mut_ptr(), &raw mut len) == 1
        };
        done.then_some(len as usize)
    })
}

/// The two states of the hash after the padded key: how many octets of `schedule` they take.
pub(crate) fn hmac_schedule(
    hash: Hash,
    key: &[u8],
    schedule: &mut [u8; HMAC_SCHEDULE_LEN_MAX],
) -> Option<usize> {
    with_hmac(hash, &HmacStart::Key(key), |context| {
        let mut len = schedule.len();
        // SAFETY: the context has begun; the library writes no more than `len` octets, and says how
        // many.
        let done = unsafe {
            lc::HMAC_set_precomputed_key_export(context) == 1
                && lc::HMAC_get_precomputed_key(context, schedule.as_mut_ptr(), &raw mut len) == 1
        };
        done.then_some(len)
    })
}

/// The key schedules of AES, one for each direction; cleansed when dropped.
pub(crate) struct Aes {
    encrypting: lc::AES_KEY,
    decrypting: lc::AES_KEY,
}

impl Aes {
    /// A key of 16, 24 or 32 octets. What it gives does not move: it would leave its octets behind.
    pub(crate) fn new(key: &[u8]) -> Option<Box<Self>> {
        let bits = u32::try_from(8 * key.len()).ok()?;
        // SAFETY: zeroes are a value of both structures.
        let mut aes: Box<Self> = Box::new(unsafe { MaybeUninit::zeroed().assume_init() });
        // SAFETY: the library reads as many octets as there are bits, which it checks to be a
        // number of AES's, and fills the structures.
        let done = unsafe {
            lc::AES_set_encrypt_key(key.as_ptr(), bits, &raw mut aes.encrypting) == 0
                && lc::AES_set_decrypt_key(key.as_ptr(), bits, &raw mut aes.decrypting) == 0
        };
        done.then_some(aes)
    }

    /// Encrypts whole blocks in place in CBC.
    pub(crate) fn cbc_encrypt(&self, iv: [u8; 16], blocks: &mut [u8]) -> Option<()> {
        Self::cbc(&self.encrypting, iv, blocks, lc::AES_ENCRYPT)
    }

    /// Decrypts whole blocks in place in CBC.
    pub(crate) fn cbc_decrypt(&self, iv: [u8; 16], blocks: &mut [u8]) -> Option<()> {
        Self::cbc(&self.decrypting, iv, blocks, lc::AES_DECRYPT)
    }

    fn cbc(key: &lc::AES_KEY, mut iv: [u8; 16], blocks: &mut [u8], direction: i32) -> Option<()> {
        if !blocks.len().is_multiple_of(iv.len()) {
            return None;
        }
        let (octets, len) = (blocks.as_mut_ptr(), blocks.len());
        // SAFETY: input and output are the same slice, which the library allows, of whole blocks;
        // the schedule is that of the direction; the IV is a block that it may change.
        unsafe { lc::AES_cbc_encrypt(octets, octets, len, key, iv.as_mut_ptr(), direction) };
        Some(())
    }
}

impl Drop for Aes {
    fn drop(&mut self) {
        // SAFETY: the pointer is that of the whole value, in which every bit pattern is a value.
        unsafe { lc::OPENSSL_cleanse((&raw mut *self).cast(), size_of::<Self>()) }
    }
}
