//! What is wrong with a disk, all of it.

/// A rule of a format that a file breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What the rule is called.
    pub rule: &'static str,
    /// What was found, and what was expected.
    pub problem: String,
}

/// The faults of a file: the first ones, and how many more there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// The first ones.
    pub list: Vec<Fault>,
    /// How many more there are.
    pub more: u64,
}

impl Faults {
    /// How many are kept: more than anybody reads.
    const MAX: usize = 64;

    /// Adds one.
    pub fn add(&mut self, rule: &'static str, problem: impl Into<String>) {
        match self.list.len() {
            Faults::MAX => self.more += 1,
            _ => self.list.push(Fault { rule, problem: problem.into() }),
        }
    }

    /// Adds one unless something holds.
    pub fn expect(&mut self, holds: bool, rule: &'static str, problem: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, problem());
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
