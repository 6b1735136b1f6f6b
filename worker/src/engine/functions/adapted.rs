//! An aggregate of DataFusion that accumulates values of some types in a way of its own.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity,
    Signature,
};

/// Accumulators that replace DataFusion's. `None` keeps DataFusion's.
pub(super) trait Accumulators: Debug + Eq + Hash + Send + Sync + 'static {
    /// The accumulator of all rows.
    fn one(&self, args: &AccumulatorArgs) -> Option<Box<dyn Accumulator>>;

    /// The accumulator of each group's rows.
    fn groups(&self, args: &AccumulatorArgs) -> Option<Box<dyn GroupsAccumulator>>;
}

/// DataFusion's aggregate `usual`, with these accumulators.
pub(super) fn adapted(usual: Arc<AggregateUDF>, own: impl Accumulators) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Adapted { usual, own }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Adapted<A> {
    usual: Arc<AggregateUDF>,
    own: A,
}

// `value_from_stats` is left out: the result would not come from the accumulators.
impl<A: Accumulators> AggregateUDFImpl for Adapted<A> {
    fn name(&self) -> &str {
        self.usual.name()
    }

    fn signature(&self) -> &Signature {
        self.usual.signature()
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.usual.coerce_types(arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.usual.return_type(arguments)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.usual.inner().state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.own.one(&args) {
            Some(own) => Ok(own),
            None => self.usual.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.usual.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match self.own.groups(&args) {
            Some(own) => Ok(own),
            None => self.usual.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.usual.create_sliding_accumulator(args)
    }

    fn is_descending(&self) -> Option<bool> {
        self.usual.is_descending()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.usual.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.usual.inner().reverse_expr()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.usual.inner().set_monotonicity(data_type)
    }
}
