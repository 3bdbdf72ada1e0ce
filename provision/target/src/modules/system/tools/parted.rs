//! `parted`: partitions of a device.

use provision_protocol::Object;
use serde_json::{Value, json};

use super::super::process::Run;
use crate::module::{Context, Failure, Given, Outcome};

/// One partition as `parted --machine` shows it.
#[derive(Debug, Clone, PartialEq)]
struct Partition {
    number: i64,
    begin: f64,
    end: f64,
    size: f64,
    file_system: String,
    name: String,
    flags: Vec<String>,
    /// Of all numbers.
    unit: String,
}

/// What is on a device.
#[derive(Debug, Clone, PartialEq)]
struct Table {
    device: String,
    size: f64,
    unit: String,
    label: String,
    model: String,
    logical_block: i64,
    physical_block: i64,
    partitions: Vec<Partition>,
}

/// `parted`: shows, makes, changes or removes a partition.
///
/// # Errors
/// When the device isn't there, or parted refuses.
pub fn parted(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let disk = Disk { given: Given(given) };
    let before = disk.look(context)?;
    let number = disk.given.integer("number").unwrap_or(0);
    let mut scripts: Vec<Vec<String>> = Vec::new();
    match disk.given.word("state") {
        "present" => {
            scripts.push(disk.creation(&before, number));
            perform(&disk, &mut scripts, context)?;
            // What the new partition has already is known only now; a check looks at nothing.
            let now = disk.look(context)?;
            if let Some(there) = now.partition(number) {
                let mut details = vec![disk.details(there, number)];
                perform(&disk, &mut details, context)?;
                scripts.extend(details);
            }
        }
        "absent" => {
            let words = |number: i64| vec!["rm".to_owned(), number.to_string()];
            scripts.extend(before.partition(number).map(|_| words(number)));
            perform(&disk, &mut scripts, context)?;
        }
        _ => {}
    }
    let all: Vec<String> = scripts.into_iter().flatten().collect();
    let after = if context.check { before } else { disk.look(context)? };
    Ok(Outcome::new(!all.is_empty())
        .with("script", all.join(" "))
        .with("disk", after.disk())
        .with("partitions", after.list()))
}

/// Runs what isn't empty, unless it is a check.
fn perform(
    disk: &Disk<'_>,
    scripts: &mut Vec<Vec<String>>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    scripts.retain(|script| !script.is_empty());
    if scripts.is_empty() || context.check {
        return Ok(());
    }
    context.about_to_change()?;
    for script in scripts {
        disk.parted(&["--align", disk.given.word("align")], script)?.succeed(context)?;
    }
    Ok(())
}

struct Disk<'a> {
    given: Given<'a>,
}

impl Disk<'_> {
    fn parted(&self, options: &[&str], script: &[String]) -> Result<Run, Failure> {
        let run = Run::tool("parted")?.parsable().arguments(["--script", "--machine"]);
        let options = options.iter().filter(|option| !option.is_empty());
        Ok(run.arguments(options).argument(self.given.word("device")).arguments(script))
    }

    fn look(&self, context: &Context<'_>) -> Result<Table, Failure> {
        let unit = self.given.word("unit");
        let script = ["unit", unit, "print"].map(str::to_owned);
        let finished = self.parted(&[], &script)?.run(context)?;
        let text = finished.stdout_text();
        let said = text.clone() + &finished.stderr_text();
        if let Some(table) = Table::parse(&text) {
            return Ok(table);
        }
        // A device without a table of partitions has no partitions.
        if said.contains("unrecognised disk label") {
            return Ok(Table::empty(self.given.word("device"), unit));
        }
        let device = self.given.word("device");
        Err(finished
            .failure(format!("Error while getting device information with parted: {device}")))
    }

    /// A table and a partition that aren't there.
    fn creation(&self, before: &Table, number: i64) -> Vec<String> {
        let given = self.given;
        let mut script = Vec::new();
        let mut say = |words: &[&str]| script.extend(words.iter().map(|word| (*word).to_owned()));
        // Ansible takes msdos where nothing is said, and so removes a table of another kind.
        let has_none = matches!(before.label.as_str(), "unknown" | "loop");
        let label = given.text("label").unwrap_or(if has_none { "msdos" } else { &before.label });
        let is_new_table = before.label != label;
        if is_new_table {
            say(&["mklabel", label]);
        }
        if number > 0 && (is_new_table || before.partition(number).is_none()) {
            say(&["mkpart", given.word("part_type")]);
            say(&given.text("fs_type").into_iter().collect::<Vec<_>>());
            say(&[given.word("part_start"), given.word("part_end")]);
        }
        script
    }

    /// Name, flags and end of a partition that is there.
    fn details(&self, there: &Partition, number: i64) -> Vec<String> {
        let given = self.given;
        let number = number.to_string();
        let mut script = Vec::new();
        let mut say = |words: &[&str]| script.extend(words.iter().map(|word| (*word).to_owned()));
        if given.flag("resize") && !is_end(there, given.word("part_end")) {
            say(&["resizepart", &number, given.word("part_end")]);
        }
        if let Some(name) = given.text("name")
            && there.name != name
        {
            say(&["name", &number, &format!("\"{name}\"")]);
        }
        if let Some(flags) = given.texts("flags") {
            let is_on = |flag: &&str| there.flags.iter().any(|known| known == flag);
            for flag in flags.iter().filter(|flag| !is_on(flag)) {
                say(&["set", &number, flag, "on"]);
            }
            for flag in there.flags.iter().filter(|flag| !flags.contains(&flag.as_str())) {
                say(&["set", &number, flag, "off"]);
            }
        }
        script
    }
}

/// Whether a partition ends there; parted's own numbers are rounded.
fn is_end(there: &Partition, wanted: &str) -> bool {
    let digits = wanted.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(wanted.len());
    let (number, unit) = wanted.split_at(digits);
    unit.eq_ignore_ascii_case(&there.unit)
        && number.trim().parse::<f64>().is_ok_and(|number| (number - there.end).abs() < 1.0)
}

impl Table {
    fn empty(device: &str, unit: &str) -> Self {
        Table {
            device: device.to_owned(),
            size: 0.0,
            unit: unit.to_lowercase(),
            label: "unknown".to_owned(),
            model: String::new(),
            logical_block: 0,
            physical_block: 0,
            partitions: Vec::new(),
        }
    }

    /// `BYT;`, a line for the device and one for each partition.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip_while(|line| !matches!(*line, "BYT;" | "CYL;" | "CHS;"));
        lines.next()?;
        let line = lines.next()?.trim_end_matches(';');
        let fields: Vec<&str> = line.split(':').collect();
        let [device, size, _, logical, physical, label, model, ..] = fields.as_slice() else {
            return None;
        };
        let (size, unit) = measure(size)?;
        let partitions = lines.filter_map(|line| Partition::parse(line.trim_end_matches(';')));
        Some(Table {
            device: (*device).to_owned(),
            size,
            unit,
            label: (*label).to_owned(),
            model: (*model).to_owned(),
            logical_block: logical.parse().ok()?,
            physical_block: physical.parse().ok()?,
            partitions: partitions.collect(),
        })
    }

    fn partition(&self, number: i64) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.number == number)
    }

    fn disk(&self) -> Value {
        json!({
            "dev": self.device, "size": self.size, "unit": self.unit, "table": self.label,
            "model": self.model, "logical_block": self.logical_block,
            "physical_block": self.physical_block,
        })
    }

    fn list(&self) -> Vec<Value> {
        let one = |partition: &Partition| {
            json!({
                "num": partition.number, "begin": partition.begin, "end": partition.end,
                "size": partition.size, "fstype": partition.file_system, "name": partition.name,
                "flags": partition.flags, "unit": partition.unit,
            })
        };
        self.partitions.iter().map(one).collect()
    }
}

impl Partition {
    /// `1:1024kiB:2048kiB:1024kiB:ext4:data:boot, lvm`
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [number, begin, end, size, file_system, name, flags, ..] = fields.as_slice() else {
            return None;
        };
        let (begin, unit) = measure(begin)?;
        let flags = flags.split(',').map(str::trim).filter(|flag| !flag.is_empty());
        Some(Partition {
            number: number.parse().ok()?,
            begin,
            end: measure(end)?.0,
            size: measure(size)?.0,
            file_system: (*file_system).to_owned(),
            name: (*name).to_owned(),
            flags: flags.map(str::to_owned).collect(),
            unit,
        })
    }
}

/// `1024kiB` as number and unit in lower case.
fn measure(text: &str) -> Option<(f64, String)> {
    let digits = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::system::process::find_program;
    use crate::modules::system::testing::context;

    #[test]
    fn tables_are_read() {
        let text = "BYT;\n/dev/sdb:8192kiB:file:512:4096:gpt:A disk:;\n\
                    1:1024kiB:2048kiB:1024kiB:ext4:data:boot, lvm;\n";
        let table = Table::parse(text).unwrap();
        assert_eq!((table.size, table.unit.as_str(), table.label.as_str()), (8192.0, "kib", "gpt"));
        let one = table.partition(1).unwrap();
        assert_eq!((one.begin, one.end, one.name.as_str()), (1024.0, 2048.0, "data"));
        assert_eq!(one.flags, ["boot", "lvm"]);
        assert!(is_end(one, "2048KiB") && !is_end(one, "3072KiB") && !is_end(one, "2MiB"));
        assert_eq!(Table::parse("Error: x\n"), None);
    }

    /// With the real program, on a file.
    #[test]
    fn a_partition_is_made_changed_and_removed() {
        if find_program("parted").is_none() {
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(16 << 20).unwrap();
        let call = |more: Value| {
            let mut given = json!({"device": file.path(), "unit": "MiB"});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            context().call_named("parted", given).unwrap()
        };
        assert!(!call(json!({})).changed);
        let wanted = json!({
            "state": "present", "number": 1, "label": "gpt", "part_start": "1MiB",
            "part_end": "4MiB", "name": "data", "flags": ["boot", "esp"],
        });
        let made = call(wanted.clone());
        assert!(made.changed);
        let one = &made.values["partitions"][0];
        assert_eq!((one["name"].as_str(), one["end"].as_f64()), (Some("data"), Some(4.0)));
        let again = call(wanted);
        assert!(!again.changed, "{:?}", again.values);
        let wanted = json!({
            "state": "present", "number": 1, "part_end": "8MiB", "resize": true,
        });
        assert!(call(wanted.clone()).changed && !call(wanted).changed);
        assert!(call(json!({"state": "absent", "number": 1})).changed);
        assert!(!call(json!({"state": "absent", "number": 1})).changed);
    }
}
