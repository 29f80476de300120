//! An ordered map whose copies share what they have in common: a draft of the world costs what it changes, not what
//! there is.
//!
//! Sorted chunks behind shared pointers. This file refuses to know what is in it.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod finger;

pub use finger::Finger;

/// Most entries in one chunk: what one change copies (pointers only).
const CHUNK: usize = 64;

type Chunk<K, V> = Arc<Vec<(K, Arc<V>)>>;

/// See above.
pub struct Shared<K, V> {
    /// None is empty; ascending.
    chunks: Vec<Chunk<K, V>>,
    len: usize,
}

impl<K: Ord + Clone, V: Clone> Shared<K, V> {
    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (chunk, at) = self.find(key).ok()?;
        Some(&self.chunks[chunk][at].1)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (chunk, at) = self.find(key).ok()?;
        Some(Arc::make_mut(&mut Arc::make_mut(&mut self.chunks[chunk])[at].1))
    }

    /// Whether there is such a key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Adds or replaces; gives what was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<Arc<V>> {
        match self.find(&key) {
            Ok((chunk, at)) => {
                let slot = &mut Arc::make_mut(&mut self.chunks[chunk])[at].1;
                Some(std::mem::replace(slot, Arc::new(value)))
            }
            Err(place) => {
                self.insert_at(place, key, value);
                None
            }
        }
    }

    /// The value of a key, made where there is none.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let (chunk, at) = match self.find(&key) {
            Ok(place) => place,
            Err(place) => self.insert_at(place, key, make()),
        };
        Arc::make_mut(&mut Arc::make_mut(&mut self.chunks[chunk])[at].1)
    }

    /// Removes; gives what was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        let (chunk, at) = self.find(key).ok()?;
        let rows = Arc::make_mut(&mut self.chunks[chunk]);
        let (_, value) = rows.remove(at);
        if rows.is_empty() {
            self.chunks.remove(chunk);
        }
        self.len -= 1;
        Some(value)
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        for chunk in &mut self.chunks {
            if !chunk.iter().all(|(key, value)| keep(key, value)) {
                Arc::make_mut(chunk).retain(|(key, value)| keep(key, value));
            }
        }
        self.chunks.retain(|chunk| !chunk.is_empty());
        self.len = self.chunks.iter().map(|chunk| chunk.len()).sum();
    }

    /// Changes the values that `which` says; the others stay shared.
    pub fn change(&mut self, which: impl Fn(&V) -> bool, mut change: impl FnMut(&mut V)) {
        for chunk in &mut self.chunks {
            if !chunk.iter().any(|(_, value)| which(value)) {
                continue;
            }
            for (_, value) in Arc::make_mut(chunk).iter_mut().filter(|(_, value)| which(value)) {
                change(Arc::make_mut(value));
            }
        }
    }

    /// In the order of keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.chunks
            .iter()
            .flat_map(|chunk| chunk.iter())
            .map(|(key, value)| (key, &**value))
    }

    /// From the first key that is not less than `from`, in the order of keys.
    pub fn iter_from<Q: Ord + ?Sized>(&self, from: &Q) -> impl Iterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        let (chunk, at) = match self.find(from) {
            Ok(place) | Err(place) => place,
        };
        let chunks = self.chunks.get(chunk..).unwrap_or_default();
        chunks
            .iter()
            .flat_map(|chunk| chunk.iter())
            .skip(at)
            .map(|(key, value)| (key, &**value))
    }

    /// For looking up many keys that come in their order, as members of a cluster do.
    pub const fn finger(&self) -> Finger<'_, K, V> {
        Finger::on(self)
    }

    /// Ascending.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// In the order of keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// Where a key is, or where it would go.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<(usize, usize), (usize, usize)>
    where
        K: Borrow<Q>,
    {
        let after = |chunk: &Chunk<K, V>| chunk.first().is_some_and(|(first, _)| first.borrow() <= key);
        let chunk = self.chunks.partition_point(after).saturating_sub(1);
        let Some(rows) = self.chunks.get(chunk) else {
            return Err((0, 0));
        };
        match rows.binary_search_by(|(here, _)| here.borrow().cmp(key)) {
            Ok(at) => Ok((chunk, at)),
            Err(at) => Err((chunk, at)),
        }
    }

    fn insert_at(&mut self, (chunk, at): (usize, usize), key: K, value: V) -> (usize, usize) {
        self.len += 1;
        let row = (key, Arc::new(value));
        let Some(rows) = self.chunks.get_mut(chunk) else {
            self.chunks.push(Arc::new(vec![row]));
            return (chunk, 0);
        };
        if rows.len() == CHUNK && at == CHUNK {
            // Keys that come in order fill whole chunks.
            self.chunks.insert(chunk + 1, Arc::new(vec![row]));
            return (chunk + 1, 0);
        }
        let rows = Arc::make_mut(rows);
        rows.insert(at, row);
        if rows.len() <= CHUNK {
            return (chunk, at);
        }
        let upper = rows.split_off(CHUNK / 2);
        self.chunks.insert(chunk + 1, Arc::new(upper));
        if at < CHUNK / 2 {
            (chunk, at)
        } else {
            (chunk + 1, at - CHUNK / 2)
        }
    }
}

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<K, V> Clone for Shared<K, V> {
    fn clone(&self) -> Self {
        Self {
            chunks: self.chunks.clone(),
            len: self.len,
        }
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> PartialEq for Shared<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord + Clone, V: Clone + Eq> Eq for Shared<K, V> {}

impl<K: Ord + Clone + Borrow<Q>, Q: Ord + ?Sized, V: Clone> std::ops::Index<&Q> for Shared<K, V> {
    type Output = V;

    /// Panics where there is no such key, as maps do.
    fn index(&self, key: &Q) -> &V {
        self.get(key)
            .expect("whoever indexes knows that the key is there")
    }
}

impl<K: Ord + Clone + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for Shared<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Shared<K, V> {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(rows: T) -> Self {
        let mut map = Self::default();
        for (key, value) in rows {
            map.insert(key, value);
        }
        map
    }
}

impl<K: Ord + Clone + Serialize, V: Clone + Serialize> Serialize for Shared<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, K, V> Deserialize<'de> for Shared<K, V>
where
    K: Ord + Clone + Deserialize<'de>,
    V: Clone + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Rows(PhantomData))
    }
}

struct Rows<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Rows<K, V>
where
    K: Ord + Clone + Deserialize<'de>,
    V: Clone + Deserialize<'de>,
{
    type Value = Shared<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
        let mut map = Shared::default();
        while let Some((key, value)) = rows.next_entry()? {
            map.insert(key, value);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn same(ours: &Shared<u16, u32>, peer: &BTreeMap<u16, u32>) {
        assert!(ours.iter().eq(peer.iter()));
        assert_eq!(ours.len(), peer.len());
        assert!(ours.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
    }

    proptest! {
        #[test]
        fn it_is_the_map_that_it_stands_for_and_copies_keep_what_they_had(
            steps in prop::collection::vec((0_u8..6, 0_u16..400, any::<u32>()), 0..900)
        ) {
            let (mut ours, mut peer) = (Shared::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for (number, (kind, key, value)) in steps.into_iter().enumerate() {
                match kind {
                    0..3 => assert_eq!(ours.insert(key, value).map(|v| *v), peer.insert(key, value)),
                    3 => assert_eq!(ours.remove(&key).map(|v| *v), peer.remove(&key)),
                    4 => *ours.get_or_insert_with(key, || value) = *peer.entry(key).insert_entry(value).get(),
                    _ => {
                        let rest: Vec<(u16, u32)> = peer.range(key..).map(|(k, v)| (*k, *v)).collect();
                        let own: Vec<(u16, u32)> = ours.iter_from(&key).map(|(k, v)| (*k, *v)).collect();
                        assert_eq!(own, rest);
                    }
                }
                assert_eq!(ours.get(&key), peer.get(&key));
                let mut finger = ours.finger();
                for key in (key..key + 9).chain([key / 2]) {
                    assert_eq!(finger.get(&key), peer.get(&key));
                }
                if number % 100 == 0 {
                    copies.push((ours.clone(), peer.clone()));
                }
            }
            same(&ours, &peer);
            ours.change(|v| v % 2 == 0, |v| *v += 1);
            peer.values_mut().filter(|v| **v % 2 == 0).for_each(|v| *v += 1);
            same(&ours, &peer);
            ours.retain(|key, _| key % 3 == 0);
            peer.retain(|key, _| key % 3 == 0);
            same(&ours, &peer);
            let text = serde_json::to_string(&ours).unwrap();
            prop_assert_eq!(&text, &serde_json::to_string(&peer).unwrap());
            prop_assert_eq!(&serde_json::from_str::<Shared<u16, u32>>(&text).unwrap(), &ours);
            copies.iter().for_each(|(ours, peer)| same(ours, peer));
        }
    }
}
