//! What a node counts about its clients.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use simpledynamo_chain::{Outcome, Reading};

use crate::commands::{COMMANDS, CommandFigures, CommandId};

/// Counters since the process started, or since `CONFIG RESETSTAT`.
pub(crate) struct Counters {
    pub(crate) connections: Counter,
    pub(crate) rejected_connections: Counter,
    pub(crate) commands: Counter,
    pub(crate) input_bytes: Counter,
    pub(crate) output_bytes: Counter,
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) expired: Counter,
    by_command: RefCell<Vec<CommandFigures>>,
    /// When somebody last looked at the clock.
    clock: Cell<Instant>,
}

/// A number that only rises.
#[derive(Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.set(self.0.get() + count as u64);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            connections: Counter::default(),
            rejected_connections: Counter::default(),
            commands: Counter::default(),
            input_bytes: Counter::default(),
            output_bytes: Counter::default(),
            hits: Counter::default(),
            misses: Counter::default(),
            expired: Counter::default(),
            by_command: RefCell::new(vec![CommandFigures::default(); COMMANDS.len()]),
            clock: Cell::new(Instant::now()),
        }
    }

    /// Looks at the clock, before requests are taken up.
    pub(crate) fn look_at_clock(&self) {
        self.clock.set(Instant::now());
    }

    /// When a request that is taken up now begins: where the one before it ended, if that was answered at once.
    pub(crate) fn clock(&self) -> Instant {
        self.clock.get()
    }

    /// A command was carried out.
    pub(crate) fn called(&self, command: CommandId, began: Instant, has_failed: bool) {
        self.look_at_clock();
        let took = self.clock().saturating_duration_since(began);
        self.commands.add(1);
        let figures = &mut self.by_command.borrow_mut()[command.index()];
        figures.calls += 1;
        figures.micros += u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        figures.failed += u64::from(has_failed);
    }

    /// A read of one key was answered, or not; writes do not count.
    pub(crate) fn read(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Read(Reading::Absent) => self.misses.add(1),
            Outcome::Read(_) => self.hits.add(1),
            _ => {}
        }
    }

    /// A command was refused before anything was done.
    pub(crate) fn rejected(&self, command: CommandId) {
        self.by_command.borrow_mut()[command.index()].rejected += 1;
    }

    /// The counters of each command that was used.
    pub(crate) fn by_command(&self) -> Vec<(CommandId, CommandFigures)> {
        let figures = self.by_command.borrow();
        CommandId::all()
            .filter_map(|id| {
                let figures = figures[id.index()];
                (figures != CommandFigures::default()).then_some((id, figures))
            })
            .collect()
    }

    /// Starts again from 0.
    pub(crate) fn reset(&self) {
        let fresh = Self::new();
        for (counter, zero) in [
            (&self.connections, &fresh.connections),
            (&self.rejected_connections, &fresh.rejected_connections),
            (&self.commands, &fresh.commands),
            (&self.input_bytes, &fresh.input_bytes),
            (&self.output_bytes, &fresh.output_bytes),
            (&self.hits, &fresh.hits),
            (&self.misses, &fresh.misses),
            (&self.expired, &fresh.expired),
        ] {
            counter.0.set(zero.get());
        }
        self.by_command.swap(&fresh.by_command);
    }
}
