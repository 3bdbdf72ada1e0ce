//! Ports of an instance. There are three at most as a rule, of each instance in several places, so
//! these have no memory of their own.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many need no memory of their own.
const FEW: usize = 3;

/// Ports of an instance, in order.
#[derive(Debug, Clone, Default)]
pub struct Ports(Kept);

#[derive(Debug, Clone)]
enum Kept {
    Few(u8, [u16; FEW]),
    Many(Box<[u16]>),
}

impl Default for Kept {
    fn default() -> Self {
        Kept::Few(0, [0; FEW])
    }
}

impl Ports {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }
}

impl Deref for Ports {
    type Target = [u16];

    fn deref(&self) -> &[u16] {
        match &self.0 {
            Kept::Few(count, ports) => ports.get(..usize::from(*count)).unwrap_or_default(),
            Kept::Many(ports) => ports,
        }
    }
}

impl From<&[u16]> for Ports {
    fn from(ports: &[u16]) -> Self {
        let mut few = [0; FEW];
        let kept = few.get_mut(..ports.len()).zip(u8::try_from(ports.len()).ok());
        Ports(match kept {
            Some((kept, count)) => {
                kept.copy_from_slice(ports);
                Kept::Few(count, few)
            }
            None => Kept::Many(ports.into()),
        })
    }
}

impl From<Vec<u16>> for Ports {
    fn from(ports: Vec<u16>) -> Self {
        Ports::from(ports.as_slice())
    }
}

impl FromIterator<u16> for Ports {
    fn from_iter<T: IntoIterator<Item = u16>>(ports: T) -> Self {
        Ports::from(ports.into_iter().collect::<Vec<u16>>())
    }
}

impl PartialEq for Ports {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Ports {}

impl PartialEq<[u16]> for Ports {
    fn eq(&self, other: &[u16]) -> bool {
        **self == *other
    }
}

impl<const COUNT: usize> PartialEq<[u16; COUNT]> for Ports {
    fn eq(&self, other: &[u16; COUNT]) -> bool {
        **self == *other
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<u16>::deserialize(deserializer).map(Ports::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_list_however_many() {
        for count in 0..9u16 {
            let list: Vec<u16> = (0..count).map(|one| 40_000 + one).collect();
            let ports = Ports::from(list.as_slice());
            assert_eq!(*ports, *list);
            assert_eq!(ports, list.iter().copied().collect::<Ports>());
            assert_eq!(matches!(ports.0, Kept::Few(..)), count <= 3);
            let text = serde_json::to_string(&ports).unwrap();
            assert_eq!(text, serde_json::to_string(&list).unwrap(), "as a list of numbers");
            assert_eq!(serde_json::from_str::<Ports>(&text).unwrap(), ports);
        }
        assert_ne!(Ports::from(vec![0]), Ports::from(vec![0, 0]));
        assert!(size_of::<Ports>() <= 16);
    }
}
