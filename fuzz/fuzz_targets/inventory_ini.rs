//! INI inventories and host patterns never panic, and the graph keeps its invariants.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // The first line is a pattern, the rest is the inventory.
    let (pattern, inventory) = text.split_once('\n').unwrap_or((text, ""));
    fuzz::check_inventory("hosts.ini", inventory, pattern);
});
