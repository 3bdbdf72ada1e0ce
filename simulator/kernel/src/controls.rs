//! Control variates: figures whose means are known take the noise that they explain out of others.

use crate::Moments;

/// Pairs that are left for each column at least, so that the regression learns from many.
const PAIRS_FOR_EACH: usize = 5;
/// A column of which so little is left beside the ones before says nothing of its own.
const DEPENDENT: f64 = 1e-9;

/// Columns of figures with mean 0, made independent of each other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Controls {
    /// Columns of length 1 that are orthogonal to each other and to the constant.
    columns: Vec<Vec<f64>>,
    /// Where 0, the true mean of what was given, lies along each column.
    origin: Vec<f64>,
    rows: usize,
}

/// A figure over all rows, without what the columns explain.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fit {
    /// Its mean where all controls are at their own means.
    pub mean: f64,
    residuals: Vec<f64>,
}

impl Controls {
    /// Those columns that say something of their own, as many as there are rows for.
    pub(crate) fn new(rows: usize, given: &[Vec<f64>]) -> Self {
        let most = (rows / PAIRS_FOR_EACH).saturating_sub(1);
        let mut controls = Controls { columns: Vec::new(), origin: Vec::new(), rows };
        for column in given.iter().filter(|column| column.len() == rows) {
            if controls.columns.len() >= most {
                break;
            }
            controls.add(column);
        }
        controls
    }

    /// Gram and Schmidt's method, twice over, which is enough (Giraud, Langou and Rozložník 2005).
    fn add(&mut self, given: &[f64]) {
        let mean = given.iter().copied().collect::<Moments>().mean();
        let mut column: Vec<f64> = given.iter().map(|value| value - mean).collect();
        let whole = libm::sqrt(product(&column, &column));
        let mut origin = -mean;
        for _ in 0..2 {
            for (known, known_origin) in self.columns.iter().zip(&self.origin) {
                let along = product(&column, known);
                subtract(&mut column, along, known);
                origin -= along * known_origin;
            }
        }
        let length = libm::sqrt(product(&column, &column));
        // Not `<`: a column that holds no number is left out, too.
        if length > DEPENDENT * whole && length.is_finite() {
            column.iter_mut().for_each(|value| *value /= length);
            self.columns.push(column);
            self.origin.push(origin / length);
        }
    }

    pub(crate) const fn count(&self) -> usize {
        self.columns.len()
    }

    /// Degrees of freedom that are left.
    pub(crate) fn freedom(&self) -> f64 {
        count(self.rows) - 1.0 - count(self.columns.len())
    }

    /// The regression of a figure on the columns.
    pub(crate) fn fit(&self, figure: impl Iterator<Item = f64>) -> Fit {
        let mut residuals: Vec<f64> = figure.collect();
        let mut mean = residuals.iter().copied().collect::<Moments>().mean();
        residuals.iter_mut().for_each(|value| *value -= mean);
        for (column, origin) in self.columns.iter().zip(&self.origin) {
            let along = product(&residuals, column);
            subtract(&mut residuals, along, column);
            mean += along * origin;
        }
        Fit { mean, residuals }
    }

    /// The covariance of the means of two figures.
    pub(crate) fn covariance(&self, one: &Fit, other: &Fit) -> f64 {
        let rows = 1.0 / count(self.rows) + product(&self.origin, &self.origin);
        product(&one.residuals, &other.residuals) / self.freedom() * rows
    }
}

fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

fn subtract(from: &mut [f64], times: f64, column: &[f64]) {
    from.iter_mut().zip(column).for_each(|(value, part)| *value -= times * part);
}

#[expect(clippy::cast_precision_loss, reason = "rows are few")]
const fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The mean of a figure at 0 of all columns, by the normal equations and Cramer's rule for two.
    fn at_origin(figure: &[f64], columns: &[Vec<f64>; 2]) -> f64 {
        let ones = vec![1.0; figure.len()];
        let rows = [&ones, &columns[0], &columns[1]];
        let left: Vec<Vec<f64>> =
            rows.iter().map(|row| rows.iter().map(|other| product(row, other)).collect()).collect();
        let right: Vec<f64> = rows.iter().map(|row| product(row, figure)).collect();
        let determinant = |m: &[Vec<f64>]| {
            let minor = |a: usize, b: usize| m[1][a] * m[2][b] - m[1][b] * m[2][a];
            m[0][0] * minor(1, 2) - m[0][1] * minor(0, 2) + m[0][2] * minor(0, 1)
        };
        let mut replaced = left.clone();
        for (row, value) in replaced.iter_mut().zip(right) {
            row[0] = value;
        }
        determinant(&replaced) / determinant(&left)
    }

    #[test]
    fn columns_that_say_nothing_cost_nothing() {
        let rows = 20;
        let zeroes = vec![0.0; rows];
        let rising: Vec<f64> = (0..20).map(f64::from).collect();
        let double: Vec<f64> = rising.iter().map(|value| value * 2.0).collect();
        let wrong = vec![f64::NAN; rows];
        let given = [zeroes, rising, double, wrong, vec![1.0; 3]];
        let controls = Controls::new(rows, &given);
        assert_eq!((controls.count(), controls.freedom()), (1, 18.0));
        // So few rows teach nothing.
        let few = Controls::new(6, &[(0..6).map(f64::from).collect()]);
        assert_eq!((few.count(), few.freedom()), (0, 5.0));
    }

    #[test]
    fn what_columns_explain_leaves_no_doubt() {
        let column: Vec<f64> = (0..20).map(|place| f64::from(place) - 3.0).collect();
        let figure: Vec<f64> = column.iter().map(|value| 5.0 + 2.0 * value).collect();
        let controls = Controls::new(20, &[column]);
        let fit = controls.fit(figure.into_iter());
        assert!((fit.mean - 5.0).abs() < 1e-12);
        assert!(controls.covariance(&fit, &fit) < 1e-24);
    }

    proptest! {
        #[test]
        fn it_is_the_regression_at_0(
            table in proptest::collection::vec((-1.0f64..1.0, -1.0f64..1.0, 5.0f64..9.0), 15..40),
        ) {
            let columns =
                [table.iter().map(|row| row.0).collect(), table.iter().map(|row| row.1).collect()];
            let figure: Vec<f64> = table.iter().map(|row| row.2 + row.0).collect();
            let expected = at_origin(&figure, &columns);
            let controls = Controls::new(table.len(), &columns);
            let fit = controls.fit(figure.into_iter());
            prop_assert!((fit.mean - expected).abs() < 1e-9, "{} is not {expected}", fit.mean);
            // What is left has nothing to do with the columns.
            prop_assert!(columns.iter().all(|column| product(column, &fit.residuals).abs() < 1e-9));
        }
    }
}
