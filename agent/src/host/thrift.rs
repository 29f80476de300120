//! Memory that only the start of the agent needs: the code that reads settings, sets up TLS and the like, and its
//! constants. Both are unmapped once the member is at rest. The kernel keeps them as long as nothing else wants the room,
//! and reads them again if they are used again. Memory that was allocated and is free goes back, too. Refuses to know
//! when there is rest.

use std::fs::File;
use std::io::Read;

use cartridge_agent_plan::mappings;

/// Longest list of mappings, bytes.
const MOST: u64 = 256 << 10;

/// Gives back what only the start needed.
pub fn give_back() {
    unmap_code();
    // SAFETY: the allocator's own function, which may be called at any time and by any thread; it gives pages to the
    // kernel that hold nothing.
    let trimmed = unsafe { libc::malloc_trim(0) };
    tracing::debug!(trimmed, "free memory was given back");
}

/// Unmaps the pages of the program's code. What cannot be found or done is left as it is: nothing depends on it.
fn unmap_code() {
    let mut maps = String::new();
    let read = File::open("/proc/self/maps").and_then(|file| file.take(MOST).read_to_string(&mut maps));
    let (Ok(_), Ok(program)) = (read, std::fs::read_link("/proc/self/exe")) else {
        return;
    };
    let Some(code) = program
        .to_str()
        .and_then(|program| mappings::unchanging(&maps, program))
    else {
        return;
    };
    // SAFETY: the range is one or two whole mappings of this process, of a file, private and without the right to write,
    // as the kernel has just said; the second of them is the code, the first, if there is one, begins with the file's
    // own first byte and ends at the code, so it is the segment that the file declares to be read only and that no
    // relocation reaches. Their pages are therefore those of the file, and each is read from there again when it is used
    // next. Nobody unmaps or moves them while the program runs. The call has no effect on memory that Rust could see.
    let done = unsafe { libc::madvise(code.start as *mut libc::c_void, code.len(), libc::MADV_DONTNEED) };
    tracing::debug!(
        bytes = code.len(),
        done,
        "code that only the start needs was unmapped"
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_runs_on_without_its_pages() {
        let before = resident();
        super::give_back();
        let after = resident();
        assert!(after < before, "{after} of {before} KiB are resident");
    }

    fn resident() -> u64 {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = rollup.lines().find(|line| line.starts_with("Rss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}
