//! The guide's network in virtual time.

use std::time::Duration;

use sim::VirtualWorld;
use sim::guide;
use sim::link::Link;
use sim::scenario::{Action, Measure, World as _};

/// The guide's network with both members registered, and traffic between their hosts.
fn busy_world(seed: u64, pps: u32) -> VirtualWorld {
    let mut world = guide::world(seed, &Link::default()).expect("the configurations are right");
    guide::boot(&mut world).expect("both members register");
    let traffic = Action::Traffic {
        from: "h1".into(),
        to: "h2".into(),
        pps,
        octets: 200,
    };
    world.act(&traffic).expect("both hosts exist");
    world
}

fn run_for(world: &mut VirtualWorld, span: Duration) {
    world.run_until(world.now() + span);
    assert!(world.violations().is_empty(), "{:#?}", world.violations());
}

#[test]
fn hosts_talk_through_a_rekey_without_a_loss() {
    let mut world = busy_world(1, 100);
    run_for(&mut world, Duration::from_secs(5));
    world.exec("ks1", "crypto gdoi ks rekey").unwrap();
    run_for(&mut world, Duration::from_secs(90));
    for measure in [Measure::Lost, Measure::Reordered, Measure::Duplicated] {
        assert_eq!(world.measured(measure), 0, "{measure}");
    }
    let log = &world.node("gm1").unwrap().log;
    let said = |what: &str| log.iter().filter(|(_, line)| line.contains(what)).count();
    assert_eq!(said("%GDOI-5-GM_RECV_REKEY"), 1);
    assert_eq!(
        said("%GDOI-4-GM_RE_REGISTER"),
        0,
        "a rekey is no reason to register again"
    );
}

#[test]
fn hours_of_scheduled_rekeys_lose_nothing() {
    let mut world = busy_world(2, 2);
    run_for(&mut world, Duration::from_secs(2 * 3_600));
    assert_eq!(world.measured(Measure::Lost), 0);
    let log = &world.node("gm2").unwrap().log;
    let rekeys = log
        .iter()
        .filter(|(_, line)| line.contains("GM_RECV_REKEY"))
        .count();
    assert!(rekeys >= 2, "{rekeys} rekeys in two hours");
    assert!(!log.iter().any(|(_, line)| line.contains("GM_RE_REGISTER")));
}

#[test]
fn the_ladder_of_a_registration_and_a_rekey() {
    let mut world = guide::world(3, &Link::default()).unwrap();
    for name in ["ks1", "gm1"] {
        world.start(name).unwrap();
        if name == "ks1" {
            world
                .exec("ks1", "crypto key generate rsa label get modulus 2048")
                .unwrap();
            run_for(&mut world, Duration::from_secs(1));
            world.explain();
        }
    }
    run_for(&mut world, Duration::from_secs(2));
    world.exec("ks1", "crypto gdoi ks rekey").unwrap();
    run_for(&mut world, Duration::from_secs(20));
    insta::assert_snapshot!(world.transcript());
}
