//! `password_hash`: SHA-crypt, as specified by Ulrich Drepper, "Unix crypt using SHA-256 and
//! SHA-512" (version 0.6, 2016), <https://www.akkadia.org/drepper/SHA-crypt.txt>.

use minijinja::Value;
use sha2::{Digest, Sha256, Sha512};

use super::{FilterEntry, impure};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::text_of;

pub(super) const FILTERS: &[FilterEntry] = &[impure("password_hash", password_hash)];

/// The alphabet of crypt, in which salts and hashes are written.
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Rounds that the specification allows.
const ROUNDS: std::ops::RangeInclusive<u64> = 1_000..=999_999_999;

/// Rounds beyond this would take minutes; nobody uses them.
const MAX_ROUNDS: u64 = 10_000_000;

/// Rounds when a hash does not say: the specification's default.
const DEFAULT_ROUNDS: u64 = 5_000;

/// Length of a salt of our own.
const SALT_LENGTH: usize = 16;

/// Algorithms of passlib that also hash the name of a user, which the filter can't give them.
const OF_USERS: &[&str] =
    &["cisco_asa", "cisco_pix", "msdcc", "msdcc2", "oracle10", "postgres_md5"];

fn password_hash(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let algorithm = call.text(0, "hashtype").unwrap_or_else(|| "sha512".into());
    let salt = call.text(1, "salt").filter(|salt| !salt.is_empty());
    let size = call.integer(2, "salt_size")?.and_then(|size| usize::try_from(size).ok());
    let rounds = call.integer(3, "rounds")?.and_then(|rounds| u64::try_from(rounds).ok());
    let password = text_of(&call.input);
    let (wide, default_rounds) = match algorithm.as_str() {
        "sha512" | "sha512_crypt" => (true, 656_000),
        "sha256" | "sha256_crypt" => (false, 535_000),
        other if OF_USERS.contains(&other) => {
            return Err(TemplateError::failed(format!(
                "{other} is not in the list of supported passlib algorithms: md5, blowfish, \
                 sha256, sha512"
            ))
            .hint("use sha512 or sha256"));
        }
        other => {
            return Err(TemplateError::failed(format!(
                "password_hash with '{other}' is not supported"
            ))
            .hint("use sha512 or sha256"));
        }
    };
    let salt = match salt {
        Some(salt) => salt,
        None => random_salt(run, size.unwrap_or(SALT_LENGTH).min(SALT_LENGTH))?,
    };
    if salt.len() > SALT_LENGTH || !salt.bytes().all(|byte| ALPHABET.contains(&byte)) {
        return Err(TemplateError::failed("invalid characters in salt, or more than 16 of them"));
    }
    let rounds = rounds.filter(|rounds| *rounds > 0).unwrap_or(default_rounds);
    if !ROUNDS.contains(&rounds) || rounds > MAX_ROUNDS {
        return Err(TemplateError::failed(format!("rounds must be from 1000 to {MAX_ROUNDS}")));
    }
    Ok(Value::from(sha_crypt(wide, password.as_bytes(), &salt, rounds)))
}

fn random_salt(run: &Run<'_>, length: usize) -> Outcome<String> {
    let mut salt = String::new();
    while salt.len() < length {
        let mut bits =
            run.outside.random().map_err(|error| Run::outside_error(error, "password_hash"))?;
        for _ in 0..10 {
            if salt.len() < length {
                salt.push(letter(u32::try_from(bits % 64).unwrap_or(0)));
            }
            bits /= 64;
        }
    }
    Ok(salt)
}

fn letter(value: u32) -> char {
    let index = usize::try_from(value & 63).unwrap_or(0);
    ALPHABET.get(index).copied().map_or('.', char::from)
}

/// The crypt string of a password: `wide` is SHA-512, otherwise SHA-256.
pub(crate) fn sha_crypt(wide: bool, password: &[u8], salt: &str, rounds: u64) -> String {
    let prefix = if wide { "$6$" } else { "$5$" };
    let hash = if wide {
        digest_rounds(digest::<Sha512>, 64, password, salt.as_bytes(), rounds)
    } else {
        digest_rounds(digest::<Sha256>, 32, password, salt.as_bytes(), rounds)
    };
    let spelled =
        if rounds == DEFAULT_ROUNDS { String::new() } else { format!("rounds={rounds}$") };
    format!("{prefix}{spelled}{salt}${}", encode(&hash, wide))
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().to_vec()
}

/// `block` repeated to `length` bytes.
fn stretched(block: &[u8], length: usize) -> Vec<u8> {
    block.iter().copied().cycle().take(length).collect()
}

/// Steps 1 to 21 of the specification.
fn digest_rounds(
    hash: impl Fn(&[&[u8]]) -> Vec<u8>,
    size: usize,
    password: &[u8],
    salt: &[u8],
    rounds: u64,
) -> Vec<u8> {
    let b = hash(&[password, salt, password]);
    let filled = stretched(&b, password.len());
    let mut parts: Vec<&[u8]> = vec![password, salt, &filled];
    let mut length = password.len();
    while length > 0 {
        parts.push(if length & 1 == 1 { &b } else { password });
        length >>= 1;
    }
    let mut a = hash(&parts);
    let dp = hash(&vec![password; password.len()]);
    let p = stretched(&dp, password.len());
    let repeats = 16 + usize::from(a.first().copied().unwrap_or(0));
    let ds = hash(&vec![salt; repeats]);
    let s = stretched(&ds, salt.len());
    for round in 0..rounds {
        let odd = round % 2 == 1;
        let mut parts: Vec<&[u8]> = Vec::with_capacity(4);
        parts.push(if odd { &p } else { &a });
        if round % 3 != 0 {
            parts.push(&s);
        }
        if round % 7 != 0 {
            parts.push(&p);
        }
        parts.push(if odd { &a } else { &p });
        a = hash(&parts);
    }
    a.truncate(size);
    a
}

/// Step 22: bytes three by three in the order of the specification, least significant first.
fn encode(hash: &[u8], wide: bool) -> String {
    let byte = |index: usize| u32::from(hash.get(index).copied().unwrap_or(0));
    let mut out = String::new();
    let mut write = |mut word: u32, letters: usize| {
        for _ in 0..letters {
            out.push(letter(word & 63));
            word >>= 6;
        }
    };
    let third = if wide { 21 } else { 10 };
    for step in 0..third {
        let (x, y, z) = (step, step + third, step + 2 * third);
        let rotation = step % 3;
        // The three columns rotate: to the left for SHA-512, to the right for SHA-256.
        let (high, middle, low) = match (wide, rotation) {
            (_, 0) => (x, y, z),
            (true, 1) | (false, 2) => (y, z, x),
            _ => (z, x, y),
        };
        write((byte(high) << 16) | (byte(middle) << 8) | byte(low), 4);
    }
    if wide {
        write(byte(63), 2);
    } else {
        write((byte(31) << 8) | byte(30), 3);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::sha_crypt;

    /// Made with passlib 1.7.4; the first and third are also in the specification.
    #[test]
    fn matches_passlib() {
        let vectors = [
            (
                true,
                "Hello world!",
                "saltstring",
                5000,
                "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            ),
            (
                true,
                "Hello world!",
                "saltstringsaltst",
                10000,
                "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
            ),
            (
                false,
                "Hello world!",
                "saltstring",
                5000,
                "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            ),
            (
                false,
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "abc",
                1000,
                "$5$rounds=1000$abc$Tl2XdQ9SsLJz3m78s1sTwwfV29P8cohDvJyKjd/CUW2",
            ),
            (
                true,
                "",
                "s",
                1000,
                "$6$rounds=1000$s$u6h1nDplZjxDo4zJTtL/gDw7SGioQGm.0uRtQXjSgB6lTpGGOfGi4A6UMV.7Q7d2K2ppsidkHUrit0FKUiAv71",
            ),
        ];
        for (wide, password, salt, rounds, expected) in vectors {
            assert_eq!(sha_crypt(wide, password.as_bytes(), salt, rounds), expected);
        }
    }
}
