//! What a key server finds on its disk.
//!
//! A row that is damaged must be named; one that reads as something must not bring the box down,
//! however little sense it makes.

use std::time::Duration;

use crypto::Secret;
use gdoi::BootId;
use gdoi::machine::Record;

use super::ks::configuration;
use super::script::Script;
use super::world::{GM, KS, World};

/// Rows that one script has at most.
const ROWS_MAX: usize = 8;
const GROUP: &[u8] = b"group/fuzz";
const MEMBER: &[u8] = b"member/fuzz/10.1.20.2";
const RSA: &[u8] = b"rsa/rekey";

/// A state file, and a key server that starts with it.
pub fn gdoi_state(bytes: &[u8]) {
    restore(bytes);
}

/// The key server that came up, if it did.
fn restore(bytes: &[u8]) -> Option<World> {
    let mut script = Script::new(bytes);
    let boot = BootId([script.u8() & 1; 16]);
    let mut rows = Vec::new();
    while !script.is_empty() && rows.len() < ROWS_MAX {
        let key = match script.u8() % 4 {
            0 => GROUP.to_vec(),
            1 => MEMBER.to_vec(),
            2 => RSA.to_vec(),
            _ => script.octets().to_vec(),
        };
        let value = Some(Secret::copy_of(script.octets()));
        rows.push(Record { key, value });
    }
    match World::restored(KS, GM, boot, rows) {
        Ok(mut world) => {
            world.configure(configuration(0));
            world.wait(Duration::from_secs(120));
            assert_eq!(world.machine().ks_views(world.now()).len(), 1);
            Some(world)
        }
        Err(corrupt) => {
            assert!(!corrupt.to_string().is_empty());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ks::Member;
    use super::*;

    #[test]
    fn what_a_key_server_left_brings_its_member_back() {
        let mut member = Member::join(0);
        for step in [&[0, 0][..], &[2, 1, 0]] {
            member.step(&mut Script::new(step));
        }
        let mut bytes = vec![1];
        for (key, value) in &member.world.disk {
            bytes.push(match &key[..] {
                GROUP => 0,
                MEMBER => 1,
                RSA => 2,
                other => panic!("{}", String::from_utf8_lossy(other)),
            });
            let length = u16::try_from(value.len()).unwrap();
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(value.expose());
        }
        let world = restore(&bytes).unwrap();
        assert_eq!(world.machine().ks_views(world.now())[0].members.len(), 1);
    }
}
