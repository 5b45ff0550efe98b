//! The cipher work of whole batches.
//!
//! Decides nothing: it encrypts and authenticates what the pipeline has laid out, in place. The
//! trait is over batches, so that an engine that works on several packets at once fits behind it.

use std::sync::Arc;

use crypto::aead::{NONCE_LEN, TAG_LEN};
use crypto::{BadTag, cbc, hmac};

use crate::esp::ESP_HEADER;
use crate::frame::FrameBuf;
use crate::sadb::{Sa, Suite};

/// Octets of the explicit IV of GCM and GMAC.
const COUNTER_IV: usize = 8;

/// One ESP packet of a batch.
#[derive(Copy, Clone, Debug)]
pub struct Job {
    /// Which frame of the batch.
    pub frame: usize,
    /// Which SA of the list.
    pub sa: usize,
    /// Where in the frame the ESP header begins; the packet reaches to the end of the frame.
    pub esp: usize,
    /// Set by the engine: the packet was sealed, or its ICV verified and it was decrypted.
    pub done: bool,
}

/// Something that can seal and open batches.
pub trait Engine {
    /// Encrypts every packet of `jobs` and writes its ICV. The ESP header, IV, payload, padding and
    /// trailer are in place, and the octets of the ICV are there to be written.
    fn seal_batch<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        sas: &[Arc<Sa>],
        frames: &mut [FrameBuf<M>],
        jobs: &mut [Job],
    );

    /// Verifies every packet of `jobs` and decrypts its payload, padding and trailer in place. What
    /// does not verify is not `done`, and its octets mean nothing.
    fn open_batch<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        sas: &[Arc<Sa>],
        frames: &mut [FrameBuf<M>],
        jobs: &mut [Job],
    );
}

/// AWS-LC, one packet after the other.
#[derive(Copy, Clone, Debug, Default)]
pub struct AwsLc;

impl Engine for AwsLc {
    fn seal_batch<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        sas: &[Arc<Sa>],
        frames: &mut [FrameBuf<M>],
        jobs: &mut [Job],
    ) {
        for job in jobs {
            let esp = &mut frames[job.frame].octets_mut()[job.esp..];
            job.done = seal(&sas[job.sa], esp).is_some();
        }
    }

    fn open_batch<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        sas: &[Arc<Sa>],
        frames: &mut [FrameBuf<M>],
        jobs: &mut [Job],
    ) {
        for job in jobs {
            let esp = &mut frames[job.frame].octets_mut()[job.esp..];
            job.done = open(&sas[job.sa], esp).is_some();
        }
    }
}

//= RFC 4106 4
//# The nonce passed to the GCM-AES
//# encryption algorithm has the following layout:
fn nonce(salt: [u8; 4], esp: &[u8]) -> Option<[u8; NONCE_LEN]> {
    let iv: &[u8; COUNTER_IV] = esp.get(ESP_HEADER..)?.first_chunk()?;
    let mut nonce = [0; NONCE_LEN];
    nonce[..4].copy_from_slice(&salt);
    nonce[4..].copy_from_slice(iv);
    Some(nonce)
}

fn seal(sa: &Sa, esp: &mut [u8]) -> Option<()> {
    let (covered, icv) = esp.split_at_mut(esp.len().checked_sub(sa.layout.icv_len)?);
    match &sa.suite {
        Suite::Gcm { key, salt } => {
            let nonce = nonce(*salt, covered)?;
            //= RFC 4106 5
            //# The authentication of data integrity and data origin for the SPI and
            //# (Extended) Sequence Number fields is provided without encryption.
            let (header, data) = covered.split_at_mut(ESP_HEADER + COUNTER_IV);
            let tag = key.seal_in_place(&nonce, &header[..ESP_HEADER], data);
            icv.copy_from_slice(&tag);
        }
        Suite::Gmac { key, salt } => {
            //= RFC 4543 3.5
            //# The essential difference is
            //# that in this document, the AAD consists of the SPI, Sequence Number,
            //# and ESP Payload, and the AES-GCM plaintext is zero-length
            icv.copy_from_slice(&key.sign(&nonce(*salt, covered)?, covered));
        }
        Suite::CbcHmac { cipher, mac } => {
            encrypt(cipher, covered)?;
            sign(mac, covered, icv)?;
        }
        Suite::NullHmac { mac } => sign(mac, covered, icv)?,
    }
    Some(())
}

fn encrypt(cipher: &cbc::Cipher, covered: &mut [u8]) -> Option<()> {
    let block = cipher.algorithm().block_len();
    let (header, data) = covered.split_at_mut_checked(ESP_HEADER + block)?;
    cipher.encrypt(&header[ESP_HEADER..], data).ok().map(drop)
}

fn sign(mac: &hmac::Key, covered: &[u8], icv: &mut [u8]) -> Option<()> {
    let tag = mac.sign(&[covered]);
    icv.copy_from_slice(tag.as_ref().get(..icv.len())?);
    Some(())
}

fn open(sa: &Sa, esp: &mut [u8]) -> Option<()> {
    let (covered, icv) = esp.split_at_mut(esp.len().checked_sub(sa.layout.icv_len)?);
    match &sa.suite {
        Suite::Gcm { key, salt } => {
            let nonce = nonce(*salt, covered)?;
            let tag: &[u8; TAG_LEN] = (&*icv).try_into().ok()?;
            let (header, data) = covered.split_at_mut_checked(ESP_HEADER + COUNTER_IV)?;
            verified(key.open_in_place(&nonce, &header[..ESP_HEADER], data, tag))
        }
        Suite::Gmac { key, salt } => {
            let tag: &[u8; TAG_LEN] = (&*icv).try_into().ok()?;
            verified(key.verify(&nonce(*salt, covered)?, covered, tag))
        }
        Suite::CbcHmac { cipher, mac } => {
            if !mac.verify_truncated(&[&*covered], icv, icv.len()) {
                return None;
            }
            let block = cipher.algorithm().block_len();
            let (header, data) = covered.split_at_mut_checked(ESP_HEADER + block)?;
            cipher.decrypt(&header[ESP_HEADER..], data).ok().map(drop)
        }
        Suite::NullHmac { mac } => mac
            .verify_truncated(&[&*covered], icv, icv.len())
            .then_some(()),
    }
}

fn verified(result: Result<(), BadTag>) -> Option<()> {
    result.ok()
}
