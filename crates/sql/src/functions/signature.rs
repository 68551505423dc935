//! What a function takes and gives.

use crate::datum::SqlType;
use crate::functions::{CallArguments, FunctionResult};

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// A value of this type, or one that becomes it without loss: a long where a double is taken, a constant text
    /// where a moment is taken.
    Exactly(SqlType),
    /// A long or a double. All arguments of this kind become doubles if one of them is.
    Number,
    /// Any value, as text.
    AnyAsText,
    /// Any value. All arguments of this kind get one type.
    AnyAlike,
    /// A list of any type. All arguments of this kind have one type.
    AnyList,
    /// An element of the list.
    Element,
    /// A constant text with the name of a unit of time.
    Unit,
    /// A regular expression. A constant one is checked when the question is bound.
    Regex,
    /// The flags of a regular expression, checked likewise.
    RegexFlags,
    /// A format with the codes of `strftime`, checked likewise.
    PercentFormat,
    /// A format with Spark's pattern letters, checked likewise.
    LetterFormat,
}

impl ParameterType {
    /// The name in signatures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ParameterType::Exactly(ty) => ty.name(),
            ParameterType::Number => "number",
            ParameterType::AnyAsText | ParameterType::AnyAlike => "any",
            ParameterType::AnyList => "list",
            ParameterType::Element => "element",
            ParameterType::Unit => "unit",
            ParameterType::Regex => "regex",
            ParameterType::RegexFlags => "flags",
            ParameterType::PercentFormat | ParameterType::LetterFormat => "format",
        }
    }

    /// What an argument must be, for messages: `a text`.
    pub(crate) fn description(self) -> &'static str {
        match self {
            ParameterType::Exactly(SqlType::Null) | ParameterType::AnyAsText | ParameterType::AnyAlike => "any value",
            ParameterType::Exactly(SqlType::Bool) => "a condition",
            ParameterType::Exactly(SqlType::Long) => "a whole number",
            ParameterType::Exactly(SqlType::Double) | ParameterType::Number => "a number",
            ParameterType::Exactly(SqlType::Text) => "a text",
            ParameterType::Exactly(SqlType::Time) => "a timestamp",
            ParameterType::Exactly(SqlType::Texts) => "a list of texts",
            ParameterType::Exactly(SqlType::Doubles) => "a list of doubles",
            ParameterType::AnyList => "a list",
            ParameterType::Element => "an element of the list",
            ParameterType::Unit => "a constant unit such as 'month'",
            ParameterType::Regex => "a regular expression",
            ParameterType::RegexFlags => "a text of flags such as 'i'",
            ParameterType::PercentFormat => "a format such as '%Y-%m-%d'",
            ParameterType::LetterFormat => "a format such as 'yyyy-MM-dd'",
        }
    }
}

/// What the result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultType {
    /// Always of this type.
    Always(SqlType),
    /// Of the type that the argument at this position has after casts.
    LikeArgument(usize),
    /// Of the type of the elements of the first argument.
    ElementOfFirst,
    /// A list of the first argument.
    ListOfFirst,
}

/// An entry of the catalog: one signature of a function. Functions that take several kinds of arguments, such as
/// `reverse`, have several entries.
pub struct FunctionSpec {
    /// The name, in lower case.
    pub name: &'static str,
    /// Other names, in lower case.
    pub aliases: &'static [&'static str],
    /// The arguments.
    pub parameters: &'static [ParameterType],
    /// How many of the last arguments can be left out.
    pub optional: usize,
    /// Whether the last parameter can be given several times.
    pub repeats: bool,
    /// The type of the result.
    pub result: ResultType,
    /// What it computes: one sentence or two.
    pub description: &'static str,
    /// A call with constants, and its result as text.
    pub example: (&'static str, &'static str),
    /// Whether it is evaluated for null arguments. Otherwise the result is null then.
    pub(super) takes_nulls: bool,
    pub(super) implementation: fn(CallArguments<'_>) -> FunctionResult,
}

impl FunctionSpec {
    /// A function with a fixed number of arguments, whose result is null if one of them is.
    pub(super) const fn new(
        name: &'static str,
        parameters: &'static [ParameterType],
        result: ResultType,
        implementation: fn(CallArguments<'_>) -> FunctionResult,
    ) -> FunctionSpec {
        FunctionSpec {
            name,
            aliases: &[],
            parameters,
            optional: 0,
            repeats: false,
            result,
            description: "",
            example: ("", ""),
            takes_nulls: false,
            implementation,
        }
    }

    pub(super) const fn aliases(mut self, aliases: &'static [&'static str]) -> FunctionSpec {
        self.aliases = aliases;
        self
    }

    pub(super) const fn optional(mut self, count: usize) -> FunctionSpec {
        self.optional = count;
        self
    }

    pub(super) const fn repeated(mut self) -> FunctionSpec {
        self.repeats = true;
        self
    }

    pub(super) const fn with_nulls(mut self) -> FunctionSpec {
        self.takes_nulls = true;
        self
    }

    pub(super) const fn doc(
        mut self,
        description: &'static str,
        call: &'static str,
        result: &'static str,
    ) -> FunctionSpec {
        self.description = description;
        self.example = (call, result);
        self
    }

    /// Whether this is one of its names. `name` is in lower case.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// The parameter of the argument at a position.
    pub(crate) fn parameter(&self, index: usize) -> Option<ParameterType> {
        match self.parameters.get(index) {
            None if self.repeats => self.parameters.last().copied(),
            parameter => parameter.copied(),
        }
    }

    /// Whether it takes this many arguments.
    pub(crate) fn takes_count(&self, count: usize) -> bool {
        let most = if self.repeats { usize::MAX } else { self.parameters.len() };
        (self.parameters.len() - self.optional..=most).contains(&count)
    }

    /// How it is called: `lpad(text, bigint[, text])`.
    #[must_use]
    pub fn signature(&self) -> String {
        self.signature_as(self.name)
    }

    /// The signature with another of its names.
    pub(crate) fn signature_as(&self, name: &str) -> String {
        let required = self.parameters.len() - self.optional;
        let mut text = format!("{name}(");
        for (index, parameter) in self.parameters.iter().enumerate() {
            text.push_str(if index >= required { "[" } else { "" });
            text.push_str(if index > 0 { ", " } else { "" });
            text.push_str(parameter.name());
        }
        text.push_str(if self.repeats { ", …" } else { "" });
        text.push_str(&"]".repeat(self.optional));
        text.push(')');
        text
    }
}
