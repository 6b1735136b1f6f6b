//! The statements of `logmill query`: a SELECT, or a request for the columns of a table or the names of the tables.

use anyhow::{Result, bail};
use datafusion::sql::sqlparser::ast::{
    DescribeAlias, ObjectName, ObjectNamePart, SetExpr, ShowStatementOptions, Statement,
    TableFactor, TableWithJoins,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::engine::zones;
use crate::rollup::{change_queries, parse_sql};

/// A statement that `logmill query` answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    /// A SELECT.
    Rows(Box<Statement>),
    /// The columns of the table of this name.
    Describe(String),
    /// The names of the tables.
    ShowTables,
}

impl Request {
    /// Parses one statement. Comments may be before it, and a semicolon after it.
    ///
    /// # Errors
    ///
    /// It is not SQL, or another kind of statement.
    pub(super) fn parse(sql: &str) -> Result<Self> {
        // These need no parsing, and the parser does not know Athena's syntax of them.
        if let Some(word) = first_word(sql).filter(|word| REFUSED.contains(&word.as_str())) {
            bail!("{}", refusal(&word));
        }
        let mut statements = parse_sql(sql).map_err(anyhow::Error::msg)?;
        let statement = match (statements.pop(), statements.len()) {
            (Some(statement), 0) => statement,
            (None, _) => bail!("there is no SQL: write one SELECT statement"),
            (Some(_), others) => bail!(
                "there are {} SQL statements: give exactly one",
                others.saturating_add(1)
            ),
        };
        zones::check(&statement).map_err(anyhow::Error::msg)?;
        match statement {
            Statement::Query(mut query) if only_reads(&query.body) => {
                let whole = change_queries(&mut query, &mut |query| whole_tables(&query.body));
                whole.map_err(anyhow::Error::msg)?;
                Ok(Self::Rows(Box::new(Statement::Query(query))))
            }
            Statement::ExplainTable {
                describe_alias: DescribeAlias::Describe | DescribeAlias::Desc,
                table_name,
                ..
            } => Ok(Self::Describe(last_name(&table_name))),
            Statement::ShowColumns {
                show_options:
                    ShowStatementOptions {
                        show_in: Some(of), ..
                    },
                ..
            } => match of.parent_name {
                Some(table) => Ok(Self::Describe(last_name(&table))),
                None => bail!("SHOW COLUMNS needs the name of a table: SHOW COLUMNS IN name"),
            },
            Statement::ShowTables { .. } => Ok(Self::ShowTables),
            other => bail!("{}", refusal(&beginning(&other))),
        }
    }
}

/// Whether the body of a query is a SELECT. The parser also treats `WITH … INSERT` and `SELECT … INTO` as queries.
fn only_reads(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => only_reads(&query.body),
        SetExpr::SetOperation { left, right, .. } => only_reads(left) && only_reads(right),
        SetExpr::Values(_) => true,
        _ => false,
    }
}

/// Refuses what the engine would ignore: a sample of a table, or an older version.
fn whole_tables(body: &SetExpr) -> Result<(), String> {
    match body {
        SetExpr::Select(select) => select.from.iter().try_for_each(are_whole),
        SetExpr::SetOperation { left, right, .. } => {
            whole_tables(left)?;
            whole_tables(right)
        }
        _ => Ok(()),
    }
}

fn are_whole(from: &TableWithJoins) -> Result<(), String> {
    let joined = from.joins.iter().map(|join| &join.relation);
    std::iter::once(&from.relation)
        .chain(joined)
        .try_for_each(|factor| match factor {
            TableFactor::Table {
                name,
                sample: Some(_),
                ..
            } => Err(format!("{name}: TABLESAMPLE is not supported")),
            TableFactor::Table {
                name,
                version: Some(_),
                ..
            } => Err(format!(
                "{name}: versions of tables are not supported; the newest one is read"
            )),
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => are_whole(table_with_joins),
            _ => Ok(()),
        })
}

/// The first words of statements that write, or that control how others run.
const REFUSED: [&str; 25] = [
    "ALTER", "ANALYZE", "BEGIN", "CALL", "COMMIT", "COPY", "CREATE", "DELETE", "DROP", "EXECUTE",
    "EXPLAIN", "GRANT", "INSERT", "LOAD", "MERGE", "MSCK", "OPTIMIZE", "PREPARE", "REVOKE",
    "ROLLBACK", "SET", "TRUNCATE", "UNLOAD", "UPDATE", "USE",
];

/// The first word after comments, in upper case.
fn first_word(sql: &str) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().ok()?;
    let mut tokens = tokens.into_iter();
    match tokens.find(|token| !matches!(token, Token::Whitespace(_)))? {
        Token::Word(word) => Some(word.value.to_ascii_uppercase()),
        _ => None,
    }
}

/// The words that identify the statement to a person.
fn beginning(statement: &Statement) -> String {
    let words = statement.to_string();
    let mut words = words.split_whitespace();
    let first = words.next().unwrap_or_default().to_ascii_uppercase();
    match first.as_str() {
        "SHOW" => format!("SHOW {}", words.next().unwrap_or_default().to_uppercase()),
        "SELECT" | "WITH" => "a statement that writes".to_owned(),
        _ => first,
    }
}

fn refusal(words: &str) -> String {
    format!(
        "{words} is not supported: `logmill query` only reads. Write a SELECT, DESCRIBE <table> or SHOW TABLES"
    )
}

/// The table's name, from a name that may begin with a catalog and a database.
fn last_name(name: &ObjectName) -> String {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(name)) => match name.quote_style {
            Some(_) => name.value.clone(),
            None => name.value.to_ascii_lowercase(),
        },
        _ => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_questions() {
        for sql in [
            "SELECT 1;",
            "-- why\n/* and how */ SELECT 1 -- done\n;",
            "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
            "(SELECT 1) UNION SELECT 2",
            "VALUES (1), (2)",
        ] {
            assert!(matches!(Request::parse(sql), Ok(Request::Rows(_))), "{sql}");
        }
        for sql in [
            "DESCRIBE Events",
            "desc weblogs.events",
            "describe \"events\";",
            "SHOW COLUMNS IN events",
            "SHOW COLUMNS FROM weblogs.events",
        ] {
            let events = Request::Describe("events".to_owned());
            assert_eq!(Request::parse(sql).unwrap(), events, "{sql}");
        }
        for sql in ["show tables", "SHOW TABLES IN weblogs;"] {
            assert_eq!(Request::parse(sql).unwrap(), Request::ShowTables, "{sql}");
        }
    }

    #[test]
    fn other_statements_are_refused() {
        for (sql, says) in [
            ("CREATE TABLE a AS SELECT 1", "CREATE is not supported"),
            (
                "CREATE EXTERNAL TABLE a (x int) STORED AS CSV LOCATION 'x'",
                "CREATE is not supported",
            ),
            ("INSERT INTO a VALUES (1)", "INSERT is not supported"),
            (
                "WITH b AS (SELECT 1) INSERT INTO a SELECT * FROM b",
                "a statement that writes is not supported",
            ),
            (
                "SELECT 1 INTO a",
                "a statement that writes is not supported",
            ),
            ("DROP TABLE a", "DROP is not supported"),
            ("COPY a TO 'x.csv'", "COPY is not supported"),
            ("SET x = 1", "SET is not supported"),
            ("EXPLAIN SELECT 1", "EXPLAIN is not supported"),
            ("DELETE FROM a", "DELETE is not supported"),
            ("SHOW CREATE TABLE a", "SHOW CREATE is not supported"),
            (
                "SELECT 1 FROM (SELECT 1 FROM a JOIN b TABLESAMPLE BERNOULLI (1) ON true)",
                "b: TABLESAMPLE is not supported",
            ),
            ("", "there is no SQL"),
            ("-- nothing", "there is no SQL"),
            ("SELECT 1; SELECT 2", "there are 2 SQL statements"),
            (
                "SELEC 1",
                "line 1, column 1: expected an SQL statement, found SELEC. Did you mean SELECT?",
            ),
        ] {
            let error = Request::parse(sql).unwrap_err().to_string();
            assert!(error.starts_with(says), "{sql}: {error}");
        }
    }
}
