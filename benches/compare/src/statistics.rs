//! Medians and ratios.

/// The middle of some figures, or the mean of the two in the middle; none of none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        count if count.is_multiple_of(2) => Some((figures[middle - 1] + figures[middle]) / 2.0),
        _ => Some(figures[middle]),
    }
}

/// The median of the ratios within each repetition, so that what the machine did meanwhile meets both alike. A
/// repetition in which the other's figure is 0 has no ratio.
pub(crate) fn median_ratio(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    median(ours.iter().zip(theirs).filter(|(_, theirs)| **theirs > 0.0).map(|(ours, theirs)| ours / theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn ratio_is_of_each_repetition() {
        // The ratio of the medians would be 20 / 10.
        assert_eq!(median_ratio(&[10.0, 20.0, 90.0], &[10.0, 4.0, 30.0]), Some(3.0));
        assert_eq!(median_ratio(&[10.0, 20.0], &[0.0, 10.0]), Some(2.0));
        assert_eq!(median_ratio(&[10.0], &[0.0]), None);
    }
}
