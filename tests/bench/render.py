#!/usr/bin/env python3
"""Writes what run.py measured into docs/PERFORMANCE.md, between its two marks, and draws it.

    tests/bench/render.py

docs/performance/before.json and now.json are what is written; where there is no `now` yet, `before` stands alone.
"""
import json
import pathlib

import chart

BEGIN, END = "<!-- bench: written by `make bench` -->\n", "<!-- bench: end -->\n"
PEERS = ["bare", "bwrap", "crun"]
NAMES = {"kiln": "kiln", "bare": "bare process", "bwrap": "bubblewrap", "crun": "crun"}
WORKLOADS = {
    "http": "`GET /healthz`, which is no job",
    "true": "`/bin/true`",
    "bash": "Bash, `exit 0`",
    "python": "Python, one line printed",
    "c": "C, one line printed; compiled each time",
}


def keep(root, name, result):
    folder = root / "docs" / "performance"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def load(root, name):
    path = root / "docs" / "performance" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def load_text(load):
    ((kind, amount),) = load.items()
    return {
        "clients": f"{amount} client{'s' if amount != 1 else ''}",
        "idle_s": f"after {amount:g} s of idleness",
        "burst": f"burst of {amount}",
        "jobs_per_s": f"half load: {amount:.0f} a second",
    }[kind]


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def figures(cell):
    if cell is None or not cell["jobs"]:
        return ""
    text = " / ".join(number(cell[name]) for name in ("p50_ms", "p95_ms", "p99_ms"))
    return text + (f"; {number(cell['jobs_per_s'])}/s" if cell["jobs_per_s"] and "clients" in cell["load"] else "")


def measured(result, workload):
    """A table of one workload: a row for each load, a column for each contestant."""
    cells = [cell for cell in result["bench"]["cells"] if cell["workload"] == workload]
    loads = []
    for cell in cells:
        if cell["load"] not in loads:
            loads.append(cell["load"])
    who = [name for name in ["kiln", *PEERS] if any(cell["who"] == name for cell in cells)]

    def at(load, name):
        return next((cell for cell in cells if cell["load"] == load and cell["who"] == name), None)

    rows = [[load_text(load), *(figures(at(load, name)) for name in who)] for load in loads]
    return table([WORKLOADS[workload], *(NAMES[name] for name in who)], rows)


def parts(result):
    """Where the time of a job goes, with one client."""
    cells = [cell for cell in result["bench"]["cells"] if cell["load"] == {"clients": 1} and cell.get("parts")]
    names = list(dict.fromkeys(name for cell in cells for name in cell["parts"]))
    order = ["accept", "queue", "prepare", "setup", "run", "reap", "record", "total"]
    names.sort(key=lambda name: order.index(name) if name in order else len(order))

    def shown(part):
        return " / ".join(number(part[figure] / 1000) for figure in ("p50_us", "p95_us", "p99_us")) if part else ""

    rows = [[f"`{name}`", *(shown(cell["parts"].get(name)) for cell in cells)] for name in names]
    return table(["part", *(cell["workload"] for cell in cells)], rows)


def goals(before, now):
    earlier = {goal["name"]: goal for goal in before["bench"]["goals"]}

    def row(goal):
        cells = [goal["name"], goal["goal"]]
        if now is not before:
            was = earlier.get(goal["name"])
            cells.append(number(was["ratio"]) if was else "")
        verdict = "yes" if goal["met"] else "no"
        return [*cells, f"{number(goal['ratio'])} ({number(goal['least'])} to {number(goal['most'])})", verdict]

    head = ["ratio in one run", "goal", *(["before"] if now is not before else []), "measured (rounds)", "met"]
    return table(head, map(row, now["bench"]["goals"]))


def many(result):
    run, held = result["endurance"], result["density"]
    grown = run["memory_after"]["server_kib"] - run["memory_before"]["server_kib"]
    spawner = run["memory_after"]["spawner_kib"] - run["memory_before"]["spawner_kib"]
    left = ", ".join(f"{name}: {count[0]} → {count[1]}" for name, count in run["left"].items()) or "nothing"
    return table(
        ["many jobs", "measured"],
        [
            [f"{run['jobs'] + run['failed']:,} × `/bin/true`, 8 clients", f"{run['failed']} failed, "
             f"{number(run['jobs_per_s'])}/s, p99 {number(run['p99_ms'])} ms"],
            ["left behind (descriptors, processes, mounts, cgroups)", left],
            ["resident memory afterwards", f"server {grown / 1024:+.1f} MiB, spawner {spawner / 1024:+.1f} MiB"],
            ["sandboxes alive at once", f"{held['alive']}, after {held['seconds']:.1f} s"],
            ["memory of the host for each, `sleep` inside", f"{held['kib_per_running_job']:,} KiB"],
            ["what is still taken for each when all have ended", f"{held['kib_per_idle_slot']:,} KiB"],
        ],
    )


def origin(name, result):
    machine, load = result["machine"], f"{result['load_before'][0]} before, {result['load_after'][0]} after"
    changed = " with changes" if machine["changed"] else ""
    versions = ", ".join(machine[name] for name in ("bwrap", "crun", "python") if machine[name])
    return (
        f"{name}: {result['date']}, commit `{machine['commit']}`{changed}. {machine['processors']} processors "
        f"({machine['model']}), {machine['memory_gib']} GiB, Linux {machine['kernel']}, cgroup {machine['cgroups']}; "
        f"{versions}. Load average {load}. `kiln bench {' '.join(result['words'])}`.\n"
    )


def section(before, now):
    text = origin("**Measured**", now)
    if now is not before:
        text += "\n" + origin("**Before**", before)
    alt = "Time of one job and jobs a second, relative to bubblewrap, for four programs"
    text += f"\n![{alt}](performance/bench.svg)\n\n{goals(before, now)}\n"
    text += "p50 / p95 / p99 in milliseconds; jobs a second where clients ask one job after another.\n\n"
    text += "\n".join(measured(now, workload) for workload in WORKLOADS)
    text += "\nParts of a job with one client, told by the daemon: p50 / p95 / p99 in milliseconds.\n\n" + parts(now)
    return text + "\n" + many(now)


def write(root):
    now = load(root, "now")
    before = load(root, "before") or now
    now = now or before
    page = root / "docs" / "PERFORMANCE.md"
    head, rest = page.read_text(encoding="utf-8").split(BEGIN)
    tail = rest.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n{section(before, now)}\n{END}{tail}", encoding="utf-8")
    drawing = chart.draw(before["bench"]["cells"] if now is not before else [], now["bench"]["cells"])
    (root / "docs" / "performance" / "bench.svg").write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    write(pathlib.Path(__file__).parent.parent.parent)
