//! A logarithmic axis.

/// From the numbers of an axis to places along it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    /// Where `low` and `high` lie.
    places: (f64, f64),
}

impl Scale {
    /// A scale that holds all numbers, with ends at 1, 2 or 5 times a power of ten. They are positive, and there is one.
    pub(super) fn around(numbers: impl Iterator<Item = f64> + Clone, places: (f64, f64)) -> Self {
        let least = numbers.clone().fold(f64::INFINITY, f64::min);
        let greatest = numbers.fold(0.0, f64::max);
        let low = steps(least).rev().find(|step| *step <= least).expect("there are steps below");
        let high = steps(greatest).find(|step| *step > low && *step >= greatest).expect("and above");
        Self { low, high, places }
    }

    /// A scale from the least number to the greatest.
    pub(super) fn exactly(low: f64, high: f64, places: (f64, f64)) -> Self {
        Self { low, high, places }
    }

    /// Where a number lies.
    pub(super) fn place(&self, number: f64) -> f64 {
        let share = (number / self.low).ln() / (self.high / self.low).ln();
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// Numbers to write beside the axis: 1, 2 and 5 times powers of ten, or powers of ten alone if those are many.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let inside = |step: &f64| (self.low..=self.high).contains(step);
        let all: Vec<f64> = steps_between(self.low, self.high).filter(inside).collect();
        if all.len() <= 7 {
            return all;
        }
        let is_power = |step: &f64| (step.log10() - step.log10().round()).abs() < 1e-9;
        all.into_iter().filter(is_power).collect()
    }
}

/// 1, 2 and 5 times powers of ten around a number.
fn steps(number: f64) -> impl DoubleEndedIterator<Item = f64> {
    steps_between(number, number)
}

fn steps_between(low: f64, high: f64) -> impl DoubleEndedIterator<Item = f64> {
    let (from, to) = (low.log10().floor() as i32 - 1, high.log10().ceil() as i32 + 1);
    (from..=to).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_round_and_hold_all() {
        let scale = Scale::around([35.0, 470.0, 180.0].into_iter(), (0.0, 100.0));
        assert_eq!((scale.low, scale.high), (20.0, 500.0));
        let scale = Scale::around([100.0].into_iter(), (0.0, 100.0));
        assert_eq!((scale.low, scale.high), (100.0, 200.0), "no axis without a length");
    }

    #[test]
    fn equal_factors_are_equal_distances() {
        let scale = Scale::exactly(10.0, 1_000.0, (300.0, 100.0));
        let places = [10.0, 100.0, 1_000.0].map(|number| scale.place(number).round());
        assert_eq!(places, [300.0, 200.0, 100.0]);
    }

    #[test]
    fn long_axes_show_powers_of_ten_only() {
        assert_eq!(Scale::exactly(20.0, 500.0, (0.0, 1.0)).ticks(), [20.0, 50.0, 100.0, 200.0, 500.0]);
        assert_eq!(Scale::exactly(20.0, 50_000.0, (0.0, 1.0)).ticks(), [100.0, 1_000.0, 10_000.0]);
    }
}
