//! What we write and what OpenSSL writes, read by both.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::SeededRng;
use crate::ecdsa::Curve;
use crate::fixture::{NOT_SECRET_RSA_2048_PKCS8, not_secret_pkcs8, not_secret_rsa_2048};
use crate::key_pair::Size;

const BOTH: [Protection; 2] = [Protection::TripleDes, Protection::Aes256];

fn secret(text: &str) -> Secret {
    Secret::copy_of(text.as_bytes())
}

fn pkcs8() -> Secret {
    Secret::copy_of(NOT_SECRET_RSA_2048_PKCS8)
}

fn sealed(protection: Protection) -> String {
    let mut rng = SeededRng::from_number(1);
    seal(&pkcs8(), &secret("correct horse"), protection, &mut rng).unwrap()
}

#[expect(clippy::print_stdout, reason = "a test that could not be made says so")]
fn skipped() {
    println!("skipped: there is no openssl program");
}

/// Runs the openssl program, if there is one, with `input`; its output, or `None` if it refuses.
fn openssl(arguments: &[&str], input: &str) -> Option<Option<String>> {
    let child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        skipped();
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    // It may have refused before it has read everything.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Some(
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap()),
    )
}

#[test]
fn what_is_sealed_opens_with_its_passphrase_and_no_other() {
    for protection in BOTH {
        let text = sealed(protection);
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        assert!(text.lines().all(|line| line.len() <= 64));
        let opened = open(Kind::Rsa, &text, &secret("correct horse")).unwrap();
        let key = PrivateKey::from_pkcs8(Kind::Rsa, opened.expose()).unwrap();
        let own = not_secret_rsa_2048();
        assert_eq!(
            key.public_key().to_spki_der(),
            own.public_key().to_spki_der()
        );
        for wrong in ["correct hors", "correct horse ", "", "x\0y"] {
            assert_eq!(
                open(Kind::Rsa, &text, &secret(wrong)).err(),
                Some(Refusal::Passphrase)
            );
        }
    }
}

#[test]
fn no_two_exports_are_alike_and_none_holds_the_key() {
    let mut rng = SeededRng::from_number(1);
    let mut export = || {
        seal(
            &pkcs8(),
            &secret("correct horse"),
            Protection::Aes256,
            &mut rng,
        )
    };
    let (first, second) = (export().unwrap(), export().unwrap());
    assert_ne!(first, second);
    let der = body(&first).unwrap();
    let part = &NOT_SECRET_RSA_2048_PKCS8[100..116];
    assert!(!der.windows(part.len()).any(|window| window == part));
}

#[test]
fn a_text_that_is_no_key_is_refused_by_name() {
    let phrase = secret("correct horse");
    let refusal = |text: &str| open(Kind::Rsa, text, &phrase).err().unwrap();
    assert_eq!(refusal(""), Refusal::NoKey);
    let public = public(&PublicKey::Rsa(not_secret_rsa_2048().public_key().clone()));
    assert_eq!(refusal(&public), Refusal::NoKey);
    assert_eq!(refusal(&"x".repeat(LEN_MAX + 1)), Refusal::TooLong);
    let clear = armour("PRIVATE KEY", NOT_SECRET_RSA_2048_PKCS8);
    assert_eq!(refusal(&clear), Refusal::Clear);
    let text = sealed(Protection::Aes256);
    let cut = text.lines().take(10).collect::<Vec<_>>().join("\n");
    assert_eq!(refusal(&cut), Refusal::NoKey);
    let damaged = text.replacen('\n', "\nAAAA", 1);
    assert_eq!(refusal(&damaged), Refusal::Passphrase);
}

#[test]
fn a_public_key_beside_it_must_be_its_half() {
    let text = sealed(Protection::Aes256);
    let public = public(&PublicKey::Rsa(not_secret_rsa_2048().public_key().clone()));
    let phrase = secret("correct horse");
    assert!(open(Kind::Rsa, &format!("{public}{text}"), &phrase).is_ok());
    assert!(open(Kind::Rsa, &format!("{text}\r\n{public}"), &phrase).is_ok());
    let other = armour("PUBLIC KEY", &[0x30, 0]);
    let both = format!("{other}{text}");
    assert_eq!(
        open(Kind::Rsa, &both, &phrase).err(),
        Some(Refusal::OtherPublicKey)
    );
}

#[test]
fn base64_of_every_length_reads_back() {
    for len in 0..200_u8 {
        let octets: Vec<u8> = (0..len).map(|octet| octet.wrapping_mul(37)).collect();
        assert_eq!(body(&armour("X", &octets)).unwrap(), octets);
    }
}

#[test]
fn openssl_reads_what_we_write() {
    let reading = ["pkey", "-passin", "pass:correct horse", "-pubout"];
    for protection in BOTH {
        let text = sealed(protection);
        let Some(read) = openssl(&reading, &text) else {
            return;
        };
        let own = public(&PublicKey::Rsa(not_secret_rsa_2048().public_key().clone()));
        assert_eq!(read.as_deref(), Some(own.as_str()), "{protection:?}");
        let wrong = ["pkey", "-passin", "pass:correct hors", "-pubout"];
        assert_eq!(openssl(&wrong, &text), Some(None));
    }
}

#[test]
fn we_read_what_openssl_writes_in_each_of_its_forms() {
    let clear = armour("PRIVATE KEY", NOT_SECRET_RSA_2048_PKCS8);
    let phrase = "pass:correct horse";
    for form in [
        &["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", phrase][..],
        &[
            "pkcs8",
            "-topk8",
            "-v2",
            "aes-128-cbc",
            "-v2prf",
            "hmacWithSHA1",
            "-passout",
            phrase,
        ],
        &["pkcs8", "-topk8", "-v2", "des3", "-passout", phrase],
        &["rsa", "-traditional", "-des3", "-passout", phrase],
        &["rsa", "-traditional", "-aes256", "-passout", phrase],
    ] {
        let Some(written) = openssl(form, &clear) else {
            return;
        };
        let written = written.unwrap_or_else(|| panic!("openssl refuses {form:?}"));
        let opened = open(Kind::Rsa, &written, &secret("correct horse"));
        let opened = opened.unwrap_or_else(|refusal| panic!("{form:?}: {refusal}"));
        let key = PrivateKey::from_pkcs8(Kind::Rsa, opened.expose()).unwrap();
        assert_eq!(
            key.public_key().to_spki_der(),
            not_secret_rsa_2048().public_key().to_spki_der(),
            "{form:?}"
        );
        assert_eq!(
            open(Kind::Rsa, &written, &secret("other")).err(),
            Some(Refusal::Passphrase)
        );
    }
}

#[test]
fn a_key_of_another_kind_is_named() {
    let elliptic = [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-aes-256-cbc",
        "-pass",
        "pass:correct horse",
    ];
    let small = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:1024",
        "-aes-256-cbc",
        "-pass",
        "pass:correct horse",
    ];
    for (arguments, refusal) in [
        (elliptic, Refusal::OtherKind(Kind::Rsa)),
        (small, Refusal::Unfit(Error::ModulusSize { bits: 1024 })),
    ] {
        let Some(written) = openssl(&arguments, "") else {
            return;
        };
        let written = written.expect("openssl makes a key");
        assert_eq!(
            open(Kind::Rsa, &written, &secret("correct horse")).err(),
            Some(refusal)
        );
    }
}

/// What `openssl genpkey` is told for a curve.
fn elliptic(curve: &str) -> [String; 8] {
    [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        &format!("ec_paramgen_curve:{curve}"),
        "-aes-256-cbc",
        "-pass",
        "pass:correct horse",
    ]
    .map(str::to_owned)
}

#[test]
fn ec_keys_of_each_curve_go_out_and_come_back_and_openssl_reads_them() {
    let phrase = secret("correct horse");
    for curve in Curve::ALL {
        let pkcs8 = not_secret_pkcs8(Size::Ec(curve));
        let own = PrivateKey::from_pkcs8(Kind::Ec, pkcs8.expose()).unwrap();
        let own = public(&own.public_key());
        let mut rng = SeededRng::from_number(1);
        let text = seal(&pkcs8, &phrase, Protection::Aes256, &mut rng).unwrap();
        let opened = open(Kind::Ec, &format!("{own}{text}"), &phrase).unwrap();
        let key = PrivateKey::from_pkcs8(Kind::Ec, opened.expose()).unwrap();
        assert_eq!(public(&key.public_key()), own);
        assert_eq!(
            open(Kind::Rsa, &text, &phrase).err(),
            Some(Refusal::OtherKind(Kind::Rsa))
        );
        let reading = ["pkey", "-passin", "pass:correct horse", "-pubout"];
        let Some(read) = openssl(&reading, &text) else {
            return;
        };
        assert_eq!(read.as_deref(), Some(own.as_str()), "{curve:?}");
    }
}

#[test]
fn ec_keys_that_openssl_makes_are_read_and_those_of_other_curves_refused() {
    let phrase = secret("correct horse");
    for curve in ["P-256", "P-384", "P-521"] {
        let arguments = elliptic(curve);
        let Some(written) = openssl(&arguments.each_ref().map(String::as_str), "") else {
            return;
        };
        let written = written.expect("openssl makes a key");
        assert!(open(Kind::Ec, &written, &phrase).is_ok(), "{curve}");
        let older = ["ec", "-passin", "pass:correct horse", "-aes256", "-passout"];
        let older = [&older[..], &["pass:correct horse"]].concat();
        let older = openssl(&older, &written).flatten();
        let older = older.expect("openssl writes the form before PKCS#8");
        assert!(open(Kind::Ec, &older, &phrase).is_ok(), "{curve}: {older}");
    }
    let other = elliptic("secp224r1");
    let Some(Some(written)) = openssl(&other.each_ref().map(String::as_str), "") else {
        return;
    };
    let refused = open(Kind::Ec, &written, &phrase).err();
    let unfit = matches!(refused, Some(Refusal::Unfit(Error::Encoding { .. })));
    assert!(unfit, "{refused:?}");
    let rsa = sealed(Protection::Aes256);
    assert_eq!(
        open(Kind::Ec, &rsa, &phrase).err(),
        Some(Refusal::OtherKind(Kind::Ec))
    );
}
