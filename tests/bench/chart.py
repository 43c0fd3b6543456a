"""A chart as SVG, for light and dark pages: one panel a figure, one group of bars a program. Imported by render.py."""
from html import escape

WIDTH, LEFT, GAP, BAR, TOP = 960, 16, 40, 18, 84
GROUPS = [("true", "/bin/true"), ("bash", "Bash, exit 0"), ("python", "Python, hello"), ("c", "C, compiled, hello")]
PANELS = [
    ("Time of one job, 1 client", "p50; shorter is better", {"clients": 1}, "p50_ms", lambda it: f"{it:.3g} ms"),
    ("Jobs a second, 8 clients", "longer is better", {"clients": 8}, "jobs_per_s", lambda it: f"{it:,.0f}/s"),
]
BARS = [("bare", "bare process"), ("bwrap", "bubblewrap"), ("crun", "crun"), ("before", "kiln before"), ("kiln", "kiln")]
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; stroke: #ffffff; stroke-width: 4px; paint-order: stroke }
  .page { fill: #ffffff } .quiet { fill: #59636e; font-size: 12px } .title { font-size: 15px; font-weight: 600 }
  .group { font-weight: 600 } .rule { stroke: #d1d9e0 } .base { stroke: #59636e; stroke-dasharray: 3 3 }
  .bare { fill: #b8c0c8 } .bwrap { fill: #7f8c99 } .crun { fill: #56626e } .before { fill: #f0b58a } .kiln { fill: #d1570c }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; stroke: #0d1117 } .page { fill: #0d1117 } .quiet { fill: #9198a1 } .rule { stroke: #3d444d }
    .base { stroke: #9198a1 } .bare { fill: #4a535d } .bwrap { fill: #77828e } .crun { fill: #a9b3bd }
    .before { fill: #8a4a1c } .kiln { fill: #ff8a3d }
  }
"""


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>\n'


def figure(cells, workload, load, who, name):
    found = (cell for cell in cells if (cell["workload"], cell["load"], cell["who"]) == (workload, load, who))
    return next((cell[name] for cell in found), None)


def bars(before, now, workload, load, name):
    """Kind, name, value, and the value in units of bubblewrap's in the same run."""
    for kind, label in BARS:
        cells, who = (before, "kiln") if kind == "before" else (now, kind)
        value, unit = figure(cells, workload, load, who, name), figure(cells, workload, load, "bwrap", name)
        if value and unit:
            yield kind, label, value, value / unit


def group(place, rows, shown):
    """The bars of one program; as wide as the widest of them allows, with the values beside them."""
    x, y, width = place
    room = width - 220
    widest = max([ratio for *_, ratio in rows] + [1])
    base = x + 96 + room / widest
    # Before the text, which it may not cross.
    out = f'<path d="M{base:.0f} {y - 3}V{y + len(rows) * BAR}" class="base"/>\n'
    for index, (kind, label, value, ratio) in enumerate(rows):
        top, length = y + index * BAR, max(2, room * ratio / widest)
        out += text(x + 88, top + 12, label, "quiet", "end")
        out += f'<rect x="{x + 96:.0f}" y="{top}" width="{length:.0f}" height="{BAR - 4}" rx="2" class="{kind}"/>\n'
        out += text(x + 102 + length, top + 12, f"{shown(value)} (×{ratio:.2f})" if kind != "bwrap" else shown(value))
    return out


def draw(before, now):
    """The whole chart; bars of `before` where there are some."""
    count = len(BARS) if before else len(BARS) - 1
    tall = count * BAR + 44
    height, wide = TOP + len(GROUPS) * tall, (WIDTH - 2 * LEFT - GAP) / 2
    out = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"\n'
    out += f'  aria-label="kiln beside other ways to run a program">\n<style>{STYLE}</style>\n'
    out += f'<rect class="page" width="{WIDTH}" height="{height}"/>\n'
    for column, (title, hint, load, name, shown) in enumerate(PANELS):
        x = LEFT + column * (wide + GAP)
        out += text(x, 28, title, "title") + text(x, 47, f"{hint}; × of bubblewrap's in the same run", "quiet")
        for row, (workload, label) in enumerate(GROUPS):
            y = TOP + row * tall
            out += f'<path d="M{x:.0f} {y - 23}H{x + wide:.0f}" class="rule"/>\n' + text(x, y - 7, label, "group")
            out += group((x, y, wide), list(bars(before, now, workload, load, name)), shown)
    return out + "</svg>\n"
