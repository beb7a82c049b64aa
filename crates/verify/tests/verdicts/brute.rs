//! The definition of linearizability, tried out on every order: right by inspection, and hopelessly slow.

use simpledynamo_verify::{Event, Outcome, State};

/// Whether some order of the events agrees with time and with a single copy that starts from `start`.
pub(crate) fn is_linearizable(start: State, events: &[Event]) -> bool {
    let can_happen = |event: &Event| !matches!(event.outcome, Outcome::Failed { .. });
    can_complete(start, events.iter().filter(|event| can_happen(event)).copied().collect())
}

fn can_complete(state: State, left: Vec<Event>) -> bool {
    if left.iter().all(|event| event.outcome == Outcome::Unknown) {
        return true;
    }
    (0..left.len()).any(|next| {
        let event = left[next];
        let is_first = left.iter().all(|other| other.returned().is_none_or(|end| end >= event.invoked));
        let (after, told) = event.operation.apply(state);
        let fits = match event.outcome {
            Outcome::Known { reply, .. } => reply == told,
            Outcome::Failed { .. } | Outcome::Unknown => true,
        };
        let mut rest = left.clone();
        rest.remove(next);
        is_first && fits && can_complete(after, rest)
    })
}
