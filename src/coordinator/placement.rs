//! Which partition of its topic a group or a transactional id lives in.

/// The partition of `id` among `partitions`, which is at least 1: the absolute value of Java's `String.hashCode`
/// over UTF-16, modulo (`GroupCoordinatorService.partitionFor`, `TransactionStateManager.partitionFor`); the one hash that has no absolute value counts as 0
/// (`Utils.abs`). Not `Utils.toPositive`, which drops the sign bit, and places the keys of records. Of fewer than 1 it
/// is 0.
pub fn partition_for(id: &str, partitions: i32) -> i32 {
    let hash = id.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    hash.checked_abs().unwrap_or(0) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by Java: `Utils.abs(group.hashCode()) % partitions` for 50 and 7 partitions.
    #[test]
    fn groups_are_placed_as_java_places_them() {
        let table = [
            ("", 0, 0),
            ("a", 47, 6),
            ("group", 47, 3),
            ("console-consumer-12345", 6, 6),
            ("my-group", 12, 1),
            ("connect-cluster", 13, 5),
            ("Ünïcode", 14, 1),
            ("日本語", 43, 5),
            ("😀", 49, 2),
            ("😀-x", 4, 0),
            ("billing.eu-west-1", 17, 6),
            ("orders-consumer-v2", 11, 0),
            // Its hash is the smallest integer, whose absolute value is none.
            ("polygenelubricants", 0, 0),
        ];
        for (group, of_50, of_7) in table {
            assert_eq!((partition_for(group, 50), partition_for(group, 7)), (of_50, of_7), "{group}");
        }
        assert_eq!(partition_for("a", 0), 0);
        assert_eq!(partition_for("a", -1), 0);
    }
}
