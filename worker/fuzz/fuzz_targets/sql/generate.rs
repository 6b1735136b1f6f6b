//! SQL from the fuzzer's bytes: what a rollup may use, and what it may not.

use arbitrary::{Arbitrary, Result, Unstructured};

/// SQL that was made.
pub struct Made {
    pub sql: String,
    /// Whether it has something that must be refused.
    pub is_foreign: bool,
    /// Whether bytes were put into its text, so that nothing is known of it any more.
    pub is_spliced: bool,
}

/// Adds the sum of the absolute values beside the sum of doubles of this name.
pub const MAGNITUDE: &str = "_magnitude";

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Text,
    Integer,
    Double,
    Boolean,
    Time,
    Date,
}

const TYPES: &[Type] = &[
    Type::Text,
    Type::Integer,
    Type::Double,
    Type::Boolean,
    Type::Time,
    Type::Date,
];

/// Parameters that the lines' URLs have.
const PARAMETERS: &[&str] = &["q", "n", "x", "i", "t", "d", "b", "u", "uid", "p"];

const TEXTS: &[&str] = &[
    "elb",
    "type",
    "client_ip",
    "target_status_code",
    "request_verb",
    "request_url",
    "user_agent",
    "target_group_arn",
    "domain_name",
    "redirect_url",
    "unhandled_fields",
    "time",
];
const INTEGERS: &[&str] = &[
    "elb_status_code",
    "received_bytes",
    "sent_bytes",
    "client_port",
    "target_port",
];
const DOUBLES: &[&str] = &[
    "target_processing_time",
    "request_processing_time",
    "response_processing_time",
];

const TEXT_LITERALS: &[&str] = &[
    "''",
    "'word'",
    "'a'",
    "'-'",
    "'GET'",
    "''''",
    "'é'",
    "'%'",
    "'wo_d'",
    "'ordinary/1.0'",
    "NULL",
];
const INTEGER_LITERALS: &[&str] = &[
    "1",
    "0",
    "-1",
    "2",
    "200",
    "127",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775807",
    "NULL",
];
const DOUBLE_LITERALS: &[&str] = &[
    "1.5", "0e0", "-0.0", "1e308", "0.001", "-2.5", "4.9e-324", "1e0",
];
const UNITS: &[&str] = &[
    "'hour'",
    "'minute'",
    "'day'",
    "'week'",
    "'month'",
    "'quarter'",
    "'year'",
    "'second'",
    "'millisecond'",
];
const DATE_UNITS: &[&str] = &["'day'", "'week'", "'month'", "'quarter'", "'year'"];
const PARTS: &[&str] = &[
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "day_of_week",
    "day_of_year",
    "year_of_week",
];
const PARTS_OF_TIME: &[&str] = &["hour", "minute", "second"];

/// Texts that are made of `x`, a text.
const ARRAYS_JSON_AND_ADDRESSES: &[&str] = &[
    "reverse(x)",
    "array_max(slice(split(x, '/'), 1, 2))",
    "array_join(array_sort(array_distinct(split(x, '/') || 'w')), ',')",
    "json_format(json_extract(x, '$.a'))",
    "cast(json_parse(x) AS varchar)",
    "cast(cast(x AS ipaddress) AS varchar)",
];

/// Conditions on `x`, a text.
const TESTS_OF_TEXTS: &[&str] = &[
    "starts_with(x, 'w')",
    "arrays_overlap(split(x, '/'), ARRAY['w'])",
    "json_array_contains(x, 1)",
    "is_json_scalar(x)",
    "contains('10.0.0.0/8', try_cast(x AS ipaddress))",
];

/// Expressions that must be refused wherever they stand. `x` is some expression.
const FOREIGN: &[&str] = &[
    "(x)::varchar",
    "x IS TRUE",
    "x IS NOT FALSE",
    "x IS UNKNOWN",
    "x ILIKE 'a'",
    "x SIMILAR TO 'a'",
    "x RLIKE 'a'",
    "(x)[1]",
    "x ~ 'a'",
    "x ^@ 'a'",
    "x <=> 1",
    "x XOR true",
    "x DIV 2",
    "x // 2",
    "x & 1",
    "x | 1",
    "x ^ 1",
    "x << 1",
    "x -> 'a'",
    "x ->> 'a'",
    "x @> 'a'",
    "x = ANY (ARRAY[1])",
    "x > ALL (SELECT 1)",
    "x IN (SELECT elb FROM alb_access_logs)",
    "EXISTS (SELECT 1)",
    "(SELECT 1)",
    "(SELECT max(elb) FROM alb_access_logs)",
    "x AT TIME ZONE 'America/New_York'",
    "SAFE_CAST(x AS bigint)",
    "CAST(x AS decimal(10, 2))",
    "CAST(x AS varchar(3))",
    "CAST(x AS time)",
    "CAST(x AS bigint unsigned)",
    "CONVERT(x, CHAR)",
    "EXTRACT(EPOCH FROM x)",
    "EXTRACT(YEAR, x)",
    "CEIL(x TO DAY)",
    "OVERLAY('abc' PLACING 'x' FROM 1)",
    "TRIM(BOTH 'a' FROM x)",
    "x COLLATE \"C\"",
    "ARRAY[x]",
    "ROW(x, 1)",
    "(x, 1)",
    "MAP {'a': 1}",
    "{'a': 1}",
    "x -> x + 1",
    "CAST('1' AS HyperLogLog)",
    "now()",
    "random()",
    "current_date",
    "current_timestamp",
    "row_number() OVER ()",
    "count(*) OVER (PARTITION BY elb)",
    "lag(x) OVER (ORDER BY time)",
    "lower(x) FILTER (WHERE true)",
    "lower(DISTINCT x)",
    "lower(x ORDER BY 1)",
    "lower(s => x)",
    "\"lower\"(x)",
    "{fn lower(x)}",
    "lower(*)",
    "$1",
    "?",
    ":name",
    "@name",
    "N'a'",
    "X'00'",
    "E'a'",
    "B'1'",
    "U&'a'",
    "$$a$$",
    "1L",
    "!x",
    "x!",
    "`elb`",
    "[elb]",
    "other.elb",
    "alb_access_logs.elb.x",
    "elb.x",
    "no_such_column",
    "\"count(*)\"",
    "INTERVAL 1 DAY",
    "INTERVAL '1 day'",
    "INTERVAL '1' WEEK",
    "INTERVAL '1-2' YEAR TO MONTH",
    "GROUPING(elb)",
    "x LIKE ANY ('a', 'b')",
    "x IN UNNEST(ARRAY[1])",
    "x IN ()",
    "PRIOR x",
    "MATCH (elb) AGAINST ('a')",
    "x IS NORMALIZED",
    "x MEMBER OF ('[1]')",
    "sum(sum(x))",
    "count(count(*))",
    "avg(x)",
    "array_agg(x)",
    "max_by(x, elb)",
    "approx_distinct(x)",
    "no_such_function(x)",
    "x IS DISTINCT FROM 1 AND true",
];

/// Aggregates that must be refused.
const FOREIGN_AGGREGATES: &[&str] = &[
    "count(DISTINCT x)",
    "sum(DISTINCT sent_bytes)",
    "min(x ORDER BY time)",
    "max(x) IGNORE NULLS",
    "count(*) OVER ()",
    "sum(sent_bytes) OVER (ORDER BY time)",
    "sum(sent_bytes) / count(*)",
    "round(sum(sent_bytes))",
    "1 + count(*)",
    "count(*) FILTER (WHERE count(*) > 1)",
    "avg(sent_bytes)",
    "stddev(sent_bytes)",
    "approx_distinct(x)",
    "approx_percentile(target_processing_time, 0.5)",
    "max_by(x, time)",
    "arbitrary(x)",
    "array_agg(x)",
    "listagg(elb, ',') WITHIN GROUP (ORDER BY elb)",
    "count(x) WITHIN GROUP (ORDER BY elb)",
    "merge(x)",
    "count(alb_access_logs.*)",
    "coalesce(sum(sent_bytes), 0)",
    "CASE WHEN true THEN count(*) END",
    "any_value(x)",
    "count(*) FILTER (WHERE elb IN (SELECT 'a'))",
    "max(x HAVING MAX time)",
    "count(ALL x, x)",
];

/// What must be refused after SELECT.
const FOREIGN_SELECTS: &[&str] = &[
    "DISTINCT ",
    "DISTINCT ON (elb) ",
    "ALL ",
    "TOP 5 ",
    "AS STRUCT ",
    "AS VALUE ",
    "/*+ BROADCAST(x) */ ",
    "/*! DISTINCT */ ",
    "STRAIGHT_JOIN ",
    "SQL_NO_CACHE ",
    "* EXCEPT (elb), ",
    "* REPLACE (1 AS elb), ",
    "alb_access_logs.*, ",
];

/// What must be refused in place of the table.
const FOREIGN_TABLES: &[&str] = &[
    "alb_access_logs, elb_logs",
    "alb_access_logs CROSS JOIN elb_logs",
    "alb_access_logs AS a JOIN alb_access_logs AS b ON a.elb = b.elb",
    "(SELECT * FROM alb_access_logs)",
    "alb_access_logs TABLESAMPLE BERNOULLI (10)",
    "alb_access_logs FOR VERSION AS OF 1",
    "alb_access_logs FOR SYSTEM_TIME AS OF '2026-11-20 10:00:00'",
    "alb_access_logs PARTITION (p0)",
    "alb_access_logs FINAL",
    "alb_access_logs WITH (NOLOCK)",
    "alb_access_logs WITH ORDINALITY",
    "alb_access_logs(1)",
    "alb_access_logs AS t (a, b)",
    "`alb_access_logs`",
    "alb_access_logs USE INDEX (i)",
    "no_such_table",
    "UNNEST(ARRAY[1])",
    "TABLE(f(1))",
    "LATERAL (SELECT 1)",
    "alb_access_logs PIVOT (sum(x) FOR y IN (1))",
    "alb_access_logs LATERAL VIEW explode(type) t AS x",
];

/// What must be refused between FROM and WHERE, and after GROUP BY.
const FOREIGN_WHERES: &[&str] = &[
    " PREWHERE elb_status_code = 200",
    " START WITH elb = 'x' CONNECT BY PRIOR elb = type",
    " CONNECT BY PRIOR elb = type",
];
const FOREIGN_ENDS: &[&str] = &[
    " HAVING count(*) > 1",
    " HAVING true",
    " QUALIFY elb = 'x'",
    " WINDOW w AS (PARTITION BY elb)",
    " CLUSTER BY elb",
    " DISTRIBUTE BY elb",
    " SORT BY elb",
    " ORDER BY 1",
    " ORDER BY ALL",
    " LIMIT 1",
    " LIMIT 0",
    " LIMIT 1 BY elb",
    " OFFSET 1",
    " FETCH FIRST 1 ROW ONLY",
    " FOR UPDATE",
    " FOR SHARE NOWAIT",
    " FOR XML PATH",
    " FOR JSON AUTO",
    " LOCK IN SHARE MODE",
    " SETTINGS max_threads = 1",
    " FORMAT CSV",
    " FORMAT NULL",
    " |> LIMIT 1",
    " |> WHERE elb = 'x'",
    " |> AGGREGATE count(*) AS n",
    " |> ORDER BY elb",
    " UNION ALL SELECT elb FROM alb_access_logs",
    " EXCEPT SELECT elb FROM alb_access_logs",
    "; SELECT 1",
    ";; DROP TABLE x",
    " /*! LIMIT 1 */",
    " /* /* */ LIMIT 1 /* */ -- */",
    " WITH ROLLUP",
    ", ROLLUP (elb)",
    ", CUBE (elb)",
    ", GROUPING SETS ((elb), ())",
    ", 99",
    ", 0",
    ", no_such_column",
    " GROUP BY ALL",
];

/// What may be put into the text anywhere.
const SPLICES: &[&str] = &[
    "(",
    ")",
    "'",
    "\"",
    "/*",
    "*/",
    "--",
    "\n",
    ";",
    ",",
    "::",
    "[",
    "]",
    "{",
    "}",
    "@",
    "$$",
    "|>",
    "\\",
    "`",
    "/*!",
    " NOT ",
    " AND ",
    " OR ",
    " IS NULL",
    " BETWEEN ",
    " LIKE ",
    " ESCAPE '\\'",
    " IN (",
    " CASE ",
    " END",
    " FILTER (WHERE ",
    " OVER ()",
    " DISTINCT ",
    " ALL ",
    " AS ",
    " GROUP BY ",
    " HAVING ",
    " LIMIT 1",
    " UNION ",
    " FROM ",
    " WHERE ",
    " WITH ",
    "*",
    "-",
    "+",
    "%",
    "||",
    "0x",
    "1e",
    "1.",
    ".5",
    "9999999999999999999999",
    "U&'\\0041'",
    "interval '1' day",
    "date '2026-11-20'",
    "count(*)",
    "\0",
    "\u{a0}",
    "\u{202e}",
    " PREWHERE ",
    " FINAL ",
    " QUALIFY ",
    " lateral ",
    " unnest(",
    " table(",
    " values ",
    " => ",
    " -> ",
];

/// SQL of these bytes: what is text and begins as SQL does is taken as it is, so that rollups can be in the corpus.
pub fn make(data: &[u8]) -> Result<Made> {
    if data.starts_with(b"SELECT") || data.starts_with(b"--") {
        return Ok(Made {
            sql: String::from_utf8_lossy(data).into_owned(),
            is_foreign: false,
            is_spliced: true,
        });
    }
    let mut input = Unstructured::new(data);
    let is_foreign = input.ratio(1, 4)?;
    let mut making = Making {
        input,
        may_be_foreign: is_foreign,
        is_foreign: false,
    };
    let mut sql = making.select()?;
    let is_foreign = making.is_foreign;
    let is_spliced = making.input.ratio(1, 6)?;
    if is_spliced {
        sql = making.splice(sql)?;
    }
    Ok(Made {
        sql,
        is_foreign,
        is_spliced,
    })
}

struct Making<'a> {
    input: Unstructured<'a>,
    may_be_foreign: bool,
    is_foreign: bool,
}

impl Making<'_> {
    fn pick(&mut self, from: &[&'static str]) -> Result<&'static str> {
        self.input.choose(from).copied()
    }

    fn below(&mut self, end: u8) -> Result<u8> {
        self.input.int_in_range(0..=end - 1)
    }

    /// Something that must be refused, or nothing.
    fn foreign(&mut self, from: &[&'static str], one_in: u8) -> Result<Option<&'static str>> {
        if !self.may_be_foreign || !self.input.ratio(1, one_in)? {
            return Ok(None);
        }
        self.is_foreign = true;
        self.pick(from).map(Some)
    }

    fn select(&mut self) -> Result<String> {
        let modifier = self.foreign(FOREIGN_SELECTS, 12)?.unwrap_or_default();
        let is_kept = self.input.ratio(1, 8)?;
        let (items, keys) = match is_kept {
            true => (self.kept_items()?, Vec::new()),
            false => self.grouped_items()?,
        };
        let table = match self.foreign(FOREIGN_TABLES, 12)? {
            Some(table) => table,
            None => self.pick(&[
                "alb_access_logs",
                "alb_access_logs AS l",
                "ALB_ACCESS_LOGS",
                "\"alb_access_logs\"",
                "alb_access_logs /* the logs */",
            ])?,
        };
        let mut sql = format!("SELECT {modifier}{} FROM {table}", items.join(", "));
        sql += self.foreign(FOREIGN_WHERES, 16)?.unwrap_or_default();
        if self.input.ratio(1, 3)? {
            sql += &format!(" WHERE {}", self.expr(Type::Boolean, 4)?);
        }
        if !keys.is_empty() {
            sql += &format!(" GROUP BY {}", keys.join(", "));
        }
        sql += self.foreign(FOREIGN_ENDS, 6)?.unwrap_or_default();
        Ok(sql)
    }

    fn kept_items(&mut self) -> Result<Vec<String>> {
        if self.input.ratio(1, 6)? {
            return Ok(vec!["*".to_owned()]);
        }
        let mut items = Vec::new();
        for number in 0..=self.below(4)? {
            let key = self.key()?;
            items.push(format!("{key} AS k{number}"));
        }
        Ok(items)
    }

    /// Output columns in some order, and what GROUP BY calls the keys.
    fn grouped_items(&mut self) -> Result<(Vec<String>, Vec<String>)> {
        let (keys, aggregates) = (self.below(4)?, 1 + self.below(4)?);
        let (mut items, mut names) = (Vec::new(), Vec::new());
        for number in 0..keys {
            let key = self.key()?;
            let alias = match number {
                0 if self.input.ratio(1, 16)? => {
                    self.pick(&["date", "is_other", "K", "\"Key\""])?.to_owned()
                }
                _ => format!("k{number}"),
            };
            items.push(format!("{key} AS {alias}"));
            names.push(match self.input.ratio(1, 3)? {
                // Of a literal it would be a position.
                true if !key.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
                    key
                }
                _ => (number + 1).to_string(),
            });
        }
        for number in 0..aggregates {
            self.aggregate(number, &mut items)?;
        }
        if self.input.ratio(1, 8)? && !names.is_empty() {
            names.push("1".to_owned());
        }
        Ok((items, names))
    }

    fn key(&mut self) -> Result<String> {
        // Most tables have a time that says where rows belong.
        if self.input.ratio(1, 3)? {
            let unit = self.pick(UNITS)?;
            return Ok(format!("date_trunc({unit}, from_iso8601_timestamp(time))"));
        }
        let of = *self.input.choose(TYPES)?;
        self.expr(of, 3)
    }

    fn aggregate(&mut self, number: u8, items: &mut Vec<String>) -> Result<()> {
        if let Some(aggregate) = self.foreign(FOREIGN_AGGREGATES, 8)? {
            let some = self.some_column()?;
            items.push(format!("{} AS a{number}", filled(aggregate, some)));
            return Ok(());
        }
        let of = *self.input.choose(TYPES)?;
        let mut magnitude = None;
        let call = match self.below(12)? {
            0 | 1 => "count(*)".to_owned(),
            2 => format!("count({})", self.expr(of, 3)?),
            3 => format!("count_if({})", self.expr(Type::Boolean, 3)?),
            4 | 5 => format!("sum({})", self.expr(Type::Integer, 3)?),
            6 => {
                let value = self.expr(Type::Double, 3)?;
                magnitude = Some(format!("sum(abs({value}))"));
                format!("sum({value})")
            }
            7 => format!("min({})", self.expr(of, 3)?),
            8 => format!("max({})", self.expr(of, 3)?),
            9 => {
                let function = self.pick(&["bool_or", "bool_and", "every"])?;
                format!("{function}({})", self.expr(Type::Boolean, 3)?)
            }
            10 => {
                let of = *self
                    .input
                    .choose(&[Type::Text, Type::Integer, Type::Double])?;
                format!("approx_set({})", self.expr(of, 3)?)
            }
            _ => format!("tdigest_agg({})", self.expr(Type::Double, 3)?),
        };
        let filter = match self.input.ratio(1, 4)? {
            true => format!(" FILTER (WHERE {})", self.expr(Type::Boolean, 3)?),
            false => String::new(),
        };
        items.push(format!("{call}{filter} AS a{number}"));
        if let Some(magnitude) = magnitude {
            items.push(format!("{magnitude}{filter} AS a{number}{MAGNITUDE}"));
        }
        Ok(())
    }

    fn some_column(&mut self) -> Result<&'static str> {
        let of = *self.input.choose(&[TEXTS, INTEGERS, DOUBLES])?;
        self.pick(of)
    }

    fn parameter(&mut self) -> Result<String> {
        let name = self.pick(PARAMETERS)?;
        Ok(format!("url_extract_parameter(request_url, '{name}')"))
    }

    fn expr(&mut self, of: Type, depth: u8) -> Result<String> {
        if let Some(foreign) = self.foreign(FOREIGN, 24)? {
            let some = self.some_column()?;
            return Ok(format!("({})", filled(foreign, some)));
        }
        // Now and then a value of another type: what comes of it is refused, or Athena casts too.
        let of = match self.input.ratio(1, 64)? {
            true => *self.input.choose(TYPES)?,
            false => of,
        };
        if depth == 0 {
            return self.leaf(of);
        }
        let depth = depth - 1;
        match self.below(12)? {
            0..3 => self.leaf(of),
            3 => self.form(of, depth),
            _ => match of {
                Type::Text => self.text(depth),
                Type::Integer => self.integer(depth),
                Type::Double => self.double(depth),
                Type::Boolean => self.boolean(depth),
                Type::Time => self.time(depth),
                Type::Date => self.date(depth),
            },
        }
    }

    fn leaf(&mut self, of: Type) -> Result<String> {
        Ok(match (of, self.below(4)?) {
            (Type::Text, 0) => self.pick(TEXT_LITERALS)?.to_owned(),
            (Type::Text, 1) => self.pick(TEXTS)?.to_owned(),
            (Type::Text, _) => self.parameter()?,
            (Type::Integer, 0) => self.pick(INTEGER_LITERALS)?.to_owned(),
            (Type::Integer, 1) => self.pick(INTEGERS)?.to_owned(),
            (Type::Integer, _) => {
                let to = self.pick(&["bigint", "integer", "smallint", "tinyint"])?;
                self.cast(to)?
            }
            (Type::Double, 0) => self.pick(DOUBLE_LITERALS)?.to_owned(),
            (Type::Double, 1) => self.pick(DOUBLES)?.to_owned(),
            (Type::Double, _) => self.cast("double")?,
            (Type::Boolean, 0) => self.pick(&["true", "false", "NULL"])?.to_owned(),
            (Type::Boolean, 1) => self.cast("boolean")?,
            (Type::Boolean, _) => {
                let (column, text) = (self.pick(TEXTS)?, self.pick(TEXT_LITERALS)?);
                format!("{column} = {text}")
            }
            (Type::Time, 0..2) => "from_iso8601_timestamp(time)".to_owned(),
            (Type::Time, 2) => format!("from_iso8601_timestamp({})", self.parameter()?),
            (Type::Time, _) => format!("from_unixtime({})", self.cast("double")?),
            (Type::Date, 0) => self
                .pick(&["date '2026-11-20'", "date '0001-01-01'"])?
                .to_owned(),
            (Type::Date, 1) => "date(from_iso8601_timestamp(time))".to_owned(),
            (Type::Date, _) => self.cast("date")?,
        })
    }

    fn cast(&mut self, to: &str) -> Result<String> {
        let cast = self.pick(&["try_cast", "cast"])?;
        Ok(format!("{cast}({} AS {to})", self.parameter()?))
    }

    /// A form that takes values of any type.
    fn form(&mut self, of: Type, depth: u8) -> Result<String> {
        let value = self.expr(of, depth)?;
        Ok(match self.below(9)? {
            0 => format!("coalesce({value}, {})", self.expr(of, depth)?),
            1 => format!("nullif({value}, {})", self.expr(of, depth)?),
            2 => format!("try({value})"),
            3 => {
                let when = self.expr(Type::Boolean, depth)?;
                format!("if({when}, {value}, {})", self.expr(of, depth)?)
            }
            4 => {
                let when = self.expr(Type::Boolean, depth)?;
                let otherwise = self.expr(of, depth)?;
                format!("CASE WHEN {when} THEN {value} ELSE {otherwise} END")
            }
            5 => {
                let base = self.expr(Type::Text, depth)?;
                let when = self.expr(Type::Text, depth)?;
                format!("CASE {base} WHEN {when} THEN {value} END")
            }
            6 => format!("greatest({value}, {})", self.expr(of, depth)?),
            7 => format!("least({value}, {}, {value})", self.expr(of, depth)?),
            _ => format!("({value})"),
        })
    }

    fn text(&mut self, depth: u8) -> Result<String> {
        let form = self.below(18)?;
        if form == 15 {
            let of = *self.input.choose(TYPES)?;
            return Ok(format!("cast({} AS varchar)", self.expr(of, depth)?));
        }
        if form > 15 {
            let time = self.expr(Type::Time, depth)?;
            return Ok(match form {
                16 => format!("date_format({time}, '%Y-%m-%d %H:%i')"),
                _ => format!("format_datetime({time}, 'yyyy-ww EEE')"),
            });
        }
        let text = self.expr(Type::Text, depth)?;
        Ok(match form {
            0 => format!("lower({text})"),
            1 => format!("upper({text})"),
            2 => filled(self.pick(ARRAYS_JSON_AND_ADDRESSES)?, &text),
            3 => format!("trim({text})"),
            4 => format!("substr({text}, {})", self.expr(Type::Integer, depth)?),
            5 => format!("substring({text} FROM 2 FOR 3)"),
            6 => format!("replace({text}, {}, 'x')", self.expr(Type::Text, depth)?),
            7 => format!("split_part({text}, '/', {})", self.expr(Type::Integer, 0)?),
            8 => format!("lpad({text}, 12, {})", self.expr(Type::Text, depth)?),
            9 => format!("concat({text}, '-', {})", self.expr(Type::Text, depth)?),
            10 => format!("{text} || {}", self.expr(Type::Text, depth)?),
            11 => format!("regexp_extract({text}, '([a-z]+)(.*)', 1)"),
            12 => format!("regexp_replace({text}, '[^a-z]', '_$0')"),
            13 => {
                let part = self.pick(&["protocol", "host", "path", "query", "fragment"])?;
                format!("url_extract_{part}({text})")
            }
            _ => {
                let function = self.pick(&["url_encode", "url_decode"])?;
                format!("{function}({text})")
            }
        })
    }

    fn integer(&mut self, depth: u8) -> Result<String> {
        Ok(match self.below(14)? {
            0..4 => {
                let left = self.expr(Type::Integer, depth)?;
                let operator = self.pick(&["+", "-", "*", "/", "%"])?;
                format!("{left} {operator} {}", self.expr(Type::Integer, depth)?)
            }
            4 => format!("-({})", self.expr(Type::Integer, depth)?),
            5 => format!("abs({})", self.expr(Type::Integer, depth)?),
            6 => format!("mod({}, 7)", self.expr(Type::Integer, depth)?),
            7 => format!("length({})", self.expr(Type::Text, depth)?),
            8 => {
                let text = self.expr(Type::Text, depth)?;
                format!("strpos({text}, {})", self.expr(Type::Text, depth)?)
            }
            9 => {
                let to = self.pick(&["bigint", "integer", "smallint", "tinyint"])?;
                let of = *self.input.choose(&[
                    Type::Integer,
                    Type::Double,
                    Type::Boolean,
                    Type::Text,
                ])?;
                format!("try_cast({} AS {to})", self.expr(of, depth)?)
            }
            10 => {
                let part = *self.input.choose(&[PARTS, PARTS_OF_TIME])?;
                let part = self.pick(part)?;
                format!("{part}({})", self.expr(Type::Time, depth)?)
            }
            11 => {
                let part = self.pick(PARTS)?;
                format!("extract({part} FROM {})", self.expr(Type::Date, depth)?)
            }
            12 => {
                let (unit, from) = (self.pick(UNITS)?, self.expr(Type::Time, depth)?);
                format!(
                    "date_diff({unit}, {from}, {})",
                    self.expr(Type::Time, depth)?
                )
            }
            _ => format!("round({}, 1)", self.expr(Type::Integer, depth)?),
        })
    }

    fn double(&mut self, depth: u8) -> Result<String> {
        Ok(match self.below(8)? {
            0..3 => {
                let left = self.expr(Type::Double, depth)?;
                let operator = self.pick(&["+", "-", "*", "/", "%"])?;
                format!("{left} {operator} {}", self.expr(Type::Double, depth)?)
            }
            3 => {
                let function = self.pick(&["abs", "round", "truncate", "floor", "ceil", "sqrt"])?;
                format!("{function}({})", self.expr(Type::Double, depth)?)
            }
            4 => format!("to_unixtime({})", self.expr(Type::Time, depth)?),
            5 => format!("cast({} AS double)", self.expr(Type::Integer, depth)?),
            6 => format!("{} * 1e0", self.expr(Type::Integer, depth)?),
            _ => format!("-({})", self.expr(Type::Double, depth)?),
        })
    }

    fn boolean(&mut self, depth: u8) -> Result<String> {
        Ok(match self.below(16)? {
            0..4 => {
                let of = *self.input.choose(TYPES)?;
                let left = self.expr(of, depth)?;
                let operator = self.pick(&["=", "<>", "<", "<=", ">", ">=", "!="])?;
                format!("{left} {operator} {}", self.expr(of, depth)?)
            }
            4 | 5 => {
                let left = self.expr(Type::Boolean, depth)?;
                let operator = self.pick(&["AND", "OR"])?;
                format!("({left} {operator} {})", self.expr(Type::Boolean, depth)?)
            }
            6 => format!("NOT ({})", self.expr(Type::Boolean, depth)?),
            7 => {
                let of = *self.input.choose(TYPES)?;
                let is = self.pick(&["IS NULL", "IS NOT NULL"])?;
                format!("({}) {is}", self.expr(of, depth)?)
            }
            8 => {
                let of = *self.input.choose(TYPES)?;
                let (value, low) = (self.expr(of, depth)?, self.expr(of, depth)?);
                format!("({value} BETWEEN {low} AND {})", self.expr(of, depth)?)
            }
            9 => {
                let of = *self.input.choose(TYPES)?;
                let not = self.pick(&["", "NOT "])?;
                let (value, first) = (self.expr(of, depth)?, self.leaf(of)?);
                format!("({value} {not}IN ({first}, {}))", self.leaf(of)?)
            }
            10 => {
                let text = self.expr(Type::Text, depth)?;
                let pattern = self.pick(&["'%o%'", "'w_r%'", "'%!%%' ESCAPE '!'", "''", "'%'"])?;
                format!("{text} LIKE {pattern}")
            }
            11 => {
                let text = self.expr(Type::Text, depth)?;
                let regex = self.pick(&["'^w'", "'(?i)WORD'", "'[0-9]+'", "'(a+)+$'"])?;
                format!("regexp_like({text}, {regex})")
            }
            12 => {
                let of = *self.input.choose(TYPES)?;
                let left = self.expr(of, depth)?;
                let not = self.pick(&["", "NOT "])?;
                format!("({left} IS {not}DISTINCT FROM ({}))", self.expr(of, depth)?)
            }
            13 => {
                let text = self.expr(Type::Text, depth)?;
                filled(self.pick(TESTS_OF_TEXTS)?, &text)
            }
            14 => {
                let function = self.pick(&["is_nan", "is_finite", "is_infinite"])?;
                format!("{function}({})", self.expr(Type::Double, depth)?)
            }
            // A condition that goes on.
            _ => {
                let condition = self.leaf(Type::Boolean)?;
                let operator = self.pick(&[" AND ", " OR "])?;
                let count = 2 + usize::from(u8::arbitrary(&mut self.input)?) / 4;
                format!("({})", vec![condition; count].join(operator))
            }
        })
    }

    fn time(&mut self, depth: u8) -> Result<String> {
        let form = self.below(6)?;
        if form == 4 {
            let date = self.expr(Type::Date, depth)?;
            return Ok(format!("cast({date} AS timestamp with time zone)"));
        }
        let time = self.expr(Type::Time, depth)?;
        Ok(match form {
            0..2 => format!("date_trunc({}, {time})", self.pick(UNITS)?),
            2 => {
                let (unit, count) = (self.pick(UNITS)?, self.expr(Type::Integer, depth)?);
                format!("date_add({unit}, {count}, {time})")
            }
            3 => {
                let operator = self.pick(&["+", "-"])?;
                let unit = self.pick(&["DAY", "HOUR", "SECOND", "MONTH", "YEAR"])?;
                format!("{time} {operator} INTERVAL '2' {unit}")
            }
            _ => format!("cast({time} AS timestamp)"),
        })
    }

    fn date(&mut self, depth: u8) -> Result<String> {
        Ok(match self.below(4)? {
            0 => format!("date({})", self.expr(Type::Time, depth)?),
            1 => format!(
                "date_trunc({}, {})",
                self.pick(DATE_UNITS)?,
                self.expr(Type::Date, depth)?
            ),
            2 => {
                let (unit, count) = (self.pick(DATE_UNITS)?, self.expr(Type::Integer, depth)?);
                format!(
                    "date_add({unit}, {count}, {})",
                    self.expr(Type::Date, depth)?
                )
            }
            _ => format!("{} + INTERVAL '1' DAY", self.expr(Type::Date, depth)?),
        })
    }

    /// Puts bytes or words into the text, and takes some out.
    fn splice(&mut self, sql: String) -> Result<String> {
        let mut sql = sql.into_bytes();
        for _ in 0..=self.below(3)? {
            let at = self.input.int_in_range(0..=sql.len())?;
            let end = (at + usize::from(self.below(8)?)).min(sql.len());
            let word = match self.below(3)? {
                0 => <[u8; 3]>::arbitrary(&mut self.input)?.to_vec(),
                _ => self.pick(SPLICES)?.as_bytes().to_vec(),
            };
            sql.splice(at..end, word);
        }
        Ok(String::from_utf8_lossy(&sql).into_owned())
    }
}

/// The fragment with this in place of its `x`.
fn filled(fragment: &str, x: &str) -> String {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '\'');
    let mut filled = String::new();
    for (at, letter) in fragment.char_indices() {
        let is_x = letter == 'x'
            && !is_word(fragment[..at].chars().next_back())
            && !is_word(fragment[at + 1..].chars().next());
        match is_x {
            true => filled += x,
            false => filled.push(letter),
        }
    }
    filled
}
