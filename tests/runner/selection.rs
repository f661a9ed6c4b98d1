//! Selection: which tests the command line asks for.

use lab::harness::Case;

/// A kind of test, or all; and a part of a case's name.
pub(super) struct Selection {
    kind: Option<Kind>,
    filter: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unit,
    Boot,
    Interop,
    Xen,
}

impl Selection {
    pub(super) fn new(words: &[String]) -> Self {
        let (kind, filter) = match words.split_first() {
            Some((first, rest)) => match Kind::named(first) {
                Some(kind) => (Some(kind), rest),
                None => (None, words),
            },
            None => (None, words),
        };
        Self { kind, filter: filter.join(" ") }
    }

    /// The part of a name.
    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    /// Whether style and the tests that need no guest are wanted.
    pub(super) fn unit(&self) -> bool {
        self.kind.is_none_or(|kind| kind == Kind::Unit) && self.filter.is_empty()
    }

    /// Those of the cases that are wanted, in their order. The experiment's only by its name: it is a kernel, and an
    /// appliance of its own to be compiled, ten minutes of a machine.
    pub(super) fn of(&self, cases: &[&'static Case]) -> Vec<&'static Case> {
        const EXPERIMENT: &str = "hermit";
        let is_wanted = |case: &&&Case| {
            self.kind.is_none_or(|kind| kind == Kind::of(case))
                && case.name.contains(&self.filter)
                && (!case.name.contains(EXPERIMENT) || self.filter.contains(EXPERIMENT))
        };
        cases.iter().filter(is_wanted).copied().collect()
    }
}

impl Kind {
    fn named(word: &str) -> Option<Self> {
        match word {
            "unit" => Some(Self::Unit),
            "boot" => Some(Self::Boot),
            "interop" => Some(Self::Interop),
            "xen" => Some(Self::Xen),
            _ => None,
        }
    }

    /// A case's kind, by the first part of its name.
    fn of(case: &Case) -> Self {
        match case.name.split_once('/') {
            Some(("boot", _)) => Self::Boot,
            Some(("xen", _)) => Self::Xen,
            _ => Self::Interop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::all_cases;

    #[test]
    fn a_selection_is_a_kind_and_a_part_of_a_name() {
        let select = |words: &[&str]| {
            Selection::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        };
        let cases = all_cases();
        let all = select(&[]);
        assert!(all.unit());
        let experiment = select(&["hermit"]).of(&cases);
        assert!(!experiment.is_empty());
        assert!(experiment.iter().all(|case| case.name.contains("hermit")));
        assert_eq!(all.of(&cases).len(), cases.len() - experiment.len());
        let some = select(&["boot", "power"]);
        assert!(!some.unit() && !some.of(&cases).is_empty());
        let is_right = |case: &&Case| case.name.starts_with("boot/") && case.name.contains("power");
        assert!(some.of(&cases).iter().all(is_right));
        assert!(select(&["curl"]).of(&cases).iter().any(|case| case.name.starts_with("http/")));
        assert!(select(&["unit"]).of(&cases).is_empty());
        let kinds = ["boot", "interop", "xen"].map(|kind| select(&[kind]).of(&cases).len());
        assert!(kinds.iter().all(|&count| count > 0));
        assert_eq!(kinds.iter().sum::<usize>(), all.of(&cases).len());
    }

    #[test]
    fn case_names_are_unique() {
        let mut names: Vec<_> = all_cases().iter().map(|case| case.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
