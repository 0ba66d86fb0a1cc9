//! The list of modules: a line each, with the path, and the numbers of those lines before it whose
//! modules it depends on.
//!
//! ```text
//! /modules.d/hv_vmbus.ko
//! /modules.d/hv_storvsc.ko 0
//! ```

use super::options::number;

/// How many of them are remembered; cvbake lists no more.
const MAX: usize = 256;

/// The list while its modules are loaded. What depends on one that can't be is left out: the kernel
/// would refuse it, and say so once for each symbol.
pub(crate) struct Loading<'l> {
    rest: &'l [u8],
    /// The number of the next line.
    next: usize,
    failed: [bool; MAX],
}

impl<'l> Loading<'l> {
    pub(crate) fn new(list: &'l [u8]) -> Loading<'l> {
        Loading { rest: list, next: 0, failed: [false; MAX] }
    }

    /// The path of the next module to load.
    pub(crate) fn next(&mut self) -> Option<&'l [u8]> {
        while !self.rest.is_empty() {
            let end = self.rest.iter().position(|byte| *byte == b'\n').unwrap_or(self.rest.len());
            let (line, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            self.next += 1;
            let mut words = line.split(|byte| *byte == b' ');
            let path = words.next().unwrap_or_default();
            let is_needed = |word| number(word).and_then(|number| usize::try_from(number).ok());
            if words.filter_map(is_needed).any(|needed| self.failed.get(needed) == Some(&true)) {
                self.failed();
            } else if !path.is_empty() {
                return Some(path);
            }
        }
        None
    }

    /// Says that the one that `next` gave was not loaded.
    pub(crate) fn failed(&mut self) {
        let last = self.next.checked_sub(1);
        if let Some(failed) = last.and_then(|last| self.failed.get_mut(last)) {
            *failed = true;
        }
    }
}
