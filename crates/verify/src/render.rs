//! A window in words and lines, for terminals.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::history::{Event, Outcome, Ticks};
use crate::operation::{Condition, Operation, Reply};
use crate::value::{State, Value, Values};
use crate::window::Window;

/// Columns from one moment to the next: room for a bracket and a number of three digits.
const COLUMNS_PER_MOMENT: usize = 5;

/// The most bytes of a value that are shown.
const SHOWN_MAX: usize = 40;

/// What times are told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeUnit {
    /// Its name, in the plural.
    pub name: &'static str,
    /// How many ticks it has, at least one.
    pub ticks: Ticks,
}

impl TimeUnit {
    /// The ticks themselves.
    pub const TICKS: Self = Self { name: "ticks", ticks: 1 };
    /// Microseconds, if ticks are nanoseconds.
    pub const MICROSECONDS: Self = Self { name: "microseconds", ticks: 1_000 };

    /// How long after `zero`, rounded down.
    fn since(self, zero: Ticks, time: Ticks) -> i128 {
        (i128::from(time) - i128::from(zero)).div_euclid(i128::from(self.ticks))
    }
}

impl Window {
    /// The window as text: an interval per operation on its client's line, then what each one was.
    ///
    /// Only the order of the moments is drawn to scale, for it is all that counts. `values` are those of the
    /// history.
    #[must_use]
    pub fn render(&self, values: &Values, unit: TimeUnit) -> String {
        let mut text = String::from("No order of these operations explains all their replies.\n");
        let _ = writeln!(text, "At time 0 the key held {}.\n", self.start_in_words(values));
        for (client, line) in self.lines() {
            let _ = writeln!(text, "client {client:<4} {}", line.trim_end());
        }
        let zero = self.begin;
        let early = if self.operations.iter().any(|event| event.invoked < zero) {
            " What was in flight at 0 may have taken effect before."
        } else {
            ""
        };
        let _ = writeln!(text, "\nTimes are {} after {}.{early}", unit.name, unit.since(0, zero));
        for (number, event) in (1..).zip(&self.operations) {
            let _ = writeln!(text, "{number:>4}  {}", describe(event, zero, unit, values));
        }
        if !self.origins.is_empty() {
            let _ = writeln!(text, "Written outside of this window:");
            for event in &self.origins {
                let _ = writeln!(text, "      {}", describe(event, zero, unit, values));
            }
        }
        text
    }

    fn start_in_words(&self, values: &Values) -> String {
        let mut states: Vec<String> = self.start.iter().map(|state| state_in_words(*state, values)).collect();
        let others = [(self.start_may_be_text, "text"), (self.start_may_be_number, "number")];
        for (_, kind) in others.into_iter().filter(|(may_be, _)| *may_be) {
            states.push(format!("a {kind} that none of them looks for"));
        }
        states.join(" or ")
    }

    /// The lines of intervals, by client. An operation whose outcome its client never learned overlaps what the
    /// client did next, so a client can have several.
    fn lines(&self) -> Vec<(u32, String)> {
        let mut moments: Vec<Ticks> = self
            .operations
            .iter()
            .flat_map(|event| event.returned().into_iter().chain([event.invoked]))
            .collect();
        moments.sort_unstable();
        moments.dedup();
        let column = |time: Ticks| moments.partition_point(|moment| *moment < time) * COLUMNS_PER_MOMENT;
        let width = (moments.len() + 1) * COLUMNS_PER_MOMENT;
        let mut lines: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (number, event) in (1..).zip(&self.operations) {
            let begin = column(event.invoked);
            let end = event.returned().map_or(width, column);
            let rows = lines.entry(event.client).or_default();
            let row = match rows.iter().position(|row| row.len() <= begin) {
                Some(row) => row,
                None => {
                    rows.push(String::new());
                    rows.len() - 1
                }
            };
            let row = &mut rows[row];
            let _ = write!(row, "{:gap$}{}", "", bar(number, event, end - begin), gap = begin - row.len());
        }
        let rows =
            lines.into_iter().flat_map(|(client, rows)| rows.into_iter().map(move |row| (client, row)));
        rows.collect()
    }
}

/// An interval: `[-7--]`, or `[-7-->` if its end is not known.
fn bar(number: usize, event: &Event, columns: usize) -> String {
    let close = if event.returned().is_some() { ']' } else { '>' };
    let inner = columns.saturating_sub(1);
    format!("[{:-^inner$}{close}", number)
}

fn describe(event: &Event, zero: Ticks, unit: TimeUnit, values: &Values) -> String {
    let since = |time| unit.since(zero, time);
    let begin = since(event.invoked);
    let end = event.returned().map_or_else(|| "?".to_owned(), |end| since(end).to_string());
    let outcome = match event.outcome {
        Outcome::Known { reply, .. } => reply_in_words(reply, values),
        Outcome::Failed { .. } => "certainly did not happen".to_owned(),
        Outcome::Unknown => "outcome unknown".to_owned(),
    };
    let operation = operation_in_words(event.operation, values);
    format!("client {:<4} {begin}..{end}  {operation} -> {outcome}", event.client)
}

fn operation_in_words(operation: Operation, values: &Values) -> String {
    let quote = |value| value_in_words(value, values);
    match operation {
        Operation::Read => "GET".to_owned(),
        Operation::Set { value, condition, want_old } => {
            let condition = match condition {
                Condition::Always => String::new(),
                Condition::Absent => " NX".to_owned(),
                Condition::Present => " XX".to_owned(),
                Condition::Equals(old) => format!(" IFEQ {}", quote(old)),
            };
            format!("SET {}{condition}{}", quote(value), if want_old { " GET" } else { "" })
        }
        Operation::Delete { condition: Condition::Equals(old), .. } => format!("DELIFEQ {}", quote(old)),
        Operation::Delete { want_old: true, .. } => "GETDEL".to_owned(),
        Operation::Delete { want_old: false, .. } => "DEL".to_owned(),
        Operation::Increment(by) => format!("INCRBY {by}"),
    }
}

fn reply_in_words(reply: Reply, values: &Values) -> String {
    match reply {
        Reply::Done => "done".to_owned(),
        Reply::Refused => "refused".to_owned(),
        Reply::Value(state) => state_in_words(state, values),
        Reply::Integer(sum) => sum.to_string(),
        Reply::NotCountable => "not a number, or too large".to_owned(),
    }
}

fn state_in_words(state: State, values: &Values) -> String {
    state.map_or_else(|| "no value".to_owned(), |value| value_in_words(value, values))
}

fn value_in_words(value: Value, values: &Values) -> String {
    let Some(bytes) = values.bytes(value) else { return "a value of another history".to_owned() };
    let shown = &bytes[..bytes.len().min(SHOWN_MAX)];
    let rest = bytes.len() - shown.len();
    let more = if rest > 0 { format!(" and {rest} more bytes") } else { String::new() };
    format!("\"{}\"{more}", shown.escape_ascii())
}
