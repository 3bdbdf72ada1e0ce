//! What queueing theory says exactly: the ground truth of the engines. In units of the mean service
//! time; `offered` is the load in instances (arrival rate × mean service time).
//!
//! Formulas: Kleinrock, "Queueing Systems" I (1975), chapters 3 and 5.

/// The part of requests that find all of `instances` busy and leave (Erlang B, M/G/c/c).
#[must_use]
pub fn erlang_b(instances: u32, offered: f64) -> f64 {
    (1..=instances).fold(1.0, |blocked, number| {
        let blocked = offered * blocked;
        blocked / (f64::from(number) + blocked)
    })
}

/// The part of requests that wait (Erlang C, M/M/c).
#[must_use]
pub fn erlang_c(instances: u32, offered: f64) -> f64 {
    let blocked = erlang_b(instances, offered);
    let utilisation = offered / f64::from(instances);
    blocked / (1.0 - utilisation * (1.0 - blocked))
}

/// The mean wait of M/M/c, over all requests.
#[must_use]
pub fn mmc_wait(instances: u32, offered: f64) -> f64 {
    erlang_c(instances, offered) / (f64::from(instances) - offered)
}

/// The wait of M/M/c that a part of requests (0.99) doesn't exceed.
#[must_use]
pub fn mmc_wait_quantile(instances: u32, offered: f64, part: f64) -> f64 {
    let waits = erlang_c(instances, offered);
    if 1.0 - part >= waits {
        return 0.0;
    }
    let ratio = simulator_kernel::logarithm::natural(waits / (1.0 - part));
    ratio / (f64::from(instances) - offered)
}

/// M/M/c with room for `room` requests, those at work included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    /// The part of requests that find no room.
    pub loss: f64,
    /// The mean time in the system of those that do.
    pub response: f64,
}

/// Loss and response of M/M/c/K by its birth and death chain.
#[must_use]
pub fn mmck(instances: u32, room: u32, offered: f64) -> Bounded {
    let (mut weight, mut total, mut present) = (1.0, 1.0, 0.0);
    for number in 1..=room {
        weight *= offered / f64::from(number.min(instances));
        total += weight;
        present += weight * f64::from(number);
    }
    let loss = weight / total;
    Bounded { loss, response: present / total / (offered * (1.0 - loss)) }
}

/// The mean wait of M/G/1 by Pollaczek and Khinchine, for a squared coefficient of variation.
#[must_use]
pub fn mg1_wait(offered: f64, squared_variation: f64) -> f64 {
    offered * (1.0 + squared_variation) / (2.0 * (1.0 - offered))
}

/// The mean response of M/G/1 with processor sharing: it depends on the mean service time only
/// (Kleinrock, "Queueing Systems" II (1976), 4.4).
#[must_use]
pub fn sharing_response(offered: f64) -> f64 {
    1.0 / (1.0 - offered)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that were computed another way (a solved Markov chain in another language).
    #[test]
    fn known_values() {
        let near = |seen: f64, wanted: f64| assert!((seen / wanted - 1.0).abs() < 2e-5, "{seen}");
        near(erlang_b(10, 10.0), 0.214_582);
        near(erlang_b(32, 28.8), 0.077_975);
        near(erlang_b(100, 90.0), 0.026_957);
        near(erlang_c(16, 14.4), 0.591_343);
        near(mmc_wait(1, 0.9), 9.0);
        near(mmc_wait(2, 1.6), 1.777_778);
        near(mmc_wait(16, 14.4), 0.369_590);
        near(mmc_wait_quantile(16, 14.4, 0.99), 2.549_88);
        near(mmc_wait_quantile(1, 0.8, 0.99), 21.910);
        near(mmck(1, 10, 0.9).loss, 0.050_814);
        near(mmck(1, 10, 0.9).response, 4.646_60);
        near(mmck(1, 3, 0.9).loss, 0.211_980);
        near(mmck(1, 5, 0.9).response, 2.790_29);
        near(mmck(16, 26, 15.2).loss, 0.041_991);
        near(mmck(16, 26, 15.2).response, 1.186_48);
        near(mg1_wait(0.9, 4.0), 22.5);
        near(mg1_wait(0.95, 0.0), 9.5);
        assert_eq!(mmc_wait_quantile(16, 14.4, 0.3).to_bits(), 0);
    }
}
