//! Every answer at every epoch equals its SQL over the rows of that epoch cut: for random rows, repeats, orders, epoch
//! cuts, worker counts and options.

mod histories;
mod oracle;

use histories::{FEW_TEXTS, any_arrivals, any_options, any_pace, asked_questions, check_answers, run_history};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_answer_at_every_epoch_equals_its_sql(
        arrivals in any_arrivals(FEW_TEXTS),
        options in any_options(),
        pace in any_pace(),
    ) {
        let log = run_history(&arrivals, options, &asked_questions(options), pace, &[]);
        check_answers(&arrivals, options, &log)?;
        // No change of an epoch is emitted after any worker has seen that the epoch passed.
        for (passed, handed_over) in &log.passed {
            prop_assert_eq!(*handed_over, log.changes_below(*passed), "epochs below {}", passed);
        }
    }
}
