//! The words of generated posts. All are made up, except the countries.

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
    fn names_and_countries_are_in_byte_order() {
        assert!(COUNTRIES.is_sorted_by(|a, b| a < b));
        assert!(FIRST_NAMES.is_sorted_by(|a, b| a < b));
        assert!(LAST_NAMES.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn countries_contain_special_characters() {
        for sign in ['(', '&', '\'', '-'] {
            assert!(COUNTRIES.iter().any(|name| name.contains(sign)), "no country with {sign}");
        }
    }

    #[test]
    fn words_contain_no_line_feed() {
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
