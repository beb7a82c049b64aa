//! Whether the answers that clients got of one key can be explained: by letting each operation take effect at
//! one moment between its call and its answer (linearizability; the search is that of Wing and Gong, 1993, with
//! the memory of dead ends that Lowe added in 2017).

use std::collections::HashSet;

/// What a client did to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Get,
    Set(String),
    SetIfAbsent(String),
    Delete,
    Increment,
}

/// What the client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Value(Option<String>),
    Done,
    Refused,
    Number(i64),
    NotANumber,
}

/// One operation. `end` is `None` if it was never answered: it may take effect at any time from its call on, or
/// never.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
    pub(crate) action: Action,
    pub(crate) told: Option<Told>,
}

/// The model: one register, one step.
fn act(state: Option<&String>, action: &Action) -> (Option<String>, Told) {
    let same = state.cloned();
    match action {
        Action::Get => (same.clone(), Told::Value(same)),
        Action::Set(value) => (Some(value.clone()), Told::Done),
        Action::SetIfAbsent(value) if state.is_none() => (Some(value.clone()), Told::Done),
        Action::SetIfAbsent(_) => (same, Told::Refused),
        Action::Delete => (None, if state.is_some() { Told::Done } else { Told::Refused }),
        Action::Increment => match state.map_or(Ok(0), |text| text.parse::<i64>()) {
            Ok(number) => (Some((number + 1).to_string()), Told::Number(number + 1)),
            Err(_) => (same, Told::NotANumber),
        },
    }
}

/// Whether some order explains all answers. At most 32 operations.
pub(crate) fn is_linearizable(ops: &[Op]) -> bool {
    assert!(ops.len() <= 32, "histories are kept short: the search is exponential");
    search(ops, 0, None, &mut HashSet::new())
}

fn search(ops: &[Op], taken: u32, state: Option<String>, dead: &mut HashSet<(u32, Option<String>)>) -> bool {
    let open = || ops.iter().enumerate().filter(|(at, _)| taken & (1 << at) == 0);
    // Whoever is answered first must have taken effect before anything that was called later.
    let Some(first_end) = open().filter_map(|(_, op)| op.end).min() else { return true };
    if dead.contains(&(taken, state.clone())) {
        return false;
    }
    for (at, op) in open() {
        if op.start > first_end {
            continue;
        }
        let (after, told) = act(state.as_ref(), &op.action);
        let fits = op.told.as_ref().is_none_or(|expected| *expected == told);
        if fits && search(ops, taken | (1 << at), after, dead) {
            return true;
        }
    }
    dead.insert((taken, state));
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(start: u64, end: u64, action: Action, told: Told) -> Op {
        Op { start, end: Some(end), action, told: Some(told) }
    }

    fn set(value: &str) -> Action {
        Action::Set(value.into())
    }

    fn value(value: &str) -> Told {
        Told::Value(Some(value.into()))
    }

    #[test]
    fn a_value_may_appear_while_its_write_is_under_way() {
        let read = op(2, 3, Action::Get, value("1"));
        assert!(is_linearizable(&[op(1, 4, set("1"), Told::Done), read]));
    }

    #[test]
    fn a_completed_write_must_be_seen() {
        let missed = op(3, 4, Action::Get, Told::Value(None));
        assert!(!is_linearizable(&[op(1, 2, set("1"), Told::Done), missed]));
    }

    #[test]
    fn a_value_never_goes_back() {
        let write = Op { start: 1, end: None, action: set("1"), told: None };
        let reads = [op(2, 3, Action::Get, value("1")), op(4, 5, Action::Get, Told::Value(None))];
        assert!(!is_linearizable(&[write, reads[0].clone(), reads[1].clone()]));
    }

    #[test]
    fn an_unanswered_write_may_take_effect_late_or_never() {
        let write = Op { start: 1, end: None, action: set("1"), told: None };
        let before = op(2, 3, Action::Get, Told::Value(None));
        let after = op(4, 5, Action::Get, value("1"));
        assert!(is_linearizable(&[write.clone(), before.clone(), after]));
        assert!(is_linearizable(&[write, before]));
    }

    #[test]
    fn two_increments_never_give_the_same_number() {
        let one = |start, end| op(start, end, Action::Increment, Told::Number(1));
        assert!(!is_linearizable(&[one(1, 5), one(2, 6)]));
        assert!(is_linearizable(&[one(1, 5), op(2, 6, Action::Increment, Told::Number(2))]));
    }
}
