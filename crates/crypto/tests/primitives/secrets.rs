use crypto::{Rng, Secret, SeededRng, aead, cbc, dh, ecdsa, hmac, rsa};

/// `silent::<T>()` compiles only if `T` has no Debug and no Display: if it had one, the compiler
/// could not choose between the implementations.
trait Silent<Choice> {
    fn silent() {}
}

struct HasDebug;
struct HasDisplay;

impl<T: ?Sized> Silent<()> for T {}
impl<T: ?Sized + std::fmt::Debug> Silent<HasDebug> for T {}
impl<T: ?Sized + std::fmt::Display> Silent<HasDisplay> for T {}

#[test]
fn nothing_that_holds_a_secret_can_be_printed() {
    <Secret as Silent<_>>::silent();
    <SeededRng as Silent<_>>::silent();
    <hmac::Key as Silent<_>>::silent();
    <cbc::Cipher as Silent<_>>::silent();
    <aead::Gcm as Silent<_>>::silent();
    <aead::Gmac as Silent<_>>::silent();
    <dh::KeyPair as Silent<_>>::silent();
    <rsa::PrivateKey as Silent<_>>::silent();
    <ecdsa::PrivateKey as Silent<_>>::silent();
}

#[test]
fn keys_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Secret>();
    shared::<hmac::Key>();
    shared::<cbc::Cipher>();
    shared::<aead::Gcm>();
    shared::<aead::Gmac>();
    shared::<dh::KeyPair>();
    shared::<rsa::PrivateKey>();
    shared::<rsa::PublicKey>();
    shared::<ecdsa::PrivateKey>();
    shared::<ecdsa::PublicKey>();
}

#[test]
fn secrets_are_equal_by_their_octets() {
    let secret = Secret::copy_of(b"secret");
    assert!(secret == Secret::new(b"secret".to_vec()));
    assert!(secret != Secret::copy_of(b"secreT"));
    assert!(secret != Secret::copy_of(b"secret "));
    assert!(secret.clone() == secret && secret.len() == 6 && !secret.is_empty());
    assert!(Secret::default().is_empty());
}

#[test]
fn a_seed_replays_and_another_gives_other_octets() {
    let draw = |mut rng: SeededRng| {
        let mut octets = [0; 64];
        rng.fill(&mut octets[..3]);
        rng.fill(&mut octets[3..]);
        octets
    };
    assert_eq!(
        draw(SeededRng::from_number(1)),
        draw(SeededRng::from_number(1))
    );
    assert_ne!(
        draw(SeededRng::from_number(1)),
        draw(SeededRng::from_number(2))
    );
    assert_eq!(
        draw(SeededRng::from_seed([7; 32])),
        draw(SeededRng::from_seed([7; 32]))
    );
    assert_ne!(
        draw(SeededRng::from_seed([7; 32])),
        draw(SeededRng::from_seed([8; 32]))
    );
}
