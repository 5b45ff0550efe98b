//! Random groups on random days, as `getvpn sim` runs them.
use sim::command::{Outcome, Work, run};
use sim::form::Rekeys;
use sim::topology::{Bounds, CALM_S};

fn told(work: &Work) -> (Outcome, String) {
    let mut out = Vec::new();
    let outcome = run(work, &mut out).expect("a vector takes it");
    (outcome, String::from_utf8(out).expect("it is text"))
}

const fn bounds() -> Bounds {
    Bounds {
        key_servers: 1..=1,
        members: 2..=8,
        calm_s: CALM_S,
        rekeys: Rekeys::Any,
    }
}

#[test]
fn a_few_short_days_keep_every_promise_and_ask_for_many_packets() {
    let (outcome, text) = told(&Work::Seeds {
        first: 1,
        count: 4,
        hours: 3,
        bounds: bounds(),
    });
    assert_eq!(outcome, Outcome::Green, "{text}");
    let last = text.lines().last().unwrap();
    assert_eq!(last, "seeds 4  virtual hours 12  violations 0");
    let figures = text.lines().rev().nth(1).unwrap();
    let words: Vec<&str> = figures.split_whitespace().collect();
    let number = |place: usize| words[place].parse::<u64>().unwrap();
    assert!(number(1) > 4_000 && number(5) > 2_000, "{figures}");
}

#[test]
fn a_seed_replays_to_the_last_line() {
    let work = Work::Explain {
        seed: 9,
        hours: 2,
        bounds: bounds(),
    };
    let (outcome, first) = told(&work);
    assert_eq!(outcome, Outcome::Green);
    assert!(first.contains("GROUPKEY PULL") && first.contains("healed"));
    assert!(told(&work).1 == first, "another ladder");
}
