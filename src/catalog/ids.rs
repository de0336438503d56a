//! Ids of topics, clusters and directories: random UUIDs, written as Kafka writes them (`org.apache.kafka.common.Uuid`).

use uuid::Uuid;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Where fresh ids come from. Handed in, so that a test knows them beforehand.
pub struct FreshIds(Box<dyn FnMut() -> Uuid + Send>);

impl std::fmt::Debug for FreshIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FreshIds")
    }
}

impl FreshIds {
    /// Version 4 UUIDs from the operating system's random source.
    pub fn random() -> FreshIds {
        FreshIds::from_source(Uuid::new_v4)
    }

    /// Ids from a source, which must not only give ids that [`FreshIds::fresh`] skips.
    pub fn from_source(source: impl FnMut() -> Uuid + Send + 'static) -> FreshIds {
        FreshIds(Box::new(source))
    }

    /// A new id: none of Kafka's reserved ones, and none whose text begins with a dash, which a command line would
    /// take for an option.
    pub fn fresh(&mut self) -> Uuid {
        loop {
            let id = (self.0)();
            if !is_reserved(id) && !id_text(id).starts_with('-') {
                return id;
            }
        }
    }
}

/// Whether Kafka keeps an id for itself: directory ids up to 99 have meanings (`DirectoryId`), and zero and one are
/// no topic and the metadata topic.
pub fn is_reserved(id: Uuid) -> bool {
    id.as_u128() < 100
}

/// An id as Kafka prints it: 22 characters of URL-safe base64 without padding.
pub fn id_text(id: Uuid) -> String {
    let bits = id.as_u128();
    // 22 groups of six bits; the last has four zero bits of filling.
    let group = |n: u32| match n {
        21 => (bits << 4) & 63,
        n => (bits >> (122 - 6 * n)) & 63,
    };
    (0..22).filter_map(|n| ALPHABET.get(group(n) as usize).map(|letter| char::from(*letter))).collect()
}

/// Reads what [`id_text`] writes, with or without padding; None for anything else.
pub fn parse_id(text: &str) -> Option<Uuid> {
    let text = text.strip_suffix("==").unwrap_or(text);
    if text.len() != 22 {
        return None;
    }
    let mut bits: u128 = 0;
    for (n, letter) in text.bytes().enumerate() {
        let value = ALPHABET.iter().position(|candidate| *candidate == letter)? as u128;
        bits = if n == 21 { bits << 2 | value >> 4 } else { bits << 6 | value };
    }
    Some(Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_kafkas() {
        assert_eq!(id_text(Uuid::nil()), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(id_text(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(id_text(Uuid::from_u128(u128::MAX)), "_____________________w");
        // Of Kafka's documentation of a KRaft quickstart.
        let id = parse_id("MkU3OEVBNTcwNTJENDM2Qk").unwrap();
        assert_eq!(id.as_bytes(), b"2E78EA57052D436B");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in
            ["", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAA+A", "é".repeat(11).as_str()]
        {
            assert_eq!(parse_id(text), None, "{text}");
        }
    }

    #[test]
    fn reserved_and_dashed_ids_are_skipped() {
        let dashed = Uuid::from_u128(62 << 122);
        assert!(id_text(dashed).starts_with('-'));
        let mut source = [Uuid::nil(), Uuid::from_u128(1), dashed, Uuid::from_u128(1000)].into_iter();
        let mut ids = FreshIds::from_source(move || source.next().unwrap());
        assert_eq!(ids.fresh(), Uuid::from_u128(1000));
    }

    proptest! {
        #[test]
        fn texts_read_back(bits: u128) {
            let id = Uuid::from_u128(bits);
            prop_assert_eq!(id_text(id).len(), 22);
            prop_assert_eq!(parse_id(&id_text(id)), Some(id));
            prop_assert_eq!(parse_id(&format!("{}==", id_text(id))), Some(id));
        }
    }
}
