# SPDX-License-Identifier: GPL-2.0-or-later
"""The plot: one panel per workload and measure, over the number of devices."""
import math
from xml.sax.saxutils import escape

from report import per_descriptor

MEASURES = (("ioctls", "calls to the host per descriptor"),
            ("entries", "entries per descriptor"),
            ("guest_reads", "guest reads per descriptor"),
            ("instructions", "instructions per descriptor"),
            ("seconds", "time per descriptor, µs"))
COLORS = ("#0b5fa5", "#c2571a", "#2e7d32", "#7b3fa0")
DASHES = ("", "6 4", "2 3")     # one per QEMU
BURSTS_SHOWN = 3                # lowest, middle, highest
PANEL_WIDTH, PANEL_HEIGHT = 270, 190
LEFT, TOP, GAP_X, GAP_Y = 70, 96, 64, 62
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


def series(rows, workload, key):
    """{(qemu, burst): [(devices, value per descriptor)]}; what is None is left out."""
    mine = [row for row in rows if row["workload"] == workload]
    bursts = some_bursts(row["burst"] for row in mine)
    found = {}
    for row in mine:
        if row["burst"] in bursts:
            line = found.setdefault((row["qemu"], row["burst"]), [])
            if row[key] is not None:
                line.append((row["devices"], per_descriptor(row, key)))
    return {name: sorted(points) for name, points in found.items()}


def text(x, y, words, size=11, anchor="middle", extra=""):
    return (f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' "
            f"{FONT} {extra}>{escape(words)}</text>")


class Panel:
    def __init__(self, x, y, devices, top):
        self.x, self.y, self.devices, self.top = x, y, devices, top

    def place(self, devices, value):
        low, high = math.log2(self.devices[0]), math.log2(self.devices[-1])
        share = (math.log2(devices) - low) / (high - low) if high > low else 0.5
        return (self.x + share * PANEL_WIDTH,
                self.y + PANEL_HEIGHT * (1 - value / self.top))

    def frame(self, title):
        out = [text(self.x, self.y - 10, title, 11, "start", "fill='#333'")]
        for share in (0, 0.5, 1):
            x, y = self.place(self.devices[0], self.top * share)
            x = self.x
            out.append(f"<line x1='{x}' x2='{x + PANEL_WIDTH}' y1='{y:.1f}' y2='{y:.1f}' "
                       f"stroke='{'#888' if share == 0 else '#ddd'}'/>")
            out.append(text(x - 6, y + 4, number(self.top * share), 10, "end"))
        for devices in self.devices:
            x, _ = self.place(devices, 0)
            out.append(text(x, self.y + PANEL_HEIGHT + 15, str(devices), 10))
        out.append(text(self.x + PANEL_WIDTH / 2, self.y + PANEL_HEIGHT + 30, "devices", 10,
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


def panel(rows, workload, measure, x, y, qemus):
    key, title = measure
    lines = series(rows, workload, key)
    scale = 1e6 if key == "seconds" else 1
    values = [value * scale for points in lines.values() for _, value in points]
    devices = sorted({row["devices"] for row in rows})
    frame = Panel(x, y, devices, nice_top(max(values, default=0)))
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


def plot(rows):
    """The whole SVG, as text."""
    workloads = list(dict.fromkeys(row["workload"] for row in rows))
    qemus = list(dict.fromkeys(row["qemu"] for row in rows))
    width = LEFT + len(workloads) * (PANEL_WIDTH + GAP_X)
    height = TOP + len(MEASURES) * (PANEL_HEIGHT + GAP_Y)
    out = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
           f"viewBox='0 0 {width} {height}'>",
           f"<rect width='{width}' height='{height}' fill='white'/>"]
    at = LEFT
    for place, qemu in enumerate(qemus):
        dash = DASHES[place % len(DASHES)]
        out.append(f"<line x1='{at}' x2='{at + 34}' y1='18' y2='18' stroke='#333' "
                   f"stroke-width='2' stroke-dasharray='{dash or 'none'}'/>")
        out.append(text(at + 42, 22, qemu, 13, "start"))
        at += 60 + 9 * len(qemu)
    for column, workload in enumerate(workloads):
        x = LEFT + column * (PANEL_WIDTH + GAP_X)
        out.append(text(x, 48, workload, 14, "start", "font-weight='bold'"))
        out += legend(rows, workload, x, 68)
        for line, measure in enumerate(MEASURES):
            out += panel(rows, workload, measure, x, TOP + line * (PANEL_HEIGHT + GAP_Y), qemus)
    return "\n".join([*out, "</svg>", ""])
