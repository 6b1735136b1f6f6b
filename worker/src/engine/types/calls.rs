//! The arguments of function calls.

use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, TypeSignature};

use super::{Check, Kind, kind_of};
use crate::engine::functions::bits::SHIFTS;
use crate::engine::functions::cast::trino_name;
use crate::engine::functions::in_order::{ALL_OF, ANY_OF};
use crate::engine::sql_text::sql;

impl Check<'_> {
    pub(super) fn check_call(&self, whole: &Expr, call: &ScalarFunction) -> Result<()> {
        match call.name() {
            "coalesce" | "greatest" | "least" => {
                if call.name() != "coalesce" {
                    let mut args = call.args.iter();
                    args.try_for_each(|value| self.check_ordered(whole, value))?;
                }
                return self.check_alike(whole, &mut call.args.iter());
            }
            ALL_OF | ANY_OF => {
                return call
                    .args
                    .iter()
                    .try_for_each(|condition| self.check_condition(condition));
            }
            "nullif" => {
                return match call.args.as_slice() {
                    [left, right] => self.check_compared(whole, left, right, None),
                    _ => Ok(()),
                };
            }
            _ => {}
        }
        let signature = &call.func.signature().type_signature;
        self.check_arguments(whole, call.name(), signature, &call.args)?;
        match (call.name(), call.args.as_slice()) {
            ("round", [_, digits]) => self.check_integer(whole, "the number of digits", digits),
            (name, [value, shift]) if SHIFTS.contains(&name) => {
                self.check_integer(whole, "the shift", shift)?;
                self.check_shifted(whole, value)
            }
            ("codepoint", [text]) => check_character(whole, text),
            _ => Ok(()),
        }
    }

    /// Refuses a bigint where Athena requires an integer.
    fn check_integer(&self, whole: &Expr, what: &str, number: &Expr) -> Result<()> {
        if self.is_integer(number)? {
            return Ok(());
        }
        plan_err!(
            "{}: {what} is {}, and Athena requires an integer: write cast({} AS integer)",
            sql(whole),
            self.type_name(number)?,
            sql(number)
        )
    }

    /// Refuses to shift an integer that is a bigint here: other bits would be lost.
    fn check_shifted(&self, whole: &Expr, value: &Expr) -> Result<()> {
        if value.get_type(self.schema)? != DataType::Int64 || !self.is_integer(value)? {
            return Ok(());
        }
        let (whole, value) = (sql(whole), sql(value));
        plan_err!(
            "{whole}: {value} is an integer of 32 bits in Athena, and of 64 here: write cast({value} AS bigint)"
        )
    }

    /// Checks a call of a function that takes exact types. DataFusion checks the number of arguments.
    fn check_arguments(
        &self,
        whole: &Expr,
        name: &str,
        signature: &TypeSignature,
        args: &[Expr],
    ) -> Result<()> {
        let overloads: Vec<&[DataType]> = match signature {
            TypeSignature::Exact(parameters) => vec![parameters],
            TypeSignature::OneOf(overloads) => overloads
                .iter()
                .filter_map(|overload| match overload {
                    TypeSignature::Exact(parameters) => Some(parameters.as_slice()),
                    _ => None,
                })
                .collect(),
            _ => return Ok(()),
        };
        let mut wrong = None;
        for parameters in overloads
            .iter()
            .filter(|parameters| parameters.len() == args.len())
        {
            let mut misfit = None;
            for (parameter, arg) in parameters.iter().zip(args) {
                if !fits(parameter, &arg.get_type(self.schema)?) {
                    misfit = Some((parameter, arg));
                    break;
                }
            }
            match misfit {
                None => return Ok(()),
                Some(misfit) => wrong = Some(misfit),
            }
        }
        let Some((parameter, arg)) = wrong else {
            return Ok(());
        };
        let (to, arg_sql) = (trino_name(parameter), sql(arg));
        let advice = match (kind_of(parameter), self.kind(arg)?) {
            (Kind::Text, _) => format!("write cast({arg_sql} AS varchar)"),
            (Kind::Json, Kind::Text) => format!("write json_parse({arg_sql})"),
            (Kind::Time, Kind::Text) => format!("write from_iso8601_timestamp({arg_sql})"),
            (_, Kind::Text) => format!("write try_cast({arg_sql} AS {to})"),
            _ => format!("cast it to {to}"),
        };
        plan_err!(
            "{}: {name} takes {to}, but {arg_sql} is {}: {advice}",
            sql(whole),
            self.type_name(arg)?
        )
    }
}

/// Refuses texts that may have more than one character, as Athena does.
fn check_character(whole: &Expr, text: &Expr) -> Result<()> {
    match text {
        Expr::Literal(..) => Ok(()),
        Expr::ScalarFunction(call) if call.name() == "chr" => Ok(()),
        _ => plan_err!(
            "{}: Athena's codepoint takes a literal of one character, and no longer text",
            sql(whole)
        ),
    }
}

/// Whether Athena accepts a value of the argument type for the parameter without a cast.
fn fits(parameter: &DataType, argument: &DataType) -> bool {
    match (kind_of(parameter), kind_of(argument)) {
        (_, Kind::Unknown) => true,
        (Kind::Number, Kind::Number) => !parameter.is_integer() || argument.is_integer(),
        (Kind::Time, Kind::Time) => parameter != &DataType::Date32 || argument == &DataType::Date32,
        (parameter, argument) => parameter == argument,
    }
}
