//! Facts: processors, memory, firmware, uptime.

use indexmap::IndexMap;
use serde_json::Value;

use super::{Gathering, content, object, storage};

pub(super) fn hardware(gathering: &mut Gathering<'_, '_>) {
    processors(gathering);
    memory(gathering);
    firmware(gathering);
    storage::devices(gathering);
    if let Some(uptime) = content("/proc/uptime") {
        let seconds = uptime.split(['.', ' ']).next().and_then(|text| text.parse::<u64>().ok());
        gathering.set("uptime_seconds", seconds.unwrap_or(0));
    }
    storage::volumes(gathering);
    storage::mounts(gathering);
}

pub(super) fn load_average(gathering: &mut Gathering<'_, '_>) {
    let Some(text) = content("/proc/loadavg") else { return };
    let mut numbers = text.split_whitespace().map(|number| number.parse::<f64>().ok());
    if let (Some(Some(one)), Some(Some(five)), Some(Some(fifteen))) =
        (numbers.next(), numbers.next(), numbers.next())
    {
        let facts = object([("1m", one.into()), ("5m", five.into()), ("15m", fifteen.into())]);
        gathering.set("loadavg", facts);
    }
}

fn memory(gathering: &mut Gathering<'_, '_>) {
    let Some(text) = content("/proc/meminfo") else { return };
    for (name, value) in memory_of(&text) {
        gathering.set(name, value);
    }
}

fn memory_of(text: &str) -> Vec<(&'static str, Value)> {
    const KIBIBYTES_A_MEBIBYTE: i64 = 1024;
    let read = |name: &str| {
        let (_, value) =
            text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name)?;
        let kibibytes: i64 = value.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes / KIBIBYTES_A_MEBIBYTE)
    };
    let (total, free) = (read("MemTotal"), read("MemFree"));
    let (swap_total, swap_free) = (read("SwapTotal"), read("SwapFree"));
    let (cached, buffers) = (read("Cached"), read("Buffers"));
    let minus = |left: Option<i64>, right: Option<i64>| Some(left? - right?);
    let available = cached.zip(free).zip(buffers).map(|((a, b), c)| a + b + c);
    let mut facts: Vec<(&'static str, Value)> = [
        ("memtotal_mb", total),
        ("memfree_mb", free),
        ("swaptotal_mb", swap_total),
        ("swapfree_mb", swap_free),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?.into())))
    .collect();
    let real = object([
        ("total", total.into()),
        ("used", minus(total, free).into()),
        ("free", free.into()),
    ]);
    let nocache = object([("free", available.into()), ("used", minus(total, available).into())]);
    let swap = object([
        ("total", swap_total.into()),
        ("free", swap_free.into()),
        ("used", minus(swap_total, swap_free).into()),
        ("cached", read("SwapCached").into()),
    ]);
    facts.push(("memory_mb", object([("real", real), ("nocache", nocache), ("swap", swap)])));
    facts
}

fn processors(gathering: &mut Gathering<'_, '_>) {
    let Some(text) = content("/proc/cpuinfo") else { return };
    let xen = std::path::Path::new("/proc/xen").exists()
        || content("/sys/hypervisor/type").as_deref() == Some("xen");
    let counted = Processors::parse(&text);
    for (name, value) in counted.facts(gathering.text("architecture"), xen) {
        gathering.set(name, value);
    }
    let own = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0));
    if let Ok(own) = own {
        let usable = (0..nix::sched::CpuSet::count())
            .filter(|processor| own.is_set(*processor).unwrap_or(false))
            .count();
        gathering.set("processor_nproc", usable);
    }
}

/// What `/proc/cpuinfo` says, counted the way Ansible counts.
#[derive(Debug, Default)]
struct Processors {
    names: Vec<String>,
    flags: Option<Vec<String>>,
    vendors: u64,
    models: u64,
    processors: u64,
    /// Cores by physical id.
    sockets: IndexMap<String, u64>,
    /// Siblings by core id.
    cores: IndexMap<String, u64>,
    mainframe: Option<(u64, u64)>,
}

impl Processors {
    fn parse(text: &str) -> Self {
        let mut found = Processors::default();
        // No id is seen before the first one: Ansible then uses the number 0 as the key.
        let (mut socket, mut core) = ("first".to_owned(), "first".to_owned());
        let (mut count, mut threads) = (None, 1);
        for line in text.lines() {
            let (key, value) = line.split_once(':').unwrap_or((line, ""));
            let (key, value) = (key.trim(), value.trim());
            let number = || value.parse::<u64>().unwrap_or(0);
            match key {
                "flags" => {
                    found.flags = Some(value.split_whitespace().map(str::to_owned).collect());
                }
                "model name" | "Processor" | "vendor_id" | "cpu" | "Vendor" | "processor" => {
                    found.names.push(value.to_owned());
                    found.vendors += u64::from(key == "vendor_id");
                    found.models += u64::from(key == "model name");
                    found.processors += u64::from(key == "processor");
                }
                "physical id" => {
                    value.clone_into(&mut socket);
                    found.sockets.entry(socket.clone()).or_insert(1);
                }
                "core id" => {
                    value.clone_into(&mut core);
                    if !found.sockets.contains_key(&core) {
                        found.cores.insert(core.clone(), 1);
                    }
                }
                "cpu cores" => {
                    found.sockets.insert(socket.clone(), number());
                }
                "siblings" => {
                    found.cores.insert(core.clone(), number());
                }
                "# processors" => count = Some(number()),
                "max thread id" => threads = number() + 1,
                _ => {}
            }
        }
        found.mainframe = count.map(|count| (count, threads));
        found
    }

    fn facts(self, architecture: &str, xen: bool) -> Vec<(&'static str, Value)> {
        let counted = u64::try_from(self.names.len()).unwrap_or(0);
        let by_processor =
            ["armv", "aarch", "ppc"].iter().any(|prefix| architecture.starts_with(prefix));
        let count = if by_processor {
            self.processors
        } else if self.vendors > 0 && self.vendors == self.models {
            self.vendors
        } else {
            counted
        };
        // Xen paravirtualisation shows every virtual processor as a socket and lacks this flag.
        let paravirtual =
            xen && self.flags.as_ref().is_some_and(|flags| !flags.iter().any(|flag| flag == "vme"));
        let (sockets, cores, threads, virtuals, usable) =
            if let (Some((count, threads)), "s390x") = (self.mainframe, architecture) {
                (1, rounded(count, threads), threads, count, count)
            } else if paravirtual {
                (count, count, 1, count, count)
            } else {
                let sockets = match u64::try_from(self.sockets.len()).unwrap_or(0) {
                    0 => count,
                    known => known,
                };
                let cores = self.sockets.values().next().copied().filter(|cores| *cores > 0);
                let cores = cores.unwrap_or(1);
                let threads = rounded(self.cores.values().next().copied().unwrap_or(1), cores);
                (sockets, cores, threads, threads * sockets * cores, self.processors)
            };
        let mut facts = vec![("processor", Value::from(self.names))];
        if let Some(flags) = self.flags {
            facts.push(("flags", flags.into()));
        }
        facts.extend([
            ("processor_count", sockets.into()),
            ("processor_cores", cores.into()),
            ("processor_threads_per_core", threads.into()),
            ("processor_vcpus", virtuals.into()),
            ("processor_nproc", usable.into()),
        ]);
        facts
    }
}

/// A quotient rounded as Python's `round`: halves go to the even neighbour.
fn rounded(dividend: u64, divisor: u64) -> u64 {
    let divisor = divisor.max(1);
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    match (rest * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Equal => quotient + quotient % 2,
        std::cmp::Ordering::Greater => quotient + 1,
    }
}

/// Facts by the names of the kernel's DMI files.
const FIRMWARE: &[(&str, &str)] = &[
    ("bios_date", "bios_date"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("form_factor", "chassis_type"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

/// Chassis types by number (SMBIOS specification, 7.4.1).
const FORM_FACTORS: &[&str] = &[
    "Unknown",
    "Other",
    "Unknown",
    "Desktop",
    "Low Profile Desktop",
    "Pizza Box",
    "Mini Tower",
    "Tower",
    "Portable",
    "Laptop",
    "Notebook",
    "Hand Held",
    "Docking Station",
    "All In One",
    "Sub Notebook",
    "Space-saving",
    "Lunch Box",
    "Main Server Chassis",
    "Expansion Chassis",
    "Sub Chassis",
    "Bus Expansion Chassis",
    "Peripheral Chassis",
    "RAID Chassis",
    "Rack Mount Chassis",
    "Sealed-case PC",
    "Multi-system",
    "CompactPCI",
    "AdvancedTCA",
    "Blade",
    "Blade Enclosure",
    "Tablet",
    "Convertible",
    "Detachable",
    "IoT Gateway",
    "Embedded PC",
    "Mini PC",
    "Stick PC",
];

/// Vendor, product, serial numbers: `NA` where the machine doesn't tell.
fn firmware(gathering: &mut Gathering<'_, '_>) {
    for (fact, file) in FIRMWARE {
        let value = content(format!("/sys/devices/virtual/dmi/id/{file}"));
        let value = match (*fact, value) {
            (_, None) => "NA".to_owned(),
            ("form_factor", Some(number)) => form_factor(&number),
            (_, Some(value)) => value,
        };
        gathering.set(fact, value);
    }
}

fn form_factor(number: &str) -> String {
    number
        .parse::<usize>()
        .ok()
        .and_then(|index| FORM_FACTORS.get(index))
        .map_or_else(|| format!("unknown ({number})"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(sockets: u64, cores: u64, threads: u64) -> String {
        let mut text = String::new();
        for index in 0..sockets * cores * threads {
            text.push_str(&format!(
                "processor\t: {index}\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\n\
                 physical id\t: {}\nsiblings\t: {}\ncore id\t\t: {}\ncpu cores\t: {cores}\n\
                 flags\t\t: fpu vme\n\n",
                index / (cores * threads),
                cores * threads,
                index % cores,
            ));
        }
        text
    }

    fn fact(facts: &[(&'static str, Value)], name: &str) -> Value {
        facts.iter().find(|(known, _)| *known == name).unwrap().1.clone()
    }

    #[test]
    fn processors_are_counted() {
        for (sockets, cores, threads) in [(1, 1, 1), (1, 4, 2), (2, 8, 2), (1, 2, 1)] {
            let facts = Processors::parse(&machine(sockets, cores, threads)).facts("x86_64", false);
            assert_eq!(fact(&facts, "processor_count"), sockets);
            assert_eq!(fact(&facts, "processor_cores"), cores);
            assert_eq!(fact(&facts, "processor_threads_per_core"), threads);
            assert_eq!(fact(&facts, "processor_vcpus"), sockets * cores * threads);
            assert_eq!(fact(&facts, "processor").as_array().unwrap().len() % 3, 0);
        }
    }

    #[test]
    fn processors_of_arm() {
        let text = "processor\t: 0\nBogoMIPS\t: 50\nprocessor\t: 1\nBogoMIPS\t: 50\n";
        let facts = Processors::parse(text).facts("aarch64", false);
        assert_eq!(fact(&facts, "processor_count"), 2);
        assert_eq!(fact(&facts, "processor_vcpus"), 2);
    }

    #[test]
    fn memory_in_mebibytes() {
        let text = "MemTotal:  2048000 kB\nMemFree: 1024000 kB\nBuffers: 1024 kB\n\
            Cached: 2048 kB\nSwapCached: 0 kB\nSwapTotal: 4096 kB\nSwapFree: 1024 kB\n";
        let facts = memory_of(text);
        assert_eq!(fact(&facts, "memtotal_mb"), 2000);
        assert_eq!(fact(&facts, "memory_mb")["nocache"]["free"], 1003);
        assert_eq!(fact(&facts, "memory_mb")["swap"]["used"], 3);
    }

    #[test]
    fn rounding_is_pythons() {
        assert_eq!([rounded(1, 2), rounded(3, 2), rounded(5, 2), rounded(7, 4)], [0, 2, 2, 2]);
        assert_eq!(form_factor("1"), "Other");
        assert_eq!(form_factor("99"), "unknown (99)");
    }
}
