//! "Did you mean": the closest of the names that would have been right.

/// The candidate nearest to `given`, if it is near enough to be a likely slip.
#[must_use]
pub fn closest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lowered = given.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lowered, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity > LIKELY_SLIP)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// Jaro-Winkler similarity above which a name is probably a slip of another: below it,
/// suggestions for short words become noise.
const LIKELY_SLIP: f64 = 0.82;

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn finds_slips_and_keeps_quiet_about_strangers() {
        let modules = ["template", "copy", "command", "systemd", "lineinfile"];
        assert_eq!(closest("tempalte", modules), Some("template"));
        assert_eq!(closest("Copy", modules), Some("copy"));
        assert_eq!(closest("zypper", modules), None);
    }
}
