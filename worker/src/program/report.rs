//! The command `report`: writes or serves the page, and tells its problems.

use std::io::Write;

use anyhow::Result;

use super::cli::ReportArgs;
use super::destination::{NewFile, Stdout, after_writing};
use super::{SOME_NOT_COUNTED, SUCCESS, print_error, stop_signals};
use crate::commands::report::{self, Question};
use crate::table::Root;

/// The exit code that shells use for a process that was interrupted.
const INTERRUPTED: u8 = 130;

pub(crate) async fn report(args: ReportArgs) -> Result<u8> {
    let root = Root::open(&args.tables.required()).await?;
    let stop = stop_signals()?;
    if let Some(address) = args.serve {
        let started = |address| {
            let mut out = Stdout::report();
            writeln!(out, "http://{address}/")?;
            Ok(out.flush()?)
        };
        report::serve(root, args.table, address, stop, started).await?;
        return Ok(SUCCESS);
    }
    let Some(path) = args.output else {
        return Ok(SUCCESS);
    };
    let question = Question {
        from: args.from,
        to: args.to,
        tables: args.table,
        compare: args.compare,
        ..Question::default()
    };
    let mut file = NewFile::create(&path)?;
    let Some(page) = stop
        .run_until_cancelled(report::page(&root, &question))
        .await
    else {
        return Ok(INTERRUPTED);
    };
    let page = page?;
    file.write_all(page.html.as_bytes())?;
    file.complete()?;
    for problem in &page.problems {
        // If stderr can't be written to, the exit code still shows the problem.
        let _ = print_error(&anyhow::Error::msg(problem.clone()));
    }
    let code = match page.problems.is_empty() {
        true => SUCCESS,
        false => SOME_NOT_COUNTED,
    };
    let s = if page.tables == 1 { "" } else { "s" };
    let (tables, kilobytes) = (page.tables, page.html.len().div_ceil(1000));
    let mut out = Stdout::report();
    let said = writeln!(
        out,
        "{}: {tables} table{s}, {}, {kilobytes} kB",
        path.display(),
        page.range
    );
    after_writing(code, said.and_then(|()| out.flush()).map_err(Into::into))
}
