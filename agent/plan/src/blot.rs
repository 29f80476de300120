//! Secrets that must not be shown, struck out of text that others wrote. Refuses to know where the text goes.

/// Shorter values occur by chance.
const LEAST: usize = 6;
/// Stands where a secret stood.
const BLOT: &str = "(secret)";

/// The values.
#[derive(Clone, Default)]
pub struct Blot(Vec<String>);

impl Blot {
    /// Values that are too short to be told from chance are left out.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().filter(|v| v.len() >= LEAST).collect();
        // One may begin with another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self(values)
    }

    /// The text without secrets; None: there is none in it. A `cut` text may end in the middle of one.
    pub fn over(&self, text: &str, cut: bool) -> Option<String> {
        let mut blotted: Option<String> = None;
        for secret in &self.0 {
            let so_far = blotted.as_deref().unwrap_or(text);
            if so_far.contains(secret.as_str()) {
                blotted = Some(so_far.replace(secret.as_str(), BLOT));
            }
        }
        if cut {
            let so_far = blotted.as_deref().unwrap_or(text);
            let ends = self.0.iter().filter_map(|secret| begun(so_far, secret)).min();
            if let Some(from) = ends {
                blotted = Some(so_far[..from].to_owned() + BLOT);
            }
        }
        blotted
    }
}

/// Where a secret begins of which `text` has only the beginning.
fn begun(text: &str, secret: &str) -> Option<usize> {
    (LEAST..secret.len())
        .rev()
        .filter(|bytes| secret.is_char_boundary(*bytes))
        .find(|bytes| text.ends_with(&secret[..*bytes]))
        .map(|bytes| text.len() - bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blot() -> Blot {
        Blot::new(["canary", "canary-key", "short"].map(str::to_owned))
    }

    #[test]
    fn a_secret_is_struck_out_wherever_it_stands() {
        let over = |text| blot().over(text, false);
        assert_eq!(
            over("a=canary-key,b=canary"),
            Some("a=(secret),b=(secret)".into())
        );
        assert_eq!(over("canar short"), None);
    }

    #[test]
    fn a_text_that_was_cut_may_end_in_the_middle_of_one() {
        let blot = Blot::new(["canary-key".to_owned()]);
        assert_eq!(blot.over("x canary-k", true), Some("x (secret)".into()));
        assert_eq!(blot.over("x canary-k", false), None);
        assert_eq!(blot.over("x cana", true), None);
    }

    proptest! {
        #[test]
        fn no_secret_is_left(text in "[a-c]{0,60}", secrets in proptest::collection::vec("[a-c]{6,8}", 0..4)) {
            let blot = Blot::new(secrets.clone());
            let shown = blot.over(&text, true).unwrap_or(text);
            prop_assert!(secrets.iter().all(|s| !shown.contains(s.as_str())), "{}", shown);
        }
    }
}
