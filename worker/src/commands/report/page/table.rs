//! The figures of a chart as a table.

use maud::{Markup, html};

use super::super::model::Chart;
use super::super::number::Number;
use super::parts::unit_words;

pub(super) fn count(number: i64) -> Markup {
    html! { td.number { (Number::Whole(i128::from(number)).exact()) } }
}

pub(super) fn of_chart(title: &str, chart: &Chart) -> Markup {
    html! {
        div.scroll.tall tabindex="0" role="group" aria-label={ "Figures of " (title) } {
            table {
                thead {
                    tr {
                        th scope="col" { (chart.grain.words()) " from (UTC)" }
                        @for series in &chart.series { th.number scope="col" { bdi { (series.name) } (unit_words(chart.unit)) } }
                    }
                }
                tbody {
                    @for (row, start) in chart.x.iter().enumerate() {
                        tr {
                            th scope="row" { (chart.grain.time(*start)) }
                            @for series in &chart.series {
                                td { @match series.values.get(row).copied().flatten() { Some(value) => (value.exact()), None => "–" } }
                            }
                        }
                    }
                }
            }
        }
    }
}
