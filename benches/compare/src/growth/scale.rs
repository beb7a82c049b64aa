//! A logarithmic axis.

/// From the numbers of an axis to places along it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    /// Where `low` and `high` lie.
    places: (f64, f64),
}

impl Scale {
    /// From the least number to the greatest, which is more; both are positive.
    pub(super) fn exactly(low: f64, high: f64, places: (f64, f64)) -> Self {
        assert!(0.0 < low && low < high, "a logarithmic axis goes up from more than 0");
        Self { low, high, places }
    }

    /// One that holds all numbers, which are positive; the ends are 1, 2 or 5 times powers of ten.
    pub(super) fn around(numbers: &[f64], places: (f64, f64)) -> Self {
        let least = numbers.iter().copied().reduce(f64::min).unwrap_or(1.0);
        let most = numbers.iter().copied().fold(least, f64::max);
        let round = round_numbers((least, most));
        let low = round.iter().rev().copied().find(|round| *round <= least).unwrap_or(1.0);
        let high = round.iter().copied().find(|round| *round >= most && *round > low);
        Self::exactly(low, high.unwrap_or(low * 10.0), places)
    }

    pub(super) fn place(self, number: f64) -> f64 {
        let share = (number / self.low).ln() / (self.high / self.low).ln();
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// Where lines are drawn across: the round numbers from end to end.
    pub(super) fn lines(self) -> Vec<f64> {
        let mut lines = round_numbers((self.low, self.high));
        lines.retain(|line| (self.low..=self.high).contains(line));
        lines
    }
}

/// 1, 2 and 5 times powers of ten, from below the first number to above the last.
fn round_numbers((from, to): (f64, f64)) -> Vec<f64> {
    let powers = from.log10().floor() as i32..=to.log10().ceil() as i32;
    // Read from text, they are the same numbers however they are come by: 10^-1 by multiplication is not.
    let number = |power, step| format!("{step}e{power}").parse::<f64>().expect("a number");
    powers.flat_map(|power| [1, 2, 5].map(|step| number(power, step))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_factors_are_equal_distances() {
        let scale = Scale::exactly(1.0, 100.0, (300.0, 100.0));
        assert_eq!([1.0, 10.0, 100.0].map(|number| scale.place(number).round()), [300.0, 200.0, 100.0]);
    }

    #[test]
    fn ends_are_round_and_hold_all() {
        assert_eq!(
            Scale::around(&[35.0, 470.0, 180.0], (0.0, 1.0)).lines(),
            [20.0, 50.0, 100.0, 200.0, 500.0]
        );
        assert_eq!(Scale::around(&[0.3], (0.0, 1.0)).lines(), [0.2, 0.5]);
        assert_eq!(Scale::around(&[100.0], (0.0, 1.0)).lines(), [100.0, 200.0], "no axis without a length");
        assert_eq!(Scale::around(&[999.0, 1_000.0], (0.0, 1.0)).lines(), [500.0, 1_000.0]);
        assert_eq!(Scale::around(&[], (0.0, 1.0)).lines(), [1.0, 2.0]);
    }
}
