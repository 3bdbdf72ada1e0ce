//! Quantiles of the normal distribution: algorithm AS 241 (Wichura 1988), relative accuracy 10⁻¹⁶.

/// The value below which a standard normal variable lies with this probability (between 0 and 1,
/// both excluded).
#[must_use]
pub fn quantile(probability: f64) -> f64 {
    let centred = probability - 0.5;
    if centred.abs() <= 0.425 {
        let r = 0.180_625 - centred * centred;
        return centred * ratio(r, &CENTRE);
    }
    let tail = if centred < 0.0 { probability } else { 1.0 - probability };
    let r = libm::sqrt(-libm::log(tail));
    let value = if r <= 5.0 { ratio(r - 1.6, &MIDDLE) } else { ratio(r - 5.0, &FAR) };
    if centred < 0.0 { -value } else { value }
}

/// Coefficients of a numerator and a denominator, highest power first.
type Ratio = ([f64; 8], [f64; 8]);

fn ratio(r: f64, (numerator, denominator): &Ratio) -> f64 {
    let value = |terms: &[f64; 8]| terms.iter().fold(0.0, |sum, term| sum * r + term);
    value(numerator) / value(denominator)
}

const CENTRE: Ratio = (
    [
        2.509_080_928_730_122_6e3,
        3.343_057_558_358_813e4,
        6.726_577_092_700_87e4,
        4.592_195_393_154_987e4,
        1.373_169_376_550_946e4,
        1.971_590_950_306_551_3e3,
        1.331_416_678_917_843_8e2,
        3.387_132_872_796_366_5,
    ],
    [
        5.226_495_278_852_854e3,
        2.872_908_573_572_194_3e4,
        3.930_789_580_009_271e4,
        2.121_379_430_158_659_7e4,
        5.394_196_021_424_751e3,
        6.871_870_074_920_579e2,
        4.231_333_070_160_091e1,
        1.0,
    ],
);

const MIDDLE: Ratio = (
    [
        7.745_450_142_783_414e-4,
        2.272_384_498_926_918_4e-2,
        2.417_807_251_774_506e-1,
        1.270_458_252_452_368_4,
        3.647_848_324_763_204_5,
        5.769_497_221_460_691,
        4.630_337_846_156_546,
        1.423_437_110_749_683_5,
    ],
    [
        1.050_750_071_644_416_9e-9,
        5.475_938_084_995_345e-4,
        1.519_866_656_361_645_7e-2,
        1.481_039_764_274_800_8e-1,
        6.897_673_349_851e-1,
        1.676_384_830_183_803_8,
        2.053_191_626_637_759,
        1.0,
    ],
);

const FAR: Ratio = (
    [
        2.010_334_399_292_288_1e-7,
        2.711_555_568_743_487_6e-5,
        1.242_660_947_388_078_4e-3,
        2.653_218_952_657_612_4e-2,
        2.965_605_718_285_049e-1,
        1.784_826_539_917_291_3,
        5.463_784_911_164_114,
        6.657_904_643_501_103,
    ],
    [
        2.044_263_103_389_939_8e-15,
        1.421_511_758_316_446e-7,
        1.846_318_317_510_054_7e-5,
        7.868_691_311_456_133e-4,
        1.487_536_129_085_061_5e-2,
        1.369_298_809_227_358e-1,
        5.998_322_065_558_88e-1,
        1.0,
    ],
);

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_those_of_the_distribution_function() {
        // Φ(x) = erfc(−x/√2)/2, an independent way back.
        for step in -80..=80 {
            let x = f64::from(step) / 10.0;
            let below = 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
            if x < 5.0 {
                assert!((quantile(below) - x).abs() < 1e-9 * (1.0 + x.abs()), "{x}");
            }
        }
        assert!((quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-14);
        assert!((quantile(1e-20) + 9.262_340_089_798_409).abs() < 1e-12);
        assert_eq!(quantile(0.5).to_bits(), 0.0f64.to_bits());
    }
}
