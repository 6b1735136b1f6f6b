//! Accumulates sketches: one for each group, or one of all rows.

use std::fmt::Debug;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use logmill_sketch::{
    HyperLogLog, SketchError, TDigest, Waiting, hash_bigint, hash_double, hash_varchar,
};

use super::sketches::{binary, execution_error};

/// A sketch that a group can hold.
pub(super) trait Sketch: Clone + Default + Debug + Send + Sync + 'static {
    fn merge_bytes(&mut self, bytes: &[u8]) -> std::result::Result<(), SketchError>;
    fn write_to(&mut self, out: &mut Vec<u8>);
    fn heap_bytes(&self) -> usize;
}

impl Sketch for HyperLogLog {
    fn merge_bytes(&mut self, bytes: &[u8]) -> std::result::Result<(), SketchError> {
        HyperLogLog::merge_bytes(self, bytes)
    }

    fn write_to(&mut self, out: &mut Vec<u8>) {
        HyperLogLog::write_to(self, out);
    }

    fn heap_bytes(&self) -> usize {
        HyperLogLog::heap_bytes(self)
    }
}

impl Sketch for TDigest {
    fn merge_bytes(&mut self, bytes: &[u8]) -> std::result::Result<(), SketchError> {
        self.merge(&TDigest::from_bytes(bytes)?);
        Ok(())
    }

    fn write_to(&mut self, out: &mut Vec<u8>) {
        TDigest::write_to(self, out);
    }

    fn heap_bytes(&self) -> usize {
        TDigest::heap_bytes(self)
    }
}

/// The sketch that `merge` builds. The first value determines its kind.
#[derive(Clone, Debug, Default)]
pub(super) enum AnySketch {
    #[default]
    Unknown,
    HyperLogLog(HyperLogLog),
    TDigest(Box<TDigest>),
}

impl Sketch for AnySketch {
    fn merge_bytes(&mut self, bytes: &[u8]) -> std::result::Result<(), SketchError> {
        match self {
            // Airlift's TDigest has format tag 0; a HyperLogLog never begins with 0.
            Self::Unknown if bytes.first() == Some(&0) => {
                *self = Self::TDigest(Box::new(TDigest::from_bytes(bytes)?));
                Ok(())
            }
            Self::Unknown => {
                *self = Self::HyperLogLog(HyperLogLog::from_bytes(bytes)?);
                Ok(())
            }
            Self::HyperLogLog(sketch) => Sketch::merge_bytes(sketch, bytes),
            Self::TDigest(digest) => Sketch::merge_bytes(&mut **digest, bytes),
        }
    }

    fn write_to(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Unknown => {}
            Self::HyperLogLog(sketch) => Sketch::write_to(sketch, out),
            Self::TDigest(digest) => Sketch::write_to(&mut **digest, out),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::HyperLogLog(sketch) => Sketch::heap_bytes(sketch),
            Self::TDigest(digest) => size_of::<TDigest>() + Sketch::heap_bytes(&**digest),
        }
    }
}

/// The group of each row of a batch, and a filter for the rows that count.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    groups: &'a [usize],
    filter: Option<&'a BooleanArray>,
}

impl Rows<'_> {
    /// The rows that count and are not NULL, and the group of each.
    fn of_values(self, values: &dyn Array) -> impl Iterator<Item = (usize, usize)> {
        let nulls = values.nulls();
        let rows = self.groups.iter().copied().enumerate();
        rows.filter(move |(row, _)| {
            let counts = |filter: &BooleanArray| filter.is_valid(*row) && filter.value(*row);
            nulls.is_none_or(|nulls| nulls.is_valid(*row)) && self.filter.is_none_or(counts)
        })
    }
}

pub(super) type BoxedGroups = Box<dyn GroupsAccumulator + Sync>;

/// Adds rows to the sketches of their groups. The arrays are the aggregate's arguments.
pub(super) type AddBatch<G> = fn(&mut G, &[ArrayRef], Rows) -> Result<()>;

/// HyperLogLogs, one for each group. Added values are buffered and inserted in batches.
pub(super) struct ApproxSets {
    sets: Groups<HyperLogLog>,
    waiting: Waiting,
    add: AddBatch<Self>,
}

impl ApproxSets {
    fn new(empty: HyperLogLog, add: AddBatch<Self>) -> Self {
        Self {
            sets: Groups::new(empty, merge_serialized),
            waiting: Waiting::default(),
            add,
        }
    }

    /// Sets with as many buckets as `empty`.
    pub(super) fn boxed(empty: HyperLogLog, add: AddBatch<Self>) -> BoxedGroups {
        Box::new(Self::new(empty, add))
    }

    pub(super) fn add_rows(&mut self, values: &dyn Array, rows: Rows, hash: impl Fn(usize) -> u64) {
        for (row, group) in rows.of_values(values) {
            match &mut self.sets.sketches[group] {
                Some(set) if set.is_dense() => set.insert_hash(hash(row)),
                _ if self.waiting.push(group, hash(row)) => self.insert_waiting(),
                _ => {}
            }
        }
    }

    fn insert_waiting(&mut self) {
        let Self { sets, waiting, .. } = self;
        waiting.drain(|group, entries| {
            sets.change(group, |set| set.insert_entries(entries));
        });
    }
}

impl GroupsAccumulator for ApproxSets {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Result<()> {
        self.sets.make_room(total_groups);
        let rows = Rows {
            groups: group_indices,
            filter,
        };
        (self.add)(self, values, rows)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_groups: usize,
    ) -> Result<()> {
        self.sets.merge_batch(values, group_indices, total_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        // Emitting groups renumbers the others, so insert buffered values first.
        self.insert_waiting();
        if matches!(emit_to, EmitTo::All) {
            // A caller that takes all groups to free memory gets the buffer's memory too.
            self.waiting = Waiting::default();
        }
        self.sets.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let empty = self.sets.empty.clone();
        each_row_alone(Self::new(empty, self.add), values, filter)
    }

    fn size(&self) -> usize {
        self.sets.size() + self.waiting.heap_bytes()
    }
}

/// The states of groups of one row each.
fn each_row_alone(
    mut groups: impl GroupsAccumulator,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<Vec<ArrayRef>> {
    let rows = values[0].len();
    groups.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
    groups.state(EmitTo::All)
}

pub(super) fn add_varchars(sets: &mut ApproxSets, values: &[ArrayRef], rows: Rows) -> Result<()> {
    let texts = super::text_values(&values[0])?;
    sets.add_rows(texts, rows, |row| hash_varchar(texts.value(row)));
    Ok(())
}

pub(super) fn add_bigints(sets: &mut ApproxSets, values: &[ArrayRef], rows: Rows) -> Result<()> {
    let numbers = values[0].as_primitive::<Int64Type>();
    sets.add_rows(numbers, rows, |row| hash_bigint(numbers.value(row)));
    Ok(())
}

pub(super) fn add_doubles(sets: &mut ApproxSets, values: &[ArrayRef], rows: Rows) -> Result<()> {
    let numbers = values[0].as_primitive::<Float64Type>();
    sets.add_rows(numbers, rows, |row| hash_double(numbers.value(row)));
    Ok(())
}

pub(super) fn add_to_digests(
    groups: &mut Groups<TDigest>,
    values: &[ArrayRef],
    rows: Rows,
) -> Result<()> {
    let numbers = values[0].as_primitive::<Float64Type>();
    let Some(weights) = values.get(1) else {
        return groups.add_rows(numbers, rows, |digest, row| {
            digest.add(numbers.value(row), 1.0)
        });
    };
    let weights = weights.as_primitive::<Float64Type>();
    groups.add_rows(numbers, rows, |digest, row| match weights.is_valid(row) {
        true => digest.add(numbers.value(row), weights.value(row)),
        false => Ok(()),
    })
}

pub(super) fn merge_serialized<S: Sketch>(
    groups: &mut Groups<S>,
    values: &[ArrayRef],
    rows: Rows,
) -> Result<()> {
    let values = binary(&values[0])?;
    groups.add_rows(values, rows, |sketch, row| {
        sketch.merge_bytes(values.value(row))
    })
}

/// A sketch for each group that has had a value; groups without one are NULL.
pub(super) struct Groups<S: Sketch> {
    sketches: Vec<Option<S>>,
    heap_bytes: usize,
    empty: S,
    add: AddBatch<Self>,
}

impl<S: Sketch> Groups<S> {
    fn new(empty: S, add: AddBatch<Self>) -> Self {
        Self {
            sketches: Vec::new(),
            heap_bytes: 0,
            empty,
            add,
        }
    }

    /// Each group begins with a copy of `empty`.
    pub(super) fn boxed(empty: S, add: AddBatch<Self>) -> BoxedGroups {
        Box::new(Self::new(empty, add))
    }

    /// Adds the rows that count and are not NULL to the sketches of their groups.
    pub(super) fn add_rows(
        &mut self,
        values: &dyn Array,
        rows: Rows,
        mut add: impl FnMut(&mut S, usize) -> std::result::Result<(), SketchError>,
    ) -> Result<()> {
        for (row, group) in rows.of_values(values) {
            self.change(group, |sketch| add(sketch, row))
                .map_err(execution_error)?;
        }
        Ok(())
    }

    /// Grows to `total_groups` groups.
    fn make_room(&mut self, total_groups: usize) {
        self.sketches.resize_with(total_groups, || None);
    }

    /// Changes a group's sketch, and accounts for its memory.
    fn change<T>(&mut self, group: usize, change: impl FnOnce(&mut S) -> T) -> T {
        let sketch = self.sketches[group].get_or_insert_with(|| self.empty.clone());
        let before = sketch.heap_bytes();
        let changed = change(sketch);
        self.heap_bytes = (self.heap_bytes + sketch.heap_bytes()).saturating_sub(before);
        changed
    }
}

impl<S: Sketch> GroupsAccumulator for Groups<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Result<()> {
        self.make_room(total_groups);
        let rows = Rows {
            groups: group_indices,
            filter,
        };
        (self.add)(self, values, rows)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_groups: usize,
    ) -> Result<()> {
        self.make_room(total_groups);
        let rows = Rows {
            groups: group_indices,
            filter: None,
        };
        merge_serialized(self, values, rows)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut emitted = emit_to.take_needed(&mut self.sketches);
        let mut serialized = BinaryBuilder::new();
        let mut bytes = Vec::new();
        for sketch in &mut emitted {
            let Some(sketch) = sketch else {
                serialized.append_null();
                continue;
            };
            self.heap_bytes = self.heap_bytes.saturating_sub(sketch.heap_bytes());
            bytes.clear();
            sketch.write_to(&mut bytes);
            serialized.append_value(&bytes);
        }
        Ok(Arc::new(serialized.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        each_row_alone(Self::new(self.empty.clone(), self.add), values, filter)
    }

    fn size(&self) -> usize {
        self.sketches.capacity() * size_of::<Option<S>>() + self.heap_bytes
    }
}

/// An aggregate in a query without `GROUP BY`: one group holds everything.
pub(super) struct OneGroup(pub(super) BoxedGroups);

impl Debug for OneGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneGroup")
    }
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0
            .update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &vec![0; states[0].len()], 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.0.evaluate(EmitTo::All)?;
        if value.is_empty() {
            return Ok(ScalarValue::Binary(None));
        }
        ScalarValue::try_from_array(&value, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
