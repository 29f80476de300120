//! Whether a commit has suspiciously few files, as after a mistake that emptied a branch. Refuses to know trees.

/// Fewest files of the current release at which this is asked: small ones change altogether.
pub const LEAST_FILES: u64 = 20;

/// Why a commit of `new` files does not follow a release of `current` files, where `percent` have to be left.
pub fn fault(current: u64, new: u64, percent: u8) -> Option<String> {
    let enough = u128::from(new) * 100 >= u128::from(current) * u128::from(percent);
    if current < LEAST_FILES || enough {
        return None;
    }
    Some(format!(
        "has {new} files where the current release has {current}, fewer than {percent} of a hundred; \
         order this commit if that is meant (--least-percent)"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_repositories_may_change_altogether() {
        assert_eq!(fault(LEAST_FILES - 1, 0, 100), None);
        assert!(fault(LEAST_FILES, 0, 1).is_some());
        assert!(fault(100, 49, 50).unwrap().contains("49 files"));
        assert_eq!(fault(100, 50, 50), None);
        assert_eq!(fault(101, 50, 50), fault(101, 50, 50));
        assert!(fault(101, 50, 50).is_some());
    }

    proptest! {
        #[test]
        fn growing_is_never_at_fault_and_zero_percent_asks_nothing(current: u64, more in 0u64..1000, percent in 0u8..=100) {
            prop_assert_eq!(fault(current, current.saturating_add(more), percent), None);
            prop_assert_eq!(fault(current, 0, 0), None);
        }

        #[test]
        fn more_files_are_never_worse(current: u64, new: u64, more: u64, percent in 0u8..=100) {
            if fault(current, new, percent).is_none() {
                prop_assert_eq!(fault(current, new.saturating_add(more), percent), None);
            }
        }
    }
}
