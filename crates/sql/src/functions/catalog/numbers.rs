//! Functions of numbers, and the least and greatest of several values.

use crate::datum::SqlType;
use crate::functions::FunctionSpec as Spec;
use crate::functions::ParameterType::{AnyAlike, Exactly, Number};
use crate::functions::ResultType::{Always, LikeArgument};
use crate::functions::numbers;
use crate::functions::signature::{ParameterType, ResultType};

const LONG: ParameterType = Exactly(SqlType::Long);
const DOUBLE: ParameterType = Exactly(SqlType::Double);
const IS_LONG: ResultType = Always(SqlType::Long);
const IS_DOUBLE: ResultType = Always(SqlType::Double);

pub(super) static FUNCTIONS: &[Spec] = &[
    Spec::new("abs", &[Number], LikeArgument(0), numbers::abs).doc("Without its sign.", "abs(-3)", "3"),
    Spec::new("sign", &[Number], IS_LONG, numbers::sign)
        .aliases(&["signum"])
        .doc("-1, 0 or 1.", "sign(-2.5)", "-1"),
    Spec::new("round", &[Number, LONG], LikeArgument(0), numbers::round).optional(1).doc(
        "Rounded to a number of decimals (0; negative ones for tens, hundreds, …), a half away from zero.",
        "round(-2.5)",
        "-3.0",
    ),
    Spec::new("round_even", &[Number, LONG], LikeArgument(0), numbers::round_even)
        .aliases(&["roundbankers", "bround"])
        .optional(1)
        .doc("Rounded to a number of decimals, a half to the even neighbour.", "round_even(2.5, 0)", "2.0"),
    Spec::new("trunc", &[Number, LONG], LikeArgument(0), numbers::trunc)
        .aliases(&["truncate"])
        .optional(1)
        .doc("Cut off after a number of decimals.", "trunc(-2.7)", "-2.0"),
    Spec::new("floor", &[Number], LikeArgument(0), numbers::floor).doc(
        "The greatest whole number that is not greater. A double stays a double.",
        "floor(-2.5)",
        "-3.0",
    ),
    Spec::new("ceil", &[Number], LikeArgument(0), numbers::ceil)
        .aliases(&["ceiling"])
        .doc("The least whole number that is not less. A double stays a double.", "ceil(2.1)", "3.0"),
    Spec::new("sqrt", &[DOUBLE], IS_DOUBLE, numbers::sqrt).doc("The square root.", "sqrt(9)", "3.0"),
    Spec::new("cbrt", &[DOUBLE], IS_DOUBLE, numbers::cbrt).doc("The cube root.", "cbrt(27)", "3.0"),
    Spec::new("exp", &[DOUBLE], IS_DOUBLE, numbers::exp).doc("e to this power.", "exp(0)", "1.0"),
    Spec::new("ln", &[DOUBLE], IS_DOUBLE, numbers::ln).doc("The natural logarithm.", "ln(1)", "0.0"),
    Spec::new("log10", &[DOUBLE], IS_DOUBLE, numbers::log10)
        .aliases(&["log"])
        .doc("The logarithm to base 10. (In Spark `log` of one number is `ln`.)", "log10(1000)", "3.0"),
    Spec::new("log2", &[DOUBLE], IS_DOUBLE, numbers::log2).doc("The logarithm to base 2.", "log2(8)", "3.0"),
    Spec::new("log1p", &[DOUBLE], IS_DOUBLE, numbers::log1p).doc(
        "The natural logarithm of one more.",
        "log1p(0)",
        "0.0",
    ),
    Spec::new("log", &[DOUBLE, DOUBLE], IS_DOUBLE, numbers::log).doc(
        "The logarithm of the second number to the base that is the first one.",
        "log(2, 8)",
        "3.0",
    ),
    Spec::new("power", &[DOUBLE, DOUBLE], IS_DOUBLE, numbers::power)
        .aliases(&["pow"])
        .doc("The first number to the power of the second one.", "power(2, 10)", "1024.0"),
    Spec::new("pmod", &[Number, Number], LikeArgument(0), numbers::positive_remainder)
        .aliases(&["floormod", "fmod"])
        .doc("The remainder with the sign of the divisor. (`%` and `mod` take that of the dividend.)", "pmod(-7, 3)", "2"),
    Spec::new("greatest", &[AnyAlike], LikeArgument(0), numbers::greatest).repeated().with_nulls().doc(
        "The greatest of the values that are not null.",
        "greatest(3, NULL, 7)",
        "7",
    ),
    Spec::new("least", &[AnyAlike], LikeArgument(0), numbers::least).repeated().with_nulls().doc(
        "The least of the values that are not null.",
        "least('b', 'a', NULL)",
        "a",
    ),
    Spec::new("pi", &[], IS_DOUBLE, numbers::pi).doc("π.", "round(pi(), 4)", "3.1416"),
    Spec::new("e", &[], IS_DOUBLE, numbers::euler).doc("Euler's number.", "round(e(), 4)", "2.7183"),
    Spec::new("radians", &[DOUBLE], IS_DOUBLE, numbers::radians).doc(
        "Degrees in radians.",
        "round(radians(180), 4)",
        "3.1416",
    ),
    Spec::new("degrees", &[DOUBLE], IS_DOUBLE, numbers::degrees).doc("Radians in degrees.", "degrees(pi())", "180.0"),
    Spec::new("sin", &[DOUBLE], IS_DOUBLE, numbers::sin).doc("The sine.", "sin(0)", "0.0"),
    Spec::new("cos", &[DOUBLE], IS_DOUBLE, numbers::cos).doc("The cosine.", "cos(0)", "1.0"),
    Spec::new("tan", &[DOUBLE], IS_DOUBLE, numbers::tan).doc("The tangent.", "tan(0)", "0.0"),
    Spec::new("cot", &[DOUBLE], IS_DOUBLE, numbers::cot).doc("The cotangent.", "round(cot(pi() / 4), 6)", "1.0"),
    Spec::new("asin", &[DOUBLE], IS_DOUBLE, numbers::asin).doc("The arc sine.", "asin(0)", "0.0"),
    Spec::new("acos", &[DOUBLE], IS_DOUBLE, numbers::acos).doc("The arc cosine.", "acos(1)", "0.0"),
    Spec::new("atan", &[DOUBLE], IS_DOUBLE, numbers::atan).doc("The arc tangent.", "atan(0)", "0.0"),
    Spec::new("atan2", &[DOUBLE, DOUBLE], IS_DOUBLE, numbers::atan2).doc(
        "The angle of the point with these coordinates, y first.",
        "atan2(0, 1)",
        "0.0",
    ),
    Spec::new("width_bucket", &[DOUBLE, DOUBLE, DOUBLE, LONG], IS_LONG, numbers::width_bucket).doc(
        "The number of the bucket among so many equal ones between two bounds; 0 below them, one more than there are above.",
        "width_bucket(35, 0, 100, 10)",
        "4",
    ),
];
