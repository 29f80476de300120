//! Which known name a person may have meant. It refuses to know what the names are for.

/// The known name that a person may have meant.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name: Vec<char> = name.to_lowercase().chars().take(64).collect();
    let scored = known.iter().map(|candidate| {
        let other: Vec<char> = candidate.to_lowercase().chars().collect();
        (distance(&name, &other), *candidate)
    });
    let (edits, candidate) = scored.min()?;
    (edits <= 1 + candidate.len() / 5).then_some(candidate)
}

/// Edits (insert, delete, replace) between two words.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
