//! The operators of expressions.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

use super::foreign;

/// What to write instead of an operator that has no counterpart in Athena.
const OPERATORS: &str = "use the operators + - * / % || = <> < <= > >= AND OR NOT";

/// sqlparser takes everything after FROM as the right side: to it, `a IS DISTINCT FROM b AND c` means
/// `a IS DISTINCT FROM (b AND c)`. To Athena, it means `(a IS DISTINCT FROM b) AND c`.
pub(super) fn check_distinct_from(expr: &Expr, right: &Expr) -> Result<(), String> {
    use BinaryOperator as Op;
    let is_value = match right {
        Expr::BinaryOp {
            left: _,
            op,
            right: _,
        } => matches!(
            op,
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo | Op::StringConcat
        ),
        Expr::UnaryOp { op, expr: _ } => *op != UnaryOperator::Not,
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::TypedString(_)
        | Expr::AtTimeZone { .. }
        | Expr::Nested(_)
        | Expr::Function(_)
        | Expr::Cast { .. }
        | Expr::Case { .. }
        | Expr::Extract { .. }
        | Expr::Ceil { .. }
        | Expr::Floor { .. }
        | Expr::Position { .. }
        | Expr::Substring { .. }
        | Expr::Trim { .. } => true,
        _ => false,
    };
    match is_value {
        true => Ok(()),
        false => Err(format!(
            "{expr} is read differently in Athena: put the comparison in parentheses, as in (a IS DISTINCT FROM b) AND c"
        )),
    }
}

pub(super) fn check_binary(
    expr: &Expr,
    left: &Expr,
    op: &BinaryOperator,
    right: &Expr,
) -> Result<(), String> {
    use BinaryOperator as Op;
    match op {
        Op::Plus
        | Op::Minus
        | Op::Multiply
        | Op::Divide
        | Op::Modulo
        | Op::StringConcat
        | Op::Gt
        | Op::Lt
        | Op::GtEq
        | Op::LtEq
        | Op::Eq
        | Op::NotEq
        | Op::And
        | Op::Or => Ok(()),
        Op::PGRegexMatch | Op::Regexp => {
            foreign(expr, &format!("write regexp_like({left}, {right})"))
        }
        Op::PGRegexNotMatch => foreign(expr, &format!("write NOT regexp_like({left}, {right})")),
        Op::PGRegexIMatch => foreign(
            expr,
            &format!("write regexp_like({left}, pattern), with (?i) at the start of the pattern"),
        ),
        Op::PGRegexNotIMatch => foreign(
            expr,
            &format!(
                "write NOT regexp_like({left}, pattern), with (?i) at the start of the pattern"
            ),
        ),
        Op::PGLikeMatch => foreign(expr, &format!("write {left} LIKE {right}")),
        Op::PGNotLikeMatch => foreign(expr, &format!("write {left} NOT LIKE {right}")),
        Op::PGILikeMatch => foreign(expr, &like_in_lower_case(left, false, right)),
        Op::PGNotILikeMatch => foreign(expr, &like_in_lower_case(left, true, right)),
        Op::PGStartsWith => foreign(expr, &format!("write starts_with({left}, {right})")),
        Op::Spaceship => foreign(expr, &format!("write {left} IS NOT DISTINCT FROM {right}")),
        Op::Xor => foreign(expr, &format!("write ({left}) <> ({right})")),
        Op::DuckIntegerDivide | Op::MyIntegerDivide => foreign(
            expr,
            &format!("write {left} / {right}, which truncates the result if both are integers"),
        ),
        Op::BitwiseOr
        | Op::BitwiseAnd
        | Op::BitwiseXor
        | Op::PGBitwiseXor
        | Op::PGBitwiseShiftLeft
        | Op::PGBitwiseShiftRight
        | Op::PGExp
        | Op::PGOverlap
        | Op::Match
        | Op::Custom(_)
        | Op::Arrow
        | Op::LongArrow
        | Op::HashArrow
        | Op::HashLongArrow
        | Op::AtAt
        | Op::AtArrow
        | Op::ArrowAt
        | Op::HashMinus
        | Op::AtQuestion
        | Op::Question
        | Op::QuestionAnd
        | Op::QuestionPipe
        | Op::PGCustomBinaryOperator(_)
        | Op::Overlaps
        | Op::DoubleHash
        | Op::LtDashGt
        | Op::AndLt
        | Op::AndGt
        | Op::LtLtPipe
        | Op::PipeGtGt
        | Op::AndLtPipe
        | Op::PipeAndGt
        | Op::LtCaret
        | Op::GtCaret
        | Op::QuestionHash
        | Op::QuestionDash
        | Op::QuestionDashPipe
        | Op::QuestionDoublePipe
        | Op::At
        | Op::TildeEq
        | Op::Assignment => foreign(expr, OPERATORS),
    }
}

/// What to write instead of a LIKE that ignores case.
pub(super) fn like_in_lower_case(text: &Expr, negated: bool, pattern: &Expr) -> String {
    let like = if negated { "NOT LIKE" } else { "LIKE" };
    format!("write lower({text}) {like} {pattern}, with the pattern as one literal in lower case")
}

pub(super) fn check_unary(expr: &Expr, op: &UnaryOperator, operand: &Expr) -> Result<(), String> {
    match op {
        UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not => Ok(()),
        UnaryOperator::BangNot => foreign(expr, &format!("write NOT {operand}")),
        UnaryOperator::PGAbs => foreign(expr, &format!("write abs({operand})")),
        UnaryOperator::PGSquareRoot => foreign(expr, &format!("write sqrt({operand})")),
        UnaryOperator::AtDashAt
        | UnaryOperator::BitwiseNot
        | UnaryOperator::DoubleAt
        | UnaryOperator::Hash
        | UnaryOperator::PGCubeRoot
        | UnaryOperator::PGPostfixFactorial
        | UnaryOperator::PGPrefixFactorial
        | UnaryOperator::QuestionDash
        | UnaryOperator::QuestionPipe => foreign(expr, OPERATORS),
    }
}
