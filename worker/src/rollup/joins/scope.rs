//! Resolves names in a SELECT: its relations, and the columns that its expressions refer to.

use std::cell::Cell;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, Select, SelectItem,
    SelectItemQualifiedWildcardKind, VisitMut,
};

use super::Joined;
use super::unnest::Unnest;
use crate::engine::functions::lookup::{self, Index};
use crate::format::{DELIVERY_DAY, LogFormat};
use crate::rollup::desugar::call;
use crate::rollup::lookups::Lookup;
use crate::rollup::parse::column_of;
use crate::rollup::results::without_parentheses;
use crate::rollup::walk;

/// A relation that a SELECT joins, whose columns are functions of the line.
pub(super) struct Relation {
    /// The name by which the SELECT refers to it.
    pub(super) alias: String,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Lookup(JoinedLookup),
    Unnest(Unnest),
}

/// A lookup that a SELECT joins.
pub(super) struct JoinedLookup {
    pub(super) lookup: Arc<Lookup>,
    /// The index by the columns of the join, once they are known.
    pub(super) index: Option<Arc<Index>>,
    /// The values that the columns are compared with.
    pub(super) keys: Vec<Expr>,
}

impl Relation {
    pub(super) fn of_lookup(alias: String, lookup: Arc<Lookup>) -> Self {
        let kind = Kind::Lookup(JoinedLookup {
            lookup,
            index: None,
            keys: Vec::new(),
        });
        Self { alias, kind }
    }

    /// The place of a column.
    fn place(&self, column: &str) -> Option<usize> {
        match &self.kind {
            Kind::Lookup(joined) => joined.lookup.place(column),
            Kind::Unnest(unnest) => {
                let column = column.to_lowercase();
                unnest.columns.iter().position(|name| *name == column)
            }
        }
    }

    /// The error for a column that does not exist.
    fn no_column(&self, column: &str) -> String {
        let (of, columns) = match &self.kind {
            Kind::Lookup(joined) => (&joined.lookup.file.name, joined.lookup.column_names()),
            Kind::Unnest(unnest) => (&self.alias, unnest.columns.join(", ")),
        };
        format!("there is no column {column} in {of}: the columns are {columns}")
    }

    /// All columns, as `*` selects them.
    fn all(&self) -> Result<Vec<SelectItem>, String> {
        match &self.kind {
            Kind::Lookup(_) => {
                Err("* beside a lookup is not supported: name the columns".to_owned())
            }
            Kind::Unnest(unnest) => {
                let columns = unnest.columns.iter().enumerate();
                Ok(columns
                    .map(|(place, name)| named(unnest.value(place), name))
                    .collect())
            }
        }
    }

    /// The call for a column. `None` before the relation is joined.
    fn value(&self, column: usize) -> Result<Option<Expr>, String> {
        match &self.kind {
            Kind::Lookup(joined) => {
                let Some(index) = &joined.index else {
                    return Ok(None);
                };
                let (name, values) = joined.lookup.column(column)?;
                let function = lookup::column(index, name, values);
                Ok(Some(call(function.name(), Some('"'), joined.keys.clone())))
            }
            Kind::Unnest(unnest) => Ok(unnest.is_joined.then(|| unnest.value(column))),
        }
    }
}

/// The relations of a SELECT.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) relations: Vec<Relation>,
    /// The format of the log table. `None` if the SELECT reads something else.
    pub(super) format: Option<&'static LogFormat>,
}

impl Scope {
    /// Finds what a relation is joined by. Returns the condition that the join is.
    pub(super) fn resolve(
        &mut self,
        place: usize,
        join: &Join,
        joined: &mut Joined,
    ) -> Result<Option<Expr>, String> {
        if let Kind::Unnest(unnest) = &self.relations[place].kind {
            let mut arrays = unnest.arrays.clone();
            // An array has no columns of its own and of later relations.
            let later = self.relations.split_off(place);
            let put_in = arrays
                .iter_mut()
                .try_for_each(|array| self.put_in(array, &|_| false));
            self.relations.extend(later);
            put_in?;
            if let Kind::Unnest(unnest) = &mut self.relations[place].kind {
                unnest.arrays = arrays;
                unnest.is_joined = true;
                return Ok(Some(unnest.rows()));
            }
        }
        let is_inner = self.resolve_lookup(place, join)?;
        let Kind::Lookup(JoinedLookup {
            lookup,
            index: Some(index),
            keys,
        }) = &self.relations[place].kind
        else {
            return Err("the lookup has no index".to_owned());
        };
        for column in 0..lookup.width() {
            // Only a column that is named needs a type that rollups know.
            if let Ok((name, values)) = lookup.column(column) {
                joined.add(lookup, lookup::column(index, name, values));
            }
        }
        Ok(is_inner.then(|| {
            let found = lookup::found(index);
            let condition = call(found.name(), Some('"'), keys.clone());
            joined.add(lookup, found);
            condition
        }))
    }

    /// Finds the keys of a join with a lookup, and makes their index. Returns whether the join leaves lines out.
    fn resolve_lookup(&mut self, place: usize, join: &Join) -> Result<bool, String> {
        let Relation {
            alias,
            kind: Kind::Lookup(JoinedLookup { lookup, .. }),
        } = &self.relations[place]
        else {
            return Err("the relation is no lookup".to_owned());
        };
        let lookup = Arc::clone(lookup);
        let advice = format!(
            "write JOIN {} ON {alias}.column = …, or LEFT JOIN",
            lookup.name
        );
        let Join {
            relation: _,
            global,
            join_operator,
        } = join;
        let (on, is_inner) = match join_operator {
            JoinOperator::Join(JoinConstraint::On(on))
            | JoinOperator::Inner(JoinConstraint::On(on)) => (on, true),
            JoinOperator::Left(JoinConstraint::On(on))
            | JoinOperator::LeftOuter(JoinConstraint::On(on)) => (on, false),
            _ => {
                return Err(format!(
                    "{join} is not supported: {advice}",
                    join = join.to_string().trim()
                ));
            }
        };
        if *global {
            return Err(format!("GLOBAL JOIN is not Athena SQL: {advice}"));
        }
        let mut conditions = Vec::new();
        split(on, &mut conditions);
        let mut columns = Vec::with_capacity(conditions.len());
        let mut keys = Vec::with_capacity(conditions.len());
        for condition in conditions {
            let (column, key) = self.equality(place, condition)?;
            columns.push(column);
            keys.push(key);
        }
        for key in &mut keys {
            self.put_in(key, &|_| false)?;
        }
        let index = Some(Arc::new(lookup.index(&columns)?));
        self.relations[place].kind = Kind::Lookup(JoinedLookup {
            lookup,
            index,
            keys,
        });
        Ok(is_inner)
    }

    /// The lookup's column and the value in a condition `column = value`.
    fn equality(&self, place: usize, condition: &Expr) -> Result<(usize, Expr), String> {
        let alias = &self.relations[place].alias;
        let refused = || {
            format!(
                "ON {condition}: a lookup is joined by {alias}.column = value, several joined with AND; write other conditions in \
                 WHERE"
            )
        };
        let Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } = condition
        else {
            return Err(refused());
        };
        let of_lookup = |expr: &Expr| -> Result<Option<usize>, String> {
            let found = self.find(without_parentheses(expr))?;
            Ok(found
                .filter(|(relation, _)| *relation == place)
                .map(|(_, column)| column))
        };
        let (column, value) = match (of_lookup(left)?, of_lookup(right)?) {
            (Some(column), None) => (column, right),
            (None, Some(column)) => (column, left),
            _ => return Err(refused()),
        };
        let mut is_own = false;
        walk::any(&**value, &mut |expr| {
            is_own |= matches!(self.find(expr), Ok(Some((relation, _))) if relation == place);
            is_own
        });
        match is_own {
            true => Err(refused()),
            false => Ok((column, (**value).clone())),
        }
    }

    /// The relation and the column that an expression names. `None` if it names no lookup's.
    ///
    /// # Errors
    ///
    /// The lookup has no such column, or the name may mean several columns.
    fn find(&self, expr: &Expr) -> Result<Option<(usize, usize)>, String> {
        let (qualifier, name) = match expr {
            Expr::Identifier(name) => (None, &name.value),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [qualifier, name] => (Some(&qualifier.value), &name.value),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        if let Some(qualifier) = qualifier {
            let is_meant = |relation: &Relation| relation.alias.eq_ignore_ascii_case(qualifier);
            let Some(place) = self.relations.iter().position(is_meant) else {
                return Ok(None);
            };
            let relation = &self.relations[place];
            return match relation.place(name) {
                Some(column) => Ok(Some((place, column))),
                None => Err(relation.no_column(name)),
            };
        }
        let relations = self.relations.iter().enumerate();
        let found = relations.filter_map(|(place, relation)| Some((place, relation.place(name)?)));
        let found: Vec<(usize, usize)> = found.collect();
        let Some(&(place, column)) = found.first() else {
            return Ok(None);
        };
        // The columns of a subquery are not known here. An array has no other use than its elements.
        let is_unnest = matches!(self.relations[place].kind, Kind::Unnest(_));
        let is_clear = self.format.map_or(is_unnest, |format| {
            let is_it = |column: &str| column.eq_ignore_ascii_case(name);
            !is_it(DELIVERY_DAY) && !format.columns.iter().any(|column| is_it(column.name))
        });
        match is_clear && found.len() == 1 {
            true => Ok(Some((place, column))),
            false => Err(format!(
                "the column {name} may be of several tables: write {}.{name}, or the name of another table before it",
                self.relations[place].alias
            )),
        }
    }

    /// Puts calls in the place of the relations' columns, except where an expression is to be left.
    pub(super) fn put_in(
        &self,
        part: &mut impl VisitMut,
        is_left: &dyn Fn(&Expr) -> bool,
    ) -> Result<(), String> {
        // A subquery has columns of its own.
        let subqueries = Cell::new(0_usize);
        let is_subquery = |expr: &Expr| {
            usize::from(matches!(
                expr,
                Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. }
            ))
        };
        let mut enter = |expr: &mut Expr| {
            subqueries.set(subqueries.get() + is_subquery(expr));
            Ok(())
        };
        let mut leave = |expr: &mut Expr| {
            subqueries.set(subqueries.get() - is_subquery(expr));
            if subqueries.get() > 0 || is_left(expr) {
                return Ok(());
            }
            if let Some((place, column)) = self.find(expr)? {
                let relation = &self.relations[place];
                *expr = relation.value(column)?.ok_or_else(|| {
                    format!("{expr}: {} is joined later; join it first", relation.alias)
                })?;
            }
            Ok(())
        };
        walk::change_exprs(part, &mut enter, &mut leave)
    }

    /// Puts calls in the place of the relations' columns in a SELECT.
    pub(super) fn put_in_select(&self, select: &mut Select) -> Result<(), String> {
        let mut items = Vec::with_capacity(select.projection.len());
        for item in std::mem::take(&mut select.projection) {
            match item {
                SelectItem::UnnamedExpr(expr) if self.find(&expr)?.is_some() => {
                    let name = column_of(&expr).unwrap_or_default();
                    items.push(named(expr, &name));
                }
                SelectItem::Wildcard(_) => {
                    items.push(item);
                    for relation in &self.relations {
                        items.extend(relation.all()?);
                    }
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(ref of),
                    _,
                ) => {
                    let of = of.to_string();
                    let mut relations = self.relations.iter();
                    match relations.find(|relation| relation.alias.eq_ignore_ascii_case(&of)) {
                        Some(relation) => items.extend(relation.all()?),
                        None => items.push(item),
                    }
                }
                item => items.push(item),
            }
        }
        select.projection = items;
        // FROM has none of these columns.
        let from = std::mem::take(&mut select.from);
        self.put_in(select, &|_| false)?;
        select.from = from;
        Ok(())
    }
}

fn named(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias {
        expr,
        alias: Ident::with_quote('"', name),
    }
}

/// The conditions that are joined with AND.
fn split<'e>(condition: &'e Expr, all: &mut Vec<&'e Expr>) {
    match without_parentheses(condition) {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            split(left, all);
            split(right, all);
        }
        other => all.push(other),
    }
}
