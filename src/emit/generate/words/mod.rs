//! The words that generated posts are made of: all made up, but for the countries.

mod countries;
mod names;
mod phrases;

pub(crate) use countries::COUNTRIES;
pub(crate) use names::{FIRST_NAMES, LAST_NAMES};
pub(crate) use phrases::{
    ACCENTS, ADJECTIVES, ASTRAL, CATEGORIES, CategoryWords, POSTER_FIRST, POSTER_FORMS, POSTER_SECOND, QUOTED,
    SENTENCE_OPENERS, SENTENCE_TAILS, TAG_TAILS, TITLE_JOINTS, TITLE_OPENERS,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_countries_stand_in_byte_order() {
        assert!(COUNTRIES.is_sorted_by(|a, b| a < b));
        assert!(FIRST_NAMES.is_sorted_by(|a, b| a < b));
        assert!(LAST_NAMES.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn countries_hold_what_breaks_careless_readers() {
        for sign in ['(', '&', '\'', '-'] {
            assert!(COUNTRIES.iter().any(|name| name.contains(sign)), "no country with {sign}");
        }
    }

    #[test]
    fn no_word_holds_a_line_break() {
        let lists: [&[&str]; 9] = [
            &COUNTRIES,
            &FIRST_NAMES,
            &LAST_NAMES,
            &ACCENTS,
            &ASTRAL,
            &QUOTED,
            &ADJECTIVES,
            &SENTENCE_TAILS,
            &TAG_TAILS,
        ];
        assert!(lists.iter().all(|list| list.iter().all(|word| !word.contains(['\n', '\r']))));
    }
}
