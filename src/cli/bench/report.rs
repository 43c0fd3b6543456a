//! What was measured, for programs and for people. Pure.
use serde_json::{Map, Value, json};

use crate::cli::bench::goal::{self, Goal};
use crate::cli::bench::load::Load;
use crate::cli::bench::measure::{Cell, Contestant};
use crate::cli::bench::sample::{Parts, Slice, median};
use crate::cli::table::{self, Colours};
use crate::telemetry::times::Times;

/// The percentiles that are told.
const PERCENTILES: [u32; 3] = [50, 95, 99];

/// All of it, as JSON.
pub(super) fn json(cells: &[Cell]) -> Value {
    let cells_told: Vec<Value> = cells.iter().map(cell).collect();
    let goals: Vec<Value> = goal::judge(cells).iter().map(goal_told).collect();
    json!({"version": env!("CARGO_PKG_VERSION"), "cells": cells_told, "goals": goals})
}

fn cell(cell: &Cell) -> Value {
    let whole = Slice::joined(&cell.slices);
    let mut told = Map::new();
    told.insert(String::from("workload"), cell.workload.name().into());
    told.insert(String::from("load"), load(cell.load));
    told.insert(String::from("who"), cell.who.name().into());
    told.insert(String::from("jobs"), whole.latencies.len().into());
    told.insert(String::from("failed"), whole.failed.into());
    if let Some(fault) = &whole.fault {
        told.insert(String::from("fault"), fault.as_str().into());
    }
    told.extend(figures(&whole));
    // A median: one round in which the machine did something else does not count.
    told.insert(String::from("jobs_per_s"), rounded(rate(cell)));
    told.insert(String::from("rounds"), cell.slices.iter().map(|slice| Value::Object(round(slice))).collect());
    if !whole.parts.is_empty() {
        told.insert(String::from("parts"), parts(&whole.parts));
    }
    Value::Object(told)
}

fn load(load: Load) -> Value {
    match load {
        Load::Clients(count) => json!({"clients": count}),
        Load::Idle(gap) => json!({"idle_s": gap.as_secs_f64()}),
        Load::Burst(count) => json!({"burst": count}),
        Load::Rate(rate) => json!({"jobs_per_s": rounded(Some(rate))}),
    }
}

fn round(slice: &Slice) -> Map<String, Value> {
    let mut told = figures(slice);
    told.insert(String::from("jobs_per_s"), rounded(slice.rate()));
    told
}

fn figures(slice: &Slice) -> Map<String, Value> {
    let told = PERCENTILES.map(|percent| (format!("p{percent}_ms"), rounded(slice.percentile_ms(percent))));
    told.into_iter().chain([(String::from("max_ms"), rounded(slice.percentile_ms(100)))]).collect()
}

/// Of what waits most of the time there is none.
fn rate(cell: &Cell) -> Option<f64> {
    if matches!(cell.load, Load::Idle(_)) {
        return None;
    }
    median(&cell.slices.iter().filter_map(Slice::rate).collect::<Vec<_>>())
}

fn parts(parts: &Parts) -> Value {
    let part = |(name, times): &(String, Times)| {
        let told = json!({
            "count": times.count(), "mean_us": rounded(Some(times.mean_us())), "p50_us": times.percentile_us(50.0),
            "p95_us": times.percentile_us(95.0), "p99_us": times.percentile_us(99.0), "max_us": times.max_us(),
        });
        (name.clone(), told)
    };
    Value::Object(parts.iter().map(part).collect())
}

fn goal_told(goal: &Goal) -> Value {
    json!({
        "name": goal.name, "goal": goal.bound.text(), "ratio": rounded(Some(goal.ratio)),
        "least": rounded(Some(goal.range.0)), "most": rounded(Some(goal.range.1)), "met": goal.is_met(),
    })
}

/// Three digits behind the point; null where there is nothing.
fn rounded(number: Option<f64>) -> Value {
    number.map(|number| (number * 1000.0).round() / 1000.0).into()
}

/// All of it, as tables.
pub(super) fn text(cells: &[Cell], colours: Colours) -> String {
    let rows: Vec<Vec<String>> = cells.iter().map(row).collect();
    let head = ["WORKLOAD", "LOAD", "WHO", "JOBS", "FAILED", "P50 ms", "P95 ms", "P99 ms", "JOBS/s"];
    let mut text = table::table(&head, &rows, colours);
    let rows: Vec<Vec<String>> = cells.iter().filter(|cell| is_alone(cell)).flat_map(part_rows).collect();
    if !rows.is_empty() {
        let head = ["WORKLOAD", "PART", "COUNT", "MEAN ms", "P50 ms", "P95 ms", "P99 ms"];
        text = format!("{text}\nParts of a job, told by the daemon, 1 client\n{}", table::table(&head, &rows, colours));
    }
    let goals: Vec<Vec<String>> = goal::judge(cells).iter().map(goal_row).collect();
    if !goals.is_empty() {
        let head = ["RATIO", "GOAL", "MEDIAN", "ROUNDS", "MET"];
        text = format!("{text}\n{}", table::table(&head, &goals, colours));
    }
    text
}

fn is_alone(cell: &Cell) -> bool {
    cell.who == Contestant::Kiln && cell.load == Load::Clients(1)
}

fn row(cell: &Cell) -> Vec<String> {
    let whole = Slice::joined(&cell.slices);
    let mut row = vec![cell.workload.name().to_owned(), cell.load.text(), cell.who.name().to_owned()];
    row.extend([whole.latencies.len().to_string(), whole.failed.to_string()]);
    row.extend(PERCENTILES.map(|percent| shown(whole.percentile_ms(percent))));
    row.push(rate(cell).map_or_else(|| String::from("-"), |rate| format!("{rate:.0}")));
    row
}

fn part_rows(cell: &Cell) -> Vec<Vec<String>> {
    let whole = Slice::joined(&cell.slices);
    let part = |(name, times): &(String, Times)| {
        let mut row = vec![cell.workload.name().to_owned(), name.clone(), times.count().to_string()];
        row.push(shown(Some(times.mean_us() / 1000.0)));
        let percentiles = [50.0, 95.0, 99.0].map(|percent| times.percentile_us(percent));
        row.extend(percentiles.map(|us| shown(u32::try_from(us).ok().map(|us| f64::from(us) / 1000.0))));
        row
    };
    whole.parts.iter().map(part).collect()
}

fn goal_row(goal: &Goal) -> Vec<String> {
    let (least, most) = goal.range;
    let met = if goal.is_met() { "yes" } else { "no" };
    vec![
        goal.name.to_owned(),
        goal.bound.text(),
        format!("{:.2}", goal.ratio),
        format!("{least:.2} to {most:.2}"),
        met.to_owned(),
    ]
}

fn shown(millis: Option<f64>) -> String {
    millis.map_or_else(|| String::from("-"), |millis| format!("{millis:.2}"))
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use super::*;
    use crate::cli::bench::workload::Workload;
    use crate::telemetry::times::Bucket;

    fn cells() -> Vec<Cell> {
        let slice = |milli| {
            let mut times = Times::default();
            times.add(Bucket { us: 1500, count: 2 });
            Slice {
                latencies: vec![Duration::from_millis(milli); 2],
                elapsed: Duration::from_millis(2 * milli),
                parts: vec![(String::from("run"), times)],
                ..Slice::default()
            }
        };
        let cell = |load, slices| Cell { workload: Workload::True, load, who: Contestant::Kiln, slices };
        vec![
            cell(Load::Clients(1), vec![slice(4), slice(5), slice(5)]),
            cell(Load::Idle(Duration::from_secs(1)), vec![slice(20)]),
        ]
    }

    #[test]
    fn json_has_every_figure_of_a_cell() {
        let told = json(&cells());
        let first = &told["cells"][0];
        assert_eq!((&first["workload"], &first["load"]), (&json!("true"), &json!({"clients": 1})));
        assert_eq!((&first["jobs"], &first["failed"]), (&json!(6), &json!(0)));
        assert_eq!(
            (&first["p50_ms"], &first["p99_ms"], &first["jobs_per_s"]),
            (&json!(5.0), &json!(5.0), &json!(200.0))
        );
        assert_eq!((first["rounds"].as_array().unwrap().len(), &first["parts"]["run"]["count"]), (3, &json!(6)));
        assert_eq!(told["cells"][1]["load"], json!({"idle_s": 1.0}));
        assert_eq!((&told["goals"][0]["ratio"], &told["goals"][0]["met"]), (&json!(5.0), &json!(false)));
    }

    #[test]
    fn tables_have_the_same_figures() {
        let text = text(&cells(), Colours::None);
        assert!(text.contains("true      1 client   kiln  6     0       5.00    5.00    5.00    200\n"), "{text}");
        assert!(text.contains("true      run   6      1."), "{text}");
        assert!(text.contains("at most 2  5.00    5.00 to 5.00  no\n"), "{text}");
    }

    #[test]
    fn what_was_not_measured_is_a_dash_and_a_null() {
        let mut cells = cells();
        cells.truncate(1);
        cells[0].slices.clear();
        assert_eq!(json(&cells)["cells"][0]["p50_ms"], Value::Null);
        assert!(text(&cells, Colours::None).contains("0     0       -       -       -       -\n"));
    }
}
