//! The guide's network in virtual time.

use std::time::Duration;

use sim::VirtualWorld;
use sim::guide;
use sim::link::Link;
use sim::scenario::{self, Action, Measure, World as _};

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

/// The lab plays the same file with the real program.
#[test]
fn the_scenario_of_rekeys_and_restarts_holds_in_every_world() {
    let text = include_str!("../../../scenarios/rekey-and-restart.scn");
    let scenario = scenario::parse(text).expect("every line is one");
    for seed in 1..=5 {
        let mut world = guide::world(seed, &Link::default()).expect("it can be built");
        guide::boot(&mut world).expect("both members register");
        let failures = scenario::run(&scenario, &mut world);
        assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
        assert!(world.violations().is_empty(), "{:#?}", world.violations());
    }
}

/// PROTOCOL P21. Until the member has registered again its hosts are cut off, and never in clear; no
/// IV comes twice, which the world itself watches.
#[test]
fn a_member_that_was_resumed_from_an_image_sends_nothing_until_it_registered_again() {
    let mut world = busy_world(4, 100);
    run_for(&mut world, Duration::from_secs(5));
    let sids = |world: &mut VirtualWorld| world.exec("gm1", "show crypto gdoi | json").unwrap();
    let before = sids(&mut world);
    world.resume("gm1").unwrap();
    let shown = world.exec("gm1", "show crypto gdoi").unwrap();
    assert!(shown.contains("Resumed from suspend  : 1"), "{shown}");
    assert!(!shown.contains(": Registered"), "{shown}");
    run_for(&mut world, Duration::from_secs(10));
    let shown = world.exec("gm1", "show crypto gdoi").unwrap();
    assert!(shown.contains(": Registered"), "{shown}");
    assert_ne!(sids(&mut world), before);
    let log = &world.node("gm1").unwrap().log;
    assert!(
        log.iter()
            .any(|(_, line)| line.contains("%GDOI-4-GM_RESUMED"))
    );
    let lost = world.measured(Measure::Lost);
    assert!((1..200).contains(&lost), "{lost} lost while it registered");
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
    for name in ["ks1", "ks2", "gm1"] {
        world.start(name).unwrap();
        if name == "ks2" {
            world
                .exec("ks1", "crypto key generate rsa label get modulus 2048")
                .unwrap();
            run_for(&mut world, Duration::from_secs(1));
            world.explain();
        }
    }
    run_for(&mut world, Duration::from_secs(2));
    world.exec("ks1", "crypto gdoi ks rekey").unwrap();
    run_for(&mut world, Duration::from_secs(2));
    insta::assert_snapshot!(world.transcript());
}
