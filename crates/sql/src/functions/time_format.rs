//! Formats of moments: `strftime`'s percent codes, and Spark's pattern letters.

use std::fmt::Write;

use jiff::civil::DateTime;

use crate::datum::Datum;
use crate::functions::calendar::{MICROS_PER_SECOND, civil_time};
use crate::functions::time::{name_of_day, name_of_month};
use crate::functions::{CallArguments, FunctionResult, MAX_TEXT_BYTES, NoResult};

/// Why a format cannot be used.
pub(crate) type FormatProblem = String;

/// A moment while it is formatted.
struct FormattedMoment {
    micros: i64,
    civil: DateTime,
    text: String,
}

impl FormattedMoment {
    fn new(micros: i64) -> Result<FormattedMoment, NoResult> {
        Ok(FormattedMoment { micros, civil: civil_time(micros)?, text: String::new() })
    }

    fn push_number(&mut self, value: impl Into<i64>, width: usize) {
        // Writing to a text cannot fail.
        let _ = write!(self.text, "{:0width$}", value.into());
    }

    fn hour_of_twelve(&self) -> i64 {
        (i64::from(self.civil.hour()) + 11) % 12 + 1
    }

    fn push_half_of_day(&mut self) {
        self.text.push_str(if self.civil.hour() < 12 { "AM" } else { "PM" });
    }

    fn push_abbreviation(&mut self, name: &str) {
        self.text.push_str(name.get(..3).unwrap_or(name));
    }

    fn push_fraction(&mut self, digits: usize) {
        let micros = self.micros.rem_euclid(MICROS_PER_SECOND);
        let all = format!("{micros:06}000");
        self.text.push_str(all.get(..digits).unwrap_or(&all));
    }

    fn push_time_of_day(&mut self) {
        self.push_number(self.civil.hour(), 2);
        self.text.push(':');
        self.push_number(self.civil.minute(), 2);
        self.text.push(':');
        self.push_number(self.civil.second(), 2);
    }

    fn push_iso_date(&mut self) {
        self.push_number(self.civil.year(), 4);
        self.text.push('-');
        self.push_number(self.civil.month(), 2);
        self.text.push('-');
        self.push_number(self.civil.day(), 2);
    }

    /// The numbers of percent codes with their usual widths.
    fn percent_number(&self, code: char) -> Option<(i64, usize)> {
        let civil = self.civil;
        let weekday = civil.weekday();
        Some(match code {
            'Y' => (civil.year().into(), 4),
            'y' => (civil.year().rem_euclid(100).into(), 2),
            'm' => (civil.month().into(), 2),
            'd' => (civil.day().into(), 2),
            'H' => (civil.hour().into(), 2),
            'I' => (self.hour_of_twelve(), 2),
            'M' => (civil.minute().into(), 2),
            'S' => (civil.second().into(), 2),
            'j' => (civil.day_of_year().into(), 3),
            'u' => (weekday.to_monday_one_offset().into(), 1),
            'w' => (weekday.to_sunday_zero_offset().into(), 1),
            'G' => (civil.iso_week_date().year().into(), 4),
            'V' => (civil.iso_week_date().week().into(), 2),
            // Weeks that begin on Sunday, and on Monday. Days before the first such day are in week 0.
            'U' => ((i64::from(civil.day_of_year()) + 6 - i64::from(weekday.to_sunday_zero_offset())) / 7, 2),
            'W' => ((i64::from(civil.day_of_year()) + 6 - i64::from(weekday.to_monday_zero_offset())) / 7, 2),
            's' => (self.micros.div_euclid(MICROS_PER_SECOND), 1),
            _ => return None,
        })
    }

    fn push_percent_code(&mut self, code: char) -> Result<(), FormatProblem> {
        if let Some((value, width)) = self.percent_number(code) {
            self.push_number(value, width);
            return Ok(());
        }
        match code {
            'e' => {
                let _ = write!(self.text, "{:2}", self.civil.day());
            }
            'f' => self.push_fraction(6),
            'g' => self.push_fraction(3),
            'p' => self.push_half_of_day(),
            'a' => self.push_abbreviation(name_of_day(self.civil)),
            'A' => self.text.push_str(name_of_day(self.civil)),
            'b' | 'h' => self.push_abbreviation(name_of_month(self.civil)),
            'B' => self.text.push_str(name_of_month(self.civil)),
            'F' => self.push_iso_date(),
            'T' | 'X' => self.push_time_of_day(),
            '%' => self.text.push('%'),
            _ => return Err(format!("a format has no code %{code}")),
        }
        Ok(())
    }

    fn push_percent_format(&mut self, format: &str) -> Result<(), FormatProblem> {
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                self.text.push(letter);
                continue;
            }
            match letters.next() {
                Some('-') => {
                    let code = letters.next().unwrap_or(' ');
                    let (value, _) =
                        self.percent_number(code).ok_or_else(|| format!("a format has no code %-{code}"))?;
                    self.push_number(value, 1);
                }
                Some(code) => self.push_percent_code(code)?,
                None => return Err("a format ends with %; write %% for a percent sign".to_owned()),
            }
        }
        Ok(())
    }

    /// A run of `count` equal pattern letters.
    fn push_letters(&mut self, letter: char, count: usize) -> Result<(), FormatProblem> {
        let civil = self.civil;
        match (letter, count) {
            ('y' | 'u', 2) => self.push_number(civil.year().rem_euclid(100), 2),
            ('y' | 'u', 1..=6) => self.push_number(civil.year(), count),
            ('M' | 'L', 1 | 2) => self.push_number(civil.month(), count),
            ('M' | 'L', 3) => self.push_abbreviation(name_of_month(civil)),
            ('M' | 'L', 4) => self.text.push_str(name_of_month(civil)),
            ('d', 1 | 2) => self.push_number(civil.day(), count),
            ('D', 1..=3) => self.push_number(civil.day_of_year(), count),
            ('Q' | 'q', 1 | 2) => self.push_number((civil.month() + 2) / 3, count),
            ('E', 1..=3) => self.push_abbreviation(name_of_day(civil)),
            ('E', 4) => self.text.push_str(name_of_day(civil)),
            ('H', 1 | 2) => self.push_number(civil.hour(), count),
            ('h', 1 | 2) => self.push_number(self.hour_of_twelve(), count),
            ('K', 1 | 2) => self.push_number(civil.hour() % 12, count),
            ('k', 1 | 2) => self.push_number((civil.hour() + 23) % 24 + 1, count),
            ('m', 1 | 2) => self.push_number(civil.minute(), count),
            ('s', 1 | 2) => self.push_number(civil.second(), count),
            ('S', 1..=9) => self.push_fraction(count),
            ('a', 1) => self.push_half_of_day(),
            _ => {
                let run = letter.to_string().repeat(count.min(12));
                return Err(format!("a format has no letters `{run}`; quote what is to stand as it is, as in 'at'"));
            }
        }
        Ok(())
    }

    fn push_letter_format(&mut self, format: &str) -> Result<(), FormatProblem> {
        let mut rest = format;
        while let Some(letter) = rest.chars().next() {
            if letter == '\'' {
                rest = self.push_quoted(&rest[1..])?;
            } else if letter.is_ascii_alphabetic() {
                let count = rest.len() - rest.trim_start_matches(letter).len();
                self.push_letters(letter, count)?;
                rest = &rest[count..];
            } else {
                self.text.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        Ok(())
    }

    /// A quoted part, after its first quote. Two quotes stand for one, within it and by themselves. Returns what follows.
    fn push_quoted<'a>(&mut self, rest: &'a str) -> Result<&'a str, FormatProblem> {
        if let Some(rest) = rest.strip_prefix('\'') {
            self.text.push('\'');
            return Ok(rest);
        }
        let mut rest = rest;
        loop {
            let (quoted, after) =
                rest.split_once('\'').ok_or_else(|| "a format has a quote that does not end".to_owned())?;
            self.text.push_str(quoted);
            match after.strip_prefix('\'') {
                Some(after) => rest = after,
                None => return Ok(after),
            }
            self.text.push('\'');
        }
    }
}

fn format_with(
    arguments: CallArguments<'_>,
    (time, format): (usize, usize),
    push: fn(&mut FormattedMoment, &str) -> Result<(), FormatProblem>,
) -> FunctionResult {
    let format = arguments.text(format)?;
    if format.len() > MAX_TEXT_BYTES / 16 {
        return Err(NoResult);
    }
    let mut formatted = FormattedMoment::new(arguments.time(time)?)?;
    push(&mut formatted, format).map_err(|_| NoResult)?;
    Ok(Datum::text(&formatted.text))
}

pub(crate) fn strftime(arguments: CallArguments<'_>) -> FunctionResult {
    format_with(arguments, (0, 1), FormattedMoment::push_percent_format)
}

/// SQLite's order of arguments.
pub(crate) fn strftime_swapped(arguments: CallArguments<'_>) -> FunctionResult {
    format_with(arguments, (1, 0), FormattedMoment::push_percent_format)
}

pub(crate) fn date_format(arguments: CallArguments<'_>) -> FunctionResult {
    format_with(arguments, (0, 1), FormattedMoment::push_letter_format)
}

fn check(format: &str, push: fn(&mut FormattedMoment, &str) -> Result<(), FormatProblem>) -> Result<(), FormatProblem> {
    let mut sample = FormattedMoment::new(0).map_err(|NoResult| "no format can be checked".to_owned())?;
    push(&mut sample, format)
}

/// Whether all percent codes of a format are known.
pub(crate) fn check_percent_format(format: &str) -> Result<(), FormatProblem> {
    check(format, FormattedMoment::push_percent_format)
}

/// Whether all letters of a format are known.
pub(crate) fn check_letter_format(format: &str) -> Result<(), FormatProblem> {
    if format.contains('%') {
        return Err("this takes pattern letters, as in 'yyyy-MM-dd'; strftime takes percent codes".to_owned());
    }
    check(format, FormattedMoment::push_letter_format)
}
