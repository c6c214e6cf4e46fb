//! Medians and spreads of a few rounds.

/// A middle and how far the rounds lie around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// `None` where there is no value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        Some(Self { median: quantile(&values, 0.5)?, least, most })
    }
}

/// The ratio of two servers, round by round: what moves the whole machine between rounds moves both.
pub(super) fn ratio(over: &[f64], under: &[f64]) -> Option<Spread> {
    Spread::of(over.iter().zip(under).map(|(over, under)| over / under))
}

/// The value below which this share of `sorted` lies, between two of them where it falls there.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)? as f64;
    let at = share * last;
    let below = *sorted.get(whole(at.floor()))?;
    let above = *sorted.get(whole(at.ceil()))?;
    Some(below + (above - below) * at.fract())
}

/// An index: neither negative nor larger than a slice is long.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index, see above")]
fn whole(at: f64) -> usize {
    at as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle_of_any_order() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        // Twice as slow a machine in the second round: the ratio does not see it, the medians' ratio would.
        let ratio = ratio(&[1.0, 2.0, 1.0], &[2.0, 4.0, 2.0]).unwrap();
        assert_eq!(ratio, Spread { median: 0.5, least: 0.5, most: 0.5 });
    }

    #[test]
    fn quantiles_reach_from_end_to_end() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!([0.0, 0.99, 1.0].map(|share| quantile(&values, share).unwrap()), [0.0, 99.0, 100.0]);
    }
}
