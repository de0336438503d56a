//! The handles that a request needs.

/// A broker's parts. So far it has none that a request needs.
#[derive(Debug, Default)]
pub struct Broker {}

/// The features that the cluster has agreed on (KIP-584).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinalizedFeatures {
    /// Rises with every change; -1 when not known.
    pub epoch: i64,
    /// Name and level of each.
    pub levels: Vec<(&'static str, i16)>,
}

impl Broker {
    /// A broker without data.
    pub fn new() -> Self {
        Self::default()
    }

    /// The features that clients may rely on: none yet.
    pub fn finalized_features(&self) -> FinalizedFeatures {
        FinalizedFeatures::default()
    }
}
