# SPDX-License-Identifier: GPL-2.0-or-later
"""The plot: one panel per workload and measure, over devices and over PASIDs."""
import math
from xml.sax.saxutils import escape

from report import per_descriptor

MEASURES = (("ioctls", "calls to the host per descriptor"),
            ("entries", "entries per descriptor"),
            ("guest_reads", "guest reads per descriptor"),
            ("instructions", "instructions per descriptor"),
            ("seconds", "time per descriptor, µs"))
# Blocks of panels: what is on the axis while the other is one, and the measures
BLOCKS = (("devices", "devices", MEASURES),
          ("pasids", "bound PASIDs, 1 device", MEASURES[2:]))
COLORS = ("#0b5fa5", "#c2571a", "#2e7d32", "#7b3fa0")
DASHES = ("", "6 4", "2 3")     # one per QEMU
BURSTS_SHOWN = 3                # lowest, middle, highest
PANEL_WIDTH, PANEL_HEIGHT = 270, 190
LEFT, TOP, GAP_X, GAP_Y = 70, 40, 64, 62
HEAD = 66                       # of a block: names of workloads, bursts
FONT = "font-family='sans-serif'"


def nice_top(value):
    """A round number at or above the value, for the end of an axis."""
    if value <= 0:
        return 1.0
    step = 10 ** math.floor(math.log10(value))
    for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10):
        if value <= factor * step * (1 + 1e-9):
            return factor * step
    return 10.0 * step


def number(value):
    if value >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.3g}"


def some_bursts(bursts):
    """The lowest, a middle and the highest."""
    bursts = sorted(set(bursts))
    if len(bursts) <= BURSTS_SHOWN:
        return bursts
    return [bursts[0], bursts[len(bursts) // 2], bursts[-1]]


def on_axis(rows, axis):
    """Rows that belong to it: one device, or RID_PASID only."""
    other = "pasids" if axis == "devices" else "devices"
    return [row for row in rows if row[other] == 1]


def series(rows, workload, key, axis="devices"):
    """{(qemu, burst): [(on the axis, value per descriptor)]}; None is left out."""
    mine = [row for row in on_axis(rows, axis) if row["workload"] == workload]
    bursts = some_bursts(row["burst"] for row in mine)
    found = {}
    for row in mine:
        if row["burst"] in bursts:
            line = found.setdefault((row["qemu"], row["burst"]), [])
            if row[key] is not None:
                line.append((row[axis], per_descriptor(row, key)))
    return {name: sorted(points) for name, points in found.items()}


def text(x, y, words, size=11, anchor="middle", extra=""):
    return (f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' "
            f"{FONT} {extra}>{escape(words)}</text>")


class Panel:
    def __init__(self, x, y, ticks, words, top):
        self.x, self.y, self.ticks, self.words, self.top = x, y, ticks, words, top

    def place(self, tick, value):
        low, high = math.log2(self.ticks[0]), math.log2(self.ticks[-1])
        share = (math.log2(tick) - low) / (high - low) if high > low else 0.5
        return (self.x + share * PANEL_WIDTH,
                self.y + PANEL_HEIGHT * (1 - value / self.top))

    def frame(self, title):
        out = [text(self.x, self.y - 10, title, 11, "start", "fill='#333'")]
        for share in (0, 0.5, 1):
            x, y = self.place(self.ticks[0], self.top * share)
            x = self.x
            out.append(f"<line x1='{x}' x2='{x + PANEL_WIDTH}' y1='{y:.1f}' y2='{y:.1f}' "
                       f"stroke='{'#888' if share == 0 else '#ddd'}'/>")
            out.append(text(x - 6, y + 4, number(self.top * share), 10, "end"))
        for tick in self.ticks:
            x, _ = self.place(tick, 0)
            out.append(text(x, self.y + PANEL_HEIGHT + 15, str(tick), 10))
        out.append(text(self.x + PANEL_WIDTH / 2, self.y + PANEL_HEIGHT + 30, self.words, 10,
                        extra="fill='#555'"))
        return out

    def line(self, points, color, dash):
        places = [self.place(*point) for point in points]
        style = f" stroke-dasharray='{dash}'" if dash else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        return [f"<polyline points='{path}' fill='none' stroke='{color}' "
                f"stroke-width='2'{style}/>",
                *[f"<circle cx='{x:.1f}' cy='{y:.1f}' r='2.6' fill='{color}'/>"
                  for x, y in places]]


def panel(rows, workload, measure, axis, x, y, qemus):
    key, title = measure
    lines = series(rows, workload, key, axis[0])
    scale = 1e6 if key == "seconds" else 1
    values = [value * scale for points in lines.values() for _, value in points]
    ticks = sorted({row[axis[0]] for row in on_axis(rows, axis[0])})
    frame = Panel(x, y, ticks, axis[1], nice_top(max(values, default=0)))
    out = frame.frame(title)
    if not values:
        return out + [text(x + PANEL_WIDTH / 2, y + PANEL_HEIGHT / 2, "not measured", 12,
                           extra="fill='#a00'")]
    bursts = sorted({burst for _, burst in lines})
    for (qemu, burst), points in lines.items():
        out += frame.line([(at, value * scale) for at, value in points],
                          COLORS[bursts.index(burst) % len(COLORS)],
                          DASHES[qemus.index(qemu) % len(DASHES)])
    return out


def legend(rows, workload, x, y):
    """Colors are bursts; they differ from workload to workload."""
    out = []
    bursts = some_bursts(row["burst"] for row in rows if row["workload"] == workload)
    for place, burst in enumerate(bursts):
        at = x + place * 90
        color = COLORS[place % len(COLORS)]
        out.append(f"<line x1='{at}' x2='{at + 18}' y1='{y - 4}' y2='{y - 4}' "
                   f"stroke='{color}' stroke-width='3'/>")
        out.append(text(at + 23, y, f"burst {burst}", 11, "start"))
    return out


def blocks(rows):
    """(rows, axis, its words, measures) of each block that there is something for."""
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        for axis, words, measures in BLOCKS:
            found = on_axis(mine, axis)
            if axis == "devices" or len({row[axis] for row in found}) > 1:
                yield found, axis, words, measures


def block(rows, axis, measures, top, qemus):
    """One column per workload, one line of panels per measure."""
    out = []
    for column, workload in enumerate(dict.fromkeys(row["workload"] for row in rows)):
        x = LEFT + column * (PANEL_WIDTH + GAP_X)
        out.append(text(x, top + 14, f"{workload} ({rows[0]['model']})", 13, "start",
                        "font-weight='bold'"))
        out += legend(rows, workload, x, top + 34)
        for line, measure in enumerate(measures):
            y = top + HEAD + line * (PANEL_HEIGHT + GAP_Y)
            out += panel(rows, workload, measure, axis, x, y, qemus)
    return out


def plot(rows):
    """The whole SVG, as text."""
    qemus = list(dict.fromkeys(row["qemu"] for row in rows))
    columns, out, top = 1, [], TOP
    for mine, axis, words, measures in blocks(rows):
        columns = max(columns, len({row["workload"] for row in mine}))
        out += block(mine, (axis, words), measures, top, qemus)
        top += HEAD + len(measures) * (PANEL_HEIGHT + GAP_Y) + GAP_Y // 2
    at, names = LEFT, []
    for place, qemu in enumerate(qemus):
        dash = DASHES[place % len(DASHES)]
        names.append(f"<line x1='{at}' x2='{at + 34}' y1='18' y2='18' stroke='#333' "
                     f"stroke-width='2' stroke-dasharray='{dash or 'none'}'/>")
        names.append(text(at + 42, 22, qemu, 13, "start"))
        at += 60 + 9 * len(qemu)
    width = max(LEFT + columns * (PANEL_WIDTH + GAP_X), at)
    return "\n".join([f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' "
                      f"height='{top}' viewBox='0 0 {width} {top}'>",
                      f"<rect width='{width}' height='{top}' fill='white'/>",
                      *names, *out, "</svg>", ""])
