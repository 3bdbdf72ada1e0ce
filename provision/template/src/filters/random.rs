//! Random choices. With a seed they are those of CPython, so that content which derives cron
//! minutes from the host name gets the same ones as under Ansible.

use minijinja::Value;
use sha2::{Digest, Sha512};

use super::{FilterEntry, impure};
use crate::convert::{integer_of, signed};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::{View, int_value, is_list, iterate, list_value, text_of, view};

pub(super) const FILTERS: &[FilterEntry] =
    &[impure("random", random), impure("random_mac", random_mac), impure("shuffle", shuffle)];

/// MT19937 as CPython seeds and reads it: Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS
/// 8(1), 1998, and CPython's `Modules/_randommodule.c` (interface only).
pub(crate) struct PythonRandom {
    state: Vec<u32>,
    position: usize,
}

const STATE_LENGTH: usize = 624;
const SHIFT: usize = 397;

impl PythonRandom {
    /// The generator of `random.Random(seed)` for a text: version 2 seeding.
    pub(crate) fn from_text(seed: &str) -> Self {
        let mut bytes = seed.as_bytes().to_vec();
        bytes.extend(Sha512::digest(seed.as_bytes()));
        bytes.reverse();
        let key = bytes.chunks(4).map(little_endian).collect::<Vec<u32>>();
        PythonRandom::from_key(&key)
    }

    /// The generator of `random.Random(number)`.
    pub(crate) fn from_integer(seed: u128) -> Self {
        let mut key: Vec<u32> = seed.to_le_bytes().chunks(4).map(little_endian).collect();
        while key.len() > 1 && key.last() == Some(&0) {
            key.pop();
        }
        PythonRandom::from_key(&key)
    }

    fn from_number(seed: u32) -> Self {
        let mut state = vec![seed];
        let mut previous = seed;
        for index in 1..STATE_LENGTH {
            let index = u32::try_from(index).unwrap_or(0);
            previous =
                1_812_433_253u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(index);
            state.push(previous);
        }
        PythonRandom { state, position: STATE_LENGTH }
    }

    fn word(&self, index: usize) -> u32 {
        self.state.get(index).copied().unwrap_or(0)
    }

    fn set(&mut self, index: usize, value: u32) {
        if let Some(slot) = self.state.get_mut(index) {
            *slot = value;
        }
    }

    /// `init_by_array` of the reference implementation.
    fn from_key(key: &[u32]) -> Self {
        let mut random = PythonRandom::from_number(19_650_218);
        let (mut i, mut j) = (1, 0);
        for _ in 0..STATE_LENGTH.max(key.len()) {
            let before = random.word(i - 1);
            let mixed = (random.word(i) ^ (before ^ (before >> 30)).wrapping_mul(1_664_525))
                .wrapping_add(key.get(j).copied().unwrap_or(0))
                .wrapping_add(u32::try_from(j).unwrap_or(0));
            random.set(i, mixed);
            i += 1;
            j = (j + 1) % key.len().max(1);
            if i >= STATE_LENGTH {
                random.set(0, random.word(STATE_LENGTH - 1));
                i = 1;
            }
        }
        for _ in 0..STATE_LENGTH - 1 {
            let before = random.word(i - 1);
            let mixed = (random.word(i) ^ (before ^ (before >> 30)).wrapping_mul(1_566_083_941))
                .wrapping_sub(u32::try_from(i).unwrap_or(0));
            random.set(i, mixed);
            i += 1;
            if i >= STATE_LENGTH {
                random.set(0, random.word(STATE_LENGTH - 1));
                i = 1;
            }
        }
        random.set(0, 0x8000_0000);
        random
    }

    fn refill(&mut self) {
        for index in 0..STATE_LENGTH {
            let joined = (self.word(index) & 0x8000_0000)
                | (self.word((index + 1) % STATE_LENGTH) & 0x7fff_ffff);
            let mut next = self.word((index + SHIFT) % STATE_LENGTH) ^ (joined >> 1);
            if joined & 1 == 1 {
                next ^= 0x9908_b0df;
            }
            self.set(index, next);
        }
        self.position = 0;
    }

    fn next_word(&mut self) -> u32 {
        if self.position >= STATE_LENGTH {
            self.refill();
        }
        let mut word = self.word(self.position);
        self.position += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// `getrandbits(bits)` for up to 128 bits.
    fn bits(&mut self, bits: u32) -> u128 {
        let mut out = 0u128;
        let mut done = 0;
        while done < bits {
            let width = (bits - done).min(32);
            out |= u128::from(self.next_word() >> (32 - width)) << done;
            done += width;
        }
        out
    }

    /// A number below `limit`, as `_randbelow_with_getrandbits` draws it.
    pub(crate) fn below(&mut self, limit: u128) -> u128 {
        if limit == 0 {
            return 0;
        }
        let bits = 128 - limit.leading_zeros();
        loop {
            let number = self.bits(bits);
            if number < limit {
                return number;
            }
        }
    }
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

/// The generator for a filter: seeded by its argument or from outside.
fn generator(run: &Run<'_>, seed: Option<Value>) -> Outcome<PythonRandom> {
    match seed.filter(|seed| !seed.is_none()) {
        None => {
            let bits = run.outside.random().map_err(|error| Run::outside_error(error, "random"))?;
            Ok(PythonRandom::from_integer(u128::from(bits)))
        }
        Some(seed) => Ok(match view(&seed) {
            View::Int(number) => PythonRandom::from_integer(number.unsigned_abs()),
            _ => PythonRandom::from_text(&text_of(&seed)),
        }),
    }
}

fn random(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let start = call.integer(0, "start")?;
    let step = call.integer(1, "step")?;
    let seed = call.arg(2, "seed");
    let mut random = generator(run, seed)?;
    let end = match view(&call.input) {
        View::Int(number) => Some(number),
        View::Bool(flag) => Some(i128::from(flag)),
        View::Float(number) => Some(integer_of(number)?),
        _ => None,
    };
    let Some(end) = end else {
        let items = iterate(&call.input).map_err(|_| {
            TemplateError::failed("random can only be used on sequences and integers")
        })?;
        if start.is_some() || step.is_some() {
            return Err(TemplateError::failed(
                "start and step can only be used with integer values",
            ));
        }
        let index = random.below(u128::from(signed(items.len()).unsigned_abs()));
        let chosen = usize::try_from(index).ok().and_then(|index| items.get(index).cloned());
        return chosen.ok_or_else(|| TemplateError::failed("Cannot choose from an empty sequence"));
    };
    let (start, step) = (i128::from(start.unwrap_or(0)), i128::from(step.unwrap_or(1)));
    if step == 0 {
        return Err(TemplateError::failed("zero step for randrange()"));
    }
    let width = end.saturating_sub(start);
    let round = if step > 0 { step - 1 } else { step + 1 };
    let count = width.saturating_add(round) / step;
    if count <= 0 {
        return Err(TemplateError::failed(format!(
            "empty range for randrange() ({start}, {end}, {width})"
        )));
    }
    let chosen = i128::try_from(random.below(count.unsigned_abs())).unwrap_or(0);
    Ok(int_value(start.saturating_add(step.saturating_mul(chosen))))
}

fn shuffle(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    if !is_list(&call.input) {
        return Ok(call.input.clone());
    }
    let mut items = iterate(&call.input)?;
    let seed = call.arg(0, "seed");
    let mut random = generator(run, seed)?;
    for index in (1..items.len()).rev() {
        let other = random.below(u128::from(signed(index + 1).unsigned_abs()));
        if let Ok(other) = usize::try_from(other) {
            items.swap(index, other);
        }
    }
    Ok(list_value(items))
}

fn random_mac(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let prefix = call.input_text().to_lowercase();
    let seed = call.arg(0, "seed");
    let given: Vec<&str> = prefix.split(':').filter(|part| !part.is_empty()).collect();
    if given.len() > 5 || given.is_empty() {
        return Err(TemplateError::failed(format!(
            "Invalid value ({prefix}) for random_mac: 5 colon(:) separated items max"
        )));
    }
    let mut random = generator(run, seed)?;
    // `randint(68719476736, 1099511627775)` as the collection draws it.
    let number = random.below(1_099_511_627_775 - 68_719_476_736 + 1) + 68_719_476_736;
    let digits = format!("{number:x}");
    let mut parts: Vec<String> = given.iter().map(|part| (*part).to_owned()).collect();
    for chunk in digits.as_bytes().chunks(2) {
        parts.push(String::from_utf8_lossy(chunk).into_owned());
    }
    parts.truncate(6);
    Ok(Value::from(parts.join(":")))
}
