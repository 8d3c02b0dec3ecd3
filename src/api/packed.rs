//! Numbers of a state in as few characters as they take to the bit. A run's status has a largest size,
//! and a number that is written out in full takes almost twice as many. Serde and schema, no logic.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// Six bits each.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
/// Digits of one number.
const WIDTH: usize = 11;
/// Most numbers of a list.
const NUMBERS_MAX: usize = 64;

/// Either form: states of earlier runs have lists.
#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Packed(String),
    List(Vec<f64>),
}

pub(super) fn serialize<S: Serializer>(numbers: &[f64], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&pack(numbers))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    match Either::deserialize(from)? {
        Either::List(numbers) => Ok(numbers),
        Either::Packed(text) => {
            let numbers: Option<Vec<f64>> = text.as_bytes().chunks(WIDTH).map(number).collect();
            numbers.ok_or_else(|| D::Error::custom("is no list of packed numbers"))
        }
    }
}

/// The schema of such a list.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": WIDTH * NUMBERS_MAX, "pattern": "^[-_0-9A-Za-z]*$"})
}

fn pack(numbers: &[f64]) -> String {
    let digit = |six: u64| {
        let place = usize::try_from(six & 63).unwrap_or(0);
        DIGITS.get(place).map_or('0', |digit| char::from(*digit))
    };
    let of = |number: &f64| {
        let bits = number.to_bits();
        (0..WIDTH)
            .rev()
            .map(move |place| digit(bits >> (6 * place)))
    };
    numbers.iter().flat_map(of).collect()
}

fn number(digits: &[u8]) -> Option<f64> {
    let mut bits: u64 = 0;
    for digit in digits {
        let six = DIGITS.iter().position(|known| known == digit)?;
        bits = bits.checked_mul(64)?.checked_add(six as u64)?;
    }
    (digits.len() == WIDTH).then(|| f64::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(json: &str) -> Result<Vec<f64>, serde_json::Error> {
        deserialize(&mut serde_json::Deserializer::from_str(json))
    }

    #[test]
    fn every_number_comes_back_to_the_bit() {
        let numbers = [
            0.0,
            -0.0,
            1.0,
            -1.0 / 3.0,
            1e-300,
            f64::MAX,
            f64::MIN_POSITIVE / 8.0,
            f64::INFINITY,
        ];
        let text = pack(&numbers);
        assert_eq!(text.len(), WIDTH * numbers.len());
        let back = unpack(&format!("\"{text}\"")).unwrap();
        let bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&numbers));
        assert_eq!(unpack("\"\"").unwrap(), [0.0; 0]);
        assert_eq!(unpack("[1.5, 2]").unwrap(), [1.5, 2.0], "an earlier run's");
        for wrong in [
            "\"0\"",
            "\"0000000000 \"",
            "\"G0000000000\"",
            "7",
            "[\"a\"]",
        ] {
            assert!(unpack(wrong).is_err(), "{wrong}");
        }
    }
}
