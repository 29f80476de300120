//! Where a process has mapped the code of its program, from the text of `/proc/self/maps`. Refuses to know memory.

use std::ops::Range;

/// Addresses of the one mapping of `program` that is run and was never written to; None: there is none, or not one.
pub fn code(maps: &str, program: &str) -> Option<Range<usize>> {
    let mut found = maps.lines().filter_map(|line| of_line(line, program));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// `55d0c000-55d0e000 r-xp 00002000 fd:01 1048602   /usr/bin/program`
fn of_line(line: &str, program: &str) -> Option<Range<usize>> {
    let mut words = line.splitn(6, ' ');
    let (range, may) = (words.next()?, words.next()?);
    let path = words.nth(3)?.trim_start();
    if may != "r-xp" || path != program {
        return None;
    }
    let (from, to) = range.split_once('-')?;
    let from = usize::from_str_radix(from, 16).ok()?;
    let to = usize::from_str_radix(to, 16).ok()?;
    (from < to).then_some(from..to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAPS: &str = "7f00-7f10 r--p 00000000 fd:00 42                         /usr/bin/the agent
7f10-7f50 r-xp 00010000 fd:00 42                         /usr/bin/the agent
7f50-7f60 rw-p 00050000 fd:00 42                         /usr/bin/the agent
8000-9000 r-xp 00000000 00:00 0                          [vdso]
";

    #[test]
    fn only_the_code_of_the_program_itself_counts() {
        assert_eq!(code(MAPS, "/usr/bin/the agent"), Some(0x7f10..0x7f50));
        assert_eq!(code(MAPS, "/usr/bin/the"), None);
        assert_eq!(code("", "/usr/bin/the agent"), None);
        // Twice, or writable: it is left alone.
        assert_eq!(code(&MAPS.repeat(2), "/usr/bin/the agent"), None);
        assert_eq!(code(&MAPS.replace("r-xp", "rwxp"), "/usr/bin/the agent"), None);
        assert_eq!(
            code(&MAPS.replace("7f50 r-xp", "7f10 r-xp"), "/usr/bin/the agent"),
            None
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-f]{0,20}-?[0-9a-f]{0,20} r-xp.{0,40}") {
            let _ = code(&text, "/p");
        }
    }
}
