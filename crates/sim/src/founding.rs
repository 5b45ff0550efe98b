//! Key servers that are founded apart: each part makes keys of its own for the same members, and
//! later they meet, one part after the other in any order (PROTOCOL P15).
//!
//! Decides who is apart and who meets whom next. Until all have met nothing is promised between
//! members of different parts; what comes after is judged as always.

use crypto::SeededRng;

use crate::link::below;
use crate::network::Fault;
use crate::node::NodeId;
use crate::world::VirtualWorld;

/// The parts that still are apart.
pub(crate) struct Founding {
    parts: Vec<Vec<NodeId>>,
}

impl Founding {
    /// Parts of the key servers: two, or where there are enough of them three.
    pub(crate) fn draw(servers: &[NodeId], dice: &mut SeededRng) -> Self {
        let most = servers.len().min(3) as u64;
        let count = if most == 3 { 2 + below(2, dice) } else { most };
        let mut parts = vec![Vec::new(); usize::try_from(count).unwrap_or(1)];
        for (place, server) in servers.iter().enumerate() {
            let any = usize::try_from(below(count, dice)).unwrap_or(0);
            // The first ones see to it that no part is empty.
            let part = if place < parts.len() { place } else { any };
            parts[part].push(*server);
        }
        Self { parts }
    }

    /// How many parts there are.
    pub(crate) fn count(&self) -> usize {
        self.parts.len()
    }

    /// The first key server of every part.
    fn firsts(&self) -> impl Iterator<Item = NodeId> {
        self.parts.iter().filter_map(|part| part.first().copied())
    }
}

impl VirtualWorld {
    /// Nothing passes between the parts.
    pub(crate) fn keep_apart(&mut self, founding: &Founding) {
        for (place, part) in founding.parts.iter().enumerate() {
            for other in &founding.parts[place + 1..] {
                for (&a, &b) in part.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
                    self.network.suffer(a, b, Fault::cut());
                    self.network.suffer(b, a, Fault::cut());
                }
            }
        }
    }

    /// An operator makes a rekey key in every part. They are the same one, as if it had been made
    /// once and imported: members of another would not believe a rekey that this one signs.
    pub(crate) fn make_rekey_keys(&mut self, founding: &Founding, line: &str) {
        let now = self.now;
        if let Some(model) = &mut self.reference {
            model.founded_apart(now);
        }
        for first in founding.firsts().collect::<Vec<_>>() {
            self.order(first, line);
        }
    }

    /// Two of the parts meet.
    pub(crate) fn meet(&mut self, founding: &mut Founding, dice: &mut SeededRng) {
        let count = founding.parts.len() as u64;
        let mut draw = |below_count| usize::try_from(below(below_count, dice)).unwrap_or(0);
        let one = founding.parts.remove(draw(count));
        let place = draw(count - 1);
        for (&a, &b) in one
            .iter()
            .flat_map(|a| founding.parts[place].iter().map(move |b| (a, b)))
        {
            self.network.mend(a, b);
            self.network.mend(b, a);
        }
        self.note(|_| format!("{one:?} meet {:?}", founding.parts[place]));
        founding.parts[place].extend(one);
        self.survey();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_server_is_in_one_part_and_no_part_is_empty() {
        for seed in 0..50 {
            let mut dice = SeededRng::from_number(seed);
            for count in 2..=8 {
                let servers: Vec<NodeId> = (0..count).collect();
                let founding = Founding::draw(&servers, &mut dice);
                assert!((2..=3).contains(&founding.count()) && founding.count() <= count);
                assert!(founding.parts.iter().all(|part| !part.is_empty()));
                let mut all = founding.parts.concat();
                all.sort_unstable();
                assert_eq!(all, servers);
            }
        }
    }
}
