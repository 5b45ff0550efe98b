//! The guide's network in virtual time.

use std::time::Duration;

use policy::Time;
use sim::guide;
use sim::link::Link;
use sim::scenario::{Measure, World as _};

#[test]
fn the_members_register_and_their_hosts_talk_through_a_rekey() {
    let mut world = guide::world(1, &Link::default()).unwrap();
    world.explain();
    let booted = guide::boot(&mut world);
    println!("{}", world.transcript());
    booted.unwrap();
    world
        .act(&sim::scenario::Action::Traffic {
            from: "h1".into(),
            to: "h2".into(),
            pps: 100,
            octets: 200,
        })
        .unwrap();
    world.run_until(world.now() + Duration::from_secs(5));
    println!("{}", world.exec("ks1", "crypto gdoi ks rekey").unwrap());
    world.run_until(world.now() + Duration::from_secs(90));
    assert_eq!(world.measured(Measure::Lost), 0);
    println!("{}", world.transcript());
    assert!(world.violations().is_empty(), "{:#?}", world.violations());
    assert!(world.now() < Time::from_secs(200));
}
