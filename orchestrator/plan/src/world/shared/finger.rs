//! Looking up many keys that come in order: a walk beside them instead of a search for each.
//!
//! This file refuses to rely on that order: any other one only costs more.

use super::Shared;

/// Finds what follows what it found before without a search, and everything else by one.
pub struct Finger<'a, K, V> {
    map: &'a Shared<K, V>,
    /// Where the next key is expected.
    chunk: usize,
    at: usize,
}

impl<'a, K, V> Finger<'a, K, V> {
    pub(super) const fn on(map: &'a Shared<K, V>) -> Self {
        Self { map, chunk: 0, at: 0 }
    }
}

impl<'a, K: Ord + Clone, V: Clone> Finger<'a, K, V> {
    /// The value of a key.
    pub fn get(&mut self, key: &K) -> Option<&'a V> {
        let map = self.map;
        let next = map.chunks.get(self.chunk).and_then(|rows| rows.get(self.at));
        if next.is_none_or(|(here, _)| here != key) {
            let (Ok(place) | Err(place)) = map.find(key);
            (self.chunk, self.at) = place;
        }
        let rows = map.chunks.get(self.chunk)?;
        let found = rows.get(self.at).filter(|(here, _)| here == key);
        if found.is_some() {
            self.at += 1;
        }
        if self.at >= rows.len() {
            (self.chunk, self.at) = (self.chunk + 1, 0);
        }
        found.map(|(_, value)| &**value)
    }
}
