//! What passes on the wire, message by message.

use std::time::Duration;

use super::network::Network;
use crate::ike::Connection;

#[test]
fn main_mode_with_the_right_key_takes_six_messages() {
    let mut network = Network::fitting();
    assert!(matches!(network.connect(0), Connection::Pending(_)));
    network.run_for(Duration::from_secs(60));
    network.assert_one_sa();
    insta::assert_snapshot!(network.transcript);
}
