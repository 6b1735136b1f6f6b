//! Parses SQL, and explains what the parser does not understand.

use std::cmp::Reverse;
use std::mem::take;

use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DateTimeField, Expr, Interval, Statement, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::aggregates::function_name;
use super::desugar::literal;
use super::results::arguments;
use super::walk;

/// The clauses of a SELECT, in their order.
const CLAUSES: [&str; 7] = [
    "SELECT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT",
];

/// Terms of a chain that is balanced.
const BALANCED_MIN: usize = 16;

/// Operators in one SQL text. A chain of them is a tree as deep as it is long, and each engine walks it recursively.
const OPERATORS_MAX: usize = 2000;

/// Parses statements.
///
/// # Errors
///
/// If it is not Athena's SQL. The error says where, and names the most likely slip.
pub(crate) fn parse_sql(sql: &str) -> Result<Vec<Statement>, String> {
    check_tokens(sql)?;
    statements(sql).map_err(|error| match is_too_deep(sql, &error) {
        true => TOO_DEEP.to_owned(),
        false => explained(sql, &error),
    })
}

const TOO_DEEP: &str = "the SQL is nested too deeply: write it with fewer parentheses, CASEs and NOTs within one another";

/// The statements of a text, as the parser has them.
///
/// # Errors
///
/// If the parser does not understand it.
pub(super) fn statements(sql: &str) -> Result<Vec<Statement>, ParserError> {
    let mut statements = parser(sql)?.parse_statements()?;
    for statement in &mut statements {
        // It refuses nothing.
        let _ = walk::change_exprs(statement, &mut balance, &mut |expr| {
            if let Some(interval) = duration(expr) {
                *expr = interval;
            }
            Ok(())
        });
    }
    Ok(statements)
}

/// Makes a balanced tree of a long chain of AND or of OR. The parser makes a tree as deep as the chain is long, and whoever looks at the
/// whole tree below each of its nodes, as planning does, would take a time that grows with its square.
fn balance(expr: &mut Expr) -> Result<(), String> {
    let Expr::BinaryOp { op, .. } = &*expr else {
        return Ok(());
    };
    let op = op.clone();
    if !matches!(op, BinaryOperator::And | BinaryOperator::Or) {
        return Ok(());
    }
    let mut length = 1;
    let mut rest = &*expr;
    while let Expr::BinaryOp {
        left, op: other, ..
    } = rest
        && *other == op
    {
        length += 1;
        rest = left;
    }
    if length < BALANCED_MIN {
        return Ok(());
    }
    let mut terms = Vec::with_capacity(length);
    let mut rest = std::mem::replace(expr, Expr::value(Value::Null));
    loop {
        match rest {
            Expr::BinaryOp {
                left,
                op: other,
                right,
            } if other == op => {
                terms.push(*right);
                rest = *left;
            }
            first => {
                terms.push(first);
                break;
            }
        }
    }
    terms.reverse();
    *expr = joined(&op, terms);
    Ok(())
}

/// The terms in their order, as a balanced tree.
fn joined(op: &BinaryOperator, mut terms: Vec<Expr>) -> Expr {
    let last = terms.split_off(terms.len() / 2);
    let side = |mut terms: Vec<Expr>| match terms.pop() {
        Some(one) if terms.is_empty() => one,
        last => {
            terms.extend(last);
            joined(op, terms)
        }
    };
    Expr::BinaryOp {
        left: Box::new(side(terms)),
        op: op.clone(),
        right: Box::new(side(last)),
    }
}

/// The interval in the place of `parse_duration('1d')`.
fn duration(expr: &Expr) -> Option<Expr> {
    let Expr::Function(call) = expr else {
        return None;
    };
    let [text] = arguments(call)[..] else {
        return None;
    };
    let text = literal(text).filter(|_| function_name(call) == "parse_duration")?;
    let (count, unit) = text
        .trim()
        .split_at_checked(text.trim().len().checked_sub(1)?)?;
    let count = count.trim_end();
    let unit = match unit {
        "d" => DateTimeField::Day,
        "h" => DateTimeField::Hour,
        "m" => DateTimeField::Minute,
        "s" => DateTimeField::Second,
        _ => return None,
    };
    let is_whole = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| {
        Expr::Interval(Interval {
            value: Box::new(Expr::value(Value::SingleQuotedString(count.to_owned()))),
            leading_field: Some(unit),
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        })
    })
}

fn parser(sql: &str) -> Result<Parser<'static>, ParserError> {
    let mut tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location()?;
    take_lists(&mut tokens);
    Ok(Parser::new(&GenericDialect {}).with_tokens_with_locations(tokens))
}

/// The depth of nesting up to which an error of the parser is looked into.
const DEEPER: usize = 100;

/// Whether the depth of nesting is the reason of an error: at the limit, the parser takes keywords for names, and complains about what
/// follows.
fn is_too_deep(sql: &str, error: &ParserError) -> bool {
    let deeper =
        parser(sql).and_then(|parser| parser.with_recursion_limit(DEEPER).parse_statements());
    !matches!(error, ParserError::TokenizerError(_)) && deeper.as_ref().err() != Some(error)
}

/// Writes `= ANY (VALUES …)` as `IN (…)` and `<> ALL (VALUES …)` as `NOT IN (…)`, which mean the same. The parser knows VALUES only as a
/// query.
fn take_lists(tokens: &mut Vec<TokenWithSpan>) {
    for token in take(tokens) {
        tokens.push(token);
        let places: Vec<usize> = (0..tokens.len())
            .rev()
            .filter(|place| !matches!(tokens[*place].token, Token::Whitespace(_)))
            .take(4)
            .collect();
        let [values, open, quantifier, comparison] = places[..] else {
            continue;
        };
        let words = [quantifier, values].map(|place| upper(&tokens[place].token));
        let list = match (
            &tokens[comparison].token,
            words.each_ref().map(String::as_str),
        ) {
            _ if tokens[open].token != Token::LParen => continue,
            (Token::Eq, ["ANY" | "SOME", "VALUES"]) => ["IN"].as_slice(),
            (Token::Neq, ["ALL", "VALUES"]) => ["NOT", "IN"].as_slice(),
            _ => continue,
        };
        let span = tokens[comparison].span;
        let open = tokens[open].clone();
        tokens.truncate(comparison);
        let words = list.iter().map(|word| Token::make_keyword(word));
        tokens.extend(words.map(|token| TokenWithSpan { token, span }));
        tokens.push(open);
    }
}

/// The parser's error in plain words, with the most likely slip.
fn explained(sql: &str, error: &ParserError) -> String {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.clone(),
        ParserError::RecursionLimitExceeded => return TOO_DEEP.to_owned(),
    };
    let tokens = tokens(sql);
    // The parser gives no place at the end of the SQL.
    let (problem, line, column) = parts(&message).unwrap_or_else(|| {
        let end = tokens
            .last()
            .map_or(Location::new(1, 1), |last| last.span.end);
        (message.as_str(), end.line, end.column)
    });
    let at = Location { line, column };
    let problem = match problem {
        text if text.starts_with("Unterminated string literal") => {
            "the text that begins here has no closing '".to_owned()
        }
        "Expected close delimiter '\"' before EOF." => {
            "the name that begins here has no closing \"".to_owned()
        }
        "Unexpected EOF while in a multi-line comment" => {
            "a comment that begins with /* has no closing */".to_owned()
        }
        problem => match problem.split_once(", found: ") {
            Some(("Expected: end of statement", found)) => {
                format!("{} is not expected here", shown(found))
            }
            Some((expected, found)) => {
                let expected = expected.strip_prefix("Expected: ").unwrap_or(expected);
                format!("expected {expected}, found {}", shown(found))
            }
            None => problem.to_owned(),
        },
    };
    let hint = hint(&tokens, at).map_or(String::new(), |hint| format!(". {hint}"));
    format!("line {line}, column {column}: {problem}{hint}")
}

/// Refuses what the parser accepts and Athena does not, and what leaves no trace in the syntax tree.
///
/// # Errors
///
/// The first such part, with its place.
fn check_tokens(sql: &str) -> Result<(), String> {
    let tokens = tokens(sql);
    let operators = tokens.iter().filter(|token| is_operator(&token.token));
    if operators.count() > OPERATORS_MAX {
        return Err(format!(
            "the SQL has more than {OPERATORS_MAX} operators, such as OR: write x IN (…) for x = … OR x = …, one regular expression \
             for many LIKEs, or join a lookup (docs/sql.md)"
        ));
    }
    for (place, token) in tokens.iter().enumerate() {
        let at = token.span.start;
        let before = |count: usize| upper(&tokens[place - count].token);
        let problem = match &token.token {
            Token::DoubleEq => "== is not Athena SQL: write =".to_owned(),
            // The syntax tree has it as X'…', which is a binary value.
            Token::HexStringLiteral(_) if !begins_with_x(sql, at) => {
                "hexadecimal numbers are not supported: write the number in decimal digits"
                    .to_owned()
            }
            Token::Number(rows, _) if place > 1 && before(1) == "TOP" && before(2) == "SELECT" => {
                format!("TOP {rows} is not Athena SQL: write LIMIT {rows} at the end of the query")
            }
            Token::Comma
                if tokens.get(place + 1).is_some_and(|next| {
                    next.token == Token::RParen || CLAUSES.contains(&upper(&next.token).as_str())
                }) =>
            {
                "a comma with nothing after it: leave it out".to_owned()
            }
            _ => continue,
        };
        return Err(format!("line {}, column {}: {problem}", at.line, at.column));
    }
    Ok(())
}

/// Whether the token joins two expressions to one, which may be joined again.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat => {
            true
        }
        token => ["AND", "OR"].contains(&upper(token).as_str()),
    }
}

/// Whether the token at this place begins with the letter.
fn begins_with_x(sql: &str, at: Location) -> bool {
    let line = usize::try_from(at.line)
        .ok()
        .and_then(|line| sql.lines().nth(line - 1));
    let column = usize::try_from(at.column).ok();
    let first = line
        .zip(column)
        .and_then(|(line, column)| line.chars().nth(column - 1));
    first.is_some_and(|first| first.eq_ignore_ascii_case(&'x'))
}

/// The problem, the line and the column.
fn parts(message: &str) -> Option<(&str, u64, u64)> {
    let (problem, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some((
        problem,
        line.trim().parse().ok()?,
        column.trim().parse().ok()?,
    ))
}

/// The tokens without white space. Text that can't be tokenized ends them.
fn tokens(sql: &str) -> Vec<TokenWithSpan> {
    let mut tokens = Vec::new();
    // What was read before an error is kept.
    let _ = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location_into_buf(&mut tokens);
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    tokens
}

fn shown(found: &str) -> &str {
    match found {
        "EOF" => "the end of the SQL",
        found => found,
    }
}

fn upper(token: &Token) -> String {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

fn hint(tokens: &[TokenWithSpan], at: Location) -> Option<String> {
    let here = tokens.iter().position(|token| token.span.start >= at);
    let before = &tokens[..here.unwrap_or(tokens.len())];
    let found = here.map(|here| &tokens[here].token);
    if found == Some(&Token::RParen) {
        let is_open = |token: &&TokenWithSpan| token.token == Token::LParen;
        let is_close = |token: &&TokenWithSpan| token.token == Token::RParen;
        if before.iter().filter(is_open).count() <= before.iter().filter(is_close).count() {
            return Some("There is no ( that it closes".to_owned());
        }
    }
    let word = found.map(upper).unwrap_or_default();
    if let Some(open) = open_parenthesis(before)
        && (found.is_none() || CLAUSES.contains(&word.as_str()))
    {
        return Some(format!(
            "The ( at line {}, column {} is not closed",
            open.line, open.column
        ));
    }
    let count = |keyword: &str| tokens.iter().filter(|t| upper(&t.token) == keyword).count();
    if count("CASE") > count("END") {
        return Some("A CASE has no END".to_owned());
    }
    if matches!(word.as_str(), "GROUP" | "ORDER")
        && here
            .and_then(|here| tokens.get(here + 1))
            .map(|next| upper(&next.token))
            != Some("BY".to_owned())
    {
        return Some(format!("Write {word} BY"));
    }
    if let Some(place) = CLAUSES.iter().position(|clause| *clause == word) {
        let later = |token: &TokenWithSpan| {
            let other = CLAUSES
                .iter()
                .position(|clause| *clause == upper(&token.token));
            other.is_some_and(|other| other > place)
        };
        if before.iter().any(later) {
            return Some(
                "The clauses stand in this order: SELECT, FROM, WHERE, GROUP BY, HAVING, ORDER BY, LIMIT"
                    .to_owned(),
            );
        }
    }
    let near = CLAUSES
        .iter()
        .map(|clause| (levenshtein(clause, &word), *clause))
        .filter(|(distance, _)| (1..=2).contains(distance) && word.len() > 3)
        .min_by_key(|(distance, clause)| (*distance, Reverse(clause.len())));
    if let Some((_, clause)) = near {
        return Some(format!("Did you mean {clause}?"));
    }
    // As in `SELECT elb count(*)`, where `count` was taken for an alias.
    if let (Some(Token::LParen), [.., _, last]) = (found, before) {
        return Some(format!("Is a comma missing before {}?", last.token));
    }
    None
}

/// The place of the last parenthesis that is still open.
fn open_parenthesis(tokens: &[TokenWithSpan]) -> Option<Location> {
    let mut open = Vec::new();
    for token in tokens {
        match token.token {
            Token::LParen => open.push(token.span.start),
            Token::RParen => {
                open.pop();
            }
            _ => {}
        }
    }
    open.pop()
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse_alone;
    use super::statements;

    #[test]
    fn slips_are_named() {
        for (sql, expected) in [
            (
                "SELECT elb FROM alb_access_logs WHERE (elb = 'x' GROUP BY 1",
                "line 1, column 50: expected ), found GROUP. The ( at line 1, column 39 is not closed",
            ),
            (
                "SELECT round(elb, 2)) AS n FROM alb_access_logs",
                "line 1, column 21: ) is not expected here. There is no ( that it closes",
            ),
            (
                "SELECT elb count(*) AS n FROM alb_access_logs",
                "line 1, column 17: ( is not expected here. Is a comma missing before count?",
            ),
            (
                "SELECT elb AS e FORM alb_access_logs",
                "line 1, column 17: FORM is not expected here. Did you mean FROM?",
            ),
            (
                "SELECT elb FROM alb_access_logs WHERE elb = 'x",
                "line 1, column 45: the text that begins here has no closing '",
            ),
            (
                "SELECT elb FROM alb_access_logs GROUP BY 1 WHERE elb = 'x'",
                "line 1, column 44: WHERE is not expected here. The clauses stand in this order: SELECT, FROM, WHERE, GROUP BY, \
                 HAVING, ORDER BY, LIMIT",
            ),
            (
                "SELECT elb FROM alb_access_logs WHERE elb = 'x' GROUP elb",
                "line 1, column 49: GROUP is not expected here. Write GROUP BY",
            ),
            (
                "SELECT CASE WHEN elb = 'x' THEN 'y' AS e FROM alb_access_logs",
                "A CASE has no END",
            ),
            (
                "SELECT elb, FROM alb_access_logs",
                "line 1, column 11: a comma with nothing after it: leave it out",
            ),
            (
                "SELECT elb FROM alb_access_logs WHERE",
                "line 1, column 38: expected an expression, found the end of the SQL",
            ),
            (
                "SELECT elb FROM alb_access_logs\nWHERE elb_status_code = 0xC8",
                "line 2, column 25: hexadecimal numbers are not supported: write the number in decimal digits",
            ),
            (
                "SELECT elb FROM alb_access_logs WHERE elb == 'x'",
                "line 1, column 43: == is not Athena SQL: write =",
            ),
            (
                "SELECT elb AS \"e FROM alb_access_logs",
                "line 1, column 15: the name that begins here has no closing \"",
            ),
            (
                "SELECT elb FROM alb_access_logs /* all",
                "a comment that begins with /* has no closing */",
            ),
            (
                "SELECT\n  TOP 10 elb FROM alb_access_logs",
                "line 2, column 7: TOP 10 is not Athena SQL: write LIMIT 10 at the end of the query",
            ),
        ] {
            let refused = parse_alone(sql).unwrap_err();
            assert!(refused.contains(expected), "{sql}: {refused}");
        }
    }

    #[test]
    fn deep_nesting_is_named() {
        let cases = "CASE WHEN elb = 'a' THEN 'b' ELSE ".repeat(60) + "'c'" + &" END".repeat(60);
        let nots = "NOT ".repeat(10_000);
        for sql in [
            format!("SELECT {cases} AS x FROM alb_access_logs"),
            format!("SELECT elb FROM alb_access_logs WHERE {nots} elb = 'a'"),
        ] {
            let refused = parse_alone(&sql).unwrap_err();
            assert!(refused.contains("nested too deeply"), "{refused}");
        }
    }

    #[test]
    fn lists_of_values_and_durations_are_taken() {
        for (condition, says) in [
            ("elb = ANY (VALUES 'a', 'b')", "elb IN ('a', 'b')"),
            (
                "elb = some(\n values ('a'), ('b'))",
                "elb IN (('a'), ('b'))",
            ),
            ("elb <> ALL (VALUES 'a')", "elb NOT IN ('a')"),
            (
                "sent_bytes > 1 AND elb != ALL (VALUES 'a' || 'b', elb)",
                "sent_bytes > 1 AND elb NOT IN ('a' || 'b', elb)",
            ),
            ("x > parse_duration('1d')", "x > INTERVAL '1' DAY"),
            ("x > PARSE_DURATION(' 90 m')", "x > INTERVAL '90' MINUTE"),
            ("x > parse_duration('1.5d')", "x > parse_duration('1.5d')"),
            ("x > parse_duration('ms')", "x > parse_duration('ms')"),
        ] {
            let sql = format!("SELECT 1 FROM t WHERE {condition}");
            let statements = statements(&sql).unwrap();
            assert_eq!(
                statements[0].to_string(),
                format!("SELECT 1 FROM t WHERE {says}")
            );
        }
        let sql = "SELECT elb FROM alb_access_logs WHERE elb > ANY (VALUES 'a', 'b')";
        assert!(parse_alone(sql).unwrap_err().contains("line 1"));
    }
}
