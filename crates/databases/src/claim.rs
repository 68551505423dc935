//! Who may write to a schema: the pinflow that started last.
//!
//! The row of the table `pinflow_writer` is locked in every write. A run that starts takes a higher generation than the
//! row has. A run that finds a generation that is not its own has been replaced, and never writes again.

/// The row of the table `pinflow_writer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriterRow {
    pub(crate) pipeline: String,
    pub(crate) generation: i64,
    /// A random name of the run that wrote last.
    pub(crate) run: String,
    /// Host and process of that run.
    pub(crate) holder: String,
    /// How many writes there were.
    pub(crate) writes: i64,
}

/// What a run knows of its own last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnClaim {
    pub(crate) generation: i64,
    /// The number of writes after the last write that is known to be committed.
    pub(crate) writes: i64,
}

/// What the row allows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClaimDecision {
    /// The row is this run's, and the tables are as this run left them.
    Continue(OwnClaim),
    /// Take this generation. The tables must be read back.
    Take(OwnClaim),
    /// Another run has taken over.
    Fenced,
}

/// Decides whether the run `run` may write.
pub(crate) fn decide_claim(found: Option<&WriterRow>, own: Option<OwnClaim>, run: &str) -> ClaimDecision {
    let next = |generation, writes: i64| OwnClaim { generation, writes: writes + 1 };
    let (Some(row), Some(own)) = (found, own) else {
        let generation = own.map_or(0, |own| own.generation).max(found.map_or(0, |row| row.generation)) + 1;
        return ClaimDecision::Take(next(generation, found.map_or(0, |row| row.writes)));
    };
    if row.run == run && row.generation == own.generation && row.writes == own.writes {
        return ClaimDecision::Continue(next(own.generation, own.writes));
    }
    if row.run == run || row.generation < own.generation {
        // A commit whose outcome was unknown, or a backup was restored.
        return ClaimDecision::Take(next(row.generation.max(own.generation), row.writes));
    }
    ClaimDecision::Fenced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(generation: i64, run: &str, writes: i64) -> WriterRow {
        let (pipeline, holder) = ("posts".to_owned(), "host".to_owned());
        WriterRow { pipeline, generation, run: run.to_owned(), holder, writes }
    }

    #[test]
    fn run_that_starts_takes_a_higher_generation() {
        let taken = |generation, writes| ClaimDecision::Take(OwnClaim { generation, writes });
        assert_eq!(decide_claim(None, None, "a"), taken(1, 1));
        assert_eq!(decide_claim(Some(&row(7, "b", 40)), None, "a"), taken(8, 41));
    }

    #[test]
    fn run_continues_until_another_one_takes_over() {
        let own = Some(OwnClaim { generation: 7, writes: 40 });
        let next = OwnClaim { generation: 7, writes: 41 };
        assert_eq!(decide_claim(Some(&row(7, "a", 40)), own, "a"), ClaimDecision::Continue(next));
        assert_eq!(decide_claim(Some(&row(8, "b", 41)), own, "a"), ClaimDecision::Fenced);
        assert_eq!(decide_claim(Some(&row(7, "b", 41)), own, "a"), ClaimDecision::Fenced, "both took the same number");
    }

    #[test]
    fn tables_are_read_back_after_an_unknown_commit_and_a_restored_backup() {
        let own = Some(OwnClaim { generation: 7, writes: 40 });
        let taken = |generation, writes| ClaimDecision::Take(OwnClaim { generation, writes });
        assert_eq!(decide_claim(Some(&row(7, "a", 41)), own, "a"), taken(7, 42));
        assert_eq!(decide_claim(Some(&row(7, "a", 12)), own, "a"), taken(7, 13));
        assert_eq!(decide_claim(Some(&row(3, "b", 9)), own, "a"), taken(7, 10));
        assert_eq!(decide_claim(None, own, "a"), taken(8, 1));
    }
}
