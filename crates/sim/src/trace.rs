//! What happened, for people and for comparing two runs.

use std::fmt::Debug;

use crate::clock::Micros;
use crate::world::Happening;

/// What happened: a hash of all of it, and the lines if somebody wants to read them.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    is_shown: bool,
    hash: u64,
}

impl Trace {
    pub(crate) fn new(is_shown: bool) -> Self {
        Self { is_shown, hash: 0xcbf2_9ce4_8422_2325 }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    fn feed(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    pub(crate) fn happening(&mut self, now: Micros, happening: &Happening) {
        self.feed(now);
        match happening {
            Happening::Work(host, life, work) => {
                self.feed(*host as u64 + (life << 8));
                self.feed(u64::from(work.is_data()));
            }
            Happening::Arrive(arrival) => {
                let envelope = &arrival.envelope;
                self.feed(arrival.from as u64 + 256 * arrival.to as u64);
                self.feed(envelope.epoch.0 + (u64::from(envelope.partition.0) << 32));
                self.feed(envelope.from.session.0 + (envelope.to.session.0 << 32));
                self.show(now, envelope);
            }
            Happening::Disk(host, ..) => self.feed(*host as u64 + 512),
            other => {
                self.feed(1_024);
                if !matches!(other, Happening::Client(_) | Happening::Probe(..) | Happening::Election) {
                    self.show(now, other);
                }
            }
        }
    }

    fn show(&self, now: Micros, what: &impl Debug) {
        if self.is_shown {
            let mut line = format!("{what:?}");
            line.truncate((0..=400).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0));
            println!("{:>12.6} {line}", now as f64 / 1e6);
        }
    }

    /// A line for people.
    pub(crate) fn say(&self, now: Micros, line: impl FnOnce() -> String) {
        if self.is_shown {
            println!("{:>12.6} * {}", now as f64 / 1e6, line());
        }
    }
}
