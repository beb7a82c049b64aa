//! Valid histories: clients of a single copy that each operation reaches at a random instant.

use simpledynamo_verify::{Condition, Event, Operation, Outcome, State, Value};

/// A source of numbers that depends on the seed only (Steele, Lea and Flood: splitmix64, OOPSLA 2014).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What clients do to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// `GET` and `SET` of unique values.
    Register,
    /// The same, `DEL`, `GETDEL` and all conditions, with unique values.
    Conditional,
    /// The same with five values only.
    FewValues,
    /// `INCR` and `GET`.
    Counter,
    /// The same, and now and then `DEL`, so that numbers come again.
    CounterReset,
}

pub(crate) const MIXES: [Mix; 5] =
    [Mix::Register, Mix::Conditional, Mix::FewValues, Mix::Counter, Mix::CounterReset];

/// How much is done to a key, and how well it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) mix: Mix,
    pub(crate) clients: u32,
    pub(crate) operations: usize,
    /// Percent of operations whose outcome is never learned; half of them take effect.
    pub(crate) unknown: u64,
    /// Percent of operations that fail for certain.
    pub(crate) failed: u64,
}

/// The most ticks from request to effect, from effect to reply, and between two requests.
const LATENCY: u64 = 100;

/// An operation of unknown outcome takes effect at most this many ticks after it was invoked.
const LATE: u64 = 5_000;

/// A valid history of a key that starts without a value.
pub(crate) fn simulate(load: Load, dice: &mut Dice) -> Vec<Event> {
    let mut plans = Vec::with_capacity(load.operations);
    let mut free_at = vec![0; load.clients as usize];
    for _ in 0..load.operations {
        let next = (0..free_at.len()).min_by_key(|client| free_at[*client]).expect("there are clients");
        let plan = plan(load, next as u32, free_at[next], dice);
        free_at[next] = plan.returned;
        plans.push(plan);
    }
    plans.sort_by_key(|plan| plan.effect);
    let mut copy = Copy { mix: load.mix, state: None, values: 0 };
    plans.into_iter().map(|plan| copy.carry_out(&plan, dice)).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    Failed,
    Lost { takes_effect: bool },
}

struct Plan {
    client: u32,
    invoked: u64,
    effect: u64,
    returned: u64,
    fate: Fate,
}

fn plan(load: Load, client: u32, free_at: u64, dice: &mut Dice) -> Plan {
    let invoked = free_at + dice.below(LATENCY) + 1;
    let effect = invoked + dice.below(LATENCY);
    let returned = effect + dice.below(LATENCY);
    let (fate, effect) = match dice.below(100) {
        draw if draw < load.unknown => {
            (Fate::Lost { takes_effect: dice.percent(50) }, invoked + dice.below(LATE))
        }
        draw if draw < load.unknown + load.failed => (Fate::Failed, effect),
        _ => (Fate::Answered, effect),
    };
    Plan { client, invoked, effect, returned, fate }
}

/// The single copy.
struct Copy {
    mix: Mix,
    state: State,
    values: u32,
}

impl Copy {
    fn carry_out(&mut self, plan: &Plan, dice: &mut Dice) -> Event {
        let operation = self.choose(dice);
        let (after, reply) = operation.apply(self.state);
        if matches!(plan.fate, Fate::Answered | Fate::Lost { takes_effect: true }) {
            self.state = after;
        }
        let outcome = match plan.fate {
            Fate::Answered => Outcome::Known { reply, returned: plan.returned },
            Fate::Failed => Outcome::Failed { returned: plan.returned },
            Fate::Lost { .. } => Outcome::Unknown,
        };
        Event { client: plan.client, operation, invoked: plan.invoked, outcome }
    }

    fn choose(&mut self, dice: &mut Dice) -> Operation {
        let want_old = dice.percent(30);
        match (self.mix, dice.below(10)) {
            (_, 0..=3) => Operation::Read,
            (Mix::Register, _) => self.set(Condition::Always, false, dice),
            (Mix::CounterReset, 9) => Operation::Delete { condition: Condition::Always, want_old },
            (Mix::Counter | Mix::CounterReset, _) => Operation::Increment(1),
            (_, 4..=5) => self.set(Condition::Always, want_old, dice),
            (_, 6) => self.set(Condition::Absent, want_old, dice),
            (_, 7) => self.set(Condition::Present, want_old, dice),
            (_, 8) => {
                let condition = self.equals(dice);
                self.set(condition, want_old, dice)
            }
            _ => {
                let condition = if dice.percent(50) { Condition::Always } else { self.equals(dice) };
                Operation::Delete { condition, want_old }
            }
        }
    }

    fn set(&mut self, condition: Condition, want_old: bool, dice: &mut Dice) -> Operation {
        let number = if self.mix == Mix::FewValues { dice.below(5) as u32 } else { self.values };
        self.values += 1;
        Operation::Set { value: Value::Text(number), condition, want_old }
    }

    /// Mostly the value that is there.
    fn equals(&self, dice: &mut Dice) -> Condition {
        let other = Value::Text(dice.below(u64::from(self.values) + 1) as u32);
        Condition::Equals(self.state.filter(|_| dice.percent(70)).unwrap_or(other))
    }
}
