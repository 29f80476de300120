//! Where a process has mapped what never changes of its program, from the text of `/proc/self/maps`. Refuses to know memory.

use std::ops::Range;

/// One line: `55d0c000-55d0e000 r-xp 00002000 fd:01 1048602   /usr/bin/program`
struct Mapping<'a> {
    range: Range<usize>,
    may: &'a str,
    offset: usize,
}

/// Addresses of the code of `program`, begun with its constants where these lie before it as the file has them. Neither
/// was ever written to: what is relocated lies behind. None: there is no such code, or not one.
pub fn unchanging(maps: &str, program: &str) -> Option<Range<usize>> {
    let all: Vec<Mapping<'_>> = maps.lines().filter_map(|line| of_line(line, program)).collect();
    let mut code = all.iter().filter(|mapping| mapping.may == "r-xp");
    let (first, None) = (code.next()?, code.next()) else {
        return None;
    };
    let is_before = |other: &&Mapping<'_>| {
        other.may == "r--p" && other.offset == 0 && other.range.end == first.range.start
    };
    let constants = all.iter().find(is_before);
    Some(constants.map_or(first.range.start, |mapping| mapping.range.start)..first.range.end)
}

fn of_line<'a>(line: &'a str, program: &str) -> Option<Mapping<'a>> {
    let mut words = line.splitn(6, ' ');
    let (range, may, offset) = (words.next()?, words.next()?, words.next()?);
    if words.nth(2)?.trim_start() != program {
        return None;
    }
    let hex = |text| usize::from_str_radix(text, 16).ok();
    let (from, to) = range.split_once('-')?;
    let range = hex(from)?..hex(to)?;
    (range.start < range.end).then_some(Mapping {
        range,
        may,
        offset: hex(offset)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAPS: &str = "7f00-7f10 r--p 00000000 fd:00 42                         /usr/bin/the agent
7f10-7f50 r-xp 00010000 fd:00 42                         /usr/bin/the agent
7f50-7f60 r--p 00050000 fd:00 42                         /usr/bin/the agent
7f60-7f70 rw-p 00060000 fd:00 42                         /usr/bin/the agent
8000-9000 r-xp 00000000 00:00 0                          [vdso]
";

    #[test]
    fn only_code_and_constants_of_the_program_itself_count() {
        let of = |maps: &str| unchanging(maps, "/usr/bin/the agent");
        assert_eq!(of(MAPS), Some(0x7f00..0x7f50));
        assert_eq!(unchanging(MAPS, "/usr/bin/the"), None);
        assert_eq!(of(""), None);
        // Twice, or writable: it is left alone.
        assert_eq!(of(&MAPS.repeat(2)), None);
        assert_eq!(of(&MAPS.replace("r-xp", "rwxp")), None);
        assert_eq!(of(&MAPS.replace("7f50 r-xp", "7f10 r-xp")), None);
        // Constants that are not as the file has them, or elsewhere, stay.
        for other in [
            "7f00-7f10 rw-p 00000000",
            "7f00-7f0f r--p 00000000",
            "7f00-7f10 r--p 00001000",
        ] {
            assert_eq!(
                of(&MAPS.replace("7f00-7f10 r--p 00000000", other)),
                Some(0x7f10..0x7f50)
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-f]{0,20}-?[0-9a-f]{0,20} r-xp.{0,40}") {
            let _ = unchanging(&text, "/p");
        }
    }
}
