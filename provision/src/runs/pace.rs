//! How fast a run is shown again.

use std::str::FromStr;
use std::time::Duration;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was.
    Times(f64),
    /// Without any waiting.
    Instant,
}

/// Slowest and fastest speed: what is outside is a slip.
const SPEEDS: (f64, f64) = (0.01, 1_000.0);

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "instant" {
            return Ok(Speed::Instant);
        }
        let number = text.strip_suffix('x').unwrap_or(text);
        match number.parse::<f64>() {
            Ok(times) if (SPEEDS.0..=SPEEDS.1).contains(&times) => Ok(Speed::Times(times)),
            _ => Err("write 1x, 10x (0.01x to 1000x), or `instant`".to_owned()),
        }
    }
}

/// Waits as long as it was waited then.
#[derive(Debug)]
pub struct Pace {
    speed: Speed,
    last_ms: Option<u64>,
}

impl Pace {
    /// From the first moment on.
    pub fn new(speed: Speed) -> Self {
        Pace { speed, last_ms: None }
    }

    /// How long to wait before what was written at this moment. A clock that was set back, and
    /// journals that don't tell, cost nothing.
    fn gap(&mut self, at_ms: Option<u64>) -> Duration {
        let Some(at_ms) = at_ms else { return Duration::ZERO };
        let gap_ms = at_ms.saturating_sub(self.last_ms.unwrap_or(at_ms));
        self.last_ms = Some(at_ms);
        match self.speed {
            Speed::Instant => Duration::ZERO,
            Speed::Times(times) => {
                Duration::try_from_secs_f64(Duration::from_millis(gap_ms).as_secs_f64() / times)
                    .unwrap_or(Duration::MAX)
            }
        }
    }

    /// Waits.
    pub fn wait(&mut self, at_ms: Option<u64>) {
        std::thread::sleep(self.gap(at_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_numbers_or_instant() {
        let table = [
            ("1x", Some(Speed::Times(1.0))),
            ("10x", Some(Speed::Times(10.0))),
            ("0.5", Some(Speed::Times(0.5))),
            ("instant", Some(Speed::Instant)),
            ("0", None),
            ("-1x", None),
            ("nan", None),
            ("inf", None),
            ("fast", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Speed>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn waits_are_those_of_the_run() {
        let gaps = |speed, moments: &[Option<u64>]| {
            let mut pace = Pace::new(speed);
            let gaps = moments.iter().map(|at_ms| pace.gap(*at_ms).as_millis());
            gaps.collect::<Vec<_>>()
        };
        let moments = [Some(5_000), Some(5_000), Some(7_000), None, Some(6_000), Some(6_500)];
        assert_eq!(gaps(Speed::Times(1.0), &moments), [0, 0, 2_000, 0, 0, 500]);
        assert_eq!(gaps(Speed::Times(10.0), &moments), [0, 0, 200, 0, 0, 50]);
        assert_eq!(gaps(Speed::Instant, &moments), [0; 6]);
    }
}
