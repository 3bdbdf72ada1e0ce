//! Saved release plans: what is read survives being written again, is good for what it was made
//! from, and is stale for anything else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provision_lifecycle::{MadeFrom, PlanError, ReleasePlan};

fuzz_target!(|text: &str| {
    let plan = match ReleasePlan::parse(text) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let again = ReleasePlan::parse(&plan.to_text()).expect("what was written");
    assert_eq!(plan, again);
    assert_eq!(plan.check(&plan.made_from, &plan.observed), Ok(()));
    let other = MadeFrom { role: format!("{}x", plan.made_from.role), ..plan.made_from.clone() };
    assert!(matches!(plan.check(&other, &plan.observed), Err(PlanError::Stale(_))));
});
